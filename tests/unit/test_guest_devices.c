/* sources: kernel/guest_uart.c kernel/guest_input.c kernel/guest_pit.c kernel/guest_fwcfg.c */
/*
 * Devices of guests: what drivers that probe, poll and calibrate see, and registers written at
 * random, under the sanitizers.
 */
#include "kernel/guest_devices.h"
#include "tap.h"

enum { DATA, IER, FCR, IIR = 2, LCR, MCR, LSR, MSR, SCRATCH };

static void uart(void)
{
	struct guest_uart u = {0};
	struct guest_input in = {0};

	is(guest_uart_read(&u, &in, LSR), 0x60, "the transmitter is empty");
	is(guest_uart_read(&u, &in, IIR), 0x01, "no interrupt");
	is(guest_uart_read(&u, &in, MSR), 0xb0, "connected");
	/* As drivers probe for it: interrupts off and on, the scratch register. */
	guest_uart_write(&u, IER, 0xff);
	is(guest_uart_read(&u, &in, IER), 0x0f, "four interrupts");
	is(guest_uart_read(&u, &in, IIR), 0x02, "the transmitter's is pending when it is enabled");
	is(guest_uart_read(&u, &in, IIR), 0x01, "until it was read");
	ok(guest_uart_write(&u, DATA, 'x'), "a character is sent");
	is(guest_uart_read(&u, &in, IIR), 0x02, "pending again");
	guest_uart_write(&u, IER, 0);
	is(guest_uart_read(&u, &in, IIR), 0x01, "not if it is off");
	guest_uart_write(&u, SCRATCH, 0xae);
	is(guest_uart_read(&u, &in, SCRATCH), 0xae, "scratch");
	guest_uart_write(&u, FCR, 0x07);
	is(guest_uart_read(&u, &in, IIR), 0xc1, "its FIFOs can be switched on");
	guest_uart_write(&u, LCR, 0x80);
	ok(!guest_uart_write(&u, DATA, 0x12), "DLAB: a divisor is not sent");
	guest_uart_write(&u, IER, 0x34);
	is(guest_uart_read(&u, &in, DATA), 0x12, "its low half");
	is(guest_uart_read(&u, &in, IER), 0x34, "its high half");
	guest_uart_write(&u, LCR, 0x1f);
	is(guest_uart_read(&u, &in, LCR), 0x1f, "line control");
	is(guest_uart_read(&u, &in, IER), 0, "interrupts are kept apart");
	guest_uart_write(&u, MCR, 0xff);
	is(guest_uart_read(&u, &in, MCR), 0x1f, "modem control");
	is(guest_uart_read(&u, &in, MSR), 0xf0, "loopback: four lines come back");
	guest_uart_write(&u, MCR, 0x1a);
	is(guest_uart_read(&u, &in, MSR), 0x90, "RTS as CTS, OUT2 as DCD");
	guest_uart_write(&u, MCR, 0x15);
	is(guest_uart_read(&u, &in, MSR), 0x60, "DTR as DSR, OUT1 as RI");
	ok(!guest_uart_write(&u, DATA, 0xae), "a character is not sent");
	is(guest_uart_read(&u, &in, LSR), 0x61, "but received");
	guest_uart_write(&u, IER, 1);
	is(guest_uart_read(&u, &in, IIR), 0xc4, "with an interrupt");
	is(guest_uart_read(&u, &in, DATA), 0xae, "it comes back");
	is(guest_uart_read(&u, &in, LSR), 0x60, "once");
	guest_uart_write(&u, DATA, 1);
	guest_uart_write(&u, FCR, 2);
	is(guest_uart_read(&u, &in, LSR), 0x60, "or is thrown away");
	guest_uart_write(&u, LSR, 0xff);
	guest_uart_write(&u, MSR, 0xff);
	is(guest_uart_read(&u, &in, LSR), 0x60, "the status cannot be written");
}

static void input(void)
{
	struct guest_input line = {.written = UINT32_MAX - 3, .read = UINT32_MAX - 3}, *in = &line;
	struct guest_uart u = {0};
	char text[GUEST_INPUT_SIZE + 2];
	unsigned wrong = 0;

	guest_input_put(in, "typed", 5);
	is(guest_uart_read(&u, in, LSR), 0x61, "a character is there");
	is(guest_uart_read(&u, in, IIR), 0x01, "without an interrupt that was not asked for");
	guest_uart_write(&u, IER, 3);
	is(guest_uart_read(&u, in, IIR), 0x04, "with one that was, before that of the transmitter");
	is(guest_uart_read(&u, in, DATA), 't', "read");
	guest_uart_write(&u, LCR, 0x80);
	is(guest_uart_read(&u, in, DATA), 0, "not by way of the divisor");
	guest_uart_write(&u, LCR, 0);
	guest_uart_write(&u, FCR, 7);
	guest_uart_write(&u, MCR, 0x10);
	is(guest_uart_read(&u, in, LSR), 0x60, "loopback: the line is cut");
	guest_uart_write(&u, DATA, 'L');
	is(guest_uart_read(&u, in, DATA), 'L', "what was sent comes back");
	is(guest_uart_read(&u, in, DATA), 'L', "and the line brings nothing");
	guest_uart_write(&u, DATA, 'M');
	guest_uart_write(&u, MCR, 0);
	is(guest_uart_read(&u, in, DATA), 'M', "what had come back is first");
	is(guest_uart_read(&u, in, DATA), 'y', "then the line's, which clearing the FIFO leaves");
	is(guest_input_take(in, text, sizeof(text)), 3, "the rest, over the wrap of the indices");
	ok(!memcmp(text, "ped", 3), "in order");
	is(guest_uart_read(&u, in, LSR), 0x60, "no more");
	is(guest_input_take(in, text, sizeof(text)), 0, "nothing to be taken");

	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)i;
	guest_input_put(in, text, sizeof(text));
	is(in->dropped, 2, "what does not fit is dropped and counted");
	is(guest_uart_read(&u, in, LSR), 0x63, "an overrun");
	is(guest_uart_read(&u, in, LSR), 0x61, "is told once");
	for (unsigned i = 0; i < GUEST_INPUT_SIZE; i++)
		wrong += guest_uart_read(&u, in, DATA) != (uint8_t)i;
	is(wrong, 0, "what had fitted is as it was");
	ok(!guest_input_count(in), "and that is all");
}

static void fwcfg(void)
{
	struct guest_fwcfg f = {0};
	static const struct {
		uint16_t key;
		uint64_t value;
		const char *what;
	} keys[] = {{0, 0x554d4551, "signature"},   {1, 1, "id"},
		    {3, 0x8877665544332000, "RAM"}, {5, 7, "CPUs"},
		    {0xf, 7, "CPUs at most"},	    {0x19, 0, "no files"},
		    {0x11, 0, "unknown"},	    {0x8003, 0, "an architecture's own"},
		    {0xffff, 0, "invalid"}};
	for (unsigned i = 0; i < array_size(keys); i++) {
		uint64_t value = 0;
		guest_fwcfg_select(&f, keys[i].key);
		for (unsigned b = 0; b < 8; b++)
			value |= (uint64_t)guest_fwcfg_read(&f, 0x8877665544332000, 7) << (8 * b);
		ok(value == keys[i].value && !guest_fwcfg_read(&f, ~0ull, ~0u), "%s", keys[i].what);
	}
	guest_fwcfg_select(&f, 0);
	f.offset = UINT32_MAX - 1;
	for (unsigned i = 0; i < 4; i++)
		if (guest_fwcfg_read(&f, 1, 1))
			fail("data behind the end");
	is(f.offset, UINT32_MAX, "the offset does not wrap");
}

static struct guest_pit pit;

static void set(unsigned channel, unsigned mode, unsigned reload, uint64_t now)
{
	guest_pit_write(&pit, 3, (uint8_t)(channel << 6 | 3 << 4 | mode << 1), now);
	guest_pit_write(&pit, channel, (uint8_t)reload, now);
	guest_pit_write(&pit, channel, (uint8_t)(reload >> 8), now);
}
static unsigned latched(unsigned channel, uint64_t now)
{
	guest_pit_write(&pit, 3, (uint8_t)(channel << 6), now);
	unsigned low = guest_pit_read(&pit, channel, now + 1000);
	return low | (unsigned)guest_pit_read(&pit, channel, now + 2000) << 8;
}
static unsigned live(unsigned channel, uint64_t now)
{
	unsigned low = guest_pit_read(&pit, channel, now);
	return low | (unsigned)guest_pit_read(&pit, channel, now) << 8;
}
static unsigned out2(uint64_t now)
{
	return guest_pit_speaker_read(&pit, now) >> 5 & 1;
}
static unsigned status(unsigned channel, uint64_t now)
{
	guest_pit_write(&pit, 3, (uint8_t)(0xe0 | 2 << channel), now);
	return guest_pit_read(&pit, channel, now);
}

static void terminal_count(void)
{
	guest_pit_reset(&pit);
	is(live(0, 0), 0, "channel 0 runs from the start");
	is(live(0, 3), 0x10000 - 6, "as a square wave");
	is(status(0, 3), 0xb6, "its status");
	/* The usual calibration: gate off, mode 0, gate on, wait for the output. */
	guest_pit_speaker_write(&pit, 0, 100);
	set(2, 0, 11932, 1000);
	is(out2(1000), 0, "mode 0: the output is low");
	is(out2(50000), 0, "and stays so while the gate is closed");
	is(live(2, 50000), 11932, "nothing is counted");
	guest_pit_speaker_write(&pit, 1, 60000);
	is(live(2, 60000), 11932, "the gate opens");
	is(live(2, 60001), 11931, "it counts");
	is(out2(60000 + 11931), 0, "one before the end");
	is(out2(60000 + 11932), 1, "the end");
	is(live(2, 60000 + 11933), 0xffff, "it goes on");
	is(out2(60000 + 200000), 1, "the output stays");
	set(2, 0, 1000, 300000);
	is(out2(300000), 0, "a new count starts again");
	guest_pit_speaker_write(&pit, 0, 300400);
	is(live(2, 310000), 600, "the gate stops it");
	guest_pit_speaker_write(&pit, 3, 320000);
	is(live(2, 320100), 500, "and has it go on");
	is(guest_pit_speaker_read(&pit, 320100) & 3, 3, "what was written to 0x61 can be read");
	is(latched(2, 320200), 400, "a latched count stays");
	is(live(2, 320300), 300, "until it was read");
	guest_pit_write(&pit, 2, 0x34, 330000);
	is(out2(400000), 0, "half a count stops mode 0");
	guest_pit_write(&pit, 2, 0x12, 400000);
	is(live(2, 400000), 0x1234, "the other half starts it");
	is(live(2, 399000), 0x1234, "a clock that is behind is no wrap");
	set(2, 0, 0, 500000);
	is(out2(500000 + 65535), 0, "0 is 65536");
	is(out2(500000 + 65536), 1, "ticks");
}

static void other_modes(void)
{
	guest_pit_reset(&pit);
	guest_pit_speaker_write(&pit, 1, 0);
	set(2, 3, 1000, 0);
	is(out2(499), 1, "mode 3: high");
	is(out2(500), 0, "low");
	is(out2(1000), 1, "high again");
	is(live(2, 1), 998, "by two");
	is(live(2, 499), 2, "to 2");
	is(live(2, 500), 1000, "twice a period");
	set(2, 3, 1001, 0);
	ok(out2(500) && !out2(501), "an odd count is high for one longer");
	set(2, 3, 1, 0);
	ok(live(2, 12345) <= 2, "a count of 1");
	set(2, 2, 1000, 0);
	ok(out2(998) && !out2(999) && out2(1000), "mode 2: low for the last tick");
	is(live(2, 1001), 999, "and again from the start");
	guest_pit_speaker_write(&pit, 0, 1500);
	is(out2(1999), 1, "high while the gate is closed");
	guest_pit_speaker_write(&pit, 1, 5000);
	is(live(2, 5001), 999, "the gate starts it anew");
	set(2, 1, 100, 6000);
	is(out2(6200), 1, "mode 1 waits for the gate");
	guest_pit_speaker_write(&pit, 0, 6300);
	guest_pit_speaker_write(&pit, 1, 6400);
	ok(!out2(6499) && out2(6500), "which starts one pulse");
	set(2, 4, 100, 7000);
	ok(out2(7099) && !out2(7100) && out2(7101), "mode 4: one low tick");
	set(2, 5, 100, 8000);
	is(out2(8100), 1, "mode 5 waits for the gate");
	set(0, 6, 100, 0);
	is(status(0, 0) >> 1 & 7, 2, "mode 6 is mode 2");
	guest_pit_write(&pit, 3, 0x14, 0);
	is(status(0, 0), 0xd4, "no count yet");
	guest_pit_write(&pit, 0, 50, 100);
	is(status(0, 100), 0x94, "a count");
	is(guest_pit_read(&pit, 0, 110), 40, "of one byte");
	guest_pit_write(&pit, 3, 0x24, 0);
	guest_pit_write(&pit, 0, 2, 100);
	is(guest_pit_read(&pit, 0, 101), 1, "the upper byte alone");
	set(1, 2, 0x4321, 0);
	guest_pit_write(&pit, 3, 0xc4, 0);
	is(guest_pit_read(&pit, 1, 9), 0xb4, "read back: the status first");
	is(live(1, 9), 0x4321, "then the count");
	is(guest_pit_read(&pit, 3, 0), 0xff, "the control word cannot be read");
	unsigned toggles = 0;
	for (unsigned t = 1; t < 1800; t++)
		toggles +=
		    (guest_pit_speaker_read(&pit, t) ^ guest_pit_speaker_read(&pit, t - 1)) >> 4 &
		    1;
	is(toggles, 99, "the refresh bit changes every 18 ticks");
	is(guest_pit_ticks(3000000ull * 1000, 3000000), 1193182, "a second at 3 GHz");
	is(guest_pit_ticks(2999999, 3000000), 1193, "less than a millisecond");
	ok(guest_pit_ticks(~0ull / 2, 1000000) == 11005161493678454ull, "no overflow in 290 years");
}

static void at_random(void)
{
	struct guest_uart u = {0};
	struct guest_input in = {0};
	struct guest_fwcfg f = {0};
	unsigned seed = 7;
	uint64_t now = 0;

	guest_pit_reset(&pit);
	for (unsigned i = 0; i < 2000000; i++) {
		seed = seed * 1103515245 + 12345;
		unsigned reg = seed >> 8 & 7;
		uint8_t value = (uint8_t)(seed >> 16);
		now += seed >> 27 == 3 ? seed : seed >> 28;
		switch (seed >> 24 & 7) {
		case 0:
			guest_pit_write(&pit, reg & 3, value, now);
			break;
		case 1:
			guest_pit_read(&pit, reg & 3, now);
			break;
		case 2:
			guest_pit_speaker_write(&pit, value, now);
			guest_pit_speaker_read(&pit, now);
			break;
		case 3:
			guest_uart_write(&u, reg, value);
			guest_input_put(&in, (char *)&value, 1);
			break;
		case 4:
			guest_uart_read(&u, &in, reg);
			break;
		default:
			if (reg == 0)
				guest_fwcfg_select(&f, value);
			guest_fwcfg_read(&f, seed, seed);
		}
	}
	pass("two million accesses at random");
}

int main(void)
{
	tap_no_plan();
	uart();
	input();
	fwcfg();
	terminal_count();
	other_modes();
	at_random();
	return tap_end();
}
