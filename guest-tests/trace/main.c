/*
 * trace: exits that can be counted: `cpuids=N`, `calls=N`. Two of it, with other numbers, differ by
 * just that (tests/test_trace.py).
 */
#include "guest.h"

int main(void)
{
	uint64_t cpuids = option_number("cpuids", 0), calls = option_number("calls", 0), good = 0;

	tap_plan(1);
	for (uint64_t i = 0; i < cpuids; i++)
		(void)cpuid(0, 0);
	for (uint64_t i = 0; i < calls; i++)
		good += xen_version(XENVER_version, NULL) > 0;
	tap_ok(good == calls, "each call is answered");
	tap_done();
}
