/*
 * EPT: single frames mapped and taken out in batches. State, lock and invariants: vmx/ept.c; the
 * lock is held from p2m_batch_begin() to p2m_batch_end(). Ready for many CPUs, but for the kick
 * named at p2m_mark_flush().
 *
 * The short way is an index into the leaf table at hand. All else goes the way of a range of one
 * frame: a table that is missing, a larger leaf, and the last entry of a table, with which tables
 * go. So an entry that is taken out the short way leaves no empty table behind and can become zero
 * at once. The count of a table's entries is kept beside it and settled before anybody else looks
 * at it.
 */
#include "ept_tables.h"
#include "public/errno.h"

void p2m_batch_begin(struct p2m_batch *b, struct p2m *p2m)
{
	p2m_lock(p2m);
	b->p2m = p2m;
	b->first = b->count = 0;
	b->in_use = b->counted = 0;
	b->kind = 0;
	b->removed = false;
}

/* Leaves the table at hand. An atomic addition for the reason given at ept_count_entries(). */
static void settle(struct p2m_batch *b)
{
	bool full = b->count && b->in_use == ENTRIES_PER_TABLE;

	if (b->in_use != b->counted)
		__atomic_fetch_add(b->link, (b->in_use - b->counted) << IN_USE_SHIFT,
				   __ATOMIC_RELAXED);
	b->counted = b->in_use;
	b->count = 0;
	if (unlikely(full))
		ept_join(b->p2m, b->first);
}

int ept_leaf_find(struct p2m *p2m, uint64_t gfn, struct p2m_leaf *l)
{
	uint64_t *entries = pool_table(p2m->root), *link = NULL;

	if (gfn >= p2m->max_gfn)
		return -XEN_EINVAL;
	for (unsigned level = LEVEL_TOP; level > 1; level--) {
		link = &entries[level_index(gfn, level)];
		uint64_t value = ept_load(link);

		if (!present(value))
			return -XEN_ENOENT;
		if (value & EPT_LEAF)
			return -XEN_EEXIST;
		entries = entry_table(value);
	}
	*l = (struct p2m_leaf){.entries = entries,
			       .link = link,
			       .first = gfn - level_index(gfn, 1),
			       .tables = p2m->leaf_tables};
	l->count = p2m->max_gfn - l->first;
	if (l->count > ENTRIES_PER_TABLE)
		l->count = ENTRIES_PER_TABLE;
	return 0;
}

bool p2m_batch_reach(struct p2m_batch *b, uint64_t gfn)
{
	struct p2m_leaf *l = ept_leaf_place(gfn);

	if (gfn - b->first < b->count)
		return true;
	settle(b);
	if (ept_leaf_reach(b->p2m, gfn, l))
		return false;
	b->entries = l->entries;
	b->link = l->link;
	b->in_use = b->counted = (ept_load(b->link) & IN_USE_MASK) >> IN_USE_SHIFT;
	b->first = l->first;
	b->count = l->count;
	return true;
}

bool p2m_batch_mapped(struct p2m_batch *b, gfn_t gfn)
{
	struct p2m_entry e;

	if (p2m_batch_reach(b, gfn_raw(gfn)))
		return present(ept_load(&b->entries[gfn_raw(gfn) - b->first]));
	return p2m_lookup(b->p2m, gfn, &e);
}

/* The first frame of a kind goes by the range, too: there the kind is checked. */
int p2m_batch_map(struct p2m_batch *b, gfn_t gfn, mfn_t frame, enum p2m_type type, unsigned access)
{
	unsigned kind = p2m_batch_kind(type, access);

	if (kind == b->kind && mfn_raw(frame) < MFN_LIMIT && p2m_batch_reach(b, gfn_raw(gfn))) {
		uint64_t *slot = p2m_batch_slot(b, gfn, kind);

		if (!slot)
			return -XEN_EEXIST;
		p2m_batch_set(b, slot, frame);
		return 0;
	}
	settle(b);
	int rc = ept_map_locked(b->p2m, gfn, frame, 1, type, access);
	if (!rc) {
		b->kind = kind;
		b->leaf = make_leaf(make_mfn(0), type, access, 1);
	}
	return rc;
}

int p2m_batch_unmap(struct p2m_batch *b, gfn_t gfn)
{
	if (p2m_batch_reach(b, gfn_raw(gfn)) && b->in_use > 1) {
		uint64_t *slot = &b->entries[gfn_raw(gfn) - b->first];

		if (present(ept_load(slot)))
			p2m_batch_clear_slot(b, slot);
		return 0;
	}
	settle(b);
	return ept_unmap_locked(b->p2m, gfn, 1, NULL, NULL);
}

int p2m_batch_take_any(struct p2m_batch *b, gfn_t gfn, enum p2m_type type, mfn_t *frame)
{
	struct p2m_entry e;

	if (!p2m_lookup(b->p2m, gfn, &e))
		return -XEN_ENOENT;
	*frame = e.frame;
	return e.type == type ? p2m_batch_unmap(b, gfn) : -XEN_EINVAL;
}

int p2m_batch_exchange(struct p2m_batch *b, gfn_t gfn, enum p2m_type type, mfn_t frame, mfn_t *old)
{
	uint64_t g = gfn_raw(gfn);

	if (unlikely(!p2m_batch_reach(b, g))) {
		struct p2m_entry e;
		int rc = -XEN_ENOENT;

		if (p2m_lookup(b->p2m, gfn, &e))
			rc = e.type == type ? ept_split(b->p2m, g) : -XEN_EINVAL;
		if (rc)
			return rc;
		p2m_batch_reach(b, g);
	}
	uint64_t *entry = &b->entries[g - b->first], value = ept_load(entry);
	if (unlikely(!present(value)))
		return -XEN_ENOENT;
	if (unlikely((value & EPT_TYPE_MASK) >> EPT_TYPE_SHIFT != type))
		return -XEN_EINVAL;
	*old = entry_frame(value);
	value &= ~(EPT_ADDRESS_MASK | EPT_ACCESSED | EPT_DIRTY);
	ept_store(entry, value | mfn_raw(frame) << PAGE_SHIFT);
	b->removed = true;
	return 0;
}

/* The order is that of ept_unmap_locked(): entries, generation, marks; what was removed after. */
void p2m_batch_end(struct p2m_batch *b)
{
	settle(b);
	if (b->removed) {
		ept_move_generation(b->p2m);
		p2m_mark_flush(b->p2m);
	}
	lock_release(&b->p2m->lock);
	trace(TRACE_BATCH, 0, b->removed);
}
