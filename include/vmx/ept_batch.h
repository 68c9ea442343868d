/*
 * The short way through a batch of p2m changes, inline: one frame in the leaf table at hand is a
 * comparison, a load and a store. Everything else goes through the functions of p2m.h
 * (vmx/ept_batch.c), which also bring a table to hand. Between p2m_batch_begin() and
 * p2m_batch_end(), with the p2m's lock held.
 */
#ifndef KEYHOLE_VMX_EPT_BATCH_H
#define KEYHOLE_VMX_EPT_BATCH_H

#include "p2m.h"

/* --- entries of EPT ------------------------------------------------------------------------- */

static inline uint64_t ept_load(const uint64_t *entry)
{
	return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

/* Release: who sees the entry sees what it points to. */
static inline void ept_store(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/* --- batches -------------------------------------------------------------------------------- */

static inline unsigned p2m_batch_kind(enum p2m_type type, unsigned access)
{
	return (unsigned)type << 8 | access;
}

/*
 * Where a frame of a kind can be entered at gfn by p2m_batch_set(), until the next other call for
 * this batch. NULL: there is something, or it is not that simple: p2m_batch_map() knows.
 */
static inline uint64_t *p2m_batch_slot(const struct p2m_batch *b, gfn_t gfn, unsigned kind)
{
	uint64_t i = gfn_raw(gfn) - b->first;

	if (unlikely(i >= b->count || b->kind != kind || ept_load(&b->entries[i]) & P2M_RWX))
		return NULL;
	return &b->entries[i];
}

/* frame: one of RAM. */
static inline void p2m_batch_set(struct p2m_batch *b, uint64_t *slot, mfn_t frame)
{
	ept_store(slot, mfn_raw(frame) << PAGE_SHIFT | b->leaf);
	b->in_use++;
}

static inline void p2m_batch_clear_slot(struct p2m_batch *b, uint64_t *slot)
{
	ept_store(slot, 0);
	b->in_use--;
	b->removed = true;
}

/* p2m_batch_unmap() of a frame that is mapped. */
must_use static inline int p2m_batch_clear(struct p2m_batch *b, gfn_t gfn)
{
	uint64_t i = gfn_raw(gfn) - b->first;

	/* The last entry of a table takes tables with it. */
	if (unlikely(i >= b->count || b->in_use == 1))
		return p2m_batch_unmap(b, gfn);
	p2m_batch_clear_slot(b, &b->entries[i]);
	return 0;
}

#endif
