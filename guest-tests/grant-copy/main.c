/*
 * grant-copy: what can be done with another domain's pages without mapping them. `owner` on the
 * command line: grants pages and waits for what the other one does with them; else: copies to and
 * from them. Both only ever meet through copies.
 */
#include "guest.h"

#define REF_NOTE     8u /* read and write: the first word is the copier's step */
#define REF_WRITABLE 9u
#define REF_READONLY 10u
#define REF_OTHERS   11u

#define BATCH	  100u
#define AT_MAP	  (HOLE + 0x100000ul)
#define DONE	  0x656e6f64u
#define BYTE(i)	  ((uint8_t)((i)*7 + 3))
#define OTHER(i)  ((uint8_t)((i)*5 + 1))
#define IN_USE	  (GTF_reading | GTF_writing)
#define NO_DOMAIN 0x7000u

#ifdef __x86_64__
typedef struct gnttab_copy copy_t;
#else
typedef struct compat_gnttab_copy copy_t;
#endif

static uint32_t peer;

/* --- the owner -------------------------------------------------------------------------------- */

static void owner(void)
{
	volatile struct grant_entry_v1 *table = grant_table_at(HOLE);
	volatile uint32_t *note = page_alloc();
	volatile uint8_t *writable = page_alloc(), *readonly = page_alloc();
	struct gnttab_swap_grant_ref swap = {.ref_a = REF_WRITABLE + 100, .ref_b = REF_WRITABLE};
	unsigned wrong = 0;

	peer = (uint32_t)option_number("peer", self_domain() + 1);
	tap_plan(9);
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		writable[i] = readonly[i] = BYTE(i);
	grant_access(table, REF_WRITABLE + 100, peer, (void *)writable, 0);
	grant_access(table, REF_READONLY, peer, (void *)readonly, GTF_readonly);
	grant_access(table, REF_OTHERS, NO_DOMAIN, (void *)writable, 0);
	tap_ok(grant_table_op(GNTTABOP_swap_grant_ref, &swap, 1) == 0 && swap.status == GNTST_okay,
	       "two entries are swapped (%d)", swap.status);
	tap_ok(table[REF_WRITABLE + 100].flags == 0 && table[REF_WRITABLE].domid == peer &&
		   table[REF_WRITABLE].flags == GTF_permit_access,
	       "the grant has the other number now");
	swap.ref_b = 0x7fffffff;
	tap_ok(grant_table_op(GNTTABOP_swap_grant_ref, &swap, 1) == 0 &&
		   swap.status == GNTST_bad_gntref,
	       "none beyond the table (%d)", swap.status);
	grant_access(table, REF_NOTE, peer, (void *)note, 0);

	tap_ok(WAIT_UNTIL(*note == DONE), "domain %u has left its note", peer);
	/* A mapping that has gone counts until no processor can use it any more. */
	tap_ok(WAIT_UNTIL(!(table[REF_WRITABLE].flags & IN_USE)), "the entry is not in use");
	tap_ok(WAIT_UNTIL(!(table[REF_READONLY].flags & IN_USE)), "nor is the read-only one");
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		wrong += writable[i] != (i >= 1001 && i < 1001 + 777 ? OTHER(i - 1001) : BYTE(i));
	tap_is(wrong, 0, "what was copied here is here, and no more");
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		wrong += readonly[i] != BYTE(i);
	tap_is(wrong, 0, "what may only be read is as it was");
	swap.ref_b = REF_WRITABLE;
	tap_ok(grant_table_op(GNTTABOP_swap_grant_ref, &swap, 1) == 0 && swap.status == GNTST_okay,
	       "it can be swapped back");
	tap_done();
}

/* --- the copier ------------------------------------------------------------------------------- */

static copy_t make(unsigned flags, unsigned long from, uint32_t from_domain, unsigned from_offset,
		   unsigned long to, uint32_t to_domain, unsigned to_offset, unsigned len)
{
	copy_t op = {.source = {.ref_or_gmfn = (native_ulong_t)from,
				.domid = (domid_t)from_domain,
				.offset = (uint16_t)from_offset},
		     .dest = {.ref_or_gmfn = (native_ulong_t)to,
			      .domid = (domid_t)to_domain,
			      .offset = (uint16_t)to_offset},
		     .len = (uint16_t)len,
		     .flags = (uint16_t)flags,
		     .status = 99};
	return op;
}

static int copy(copy_t op)
{
	long result = grant_table_op(GNTTABOP_copy, &op, 1);

	if (result != 0)
		tap_bail_out("GNTTABOP_copy: %ld", result);
	return op.status;
}

#define FRAME(page) ((uintptr_t)(page) / PAGE_SIZE)
#define IN(ref, offset, page, at, len) \
	copy(make(GNTCOPY_source_gref, ref, peer, offset, FRAME(page), DOMID_SELF, at, len))
#define OUT(page, at, ref, offset, len) \
	copy(make(GNTCOPY_dest_gref, FRAME(page), DOMID_SELF, at, ref, peer, offset, len))

static void refusals(uint8_t *page)
{
	static copy_t before;

	tap_is(OUT(page, 0, REF_READONLY, 0, 8), GNTST_general_error, "writing what may be read");
	tap_is(IN(REF_OTHERS, 0, page, 0, 8), GNTST_general_error, "another's grant");
	tap_is(IN(0x7fffffff, 0, page, 0, 8), GNTST_bad_gntref, "beyond the table");
	tap_is(IN(REF_READONLY, 4090, page, 0, 7), GNTST_bad_copy_arg, "beyond the source's page");
	tap_is(IN(REF_READONLY, 0, page, 1, PAGE_SIZE), GNTST_bad_copy_arg, "beyond the target's");
	tap_is(copy(make(0, FRAME(page), peer, 0, FRAME(page), DOMID_SELF, 0, 8)),
	       GNTST_permission_denied, "a frame of another's");
	tap_is(copy(make(GNTCOPY_source_gref, REF_READONLY, NO_DOMAIN, 0, FRAME(page), DOMID_SELF,
			 0, 8)),
	       GNTST_bad_domain, "of no domain");
	tap_is(IN(REF_READONLY, 0, (uint8_t *)HOLE, 0, 8), GNTST_bad_page, "into a hole");
	tap_is(copy(make(0x8000, FRAME(page), DOMID_SELF, 0, FRAME(page), DOMID_SELF, 8, 8)),
	       GNTST_bad_copy_arg, "an unknown flag");
	tap_ok(grant_table_op(GNTTABOP_copy, (void *)HOLE, 1) == -XEN_EFAULT, "an array in a hole");
	tap_is(copy(make(GNTCOPY_dest_gref | GNTCOPY_source_gref, REF_READONLY, peer, 0, REF_OTHERS,
			 peer, 0, 8)),
	       GNTST_general_error, "into another's grant");
	before = make(GNTCOPY_source_gref, REF_READONLY, peer, 0, FRAME(&before), DOMID_SELF,
		      (unsigned)((uintptr_t)&before % PAGE_SIZE), sizeof(before));
	if ((uintptr_t)&before % PAGE_SIZE + sizeof(before) > PAGE_SIZE)
		tap_bail_out("the element lies across two pages");
	tap_ok(grant_table_op(GNTTABOP_copy, &before, 1) == 0 && before.status == GNTST_okay &&
		   before.source.ref_or_gmfn == REF_READONLY,
	       "a copy onto its own element: the element comes after it");
}

static void mapped(uint8_t *page)
{
	struct gnttab_unmap_and_replace un = {.host_addr = AT_MAP, .new_addr = PAGE_SIZE};
	struct gnttab_cache_flush flush = {
	    .dev_bus_addr = AT_MAP, .length = PAGE_SIZE, .op = GNTTAB_CACHE_CLEAN};
	grant_handle_t handle;

	tap_is(grant_map(peer, REF_WRITABLE, AT_MAP, GNTMAP_host_map, &handle), GNTST_okay,
	       "one is mapped");
	tap_is(IN(REF_WRITABLE, 0, page, 0, 64), GNTST_okay, "and copied from meanwhile");
	tap_is(grant_table_op(GNTTABOP_cache_flush, &flush, 1), 0, "flushed from the caches");
	flush.offset = 1;
	tap_is(grant_table_op(GNTTABOP_cache_flush, &flush, 1), -XEN_EINVAL, "not beyond the page");
	un.handle = handle;
	tap_ok(grant_table_op(GNTTABOP_unmap_and_replace, &un, 1) == 0 &&
		   un.status == GNTST_general_error,
	       "nothing replaces it (%d)", un.status);
	tap_is(*(volatile uint8_t *)AT_MAP, BYTE(0), "it is still there");
	un.new_addr = 0;
	tap_ok(grant_table_op(GNTTABOP_unmap_and_replace, &un, 1) == 0 && un.status == GNTST_okay,
	       "it is unmapped (%d)", un.status);
	flush.offset = 0;
	tap_is(grant_table_op(GNTTABOP_cache_flush, &flush, 1), -XEN_EPERM, "nothing to flush");
}

static void versions(void)
{
	struct gnttab_get_version get = {.dom = DOMID_SELF};
	struct gnttab_set_version set = {.version = 1};

	tap_ok(grant_table_op(GNTTABOP_get_version, &get, 1) == 0 && get.version == 1, "version 1");
	tap_is(grant_table_op(GNTTABOP_set_version, &set, 1), 0, "can be set");
	set.version = 2;
	tap_is(grant_table_op(GNTTABOP_set_version, &set, 1), -XEN_ENOSYS, "version 2 cannot");
}

int main(void)
{
	static copy_t batch[BATCH];
	uint8_t *page = page_alloc(), *other = page_alloc();
	unsigned wrong = 0;

	if (option("owner"))
		owner();
	peer = (uint32_t)option_number("peer", self_domain() - 1);
	tap_plan(32);
	tap_ok(WAIT_UNTIL(IN(REF_NOTE, 0, page, 0, 4) == GNTST_okay), "domain %u is there", peer);
	tap_is(IN(REF_READONLY, 0, page, 0, PAGE_SIZE), GNTST_okay, "a page is copied in");
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		wrong += page[i] != BYTE(i);
	tap_is(wrong, 0, "as its owner wrote it");
	refusals(other);
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		other[i] = OTHER(i);
	tap_is(OUT(other, 0, REF_WRITABLE, 1001, 777), GNTST_okay, "a piece is copied out");
	mapped(page);
	versions();
	for (unsigned i = 0; i < BATCH; i++)
		batch[i] = make(GNTCOPY_source_gref, i == 70 ? REF_OTHERS : REF_WRITABLE, peer,
				1001 + i, FRAME(page), DOMID_SELF, 2000 + i, 1);
	tap_is(grant_table_op(GNTTABOP_copy, batch, BATCH), 0, "a hundred in one call");
	for (unsigned i = 0; i < BATCH; i++)
		wrong += batch[i].status != (i == 70 ? GNTST_general_error : GNTST_okay);
	tap_is(wrong, 0, "one of them is refused");
	for (unsigned i = 0; i < BATCH; i++)
		wrong += page[2000 + i] != (i == 70 ? BYTE(2000 + i) : OTHER(i));
	tap_is(wrong, 0, "the others are done");
	*(uint32_t *)(void *)page = DONE;
	tap_is(copy(make(0, FRAME(page), DOMID_SELF, 0, FRAME(other), DOMID_SELF, 8, 4)),
	       GNTST_okay, "a copy from its own memory to its own");
	tap_is(OUT(other, 8, REF_NOTE, 0, 4), GNTST_okay, "the note is left");
	tap_done();
}
