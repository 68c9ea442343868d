/* sources: kernel/cap.c tests/unit/fake_cpu.c */
/*
 * Caps: when a domain may run again, with one vCPU and with two at once.
 */
#include "domain.h"
#include "kernel/cap.h"
#include "tap.h"

#define SLICE 1000u

/* Time used in `rounds` waits and runs of so many vCPUs at once, in percent of a CPU's. */
static uint64_t share(struct domain *d, unsigned vcpus, unsigned rounds, uint64_t pause)
{
	uint64_t start = 1ull << 40, now = start, used = 0;

	for (unsigned n = 0; n < rounds; n++) {
		now += pause;
		if (d->cap_until > now)
			now = d->cap_until;
		for (unsigned v = 0; v < vcpus; v++)
			cap_charge(d, now, SLICE);
		used += vcpus * SLICE;
		now += SLICE;
	}
	if (d->cap_until > now)
		now = d->cap_until;
	return used * 100 / (now - start);
}

int main(void)
{
	struct domain none = {0}, quarter = {.cap_percent = 25}, both = {.cap_percent = 25},
		      wide = {.cap_percent = 150}, idle = {.cap_percent = 50};

	tap_no_plan();
	is(share(&none, 1, 100, 0), 100, "no cap");
	is(share(&quarter, 1, 100, 0), 25, "a quarter");
	is(share(&both, 2, 100, 0), 25, "two vCPUs share it");
	is(share(&wide, 2, 100, 0), 150, "more than one CPU");
	is(share(&idle, 1, 99, 3 * SLICE), 24, "who wants less gets that");
	uint64_t now = idle.cap_until + 1000 * SLICE;
	cap_charge(&idle, now, SLICE);
	is(idle.cap_until, now + 2 * SLICE, "and has saved nothing up");
	return tap_end();
}
