/* The hypercall of test builds. selftest/test_call.c; the numbers are in public/keyhole.h. */
#ifndef KEYHOLE_SELFTEST_TEST_CALL_H
#define KEYHOLE_SELFTEST_TEST_CALL_H

#include "../guest_copy.h"
#include "../types.h"

#ifdef CONFIG_TEST
long test_hypercall(unsigned cmd, gva_t arg, struct guest_access *access);
#endif

#endif
