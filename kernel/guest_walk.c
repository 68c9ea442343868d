/*
 * The guest page-table walk: every mode, every rule.
 *
 * No state, no lock: everything is in the arguments. The guest's other CPUs may change the tables
 * at any moment: each entry is read once, and flags are set by compare-and-swap against what was
 * read.
 *
 * Source: SDM Vol. 3, "Paging": "32-Bit Paging", "PAE Paging", "4-Level Paging and 5-Level Paging",
 * "Access Rights", "Page-Fault Exceptions", "Accessed and Dirty Flags".
 */
#include "guest_walk.h"
#include "guest_walk_fast.h"
#include "public/errno.h"

#define LEVELS_MAX 4u
/* How often a walk starts again because the guest changed what it had read. */
#define ATTEMPTS_MAX 8u

#define ERROR_CODE_BITS (GUEST_WALK_WRITE | GUEST_WALK_USER)

/* What differs between the modes. */
struct walk_shape {
	uint64_t table;	       /* address of the first table */
	uint64_t reserved;     /* bits that must be 0 in every entry */
	uint64_t page_bit;     /* GPTE_PS, or 0 where it is ignored above the last level */
	uint64_t large_shifts; /* bit s: an entry that covers 2^s bytes may be a page */
	unsigned shift;	       /* of the first level: its entries cover 2^shift bytes */
	unsigned index_bits;
	unsigned width_shift; /* entries have 2^width_shift bytes */
};

/* PSE-36 reaches 40 bits at most: the bits 20:13 of a 4M page are 39:32 of its address. */
#define PSE36_BITS_MAX	    40u
#define PSE36_HIGH_SHIFT    19
#define PSE36_HIGH_MASK	    UINT64_C(0x001fe000)
#define PSE_ADDRESS_MASK    UINT64_C(0xffc00000)
#define PSE_RESERVED_BELOW  22 /* reserved bits end here */
#define CR3_PAGE_TABLE_MASK UINT64_C(0xfffff000)
#define PAGE_4M_SHIFT	    22
#define PAE_PDPTE_SHIFT	    30

/* Fills in a failure; error_code gets the bits that only the access decides. Returns -XEN_EFAULT.
 */
static int fail(const struct guest_paging *p, unsigned access, unsigned error_code,
		enum guest_walk_cause cause, struct guest_walk_result *out)
{
	bool fetch_reported = (p->cr4 & CR4_PAE && p->efer & EFER_NXE) || p->cr4 & CR4_SMEP;

	*out = (struct guest_walk_result){.cause = (uint8_t)cause};
	if (cause != GUEST_WALK_PAGE_FAULT)
		return -XEN_EFAULT;
	out->error_code = error_code | (access & ERROR_CODE_BITS);
	if (access & GUEST_WALK_FETCH && fetch_reported)
		out->error_code |= PF_INSTRUCTION;
	return -XEN_EFAULT;
}

/*
 * The shape of a walk outside long mode. shape->shift 0: there is no paging, and the result is
 * complete. A linear address has 32 bits there.
 */
static int choose_old_shape(const struct guest_paging *p, uint64_t linear, unsigned access,
			    struct walk_shape *shape, struct guest_walk_result *out)
{
	*shape = (struct walk_shape){0};
	if (linear >> 32)
		return fail(p, access, 0, GUEST_WALK_NOT_CANONICAL, out);
	if (!(p->cr0 & CR0_PG)) {
		*out =
		    (struct guest_walk_result){.gpa = make_gpa(linear), .page_shift = PAGE_SHIFT};
		return 0;
	}
	if (!(p->cr4 & CR4_PAE)) {
		*shape = (struct walk_shape){
		    .table = p->cr3 & CR3_PAGE_TABLE_MASK,
		    .page_bit = p->cr4 & CR4_PSE ? GPTE_PS : 0,
		    .large_shifts = BIT64(PAGE_4M_SHIFT),
		    .shift = PAGE_4M_SHIFT,
		    .index_bits = 10,
		    .width_shift = 2,
		};
		return 0;
	}
	/* The PDPTEs were checked for reserved bits when they were loaded, and have no rights. */
	uint64_t pdpte = p->pdpte[linear >> PAE_PDPTE_SHIFT];
	if (!(pdpte & GPTE_P))
		return fail(p, access, 0, GUEST_WALK_PAGE_FAULT, out);
	*shape = (struct walk_shape){
	    .table = pdpte & GPTE_ADDRESS,
	    /* Unlike in 4-level paging, bits 62:52 are reserved too. */
	    .reserved = (~0ull << p->maxphyaddr) & ~(p->efer & EFER_NXE ? GPTE_NX : 0),
	    .page_bit = GPTE_PS,
	    .large_shifts = BIT64(PAGE_2M_SHIFT),
	    .shift = PAGE_2M_SHIFT,
	    .index_bits = 9,
	    .width_shift = 3,
	};
	return 0;
}

/* Bits that must be 0 in an entry that maps a page of 2^shift bytes, besides shape->reserved. */
static uint64_t large_reserved(const struct guest_paging *p, const struct walk_shape *shape,
			       unsigned shift)
{
	if (shape->width_shift == 3)
		return ((1ull << shift) - 1) & ~0x1fffull; /* bit 12 is PAT */

	unsigned bits = p->no_pse36 ? 32 : p->maxphyaddr;
	if (bits > PSE36_BITS_MAX)
		bits = PSE36_BITS_MAX;
	return (1ull << PSE_RESERVED_BELOW) - (1ull << (bits - PSE36_HIGH_SHIFT));
}

/* Where a 4M page of 32-bit paging lies. */
static uint64_t pse36_address(uint64_t entry)
{
	return (entry & PSE_ADDRESS_MASK) | (entry & PSE36_HIGH_MASK) << PSE36_HIGH_SHIFT;
}

/* The protection-key bit of the error code: whether PKRU forbids a data access to a user page. */
static unsigned key_denied(const struct guest_paging *p, unsigned access, uint64_t leaf)
{
	if (!(p->cr4 & CR4_PKE) || !(p->efer & EFER_LMA) || access & GUEST_WALK_FETCH)
		return 0;
	unsigned key = (unsigned)(leaf >> GPTE_KEY_SHIFT) & GPTE_KEY_MASK;
	unsigned bits = p->pkru >> (2 * key) & 3; /* 1: no access, 2: no write */
	bool write_counts = access & GUEST_WALK_USER || p->cr0 & CR0_WP;

	if (bits & 1 || (bits & 2 && access & GUEST_WALK_WRITE && write_counts))
		return PF_PROTECT_KEY;
	return 0;
}

/*
 * Whether the rights of a translation forbid an access: 0, or PF_PRESENT with what else the error
 * code says of the cause. rights: all entries ANDed, with the NX bit inverted before.
 * Source: SDM Vol. 3, "Determination of Access Rights", "Protection Keys".
 */
static unsigned denied_rights(const struct guest_paging *p, unsigned access, uint64_t rights,
			      uint64_t leaf)
{
	bool user_page = rights & GPTE_US, user = access & GUEST_WALK_USER;
	/* The key is reported even where something else forbids the access as well. */
	unsigned key = user_page ? key_denied(p, access, leaf) : 0;
	bool denied = key;

	if (user)
		denied |= !user_page;
	if (access & GUEST_WALK_WRITE)
		denied |= !(rights & GPTE_RW) && (user || p->cr0 & CR0_WP);
	if (access & GUEST_WALK_FETCH) {
		denied |= !(rights & GPTE_NX);
		denied |= !user && user_page && p->cr4 & CR4_SMEP;
	} else if (!user && user_page && p->cr4 & CR4_SMAP) {
		denied |= !(p->rflags & RFLAGS_AC) || access & GUEST_WALK_IMPLICIT;
	}
	return denied ? PF_PRESENT | key : 0;
}

/* One pass over the tables: -XEN_EAGAIN if they changed before the flags were set. */
static int walk_once(const struct guest_paging *p, uint64_t linear, unsigned access,
		     const struct walk_shape *shape, const struct guest_walk_ops *ops, void *ctx,
		     struct guest_walk_result *out)
{
	gpa_t where[LEVELS_MAX];
	uint64_t entries[LEVELS_MAX];
	unsigned width = 1u << shape->width_shift, shift = shape->shift, count = 0;
	uint64_t table = shape->table, index_mask = PAGE_SIZE - width, entry;
	uint64_t rights = ~0ull; /* of all entries together; NX inverted, so that it is one too */

	for (;;) {
		gpa_t at =
		    make_gpa(table | ((linear >> (shift - shape->width_shift)) & index_mask));

		if (ops->read_entry(ctx, at, width, &entry))
			return fail(p, access, 0, GUEST_WALK_NO_RAM, out);
		if (!(entry & GPTE_P))
			return fail(p, access, 0, GUEST_WALK_PAGE_FAULT, out);
		if (entry & shape->reserved)
			goto reserved;
		where[count] = at;
		entries[count++] = entry;
		rights &= entry ^ GPTE_NX;
		if (shift == PAGE_SHIFT)
			break;
		if (entry & shape->page_bit) {
			if (!(shape->large_shifts >> shift & 1) ||
			    entry & large_reserved(p, shape, shift))
				goto reserved;
			break;
		}
		table = entry & GPTE_ADDRESS;
		shift -= shape->index_bits;
	}

	unsigned denied = denied_rights(p, access, rights, entry);
	if (denied)
		return fail(p, access, denied, GUEST_WALK_PAGE_FAULT, out);

	uint64_t dirty = access & GUEST_WALK_WRITE ? GPTE_D : 0;
	for (unsigned i = 0; i < count; i++) {
		uint64_t wanted = entries[i] | GPTE_A | (i + 1 == count ? dirty : 0);
		bool swapped;

		if (wanted == entries[i])
			continue;
		if (ops->cmpxchg_entry(ctx, where[i], width, entries[i], wanted, &swapped))
			return fail(p, access, 0, GUEST_WALK_NO_RAM, out);
		if (!swapped)
			return -XEN_EAGAIN;
	}

	uint64_t offset = (1ull << shift) - 1, address = entry & GPTE_ADDRESS;
	if (width == 4 && shift > PAGE_SHIFT)
		address = pse36_address(entry);
	out->gpa = make_gpa((address & ~offset) | (linear & offset));
	out->page_shift = (uint8_t)shift;
	out->cause = GUEST_WALK_OK;
	out->error_code = 0;
	return 0;

reserved:
	return fail(p, access, PF_PRESENT | PF_RESERVED_BIT, GUEST_WALK_PAGE_FAULT, out);
}

/*
 * Translates a guest-linear address as the processor would for one access, and sets accessed and
 * dirty flags as it would, top level first and only when no rule is against the access. (Flags of
 * upper levels stay set if the guest then changes a lower one, or if a lower table cannot be
 * written.)
 *
 * access: GUEST_WALK_*. ops and ctx: where the tables are read. Returns 0 with out->gpa and
 * out->page_shift, or -XEN_EFAULT with out->cause. Bounded: at most ATTEMPTS_MAX passes of
 * four levels.
 */
int guest_walk(const struct guest_paging *p, gva_t va, unsigned access,
	       const struct guest_walk_ops *ops, void *ctx, struct guest_walk_result *out)
{
	uint64_t linear = gva_raw(va);
	struct walk_shape shape;
	int rc;

	if (p->efer & EFER_LMA) {
		if (!guest_address_canonical(va))
			return fail(p, access, 0, GUEST_WALK_NOT_CANONICAL, out);
		shape = (struct walk_shape){
		    .table = p->cr3 & GPTE_ADDRESS,
		    .reserved = guest_walk_reserved(p),
		    .page_bit = GPTE_PS,
		    .large_shifts =
			BIT64(PAGE_2M_SHIFT) | (p->no_1g_pages ? 0 : BIT64(PAGE_1G_SHIFT)),
		    .shift = 39,
		    .index_bits = 9,
		    .width_shift = 3,
		};
	} else {
		rc = choose_old_shape(p, linear, access, &shape, out);
		if (rc || !shape.shift)
			return rc;
	}
	for (unsigned attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
		rc = walk_once(p, linear, access, &shape, ops, ctx, out);
		if (rc != -XEN_EAGAIN)
			return rc;
	}
	return fail(p, access, 0, GUEST_WALK_RACED, out);
}
