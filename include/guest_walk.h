/*
 * The guest's own page tables, walked in software: guest-linear to guest-physical. The interface of
 * kernel/guest_walk.c.
 */
#ifndef KEYHOLE_GUEST_WALK_H
#define KEYHOLE_GUEST_WALK_H

#include "cpu_bits.h"
#include "types.h"

/* The registers of a vCPU that decide how it translates. All zero: real mode, no paging. */
struct guest_paging {
	uint64_t cr0, cr3, cr4, efer, rflags;
	uint64_t pdpte[4];   /* PAE: the loaded registers (VMCS guest PDPTEs), not the table */
	uint32_t pkru;	     /* looked at when CR4.PKE is set */
	unsigned cpl;	     /* 0..3 */
	unsigned maxphyaddr; /* of the processor, in bits: CPUID 0x80000008 */
	bool compatibility;  /* long mode with CS.L 0: linear addresses have 32 bits */
	bool no_1g_pages;    /* the processor has none: bit 7 of a PDPTE is reserved */
	bool no_pse36;	     /* 4M pages lie below 4G */
};

/* Kinds of access: the bits of the page-fault error code; an explicit supervisor read is 0. */
#define GUEST_WALK_READ	    0u
#define GUEST_WALK_WRITE    PF_WRITE
#define GUEST_WALK_USER	    PF_USER	   /* a user-mode access; else supervisor-mode */
#define GUEST_WALK_FETCH    PF_INSTRUCTION /* not together with WRITE */
#define GUEST_WALK_IMPLICIT BIT32(16) /* of the processor itself (to a GDT...): AC is ignored */

enum guest_walk_cause {
	GUEST_WALK_OK,
	GUEST_WALK_PAGE_FAULT,	  /* error_code is what the processor would deliver */
	GUEST_WALK_NOT_CANONICAL, /* or beyond 4G where linear addresses have 32 bits */
	GUEST_WALK_NO_RAM,	  /* a table lies, or needs a flag set, where ops refuses */
	GUEST_WALK_RACED	  /* the tables changed under each of several attempts */
};

struct guest_walk_result {
	gpa_t gpa;
	uint8_t page_shift; /* size of the page: 12, 21, 22 or 30; 12 without paging */
	uint8_t cause;	    /* enum guest_walk_cause */
	uint32_t error_code;
};

/*
 * Access to the tables in guest-physical memory. An entry is 4 or 8 bytes (width_bytes), aligned to
 * its size. Non-zero: there is no memory to be read, or changed, at gpa.
 */
struct guest_walk_ops {
	int (*read_entry)(void *ctx, gpa_t gpa, unsigned width_bytes, uint64_t *value);
	/* One locked compare-and-swap; *swapped tells whether the entry was as expected. */
	int (*cmpxchg_entry)(void *ctx, gpa_t gpa, unsigned width_bytes, uint64_t expected,
			     uint64_t desired, bool *swapped);
};

int guest_walk(const struct guest_paging *p, gva_t va, unsigned access,
	       const struct guest_walk_ops *ops, void *ctx, struct guest_walk_result *out) must_use;

/* The highest linear address that a memory access can have, taken as an unsigned number. */
static inline uint64_t guest_paging_linear_mask(const struct guest_paging *p)
{
	return p->efer & EFER_LMA && !p->compatibility ? ~0ull : 0xffffffffull;
}

/* Bits 63:47 all equal (4-level paging only; LA57 is not offered). */
static inline bool guest_address_canonical(gva_t va)
{
	return (uint64_t)((int64_t)(gva_raw(va) << 16) >> 16) == gva_raw(va);
}

#endif
