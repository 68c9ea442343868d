/*
 * grant-mapper: maps pages that grant-owner, the domain before this one (or `peer=`), grants; reads
 * and writes them, and tries what it may not.
 */
#include "../grant-owner/shared.h"
#include "guest.h"

#define AT_CONTROL  (HOLE + 0 * PAGE_SIZE)
#define AT_WRITABLE (HOLE + 1 * PAGE_SIZE)
#define AT_READONLY (HOLE + 2 * PAGE_SIZE)
#define AT_NOTHING  (HOLE + 3 * PAGE_SIZE)

#define NO_DOMAIN 0x7000u

static uint32_t peer;

static void expect_refusal(uint32_t domain, grant_ref_t ref, unsigned long address, unsigned flags,
			   int status, const char *what)
{
	grant_handle_t handle;

	tap_is(grant_map(domain, ref, address, flags, &handle), status, "%s is refused", what);
}

static void map_both(struct gnttab_map_grant_ref map[2])
{
	map[0] = (struct gnttab_map_grant_ref){.host_addr = AT_WRITABLE,
					       .flags = GNTMAP_host_map,
					       .ref = REF_WRITABLE,
					       .dom = (domid_t)peer,
					       .status = 99,
					       .dev_bus_addr = 99};
	map[1] = (struct gnttab_map_grant_ref){.host_addr = AT_READONLY,
					       .flags = GNTMAP_host_map | GNTMAP_readonly,
					       .ref = REF_READONLY,
					       .dom = (domid_t)peer,
					       .status = 99,
					       .dev_bus_addr = 99};
	tap_is(grant_table_op(GNTTABOP_map_grant_ref, map, 2), 0,
	       "two grants are mapped in one call");
	tap_ok(map[0].status == GNTST_okay && map[1].status == GNTST_okay, "both succeed (%d, %d)",
	       map[0].status, map[1].status);
	tap_ok(map[0].handle != map[1].handle, "their handles differ");
	tap_ok(map[0].dev_bus_addr == 0 && map[1].dev_bus_addr == 0, "no machine address is told");
}

static void unmap_both(const struct gnttab_map_grant_ref map[2])
{
	struct gnttab_unmap_grant_ref unmap[3] = {
	    {.host_addr = AT_WRITABLE, .handle = map[0].handle, .status = 99},
	    {.host_addr = AT_READONLY, .handle = map[1].handle, .status = 99},
	    {.host_addr = AT_WRITABLE, .handle = map[0].handle, .status = 99},
	};

	tap_is(grant_unmap(AT_NOTHING, map[0].handle), GNTST_bad_virt_addr,
	       "unmapping it elsewhere is refused");
	tap_is(grant_table_op(GNTTABOP_unmap_grant_ref, unmap, 3), 0,
	       "three unmappings in one call, the last one twice the same");
	tap_ok(unmap[0].status == GNTST_okay && unmap[1].status == GNTST_okay,
	       "the first two succeed (%d, %d)", unmap[0].status, unmap[1].status);
	tap_is(unmap[2].status, GNTST_bad_handle, "its handle is worth nothing the second time");
}

int main(void)
{
	volatile uint64_t *writable = (void *)AT_WRITABLE, *readonly = (void *)AT_READONLY;
	struct control *control = (void *)AT_CONTROL;
	struct gnttab_map_grant_ref map[2];
	grant_handle_t control_handle, handle;
	unsigned wrong = 0, wrong_readonly = 0;

	peer = (uint32_t)option_number("peer", self_domain() - 1);
	tap_plan(26);
	/* Until the owner has set its table up, this is an error. */
	tap_ok(WAIT_UNTIL(grant_map(peer, REF_CONTROL, AT_CONTROL, GNTMAP_host_map,
				    &control_handle) == GNTST_okay),
	       "the control page of domain %u is mapped", peer);
	tap_ok(WAIT_UNTIL(control->owner_step >= GRANTED), "its owner has granted the others");
	map_both(map);
	for (unsigned i = 0; i < WORDS; i++) {
		wrong += writable[i] != OWNER_WORD(i);
		wrong_readonly += readonly[i] != READONLY_WORD(i);
	}
	tap_is(wrong, 0, "the page holds what its owner wrote");
	tap_is(wrong_readonly, 0, "so does the read-only one");

	expect_refusal(peer, REF_READONLY, AT_NOTHING, GNTMAP_host_map, GNTST_general_error,
		       "writing what was granted for reading");
	expect_refusal(peer, REF_OTHERS, AT_NOTHING, GNTMAP_host_map, GNTST_general_error,
		       "another domain's grant");
	expect_refusal(peer, REF_UNUSED, AT_NOTHING, GNTMAP_host_map, GNTST_general_error,
		       "an entry that grants nothing");
	expect_refusal(peer, 0x7fffffff, AT_NOTHING, GNTMAP_host_map, GNTST_bad_gntref,
		       "a reference beyond the table");
	expect_refusal(NO_DOMAIN, REF_WRITABLE, AT_NOTHING, GNTMAP_host_map, GNTST_bad_domain,
		       "a domain that does not exist");
	expect_refusal(peer, REF_WRITABLE, AT_NOTHING, 0, GNTST_bad_gntref, "a mapping of no kind");
	expect_refusal(peer, REF_WRITABLE, AT_NOTHING + 8, GNTMAP_host_map, GNTST_bad_virt_addr,
		       "an address within a page");
	expect_refusal(peer, REF_WRITABLE, 0x100000, GNTMAP_host_map, GNTST_general_error,
		       "a place where there is RAM");

	for (unsigned i = 0; i < WORDS; i++)
		writable[i] = MAPPER_WORD(i);
	control->mapper_step = MAPPED;
	tap_ok(WAIT_UNTIL(control->owner_step >= CHANGED), "the owner has seen it");
	tap_ok(readonly[0] == ~READONLY_WORD(0) && readonly[511] == ~READONLY_WORD(511),
	       "what it writes now is seen through the mapping");
	unmap_both(map);
	control->mapper_step = UNMAPPED;
	tap_ok(WAIT_UNTIL(control->owner_step >= ENDED), "the owner has ended the grants");
	expect_refusal(peer, REF_WRITABLE, AT_WRITABLE, GNTMAP_host_map, GNTST_general_error,
		       "a grant that was ended");
	tap_ok(grant_map(peer, REF_CONTROL, AT_NOTHING, GNTMAP_host_map | GNTMAP_readonly,
			 &handle) == GNTST_okay &&
		   ((volatile struct control *)AT_NOTHING)->owner_step == ENDED &&
		   grant_unmap(AT_NOTHING, handle) == GNTST_okay,
	       "one page can be mapped a second time, and that ended");
	control->mapper_step = REFUSED;
	tap_is(grant_unmap(AT_CONTROL, control_handle), GNTST_okay, "the control page is unmapped");
	tap_done();
}
