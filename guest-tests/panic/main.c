/*
 * panic: prints some lines, then asks the hypervisor to panic (test builds); with `busy` it prints
 * for ever, and has all its vCPUs use their processors meanwhile. tests/test_panic.py.
 */
#include "apic.h"
#include "public/keyhole.h"

#define LINES 60u

static void busy(unsigned id)
{
	(void)id;
	for (;;)
		cpu_pause();
}

static void print_lines(unsigned count)
{
	for (unsigned n = 0; n < count; n++)
		printf("# %u: the quick brown fox jumps over the lazy dog\n", n);
}

int main(void)
{
	print_lines(LINES);
	if (!option("busy")) {
		hypercall(__HYPERVISOR_keyhole_test, KEYHOLE_TEST_PANIC, 0, 0);
		tap_bail_out("no panic");
	}
	apic_enable();
	for (unsigned id = 1; id < cpu_count(); id++)
		if (!cpu_start(id, busy))
			tap_bail_out("processor %u does not start", id);
	for (;;)
		print_lines(LINES);
}
