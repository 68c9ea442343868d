/*
 * Who removes rights from a p2m and who enters a guest, on two real processors at once
 * (vmx/ept.c, p2m_mark_flush()): at least one sees the other. Where one side lacks its locked
 * operation, its store waits in the store buffer while it reads, both read old values, and this
 * shows within some thousand rounds. Needs two processors, like any race.
 */
/* sources: vmx/ept.c vmx/ept_map.c vmx/ept_unmap.c tests/unit/fake_pool.c tests/unit/fake_cpu.c */
/* flags: -pthread -O2 */
#include "fake_pool.h"
#include "percpu.h"
#include "tap.h"
#include "vmx/ept.h"
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

/* Of a build with the mistake in it longer: both threads must run at once, and other programs may
 * have the processors. */
#if defined(MUTANT_NO_FENCE_ENTER) || defined(MUTANT_NO_FENCE_REMOVE)
#define SECONDS 60
#else
#define SECONDS 3
#endif

static struct p2m p2m;
static _Atomic uint64_t turn; /* both sides start round n when it is n; UINT64_MAX: the end */
static _Atomic uint64_t done;
static _Atomic uint64_t generation_read;

static void pause_briefly(unsigned count)
{
	for (volatile unsigned i = 0; i < count; i++)
		;
}

static void *enters(void *arg)
{
	uint64_t round = 0, n;
	unsigned spins = 0;

	(void)arg;
	test_cpu.index = 7;
	for (;;) {
		while ((n = atomic_load(&turn)) == round)
			if (++spins % 65536 == 0)
				sched_yield();
		if (n == UINT64_MAX)
			return NULL;
		round = n;
		pause_briefly((unsigned)(round % 512));
		atomic_store(&generation_read, p2m_cpu_enter(&p2m));
		atomic_store(&done, round);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(void)
{
	pthread_t thread;
	uint64_t rounds = 0, missed = 0, marked = 0, seen = 0;

	plan(1);
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		printf("ok 1 - one of the two sees the other # SKIP one processor only\n");
		return 0;
	}
	fake_pool_init();
	ept_configure(true, true, true);
	if (p2m_init(&p2m, 64, 1u << 20) || pthread_create(&thread, NULL, enters, NULL))
		abort();
	for (double end = now() + SECONDS; now() < end && missed < 10;) {
		for (unsigned i = 0; i < 1000; i++) {
			if (p2m_map(&p2m, make_gfn(0), make_mfn(5), 1, P2M_RAM, P2M_RWX))
				abort();
			atomic_store(&cpu_shared[7].entry_work, 0);
			p2m.active_cpus[0] = 0;
			uint64_t before = atomic_load(&p2m.generation);
			atomic_store(&turn, ++rounds);
			if (p2m_unmap(&p2m, make_gfn(0), 1, NULL, NULL))
				abort();
			while (atomic_load(&done) != rounds)
				;
			bool has_mark = cpu_shared[7].entry_work & ENTRY_WORK_EPT_FLUSH;
			bool has_seen = atomic_load(&generation_read) != before;
			marked += has_mark;
			seen += has_seen;
			missed += !has_mark && !has_seen;
			fake_epoch_pass();
		}
	}
	atomic_store(&turn, UINT64_MAX);
	pthread_join(thread, NULL);
	diag("%" PRIu64 " rounds: %" PRIu64 " marked, %" PRIu64 " saw the generation, %" PRIu64
	     " neither",
	     rounds, marked, seen, missed);
	ok(missed == 0, "one of the two sees the other");
	return tap_end();
}
