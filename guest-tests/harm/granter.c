/*
 * harm: the guest that grants pages and takes them back while they are used.
 */
#include "harm.h"

static volatile struct grant_entry_v1 *table;
static volatile struct talk *talk;

/* All of them; how many mappings went. */
static unsigned long revoke_all(void)
{
	static struct keyhole_grant_revoke ops[REFS];
	unsigned long went = 0;

	for (unsigned i = 0; i < REFS; i++)
		ops[i] = (struct keyhole_grant_revoke){.ref = REF_FIRST + i};
	if (hypercall(__HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_REVOKE, (unsigned long)ops, REFS))
		tap_bail_out("revoking fails");
	for (unsigned i = 0; i < REFS; i++)
		went += ops[i].mappings;
	return went;
}

static unsigned marks(void)
{
	unsigned left = 0;

	for (unsigned i = 0; i < REFS; i++)
		left += (table[REF_FIRST + i].flags & (GTF_reading | GTF_writing)) != 0;
	return left;
}

/* When it returns the pages are its own: what is written then nobody else sees. */
static unsigned own_again(uint64_t turn)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < REFS; i++)
		*lent(i) = turn;
	for (unsigned i = 0; i < REFS; i++)
		wrong += *lent(i) != turn;
	for (unsigned i = 0; i < REFS; i++)
		*lent(i) = LENT_WORD(i);
	return wrong;
}

/* A table as large as it can be, and larger. */
static void grow_table(void)
{
	static native_ulong_t frames[64];
	setup_table_t op = {.dom = DOMID_SELF, .frame_list = handle(frames)};

	for (op.nr_frames = 1; op.nr_frames < array_size(frames); op.nr_frames++)
		if (grant_table_op(GNTTABOP_setup_table, &op, 1) || op.status != GNTST_okay)
			break;
	tap_ok(op.nr_frames == 33 && op.status == GNTST_general_error,
	       "a table of %u frames is refused", op.nr_frames);
}

void be_granter(void)
{
	unsigned long turns = 0, wrong = 0, went = 0;
	static volatile struct talk page __attribute__((aligned(PAGE_SIZE)));

	talk = &page;
	table = grant_table_at(HOLE);
	grant_access(table, TALK_REF, MAPPER, (const void *)talk, 0);
	own_again(0);
	lend(table, MAPPER);
	for (enum phase phase, last = PHASE_WAIT; (phase = follow()) != PHASE_END; last = phase) {
		if (phase == PHASE_TABLES && last != phase)
			grow_table();
		if (phase == PHASE_BUSY)
			be_busy();
		if (phase <= PHASE_BUSY || phase == PHASE_TABLES || phase == PHASE_DESTROY ||
		    (phase == PHASE_LIMIT && talk->full == talk->revoked)) {
			yield();
			continue;
		}
		unsigned long n = revoke_all();
		if (phase == PHASE_LIMIT)
			tap_ok(n >= 16000, "%lu mappings are taken back in one call", n);
		went += n;
		wrong += own_again(turns++);
		if (!WAIT_UNTIL(!marks()))
			tap_bail_out("marks of use stay");
		lend(table, MAPPER);
		if (phase == PHASE_LIMIT)
			talk->revoked++;
	}
	tap_is(wrong, 0, "what is revoked is its own");
	tap_ok(went > 0, "%lu uses were ended in %lu turns", went, turns);
}
