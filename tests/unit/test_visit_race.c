/*
 * Visitors of a p2m (vmx/ept_visit.c) and those who take its lock, on real processors at once: two
 * fill single pages and take them out, one takes the lock, and maps and unmaps around them.
 * Nothing changes while it has the lock; every page taken out was filled by somebody, once; and in
 * the end each table has counted what it has.
 */
/* sources: vmx/ept.c vmx/ept_map.c vmx/ept_unmap.c vmx/ept_batch.c vmx/ept_visit.c */
/* sources: tests/unit/fake_pool.c tests/unit/fake_cpu.c */
/* flags: -pthread -O2 */
#include "../../vmx/ept_tables.h"
#include "fake_pool.h"
#include "tap.h"
#include "vmx/ept.h"
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#ifdef MUTANT_NO_WAIT_VISITORS
#define SECONDS 60
#else
#define SECONDS 3
#endif

#define PAGES	 96u /* of visitors, the first and the last few of two tables */
#define FIRST	 (0x8000u + 512 - PAGES / 2)
#define VISITORS 2u

static struct p2m p2m;
static _Atomic bool over;
static _Atomic int64_t there[PAGES]; /* filled - taken out */
static _Atomic uint64_t filled, taken, wrong;

static void visit_some(uint64_t *seed)
{
	struct p2m_visit v;
	mfn_t frame;

	p2m_visit_begin(&v, &p2m);
	for (unsigned i = 0; i < 16; i++) {
		*seed = *seed * 6364136223846793005u + 1442695040888963407u;
		unsigned page = (unsigned)(*seed >> 33) % PAGES;

		if (i == 8)
			p2m_visit_yield(&v);
		if (p2m_visit_used(&v, make_gfn(FIRST + page)) ||
		    p2m_visit_take(&v, make_gfn(FIRST + page), P2M_DEMAND, &frame))
			continue;
		atomic_fetch_add(&wrong, mfn_raw(frame) != page + 1);
		atomic_fetch_sub(&there[page], 1);
		atomic_fetch_add(&taken, 1);
	}
	p2m_visit_end(&v);
}

static void *visits(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;

	test_cpu.index = (uint32_t)seed;
	while (!atomic_load(&over)) {
		for (unsigned i = 0; i < 16; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			unsigned page = (unsigned)(seed >> 33) % PAGES;
			int rc = p2m_fill_page(&p2m, make_gfn(FIRST + page), make_mfn(page + 1),
					       P2M_DEMAND, P2M_RW);

			if (!rc) {
				atomic_fetch_add(&there[page], 1);
				atomic_fetch_add(&filled, 1);
			}
			atomic_fetch_add(&wrong, rc && rc != -XEN_EEXIST && rc != -XEN_ENOENT);
		}
		visit_some(&seed);
	}
	return NULL;
}

/* With the lock: runs come and go around the pages, which meanwhile stay as they are. */
static void lock_some(void)
{
	uint64_t low = FIRST - 300, high = FIRST + PAGES + 100;
	struct p2m_batch b;
	unsigned bad = 0, before[PAGES];

	bad += p2m_map(&p2m, make_gfn(low), make_mfn(5000), 64, P2M_FOREIGN, P2M_RW) != 0;
	bad += p2m_map(&p2m, make_gfn(high), make_mfn(9000), 1, P2M_FOREIGN, P2M_RW) != 0;
	p2m_batch_begin(&b, &p2m);
	for (unsigned i = 0; i < PAGES; i++)
		before[i] = p2m_find(&p2m, make_gfn(FIRST + i)).access;
	sched_yield();
	for (volatile unsigned i = 0; i < 1000; i++)
		;
	for (unsigned i = 0; i < PAGES; i++)
		bad += before[i] != p2m_find(&p2m, make_gfn(FIRST + i)).access;
	for (unsigned i = 0; i < 32; i++)
		bad += p2m_batch_map(&b, make_gfn(high + 1 + i), make_mfn(9001 + i), P2M_FOREIGN,
				     P2M_RW) != 0;
	for (unsigned i = 0; i < 32; i++)
		bad += p2m_batch_unmap(&b, make_gfn(high + 1 + i)) != 0;
	p2m_batch_end(&b);
	bad += p2m_unmap(&p2m, make_gfn(low), 64, NULL, NULL) != 0;
	bad += p2m_unmap(&p2m, make_gfn(high), 1, NULL, NULL) != 0;
	atomic_fetch_add(&wrong, bad);
}

/* Whether each table has as many entries as its link says, and each page is there as often as it
 * was filled. */
static unsigned check(void)
{
	unsigned bad = 0;

	for (uint64_t table = FIRST & ~511ull; table < FIRST + PAGES; table += 512) {
		struct ept_cursor c = {.p2m = &p2m};
		uint64_t in_use = 0, counted = 0;

		for (uint64_t gfn = table; gfn < table + 512; gfn++) {
			uint64_t value = ept_seek(&c, gfn, 1, false);
			bool is = present(value);

			in_use += is;
			if (c.level == 1)
				counted = (ept_load(c.path[2]) & IN_USE_MASK) >> IN_USE_SHIFT;
			if (gfn - FIRST < PAGES)
				bad += atomic_load(&there[gfn - FIRST]) != is;
		}
		bad += in_use != counted;
	}
	return bad;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(void)
{
	unsigned rounds = 0, bad = 0;

	plan(2);
	fake_pool_init();
	ept_configure(true, true, true);
	if (p2m_init(&p2m, 64, 1u << 20))
		abort();
	for (double end = now() + SECONDS; now() < end && !bad && !atomic_load(&wrong);) {
		pthread_t threads[VISITORS];

		atomic_store(&over, false);
		for (uintptr_t i = 0; i < VISITORS; i++)
			if (pthread_create(&threads[i], NULL, visits, (void *)(i + 1)))
				abort();
		double slice = now() + 0.3;
		for (unsigned i = 0; i < 1000 && now() < slice; i++, rounds++) {
			usleep(200); /* visitors go on, and may be in the middle */
			lock_some();
		}
		atomic_store(&over, true);
		for (unsigned i = 0; i < VISITORS; i++)
			pthread_join(threads[i], NULL);
		bad = check();
		fake_epoch_pass();
	}
	diag("%u rounds, %lu pages filled, %lu taken out", rounds, (unsigned long)filled,
	     (unsigned long)taken);
	ok(!bad && !wrong, "who takes the lock and who does without are not there at once");
	ok(filled > 100 && taken > 100, "both were at it");
	return tap_end();
}
