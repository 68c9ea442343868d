/* sources: kernel/timer_heap.c kernel/timer.c tests/unit/fake_cpu.c */
/* flags: -pthread */
/*
 * Timers: the heap against a plain list, and arming, cancelling and moving between CPUs.
 */
#include "cpu.h"
#include "kernel/timer.h"
#include "kernel/traps.h"
#include "tap.h"
#include "vcpu.h"
#include <pthread.h>

#define TIMERS 200u
#define STEPS  200000u

static struct timer timers[TIMERS];
static bool in_heap[TIMERS];
static uint64_t seed = 7, hardware;

void apic_timer_init(void) {}
void apic_timer_arm(uint64_t deadline)
{
	hardware = deadline;
}
void traps_set_interrupt(unsigned vector, void (*fn)(unsigned vector))
{
	(void)vector;
	(void)fn;
}

static uint32_t next_random(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33);
}

/* Whether the root is the least of all that are in it, and all are reached once. */
static bool whole(struct timer *root)
{
	struct timer *stack[TIMERS], *t;
	unsigned depth = 0, reached = 0, count = 0;
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < TIMERS; i++) {
		count += in_heap[i];
		if (in_heap[i] && timers[i].deadline < least)
			least = timers[i].deadline;
	}
	if (!root)
		return !count;
	if (root->next || root->back || root->deadline != least)
		return false;
	stack[depth++] = root;
	while (depth) {
		t = stack[--depth];
		reached++;
		struct timer *back = t;
		for (struct timer *c = t->child; c; c = c->next) {
			if (c->back != back || c->deadline < t->deadline || depth == TIMERS)
				return false;
			back = c;
			stack[depth++] = c;
		}
	}
	return reached == count;
}

static void heap_at_random(void)
{
	struct timer *root = NULL;
	bool good = true;

	for (unsigned n = 0; n < STEPS && good; n++) {
		unsigned i = next_random() % TIMERS;

		if (in_heap[i] && next_random() % 3 == 0 && root)
			i = (unsigned)(root - timers);
		if (in_heap[i]) {
			root = timer_heap_remove(root, &timers[i]);
			in_heap[i] = false;
		} else {
			timers[i].deadline = next_random() % 1000;
			root = timer_heap_add(root, &timers[i]);
			in_heap[i] = true;
		}
		if (n % 64 == 0)
			good = whole(root);
	}
	ok(good && whole(root), "a heap at random");
	uint64_t last = 0;
	bool ordered = true;
	while (root) {
		struct timer *t = root;

		ordered &= t->deadline >= last;
		last = t->deadline;
		root = timer_heap_remove(root, t);
		in_heap[t - timers] = false;
	}
	ok(ordered, "comes out in order");
	ok(whole(root), "and is empty then");
}

static unsigned fired;
static uint64_t again;
static uint64_t fire(struct timer *t)
{
	(void)t;
	fired++;
	uint64_t at = again;
	again = 0;
	return at;
}

static void be(uint32_t cpu)
{
	test_cpu.index = cpu;
	test_cpu.shared = &cpu_shared[cpu];
}

static void one_by_one(void)
{
	struct vcpu_shared v = {0};
	struct timer a, b;
	uint64_t far = rdtsc() + (1ull << 40);

	be(0);
	timer_init(&a, &v, fire);
	timer_init(&b, &v, fire);
	ok(timers_run() == UINT64_MAX && !timers_armed(&v), "nothing is armed");
	timer_arm(&a, far + 5);
	is(cpu_shared[0].entry_work, ENTRY_WORK_TIMER, "the first one is looked at before entry");
	cpu_shared[0].entry_work = 0;
	timer_arm(&b, far + 9);
	is(cpu_shared[0].entry_work, 0, "a later one changes nothing");
	ok(timers_run() == far + 5 && !fired && timers_armed(&v), "the next one is known");
	ok(timers_before_sleep(UINT64_MAX) && hardware == far + 5, "and set before sleep");
	ok(timers_before_sleep(far) && hardware == far, "or what is due before it");
	timer_arm(&b, 1);
	ok(timers_run() == far + 5 && fired == 1, "one that is due fires, once");
	again = far + 7;
	timer_arm(&b, 1);
	ok(timers_run() == far + 5 && fired == 2, "one that wants to fire again");
	timer_cancel(&a);
	is(timers_run(), far + 7, "is armed again");
	again = 1;
	timer_arm(&b, 1);
	fired = 0;
	ok(timers_run() == UINT64_MAX && fired == 2, "it may be due at once");
	be(3);
	timer_arm(&a, far);
	be(0);
	is(timers_run(), UINT64_MAX, "another CPU's timers are its own");
	timer_arm(&b, far + 1);
	timers_follow(&v);
	is(timers_run(), far, "those of a vCPU follow it");
	be(3);
	is(timers_run(), UINT64_MAX, "and are not left where it was");
	timer_arm(&b, far + 2);
	be(0);
	is(timers_run(), far, "armed elsewhere: only there");
	timers_cancel(&v);
	ok(timers_run() == UINT64_MAX && !timers_armed(&v), "all of them off");
	be(3);
	is(timers_run(), UINT64_MAX, "on every CPU");
}

/* --- stopped while it moves --------------------------------------------------------------------
 */

#define ROUNDS 20000u

static struct timer moving;
static struct vcpu_shared moved;
static _Atomic unsigned round_begun, round_done;

static uint64_t fires_never(struct timer *t)
{
	(void)t;
	return 0;
}

/* CPU 1: runs the vCPU that the timer belongs to. */
static void *follow(void *unused)
{
	be(1);
	for (unsigned n = 1; n <= ROUNDS; n++) {
		while (atomic_load(&round_begun) != n)
			;
		timers_follow(&moved);
		atomic_store(&round_done, n);
	}
	return unused;
}

/* CPU 2: another vCPU stops it meanwhile; nobody has it go again. */
static void stopped_on_the_way(void)
{
	unsigned armed = 0;
	pthread_t thread;

	timer_init(&moving, &moved, fires_never);
	if (pthread_create(&thread, NULL, follow, NULL))
		bail_out("no thread");
	for (unsigned n = 1; n <= ROUNDS; n++) {
		be(0);
		timer_arm(&moving, UINT64_MAX / 2);
		be(2);
		atomic_store(&round_begun, n);
		for (volatile unsigned wait = 0; wait < n % 256; wait++)
			;
		timer_cancel(&moving);
		while (atomic_load(&round_done) != n)
			;
		armed += atomic_load(&moving.armed);
		timer_cancel(&moving);
	}
	pthread_join(thread, NULL);
	is(armed, 0, "a timer that is stopped stays so, also when it moves at that moment");
}

int main(void)
{
	stopped_on_the_way();
	tap_no_plan();
	heap_at_random();
	one_by_one();
	return tap_end();
}
