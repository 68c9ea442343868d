/*
 * harm: the guest that uses others' pages, as many as it can have, while they are taken from it.
 */
#include "harm.h"

#define BATCH	    64u
#define HANDLES_MAX 16384u
#define AT(i)	    (HOLE + 0x1000000 + (unsigned long)(i)*PAGE_SIZE)
#define TALK_AT	    (HOLE + 0x300000)
#define SPARSE(i)   (0x1000000000ul + (unsigned long)(i)*0x40000000ul)
#define CHILD	    (MAPPER + 1)
#define PAGES	    2u /* mapped all the time: the director's and the granter's */
#define SPARSE_MAX  448u
#define NONE	    UINT32_MAX

typedef unsigned long place_of(unsigned i);

static grant_handle_t handles[HANDLES_MAX];
static volatile struct talk *talk;
static unsigned long wrong, copied, mapped, rounds;

static long control(unsigned command)
{
	return hypercall(__HYPERVISOR_keyhole_control, command, CHILD, 0);
}

/* --- copying ---------------------------------------------------------------------------------- */

static uint64_t received[BATCH][512] __attribute__((aligned(PAGE_SIZE)));

/* What arrives is what was there, if the copy says that it was made. */
static void copy(void)
{
	static struct gnttab_copy ops[BATCH];

	for (unsigned i = 0; i < BATCH; i++)
		ops[i] =
		    (struct gnttab_copy){.source = {.ref_or_gmfn = REF_FIRST + i, .domid = GRANTER},
					 .dest = {.ref_or_gmfn = (uintptr_t)received[i] / PAGE_SIZE,
						  .domid = DOMID_SELF},
					 .len = PAGE_SIZE,
					 .flags = GNTCOPY_source_gref};
	rounds++;
	wrong += grant_table_op(GNTTABOP_copy, ops, BATCH) != 0;
	for (unsigned i = 0; i < BATCH; i++) {
		copied += ops[i].status == GNTST_okay;
		wrong += ops[i].status == GNTST_okay ? received[i][0] != LENT_WORD(i)
						     : ops[i].status != GNTST_general_error &&
							   ops[i].status != GNTST_eagain;
	}
}

/* --- mapping ---------------------------------------------------------------------------------- */

/* Places first to first + count; returns how many are mapped, and the status of the first refusal.
 */
static unsigned map(uint32_t domain, unsigned first, unsigned count, place_of *place, int *refusal)
{
	static struct gnttab_map_grant_ref ops[BATCH];
	unsigned done = 0;

	*refusal = GNTST_okay;
	for (unsigned i = 0; i < count; i++)
		ops[i] = (struct gnttab_map_grant_ref){.host_addr = place(first + i),
						       .flags = GNTMAP_host_map | GNTMAP_readonly,
						       .ref = REF_FIRST + (first + i) % REFS,
						       .dom = (domid_t)domain};
	wrong += grant_table_op(GNTTABOP_map_grant_ref, ops, count) != 0;
	for (unsigned i = 0; i < count; i++) {
		handles[first + i] = ops[i].handle;
		done += ops[i].status == GNTST_okay;
		if (ops[i].status != GNTST_okay && *refusal == GNTST_okay)
			*refusal = ops[i].status;
	}
	return done;
}

static void unmap(unsigned first, unsigned count, place_of *place)
{
	static struct gnttab_unmap_grant_ref ops[BATCH];
	unsigned n = 0;

	for (unsigned i = first; i < first + count; i++)
		if (handles[i] != NONE)
			ops[n++] = (struct gnttab_unmap_grant_ref){.host_addr = place(i),
								   .handle = handles[i]},
			handles[i] = NONE;
	wrong += grant_table_op(GNTTABOP_unmap_grant_ref, ops, n) != 0;
	for (unsigned i = 0; i < n; i++)
		wrong += ops[i].status != GNTST_okay;
}

static unsigned long dense(unsigned i)
{
	return AT(i);
}

static unsigned long dense_first(unsigned i)
{
	return AT(i % BATCH);
}

static unsigned long sparse(unsigned i)
{
	return SPARSE(i);
}

/* Nothing is seen but what was lent, or what the granter writes when it has taken it back, or its
 * own poison. */
static void map_and_unmap(void)
{
	int refusal;
	unsigned n = map(GRANTER, 0, BATCH, dense, &refusal);

	rounds++;
	mapped += n;
	wrong += refusal != GNTST_okay && refusal != GNTST_general_error && refusal != GNTST_eagain;
	unmap(0, BATCH, dense);
}

/* --- to the limit ----------------------------------------------------------------------------- */

/* As many as go; the status of the first that does not. */
static unsigned map_most(place_of *place, unsigned most, int *refusal)
{
	unsigned n = 0, done = BATCH;

	for (*refusal = GNTST_okay; n + BATCH <= most && done == BATCH; n += done)
		done = map(GRANTER, n, BATCH, place, refusal);
	return n;
}

static void unmap_all(unsigned count, place_of *place)
{
	for (unsigned i = 0; i < count; i += BATCH)
		unmap(i, BATCH, place);
}

static bool taken_back(void)
{
	talk->full++;
	return WAIT_UNTIL(talk->revoked == talk->full);
}

/* All handles are in use, twice: the second time after all were given back. */
static void use_all_handles(void)
{
	int refusal, again;
	unsigned first = map_most(dense, HANDLES_MAX, &refusal), second;

	tap_ok(first == HANDLES_MAX - PAGES && refusal == GNTST_no_space,
	       "%u are mapped, then there is no handle", first);
	tap_ok(taken_back(), "they are taken back");
	for (unsigned i = 0; i < first; i++)
		wrong += *(volatile uint64_t *)AT(i) != 0;
	unmap_all(HANDLES_MAX, dense);
	second = map_most(dense, HANDLES_MAX, &again);
	tap_ok(second == first && again == refusal, "as many are mapped again");
	unmap_all(HANDLES_MAX, dense);
	tap_is(wrong, 0, "what was taken back reads as nothing");
}

/* Each page in a gigabyte of its own, which takes two tables. */
static void use_all_tables(void)
{
	static unsigned last;
	int refusal;
	unsigned n = map_most(sparse, SPARSE_MAX, &refusal);

	rounds++;
	if (n == SPARSE_MAX || refusal != GNTST_no_space || (last && last != n))
		tap_ok(false, "%u mapped where each takes tables, status %d, last time %u", n,
		       refusal, last);
	last = n;
	/* What needs no table is as it was. */
	wrong += map(GRANTER, HANDLES_MAX - BATCH, BATCH, dense_first, &refusal) != BATCH;
	unmap(HANDLES_MAX - BATCH, BATCH, dense_first);
	unmap_all(n + BATCH, sparse);
}

/* --- one that is destroyed -------------------------------------------------------------------- */

static void destroy_while_mapped(void)
{
	int refusal = GNTST_okay;

	if (control(KEYHOLE_CONTROL_CREATE))
		tap_bail_out("no child is made");
	if (!WAIT_UNTIL(map(CHILD, 0, BATCH, dense, &refusal) == BATCH ||
			(unmap(0, BATCH, dense), 0)))
		tap_bail_out("its pages cannot be mapped: %d", refusal);
	wrong += control(KEYHOLE_CONTROL_DESTROY) != 0;
	/* Uses them all the time. */
	while (control(KEYHOLE_CONTROL_STATE) != KEYHOLE_DOMAIN_ABSENT)
		for (unsigned i = 0; i < BATCH; i++) {
			uint64_t word = *(volatile uint64_t *)AT(i);

			wrong += word != LENT_WORD(i) && word != 0;
		}
	unmap(0, BATCH, dense);
	rounds++;
}

void be_mapper(void)
{
	talk = map_page(GRANTER, TALK_REF, TALK_AT);
	for (enum phase phase, last = PHASE_WAIT; (phase = follow()) != PHASE_END; last = phase) {
		if (phase != last) {
			tap_is(wrong, 0, "phase %u: nothing went wrong in %lu rounds", last,
			       rounds);
			rounds = 0;
		}
		if (!WAIT_UNTIL(direction->at[GRANTER] >= phase))
			tap_bail_out("the granter stays behind");
		switch (phase) {
		case PHASE_BUSY:
			be_busy();
			break;
		case PHASE_COPY:
			copy();
			break;
		case PHASE_MAP:
			map_and_unmap();
			break;
		case PHASE_LIMIT:
			use_all_handles();
			break;
		case PHASE_TABLES:
			use_all_tables();
			break;
		case PHASE_DESTROY:
			destroy_while_mapped();
			break;
		default:
			yield();
		}
	}
	tap_is(wrong, 0, "phase %u: nothing went wrong in %lu rounds", PHASE_DESTROY, rounds);
	tap_ok(copied && mapped, "%lu copied, %lu mapped and unmapped", copied, mapped);
}
