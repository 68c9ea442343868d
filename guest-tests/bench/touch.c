/*
 * The first touch of a page that has no frame yet: an EPT violation that populates it.
 *
 * Samples are told apart by what they cost: clearing a page alone is 512 iterations of REP STOSQ,
 * so one below that found a cleared frame. In every second round others run between two touches,
 * which is when a hypervisor may clear frames; in the rest the touches follow one another, so that
 * cleared frames run out. A row without samples is not printed.
 *
 * Under Keyhole a page has no frame again once it was given back; elsewhere each round takes the
 * next pages.
 */
#include "measure.h"

#define TOUCH_START   0xc00000ul /* RAM that nothing else uses, from here on */
#define PAGES	      64u	 /* a round */
#define ROUNDS	      32u
#define CLEARING_COST 512u
#define SETTLING      256u
/* Behind pages that stay: where none is there, a touch brings 2 MiB. */
#define FIRST (TOUCH_START + PAGES * PAGE_SIZE)

/* What a hypervisor does bit by bit when it is entered is over after this: freeing the memory of
 * guests that ended, and ours. */
static void settle(void)
{
	for (unsigned i = 0; i < SETTLING; i++)
		yield();
}

static unsigned long give_back(unsigned round)
{
	static xen_ulong_t gfns[PAGES];
	struct xen_memory_reservation r = {
	    .extent_start = handle(gfns), .nr_extents = PAGES, .domid = DOMID_SELF};

	if (!xen_present)
		return FIRST + round * PAGES * PAGE_SIZE;
	for (unsigned i = 0; i < PAGES; i++)
		gfns[i] = FIRST / PAGE_SIZE + i;
	if (memory_op(XENMEM_decrease_reservation, &r) != PAGES)
		tap_bail_out("memory cannot be given back");
	settle();
	return FIRST;
}

static void trace_one(const char *name, unsigned round, unsigned before)
{
	unsigned long page = give_back(round);

	for (unsigned i = 0; i < before; i++)
		TOUCH(page + i * PAGE_SIZE);
	TRACE(name, TOUCH(page + before * PAGE_SIZE));
}

void touches(void)
{
	struct row ready = {0}, clearing = {0}, empty = {0};

	TOUCH(TOUCH_START);
	MEASURE(&empty, PAGES, );
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned long page = give_back(round);

		for (unsigned i = 0; i < PAGES; i++, page += PAGE_SIZE) {
			struct row one = {0};

			if (round % 2)
				yield();
			MEASURE(&one, 1, TOUCH(page));
			row_add(one.sum < CLEARING_COST ? &ready : &clearing, one.sum);
		}
	}
	tap_ok(ready.samples + clearing.samples == ROUNDS * PAGES, "every page came");
	if (ready.samples) {
		row_print("ept_populate", &ready, &empty, 1);
		trace_one("ept_populate", ROUNDS, 0);
	}
	if (clearing.samples) {
		row_print("ept_populate_scrub", &clearing, &empty, 1);
		trace_one("ept_populate_scrub", ROUNDS + 1, PAGES - 1);
	}
}
