/*
 * The real-time clock, read once at boot.
 *
 * State: the time of day at which the time-stamp counter was 0, constant after rtc_init() on the
 * boot CPU. No lock. A machine without the clock, or with nonsense in it, lives in 1970.
 *
 * Source: Motorola MC146818 data sheet, "Address Map", "Registers"; ACPI specification, FADT (no
 * century is asked for: years are 2000 to 2099).
 */
#include "drivers/rtc.h"
#include "cpu.h"
#include "drivers/tsc.h"

#define RTC_INDEX 0x70u
#define RTC_DATA  0x71u
#define NMI_OFF	  0x80u /* the index port's top bit; NMIs stay on */

#define RTC_SECONDS  0x00u
#define RTC_MINUTES  0x02u
#define RTC_HOURS    0x04u
#define RTC_DAY	     0x07u
#define RTC_MONTH    0x08u
#define RTC_YEAR     0x09u
#define RTC_STATUS_A 0x0au
#define RTC_STATUS_B 0x0bu
#define A_UPDATING   0x80u
#define B_24_HOURS   0x02u
#define B_BINARY     0x04u
#define HOUR_PM	     0x80u

#define POLLS 1000000u /* an update takes 2 ms */
#define TRIES 5u

static uint64_t at_tsc_0;

static uint8_t read(uint8_t reg)
{
	out8(RTC_INDEX, (uint8_t)(reg & ~NMI_OFF));
	return in8(RTC_DATA);
}

struct fields {
	uint8_t second, minute, hour, day, month, year;
};

static struct fields read_fields(void)
{
	for (unsigned i = 0; i < POLLS && read(RTC_STATUS_A) & A_UPDATING; i++)
		;
	return (struct fields){read(RTC_SECONDS), read(RTC_MINUTES), read(RTC_HOURS),
			       read(RTC_DAY),	  read(RTC_MONTH),   read(RTC_YEAR)};
}

static uint8_t from_bcd(uint8_t v)
{
	return (uint8_t)((v >> 4) * 10 + (v & 0xf));
}

/* Days from 1970-01-01 to a day of 2000 to 2099. */
static uint64_t days(unsigned year, unsigned month, unsigned day)
{
	static const uint16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	uint64_t n = 10957 + year * 365ull + (year + 3) / 4 + before[month - 1] + day - 1;

	return n + (month > 2 && year % 4 == 0);
}

void rtc_init(void)
{
	struct fields a, b = read_fields();
	unsigned tries = 0;

	do {
		a = b;
		b = read_fields();
	} while (__builtin_memcmp(&a, &b, sizeof(a)) && ++tries < TRIES);
	uint64_t seconds_up = rdtsc() / (tsc_khz() * 1000);
	uint8_t status = read(RTC_STATUS_B);
	bool pm = !(status & B_24_HOURS) && b.hour & HOUR_PM;

	b.hour &= (uint8_t) ~(status & B_24_HOURS ? 0 : HOUR_PM);
	if (!(status & B_BINARY))
		b = (struct fields){from_bcd(b.second), from_bcd(b.minute), from_bcd(b.hour),
				    from_bcd(b.day),	from_bcd(b.month),  from_bcd(b.year)};
	if (!(status & B_24_HOURS))
		b.hour = (uint8_t)(b.hour % 12 + (pm ? 12 : 0));
	if (b.month < 1 || b.month > 12 || b.day < 1 || b.day > 31 || b.year > 99 || b.hour > 23 ||
	    b.minute > 59 || b.second > 59)
		return;
	uint64_t now =
	    (days(b.year, b.month, b.day) * 24 + b.hour) * 3600 + b.minute * 60 + b.second;
	at_tsc_0 = now - seconds_up;
}

uint64_t rtc_at_tsc_0(void)
{
	return at_tsc_0;
}
