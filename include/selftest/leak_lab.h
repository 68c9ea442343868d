/* The hypercall of the leak lab. selftest/leak_lab.c; the numbers are in public/keyhole.h. */
#ifndef KEYHOLE_SELFTEST_LEAK_LAB_H
#define KEYHOLE_SELFTEST_LEAK_LAB_H

#include "../guest_call.h"
#include "../types.h"

#ifdef CONFIG_LEAK_LAB
int64_t leak_lab_hypercall(struct hypercall *c);
#endif

#endif
