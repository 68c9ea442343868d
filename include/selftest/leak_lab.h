/* The hypercall of the leak lab. selftest/leak_lab.c; the numbers are in public/keyhole.h. */
#ifndef KEYHOLE_SELFTEST_LEAK_LAB_H
#define KEYHOLE_SELFTEST_LEAK_LAB_H

#include "../guest_copy.h"
#include "../types.h"

#ifdef CONFIG_LEAK_LAB
long leak_lab_hypercall(unsigned cmd, gva_t arg, struct guest_access *access);
#endif

#endif
