/*
 * One-shot timers. kernel/timer.c; the heap by itself, pure: kernel/timer_heap.c.
 *
 * A timer is armed on the CPU that arms it, and lies in shared memory. One that belongs to a vCPU
 * moves to the CPU that runs it.
 */
#ifndef KEYHOLE_KERNEL_TIMER_H
#define KEYHOLE_KERNEL_TIMER_H

#include "../types.h"
#include <stdatomic.h>

struct vcpu_shared;

struct timer {
	/* Called when the deadline has passed, in root mode, with interrupts off and the lock of
	 * the CPU's timers held: it may vcpu_kick(), and neither arm nor cancel a timer. Returns
	 * when the timer is to fire again, or 0. */
	uint64_t (*fn)(struct timer *t);
	uint64_t deadline;	    /* time-stamp counter of the host */
	_Atomic uint32_t cpu;	    /* on whose heap it is, or was last */
	_Atomic bool armed;	    /* changed under that heap's lock */
	bool moves;		    /* armed, but between two heaps; under the lock of its CPU's */
	struct timer *child, *next; /* heap */
	struct timer *back;	    /* previous sibling, or parent */
	struct timer *next_of_vcpu; /* vcpu_shared.timers */
};

/* A timer, not armed; of vCPU v, or NULL. Before v runs first. */
void timer_init(struct timer *t, struct vcpu_shared *v, uint64_t (*fn)(struct timer *t));
/* Arms t on this CPU, again if it is armed. Not from a timer's fn, no run queue's lock held. */
void timer_arm(struct timer *t, uint64_t tsc_deadline);
/* When this returns, fn does not run and will not, until t is armed again. */
void timer_cancel(struct timer *t);
/* The timers of a vCPU: to this CPU, which runs it from now on; all of them off; whether any is
 * armed. */
void timers_follow(struct vcpu_shared *v);
void timers_cancel(struct vcpu_shared *v);
bool timers_armed(const struct vcpu_shared *v);
/* For idle: has the local APIC end HLT when the next timer of this CPU is due, or at a time before
 * (UINT64_MAX: none). False: one is due. */
bool timers_before_sleep(uint64_t latest);
/* On each CPU that is to have timers. */
void timers_cpu_init(void);

/* kernel/vcpu_timer.c: the timer of a vCPU's local APIC, and the one that ends VCPU_CAPPED. */
int vcpu_timer_create(struct vcpu_shared *v) must_use;
void vcpu_timer_destroy(struct vcpu_shared *v);
/* Has sched_uncap() called at that time. As timer_arm(). */
void vcpu_cap_timer_set(struct vcpu_shared *v, uint64_t tsc);

/* The heap: the root is the timer with the least deadline. */
struct timer *timer_heap_add(struct timer *root, struct timer *t);
struct timer *timer_heap_remove(struct timer *root, struct timer *t);

#endif
