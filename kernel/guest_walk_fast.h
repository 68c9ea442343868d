/*
 * Bits of a guest's page-table entries, and the walk that nearly every copy takes, to be inlined
 * where tables are read: 4-level paging, a supervisor's data access, a supervisor's page, flags set
 * already. It gives up at anything else, having changed nothing; then guest_walk() starts afresh
 * and finds out what it was.
 *
 * No state, no lock. Source: SDM Vol. 3, "Paging", "4-Level Paging and 5-Level Paging".
 */
#ifndef KEYHOLE_KERNEL_GUEST_WALK_FAST_H
#define KEYHOLE_KERNEL_GUEST_WALK_FAST_H

#include "guest_walk.h"

/* Bits of a guest's entries, common to all modes; R/W is bit 1. */
#define GPTE_P	       BIT64(0)
#define GPTE_RW	       BIT64(1)
#define GPTE_US	       BIT64(2)
#define GPTE_A	       BIT64(5)
#define GPTE_D	       BIT64(6)
#define GPTE_PS	       BIT64(7)
#define GPTE_NX	       BIT64(63)
#define GPTE_ADDRESS   UINT64_C(0x000ffffffffff000)
#define GPTE_KEY_SHIFT 59
#define GPTE_KEY_MASK  0xfu

/* Bits that must be 0 in every entry in long mode, present or pointing to a table or a page. */
static inline uint64_t guest_walk_reserved(const struct guest_paging *p)
{
	uint64_t reserved = GPTE_ADDRESS & ~0ull << p->maxphyaddr;

	return likely(p->efer & EFER_NXE) ? reserved : reserved | GPTE_NX;
}

/* One level: the entry at offset in a table, if it has the bits looked at as they should be. */
#define GUEST_WALK_STEP(shift, looked_at)                                                      \
	do {                                                                                   \
		if (unlikely(read_entry(ctx, make_gpa(table), (linear >> ((shift)-3)) & 0xff8, \
					&entry) ||                                             \
			     (entry & (looked_at)) != (GPTE_P | GPTE_A)))                      \
			return false;                                                          \
		all &= entry;                                                                  \
		table = entry & GPTE_ADDRESS;                                                  \
	} while (0)

/* read_entry: 8 bytes at an offset in a table. True: *gpa is what the linear address leads to. */
always_inline_fn static inline bool
guest_walk_fast(const struct guest_paging *p, gva_t va, unsigned access,
		int (*read_entry)(void *ctx, gpa_t table, uint64_t offset, uint64_t *entry),
		void *ctx, gpa_t *gpa)
{
	uint64_t linear = gva_raw(va), table = p->cr3 & GPTE_ADDRESS, entry, all = ~0ull;
	uint64_t looked_at = guest_walk_reserved(p) | GPTE_P | GPTE_A, within = PAGE_SIZE - 1;

	if (unlikely(access & ~GUEST_WALK_WRITE || !(p->efer & EFER_LMA) ||
		     !guest_address_canonical(va)))
		return false;
	/* 1G pages are left to guest_walk(), as is the mistake in a top-level entry. */
	GUEST_WALK_STEP(39, looked_at | GPTE_PS);
	GUEST_WALK_STEP(30, looked_at | GPTE_PS);
	GUEST_WALK_STEP(21, looked_at);
	if (entry & GPTE_PS) {
		if (unlikely(entry & 0x1fe000)) /* reserved in a 2M page */
			return false;
		within = PAGE_2M_SIZE - 1;
	} else {
		GUEST_WALK_STEP(12, looked_at);
	}
	if (unlikely(all & GPTE_US))
		return false;
	if (access & GUEST_WALK_WRITE && unlikely(!(all & GPTE_RW && entry & GPTE_D)))
		return false;
	*gpa = make_gpa((table & ~within) | (linear & within));
	return true;
}

#endif
