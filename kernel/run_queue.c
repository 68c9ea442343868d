/*
 * Run queues: fair by virtual time.
 *
 * Each vCPU has a virtual time, the ticks that it has used divided by its weight, and the one that
 * has used least is next: over time each gets processor time in proportion to its weight. A queue's
 * own virtual time follows the vCPUs that it runs; who comes from sleep, or from another queue, is
 * placed relative to it, so that nobody saves up time, and nobody is made to wait for others to
 * catch up.
 *
 * State: the queues are kernel/sched.c's. Lock: the queue's own, held by the caller. Insertion is
 * linear in the queue's length, which domain_create() bounds for all of them together.
 */
#include "kernel/run_queue.h"

/* Whether time a is before b: they wrap. */
static bool before(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) < 0;
}

void run_queue_add(struct run_queue *q, struct vcpu_shared *v)
{
	struct vcpu_shared **at = &q->first;

	while (*at && !before(v->virtual_time, (*at)->virtual_time))
		at = &(*at)->run_next;
	v->run_next = *at;
	*at = v;
	atomic_store_explicit(&q->waiting, q->waiting + 1, memory_order_relaxed);
}

void run_queue_wake(struct run_queue *q, struct vcpu_shared *v, uint64_t credit)
{
	if (before(v->virtual_time, q->virtual_time - credit))
		v->virtual_time = q->virtual_time - credit;
	run_queue_add(q, v);
}

void run_queue_yield(struct run_queue *q, struct vcpu_shared *v)
{
	uint64_t to = q->first ? q->first->virtual_time : q->chores;

	if (q->chores && before(q->chores, to))
		to = q->chores;
	if (to && before(v->virtual_time, to))
		v->virtual_time = to;
	run_queue_add(q, v);
}

struct vcpu_shared *run_queue_take(struct run_queue *q,
				   bool (*ok)(const struct vcpu_shared *v, void *ctx), void *ctx)
{
	struct vcpu_shared **at = &q->first, *v;

	while (*at && ok && !ok(*at, ctx))
		at = &(*at)->run_next;
	v = *at;
	if (!v)
		return NULL;
	/* By the one that has used least, whoever is taken: others may be far ahead. */
	if (before(q->virtual_time, q->first->virtual_time))
		q->virtual_time = q->first->virtual_time;
	*at = v->run_next;
	v->run_next = NULL;
	atomic_store_explicit(&q->waiting, q->waiting - 1, memory_order_relaxed);
	return v;
}

void run_queue_charge(struct vcpu_shared *v, uint64_t ticks)
{
	v->virtual_time += ticks * VCPU_WEIGHT_DEFAULT / v->weight;
}

void run_queue_arrive(struct run_queue *q, struct vcpu_shared *v, uint64_t from_time)
{
	v->virtual_time += q->virtual_time - from_time;
}
