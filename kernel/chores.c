/*
 * Making domains and taking them apart, as one more that wants a CPU: while vCPUs wait for it, its
 * chores together get as much of it as one of them with the usual weight. So who has domains made
 * and destroyed takes no more from others than by a busy vCPU.
 *
 * State: the run queue's virtual time of chores, 0 when there were none lately, under its lock.
 */
#include "kernel/chores.h"
#include "cpu.h"

bool chores_due(struct run_queue *q)
{
	q->chores_begun = rdtsc();
	if (likely(!q->chores)) /* this CPU alone sets it */
		return true;
	lock_acquire(&q->lock);
	const struct vcpu_shared *next = q->first;
	bool due = !next || (int64_t)(next->virtual_time - q->chores) >= 0;
	lock_release(&q->lock);
	return due;
}

bool chores_done(struct run_queue *q, bool busy)
{
	if (likely(!busy && !q->chores))
		return false;
	lock_acquire(&q->lock);
	const struct vcpu_shared *next = q->first;
	if (!busy || !next)
		q->chores = 0;
	else if (!q->chores || (int64_t)(next->virtual_time - q->chores) > 0)
		q->chores = next->virtual_time;
	if (q->chores)
		q->chores += rdtsc() - q->chores_begun;
	lock_release(&q->lock);
	return busy;
}
