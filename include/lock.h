/*
 * Ticket spin locks that know which CPU holds them.
 *
 * The global order is enum lock_rank, outermost first: a lock may be taken only while holding locks
 * of lower ranks. Event channels alone have two of one rank taken, in the order of their domains'
 * ids. Test builds check this wherever a lock is taken, and note how long each rank is held at most
 * (selftest/lock_order.c).
 *
 * Taking a table or a frame may map memory, so the last three of mm are never held across a call
 * of one another: mm/pool.c says why the loop between them ends. Epochs need no lock. BUSY, a bit
 * of a grant's active word (kernel/grant_entry.c), is held within domain, grant table and p2m, for
 * one word at a time and with nothing taken inside. Root mode runs with interrupts off, so no lock
 * has an interrupt-safe variant. NMI and machine-check code takes none. A lock lives in shared
 * memory, never on a stack or in a private range.
 */
#ifndef KEYHOLE_LOCK_H
#define KEYHOLE_LOCK_H

#include "percpu.h"
#include "print.h"
#include <stdatomic.h>

enum lock_rank {
	LOCK_UNRANKED,
	LOCK_DOMAIN,
	LOCK_DEVICES,
	LOCK_GRANTS,
	LOCK_EVTCHN,
	LOCK_DEMAND,
	LOCK_P2M,
	LOCK_HEAP,
	LOCK_VMAP,
	LOCK_PAHASH,
	LOCK_HOSTPT,
	LOCK_POOL,
	LOCK_FRAME_CACHE,
	LOCK_FRAMES,
	LOCK_VPID,
	LOCK_RUNSTATE,
	LOCK_TIMERS,
	LOCK_RUN_QUEUE,
	LOCK_CONSOLE,
	LOCK_RANKS
};

struct lock {
	_Atomic uint16_t next;
	_Atomic uint16_t serving;
	_Atomic uint32_t holder; /* CPU index + 1, 0 when free */
#ifdef CONFIG_TEST
	uint16_t rank;	/* enum lock_rank; constant */
	uint16_t order; /* of those with one rank, the least first; constant */
	uint64_t since; /* when it was taken last */
#endif
};

/* A static lock, and one in an object that is being made. */
#ifdef CONFIG_TEST
#define LOCK_INIT(which)        \
	{                       \
		.rank = (which) \
	}
#define LOCK_INIT_ORDERED(which, place)           \
	{                                         \
		.rank = (which), .order = (place) \
	}
void lock_check(const struct lock *l);
void lock_taken(struct lock *l);
void lock_given(struct lock *l);
void lock_print_times(void);
#else
#define LOCK_INIT(which)    \
	{                   \
		.holder = 0 \
	}
#define LOCK_INIT_ORDERED(which, place) \
	{                               \
		.holder = 0             \
	}
static inline void lock_check(const struct lock *l)
{
	(void)l;
}
static inline void lock_taken(const struct lock *l)
{
	(void)l;
}
static inline void lock_given(const struct lock *l)
{
	(void)l;
}
#endif

static inline bool lock_held(struct lock *l)
{
	return atomic_load_explicit(&l->holder, memory_order_relaxed) == cpu_index() + 1;
}

static inline void lock_acquire(struct lock *l)
{
	lock_check(l);
	uint16_t ticket = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);
	if (unlikely(atomic_load_explicit(&l->serving, memory_order_acquire) != ticket)) {
		if (lock_held(l))
			panic("lock %p taken twice by cpu%u", (void *)l, cpu_index());
		do
			__builtin_ia32_pause();
		while (atomic_load_explicit(&l->serving, memory_order_acquire) != ticket);
	}
	atomic_store_explicit(&l->holder, cpu_index() + 1, memory_order_relaxed);
	lock_taken(l);
}

/* Takes the lock if that needs no waiting. */
static inline bool lock_try(struct lock *l)
{
	uint16_t ticket = atomic_load_explicit(&l->serving, memory_order_acquire);

	if (!atomic_compare_exchange_strong_explicit(&l->next, &ticket, (uint16_t)(ticket + 1),
						     memory_order_relaxed, memory_order_relaxed))
		return false;
	atomic_store_explicit(&l->holder, cpu_index() + 1, memory_order_relaxed);
	lock_taken(l);
	return true;
}

/* Whether somebody has the lock. If not, all see that who have had it. */
static inline bool lock_busy(struct lock *l)
{
	uint16_t next = atomic_load_explicit(&l->next, memory_order_acquire);

	return next != atomic_load_explicit(&l->serving, memory_order_acquire);
}

static inline void lock_release(struct lock *l)
{
	lock_given(l);
	atomic_store_explicit(&l->holder, 0, memory_order_relaxed);
#ifdef KEYHOLE_HOST_TEST /* where a sanitizer looks on */
	uint16_t serving = atomic_load_explicit(&l->serving, memory_order_relaxed);
	atomic_store_explicit(&l->serving, (uint16_t)(serving + 1), memory_order_release);
#else
	/* A release; not locked: nobody else writes it meanwhile. */
	__asm__ volatile("incw %0" : "+m"(l->serving) : : "memory", "cc");
#endif
}

#define assert_locked(l) assert_always(lock_held(l))

#endif
