/*
 * Entries of host page tables. Written in mm/hostpt.c, mm/window.c and mm/private.c only; `make
 * check` proves it.
 *
 *  63 62    52 51                        12 11    9  8   7   6   5   4    3    2    1    0
 * +--+--------+----------------------------+-------+---+---+---+---+----+----+----+----+---+
 * |NX|ignored | frame number               |ignored| G |PS | D | A |PCD |PWT |U/S |R/W | P |
 * +--+--------+----------------------------+-------+---+---+---+---+----+----+----+----+---+
 *
 * Accessed and dirty are set from the start, so that the processor never writes to a table.
 * Source: SDM Vol. 3, "Paging", "4-Level Paging and 5-Level Paging".
 */
#ifndef KEYHOLE_MM_PTE_H
#define KEYHOLE_MM_PTE_H

#include "types.h"

#define PTE_P	      (1ull << 0)
#define PTE_RW	      (1ull << 1)
#define PTE_US	      (1ull << 2)
#define PTE_PWT	      (1ull << 3)
#define PTE_PCD	      (1ull << 4)
#define PTE_A	      (1ull << 5)
#define PTE_D	      (1ull << 6)
#define PTE_PS	      (1ull << 7)
#define PTE_G	      (1ull << 8)
#define PTE_NX	      (1ull << 63)
#define PTE_ADDR_MASK 0x000ffffffffff000ull
#define PTE_PER_TABLE 512u

#define PTE_TABLE (PTE_P | PTE_RW | PTE_A)

/* What a slot of the map window shows. */
#define WINDOW_FLAGS	(PTE_P | PTE_A | PTE_NX)
#define WINDOW_FLAGS_RW (WINDOW_FLAGS | PTE_RW | PTE_D)

static inline uint32_t pte_index(uint64_t va, unsigned level)
{
	return (uint32_t)(va >> (PAGE_SHIFT + 9 * (level - 1))) & (PTE_PER_TABLE - 1);
}

static inline mfn_t pte_frame(uint64_t pte)
{
	return make_mfn((pte & PTE_ADDR_MASK) >> PAGE_SHIFT);
}

static inline uint64_t pte_make(mfn_t frame, uint64_t flags)
{
	return (mfn_raw(frame) << PAGE_SHIFT) | flags;
}

/* One store, so that the processor and other CPUs see the old entry or the new one. */
static inline void pte_store(uint64_t *entry, uint64_t value)
{
	*(volatile uint64_t *)entry = value;
}

#endif
