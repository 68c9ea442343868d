/* The time of day, from the real-time clock. drivers/rtc.c. */
#ifndef KEYHOLE_DRIVERS_RTC_H
#define KEYHOLE_DRIVERS_RTC_H

#include "types.h"

void rtc_init(void);
/* Seconds since 1970 when the time-stamp counter was 0; constant after rtc_init(). */
uint64_t rtc_at_tsc_0(void);

#endif
