/* Frame allocator and sections of RAM, against fake RAM. */
/* sources: mm/frame.c mm/frame_buddy.c mm/frame_cache.c */
/* flags: -pthread */
/* sources: mm/section.c mm/epoch.c mm/pool.c tests/unit/fake_mm.c */
#include "domain.h"
#include "fake_mm.h"
#include "mm/epoch.h"
#include "mm/frame_free.h"
#include "mm/pool.h"
#include "public/errno.h"
#include "tap.h"
#include <pthread.h>
#include <sched.h>

#define MIB 0x100000ull
#define GIB 0x40000000ull

static paddr_t pa(uint64_t address)
{
	return make_paddr(address);
}

static mfn_t at(uint64_t address)
{
	return make_mfn(address >> PAGE_SHIFT);
}

/* --- the invariants --- */

static uint8_t *seen; /* free blocks that hold a frame */

static bool see_block(mfn_t first, unsigned order, void *ctx)
{
	uint64_t *total = ctx, size = 1ull << order;

	must(!(first.raw & (size - 1)));
	for (uint64_t f = first.raw; f < first.raw + size; f++) {
		must(!seen[f]++);
		must(frame_type(make_mfn(f)) == FRAME_FREE && !frame_refs(make_mfn(f)));
		must(!fake_reachable(make_mfn(f)));
	}
	*total += size;
	return true;
}

static bool see_unjoined(mfn_t first, unsigned order, void *ctx)
{
	mfn_t buddy = make_mfn(first.raw ^ (1ull << order));

	(void)ctx;
	if ((frame_info(first)->state & FRAME_ORDER_MASK) == FRAME_NOT_A_HEAD)
		return true; /* in a cache */
	if (order < FRAME_ORDER_MAX && frame_type(buddy) == FRAME_FREE)
		must((frame_info(buddy)->state & FRAME_ORDER_MASK) >> FRAME_ORDER_SHIFT != order);
	return true;
}

/* Free blocks do not overlap, buddies are joined, counters are what the table says. */
static bool consistent(void)
{
	struct frame_stats s;
	uint64_t limit = mfn_raw(frame_limit()), listed = 0, all = 0;
	uint64_t by_type[FRAME_TYPE_COUNT] = {0};

	frame_get_stats(&s);
	seen = calloc(limit, 1);
	must(frame_for_each_free_block(see_block, &listed));
	must(frame_for_each_free_block(see_unjoined, NULL));
	free(seen);
	for (uint64_t f = 0; f < limit; f++)
		by_type[frame_type(make_mfn(f))]++;
	for (unsigned t = FRAME_FREE; t < FRAME_TYPE_COUNT; t++) {
		must(by_type[t] == s.by_type[t]);
		all += by_type[t];
	}
	must(listed == by_type[FRAME_FREE]);
	must(s.free == listed + s.untouched);
	must(s.ram == all + s.untouched);
	return true;
}

/* 192 MiB with the image, a module that fills a section and more, and a hole. */
static int boot(void)
{
	fake_mm_init();
	frame_add_ram(pa(0), pa(0x9fc00));
	frame_add_ram(pa(MIB), pa(200 * MIB));
	frame_add_ram(pa(201 * MIB), pa(224 * MIB + 123));
	frame_reserve(pa(2 * MIB), pa(4 * MIB + 100), FRAME_IMAGE);
	frame_reserve(pa(60 * MIB), pa(150 * MIB + 5), FRAME_BOOT);
	frame_reserve(pa(0x8000), pa(0x9000), FRAME_BOOT);
	return frame_init();
}

static bool boot_types(void)
{
	must(!boot());
	must(frame_type(at(0x8000)) == FRAME_ABSENT && !frame_info(at(0x8000)));
	must(frame_type(at(2 * MIB)) == FRAME_IMAGE && frame_refs(at(2 * MIB)) == 1);
	must(frame_type(at(4 * MIB)) == FRAME_IMAGE);
	must(frame_type(at(30 * MIB)) == FRAME_FREE);
	must(frame_type(at(60 * MIB)) == FRAME_BOOT && frame_type(at(150 * MIB)) == FRAME_BOOT);
	must(frame_type(at(150 * MIB + 0x1000)) != FRAME_BOOT);
	must(frame_type(at(200 * MIB)) == FRAME_ABSENT && !frame_info(at(200 * MIB)));
	must(mfn_raw(frame_limit()) == 224 * MIB >> PAGE_SHIFT);
	must(frame_is_ram(at(223 * MIB)) && !frame_is_ram(at(200 * MIB)) &&
	     !frame_is_ram(at(224 * MIB)) && !frame_is_ram(MFN_INVALID) &&
	     !frame_is_ram(at(0x8000)));
	/* The last section holds nothing yet. */
	must(!frame_info(at(210 * MIB)));
	uint64_t hostile[] = {0, ~0ull, 1ull << 32, 0xffffffff, 1ull << 52, 1ull << 63, 0xfffffffe};
	for (unsigned i = 0; i < sizeof(hostile) / 8; i++) {
		mfn_t f = make_mfn(hostile[i]);
		must(!frame_info(f) && frame_type(f) == FRAME_ABSENT && !frame_refs(f) &&
		     !frame_owner(f));
		must(frame_get(f, 0, FRAME_IMAGE) == -XEN_EINVAL);
	}
	/* What frame_info() must not read is not mapped, the rest is one page of zeros. */
	must(!fake_mapped_pages(LAYOUT_FRAME_TABLE + (192 * MIB >> 12) * 16,
				LAYOUT_FRAME_TABLE + LAYOUT_SLOT_SIZE));
	return consistent();
}

static bool release(void)
{
	struct frame_stats before, after;

	must(!boot());
	frame_get_stats(&before);
	fake_ram_fill(at(100 * MIB), 0xaa);
	frame_release_reserved(pa(60 * MIB), pa(150 * MIB + 5));
	frame_get_stats(&after);
	must(after.free == before.free + 90 * 256 + 1 && !after.by_type[FRAME_BOOT]);
	must(consistent());
	/* All of it scrubbed before it is given out. */
	mfn_t f;
	for (unsigned order = 0; order <= FRAME_ORDER_MAX;)
		if (frame_alloc(order, 1, FRAME_GUEST_RAM, &f))
			order++;
		else
			must(fake_ram_is(f, 0));
	must(fake_ram_is(at(100 * MIB), 0) && frame_type(at(100 * MIB)) == FRAME_GUEST_RAM);
	must(panics(frame_release_reserved(pa(60 * MIB), pa(61 * MIB))));
	must(panics(frame_release_reserved(pa(2 * MIB), pa(3 * MIB))));
	frame_release_reserved(pa(0x8000), pa(0x9000));
	return true;
}

/* Two ranges that share a page: it is free when both are. */
static bool release_shared_page(void)
{
	fake_mm_init();
	frame_add_ram(pa(MIB), pa(64 * MIB));
	frame_reserve(pa(8 * MIB), pa(9 * MIB + 10), FRAME_BOOT);
	frame_reserve(pa(9 * MIB + 20), pa(10 * MIB), FRAME_BOOT);
	must(!frame_init());
	frame_release_reserved(pa(8 * MIB), pa(9 * MIB + 10));
	must(frame_type(at(8 * MIB)) == FRAME_FREE && frame_type(at(9 * MIB)) == FRAME_BOOT);
	frame_release_reserved(pa(9 * MIB + 20), pa(10 * MIB));
	must(frame_type(at(9 * MIB)) == FRAME_FREE);
	return consistent();
}

/* A terabyte costs what is used of it. */
static bool terabyte(void)
{
	mfn_t f;

	fake_mm_init();
	frame_add_ram(pa(MIB), pa(3 * GIB));
	frame_add_ram(pa(4 * GIB), pa(1028 * GIB));
	frame_reserve(pa(2 * MIB), pa(4 * MIB), FRAME_IMAGE);
	must(!frame_init());
	must(fake_map_calls == 64);
	must(!pool_init());
	for (uint64_t n = 0; n < 64 * 256; n++)
		must(!frame_alloc(0, 1, FRAME_GUEST_RAM, &f));
	must(fake_map_calls == 2 * 64 + 1);
	struct frame_stats s;
	frame_get_stats(&s);
	must(s.ram == ((1024 * GIB + 3 * GIB - MIB) >> 12));
	must(s.untouched == s.ram - 2 * FRAME_SECTION_FRAMES + 256);
	/* 2^13 is what a section can give. */
	must(!frame_alloc(13, 1, FRAME_GUEST_RAM, &f));
	uint64_t calls = fake_map_calls;
	must(frame_alloc(14, 1, FRAME_GUEST_RAM, &f) == -XEN_ENOMEM && fake_map_calls == calls);
	must(frame_alloc(15, 1, FRAME_GUEST_RAM, &f) == -XEN_EINVAL);
	must(frame_alloc(0, 1, FRAME_FREE, &f) == -XEN_EINVAL);
	must(frame_alloc(0, 1, FRAME_ABSENT, &f) == -XEN_EINVAL);
	return true;
}

/* The highest address that counts. */
static bool high_memory(void)
{
	mfn_t f;

	fake_mm_init();
	frame_add_ram(pa(LAYOUT_PHYS_LIMIT - 80 * MIB), pa(LAYOUT_PHYS_LIMIT + 80 * MIB));
	must(!frame_init());
	must(mfn_raw(frame_limit()) == 0xffffffff);
	uint64_t count = 0;
	while (!frame_alloc(0, 1, FRAME_GUEST_RAM, &f))
		must(mfn_raw(f) < 0xffffffff && ++count);
	must(count == 80 * 256 - 1 - 64 - 16 - 1);
	return true;
}

/* RAM in crumbs, overlapping and out of order, some smaller than their part of the table. */
static bool crumbs(void)
{
	fake_mm_init();
	frame_add_ram(pa(70 * MIB), pa(71 * MIB));
	frame_add_ram(pa(10 * MIB), pa(11 * MIB));
	frame_add_ram(pa(10 * MIB + 0x1800), pa(10 * MIB + 0x2000)); /* no whole page */
	frame_add_ram(pa(130 * MIB), pa(130 * MIB + 0x1000));
	frame_add_ram(pa(200 * MIB), pa(200 * MIB + 0x3000));
	frame_add_ram(pa(190 * MIB), pa(190 * MIB));
	frame_add_ram(pa(70 * MIB + 0x80000), pa(72 * MIB));
	frame_reserve(pa(300 * MIB), pa(301 * MIB), FRAME_BOOT); /* full, and not in the map */
	must(!frame_init());
	must(frame_type(at(300 * MIB)) == FRAME_BOOT);
	mfn_t f;
	uint64_t count = 0;
	while (!frame_alloc(0, 1, FRAME_GUEST_RAM, &f))
		count++;
	/* Parts: 1 page each, 2 at 70 MiB, 1 for the reserved one, and the page of zeros. The crumb
	 * of one page is its own part. */
	must(count == 256 - 1 + 512 - 2 + 1 - 1 + 3 - 1 - 1 - 1);
	struct frame_stats s;
	frame_get_stats(&s);
	must(!s.free && !s.untouched);
	return consistent();
}

static bool scraps(void)
{
	fake_mm_init();
	frame_add_ram(pa(10 * MIB), pa(11 * MIB));
	/* Two frames in three parts of the table: not worth anything. */
	frame_add_ram(pa(65 * MIB - 0x1000), pa(65 * MIB + 0x1000));
	must(!frame_init());
	mfn_t f;
	while (!frame_alloc(0, 1, FRAME_GUEST_RAM, &f))
		must(mfn_raw(f) < mfn_raw(at(64 * MIB)));
	struct frame_stats s;
	frame_get_stats(&s);
	must(s.free == 0 && s.ram == s.by_type[FRAME_GUEST_RAM] + s.by_type[FRAME_FRAME_TABLE]);
	return consistent();
}

static bool no_ram(void)
{
	fake_mm_init();
	frame_add_ram(pa(0), pa(MIB));
	must(frame_init() == -XEN_ENOMEM);
	return true;
}

static bool no_tables_at_boot(void)
{
	fake_mm_init();
	fake_boot_tables = 2;
	frame_add_ram(pa(MIB), pa(64 * MIB));
	must(frame_init() == -XEN_ENOMEM);
	return true;
}

/* Touching a section fails at each of its steps: nothing has changed, and later it works. */
static bool touch_fails(void)
{
	struct frame_stats before, after;
	mfn_t f;

	must(!boot());
	fake_uses_tables = false;
	for (;;) {
		frame_get_stats(&before);
		if (before.free == before.untouched)
			break;
		must(!frame_alloc(0, 1, FRAME_GUEST_RAM, &f));
	}
	for (int64_t step = 0; step < 64; step++) {
		fake_map_fail_at = step;
		must(frame_alloc(0, 1, FRAME_GUEST_RAM, &f) == -XEN_ENOMEM);
		frame_get_stats(&after);
		must(!memcmp(&before, &after, sizeof(before)));
		must(!frame_info(at(210 * MIB)));
	}
	fake_map_fail_at = 64;
	must(!frame_alloc(0, 1, FRAME_GUEST_RAM, &f));
	fake_map_fail_at = -1;
	must(frame_info(at(210 * MIB)));
	return consistent();
}

static bool references(void)
{
	mfn_t f;

	must(!boot());
	fake_cpu_online(0);
	must(!frame_alloc(0, 7, FRAME_GUEST_RAM, &f));
	must(frame_owner(f) == 7 && frame_type(f) == FRAME_GUEST_RAM && frame_refs(f) == 1);
	must(frame_get(f, 8, FRAME_GUEST_RAM) == -XEN_EINVAL);
	must(frame_get(f, 7, FRAME_GUEST_SHARED) == -XEN_EINVAL);
	must(!frame_get(f, 7, FRAME_GUEST_RAM) && frame_refs(f) == 2);
	must(panics(frame_free(f, 0)) && frame_refs(f) == 2);
	frame_put(f);
	must(frame_refs(f) == 1);
	/* Overflow is an error. */
	uint64_t state = frame_info(f)->state;
	frame_info(f)->state = (state & ~FRAME_REF_MASK) | (FRAME_REF_MAX - 1);
	must(!frame_get(f, 7, FRAME_GUEST_RAM) && frame_refs(f) == FRAME_REF_MAX);
	must(frame_get(f, 7, FRAME_GUEST_RAM) == -XEN_EBUSY && frame_refs(f) == FRAME_REF_MAX);
	must(frame_get(f, 8, FRAME_GUEST_RAM) == -XEN_EINVAL);
	frame_info(f)->state = state;
	/* The last reference: refused from now on, free after the epoch. */
	frame_put(f);
	must(frame_get(f, 7, FRAME_GUEST_RAM) == -XEN_EINVAL);
	must(frame_type(f) == FRAME_GUEST_RAM && epoch_pending());
	must(panics(frame_put(f)));
	frame_info(f)->state = state | FRAME_DIRTY;
	fake_quiesce();
	must(frame_type(f) == FRAME_FREE && frame_get(f, 0, FRAME_FREE) == -XEN_EINVAL);
	return consistent();
}

static bool our_bugs(void)
{
	mfn_t f, g;

	must(!boot());
	must(!frame_alloc(2, 7, FRAME_GUEST_RAM, &f));
	must(panics(frame_free(mfn_add(f, 1), 1)));
	must(panics(frame_free(MFN_INVALID, 0)));
	must(panics(frame_free(at(200 * MIB), 0)));
	must(panics(frame_free(f, 20)));
	frame_free(f, 2);
	must(panics(frame_free(f, 2)));
	must(!frame_alloc(1, 7, FRAME_GUEST_RAM, &f));
	must(!frame_alloc(1, 8, FRAME_GUEST_RAM, &g));
	/* Larger than was taken: the neighbour's frames are another's, or free. */
	must(panics(frame_free(f, 2)));
	return true;
}

static bool parts_of_a_block(void)
{
	struct frame_stats before, after;
	mfn_t f;

	must(!boot());
	frame_get_stats(&before);
	must(!frame_alloc(9, 7, FRAME_GUEST_RAM, &f));
	for (uint64_t i = 0; i < 512; i++)
		frame_free(mfn_add(f, i * 5 % 512), 0);
	frame_get_stats(&after);
	must(!memcmp(&before, &after, sizeof(before)));
	return consistent();
}

/* Random allocating, filling, freeing, taking and dropping references. */
static bool random_model(void)
{
	enum { SLOTS = 512 };
	static struct {
		mfn_t first;
		unsigned order;
		uint8_t fill;
		unsigned extra;
	} slots[SLOTS];
	struct frame_stats start, end;

	fake_random_seed(1);
	must(!boot());
	must(!pool_init());
	fake_cpu_online(0);
	fake_cpu_online(1);
	frame_release_reserved(pa(60 * MIB), pa(150 * MIB + 5));
	frame_get_stats(&start);
	for (unsigned step = 0; step < 60000; step++) {
		unsigned i = fake_random() % SLOTS, what = fake_random() % 8;
		domid_t owner = (domid_t)(i % 5);

		if (!slots[i].fill) {
			unsigned order = fake_random() % 7 ? fake_random() % 4 : fake_random() % 13;
			mfn_t f;
			if (frame_alloc(order, owner, FRAME_GUEST_RAM, &f))
				continue;
			for (uint64_t n = 0; n < 1ull << order; n++) {
				mfn_t g = mfn_add(f, n);
				must(frame_refs(g) == 1 && frame_owner(g) == owner);
			}
			must(fake_ram_is(f, 0) && fake_ram_is(mfn_add(f, (1ull << order) - 1), 0));
			slots[i].first = f;
			slots[i].order = order;
			slots[i].fill = (uint8_t)(1 + step % 255);
			fake_ram_fill(f, slots[i].fill);
		} else if (what < 2) {
			must(!frame_get(slots[i].first, owner, FRAME_GUEST_RAM));
			slots[i].extra++;
		} else if (slots[i].extra) {
			frame_put(slots[i].first);
			slots[i].extra--;
		} else if (what < 6) {
			must(fake_ram_is(slots[i].first, slots[i].fill));
			fake_cpu_be(step & 1);
			if (what < 4)
				frame_free(slots[i].first, slots[i].order);
			else if (slots[i].order)
				epoch_free_frames(slots[i].first, slots[i].order);
			else
				frame_put(slots[i].first);
			slots[i].fill = 0;
		} else if (what == 6 && step % 64 == 0) {
			fake_cpu_be((uint32_t)fake_random() & 1);
			epoch_quiescent();
		}
		if (step % 10000 == 0)
			must(consistent());
	}
	for (unsigned i = 0; i < SLOTS; i++) {
		if (!slots[i].fill)
			continue;
		while (slots[i].extra--)
			frame_put(slots[i].first);
		frame_free(slots[i].first, slots[i].order);
	}
	fake_quiesce();
	must(consistent());
	frame_get_stats(&end);
	must(end.by_type[FRAME_GUEST_RAM] == 0);
	must(end.ram == end.free + end.by_type[FRAME_IMAGE] + end.by_type[FRAME_TABLE] +
			    end.by_type[FRAME_FRAME_TABLE]);
	return true;
}

/* Each way of giving a frame up is counted once, and frames of other types or owners are not. */
static bool owned(void)
{
	mfn_t block, single, other, table;

	must(!boot());
	must(!frame_owned(7) && !frame_owned(DOMAINS_MAX + 1));
	must(!frame_alloc(4, 7, FRAME_GUEST_RAM, &block) &&
	     !frame_alloc(0, 7, FRAME_GUEST_RAM, &single) &&
	     !frame_alloc(0, 8, FRAME_GUEST_RAM, &other) && !frame_alloc(0, 7, FRAME_VCPU, &table));
	must(frame_owned(7) == 17 && frame_owned(8) == 1);
	must(!frame_get(single, 7, FRAME_GUEST_RAM));
	frame_put(single);
	must(frame_owned(7) == 17);
	frame_put(single);
	must(frame_owned(7) == 16); /* at once, although it waits for its epoch */
	frame_free(block, 2);
	must(frame_owned(7) == 12);
	must(frame_going(7) == 1);
	epoch_free_frames(mfn_add(block, 4), 2);
	must(frame_owned(7) == 8 && frame_going(7) == 5);
	frame_put_run(mfn_add(block, 8), 4);
	frame_put_pages((mfn_t[]){mfn_add(block, 12)}, 1);
	must(frame_owned(7) == 3 && frame_going(7) == 10);
	while (epoch_pending())
		epoch_quiescent();
	must(frame_owned(7) == 3 && frame_owned(8) == 1 && !frame_going(7));
	frame_free(table, 0);
	must(frame_owned(7) == 3 && !frame_going(7));
	return true;
}

static uint64_t take_all(void)
{
	mfn_t f;
	uint64_t count = 0;

	while (!frame_alloc(0, 1, FRAME_GUEST_RAM, &f))
		count++;
	return count;
}

/* What lies in the cache of one CPU is there for another one, single frames and blocks. */
static bool caches(void)
{
	enum { COUNT = 100 };
	struct frame_stats before, after;
	mfn_t frames[COUNT], block;

	must(!boot());
	frame_get_stats(&before);
	fake_cpu_be(1);
	must(frame_alloc_pages(COUNT, 7, FRAME_GUEST_RAM, frames) == COUNT &&
	     frame_owned(7) == COUNT);
	for (unsigned i = 1; i < COUNT; i++)
		must(frames[i].raw != frames[i - 1].raw);
	for (unsigned i = 0; i < COUNT; i++)
		frame_free(frames[i], 0);
	frame_get_stats(&after);
	must(!memcmp(&before, &after, sizeof(before)) && consistent());
	fake_cpu_be(0);
	must(take_all() > before.free - 64); /* but for a part of the table */
	frame_get_stats(&after);
	must(!after.free && consistent());
	/* A whole block in parts, in the caches of two CPUs. */
	for (uint64_t f = 0; f < 512; f++) {
		fake_cpu_be(f & 1);
		frame_free(mfn_add(at(30 * MIB), f), 0);
	}
	fake_cpu_be(2);
	must(!frame_alloc(9, 7, FRAME_GUEST_RAM, &block) && block.raw == at(30 * MIB).raw);
	must(frame_alloc_pages(1, 7, FRAME_GUEST_RAM, frames) == 0);
	return consistent();
}

/* Scrubbed ahead: not again when it is allocated; and never seen as it was. */
static bool scrub_ahead(void)
{
	mfn_t frames[4], again[4];

	must(!boot());
	must(frame_alloc_pages(4, 7, FRAME_GUEST_RAM, frames) == 4);
	while (frame_scrub_ahead())
		; /* what came along with them */
	must(!frame_scrub_ahead());
	for (unsigned i = 0; i < 4; i++) {
		fake_ram_fill(frames[i], 0xaa);
		frame_free(frames[i], 0);
	}
	must(frame_scrub_ahead() && frame_scrub_ahead() && consistent());
	must(fake_ram_is(frames[2], 0) && fake_ram_is(frames[3], 0) &&
	     fake_ram_is(frames[0], 0xaa));
	uint64_t scrubbed = fake_scrubbed_frames;
	must(frame_alloc_pages(2, 8, FRAME_GUEST_RAM, again) == 2);
	must(fake_scrubbed_frames == scrubbed && fake_ram_is(again[0], 0));
	/* Back to the buddy, by way of shortage, it counts as unscrubbed. */
	fake_cpu_be(1);
	take_all();
	must(fake_ram_is(frames[0], 0) && fake_ram_is(frames[1], 0));
	return consistent();
}

/* One frame at a time, for a domain that may have so many; from whichever list there is. */
static bool one_of_ram(void)
{
	struct frame_stats before, after;
	mfn_t a, b, c;

	must(!boot());
	frame_get_stats(&before);
	a = frame_alloc_ram(7, 3); /* from the buddy, by way of the cache */
	b = frame_alloc_ram(7, 3);
	must(frame_owner(a) == 7 && frame_type(b) == FRAME_GUEST_RAM && frame_refs(b) == 1);
	fake_ram_fill(a, 0xaa);
	frame_free(a, 0);
	must(frame_owned(7) == 1);
	c = frame_alloc_ram(7, 3); /* not known to be clean */
	must(c.raw == a.raw && fake_ram_is(c, 0) && consistent());
	while (frame_scrub_ahead())
		;
	uint64_t scrubbed = fake_scrubbed_frames;
	a = frame_alloc_ram(7, 3);
	must(a.raw != MFN_INVALID.raw && fake_scrubbed_frames == scrubbed && frame_owned(7) == 3);
	must(frame_alloc_ram(7, 3).raw == MFN_INVALID.raw && frame_owned(7) == 3);
	must(frame_owner(a) == 7 && consistent());
	frame_get_stats(&after);
	must(after.by_type[FRAME_GUEST_RAM] == before.by_type[FRAME_GUEST_RAM] + 3);
	frame_free(a, 0);
	frame_free(b, 0);
	frame_free(c, 0);
	frame_get_stats(&after);
	must(!memcmp(&before, &after, sizeof(before)) && !frame_owned(7));
	/* From another CPU's cache, and at last from nowhere. */
	fake_cpu_be(1);
	for (take_all(); frame_alloc_ram(7, UINT64_MAX).raw != MFN_INVALID.raw;)
		;
	must(!frame_owned(7));
	fake_cpu_be(0);
	frame_free(at(30 * MIB), 0);
	fake_cpu_be(1);
	must(frame_alloc_ram(7, 1).raw == at(30 * MIB).raw && frame_owned(7) == 1);
	must(frame_alloc_ram(8, 1).raw == MFN_INVALID.raw && !frame_owned(8));
	return consistent();
}

static _Atomic bool other_begun;
static pthread_t other;
static int other_rc;

static void *other_cpu(void *arg)
{
	mfn_t f;

	(void)arg;
	fake_cpu_be(1);
	atomic_store(&other_begun, true);
	other_rc = frame_alloc(0, 2, FRAME_GUEST_RAM, &f);
	return NULL;
}

/* In the middle of touching the last section. */
static void begin_other(void)
{
	fake_map_hook = NULL;
	if (pthread_create(&other, NULL, other_cpu, NULL))
		abort();
	while (!atomic_load(&other_begun))
		sched_yield();
	for (unsigned i = 0; i < 1000; i++)
		sched_yield();
}

/* While one CPU prepares the last section, another one is not told that there is no memory. */
static bool last_section(void)
{
	struct frame_stats s;
	mfn_t f;

	must(!boot());
	fake_uses_tables = false;
	for (frame_get_stats(&s); s.free != s.untouched; frame_get_stats(&s))
		must(!frame_alloc(0, 1, FRAME_GUEST_RAM, &f));
	must(s.untouched);
	fake_map_hook = begin_other;
	must(!frame_alloc(0, 1, FRAME_GUEST_RAM, &f));
	must(!pthread_join(other, NULL) && !other_rc);
	return consistent();
}

/* The last references to a run go: what is aligned is freed as a whole, the rest in pieces. */
static bool runs(void)
{
	struct frame_stats before, after;
	mfn_t f;

	must(!boot());
	fake_cpu_online(0);
	frame_get_stats(&before);
	must(!frame_alloc(9, 7, FRAME_GUEST_RAM, &f));
	frame_put_run(f, 512);
	must(!frame_owned(7) &&
	     frame_info(f)->state >> FRAME_ORDER_SHIFT == (FRAME_GUEST_RAM << 6 | 9));
	fake_quiesce();
	must(consistent());
	must(!frame_alloc(9, 7, FRAME_GUEST_RAM, &f));
	must(!frame_get(mfn_add(f, 100), 7, FRAME_GUEST_RAM));
	frame_put_run(mfn_add(f, 3), 509);
	must(frame_owned(7) == 4 && panics(frame_put_run(mfn_add(f, 3), 1)));
	frame_info(mfn_add(f, 3))->state++;
	fake_quiesce();
	frame_put_run(f, 3);
	frame_put(mfn_add(f, 100));
	fake_quiesce();
	frame_get_stats(&after);
	must(!memcmp(&before, &after, sizeof(before)));
	return consistent();
}

/* So do those to frames here and there, of several owners; what is referenced stays. */
static bool scattered(void)
{
	struct frame_stats before, after;
	mfn_t some[7];

	must(!boot());
	fake_cpu_online(0);
	frame_get_stats(&before);
	must(frame_alloc_pages(3, 7, FRAME_GUEST_RAM, some) == 3);
	must(frame_alloc_pages(2, 8, FRAME_GUEST_RAM, some + 3) == 2);
	must(frame_alloc_pages(1, 7, FRAME_VCPU, some + 5) == 1);
	must(frame_alloc_pages(1, 7, FRAME_GUEST_RAM, some + 6) == 1);
	must(!frame_get(some[1], 7, FRAME_GUEST_RAM));
	frame_put_pages(some, 7);
	must(frame_owned(7) == 1 && !frame_owned(8));
	must(frame_get(some[0], 7, FRAME_GUEST_RAM) == -XEN_EINVAL);
	must(panics(frame_put_pages(some, 1)));
	frame_info(some[0])->state++;
	must(!frame_get(some[1], 7, FRAME_GUEST_RAM));
	frame_put_pages(some + 1, 1);
	frame_put_pages(some + 1, 1);
	frame_put_pages(some, 0);
	fake_quiesce();
	must(!frame_owned(7));
	frame_get_stats(&after);
	must(!memcmp(&before, &after, sizeof(before)));
	return consistent();
}

int main(void)
{
	plan(21);
	ok(fake_in_child(caches), "what lies in a CPU's cache is there for all");
	ok(fake_in_child(scrub_ahead), "frames scrubbed ahead");
	ok(fake_in_child(one_of_ram), "one frame of guest RAM at a time");
	ok(fake_in_child(last_section), "no CPU misses memory that another one prepares");
	ok(fake_in_child(runs), "runs of frames are given up as blocks");
	ok(fake_in_child(scattered), "frames here and there, too");
	ok(fake_in_child(owned), "frames of guest RAM are counted by owner");
	ok(fake_in_child(boot_types), "boot: each frame has the type that was declared");
	ok(fake_in_child(release), "reserved frames are given back, and scrubbed");
	ok(fake_in_child(release_shared_page), "a page reserved twice is free when released twice");
	ok(fake_in_child(terabyte), "a terabyte of RAM costs what is used of it");
	ok(fake_in_child(high_memory), "RAM at the highest address");
	ok(fake_in_child(crumbs), "RAM in crumbs");
	ok(fake_in_child(scraps), "RAM smaller than its part of the table is left out");
	ok(fake_in_child(no_ram), "no RAM is an error");
	ok(fake_in_child(no_tables_at_boot), "no page tables at boot is an error");
	ok(fake_in_child(touch_fails), "a section that cannot be touched changes nothing");
	ok(fake_in_child(references), "references: owner, type, overflow, the last one");
	ok(fake_in_child(our_bugs), "freeing what cannot be freed panics");
	ok(fake_in_child(parts_of_a_block), "a block may be freed in parts");
	ok(fake_in_child(random_model), "random use against a model");
	return tap_end();
}
