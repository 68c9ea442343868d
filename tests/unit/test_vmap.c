/* vmap: areas, guards, giving back parts, devices, failing steps, reuse after the epoch only. */
/* sources: mm/vmap.c mm/meta.c mm/pahash.c mm/pool.c tests/unit/fake_mm.c */
/* sources: mm/frame.c mm/frame_buddy.c mm/frame_cache.c */
/* sources: mm/range.c mm/section.c mm/epoch.c */
#include "fake_mm.h"
#include "mm/epoch.h"
#include "mm/pahash.h"
#include "mm/pool.h"
#include "mm/vmap.h"
#include "public/errno.h"
#include "tap.h"

#define MIB 0x100000ull

static bool boot(void)
{
	fake_mm_init();
	frame_add_ram(make_paddr(MIB), make_paddr(256 * MIB));
	must(!frame_init());
	must(!pool_init());
	must(!pahash_init(7));
	must(!vmap_init());
	fake_cpu_online(0);
	return true;
}

static uint64_t mapped_in_areas(void)
{
	return fake_mapped_pages(LAYOUT_VMAP, LAYOUT_VMAP + LAYOUT_VMAP_AREAS_SIZE);
}

static uint64_t free_frames(void)
{
	struct frame_stats s;

	frame_get_stats(&s);
	return s.free;
}

static bool is_mapped(const void *va)
{
	mfn_t frame;
	enum host_prot prot;

	return hostpt_lookup((uint64_t)va, &frame, &prot);
}

static bool is_zero(const void *start, size_t pages)
{
	const uint64_t *p = start;

	for (size_t i = 0; i < pages * 512; i++)
		if (p[i])
			return false;
	return true;
}

/* An area is mapped from its first to its last page, and nothing beside it. */
static bool area_is(char *start, size_t pages)
{
	size_t page_count = 0;
	uint32_t mark;

	must(vmap_find(start, &page_count, &mark) && page_count == pages);
	must(!is_mapped(start - PAGE_SIZE) && !is_mapped(start + pages * PAGE_SIZE));
	for (size_t i = 0; i < pages; i++) {
		mfn_t frame;
		enum host_prot prot;
		uint64_t va = (uint64_t)start + i * PAGE_SIZE;

		must(hostpt_lookup(va, &frame, &prot) && prot == HOST_RW);
		must(frame_type(frame) == FRAME_VMAP && frame_owner(frame) == DOMID_HYPERVISOR);
		must(pahash_lookup(frame) == va);
	}
	return true;
}

static bool basics(void)
{
	char *a, *b;
	size_t n;
	uint32_t mark;
	struct vmap_stats s;

	must(boot());
	must(vmap_alloc(0, (void **)&a) == -XEN_EINVAL);
	must(vmap_alloc(LAYOUT_VMAP_AREAS_SIZE / PAGE_SIZE, (void **)&a) == -XEN_ENOMEM);
	must(vmap_alloc(SIZE_MAX, (void **)&a) == -XEN_ENOMEM);
	must(!vmap_alloc(1, (void **)&a) && !vmap_alloc(5, (void **)&b));
	must(area_is(a, 1) && area_is(b, 5) && is_zero(a, 1) && is_zero(b, 5));
	vmap_get_stats(&s);
	must(s.areas == 2 && s.pages == 6 && pahash_count() == 6);
	must(vmap_find(a + 4095, &n, &mark) && mark == 0);
	must(!vmap_find(b + PAGE_SIZE, &n, &mark) && !vmap_find(b + 5 * PAGE_SIZE, &n, &mark));
	must(!vmap_find(NULL, &n, &mark) && !vmap_find(&s, &n, &mark));
	must(!vmap_find((void *)LAYOUT_VMAP, &n, &mark) && !vmap_find((void *)~0ull, &n, &mark));
	must(!vmap_find((void *)LAYOUT_META, &n, &mark));
	vmap_set_mark(b, 99);
	must(vmap_find(b, &n, &mark) && mark == 99 && n == 5);
	must(panics(vmap_set_mark(b + PAGE_SIZE, 1)));
	return true;
}

static bool free_panics_inner(void)
{
	char *a;

	must(boot() && !vmap_alloc(3, (void **)&a));
	return panics(vmap_free(a + PAGE_SIZE));
}

static bool free_panics_twice(void)
{
	char *a;

	must(boot() && !vmap_alloc(3, (void **)&a));
	vmap_free(a);
	return panics(vmap_free(a));
}

static bool free_panics_foreign(void)
{
	must(boot());
	return panics(vmap_free((void *)(LAYOUT_VMAP + 17 * PAGE_SIZE)));
}

/* Frames and addresses come back, but after an epoch of all CPUs. */
static bool reuse(void)
{
	char *a, *b, *c;

	must(boot());
	fake_cpu_online(1);
	must(!vmap_alloc(4, (void **)&a));
	memset(a, 0xee, 4 * PAGE_SIZE);
	uint64_t frames = free_frames(), flushes = fake_flush_calls;
	vmap_free(a);
	must(fake_flush_calls == flushes + 1);
	must(mapped_in_areas() == 0 && pahash_count() == 0);
	must(free_frames() == frames);
	epoch_quiescent();
	must(!vmap_alloc(4, (void **)&b) && b != a);
	must(free_frames() == frames - 4);
	fake_quiesce();
	must(free_frames() == frames);
	must(!vmap_alloc(4, (void **)&c) && c == a && is_zero(c, 4));
	return area_is(b, 4) && area_is(c, 4);
}

static bool parts(void)
{
	char *a;
	struct vmap_stats s;

	must(boot());
	must(!vmap_alloc(20, (void **)&a));
	uint64_t frames = free_frames();
	for (unsigned i = 0; i < 20; i++)
		memset(a + i * PAGE_SIZE, (int)i + 1, PAGE_SIZE);
	vmap_set_mark(a, 5);
	/* Not within one area. */
	must(vmap_free_part(a, 0) == -XEN_EINVAL);
	must(vmap_free_part(a, 21) == -XEN_EINVAL);
	must(vmap_free_part(a + 19 * PAGE_SIZE, 2) == -XEN_EINVAL);
	must(vmap_free_part(a + 20 * PAGE_SIZE, 1) == -XEN_EINVAL);
	must(vmap_free_part(a - PAGE_SIZE, 1) == -XEN_EINVAL);
	must(vmap_free_part(a - PAGE_SIZE, 3) == -XEN_EINVAL);
	must(vmap_free_part(a + 8, 1) == -XEN_EINVAL);
	must(vmap_free_part(a, SIZE_MAX) == -XEN_EINVAL);
	must(vmap_free_part(NULL, 1) == -XEN_EINVAL);
	must(area_is(a, 20));
	must(!vmap_free_part(a + 17 * PAGE_SIZE, 3)); /* tail */
	must(area_is(a, 17));
	must(!vmap_free_part(a, 2)); /* head */
	a += 2 * PAGE_SIZE;
	must(area_is(a, 15));
	size_t n;
	uint32_t mark;
	must(vmap_find(a, &n, &mark) && mark == 5);
	must(!vmap_free_part(a + 5 * PAGE_SIZE, 1)); /* one page in the middle */
	must(area_is(a, 5) && area_is(a + 6 * PAGE_SIZE, 9));
	must(!vmap_free_part(a + 8 * PAGE_SIZE, 4)); /* more of the right one's middle */
	must(area_is(a + 6 * PAGE_SIZE, 2) && area_is(a + 12 * PAGE_SIZE, 3));
	must(vmap_free_part(a + 4 * PAGE_SIZE, 3) == -XEN_EINVAL); /* across the hole */
	vmap_get_stats(&s);
	must(s.areas == 3 && s.pages == 10 && pahash_count() == 10);
	for (unsigned i = 0; i < 15; i++)
		if (i < 5 || i == 6 || i == 7 || i > 11)
			must(a[i * PAGE_SIZE] == (char)(i + 3));
	fake_quiesce();
	must(free_frames() == frames + 10);
	vmap_free(a);
	vmap_free(a + 6 * PAGE_SIZE);
	must(!vmap_free_part(a + 12 * PAGE_SIZE, 3)); /* all of it */
	fake_quiesce();
	must(free_frames() == frames + 20 && !mapped_in_areas());
	/* All joined again: the same 20 pages fit in the same place. */
	char *b;
	must(!vmap_alloc(20, (void **)&b) && b == a - 2 * PAGE_SIZE);
	return true;
}

static bool devices(void)
{
	char *d;
	mfn_t frame;
	enum host_prot prot;

	must(boot());
	uint64_t frames = free_frames();
	must(!vmap_map_device(make_paddr(0xfee00010), 0x20, (void **)&d));
	must(((uint64_t)d & 0xfff) == 0x10);
	must(hostpt_lookup((uint64_t)d, &frame, &prot) && frame.raw == 0xfee00 &&
	     prot == HOST_RW_UC);
	must(!is_mapped(d + PAGE_SIZE) && !is_mapped(d - PAGE_SIZE));
	must(pahash_lookup(frame) == 0);
	vmap_free(d);
	must(!is_mapped(d));
	/* Straddles three pages with 0x1002 bytes. */
	must(!vmap_map_device(make_paddr(0xfec00fff), 0x1002, (void **)&d));
	must(is_mapped(d) && is_mapped(d + 0x1001) && !is_mapped(d + 0x2001));
	must(vmap_map_device(make_paddr(0xfee00000), 0, (void **)&d) == -XEN_EINVAL);
	must(vmap_map_device(make_paddr(~0ull - 5), 100, (void **)&d) == -XEN_EINVAL);
	must(vmap_map_device(make_paddr(1ull << 52), 1, (void **)&d) == -XEN_EINVAL);
	must(vmap_map_device(make_paddr(0), SIZE_MAX, (void **)&d) == -XEN_EINVAL);
	/* RAM, touched or not. */
	must(vmap_map_device(make_paddr(255 * MIB), 16, (void **)&d) == -XEN_EINVAL);
	must(vmap_map_device(make_paddr(0xff000), 0x1001, (void **)&d) == -XEN_EINVAL);
	fake_quiesce();
	must(free_frames() == frames);
	/* Each step of mapping one fails. */
	fake_uses_tables = false;
	struct vmap_stats before, after;
	vmap_get_stats(&before);
	for (int64_t step = 0; step < 5; step++) {
		uint64_t mapped = mapped_in_areas();
		fake_map_fail_at = step;
		must(vmap_map_device(make_paddr(0xd0000000), 0x5000, (void **)&d) == -XEN_ENOMEM);
		must(mapped_in_areas() == mapped);
	}
	vmap_get_stats(&after);
	must(!memcmp(&before, &after, sizeof(before)));
	return true;
}

/* Each call that maps something fails in turn; after an epoch all is as before. */
static bool alloc_fails(void)
{
	struct vmap_stats vs_before, vs_after;
	char *a;

	must(boot());
	must(!vmap_alloc(3, (void **)&a));
	/* So that metadata, hash and pool have grown to what the steps below need. */
	char *warm;
	must(!vmap_alloc(300, (void **)&warm));
	vmap_free(warm);
	fake_quiesce();
	fake_uses_tables = false;
	vmap_get_stats(&vs_before);
	uint64_t frames = free_frames(), mapped = mapped_in_areas(), hashed = pahash_count();
	for (int64_t step = 0; step < 40; step++) {
		char *b;
		fake_map_fail_at = step;
		must(vmap_alloc(40, (void **)&b) == -XEN_ENOMEM);
		must(fake_map_fail_at == -1 && mapped_in_areas() == mapped &&
		     pahash_count() == hashed);
		fake_quiesce();
		vmap_get_stats(&vs_after);
		must(!memcmp(&vs_before, &vs_after, sizeof(vs_before)) && free_frames() == frames);
	}
	/* No metadata page for new addresses. */
	char *b;
	fake_map_fail_at = 0;
	must(vmap_alloc(4000, (void **)&b) == -XEN_ENOMEM);
	must(mapped_in_areas() == mapped && free_frames() >= frames - 16);
	return area_is(a, 3);
}

static bool memory_ends(void)
{
	static char *areas[100000];
	unsigned n = 0;

	must(boot());
	while (!vmap_alloc(7, (void **)&areas[n]))
		n++;
	diag("%u areas", n);
	struct vmap_stats s;
	vmap_get_stats(&s);
	must(s.areas == n && s.pages == 7 * n && mapped_in_areas() == 7 * n);
	must(n > 8000);
	for (unsigned i = 0; i < n; i++)
		vmap_free(areas[i]);
	fake_quiesce();
	vmap_get_stats(&s);
	must(!s.areas && !s.pages && !mapped_in_areas() && !pahash_count());
	void *p;
	must(!vmap_alloc(7 * n, &p));
	return true;
}

/* Random areas and cuts against a model of which pages belong to which area. */
static bool random_model(void)
{
	enum { AREAS = 64 };
	static struct {
		char *start;
		size_t pages;
	} areas[2 * AREAS];

	fake_random_seed(4);
	must(boot());
	fake_cpu_online(1);
	uint64_t frames = free_frames(), total = 0;
	for (unsigned step = 0; step < 12000; step++) {
		unsigned i = fake_random() % AREAS;

		fake_cpu_be(fake_random() & 1);
		if (fake_random() % 16 == 0)
			epoch_quiescent();
		if (!areas[i].start) {
			areas[i].pages = 1 + fake_random() % (step % 7 ? 8 : 60);
			must(!vmap_alloc(areas[i].pages, (void **)&areas[i].start));
			must(is_zero(areas[i].start, areas[i].pages));
			total += areas[i].pages;
			for (size_t p = 0; p < areas[i].pages; p++)
				memset(areas[i].start + p * PAGE_SIZE, (int)i + 1, PAGE_SIZE);
			continue;
		}
		must(area_is(areas[i].start, areas[i].pages));
		for (size_t p = 0; p < areas[i].pages; p++)
			must(areas[i].start[p * PAGE_SIZE + 77] == (char)(i + 1));
		size_t from = fake_random() % areas[i].pages;
		size_t count = 1 + fake_random() % (areas[i].pages - from);
		switch (fake_random() % 3) {
		case 0:
			vmap_free(areas[i].start);
			total -= areas[i].pages;
			areas[i].start = NULL;
			break;
		case 1:
			count = areas[i].pages - from;
			/* fall through */
		default:
			must(!vmap_free_part(areas[i].start + from * PAGE_SIZE, count));
			total -= count;
			/* The right rest is dropped at once, the left one stays. */
			if (from + count < areas[i].pages) {
				char *rest = areas[i].start + (from + count) * PAGE_SIZE;
				must(area_is(rest, areas[i].pages - from - count));
				vmap_free(rest);
				total -= areas[i].pages - from - count;
			}
			areas[i].pages = from;
			if (!from)
				areas[i].start = NULL;
		}
		struct vmap_stats s;
		vmap_get_stats(&s);
		must(s.pages == total && mapped_in_areas() == total && pahash_count() == total);
	}
	for (unsigned i = 0; i < AREAS; i++)
		if (areas[i].start)
			vmap_free(areas[i].start);
	fake_quiesce();
	must(!mapped_in_areas() && !pahash_count());
	diag("%" PRIu64 " frames in tables and records", frames - free_frames());
	must(frames - free_frames() < 20);
	return true;
}

int main(void)
{
	plan(10);
	ok(fake_in_child(basics), "areas are zero, guarded and known to the PA->VA hash");
	ok(fake_in_child(free_panics_inner), "freeing from the middle of an area panics");
	ok(fake_in_child(free_panics_twice), "freeing an area twice panics");
	ok(fake_in_child(free_panics_foreign), "freeing what is no area panics");
	ok(fake_in_child(reuse), "frames and addresses are reused after an epoch only");
	ok(fake_in_child(parts), "head, tail and middle of an area are given back");
	ok(fake_in_child(devices), "device registers");
	ok(fake_in_child(alloc_fails), "an allocation that fails at any page changes nothing");
	ok(fake_in_child(memory_ends), "memory ends, and comes back");
	ok(fake_in_child(random_model), "random areas and cuts against a model");
	return tap_end();
}
