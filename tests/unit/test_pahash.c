/* PA->VA hash against a reference model, growth, failing allocations, chosen keys. Threads:
 * test_pahash_threads.c. */
/* sources: mm/frame.c mm/frame_buddy.c mm/frame_cache.c */
/* sources: mm/pahash.c mm/section.c mm/epoch.c mm/pool.c tests/unit/fake_mm.c */
#include "fake_mm.h"
#include "mm/epoch.h"
#include "mm/pahash.h"
#include "mm/pool.h"
#include "public/errno.h"
#include "tap.h"

#define MIB    0x100000ull
#define FRAMES (1u << 17)

static bool boot(uint64_t key)
{
	fake_mm_init();
	frame_add_ram(make_paddr(MIB), make_paddr(256 * MIB));
	must(!frame_init());
	must(!pool_init());
	must(!pahash_init(key));
	fake_cpu_online(0);
	return true;
}

static uint64_t some_va(uint64_t frame)
{
	return LAYOUT_VMAP +
	       (frame * 0x9e3779b1ull % (LAYOUT_VMAP_AREAS_SIZE / PAGE_SIZE)) * PAGE_SIZE;
}

static bool enter(uint64_t frame)
{
	return !pahash_insert(make_mfn(frame), some_va(frame));
}

static bool basics(void)
{
	must(boot(1));
	must(!pahash_lookup(make_mfn(5)) && !pahash_lookup(make_mfn(0)) &&
	     !pahash_lookup(MFN_INVALID) && !pahash_lookup(make_mfn(0xffffffff)));
	must(!pahash_insert(make_mfn(5), LAYOUT_VMAP));
	must(pahash_lookup(make_mfn(5)) == LAYOUT_VMAP && pahash_count() == 1);
	must(!pahash_lookup(make_mfn(5 + (1ull << 32))) &&
	     !pahash_lookup(make_mfn(5 + (1ull << 40))));
	must(pahash_insert(make_mfn(5), LAYOUT_VMAP + PAGE_SIZE) == -XEN_EEXIST);
	must(pahash_lookup(make_mfn(5)) == LAYOUT_VMAP && pahash_count() == 1);
	must(pahash_insert(make_mfn(6), LAYOUT_VMAP + 8) == -XEN_EINVAL);
	must(pahash_insert(make_mfn(0), LAYOUT_VMAP) == -XEN_EINVAL);
	must(pahash_insert(make_mfn(1ull << 32), LAYOUT_VMAP) == -XEN_EINVAL);
	must(pahash_insert(make_mfn(6), LAYOUT_BASE - PAGE_SIZE) == -XEN_EINVAL);
	must(pahash_insert(make_mfn(6), LAYOUT_BASE + (1ull << 44)) == -XEN_EINVAL);
	/* The ends of what a word can hold. */
	must(pahash_insert(make_mfn(0xffffffff), LAYOUT_BASE) == -XEN_EINVAL);
	must(!pahash_insert(make_mfn(0xffffffff), LAYOUT_BASE + PAGE_SIZE));
	must(!pahash_insert(make_mfn(0xfffffffe), LAYOUT_BASE + (1ull << 44) - PAGE_SIZE));
	must(pahash_lookup(make_mfn(0xffffffff)) == LAYOUT_BASE + PAGE_SIZE);
	must(pahash_lookup(make_mfn(0xfffffffe)) == LAYOUT_BASE + (1ull << 44) - PAGE_SIZE);
	pahash_remove(make_mfn(5));
	pahash_remove(make_mfn(5));
	pahash_remove(make_mfn(0));
	pahash_remove(MFN_INVALID);
	must(!pahash_lookup(make_mfn(5)) && pahash_count() == 2);
	return true;
}

/* Millions of random operations; the table grows in between and stale ones are freed. */
static bool random_model(void)
{
	static uint64_t model[FRAMES];
	uint64_t count = 0, refused = 0;

	fake_random_seed(3);
	must(boot(fake_random()));
	for (uint64_t step = 0; step < 3000000; step++) {
		/* The share of frames that are in waxes and wanes. */
		bool growing = step / 500000 % 2 == 0;
		uint64_t r = fake_random(), frame = 1 + (r >> 8) % (FRAMES - 1);
		unsigned what = r & 7;

		if (what < (growing ? 4u : 1u)) {
			int rc = pahash_insert(make_mfn(frame), some_va(frame + step));
			must(rc == -XEN_ENOMEM || rc == (model[frame] ? -XEN_EEXIST : 0));
			refused += rc == -XEN_ENOMEM;
			count += !rc;
			if (!rc)
				model[frame] = some_va(frame + step);
		} else if (what < 5) {
			pahash_remove(make_mfn(frame));
			count -= model[frame] != 0;
			model[frame] = 0;
		} else {
			must(pahash_lookup(make_mfn(frame)) == model[frame]);
		}
		if (step % 1000 == 0)
			epoch_quiescent();
		must(pahash_count() == count);
	}
	for (uint64_t frame = 0; frame < FRAMES; frame++)
		must(pahash_lookup(make_mfn(frame)) == model[frame]);
	diag("%" PRIu64 " entered at the end, %" PRIu64 " refused", count, refused);
	must(refused == 0);
	/* One table is left; all other pages came back. */
	fake_quiesce();
	struct frame_stats s;
	frame_get_stats(&s);
	must(s.by_type[FRAME_VMAP] ==
	     fake_mapped_pages(LAYOUT_META_PAHASH, LAYOUT_META_PAHASH + 4 * LAYOUT_META_STRIDE));
	return true;
}

/* Frames that collide under one key do not under another: runs, strides, one bucket's worth. */
static bool chosen_frames(void)
{
	static const uint64_t strides[] = {1,	     2,	       64,	 512,	4096,
					   1u << 15, 1u << 16, 1u << 18, 262145};

	must(boot(99));
	for (unsigned i = 0; i < sizeof(strides) / 8; i++) {
		uint64_t n = 0;

		for (uint64_t f = strides[i]; f < 1ull << 32 && n < 16000; f += strides[i], n++)
			must(!pahash_insert(make_mfn(f), some_va(f)));
		for (uint64_t f = strides[i], k = 0; k < n; f += strides[i], k++)
			must(pahash_lookup(make_mfn(f)) == some_va(f));
		for (uint64_t f = strides[i], k = 0; k < n; f += strides[i], k++)
			pahash_remove(make_mfn(f));
		must(pahash_count() == 0);
		fake_quiesce();
	}
	return true;
}

static uint64_t one_seed;

/* However the keys turn out, a table that is an eighth full takes another without growing; one that
 * can grow refuses nobody, and does not grow too far. */
static bool one_key(void)
{
	uint64_t n = 0;

	must(boot(one_seed));
	fake_random_seed(one_seed);
	uint64_t base = fake_random(), stride = one_seed % 2 ? 1 : 1ull << (fake_random() % 20);
	for (uint64_t f = base; n < 2000; n++, f += stride) {
		fake_map_fail_at = n < 512 / 8 ? -2 : -1;
		must(enter(1 + f % 0xfffffffe));
	}
	fake_quiesce();
	must(fake_mapped_pages(LAYOUT_META_PAHASH, LAYOUT_META_PAHASH + 4 * LAYOUT_META_STRIDE) <=
	     17);
	return true;
}

/* With no memory to grow, the table fills until an insertion is refused. */
static bool refused_when_full(void)
{
	uint64_t n = 1;

	must(boot(4));
	fake_map_fail_at = -2;
	while (enter(n))
		n++;
	diag("refused at %" PRIu64 " of 512", n);
	must(n > 150 && n <= 512 + 1);
	must(!pahash_lookup(make_mfn(n)) && pahash_count() == n - 1);
	for (uint64_t f = 1; f < n; f++)
		must(pahash_lookup(make_mfn(f)) == some_va(f));
	fake_map_fail_at = -1;
	must(enter(n));
	/* Many in one go: it grows again and again without an epoch in between. */
	for (uint64_t f = n + 1; f < 20000; f++)
		must(enter(f));
	return true;
}

/* Growth fails at each of its calls: entries stay, nothing is lost, and later it works. */
static bool growth_fails(void)
{
	struct frame_stats before, after;

	must(boot(5));
	fake_uses_tables = false;
	uint64_t n = 1;
	while (pahash_count() * 2 < 512)
		must(enter(n++));
	uint64_t pages =
	    fake_mapped_pages(LAYOUT_META_PAHASH, LAYOUT_META_PAHASH + 4 * LAYOUT_META_STRIDE);
	must(pages == 2);
	frame_get_stats(&before);
	for (int64_t step = 0; step < 3; step++) {
		fake_map_fail_at = step;
		must(enter(n++));
		must(fake_map_fail_at == -1);
		fake_quiesce();
		frame_get_stats(&after);
		must(!memcmp(&before, &after, sizeof(before)));
		must(fake_mapped_pages(LAYOUT_META_PAHASH,
				       LAYOUT_META_PAHASH + 4 * LAYOUT_META_STRIDE) == pages);
	}
	must(enter(n++));
	fake_quiesce();
	must(fake_mapped_pages(LAYOUT_META_PAHASH, LAYOUT_META_PAHASH + 4 * LAYOUT_META_STRIDE) ==
	     3);
	for (uint64_t f = 1; f < n; f++)
		must(pahash_lookup(make_mfn(f)) == some_va(f));
	return true;
}

static bool no_memory_at_boot(void)
{
	fake_mm_init();
	frame_add_ram(make_paddr(MIB), make_paddr(256 * MIB));
	must(!frame_init());
	must(!pool_init());
	struct frame_stats before, after;
	frame_get_stats(&before);
	fake_map_fail_at = 1;
	must(pahash_init(1) == -XEN_ENOMEM);
	fake_quiesce();
	frame_get_stats(&after);
	must(before.by_type[FRAME_VMAP] == after.by_type[FRAME_VMAP] || epoch_pending());
	return true;
}

int main(void)
{
	plan(7);
	ok(fake_in_child(basics), "enter, look up, forget; the ends of the ranges");
	ok(fake_in_child(random_model), "millions of random operations against a model");
	ok(fake_in_child(chosen_frames), "runs and strides of frames");
	bool good = true;
	for (one_seed = 100; one_seed < 200; one_seed++)
		good = fake_in_child(one_key) && good;
	ok(good, "runs and strides under many keys");
	ok(fake_in_child(refused_when_full), "a full table refuses and changes nothing");
	ok(fake_in_child(growth_fails), "growth that fails at any call loses nothing");
	ok(fake_in_child(no_memory_at_boot), "no memory at boot is an error");
	return tap_end();
}
