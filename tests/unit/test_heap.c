/* The heap: zeroed objects, owners apart, wiping, our own mistakes, failing steps. */
/* sources: mm/heap.c mm/vmap.c mm/meta.c mm/pahash.c mm/pool.c tests/unit/fake_mm.c */
/* sources: mm/frame.c mm/frame_buddy.c mm/frame_cache.c */
/* sources: mm/range.c mm/section.c mm/epoch.c */
#include "fake_mm.h"
#include "mm/epoch.h"
#include "mm/heap.h"
#include "mm/pahash.h"
#include "mm/pool.h"
#include "mm/vmap.h"
#include "public/errno.h"
#include "tap.h"

#define MIB 0x100000ull

static bool boot(void)
{
	fake_mm_init();
	frame_add_ram(make_paddr(MIB), make_paddr(128 * MIB));
	must(!frame_init());
	must(!pool_init());
	must(!pahash_init(7));
	must(!vmap_init());
	must(!heap_init());
	fake_cpu_online(0);
	return true;
}

static uint64_t pages_in_use(void)
{
	struct vmap_stats s;

	vmap_get_stats(&s);
	return s.pages;
}

static bool is_zero(const void *start, size_t size)
{
	const char *p = start;

	for (size_t i = 0; i < size; i++)
		if (p[i])
			return false;
	return true;
}

static bool sizes(void)
{
	must(boot());
	for (size_t size = 1; size < 20000; size += size < 3000 ? 7 : 997) {
		void *p, *q;
		must(!heap_alloc(size, 1, &p) && !heap_alloc(size, 1, &q));
		must(!((uint64_t)p & 15) && !((uint64_t)q & 15));
		must(size <= 2048 || !((uint64_t)p & (PAGE_SIZE - 1)));
		must(is_zero(p, size) && is_zero(q, size));
		memset(p, 0xff, size);
		must(is_zero(q, size));
		memset(q, 0xff, size);
		heap_free(p);
		heap_free(q);
		must(pages_in_use() == 0);
		/* VA is plenty, but not endless: let it come back now and then. */
		if (size % 16 == 1)
			fake_quiesce();
	}
	void *p;
	must(heap_alloc(0, 1, &p) == -XEN_EINVAL);
	must(heap_alloc(SIZE_MAX, 1, &p) == -XEN_ENOMEM);
	must(heap_alloc(SIZE_MAX - 4000, 1, &p) == -XEN_ENOMEM);
	must(heap_alloc(1ull << 38, 1, &p) == -XEN_ENOMEM);
	heap_free(NULL);
	must(!heap_alloc(8193, 1, &p) && pages_in_use() == 3);
	return true;
}

/* Objects of different owners, also with the same hash, are on different pages. */
static bool owners(void)
{
	enum { COUNT = 400 };
	static char *objects[COUNT];
	static domid_t owner[COUNT];

	must(boot());
	for (unsigned i = 0; i < COUNT; i++) {
		owner[i] = (domid_t)(i % 10 * 64);
		must(!heap_alloc(i % 3 ? 48 : 100, owner[i], (void **)&objects[i]));
	}
	for (unsigned i = 0; i < COUNT; i++)
		for (unsigned j = 0; j < i; j++)
			must(owner[i] == owner[j] ||
			     ((uint64_t)objects[i] ^ (uint64_t)objects[j]) >= PAGE_SIZE);
	must(pages_in_use() == 20);
	for (unsigned i = 0; i < COUNT; i++)
		heap_free(objects[i]);
	must(pages_in_use() == 0);
	return true;
}

/* A freed object's contents are gone at once. */
static bool wiped(void)
{
	char *a, *b, *c;

	must(boot());
	must(!heap_alloc(64, 1, (void **)&a) && !heap_alloc(64, 1, (void **)&b));
	memset(a, 0xaa, 64);
	memset(b, 0xbb, 64);
	heap_free(a);
	must(is_zero(a, 64) && b[0] == (char)0xbb && b[63] == (char)0xbb);
	must(!heap_alloc(60, 1, (void **)&c) && c == a && is_zero(c, 64));
	return true;
}

/* What the audit asks: which pages are the heap's, and whose. */
static bool pages_found(void)
{
	char *small, *large;
	void *area;
	size_t page_count;
	domid_t owner;

	must(boot());
	must(!heap_alloc(64, 5, (void **)&small) &&
	     !heap_alloc(3 * PAGE_SIZE, 6, (void **)&large) && !vmap_alloc(2, &area));
	must(heap_find_page(small, &page_count, &owner) && page_count == 1 && owner == 5);
	must(heap_find_page(large, &page_count, &owner) && page_count == 3 &&
	     owner == DOMID_HYPERVISOR);
	must(!heap_find_page(large + PAGE_SIZE, &page_count, &owner));
	must(!heap_find_page(area, &page_count, &owner));
	must(!heap_find_page(NULL, &page_count, &owner));
	heap_free(small);
	must(!heap_find_page(small, &page_count, &owner));
	return true;
}

static void *bad;

static bool free_bad(void)
{
	return panics(heap_free(bad));
}

/* Each in a process of its own: after a panic nothing goes on. */
static bool our_bugs(void)
{
	char *a, *b, *big, *gone, *device, *area;

	must(boot());
	must(!heap_alloc(64, 1, (void **)&a) && !heap_alloc(64, 1, (void **)&b));
	must(!heap_alloc(10000, 1, (void **)&big) && !heap_alloc(5000, 1, (void **)&gone));
	must(!vmap_map_device(make_paddr(0xfee00000), 4096, (void **)&device));
	must(!vmap_alloc(2, (void **)&area));
	heap_free(b);
	heap_free(gone);
	static uint64_t on_image;
	void *pointers[] = {b,
			    gone,
			    a + 1,
			    a + 16,
			    a + 4032,
			    a + PAGE_SIZE,
			    big + 8,
			    big + 4096,
			    device,
			    area,
			    &on_image,
			    (void *)1,
			    (void *)LAYOUT_VMAP,
			    (void *)LAYOUT_META,
			    (void *)~0ull};
	for (unsigned i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
		bad = pointers[i];
		if (!fake_in_child(free_bad)) {
			diag("pointer %u was freed", i);
			return false;
		}
	}
	return true;
}

/* Each call that maps something fails in turn: no object, and all is as before. */
static bool alloc_fails(void)
{
	static const size_t object_sizes[] = {16, 2048, 4000, 3 * PAGE_SIZE};
	char *p, *q;

	must(boot());
	must(!heap_alloc(100, 3, (void **)&q));
	fake_uses_tables = false;
	for (unsigned i = 0; i < sizeof(object_sizes) / sizeof(object_sizes[0]); i++) {
		uint64_t pages = pages_in_use();
		struct frame_stats before, after;

		frame_get_stats(&before);
		for (int64_t step = 0; step < (object_sizes[i] > PAGE_SIZE ? 3 : 1); step++) {
			fake_map_fail_at = step;
			must(heap_alloc(object_sizes[i], 9, (void **)&p) == -XEN_ENOMEM);
			must(fake_map_fail_at == -1 && pages_in_use() == pages);
			fake_quiesce();
			frame_get_stats(&after);
			must(!memcmp(&before, &after, sizeof(before)));
		}
		/* An object that has room does not need memory. */
		fake_map_fail_at = 0;
		must(!heap_alloc(100, 3, (void **)&p) && p - q < PAGE_SIZE);
		fake_map_fail_at = -1;
	}
	return true;
}

static bool memory_ends(void)
{
	static void *objects[200000];
	uint64_t n = 0;

	must(boot());
	while (!heap_alloc(768, (domid_t)(n % 3), &objects[n])) {
		memset(objects[n], 1, 768);
		n++;
	}
	diag("%" PRIu64 " objects", n);
	must(n > 100000 && pages_in_use() >= n / 5);
	for (uint64_t i = 0; i < n; i++)
		heap_free(objects[i]);
	fake_quiesce();
	must(!pages_in_use());
	must(!heap_alloc(100 * MIB, 1, &objects[0]));
	must(is_zero(objects[0], 100 * MIB));
	return true;
}

static bool random_model(void)
{
	enum { OBJECTS = 2000 };
	static struct {
		uint8_t *p;
		size_t size;
		domid_t owner;
	} o[OBJECTS];

	fake_random_seed(5);
	must(boot());
	for (unsigned step = 0; step < 200000; step++) {
		unsigned i = fake_random() % OBJECTS;
		uint8_t fill = (uint8_t)(i % 255 + 1);

		if (!o[i].p) {
			o[i].size = 1 + fake_random() % (fake_random() % 32 ? 300 : 9000);
			o[i].owner = (domid_t)(fake_random() % 5);
			must(!heap_alloc(o[i].size, o[i].owner, (void **)&o[i].p));
			must(is_zero(o[i].p, o[i].size));
			memset(o[i].p, fill, o[i].size);
		} else {
			for (size_t b = 0; b < o[i].size; b++)
				must(o[i].p[b] == fill);
			heap_free(o[i].p);
			o[i].p = NULL;
		}
		if (step % 64 == 0)
			epoch_quiescent();
	}
	for (unsigned i = 0; i < OBJECTS; i++)
		heap_free(o[i].p);
	fake_quiesce();
	must(!pages_in_use() && !pahash_count());
	return true;
}

int main(void)
{
	plan(8);
	ok(fake_in_child(sizes), "every size is zero, aligned, and given back");
	ok(fake_in_child(owners), "objects of different owners share no page");
	ok(fake_in_child(wiped), "a freed object is wiped");
	ok(fake_in_child(pages_found), "a page of the heap and its owner can be asked for");
	ok(fake_in_child(our_bugs), "freeing what is no object panics");
	ok(fake_in_child(alloc_fails), "an allocation that fails at any step changes nothing");
	ok(fake_in_child(memory_ends), "memory ends, and comes back");
	ok(fake_in_child(random_model), "random use against a model");
	return tap_end();
}
