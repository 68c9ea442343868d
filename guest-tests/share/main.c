/*
 * share: how much of a processor's time this guest gets, in percent: `share=` is what it shall get,
 * to a twentieth of that. Time in which it is not running shows as gaps between two looks at the
 * clock. It measures for `slices=` (12) slices, from the end of a gap to the end of another one,
 * when others have begun (there were some gaps) and before they end (it goes on for a while).
 */
#include "guest.h"

#define SLICE_US     2000u
#define FIRST_GAPS   2u
#define WITHIN	     20u /* the twentieth */
#define LAST_SLICES  12u
#define LIMIT_SLICES 100u

struct clock {
	uint64_t last, lost;
	unsigned gaps;
};

/* Runs until there have been so many gaps and so many ticks are over, to the end of a gap; not for
 * ever. */
static void run(struct clock *c, uint64_t slice, unsigned gaps, uint64_t ticks)
{
	uint64_t start = c->last;
	unsigned first = c->gaps;
	bool gap;

	do {
		uint64_t now = rdtsc();

		gap = now - c->last > slice / 4;
		c->gaps += gap;
		c->lost += gap ? now - c->last : 0;
		c->last = now;
	} while ((!gap || c->gaps - first < gaps || c->last - start < ticks) &&
		 c->last - start < LIMIT_SLICES * slice);
}

int main(void)
{
	uint64_t slice = (uint64_t)cpuid(XEN_CPUID_LEAF(3), 0).ecx * SLICE_US / 1000;
	uint64_t ticks = option_number("slices", 12) * slice, share = option_number("share", 50);
	struct clock c = {rdtsc(), 0, 0};

	run(&c, slice, FIRST_GAPS, 0);
	uint64_t start = c.last, lost = c.lost;
	run(&c, slice, 1, ticks);
	uint64_t all = c.last - start, used = all - (c.lost - lost);
	while (rdtsc() - c.last < LAST_SLICES * slice)
		;
	tap_ok(used * 100 * WITHIN >= all * share * (WITHIN - 1) &&
		   used * 100 * WITHIN <= all * share * (WITHIN + 1),
	       "%llu of %llu ticks, wanted %llu %%", (unsigned long long)used,
	       (unsigned long long)all, (unsigned long long)share);
	tap_done();
}
