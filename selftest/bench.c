/*
 * What the hypervisor's own operations cost. Bench builds only (CONFIG_BENCH): `make bench`.
 *
 * State: none but what an operation under measurement changes, and gives back. Boot CPU, after the
 * guests are built and before the first runs.
 *
 * One sample is the difference of two readings of the time-stamp counter around one operation, from
 * call to return, less that around nothing; where that counter counts instructions (Bochs), so does
 * the sample. A line per operation:
 *
 *	bench: NAME samples=N mean=A.BCD max=M
 *
 * Around one more run stand two magic breakpoints (xchg bx, bx: does nothing), announced by
 * `trace: NAME`, between which a debugger can list every instruction executed. With bench=load on
 * the command line follow lines `load: NAME entries=N mean=A.BCD max=M`: the same against load.
 */
#ifdef CONFIG_BENCH
#include "selftest/bench.h"
#include "cpu.h"
#include "domain.h"
#include "layout.h"
#include "mm/direct_map.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/pahash.h"
#include "mm/window.h"
#include "mm/window_cache.h"
#include "p2m.h"
#include "print.h"
#include "selftest/ept_view.h"
#include "vcpu.h"

#define SAMPLES	     2000u
#define BENCH_DOMAIN ((domid_t)1)
#define LOAD_SAMPLES 512u
#define LOAD_MAX     1000000u

/* Frame numbers that no machine here has; they are entered and looked up, and never mapped. */
#define FIRST_FICTION  0x40000000ull
#define HASH_WORDS_MAX 32768u

struct samples {
	uint64_t count, sum, max, min;
};

static uint64_t overhead; /* of an empty sample */

static void add(struct samples *s, uint64_t cost)
{
	cost = cost > overhead ? cost - overhead : 0;
	if (!s->count || cost < s->min)
		s->min = cost;
	if (cost > s->max)
		s->max = cost;
	s->count++;
	s->sum += cost;
}

/* begin_ is whole before the statement, as around nothing. */
#define SAMPLE(s, statement)                         \
	do {                                         \
		uint64_t begin_ = rdtsc();           \
		__asm__ volatile("" : "+r"(begin_)); \
		statement;                           \
		add(s, rdtsc() - begin_);            \
	} while (0)

#define TRACE(name, statement)                                      \
	do {                                                        \
		print(LOG_RESULT, "trace: %s", name);               \
		__asm__ volatile("xchg %%bx, %%bx" : : : "memory"); \
		statement;                                          \
		__asm__ volatile("xchg %%bx, %%bx" : : : "memory"); \
	} while (0)

static void report_as(const char *kind, const char *name, const char *what, uint64_t count,
		      const struct samples *s)
{
	uint64_t mean = s->count ? s->sum * 1000 / s->count : 0;

	print(LOG_RESULT, "%s: %s %s=%lu mean=%lu.%03lu max=%lu", kind, name, what, count,
	      mean / 1000, mean % 1000, s->max);
}

static void report(const char *name, const struct samples *s)
{
	report_as("bench", name, "samples", s->count, s);
}

/* The same numbers in every run. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void calibrate(void)
{
	struct samples empty = {0};

	overhead = 0;
	for (unsigned i = 0; i < 64; i++)
		SAMPLE(&empty, __asm__ volatile("" : : : "memory"));
	overhead = empty.min;
}

/* --- one row each ----------------------------------------------------------------------------- */

static inline void one_window(mfn_t frame)
{
	window_open(WINDOW_TEST, frame);
	window_close(WINDOW_TEST);
}

static void bench_window(void)
{
	struct samples s = {0};
	mfn_t frame;

	if (frame_alloc(0, DOMID_HYPERVISOR, FRAME_BOOT, &frame))
		return;
	for (unsigned i = 0; i < SAMPLES; i++)
		SAMPLE(&s, one_window(frame));
	report("window_fixed", &s);
	TRACE("window_fixed", one_window(frame));
	frame_free(frame, 0);
}

static inline void one_cached_look(mfn_t frame)
{
	const char *page = window_cache_look(frame);

	__asm__ volatile("" : : "r"(page) : "memory");
}

/* Two frames of a guest that share a slot: a look at one is a hit as long as the other is not
 * looked at. */
static void bench_window_cache(void)
{
	struct samples hit = {0}, miss = {0};
	mfn_t frames[512];
	uint32_t count = 0, other = 0;

	while (count < array_size(frames) &&
	       !frame_alloc(0, BENCH_DOMAIN, FRAME_GUEST_RAM, &frames[count]))
		count++;
	window_cache_set_owner(BENCH_DOMAIN);
	for (uint32_t i = 1; i < count && !other; i++)
		if (window_cache_look(frames[i]) == window_cache_look(frames[0]))
			other = i;
	for (unsigned i = 0; i < SAMPLES && other; i++) {
		window_cache_look(frames[0]);
		SAMPLE(&hit, one_cached_look(frames[0]));
		SAMPLE(&miss, one_cached_look(frames[other]));
	}
	if (other) {
		report("window_hit", &hit);
		report("window_miss", &miss);
	}
	window_cache_set_owner(DOMID_HYPERVISOR);
	while (count)
		frame_free(frames[--count], 0);
}

/* A function, so that what is measured does not hang on the registers that its caller needs. */
static __attribute__((noinline)) void time_lookup(struct samples *s, mfn_t frame)
{
	SAMPLE(s, __asm__ volatile("" : : "r"(pahash_lookup(frame))));
}

static bool hash_fill(uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		if (pahash_insert(make_mfn(FIRST_FICTION + i), LAYOUT_VMAP + i * PAGE_SIZE))
			return false;
	return true;
}

static void hash_empty(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		pahash_remove(make_mfn(FIRST_FICTION + i));
	/* Tables that were outgrown go back. */
	for (unsigned i = 0; i < 1024 && epoch_pending(); i++)
		epoch_quiescent();
}

/* Looks every entry up once; one that is found at the first probe goes to *homely. False: one was
 * not found. */
static bool look_up_all(uint64_t entries, struct samples *all, mfn_t *homely)
{
	for (uint64_t i = 0; i < entries; i++) {
		mfn_t frame = make_mfn(FIRST_FICTION + i);
		uint64_t before = all->sum;

		time_lookup(all, frame);
		/* Nothing is cheaper than the first probe. */
		if (all->sum - before == all->min)
			*homely = frame;
		if (pahash_lookup(frame) != LAYOUT_VMAP + i * PAGE_SIZE)
			return false;
	}
	return true;
}

/* The mean is over tables of many sizes, each with keys of its own, filled to 5/16 and 7/16: they
 * grow at a half. */
static void bench_hash(void)
{
	struct samples all = {0}, first = {0};
	mfn_t homely = make_mfn(FIRST_FICTION);
	uint64_t filled = 0, there = pahash_count();

	for (uint64_t words = 2048; words <= HASH_WORDS_MAX; words *= 2)
		for (uint64_t part = 5; part <= 7; part += 2) {
			uint64_t from = filled;

			filled = words * part / 16 - there;
			if (!hash_fill(from, filled) || !look_up_all(filled, &all, &homely))
				print(LOG_ERROR, "bench: the hash lost some of %lu entries",
				      filled);
		}
	for (unsigned i = 0; i < SAMPLES; i++)
		time_lookup(&first, homely);
	report("pahash_first", &first);
	report("pahash_lookup", &all);
	TRACE("pahash_first", __asm__ volatile("" : : "r"(pahash_lookup(homely))));
	hash_empty(filled);
}

static void bench_frame_ref(void)
{
	struct samples s = {0};
	mfn_t frame;
	int rc = 0;

	if (frame_alloc(0, 1, FRAME_GUEST_RAM, &frame))
		return;
	for (unsigned i = 0; i < SAMPLES; i++)
		SAMPLE(&s, {
			rc |= frame_get_present(frame, 1, FRAME_GUEST_RAM);
			frame_put(frame);
		});
	if (rc)
		print(LOG_ERROR, "bench: a reference was refused");
	report("frame_ref", &s);
	TRACE("frame_ref", {
		rc = frame_get_present(frame, 1, FRAME_GUEST_RAM);
		frame_put(frame);
	});
	frame_free(frame, 0);
}

/* Scattered, so that no two are taken for one larger leaf. */
static mfn_t scattered(uint64_t i)
{
	return make_mfn(FIRST_FICTION + ((i * 0x9e3779b1u) & 0xfffffff));
}

static bool p2m_fill(struct p2m *p2m, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		if (p2m_map(p2m, make_gfn(i), scattered(i), 1, P2M_RAM, P2M_RW))
			return false;
	return true;
}

/* Looks up gfns by the walk and by the linear view, whose tables are pages of 4 KiB, or all 2 MiB.
 */
static void bench_lookup(struct p2m *p2m, const struct ept_view *view, uint64_t gfns,
			 const char *walk_name, const char *view_name)
{
	struct samples walk = {0}, linear = {0};
	uint64_t seed = 88172645463325252ull, wrong = 0;
	struct p2m_entry a, b;

	for (unsigned i = 0; i < SAMPLES; i++) {
		gfn_t gfn = make_gfn(next_random(&seed) % gfns);

		SAMPLE(&walk, a = p2m_find(p2m, gfn));
		SAMPLE(&linear, b = ept_view_find(view, gfn));
		wrong += a.type != P2M_RAM || b.type != P2M_RAM || !mfn_equal(a.frame, b.frame);
	}
	if (wrong)
		print(LOG_ERROR, "bench: %lu frames were not found", wrong);
	report(walk_name, &walk);
	report(view_name, &linear);
	TRACE(walk_name, (void)p2m_find(p2m, make_gfn(7)));
	TRACE(view_name, (void)ept_view_find(view, make_gfn(7)));
}

/* What keeping the view costs, each time a leaf table comes or goes. */
static void bench_view_change(const struct ept_view *view)
{
	struct samples s = {0};
	int rc = 0;

	for (unsigned i = 0; i < SAMPLES; i++)
		SAMPLE(&s, rc |= ept_view_change(view, make_gfn(0), 1));
	if (rc)
		print(LOG_ERROR, "bench: the view cannot be changed");
	report("view_change", &s);
}

static void bench_walk(void)
{
	static struct p2m p2m;
	struct ept_view view;

	for (unsigned large = 0; large < 2; large++) {
		if (p2m_init(&p2m, 64, 1ull << 15) ||
		    (large ? p2m_map(&p2m, make_gfn(0), make_mfn(FIRST_FICTION), 1ull << 15,
				     P2M_RAM, P2M_RW)
			   : !p2m_fill(&p2m, 0, SAMPLES)) ||
		    ept_view_init(&view, &p2m)) {
			print(LOG_ERROR, "bench: no p2m");
			return;
		}
		if (large) {
			bench_lookup(&p2m, &view, 1ull << 15, "gfn_walk_2m", "gfn_to_mfn_2m");
		} else {
			bench_lookup(&p2m, &view, SAMPLES, "gfn_walk", "gfn_to_mfn");
			bench_view_change(&view);
		}
		ept_view_destroy(&view);
		p2m_destroy(&p2m);
		while (epoch_pending())
			epoch_quiescent();
	}
}

static void bench_switch(void)
{
	struct domain *a = domain_find(1), *b = domain_find(2);
	struct samples s = {0};

	if (!a || !b) {
		print(LOG_ERROR, "bench: domain_switch wants two guests");
		return;
	}
	/* The first time, the host state is written into the VMCS. */
	vcpu_load(a->vcpus[0]);
	vcpu_load(b->vcpus[0]);
	vcpu_load(a->vcpus[0]);
	for (unsigned i = 0; i < SAMPLES / 2; i++) {
		SAMPLE(&s, vcpu_load(b->vcpus[0]));
		SAMPLE(&s, vcpu_load(a->vcpus[0]));
	}
	report("domain_switch", &s);
	TRACE("domain_switch", vcpu_load(b->vcpus[0]));
	vcpu_load(NULL);
}

/* --- against load ----------------------------------------------------------------------------- */

static void load_window(uint64_t entries)
{
	struct samples s = {0};
	uint64_t seed = entries + 1;

	/* As many frames, in no order: the window has a place for none of them. */
	for (unsigned i = 0; i < LOAD_SAMPLES; i++) {
		mfn_t frame = make_mfn(FIRST_FICTION + next_random(&seed) % entries);

		SAMPLE(&s, one_window(frame));
	}
	report_as("load", "window_fixed", "entries", entries, &s);
}

static void load_hash(uint64_t entries)
{
	struct samples lookup = {0}, change = {0};
	mfn_t extra = make_mfn(FIRST_FICTION + LOAD_MAX + 1);
	uint64_t seed = entries + 1;

	for (unsigned i = 0; i < LOAD_SAMPLES; i++) {
		mfn_t frame = make_mfn(FIRST_FICTION + next_random(&seed) % entries);

		time_lookup(&lookup, frame);
	}
	report_as("load", "pahash_lookup", "entries", entries, &lookup);
	for (unsigned i = 0; i < LOAD_SAMPLES; i++) {
		int rc;

		SAMPLE(&change, {
			rc = pahash_insert(extra, LAYOUT_VMAP);
			pahash_remove(extra);
		});
		if (rc)
			print(LOG_ERROR, "bench: the hash is full at %lu", entries);
	}
	report_as("load", "pahash_insert_remove", "entries", entries, &change);
}

static void load_p2m(struct p2m *p2m, uint64_t entries)
{
	struct samples lookup = {0}, change = {0};
	struct p2m_entry entry;
	uint64_t seed = entries + 1;

	for (unsigned i = 0; i < LOAD_SAMPLES; i++) {
		gfn_t gfn = make_gfn(next_random(&seed) % entries);

		SAMPLE(&lookup, entry = p2m_find(p2m, gfn));
		if (!entry.access)
			print(LOG_ERROR, "bench: gfn 0x%lx was not found", gfn_raw(gfn));
	}
	report_as("load", "gfn_walk", "entries", entries, &lookup);
	for (unsigned i = 0; i < LOAD_SAMPLES; i++) {
		gfn_t gfn = make_gfn(next_random(&seed) % entries);
		int rc;

		SAMPLE(&change, {
			rc = p2m_unmap(p2m, gfn, 1, NULL, NULL);
			rc |= p2m_map(p2m, gfn, scattered(gfn_raw(gfn)), 1, P2M_RAM, P2M_RW);
		});
		if (rc)
			print(LOG_ERROR, "bench: gfn 0x%lx cannot be changed", gfn_raw(gfn));
		while (epoch_pending())
			epoch_quiescent();
	}
	report_as("load", "ept_unmap_map", "entries", entries, &change);
}

static void bench_load(void)
{
	static struct p2m p2m;
	uint64_t filled = 0;

	for (uint64_t n = 1; n <= LOAD_MAX; n *= 10)
		load_window(n);
	for (uint64_t n = 1; n <= LOAD_MAX && hash_fill(filled, n); filled = n, n *= 10)
		load_hash(n);
	hash_empty(LOAD_MAX);
	filled = 0;
	if (p2m_init(&p2m, 1u << 16, 1ull << 24))
		return;
	for (uint64_t n = 1; n <= LOAD_MAX && p2m_fill(&p2m, filled, n); filled = n, n *= 10)
		load_p2m(&p2m, n);
	p2m_destroy(&p2m);
	while (epoch_pending())
		epoch_quiescent();
}

void bench_run(bool load)
{
	calibrate();
	bench_window();
	if (!DIRECT_MAP)
		bench_window_cache();
	bench_hash();
	bench_walk();
	bench_frame_ref();
	bench_switch();
	if (load)
		bench_load();
}
#endif
