/*
 * EPT tables from within: entries, and a cursor that moves through them. For vmx/ept*.c alone.
 */
#ifndef KEYHOLE_VMX_EPT_TABLES_H
#define KEYHOLE_VMX_EPT_TABLES_H

#include "cpu_bits.h"
#include "p2m.h"
#include "trace.h"
#include "vmx/controls.h"
#include "vmx/ept_batch.h"

/*
 * An entry. In the bits that the processor ignores a leaf has its type, a link to a table the
 * number of entries in use there; a tombstone has the rights it had.
 *
 *   63  62    61   59    54  52 51         12    9   8   7   6   5  3   2   1   0
 *  +--+-----+--------+--+------+-------------+--+---+---+----+---+-----+---+---+---+
 *  |0 |tomb.| rights |0 | type | frame       |0 | D | A |leaf| 0 |type | X | W | R | leaf
 *  +--+-----+--------+--+------+-------------+--+---+---+----+---+-----+---+---+---+
 *  |0 |tomb.| entries in use   | frame       |0 |   | A | 0  |     0   | 1 | 1 | 1 | table
 *  +--+-----+------------------+-------------+--+---+---+----+---------+---+---+---+
 *
 * Bits 57, 58, 60 and 61 of a present leaf have meanings under controls that are off here; they
 * are never set. All of 62:52 are ignored in an entry that points to a table.
 */
#define IN_USE_SHIFT	 52
#define IN_USE_MASK	 (UINT64_C(0x3ff) << IN_USE_SHIFT)
#define OLD_RIGHTS_SHIFT 59
#define TOMBSTONE	 BIT64(62)
#define LEAF_WRITE_BACK	 ((uint64_t)MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT)

_Static_assert(P2M_R == EPT_READ && P2M_W == EPT_WRITE && P2M_X == EPT_EXECUTE,
	       "rights are stored as they come");
_Static_assert(EPT_TYPE_SHIFT == 64 - 12 && EPT_RWX << 12 == (P2M_ENTRY_TYPE_ACCESS & ~7ull),
	       "decode_leaf() turns an entry");
_Static_assert(P2M_TYPE_COUNT <= (EPT_TYPE_MASK >> EPT_TYPE_SHIFT) + 1, "types fit the entry");
_Static_assert(P2M_GFN_LIMIT == 1ull << 36, "four levels of nine bits");

#define LEVEL_TOP	  4u
#define ENTRIES_PER_TABLE 512u
#define MFN_LIMIT	  ((EPT_ADDRESS_MASK >> PAGE_SHIFT) + 1)

/* What the processor offers; written once at boot. */
struct ept_config {
	bool has_1g, has_2m, has_accessed_dirty;
};
extern struct ept_config ept_config;

/* --- entries ---------------------------------------------------------------------------------- */

/* ept_load() with its address in one instruction: __atomic_load_n() computes it before. */
static inline uint64_t ept_load_at(const uint64_t *table, uint64_t index)
{
	uint64_t value;

	__asm__("mov %1, %0" : "=r"(value) : "m"(table[index]));
	return value;
}

static inline bool present(uint64_t value)
{
	return value & EPT_RWX;
}

static inline uint64_t *entry_table(uint64_t value)
{
	return pool_table(entry_frame(value));
}

/* Frames that one entry of a level covers; a table of level l covers level_span(l + 1). */
static inline uint64_t level_span(unsigned level)
{
	return 1ull << (9 * (level - 1));
}

static inline unsigned level_index(uint64_t gfn, unsigned level)
{
	return (unsigned)(gfn >> (9 * (level - 1))) & (ENTRIES_PER_TABLE - 1);
}

static inline uint64_t make_link(mfn_t table)
{
	return mfn_raw(table) << PAGE_SHIFT | EPT_RWX;
}

/* Whether all entries of the table that an entry points to are in use: no more can be, so that one
 * bit says it. */
static inline bool table_full(uint64_t link)
{
	return link & (uint64_t)ENTRIES_PER_TABLE << IN_USE_SHIFT;
}

static inline uint64_t make_tombstone(uint64_t value)
{
	return ((value ^ EPT_ADDRESS_MASK) & ~EPT_RWX) | (value & EPT_RWX) << OLD_RIGHTS_SHIFT |
	       TOMBSTONE;
}

/* The entry that a tombstone stands for, with other bits from 55 on left as they are. */
static inline uint64_t tombstone_entry(uint64_t value)
{
	return (value ^ EPT_ADDRESS_MASK) | ((value >> OLD_RIGHTS_SHIFT) & EPT_RWX);
}

/* An entry of its level for frames from frame on. */
static inline uint64_t make_leaf(mfn_t frame, enum p2m_type type, unsigned access, unsigned level)
{
	return mfn_raw(frame) << PAGE_SHIFT | (uint64_t)type << EPT_TYPE_SHIFT | access |
	       LEAF_WRITE_BACK | (level > 1 ? EPT_LEAF : 0);
}

/*
 * What a leaf that covers gfn says of it. Turned by twelve bits, an entry has type and rights where
 * struct p2m_entry has them.
 */
static inline struct p2m_entry decode_leaf(uint64_t value, uint64_t gfn, unsigned level)
{
	uint64_t words[2] = {
	    mfn_raw(entry_frame(value)) + (gfn & (level_span(level) - 1)),
	    ((value << 12 | value >> EPT_TYPE_SHIFT) & P2M_ENTRY_TYPE_ACCESS) |
		9ull * (level - 1) << P2M_ENTRY_ORDER_SHIFT,
	};
	struct p2m_entry entry;

	__builtin_memcpy(&entry, words, sizeof(entry));
	return entry;
}

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
/* To be called when a leaf table leaves the tree. */
static inline void ept_forget_leaves(struct p2m *p2m)
{
	for (unsigned i = 0; i < P2M_LEAVES; i++)
		p2m->last[i].count = 0;
}
/* To be called when the table that holds gfn's leaf has become full. */
void ept_join(struct p2m *p2m, uint64_t gfn);

/* --- tables taken ahead of a change ----------------------------------------------------------- */

/* A chain through the first words of tables that are linked nowhere yet; zero ends it. */
struct ept_spare {
	mfn_t first;
};

int ept_spare_fill(struct p2m *p2m, struct ept_spare *spare, uint64_t count) must_use;
mfn_t ept_spare_pop(struct ept_spare *spare);

#endif
