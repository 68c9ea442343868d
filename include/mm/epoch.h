/*
 * Epochs and deferred freeing: the interface of mm/epoch.c.
 *
 * Root mode is the read side. A CPU passes a quiescent point at every VM entry and in idle, where
 * it holds no pointer to anything that another CPU may free. What is deferred runs when every
 * online CPU has passed one since, having flushed there what it had to.
 */
#ifndef KEYHOLE_MM_EPOCH_H
#define KEYHOLE_MM_EPOCH_H

#include "types.h"

/* Frames, linked through the frame table; the order of a block is in the state of its first one. */
struct frame_chain {
	uint32_t first, last; /* valid if count */
	uint64_t count;
};

struct epoch_deferred {
	struct epoch_deferred *next;
	void (*run)(struct epoch_deferred *d);
	uint64_t epoch;
	uint32_t work;
};

/*
 * Has run(d) called on this CPU, in root mode, at a quiescent point, when every online CPU has
 * passed one. The caller has made what d stands for unreachable. d lies in shared memory and must
 * stay until then; run may defer it again.
 */
void epoch_defer(struct epoch_deferred *d, void (*run)(struct epoch_deferred *d));
/* The same for something that frees work things, at least one: they count against what is freed at
 * one quiescent point. */
void epoch_defer_work(struct epoch_deferred *d, void (*run)(struct epoch_deferred *d),
		      uint32_t work);
/*
 * Frees 2^order frames that are unmapped, flushed (hostpt_flush) and without a reference but the
 * owner's, when every CPU has passed a quiescent point. Links through the frame table, never fails;
 * anything else is a panic.
 */
void epoch_free_frames(mfn_t first, unsigned order);
/*
 * The same for a block that frame_retire() has marked, which begins at first, and for many of them.
 */
void epoch_free_retired(mfn_t first);
void epoch_free_chain(const struct frame_chain *blocks);
/* Frees a table page of a pool once it is safe. Its account is credited at once. */
struct table_account;
void epoch_free_table(struct table_account *account, mfn_t table);
/*
 * A number, never 0, for what holds from now on: epoch_over() when every CPU has passed a quiescent
 * point since. For a number that nobody was given, it is over. The lower half of an epoch: who
 * keeps it may be a guest with 32-bit registers.
 */
uint32_t epoch_ticket(void);
bool epoch_over(uint32_t ticket);
/*
 * This CPU is at a quiescent point: VM entry or idle, no lock held, no pointer kept to anything
 * that another CPU may free. Drops translations if it was asked to, and frees some of what is due.
 * Leaves ENTRY_WORK_EPOCH set while something of this CPU's own waits.
 */
void epoch_quiescent(void);
void epoch_cpu_online(uint32_t cpu);
/* Whether this CPU has deferred something that has not run yet. */
bool epoch_pending(void);

#endif
