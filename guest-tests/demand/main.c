/*
 * demand: looks into all of demand-owner's memory, the domain before this one, through a window of
 * which 64 pages are there at a time; while the owner gives memory back and takes it, and after it
 * has ended. Tries what must fail.
 */
#include "../demand-owner/shared.h"
#include "guest.h"
#include "public/keyhole.h"

#define FRAME(address) ((unsigned long)((address) / PAGE_SIZE))
#define BUDGET	       64u
#define FLUSHES_MOST   70u /* for 1,000 faults: a sixteenth, and some */
#define ABSENT	       0xffffffffffffffffull
#define HOT_ROUNDS     1024u
#define MIB(n)	       ((n) << 20)

static struct control *const control = (struct control *)HOLE;
static struct keyhole_window_stats stats;
static uint32_t peer;
static unsigned long low; /* the range that is set aside */

static long window_open(uint32_t domain, unsigned long there, unsigned long here,
			unsigned long count, unsigned long budget)
{
	return hypercall5(__HYPERVISOR_keyhole_foreign,
			  KEYHOLE_FOREIGN(KEYHOLE_WINDOW_OPEN, domain), there, here, count, budget);
}

static long window_close(unsigned long number)
{
	return hypercall(__HYPERVISOR_keyhole_foreign, KEYHOLE_WINDOW_CLOSE, number, 0);
}

static long window_stats(unsigned long number, void *to)
{
	return hypercall(__HYPERVISOR_keyhole_foreign, KEYHOLE_WINDOW_STATS, number,
			 (unsigned long)to);
}

static struct span_page *page(unsigned i)
{
	return (struct span_page *)(low + i * PAGE_SIZE);
}

static unsigned differing(uint64_t magic, unsigned first, unsigned count)
{
	unsigned wrong = 0;

	for (unsigned i = first; i < first + count; i++)
		wrong += page(i)->owner != magic + i;
	return wrong;
}

static void ask(unsigned request, const char *what)
{
	control->request = request;
	tap_ok(WAIT_UNTIL(control->done == request), "the owner %s", what);
}

static void refused(void)
{
	unsigned long there = FRAME(SPAN_AT), here = FRAME(low);

	tap_is(window_open(peer + 7, there, here, SPAN, BUDGET), -XEN_EPERM,
	       "a domain that it may not map");
	tap_is(window_open(self_domain(), there, here, SPAN, BUDGET), -XEN_EPERM, "itself");
	tap_is(window_open(peer, there, here, 0, BUDGET), -XEN_EINVAL, "a window of nothing");
	tap_is(window_open(peer, there, here, SPAN, BUDGET - 1), -XEN_EINVAL, "too small a budget");
	tap_is(window_open(peer, there, here, ~0ul, BUDGET), -XEN_EINVAL, "a span that wraps");
	tap_is(window_open(peer, ~0ul, here, 1, BUDGET), -XEN_EINVAL,
	       "beyond the owner's addresses");
	tap_is(window_open(peer, there, 0x7ffffff, 2, BUDGET), -XEN_EINVAL, "beyond its own");
	tap_is(window_open(peer, 0, here, 0x4000000, 0x4000000), -XEN_ENOMEM,
	       "a list of pages for which it has no quota");
	tap_is(window_close(0), -XEN_ENOENT, "closing none");
	tap_is(window_close(~0ul), -XEN_ENOENT, "closing one beyond all");
	tap_is(window_stats(64, &stats), -XEN_ENOENT, "asking one beyond all");
}

static void look(long window)
{
	unsigned long here = FRAME(low);

	tap_is(window_open(peer, 0, here + SPAN - 1, 10, BUDGET), -XEN_EEXIST,
	       "another window at its end");
	tap_is(window_open(peer, 0, here - 5, 10, BUDGET), -XEN_EEXIST, "or at its beginning");
	tap_is(differing(MAGIC(0), 0, SPAN), 0,
	       "all of the owner's pages are where they should be");
	tap_is(window_stats((unsigned long)window, &stats), 0, "statistics");
	printf("# %u faults, %u evicted, %u flushes\n", (unsigned)stats.faults,
	       (unsigned)stats.evicted, (unsigned)stats.flushes);
	tap_ok(stats.faults >= SPAN && stats.faults < SPAN + 64 && stats.open,
	       "as many faults as pages");
	tap_ok(stats.resident <= BUDGET && stats.resident >= BUDGET / 2 && stats.budget == BUDGET,
	       "as many are there as may be (%u)", (unsigned)stats.resident);
	tap_ok(stats.evicted >= SPAN - BUDGET, "the others have gone");
	tap_ok(stats.flushes_per_1000_faults <= FLUSHES_MOST, "with %u flushes for 1,000 faults",
	       (unsigned)stats.flushes_per_1000_faults);
	for (unsigned i = 0; i < SPAN; i++)
		page(i)->mapper = MAGIC_MAPPER(i);
	control->written = 1;
}

/* A page that is used all the time. */
static void used_lately(long window)
{
	uint64_t before, wrong = 0;

	window_stats((unsigned long)window, &stats);
	before = stats.faults;
	for (unsigned i = 0; i < HOT_ROUNDS; i++) {
		wrong += page(0)->owner != MAGIC(0);
		wrong += page(i + 1)->owner != MAGIC(i + 1);
	}
	window_stats((unsigned long)window, &stats);
	tap_ok(stats.faults - before <= HOT_ROUNDS + HOT_ROUNDS / 24 && !wrong,
	       "a page that is used again and again stays (%u faults for %u others)",
	       (unsigned)(stats.faults - before), HOT_ROUNDS);
}

/* Arguments and results of calls that are in the window, and not there just now. */
static void arguments(long window)
{
	struct keyhole_window_stats *there = (struct keyhole_window_stats *)(low + 64);
	domid_t *domid = (domid_t *)(low + PAGE_SIZE + 32);
	add_to_physmap_t *across = (add_to_physmap_t *)(low + 3 * PAGE_SIZE - 4);
	uint64_t faults;

	*domid = DOMID_SELF;
	memset(across, 0, sizeof(*across));
	across->domid = 0x1234;
	differing(0, 200, 200);
	tap_ok(memory_op(XENMEM_maximum_reservation, domid) == MIB(20) / PAGE_SIZE,
	       "a call's argument in the window");
	tap_is(memory_op(XENMEM_add_to_physmap, across), -XEN_EPERM, "one across two of its pages");
	*page(3) = (struct span_page){MAGIC(3), MAGIC_MAPPER(3)};
	tap_is(window_stats((unsigned long)window, there), 0, "a result in the window");
	tap_is(there->budget, BUDGET, "is there");
	(void)page(5)->owner;
	faults = there->faults;
	tap_is(page_remove(low + 5 * PAGE_SIZE), 0, "one of its pages is removed");
	tap_is(page(5)->owner, MAGIC(5), "and is there again when it is touched");
	window_stats((unsigned long)window, &stats);
	tap_ok(stats.faults > faults, "by a fault");
	tap_is(hypercall5(__HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN_REMOVE, FRAME(low) + 5, 1,
			  0, 0),
	       -XEN_EINVAL, "it is no foreign page");
	tap_is(hypercall(__HYPERVISOR_keyhole_foreign, KEYHOLE_WINDOW_STATS, 0, ~0ul), -XEN_EFAULT,
	       "statistics to nowhere");
}

static void ballooning(void)
{
	tap_is(differing(MAGIC(0), GIVEN, GIVEN_COUNT), 0, "some pages are there");
	ask(GIVE_BACK, "gives memory back");
	unsigned wrong = 0;
	for (unsigned i = 0; i < BUDGET; i++)
		wrong += page(GIVEN + GIVEN_COUNT - 1 - i)->owner != ABSENT;
	for (unsigned i = 0; i < BLOCK_PAGES; i++)
		wrong += page(GIVEN_BLOCK + i)->owner != ABSENT;
	tap_is(wrong, 0, "nothing is there now");
	page(GIVEN)->mapper = 0; /* is dropped */
	tap_is(differing(MAGIC(0), GIVEN_BLOCK + BLOCK_PAGES, 100), 0, "what it has kept is there");
	ask(TAKE, "takes memory");
	tap_is(differing(MAGIC_AGAIN(0), GIVEN, GIVEN_COUNT), 0, "it is what is there now");
	tap_is(differing(MAGIC_AGAIN(0), GIVEN_BLOCK, BLOCK_PAGES), 0, "the block, too");
	for (unsigned i = 0; i < BLOCK_PAGES; i++)
		page(GIVEN_BLOCK + i)->mapper = MAGIC_MAPPER(GIVEN_BLOCK + i);
	for (unsigned i = 0; i < GIVEN_COUNT; i++)
		page(GIVEN + i)->mapper = MAGIC_MAPPER(GIVEN + i);
}

int main(void)
{
	long window, second;

	peer = self_domain() - 1;
	low = (unsigned long)cpuid(KEYHOLE_CPUID_LEAF(2), 0).eax * PAGE_SIZE;
	tap_is(hypercall5(__HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN(KEYHOLE_FOREIGN_MAP, peer),
			  FRAME(CONTROL_AT), FRAME(HOLE), 1, 0),
	       1, "a page to talk by");
	tap_ok(WAIT_UNTIL(control->ready), "the owner is ready");
	refused();
	window = window_open(peer, FRAME(SPAN_AT), FRAME(low), SPAN, BUDGET);
	tap_ok(window >= 0, "a window opens (%ld)", window);
	look(window);
	used_lately(window);
	arguments(window);
	ballooning();
	second = window_open(peer, FRAME(SPAN_AT), FRAME(low) + SPAN, SPAN, SPAN);
	tap_ok(second >= 0 && second != window, "a second one, with room for all");
	tap_is(((struct span_page *)(low + SPAN * PAGE_SIZE))->owner, MAGIC(0), "shows the same");
	tap_is(window_close((unsigned long)window), 0, "the first one closes");
	tap_is(page(0)->owner, ABSENT, "there is nothing any more");
	tap_is(window_close((unsigned long)window), -XEN_ENOENT, "nor to close");
	window = window_open(peer, FRAME(SPAN_AT), FRAME(low), SPAN, BUDGET);
	tap_is(differing(MAGIC(0), 0, GIVEN), 0, "it opens again");
	for (unsigned i = 0; i < SPAN; i++)
		((struct span_page *)(low +
				      SPAN * PAGE_SIZE))[i * PAGE_SIZE / sizeof(struct span_page)]
		    .owner;
	control->request = END;
	tap_ok(WAIT_UNTIL(!window_stats((unsigned long)window, &stats) && !stats.open &&
			  page(0)->owner == ABSENT),
	       "the owner ends, and the window closes");
	tap_ok(WAIT_UNTIL(!window_stats((unsigned long)second, &stats) && !stats.open), "both do");
	tap_ok(WAIT_UNTIL(((struct span_page *)(low + 2 * SPAN * PAGE_SIZE - PAGE_SIZE))->owner ==
			  ABSENT),
	       "nothing is left");
	tap_is(window_close((unsigned long)window), 0, "they are given up");
	tap_is(window_close((unsigned long)second), 0, "one by one");
	tap_done();
}
