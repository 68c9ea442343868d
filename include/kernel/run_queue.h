/*
 * The run queue of one processor: vCPUs by virtual time. Pure: no clock, no other queue.
 * kernel/run_queue.c.
 */
#ifndef KEYHOLE_KERNEL_RUN_QUEUE_H
#define KEYHOLE_KERNEL_RUN_QUEUE_H

#include "../lock.h"
#include "../vcpu.h"

struct run_queue {
	struct lock lock;	     /* all of this; state and cpu of the vCPUs that belong here */
	struct vcpu_shared *first;   /* by virtual time, the least first */
	struct vcpu_shared *running; /* taken off by this CPU; NULL: none */
	_Atomic uint32_t waiting;    /* on the list; may be read without the lock */
	uint64_t virtual_time;	     /* of the one taken last; never goes back */
	uint64_t chores;	     /* kernel/chores.c; 0: none */
	uint64_t chores_begun;	     /* this CPU's own */
} aligned_to(64);

/* All with the lock held. */
void run_queue_add(struct run_queue *q, struct vcpu_shared *v);
/* v was blocked: what it did not use while it slept it has lost, but for credit ticks. */
void run_queue_wake(struct run_queue *q, struct vcpu_shared *v, uint64_t credit);
/* v gives way: to the first that waits, or to chores, though it may have used less. */
void run_queue_yield(struct run_queue *q, struct vcpu_shared *v);
/* Takes off the first, with ok the first that it allows; or NULL. */
struct vcpu_shared *run_queue_take(struct run_queue *q,
				   bool (*ok)(const struct vcpu_shared *v, void *ctx), void *ctx);
/* Ticks that v has used, by its weight. */
void run_queue_charge(struct vcpu_shared *v, uint64_t ticks);
/* v comes from another queue, whose virtual time was that. */
void run_queue_arrive(struct run_queue *q, struct vcpu_shared *v, uint64_t from_time);

#endif
