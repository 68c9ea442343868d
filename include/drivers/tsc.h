/* The rate of the time-stamp counter. drivers/tsc.c. */
#ifndef KEYHOLE_DRIVERS_TSC_H
#define KEYHOLE_DRIVERS_TSC_H

#include "types.h"

void tsc_init(void);
/* Ticks in a millisecond; never 0 after tsc_init(). */
uint64_t tsc_khz(void);
void tsc_delay_us(uint64_t us);

#endif
