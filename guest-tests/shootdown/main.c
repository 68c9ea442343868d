/*
 * shootdown: one vCPU gives pages back and takes others, while the rest read and write at the same
 * places all the time. A frame that has left one place comes back at another one: what the others
 * write through a stale translation would show there, and what they read through one would be what
 * is written there. Where a page is missing they read ones (mmio=absent).
 */
#include "apic.h"

#define PAGES  16u
#define PLACE  (HOLE)		   /* where the others look */
#define ASIDE  (HOLE + 0x100000ul) /* where only the first vCPU does */
#define SECRET 0x5ec4e7c0de000000ull
#define MARK   0x0a77e4000000ull
#define LOOKS  200u

static volatile bool stop;
static volatile uint64_t turns[32], stale[32];

static long reserve(unsigned command, unsigned long address)
{
	static native_ulong_t gfns[PAGES];
	memory_reservation_t argument = {
	    .extent_start = handle(gfns), .nr_extents = PAGES, .domid = DOMID_SELF};

	for (unsigned i = 0; i < PAGES; i++)
		gfns[i] = (native_ulong_t)(address / PAGE_SIZE + i);
	return memory_op(command, &argument);
}

static volatile uint64_t *word(unsigned long base, unsigned page)
{
	return (volatile uint64_t *)(base + page * PAGE_SIZE + 64 * page);
}

/* Each looks at pages in an order of its own. */
static void looks(unsigned id)
{
	for (unsigned page = id; !stop; page = (page + 2 * id + 1) % PAGES) {
		uint64_t seen = *word(PLACE, page);

		if (seen != 0 && seen != ~0ull && seen >> 32 != MARK >> 32)
			stale[id]++;
		*word(PLACE, page) = MARK + id;
		turns[id]++;
	}
	turns[id] |= 1ull << 63;
	for (;;)
		__asm__ volatile("hlt");
}

/* The frames that were at the place are now aside: clear, and nobody else writes to them. */
static unsigned look_aside(uint64_t round)
{
	unsigned wrong = 0;

	for (unsigned page = 0; page < PAGES; page++)
		wrong += *word(ASIDE, page) != 0;
	for (unsigned page = 0; page < PAGES; page++)
		*word(ASIDE, page) = SECRET + round;
	for (unsigned look = 0; look < LOOKS; look++)
		wrong += *word(ASIDE, look % PAGES) != SECRET + round;
	return wrong;
}

int main(void)
{
	unsigned count = cpu_count(), wrong = 0, failed = 0;
	uint64_t rounds = option_number("rounds", 150), others = 0, found = 0;

	apic_enable();
	tap_is(reserve(XENMEM_decrease_reservation, 0x400000), PAGES, "room for %u pages", PAGES);
	tap_is(reserve(XENMEM_populate_physmap, PLACE), PAGES, "they appear where no RAM was");
	for (unsigned id = 1; id < count; id++)
		if (!cpu_start(id, looks))
			tap_bail_out("vCPU %u does not start", id);
	for (uint64_t round = 0; round < rounds; round++) {
		failed += reserve(XENMEM_decrease_reservation, PLACE) != PAGES;
		failed += reserve(XENMEM_populate_physmap, ASIDE) != PAGES;
		wrong += look_aside(round);
		failed += reserve(XENMEM_decrease_reservation, ASIDE) != PAGES;
		failed += reserve(XENMEM_populate_physmap, PLACE) != PAGES;
	}
	stop = true;
	for (unsigned id = 1; id < count; id++) {
		tap_ok(WAIT_UNTIL(turns[id] >> 63), "vCPU %u stops, after %llu looks", id,
		       (unsigned long long)(turns[id] & ~(1ull << 63)));
		others += turns[id] & ~(1ull << 63);
		found += stale[id];
	}
	tap_is(failed, 0, "%llu times all pages move twice", (unsigned long long)rounds);
	tap_is(wrong, 0, "no frame is written to from where it was before");
	tap_is(found, 0, "nor read");
	tap_ok(others > rounds, "the others looked meanwhile");
	tap_done();
}
