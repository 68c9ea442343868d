/*
 * large-leaf: a mapping of 1 GiB, split to 2 MiB and to 4 KiB and joined again, while the guest
 * looks through it. What it maps, by the test hypercall, is the first GiB of the machine,
 * read-only: its own pages are somewhere in it, found by what stands in them.
 *
 * Where the processor has no 1G leaves the largest are of 2 MiB, and all else is the same.
 */
#include "guest.h"
#include "public/keyhole.h"

#define VIEW	   0x40000000ul /* guest-physical, no RAM */
#define VIEW_PAGES 0x40000ul
#define PER_2M	   512ul

#define STAMP(page) (0x6c656166ul << 32 | (page))

static volatile uint64_t *own[2];
static unsigned long frame[2]; /* of the machine */
static unsigned largest;

static int p2m(uint32_t op, unsigned long page, unsigned long machine_frame, unsigned long count)
{
	struct keyhole_test_p2m p = {
	    .gfn = VIEW / PAGE_SIZE + page, .frame = machine_frame, .frame_count = count, .op = op};
	long rc = hypercall(__HYPERVISOR_keyhole_test, KEYHOLE_TEST_P2M, (unsigned long)&p, 0);

	return rc ? (int)rc - 100 : p.order;
}

static int order_at(unsigned long page)
{
	return p2m(KEYHOLE_P2M_LOOK, page, 0, 0);
}

/* Maps pages of the view again as they were. */
static int map(unsigned long page, unsigned long count)
{
	return p2m(KEYHOLE_P2M_MAP, page, page, count);
}

static int unmap(unsigned long page, unsigned long count)
{
	return p2m(KEYHOLE_P2M_UNMAP, page, 0, count);
}

static uint64_t seen(unsigned long page)
{
	return *(volatile uint64_t *)(VIEW + page * PAGE_SIZE);
}

/* Whether what is written to an own page shows in the view. */
static bool shows(unsigned i)
{
	static uint64_t count;

	own[i][0] = STAMP(++count << 8 | i);
	return seen(frame[i]) == own[i][0];
}

static void find(unsigned i)
{
	own[i] = page_alloc();
	own[i][0] = STAMP(0x700 + i);
	own[i][1] = ~own[i][0];
	for (unsigned long page = 0; page < VIEW_PAGES; page++)
		if (seen(page) == own[i][0] &&
		    *(volatile uint64_t *)(VIEW + page * PAGE_SIZE + 8) == own[i][1])
			frame[i] = page;
}

static void one_page(void)
{
	unsigned long neighbour = frame[0] ^ 1, other = (frame[0] + PER_2M) % VIEW_PAGES;

	tap_is(unmap(frame[0], 1), -1, "one page is taken out");
	tap_is(order_at(neighbour), 0, "what is beside it is single pages");
	tap_is(order_at(other), 9, "what is farther is 2 MiB");
	tap_ok(neighbour == frame[1] || shows(1), "and all leads where it led");
	tap_is(p2m(KEYHOLE_P2M_MAP, frame[0], frame[1], 1), frame[0] == frame[1] ? -1 : 0,
	       "another page in its place");
	tap_ok(seen(frame[0]) == own[1][0], "is seen there");
	tap_is(unmap(frame[0], 1), -1, "and taken out");
	tap_is(map(frame[0], 1), (int)largest, "with the page that was there it is one leaf again");
	tap_ok(shows(0) && shows(1), "which leads where it led");
}

static void one_block(void)
{
	unsigned long block = frame[0] & ~(PER_2M - 1);
	int order = 0;

	tap_is(unmap(block, PER_2M), -1, "2 MiB are taken out");
	tap_is(order_at((block + PER_2M) % VIEW_PAGES), 9, "what is beside it is 2 MiB");
	for (unsigned long i = PER_2M / 64; i-- > 1;)
		order |= map(block + i * 64, 64);
	tap_is(order, 0, "and come back in pieces");
	tap_is(map(block, 64), (int)largest, "with the last one it is one leaf again");
	tap_ok(shows(0) && shows(1), "which leads where it led");
}

int main(void)
{
	tap_plan(19);
	int order = p2m(KEYHOLE_P2M_MAP, 0, 0, VIEW_PAGES);

	tap_ok(order == 18 || order == 9, "1 GiB is mapped by leaves of 2^%d pages", order);
	largest = (unsigned)order;
	find(0);
	find(1);
	if (!tap_ok(frame[0] && frame[1], "own pages are seen in it"))
		tap_bail_out("they are elsewhere");
	tap_ok(shows(0) && shows(1), "and what is written to them");
	one_page();
	one_block();
	tap_is(unmap(0, VIEW_PAGES), -1, "all is taken out");
	tap_is(unmap(0, VIEW_PAGES), -1, "twice does not hurt");
	tap_done();
}
