/*
 * vCPUs that may run and shall not: those of a paused domain, and one that the monitor looks at.
 *
 * State: domain.paused, vcpu_shared.inspected. No lock: who takes a vCPU off a queue looks at both
 * after it has set the vCPU's state (kernel/sched.c), and here the state is looked at after them.
 */
#include "kernel/domain.h"
#include "kernel/sched.h"
#include "percpu.h"

void domain_pause(struct domain *d)
{
	atomic_store(&d->paused, true);
	for (uint32_t i = 0; i < d->vcpu_count; i++)
		if (atomic_load(&d->vcpus[i]->state) == VCPU_RUNNING)
			cpu_kick(atomic_load(&d->vcpus[i]->cpu), ENTRY_WORK_RESCHEDULE);
}

void domain_resume(struct domain *d)
{
	atomic_store(&d->paused, false);
	for (uint32_t i = 0; i < d->vcpu_count; i++)
		if (atomic_load(&d->vcpus[i]->state) == VCPU_PAUSED)
			vcpu_kick(d->vcpus[i]);
}

bool sched_inspect(struct vcpu_shared *v)
{
	atomic_store(&v->inspected, true);
	if (!atomic_load(&v->loaded) && atomic_load(&v->state) != VCPU_RUNNING)
		return true;
	cpu_kick(atomic_load(&v->cpu), ENTRY_WORK_RESCHEDULE);
	return false;
}

void sched_inspect_end(struct vcpu_shared *v)
{
	atomic_store(&v->inspected, false);
	if (atomic_load(&v->state) == VCPU_PAUSED)
		vcpu_kick(v);
}
