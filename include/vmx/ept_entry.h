/*
 * Entries of EPT tables from within, beyond what a batch needs inline (vmx/ept_batch.h). For
 * vmx/ept*.c, and what is measured against them (selftest/ept_view.c).
 */
#ifndef KEYHOLE_VMX_EPT_ENTRY_H
#define KEYHOLE_VMX_EPT_ENTRY_H

#include "mm/pool.h"
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

#endif
