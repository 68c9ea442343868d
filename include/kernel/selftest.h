/* Built-in tests of the hypervisor, host side: selftest on the command line. kernel/selftest.c. */
#ifndef KEYHOLE_KERNEL_SELFTEST_H
#define KEYHOLE_KERNEL_SELFTEST_H

#include "types.h"

/* Prints TAP; returns how many failed. */
uint32_t selftest_run(void);
/* One result, as a line of TAP. */
void selftest_ok(bool passed, const char *what);
/* Prints the plan; returns how many failed. */
uint32_t selftest_finish(void);
void selftest_drain(void);
void selftest_smp(void); /* kernel/selftest_smp.c */
#ifdef CONFIG_TEST
uint32_t selftest_fail_run(void); /* kernel/selftest_fail.c */
#endif

#endif
