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

#define NO_TABLE (~0ull)

void p2m_batch_begin(struct p2m_batch *b, struct p2m *p2m)
{
	lock_acquire(&p2m->lock);
	b->p2m = p2m;
	b->table = NO_TABLE;
	b->uncounted = 0;
	b->kind = 0;
	b->removed = false;
}

/* Leaves the table at hand. An atomic addition for the reason given at ept_count_entries(). */
static void settle(struct p2m_batch *b)
{
	uint64_t table = b->table;

	if (b->uncounted)
		__atomic_fetch_add(b->link, (uint64_t)b->uncounted << IN_USE_SHIFT,
				   __ATOMIC_RELAXED);
	b->uncounted = 0;
	b->table = NO_TABLE;
	if (unlikely(table != NO_TABLE && b->in_use == ENTRIES_PER_TABLE))
		ept_join(b->p2m, table * ENTRIES_PER_TABLE);
}

static __attribute__((noinline)) bool take_table(struct p2m_batch *b, uint64_t gfn)
{
	struct ept_cursor c = {.p2m = b->p2m};

	settle(b);
	ept_seek(&c, gfn, 1, false);
	if (c.level != 1)
		return false;
	b->entries = c.path[1] - level_index(gfn, 1);
	b->link = c.path[2];
	b->in_use = (ept_load(b->link) & IN_USE_MASK) >> IN_USE_SHIFT;
	b->table = gfn / ENTRIES_PER_TABLE;
	return true;
}

/* Whether the leaf table at hand is that of gfn, which is below max_gfn. */
static inline bool at_hand(struct p2m_batch *b, uint64_t gfn)
{
	return likely(gfn / ENTRIES_PER_TABLE == b->table) || take_table(b, gfn);
}

bool p2m_batch_mapped(struct p2m_batch *b, gfn_t gfn)
{
	uint64_t g = gfn_raw(gfn);
	struct p2m_entry e;

	if (likely(g < b->p2m->max_gfn && at_hand(b, g)))
		return present(ept_load(&b->entries[g % ENTRIES_PER_TABLE]));
	return p2m_lookup(b->p2m, gfn, &e);
}

/* The first frame of a kind goes this way, too: there the kind is checked. */
static __attribute__((noinline)) int map_other(struct p2m_batch *b, gfn_t gfn, mfn_t frame,
					       enum p2m_type type, unsigned access)
{
	settle(b);
	int rc = ept_map_locked(b->p2m, gfn, frame, 1, type, access);
	if (!rc) {
		b->kind = (unsigned)type << 8 | access;
		b->leaf = make_leaf(make_mfn(0), type, access, 1);
	}
	return rc;
}

int p2m_batch_map(struct p2m_batch *b, gfn_t gfn, mfn_t frame, enum p2m_type type, unsigned access)
{
	uint64_t g = gfn_raw(gfn);

	if (unlikely(((unsigned)type << 8 | access) != b->kind || g >= b->p2m->max_gfn ||
		     mfn_raw(frame) >= MFN_LIMIT || !at_hand(b, g)))
		return map_other(b, gfn, frame, type, access);
	uint64_t *entry = &b->entries[g % ENTRIES_PER_TABLE];
	if (unlikely(present(ept_load(entry))))
		return -XEN_EEXIST;
	ept_store(entry, mfn_raw(frame) << PAGE_SHIFT | b->leaf);
	b->in_use++;
	b->uncounted++;
	return 0;
}

static __attribute__((noinline)) int unmap_other(struct p2m_batch *b, gfn_t gfn)
{
	settle(b);
	return ept_unmap_locked(b->p2m, gfn, 1, NULL, NULL);
}

int p2m_batch_unmap(struct p2m_batch *b, gfn_t gfn)
{
	uint64_t g = gfn_raw(gfn);

	if (unlikely(g >= b->p2m->max_gfn || !at_hand(b, g) || b->in_use == 1))
		return unmap_other(b, gfn);
	uint64_t *entry = &b->entries[g % ENTRIES_PER_TABLE];
	if (unlikely(!present(ept_load(entry))))
		return 0;
	ept_store(entry, 0);
	b->in_use--;
	b->uncounted--;
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
}
