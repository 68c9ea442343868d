/*
 * Allocations that fail on purpose, in test builds only: selftest/fail.c. Elsewhere all of this is
 * gone before the compiler emits an instruction.
 */
#ifndef KEYHOLE_MM_FAIL_H
#define KEYHOLE_MM_FAIL_H

#include "types.h"

#ifdef CONFIG_TEST
void fail_arm(uint64_t nth);
void fail_arm_making(uint64_t nth);
bool fail_disarm(void);
bool fail_now(void);
void fail_making(bool making);
#else
/* What follows, on this CPU, makes a domain at run time, or no longer does. */
static inline void fail_making(bool making)
{
	(void)making;
}
/* Whether the allocation that asks must fail. */
static inline bool fail_now(void)
{
	return false;
}
#endif

#endif
