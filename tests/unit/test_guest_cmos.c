/* sources: kernel/guest_cmos.c */
/* A guest's real-time clock, compared with the C library's calendar. */
#include "kernel/guest_devices.h"
#include "tap.h"
#include <time.h>

static unsigned two(uint8_t index, uint64_t now)
{
	uint8_t v = guest_cmos_read(index, now);

	if (v >> 4 > 9 || (v & 0xf) > 9)
		bail_out("not BCD");
	return (v >> 4) * 10u + (v & 0xf);
}

static bool as_library(time_t now)
{
	uint64_t s = (uint64_t)now;
	struct tm t;

	gmtime_r(&now, &t);
	return two(0, s) == (unsigned)t.tm_sec && two(2, s) == (unsigned)t.tm_min &&
	       two(4, s) == (unsigned)t.tm_hour && two(6, s) == (unsigned)t.tm_wday + 1 &&
	       two(7, s) == (unsigned)t.tm_mday && two(8, s) == (unsigned)t.tm_mon + 1 &&
	       two(9, s) == (unsigned)t.tm_year - 100;
}

int main(void)
{
	const time_t from = 946684800, to = 4102444800; /* 2000 to 2099 */
	unsigned wrong = 0;

	tap_no_plan();
	for (time_t now = from; now < to; now += 86400)
		wrong += !as_library(now) + !as_library(now + 86399);
	is(wrong, 0, "the first and the last second of every day");
	for (time_t now = from; now < to; now += 1234567)
		wrong += !as_library(now);
	is(wrong, 0, "times in between");
	is(two(9, 0), 0, "a machine without a clock: 2000");
	is(two(7, 0) * 100 + two(8, 0), 101, "1 January");
	ok(!(guest_cmos_read(0xa, 0) & 0x80), "no update is ever under way");
	is(guest_cmos_read(0xb, 0), 2, "24 hours, BCD");
	is(guest_cmos_read(0xd, 0), 0x80, "it is valid");
	is(two(0x32, 0), 20, "the century");
	is(guest_cmos_read(0x40, 0), 0, "no memory");
	(void)guest_cmos_read(9, UINT64_MAX); /* ends, and strays nowhere */
	return tap_end();
}
