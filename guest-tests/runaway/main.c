/*
 * runaway: loops with interrupts off and never exits of its own will, until the time-stamp counter
 * has gone on by `mticks=` (60) millions. (Ticks, not seconds: in an emulator they are what can be
 * relied on.) Others must have run in between, which shows as gaps in its time.
 */
#include "guest.h"

/* A gap is longer than any step of the loop can take. */
#define GAP_TICKS 20000u

int main(void)
{
	uint64_t start = rdtsc(), last = start, ticks = option_number("mticks", 60) * 1000000;
	unsigned long gaps = 0;

	__asm__ volatile("cli");
	while (last - start < ticks) {
		uint64_t now = rdtsc();

		gaps += now - last > GAP_TICKS;
		last = now;
	}
	tap_plan(1);
	tap_ok(gaps > 0, "the CPU was taken away %lu times", gaps);
	tap_done();
}
