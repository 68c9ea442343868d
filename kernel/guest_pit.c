/*
 * A guest's 8254 interval timer, counting by the time-stamp counter. It raises no interrupt: a
 * guest can read its counts, and the output and gate of channel 2 through port 0x61, which is what
 * kernels measure other clocks with. Counts are binary, whatever the BCD bit says.
 *
 * Pure; state: *p. Lock: the caller's. Source: Intel, 8254 data sheet, "Programming the 8254",
 * "Mode Definitions"; IBM PC AT for port 0x61.
 */
#include "kernel/guest_devices.h"

#define PIT_HZ		1193182u
#define RELOAD_MAX	0x10000u
#define REG_CONTROL	3u
#define SPEAKER_CHANNEL 2u

/* Control word. */
#define CONTROL_CHANNEL_SHIFT 6
#define CONTROL_READ_BACK     3u
#define CONTROL_ACCESS_SHIFT  4
#define CONTROL_ACCESS_MASK   3u
#define CONTROL_MODE_SHIFT    1
#define CONTROL_MODE_MASK     7u
#define READ_BACK_NO_COUNT    0x20u
#define READ_BACK_NO_STATUS   0x10u
#define READ_BACK_CHANNEL     0x02u /* of channel 0; the others' bits follow */

enum { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };
enum { MODE_TERMINAL, MODE_ONE_SHOT, MODE_RATE, MODE_SQUARE, MODE_STROBE, MODE_TRIGGERED_STROBE };

#define STATUS_OUT  0x80u
#define STATUS_NULL 0x40u

/* Port 0x61. */
#define SPEAKER_GATE	0x01u
#define SPEAKER_WRITTEN 0x03u
#define SPEAKER_REFRESH 0x10u
#define SPEAKER_OUT	0x20u
#define REFRESH_TICKS	18u /* memory refresh on a PC: every 15 microseconds */

/* A reading of the time-stamp counter as ticks of the timer's clock. */
uint64_t guest_pit_ticks(uint64_t tsc, uint64_t tsc_khz)
{
	uint64_t ms = tsc / tsc_khz, rest = tsc % tsc_khz;

	/* Neither product can overflow: 2^64 / PIT_HZ milliseconds are 400 years. */
	return ms * PIT_HZ / 1000 + rest * PIT_HZ / (tsc_khz * 1000);
}

/* As a PC's BIOS leaves it: channel 0 runs through all counts. */
void guest_pit_reset(struct guest_pit *p)
{
	*p = (struct guest_pit){0};
	for (unsigned i = 0; i < PIT_CHANNELS; i++)
		p->channels[i] = (struct guest_pit_channel){.reload = RELOAD_MAX,
							    .mode = MODE_SQUARE,
							    .access = ACCESS_BOTH,
							    .loaded = true,
							    .started = true,
							    .gate = i != SPEAKER_CHANNEL};
}

static uint64_t elapsed(const struct guest_pit_channel *c, uint64_t now)
{
	if (!c->gate)
		return c->counted;
	return now > c->since ? now - c->since : 0; /* another processor's clock may be behind */
}

static bool waits_for_trigger(const struct guest_pit_channel *c)
{
	return c->mode == MODE_ONE_SHOT || c->mode == MODE_TRIGGERED_STROBE;
}

static uint16_t count(const struct guest_pit_channel *c, uint64_t now)
{
	uint64_t e = c->started ? elapsed(c, now) : 0;
	uint32_t even = c->reload > 1 ? c->reload & ~1u : 2;

	switch (c->mode) {
	case MODE_RATE:
		return (uint16_t)(c->reload - e % c->reload);
	case MODE_SQUARE: /* by two, twice a period */
		return (uint16_t)(even - 2 * e % even);
	default: /* on and on */
		return (uint16_t)(c->reload - e);
	}
}

static bool output(const struct guest_pit_channel *c, uint64_t now)
{
	uint64_t e = elapsed(c, now);

	if (!c->started)
		return c->mode != MODE_TERMINAL;
	switch (c->mode) {
	case MODE_TERMINAL:
	case MODE_ONE_SHOT:
		return e >= c->reload;
	case MODE_RATE:
		return !c->gate || e % c->reload != c->reload - 1;
	case MODE_SQUARE:
		return !c->gate || e % c->reload < (c->reload + 1) / 2;
	default:
		return e != c->reload;
	}
}

static void latch_count(struct guest_pit_channel *c, uint64_t now)
{
	if (c->latched)
		return; /* the first one stays until it was read */
	c->latch = count(c, now);
	c->latched = true;
}

static void latch_status(struct guest_pit_channel *c, uint64_t now)
{
	if (c->status_latched)
		return;
	unsigned written = (unsigned)c->access << CONTROL_ACCESS_SHIFT | (unsigned)c->mode
									     << CONTROL_MODE_SHIFT;
	c->status =
	    (uint8_t)(written | (output(c, now) ? STATUS_OUT : 0) | (c->loaded ? 0 : STATUS_NULL));
	c->status_latched = true;
}

static void write_control(struct guest_pit *p, uint8_t value, uint64_t now)
{
	unsigned channel = value >> CONTROL_CHANNEL_SHIFT;
	uint8_t access = value >> CONTROL_ACCESS_SHIFT & CONTROL_ACCESS_MASK;
	uint8_t mode = value >> CONTROL_MODE_SHIFT & CONTROL_MODE_MASK;

	if (channel == CONTROL_READ_BACK) {
		for (unsigned i = 0; i < PIT_CHANNELS; i++) {
			if (!(value & READ_BACK_CHANNEL << i))
				continue;
			if (!(value & READ_BACK_NO_COUNT))
				latch_count(&p->channels[i], now);
			if (!(value & READ_BACK_NO_STATUS))
				latch_status(&p->channels[i], now);
		}
		return;
	}
	struct guest_pit_channel *c = &p->channels[channel];
	if (access == ACCESS_LATCH) {
		latch_count(c, now);
		return;
	}
	*c = (struct guest_pit_channel){
	    .reload = c->reload,
	    /* The upper bit of the mode counts in 0 to 5 only. */
	    .mode = mode > MODE_TRIGGERED_STROBE ? mode & 3 : mode,
	    .access = access,
	    .gate = c->gate,
	};
}

static void load(struct guest_pit_channel *c, unsigned value, uint64_t now)
{
	c->reload = value ? value : RELOAD_MAX;
	c->loaded = true;
	if (waits_for_trigger(c))
		return;
	c->since = now;
	c->counted = 0;
	c->started = true;
}

static void write_count(struct guest_pit_channel *c, uint8_t value, uint64_t now)
{
	if (c->access == ACCESS_LOW) {
		load(c, value, now);
	} else if (c->access == ACCESS_HIGH) {
		load(c, (unsigned)value << 8, now);
	} else if (c->write_high) {
		c->write_high = false;
		load(c, (unsigned)value << 8 | c->low, now);
	} else {
		c->write_high = true;
		c->low = value;
		if (c->mode == MODE_TERMINAL)
			c->started = false; /* until the count is whole */
	}
}

/* OUT to register 0 to 3: the channels, the control word. */
void guest_pit_write(struct guest_pit *p, unsigned reg, uint8_t value, uint64_t now)
{
	if (reg == REG_CONTROL)
		write_control(p, value, now);
	else
		write_count(&p->channels[reg], value, now);
}

/* IN from register 0 to 3. */
uint8_t guest_pit_read(struct guest_pit *p, unsigned reg, uint64_t now)
{
	if (reg == REG_CONTROL)
		return 0xff; /* cannot be read */
	struct guest_pit_channel *c = &p->channels[reg];
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	uint16_t value = c->latched ? c->latch : count(c, now);
	bool high = c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->read_high);
	if (c->access == ACCESS_BOTH)
		c->read_high = !c->read_high;
	if (high || c->access == ACCESS_LOW)
		c->latched = false;
	return (uint8_t)(high ? value >> 8 : value);
}

/* IN from port 0x61. */
uint8_t guest_pit_speaker_read(const struct guest_pit *p, uint64_t now)
{
	return (uint8_t)(p->speaker | (now / REFRESH_TICKS & 1 ? SPEAKER_REFRESH : 0) |
			 (output(&p->channels[SPEAKER_CHANNEL], now) ? SPEAKER_OUT : 0));
}

/* OUT to port 0x61: bit 0 is the gate of channel 2. */
void guest_pit_speaker_write(struct guest_pit *p, uint8_t value, uint64_t now)
{
	struct guest_pit_channel *c = &p->channels[SPEAKER_CHANNEL];
	bool gate = value & SPEAKER_GATE;

	p->speaker = value & SPEAKER_WRITTEN;
	if (gate == c->gate)
		return;
	if (!gate) {
		c->counted = elapsed(c, now);
	} else if (c->mode == MODE_TERMINAL || c->mode == MODE_STROBE) {
		c->since = now - c->counted; /* goes on */
	} else {
		c->since = now; /* begins again */
		c->started = c->loaded;
	}
	c->gate = gate;
}
