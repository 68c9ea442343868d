/* Built-in tests of the hypervisor, host side: selftest on the command line. selftest/selftest.c.
 */
#ifndef KEYHOLE_SELFTEST_SELFTEST_H
#define KEYHOLE_SELFTEST_SELFTEST_H

#include "types.h"

/* Prints TAP; returns how many failed. */
uint32_t selftest_run(void);
/* One result, as a line of TAP. */
void selftest_ok(bool passed, const char *what);
/* Prints the plan; returns how many failed. */
uint32_t selftest_finish(void);
void selftest_drain(void);
void selftest_smp(void); /* selftest/selftest_smp.c */
#ifdef CONFIG_TEST
uint32_t selftest_fail_run(void); /* selftest/selftest_fail.c */
#endif

#endif
