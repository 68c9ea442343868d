/*
 * alloc-fail: makes each hypercall that takes memory again and again, the first time with the first
 * allocation failing that the hypervisor makes for it, then with the second, and so on, until none
 * is left to fail. What fails must say so and change nothing; the next try must succeed.
 *
 * Two of the kind: with `owner` on its command line it lends its pages to the next domain, which
 * does the rest. Test builds only.
 */
#include "guest.h"
#include "public/keyhole.h"

#define PAGES	     8u
#define LENT	     0x300000ul /* the owner's pages */
#define LENT_WORD(i) (0x1e47000ul + (i))
#define REF	     8u		  /* the grant of the first of them */
#define FAR	     (64ul << 30) /* no RAM, and no table of the p2m: one GiB for each try */
#define GIB	     (1ul << 30)
#define OWN	     0xa00000ul /* RAM of this guest's own, in blocks of 2 MiB */
#define ATTEMPTS_MAX 200u

static uint32_t peer;
static bool fired;
static unsigned far_used;

static long test_call(unsigned command, unsigned long argument)
{
	return hypercall(__HYPERVISOR_keyhole_test, command, argument, 0);
}

/* The value of a call whose n-th allocation fails. */
#define FAILING(n, call)                                      \
	__extension__({                                       \
		(void)test_call(KEYHOLE_TEST_FAIL, (n));      \
		long result_ = (call);                        \
		fired = test_call(KEYHOLE_TEST_FAIL, 0) != 0; \
		result_;                                      \
	})

static unsigned long next_far(void)
{
	return FAR + GIB * far_used++;
}

/* Each attempt makes its call with the n-th allocation failing, and undoes it; false: it is wrong.
 */

static long grant_call(unsigned command, void *argument)
{
	return grant_table_op(command, argument, 1);
}

/* The handle's page too, when there is none yet. Unmapping takes no memory. */
static bool attempt_grant(unsigned n)
{
	struct gnttab_map_grant_ref map = {.host_addr = next_far(),
					   .flags = GNTMAP_host_map,
					   .ref = REF,
					   .dom = (domid_t)peer,
					   .status = 99};

	if (FAILING(n, grant_call(GNTTABOP_map_grant_ref, &map)) != 0)
		return false;
	if (map.status != GNTST_okay)
		return map.status == GNTST_no_space && fired;
	bool map_fired = fired;
	struct gnttab_unmap_grant_ref unmap = {
	    .host_addr = map.host_addr, .handle = map.handle, .status = 99};
	bool good = FAILING(1, grant_call(GNTTABOP_unmap_grant_ref, &unmap)) == 0 &&
		    unmap.status == GNTST_okay && !fired;
	fired = map_fired;
	return good;
}

/* Pages of one batch, each far from the others: at most one of them may miss its memory. */
static bool attempt_foreign(unsigned n)
{
	static native_ulong_t indices[PAGES], places[PAGES];
	static int32_t errors[PAGES];
	add_to_physmap_batch_t batch = foreign_batch(peer, PAGES, indices, places, errors);
	unsigned missing = 0;
	bool good = true;

	for (unsigned i = 0; i < PAGES; i++) {
		indices[i] = LENT / PAGE_SIZE + i;
		places[i] = next_far() / PAGE_SIZE;
		errors[i] = 99;
	}
	if (FAILING(n, memory_op(XENMEM_add_to_physmap_batch, &batch)) != 0)
		return false;
	bool map_fired = fired;
	for (unsigned i = 0; i < PAGES; i++) {
		if (errors[i] == 0)
			good &= FAILING(1, page_remove(places[i] * PAGE_SIZE)) == 0 && !fired;
		else
			good &= errors[i] == -XEN_ENOMEM &&
				page_remove(places[i] * PAGE_SIZE) == -XEN_ENOENT;
		missing += errors[i] != 0;
	}
	fired = map_fired;
	return good && missing <= fired;
}

/* Grows the table by three frames. */
static bool attempt_table(unsigned n)
{
	static native_ulong_t frames[32];
	struct gnttab_query_size size = {.dom = DOMID_SELF, .status = 99};

	grant_table_op(GNTTABOP_query_size, &size, 1);
	uint32_t before = size.nr_frames;
	setup_table_t setup = {
	    .dom = DOMID_SELF, .nr_frames = before + 3, .status = 99, .frame_list = handle(frames)};
	if (FAILING(n, grant_call(GNTTABOP_setup_table, &setup)) != 0)
		return false;
	grant_table_op(GNTTABOP_query_size, &size, 1);
	if (setup.status != GNTST_okay)
		return setup.status == GNTST_general_error && fired && size.nr_frames == before;
	return size.nr_frames == before + 3;
}

/* Shows the table's next frame, which it does not have yet, at a place of its own. */
static bool attempt_show(unsigned n)
{
	struct gnttab_query_size size = {.dom = DOMID_SELF, .status = 99};
	unsigned long place = next_far();

	grant_table_op(GNTTABOP_query_size, &size, 1);
	add_to_physmap_t argument = {.domid = DOMID_SELF,
				     .space = XENMAPSPACE_grant_table,
				     .idx = size.nr_frames,
				     .gpfn = place / PAGE_SIZE};
	long result = FAILING(n, memory_op(XENMEM_add_to_physmap, &argument));
	if (result != 0)
		return result == -XEN_ENOMEM && fired && page_remove(place) == -XEN_ENOENT;
	return page_remove(place) == 0;
}

/* One page out of the middle of a block of 2 MiB, whose mapping has to be split for it. */
static bool attempt_split(unsigned n)
{
	static unsigned block;
	volatile uint64_t *page = (volatile uint64_t *)(OWN + block * 0x200000ul + 0x7f000);

	*page = n;
	page[512] = ~(uint64_t)n;
	long result = FAILING(n, page_remove((unsigned long)page));
	if (result != 0)
		return result == -XEN_ENOMEM && fired && *page == n && page[512] == ~(uint64_t)n;
	block++;
	return page[512] == ~(uint64_t)n;
}

static long reservation(unsigned command, unsigned long address, unsigned count, unsigned order)
{
	static native_ulong_t extents[PAGES];
	memory_reservation_t argument = {.extent_start = handle(extents),
					 .nr_extents = count,
					 .extent_order = order,
					 .domid = DOMID_SELF};

	for (unsigned i = 0; i < count; i++)
		extents[i] = (address / PAGE_SIZE) + ((unsigned long)i << order);
	return memory_op(command, &argument);
}

/* Pages given back and asked for again; each call says how many it has done. */
static bool attempt_balloon(unsigned n)
{
	static const unsigned commands[] = {XENMEM_decrease_reservation, XENMEM_populate_physmap};
	unsigned long place = OWN + 0x100000ul;
	bool any = false;

	for (unsigned i = 0; i < array_size(commands); i++) {
		long done = FAILING(n, reservation(commands[i], place, PAGES, 0));
		unsigned left = PAGES - (unsigned)done;

		any |= fired;
		if (done < 0 || done > (long)PAGES || (left && !fired))
			return false;
		if (left && reservation(commands[i], place + (unsigned long)done * PAGE_SIZE, left,
					0) != (long)left)
			return false;
	}
	fired = any;
	for (unsigned i = 0; i < PAGES; i++)
		if (*(volatile uint64_t *)(place + i * PAGE_SIZE) != 0)
			return false;
	return true;
}

/* The same with 2 MiB in one piece, which appear far from where they were. */
static bool attempt_balloon_large(unsigned n)
{
	unsigned long home = OWN + 0x200000ul, place = next_far();

	if (reservation(XENMEM_decrease_reservation, home, 1, 9) != 1)
		return false;
	long done = FAILING(n, reservation(XENMEM_populate_physmap, place, 1, 9));
	if (done == 1)
		done = reservation(XENMEM_decrease_reservation, place, 1, 9);
	else if (done != 0 || !fired || page_remove(place) != -XEN_ENOENT)
		return false;
	return done >= 0 && reservation(XENMEM_populate_physmap, home, 1, 9) == 1;
}

static void walk(const char *what, bool (*attempt)(unsigned n))
{
	unsigned n = 0, audits = 0;
	bool good = true;

	do {
		good = attempt(++n);
		audits += good && test_call(KEYHOLE_TEST_AUDIT, 0) != 0;
	} while (good && !audits && fired && n < ATTEMPTS_MAX);
	tap_ok(good && !fired && n > 1, "%s: each of %u allocations has failed", what, n - 1);
	tap_is(audits, 0, "%s: the hypervisor maps what it should all the time", what);
}

static void lend(void)
{
	volatile struct grant_entry_v1 *table = grant_table_at(HOLE);
	volatile uint64_t *done = (volatile uint64_t *)LENT;

	for (unsigned i = 0; i < PAGES; i++)
		*(uint64_t *)(LENT + i * PAGE_SIZE) = LENT_WORD(i);
	grant_access(table, REF, self_domain() + 1, (void *)LENT, 0);
	tap_ok(WAIT_UNTIL(*done == ~LENT_WORD(0)), "the other domain is done with my pages");
	tap_ok(WAIT_UNTIL(!(table[REF].flags & (GTF_reading | GTF_writing))),
	       "and has given up the grant");
	tap_done();
}

/* Maps the first page that is lent, once the owner has come to that. */
static volatile uint64_t *borrow(grant_handle_t *mapping)
{
	if (!WAIT_UNTIL(grant_map(peer, REF, HOLE, GNTMAP_host_map, mapping) == GNTST_okay))
		tap_bail_out("domain %u lends nothing", peer);
	return (volatile uint64_t *)HOLE;
}

int main(void)
{
	grant_handle_t mapping;

	if (option("owner"))
		lend();
	if (test_call(KEYHOLE_TEST_FAIL, 0) == -XEN_ENOSYS)
		tap_bail_out("this is no test build");
	peer = self_domain() - 1;
	/* First of all: the first mapping of all takes memory for its handle. */
	while (!attempt_grant(1) || !fired)
		yield();
	walk("a grant is mapped", attempt_grant);
	walk("foreign pages are mapped", attempt_foreign);
	walk("the grant table grows", attempt_table);
	walk("its next frame is shown", attempt_show);
	walk("a page is taken out of a block", attempt_split);
	walk("pages are given back and asked for", attempt_balloon);
	walk("so are 2 MiB", attempt_balloon_large);
	volatile uint64_t *word = borrow(&mapping);
	tap_ok(*word == LENT_WORD(0), "the page that was lent is here in the end");
	*word = ~LENT_WORD(0);
	tap_is(grant_unmap(HOLE, mapping), GNTST_okay, "and can be given back");
	tap_done();
}
