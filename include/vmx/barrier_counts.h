/* Test builds, mitigations=counted: all barriers, on processors that have none of the registers.
 * selftest/barrier_counts.c. */
#ifndef KEYHOLE_VMX_BARRIER_COUNTS_H
#define KEYHOLE_VMX_BARRIER_COUNTS_H

#include "types.h"

#ifdef CONFIG_TEST
/* At boot: from now on they are needed, and counted. */
void barriers_count_all(void);
/* Whether a command to this register is counted, and not to be given. */
bool barriers_counted(uint32_t msr);
/* At the end of a run: how many there were. */
void barriers_report(void);
#else
static inline void barriers_count_all(void) {}
static inline bool barriers_counted(uint32_t msr)
{
	(void)msr;
	return false;
}
static inline void barriers_report(void) {}
#endif

#endif
