/*
 * realmode: leaves 64-bit mode for real mode, works there, and comes back, ten times. Needs an
 * unrestricted guest: without one a hypervisor would have to emulate all of this.
 */
#include "guest.h"
#include "real.h"

extern const char real_start[], real_end[];

static uint32_t result(unsigned offset)
{
	return *(volatile uint32_t *)(uintptr_t)(REAL_RESULTS + offset);
}

int main(void)
{
	void (*there_and_back)(void) = (void (*)(void))(uintptr_t)REAL_BASE;
	unsigned same = 0;

	tap_plan(9);
	memcpy((void *)REAL_BASE, real_start,
	       (size_t)((uintptr_t)real_end - (uintptr_t)real_start));
	there_and_back();
	tap_ok(read_cr0() & CR0_PG && rdmsr(MSR_EFER) & EFER_LMA, "to real mode and back");
	tap_is(result(RESULT_SEGMENTS), REAL_PATTERN, "two segments overlap as they should");
	tap_is(result(RESULT_STRING), REAL_PATTERN, "a string is copied between segments");
	tap_is(result(RESULT_CPUID), cpuid(XEN_CPUID_FIRST_LEAF, 0).ebx,
	       "CPUID says there what it says here");
	tap_is(result(RESULT_IN), 0xffff00ff, "ports can be read: a byte, a word");
	tap_is(result(RESULT_INTERRUPTS), 0x101,
	       "an interrupt and an exception come to their handlers");
	tap_is((int32_t)result(RESULT_HYPERCALL), 0, "a hypercall from there works, as on Xen");
	tap_is(result(RESULT_CR0) & (CR0_PE | CR0_PG), 0, "CR0 said 0x%x", result(RESULT_CR0));
	for (unsigned i = 0; i < 10; i++) {
		memset((void *)REAL_RESULTS, 0, RESULTS_SIZE);
		there_and_back();
		same += result(RESULT_STRING) == REAL_PATTERN;
	}
	tap_is(same, 10, "ten more times");
	tap_done();
}
