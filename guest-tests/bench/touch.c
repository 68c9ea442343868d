/*
 * The first touch of a page that has no frame yet: an EPT violation that populates it.
 *
 * In every second round the guest yields to nobody before, once for each page, which is when
 * Keyhole scrubs a frame ahead; in the others it does not, so that none is ready. A sample that is
 * dearer than the cheapest of all by half of what clearing takes (512 iterations of REP STOSQ) is
 * one that cleared. A row without samples is not printed.
 *
 * Under Keyhole a page has no frame again once it was given back; elsewhere each round takes the
 * next pages, and clears all of them.
 */
#include "measure.h"

#define TOUCH_START   0xc00000ul /* RAM that nothing else uses, from here on */
#define PAGES	      64u	 /* a round */
#define ROUNDS	      32u
#define CLEARING_COST 512u
#define LAST	      511u /* page of the 2 MiB: it stays away, so that they never join */
#define SETTLING      256u
#define TAKEN_APART   (8ul << 20) /* ticks: ample for the domains of the guests before this one */
#define USING_UP      6u
/* Behind pages that stay: where none is there, a touch brings 2 MiB. */
#define FIRST (TOUCH_START + PAGES * PAGE_SIZE)

static void give_up(unsigned long address, unsigned count)
{
	static xen_ulong_t gfns[PAGES];
	struct xen_memory_reservation r = {
	    .extent_start = handle(gfns), .nr_extents = count, .domid = DOMID_SELF};

	for (unsigned i = 0; i < count; i++)
		gfns[i] = address / PAGE_SIZE + i;
	if (memory_op(XENMEM_decrease_reservation, &r) != count)
		tap_bail_out("memory cannot be given back");
}

/* Pages without frames. What a hypervisor frees bit by bit when it is entered is free by then. */
static unsigned long pages_of(unsigned round, bool idle)
{
	if (!xen_present)
		return FIRST + round * PAGES * PAGE_SIZE;
	give_up(FIRST, PAGES);
	for (unsigned i = 0; i < SETTLING; i++)
		cpuid(0, 0);
	for (unsigned i = 0; idle && i < PAGES; i++)
		yield();
	return FIRST;
}

static void trace_ready(unsigned round)
{
	unsigned long page = pages_of(round, true);

	TRACE("ept_populate", TOUCH(page));
}

/* After rounds that have used up what was ready. */
static void trace_clearing(unsigned round)
{
	unsigned long page = 0;

	for (unsigned r = 0; r < USING_UP; r++) {
		page = pages_of(round + r, false);
		for (unsigned i = 0; i < PAGES - 1; i++, page += PAGE_SIZE)
			TOUCH(page);
		if (r < USING_UP - 1)
			TOUCH(page);
	}
	TRACE("ept_populate_scrub", TOUCH(page));
}

void touches(void)
{
	static uint64_t costs[ROUNDS * PAGES];
	struct row ready = {0}, clearing = {0}, empty = {0};
	uint64_t least = ~0ull;
	unsigned wrong = 0;

	/* What is left of them is freed at any vCPU's exits, 2 MiB at a time. */
	for (uint64_t begin = rdtsc(); xen_present && rdtsc() - begin < TAKEN_APART;)
		yield();
	TOUCH(TOUCH_START);
	if (xen_present)
		give_up(TOUCH_START + LAST * PAGE_SIZE, 1);
	MEASURE(&empty, PAGES, );
	for (unsigned i = 0; i < ROUNDS * PAGES; i++) {
		static unsigned long page;
		const volatile char *touched;
		struct row one = {0};

		if (i % PAGES == 0)
			page = pages_of(i / PAGES, i / PAGES % 2);
		touched = (const volatile char *)(page + i % PAGES * PAGE_SIZE);
		MEASURE(&one, 1, TOUCH(touched));
		wrong += touched[0] != 1 || touched[1] != 0 || touched[PAGE_SIZE - 1] != 0;
		costs[i] = one.sum;
		if (one.sum < least)
			least = one.sum;
	}
	for (unsigned i = 0; i < ROUNDS * PAGES; i++)
		row_add(xen_present && costs[i] < least + CLEARING_COST / 2 ? &ready : &clearing,
			costs[i]);
	tap_is(wrong, 0, "every page came, and came clear");
	if (ready.samples) {
		row_print("ept_populate", &ready, &empty, 1);
		trace_ready(ROUNDS);
	}
	if (clearing.samples) {
		row_print("ept_populate_scrub", &clearing, &empty, 1);
		trace_clearing(ROUNDS + 1);
	}
}
