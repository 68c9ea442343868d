/*
 * EPT tables from within: a cursor that moves through them. For vmx/ept*.c alone.
 */
#ifndef KEYHOLE_VMX_EPT_TABLES_H
#define KEYHOLE_VMX_EPT_TABLES_H

#include "mutant.h"
#include "trace.h"
#include "vmx/ept_entry.h"

/* What the processor offers; written once at boot. */
struct ept_config {
	bool has_1g, has_2m, has_accessed_dirty;
};
extern struct ept_config ept_config;

/* --- a place in the tables -------------------------------------------------------------------- */

struct ept_cursor {
	struct p2m *p2m;
	uint64_t gfn;
	unsigned level;		       /* of the entry found; 0: none yet, or a table has gone */
	uint64_t *path[LEVEL_TOP + 1]; /* path[l]: the entry of level l on the way, l >= level */
};

/*
 * Goes to the entry for gfn: of level floor, or above where the way ends earlier, at a large leaf
 * or at nothing. Within one leaf table this is an index. Tombstones of tables are followed if
 * dead is set. gfn < P2M_GFN_LIMIT.
 */
static inline uint64_t ept_seek(struct ept_cursor *c, uint64_t gfn, unsigned floor, bool dead)
{
	if (c->level == 1 && floor == 1 && !((c->gfn ^ gfn) >> 9)) {
		c->path[1] += (int64_t)(gfn - c->gfn);
		c->gfn = gfn;
		return ept_load(c->path[1]);
	}
	uint64_t *table = pool_table(c->p2m->root);
	c->gfn = gfn;
	for (unsigned level = LEVEL_TOP;; level--) {
		uint64_t *entry = &table[level_index(gfn, level)];
		uint64_t value = ept_load(entry);

		c->path[level] = entry;
		c->level = level;
		if (level == floor || value & EPT_LEAF ||
		    !(present(value) || (dead && value & TOMBSTONE)))
			return value;
		table = entry_table(value & TOMBSTONE ? tombstone_entry(value) : value);
	}
}

/* The first frame behind the current entry. */
static inline uint64_t ept_next(const struct ept_cursor *c)
{
	return (c->gfn | (level_span(c->level) - 1)) + 1;
}

/* Entries of the current leaf table from the cursor on that lie before end. */
static inline uint64_t ept_run(const struct ept_cursor *c, uint64_t end)
{
	uint64_t stop = (c->gfn | (ENTRIES_PER_TABLE - 1)) + 1;

	return (stop < end ? stop : end) - c->gfn;
}

/*
 * Entries of the table in which path[level] lies were filled (or, negative, emptied). An atomic
 * addition, because the processor may set the accessed flag in the same entry.
 */
static inline void ept_count_entries(struct ept_cursor *c, unsigned level, int64_t entries)
{
	if (level < LEVEL_TOP)
		__atomic_fetch_add(c->path[level + 1], (uint64_t)entries << IN_USE_SHIFT,
				   __ATOMIC_RELAXED);
}

void ept_release_tables(struct ept_cursor *c, uint64_t next, uint64_t end, bool all);

/* Whether [gfn, gfn + frame_count) lies below max_gfn, wrap-around included. */
static inline bool ept_range_valid(const struct p2m *p2m, uint64_t gfn, uint64_t frame_count)
{
	return gfn <= p2m->max_gfn && frame_count <= p2m->max_gfn - gfn;
}

static inline bool ept_access_valid(enum p2m_type type, unsigned access)
{
	/* Writable or executable and not readable: not offered by every processor, and a
	 * misconfiguration where it is not. */
	if (!(access & P2M_R) || access & ~P2M_RWX)
		return false;
	if ((unsigned)type <= P2M_NONE || (unsigned)type >= P2M_TYPE_COUNT)
		return false;
	return type != P2M_GRANT_RO || !(access & P2M_W);
}

/* p2m_map(), p2m_unmap() and their checks, with p2m->lock held. The generation has moved. */
int ept_map_locked(struct p2m *p2m, gfn_t gfn, mfn_t frame, uint64_t frame_count,
		   enum p2m_type type, unsigned access) must_use;
int ept_unmap_locked(struct p2m *p2m, gfn_t gfn, uint64_t frame_count, p2m_removed_fn removed,
		     void *ctx) must_use;
/* Has the leaf for gfn cover it alone. -XEN_ENOMEM. */
int ept_split(struct p2m *p2m, uint64_t gfn) must_use;
void ept_move_generation(struct p2m *p2m);
/* To be called when a leaf table leaves the tree: no CPU has it at hand any more. */
void ept_forget_leaves(struct p2m *p2m);
/* To be called when the table that holds gfn's leaf has become full. */
void ept_join(struct p2m *p2m, uint64_t gfn);

/* --- leaf tables at hand -------------------------------------------------------------------------
 */

/* This CPU's place for the leaf table of a gfn. */
static inline struct p2m_leaf *ept_leaf_place(uint64_t gfn)
{
	return &this_cpu()->leaves[gfn / ENTRIES_PER_TABLE % P2M_LEAVES];
}

int ept_leaf_find(struct p2m *p2m, uint64_t gfn, struct p2m_leaf *l) must_use;

/* Whether the leaf table of a gfn is at its place. */
static inline bool ept_leaf_good(const struct p2m *p2m, uint64_t gfn, const struct p2m_leaf *l)
{
	return gfn - l->first < l->count && l->tables == p2m->leaf_tables;
}

/* Brings the leaf table of a gfn to its place, for a visitor or with p2m->lock held. -XEN_ENOENT:
 * there is none; -XEN_EEXIST: a large leaf is there; -XEN_EINVAL: beyond max_gfn. */
must_use static inline int ept_leaf_reach(struct p2m *p2m, uint64_t gfn, struct p2m_leaf *l)
{
	return likely(ept_leaf_good(p2m, gfn, l)) ? 0 : ept_leaf_find(p2m, gfn, l);
}

/* --- the lock and visitors
 * ------------------------------------------------------------------------
 */

/*
 * Who takes the lock and who comes must not miss each other: each writes by a locked operation (a
 * ticket of the lock, the count of visitors), then reads what the other one writes. A visitor that
 * finds the lock busy leaves again, and comes when it has had the lock itself.
 */
static inline void p2m_lock(struct p2m *p2m)
{
	lock_acquire(&p2m->lock);
	while (unlikely(atomic_load_explicit(&p2m->visitors, memory_order_acquire)) &&
	       !MUTANT(NO_WAIT_VISITORS))
		__builtin_ia32_pause();
}

/* --- tables taken ahead of a change ----------------------------------------------------------- */

/* A chain through the first words of tables that are linked nowhere yet; zero ends it. */
struct ept_spare {
	mfn_t first;
};

int ept_spare_fill(struct p2m *p2m, struct ept_spare *spare, uint64_t count) must_use;
mfn_t ept_spare_pop(struct ept_spare *spare);

#endif
