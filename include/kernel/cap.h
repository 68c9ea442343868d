/* The most processor time that a domain may use. kernel/cap.c. */
#ifndef KEYHOLE_KERNEL_CAP_H
#define KEYHOLE_KERNEL_CAP_H

#include "types.h"

struct domain;

/* A vCPU of d has run, from start on, for so many ticks of the time-stamp counter. None of them is
 * to run before d->cap_until. */
void cap_charge(struct domain *d, uint64_t start, uint64_t ticks);

#endif
