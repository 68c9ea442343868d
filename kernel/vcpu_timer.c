/*
 * The timers of each vCPU: its local APIC's, and the one that ends a wait for its domain's cap.
 *
 * State: a struct vcpu_timer for each vCPU, on the heap, in pages of its domain; its deadline is
 * all that other CPUs can see of a guest's timer (docs/secrets.md). Lock: that of the timer's CPU
 * (kernel/timer.c).
 */
#include "kernel/sched.h"
#include "kernel/timer.h"
#include "mm/heap.h"
#include "percpu.h"
#include "vcpu.h"

struct vcpu_timer {
	struct timer timer; /* the first in vcpu_shared.timers */
	struct timer cap;
	struct vcpu_shared *vcpu;
};

static uint64_t vcpu_timer_fires(struct timer *t)
{
	struct vcpu_shared *v = container_of(t, struct vcpu_timer, timer)->vcpu;

	atomic_fetch_or(&v->requests, VCPU_REQUEST_TIMER);
	vcpu_kick(v);
	return 0;
}

static uint64_t vcpu_cap_fires(struct timer *t)
{
	sched_uncap(container_of(t, struct vcpu_timer, cap)->vcpu);
	return 0;
}

/* For a new vCPU. -XEN_ENOMEM: nothing has changed. */
int vcpu_timer_create(struct vcpu_shared *v)
{
	void *object;
	int rc = heap_alloc(sizeof(struct vcpu_timer), v->domain->id, &object);

	if (rc)
		return rc;
	struct vcpu_timer *t = object;
	t->vcpu = v;
	timer_init(&t->timer, v, vcpu_timer_fires);
	timer_init(&t->cap, v, vcpu_cap_fires);
	return 0;
}

/* The vCPU runs nowhere, and its timers have been cancelled. */
void vcpu_timer_destroy(struct vcpu_shared *v)
{
	if (v->timers)
		heap_free(container_of(v->timers, struct vcpu_timer, timer));
	v->timers = NULL;
}

void vcpu_timer_set(uint64_t tsc)
{
	struct timer *t = this_cpu()->current->timers;

	if (!t) /* vCPUs of built-in tests have none */
		return;
	if (tsc)
		timer_arm(t, tsc);
	else if (atomic_load(&t->armed))
		timer_cancel(t);
}

void vcpu_cap_timer_set(struct vcpu_shared *v, uint64_t tsc)
{
	timer_arm(&container_of(v->timers, struct vcpu_timer, timer)->cap, tsc);
}
