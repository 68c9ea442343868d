/*
 * The short way through a batch of p2m changes, inline: one frame in the leaf table at hand is a
 * comparison, a load and a store. Everything else goes through the functions of p2m.h
 * (vmx/ept_batch.c), which also bring a table to hand. Between p2m_batch_begin() and
 * p2m_batch_end(), with the p2m's lock held. Visits, which do without it, are below.
 */
#ifndef KEYHOLE_VMX_EPT_BATCH_H
#define KEYHOLE_VMX_EPT_BATCH_H

#include "cpu_bits.h"
#include "p2m.h"
#include "public/errno.h"
#include "vmx/controls.h"

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

/* Where an entry has its type, in bits that the processor ignores. */
#define EPT_TYPE_SHIFT 52
#define EPT_TYPE_MAX   7u
#define EPT_TYPE_MASK  ((uint64_t)EPT_TYPE_MAX << EPT_TYPE_SHIFT)

static inline mfn_t entry_frame(uint64_t value)
{
	return make_mfn((value & EPT_ADDRESS_MASK) >> PAGE_SHIFT);
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

/* p2m_batch_unmap() of a frame of this type: which it was. -XEN_ENOENT: there is nothing;
 * -XEN_EINVAL: something else. */
must_use static inline int p2m_batch_take(struct p2m_batch *b, gfn_t gfn, enum p2m_type type,
					  mfn_t *frame)
{
	uint64_t i = gfn_raw(gfn) - b->first;

	if (likely(i < b->count && b->in_use > 1)) {
		uint64_t value = ept_load(&b->entries[i]);

		if (likely(value & EPT_RWX && (value & EPT_TYPE_MASK) >> EPT_TYPE_SHIFT == type)) {
			*frame = entry_frame(value);
			p2m_batch_clear_slot(b, &b->entries[i]);
			return 0;
		}
	}
	return p2m_batch_take_any(b, gfn, type, frame);
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

/* --- visits --------------------------------------------------------------------------------- */

/* Where an entry that points to a table has the number of entries in use there. */
#define IN_USE_SHIFT 52
#define IN_USE_MASK  (UINT64_C(0x3ff) << IN_USE_SHIFT)

/* Changes an entry from *was; if it is something else, *was is what. */
static inline bool ept_change(uint64_t *entry, uint64_t *was, uint64_t value)
{
	return __atomic_compare_exchange_n(entry, was, value, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_ACQUIRE);
}

/* Whether an entry is a single page of this type. All that is readable is present. */
static inline bool ept_is(uint64_t value, enum p2m_type type)
{
	return (value & (EPT_TYPE_MASK | P2M_R)) == ((uint64_t)type << EPT_TYPE_SHIFT | P2M_R);
}

/* Whether gfn has a leaf table, which is then at hand. */
static inline bool p2m_visit_at(struct p2m_visit *v, uint64_t gfn)
{
	return likely(gfn - v->leaf.first < v->leaf.count) || p2m_visit_reach(v, gfn);
}

/* Whether what is at gfn, a single page, was used since it was mapped or this was last asked. */
static inline bool p2m_visit_used(struct p2m_visit *v, gfn_t gfn)
{
	if (!p2m_visit_at(v, gfn_raw(gfn)))
		return false;
	uint64_t *entry = &v->leaf.entries[gfn_raw(gfn) - v->leaf.first];
	if (!(ept_load(entry) & EPT_ACCESSED))
		return false;
	/* Locked: others change entries, too. */
	__atomic_fetch_and(entry, ~EPT_ACCESSED, __ATOMIC_RELAXED);
	return true;
}

/* Takes the page of this type at gfn out: its frame waits for the visit's end. -XEN_ENOENT: it is
 * not there, or something else is. */
must_use static inline int p2m_visit_take(struct p2m_visit *v, gfn_t gfn, enum p2m_type type,
					  mfn_t *frame)
{
	const uint64_t one = UINT64_C(1) << IN_USE_SHIFT;

	if (!p2m_visit_at(v, gfn_raw(gfn)))
		return -XEN_ENOENT;
	uint64_t *entry = &v->leaf.entries[gfn_raw(gfn) - v->leaf.first], value = ept_load(entry);
	if (unlikely(!ept_is(value, type)))
		return -XEN_ENOENT;
	/* Counted first, so that nobody takes the last one for another. */
	uint64_t link = ept_load(v->leaf.link);
	do
		if (unlikely((link & IN_USE_MASK) == one))
			return p2m_visit_take_last(v, gfn, type, frame);
	while (unlikely(!ept_change(v->leaf.link, &link, link - one)));
	while (unlikely(!ept_change(entry, &value, 0)))
		if (!ept_is(value, type)) {
			__atomic_fetch_add(v->leaf.link, one, __ATOMIC_RELAXED);
			return -XEN_ENOENT;
		}
	*frame = entry_frame(value);
	v->removed = true;
	return 0;
}

#endif
