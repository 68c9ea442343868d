/*
 * A guest's real-time clock: the time of day, which cannot be set. Kernels wait for it to have been
 * updated, or for a second to pass, and would wait for ever without. No alarm, no interrupt; of the
 * memory beside it nothing.
 *
 * Pure; no state. Source: Motorola MC146818 data sheet, "Address Map", "Registers".
 */
#include "kernel/guest_devices.h"

enum {
	CMOS_SECONDS = 0x00,
	CMOS_MINUTES = 0x02,
	CMOS_HOURS = 0x04,
	CMOS_WEEKDAY = 0x06, /* 1: Sunday */
	CMOS_DAY = 0x07,
	CMOS_MONTH = 0x08,
	CMOS_YEAR = 0x09,
	CMOS_STATUS_A = 0x0a,
	CMOS_STATUS_B = 0x0b,
	CMOS_STATUS_D = 0x0d,
	CMOS_CENTURY = 0x32 /* where PCs have it */
};
#define A_RATES	   0x26u /* 32.768 kHz, 1024 Hz; no update is under way */
#define B_24_HOURS 0x02u /* and BCD */
#define D_VALID	   0x80u

#define DAY_SECONDS   86400u
#define DAYS_TO_2000  10957u
#define FOUR_YEARS    1461u /* days; the first one is a leap year */
#define EPOCH_WEEKDAY 4u    /* 1970 began on a Thursday */
#define CENTURY	      20u

static uint8_t to_bcd(uint64_t v)
{
	return (uint8_t)(v / 10 % 10 << 4 | v % 10);
}

/* A field of the date, so many days after 2000 began. */
static uint64_t date(uint8_t field, uint64_t days)
{
	static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	uint64_t year = days / FOUR_YEARS * 4, month = 0;

	days %= FOUR_YEARS;
	for (uint64_t length = 366; days >= length; year++, length = 365)
		days -= length;
	for (;; month++) {
		unsigned length = lengths[month] + (month == 1 && !(year % 4) ? 1u : 0u);
		if (days < length)
			break;
		days -= length;
	}
	return field == CMOS_DAY ? days + 1 : field == CMOS_MONTH ? month + 1 : year;
}

/* What IN from the data port gives. now: seconds since 1970, in a year from 2000 to 2099. */
uint8_t guest_cmos_read(uint8_t index, uint64_t now)
{
	uint64_t days = now / DAY_SECONDS;

	switch (index) {
	case CMOS_SECONDS:
		return to_bcd(now % 60);
	case CMOS_MINUTES:
		return to_bcd(now / 60 % 60);
	case CMOS_HOURS:
		return to_bcd(now / 3600 % 24);
	case CMOS_WEEKDAY:
		return (uint8_t)((days + EPOCH_WEEKDAY) % 7 + 1);
	case CMOS_DAY:
	case CMOS_MONTH:
	case CMOS_YEAR:
		return to_bcd(date(index, days < DAYS_TO_2000 ? 0 : days - DAYS_TO_2000));
	case CMOS_STATUS_A:
		return A_RATES;
	case CMOS_STATUS_B:
		return B_24_HOURS;
	case CMOS_STATUS_D:
		return D_VALID;
	case CMOS_CENTURY:
		return to_bcd(CENTURY);
	}
	return 0;
}
