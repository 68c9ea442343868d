/*
 * Ticket spin locks that know which CPU holds them.
 *
 * The global order, outermost first; a lock may be taken only while holding locks named before it:
 *   domain list -> domain -> devices -> grant table -> p2m -> heap -> vmap -> PA->VA hash ->
 *   host page tables -> pool -> frame allocator -> console
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

struct lock {
	_Atomic uint16_t next;
	_Atomic uint16_t serving;
	_Atomic uint32_t holder; /* CPU index + 1, 0 when free */
};

#define LOCK_INIT       \
	{               \
		0, 0, 0 \
	}

static inline bool lock_held(struct lock *l)
{
	return atomic_load_explicit(&l->holder, memory_order_relaxed) == cpu_index() + 1;
}

static inline void lock_acquire(struct lock *l)
{
	if (unlikely(lock_held(l)))
		panic("lock %p taken twice by cpu%u", (void *)l, cpu_index());
	uint16_t ticket = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);
	while (atomic_load_explicit(&l->serving, memory_order_acquire) != ticket)
		__builtin_ia32_pause();
	atomic_store_explicit(&l->holder, cpu_index() + 1, memory_order_relaxed);
}

/* Takes the lock if that needs no waiting. */
static inline bool lock_try(struct lock *l)
{
	uint16_t ticket = atomic_load_explicit(&l->serving, memory_order_relaxed);

	if (!atomic_compare_exchange_strong_explicit(&l->next, &ticket, (uint16_t)(ticket + 1),
						     memory_order_acquire, memory_order_relaxed))
		return false;
	atomic_store_explicit(&l->holder, cpu_index() + 1, memory_order_relaxed);
	return true;
}

static inline void lock_release(struct lock *l)
{
	atomic_store_explicit(&l->holder, 0, memory_order_relaxed);
	uint16_t serving = atomic_load_explicit(&l->serving, memory_order_relaxed);
	atomic_store_explicit(&l->serving, (uint16_t)(serving + 1), memory_order_release);
}

#define assert_locked(l) assert_always(lock_held(l))

#endif
