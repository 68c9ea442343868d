/* The hypercall of test builds. selftest/test_call.c; the numbers are in public/keyhole.h. */
#ifndef KEYHOLE_SELFTEST_TEST_CALL_H
#define KEYHOLE_SELFTEST_TEST_CALL_H

#include "../guest_call.h"
#include "../types.h"

#ifdef CONFIG_TEST
int64_t test_hypercall(struct hypercall *c);
#endif

#endif
