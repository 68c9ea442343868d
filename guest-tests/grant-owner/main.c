/*
 * grant-owner: grants pages to the next domain (or `peer=`), and watches what grant-mapper does
 * with them. The memory is this guest's own throughout.
 */
#include "guest.h"
#include "shared.h"

#define IN_USE (GTF_reading | GTF_writing)

static volatile struct grant_entry_v1 *table;

static void check_table(uint32_t peer)
{
	struct gnttab_query_size size = {.dom = DOMID_SELF, .status = 99};
	native_ulong_t frames[1] = {0};
	setup_table_t setup = {
	    .dom = DOMID_SELF, .nr_frames = 1, .status = 99, .frame_list = handle(frames)};

	tap_is(grant_table_op(GNTTABOP_query_size, &size, 1), 0, "GNTTABOP_query_size");
	tap_ok(size.status == GNTST_okay && size.nr_frames >= 1 &&
		   size.max_nr_frames >= size.nr_frames,
	       "the table has %u frames, at most %u", size.nr_frames, size.max_nr_frames);
	tap_is(grant_table_op(GNTTABOP_setup_table, &setup, 1), 0, "GNTTABOP_setup_table");
	tap_ok(setup.status == GNTST_okay && frames[0] == HOLE / PAGE_SIZE,
	       "its first frame is where it was put, gfn 0x%lx", (unsigned long)frames[0]);
	size.dom = (domid_t)peer;
	grant_table_op(GNTTABOP_query_size, &size, 1);
	tap_ok(size.status != GNTST_okay, "another's table cannot be asked for (%d)", size.status);
}

int main(void)
{
	uint32_t peer = (uint32_t)option_number("peer", self_domain() + 1);
	struct control *control = page_alloc();
	volatile uint64_t *writable = page_alloc(), *readonly = page_alloc();
	unsigned wrong = 0;

	tap_plan(16);
	table = grant_table_at(HOLE);
	tap_ok(table[REF_CONTROL].flags == 0, "the grant table begins empty");
	check_table(peer);
	for (unsigned i = 0; i < WORDS; i++) {
		writable[i] = OWNER_WORD(i);
		readonly[i] = READONLY_WORD(i);
	}
	grant_access(table, REF_WRITABLE, peer, (void *)writable, 0);
	grant_access(table, REF_READONLY, peer, (void *)readonly, GTF_readonly);
	grant_access(table, REF_OTHERS, DOMID_FIRST_RESERVED - 1, (void *)writable, 0);
	control->owner_step = GRANTED;
	grant_access(table, REF_CONTROL, peer, control, 0);

	tap_ok(WAIT_UNTIL(control->mapper_step >= MAPPED), "domain %u has mapped the pages", peer);
	tap_is(table[REF_WRITABLE].flags & IN_USE, IN_USE, "the entry says: read and written");
	tap_is(table[REF_READONLY].flags & IN_USE, GTF_reading, "the read-only one: read");
	tap_is(table[REF_OTHERS].flags & IN_USE, 0, "one for somebody else: not in use");
	for (unsigned i = 0; i < WORDS; i++)
		wrong += writable[i] != MAPPER_WORD(i);
	tap_is(wrong, 0, "what the mapper wrote is here");
	for (unsigned i = 0; i < WORDS; i++)
		readonly[i] = ~READONLY_WORD(i);
	control->owner_step = CHANGED;

	tap_ok(WAIT_UNTIL(control->mapper_step >= UNMAPPED), "the mapper has unmapped them");
	tap_ok(WAIT_UNTIL((table[REF_WRITABLE].flags & IN_USE) == 0),
	       "the entry is not in use any more");
	tap_ok(WAIT_UNTIL((table[REF_READONLY].flags & IN_USE) == 0), "nor is the read-only one");
	table[REF_WRITABLE].flags = 0;
	table[REF_READONLY].flags = 0;
	control->owner_step = ENDED;

	tap_ok(WAIT_UNTIL(control->mapper_step >= REFUSED), "the mapper has tried once more");
	tap_ok(WAIT_UNTIL((table[REF_CONTROL].flags & IN_USE) == 0),
	       "and has given up the control page too");
	tap_done();
}
