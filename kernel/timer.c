/*
 * Timers of each processor: when they are due, and which hardware says so.
 *
 * State: a heap for each CPU. Lock: the heap's own, which is taken last but for a run queue's, for
 * what a timer's function does is to wake a vCPU. A timer's fields belong to the lock of the CPU
 * named in it; who finds that it has moved tries again.
 *
 * There is no periodic tick. While a guest runs, the VMX-preemption timer ends guest mode at the
 * next deadline (vmx/run.c); in idle, or where there is no such timer, the local APIC's does.
 */
#include "kernel/timer.h"
#include "cpu.h"
#include "drivers/apic.h"
#include "kernel/traps.h"
#include "lock.h"
#include "percpu.h"
#include "vcpu.h"

/* Timers run at one go: a vCPU's own cannot be many, and what is left is due at the next look. */
#define TIMERS_AT_ONCE 16u

static struct timer_queue {
	struct lock lock;
	struct timer *root;
} aligned_to(64) queues[LAYOUT_CPUS_MAX] = {
    [0 ... LAYOUT_CPUS_MAX - 1] = {.lock = LOCK_INIT(LOCK_TIMERS)}};

static void expired(unsigned vector)
{
	(void)vector; /* guest mode, or HLT, has ended: that is all */
}

void timers_cpu_init(void)
{
	traps_set_interrupt(APIC_VECTOR_TIMER, expired);
	apic_timer_init();
}

static struct timer_queue *lock_queue_of(struct timer *t)
{
	for (;;) {
		uint32_t cpu = atomic_load(&t->cpu);

		lock_acquire(&queues[cpu].lock);
		if (atomic_load(&t->cpu) == cpu)
			return &queues[cpu];
		lock_release(&queues[cpu].lock);
	}
}

void timer_init(struct timer *t, struct vcpu_shared *v, uint64_t (*fn)(struct timer *t))
{
	*t = (struct timer){.fn = fn};
	struct timer **end = v ? &v->timers : NULL;

	while (end && *end)
		end = &(*end)->next_of_vcpu;
	if (end)
		*end = t;
}

static void take_off(struct timer_queue *q, struct timer *t)
{
	if (!atomic_load_explicit(&t->armed, memory_order_relaxed))
		return;
	q->root = timer_heap_remove(q->root, t);
	atomic_store(&t->armed, false);
}

void timer_cancel(struct timer *t)
{
	struct timer_queue *q = lock_queue_of(t);

	t->moves = false;
	take_off(q, t);
	lock_release(&q->lock);
}

static void put_on(struct timer_queue *q, struct timer *t, uint64_t deadline)
{
	t->deadline = deadline;
	q->root = timer_heap_add(q->root, t);
	atomic_store(&t->armed, true);
}

/* Takes t off, wherever it is, and has it belong to this CPU, whose queue it returns, locked.
 * t->moves says whether it was armed; who cancels it from here on clears that. */
static struct timer_queue *bring(struct timer *t)
{
	uint32_t cpu = cpu_index();
	struct timer_queue *q = lock_queue_of(t);

	t->moves = atomic_load(&t->armed);
	take_off(q, t);
	if (q != &queues[cpu]) {
		/* Off its heap, and not armed: nobody else moves it but who arms it. */
		atomic_store(&t->cpu, cpu);
		lock_release(&q->lock);
		q = lock_queue_of(t);
		take_off(q, t);
	}
	return q;
}

void timer_arm(struct timer *t, uint64_t tsc_deadline)
{
	struct timer_queue *q = bring(t);

	put_on(q, t, tsc_deadline);
	bool is_first = q->root == t;
	lock_release(&q->lock);
	if (is_first)
		atomic_fetch_or(&this_cpu_shared()->entry_work, ENTRY_WORK_TIMER);
}

uint64_t timers_run(void)
{
	struct timer_queue *q = &queues[cpu_index()];
	uint64_t next = UINT64_MAX;

	/* Only this CPU adds timers here, so that an empty heap needs no lock to be seen. */
	if (!*(struct timer *volatile *)&q->root)
		return next;
	lock_acquire(&q->lock);
	for (unsigned n = 0; n < TIMERS_AT_ONCE && q->root && q->root->deadline <= rdtsc(); n++) {
		struct timer *t = q->root;

		take_off(q, t);
		uint64_t again = t->fn(t);
		if (again)
			put_on(q, t, again);
	}
	if (q->root)
		next = q->root->deadline;
	lock_release(&q->lock);
	return next;
}

void host_timer_arm(uint64_t tsc_deadline)
{
	apic_timer_arm(tsc_deadline);
}

bool timers_before_sleep(uint64_t latest)
{
	uint64_t next = timers_run();

	if (next <= rdtsc())
		return false;
	if (next > latest)
		next = latest;
	if (next != UINT64_MAX)
		apic_timer_arm(next);
	return true;
}

void timers_follow(struct vcpu_shared *v)
{
	for (struct timer *t = v->timers; t; t = t->next_of_vcpu) {
		if (!atomic_load(&t->armed) || atomic_load(&t->cpu) == cpu_index())
			continue;
		/* The vCPU is not running yet: nobody but this CPU arms its timers; but another of
		 * its vCPUs may stop one on the way. What is due is looked at before entry. */
		struct timer_queue *q = bring(t);
		if (t->moves)
			put_on(q, t, t->deadline);
		lock_release(&q->lock);
	}
}

void timers_cancel(struct vcpu_shared *v)
{
	for (struct timer *t = v->timers; t; t = t->next_of_vcpu)
		timer_cancel(t);
}

bool timers_armed(const struct vcpu_shared *v)
{
	for (const struct timer *t = v->timers; t; t = t->next_of_vcpu)
		if (atomic_load(&t->armed))
			return true;
	return false;
}
