/*
 * Test builds: barriers between guests are counted, where no processor has the registers.
 *
 * State: whether, and how many, of each register. No lock.
 */
#ifdef CONFIG_TEST
#include "vmx/barrier_counts.h"
#include "barriers.h"
#include "cpu_bits.h"
#include "print.h"

static bool counted;
static _Atomic uint64_t commands[2];

void barriers_count_all(void)
{
	counted = true;
	barriers = (struct barriers){true, true, true};
}

bool barriers_counted(uint32_t msr)
{
	atomic_fetch_add(&commands[msr == MSR_IA32_FLUSH_CMD], 1);
	return counted;
}

void barriers_report(void)
{
	if (counted)
		print(LOG_RESULT, "barriers: %lu IBPB, %lu L1D flushes", atomic_load(&commands[0]),
		      atomic_load(&commands[1]));
}
#endif
