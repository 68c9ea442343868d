/* sources: kernel/guest_io.c kernel/guest_uart.c kernel/guest_input.c kernel/guest_pit.c kernel/guest_cmos.c kernel/guest_fwcfg.c kernel/guest_console.c kernel/format.c tests/unit/fake_cpu.c */
/* Ports that the hypervisor answers, and what becomes of the text of guests that try to deceive. */
#include "domain.h"
#include "drivers/tsc.h"
#include "kernel/cmdline.h"
#include "kernel/console.h"
#include "kernel/domain.h"
#include "kernel/guest_devices.h"
#include "mm/frame.h"
#include "mm/window.h"
#include "percpu.h"
#include "public/errno.h"
#include "tap.h"
#include "vcpu.h"

struct cmdline_options cmdline_options;
static struct guest_devices *opened;
static char out[4096];
static size_t out_length;
static uint32_t line_writer;
static bool begun;

/* As kernel/print.c does it. */
static void end_open_line(void)
{
	if (line_writer)
		out[out_length++] = '\n';
	line_writer = 0;
}
static unsigned room = CONSOLE_PIECE_MAX; /* what the line takes at once; 0: it is busy */
static unsigned longest;
bool console_piece_begin(uint32_t writer, struct console_piece *p)
{
	if (begun)
		bail_out("the console is begun twice");
	if (!room)
		return false;
	begun = true;
	p->open = line_writer == writer;
	p->room = room;
	p->length = 0;
	if (!p->open && line_writer)
		console_piece_end_line(p);
	return true;
}
void console_piece_end_line(struct console_piece *p)
{
	if (p->room < CONSOLE_LINE_END)
		bail_out("no room for the end of a line");
	console_piece_put(p, "\n", 1);
}
void console_piece_end(uint32_t writer, struct console_piece *p, bool line_open)
{
	if (p->length > CONSOLE_PIECE_MAX)
		bail_out("a piece beyond its buffer");
	if (p->length > longest)
		longest = p->length;
	memcpy(out + out_length, p->text, p->length);
	out_length += p->length;
	begun = false;
	line_writer = line_open ? writer : 0;
}
static void hypervisor_prints(void)
{
	end_open_line();
	memcpy(out + out_length, "keyhole: x\n", 11);
	out_length += 11;
}

void domain_end(struct domain *d, enum domain_end why, uint64_t detail)
{
	if (lock_held(&d->devices_lock))
		bail_out("locks out of their order");
	d->end = why;
	d->end_detail = detail;
}

uint64_t rtc_at_tsc_0(void)
{
	return 1735689599; /* the last second of 2024 */
}
uint64_t tsc_khz(void)
{
	return 1000000;
}

static struct guest_devices frames[3]; /* frames 1 and 2 */
static unsigned frames_used;
static bool no_memory;

int frame_alloc(unsigned order, domid_t owner, enum frame_type type, mfn_t *out)
{
	if (no_memory)
		return -XEN_ENOMEM;
	if (order || owner != frames_used + 1 || type != FRAME_VCPU)
		bail_out("not the domain's own secret frame");
	*out = make_mfn(++frames_used);
	return 0;
}
void frame_free(mfn_t first, unsigned order)
{
	if (order || !mfn_raw(first))
		bail_out("no frame");
	frames_used--;
}
void *window_open(enum window_slot slot, mfn_t frame)
{
	if (opened || slot != WINDOW_DEVICES || !mfn_raw(frame))
		bail_out("the slot is open already");
	return opened = &frames[mfn_raw(frame)];
}
void window_close(enum window_slot slot)
{
	(void)slot;
	opened = NULL;
}

static struct domain a = {.id = 1, .name = "a", .ram_bytes = 0x123456000},
		     b = {.id = 2, .name = "bb", .vcpu_count = 3};
static struct vcpu_shared va = {.domain = &a}, vb = {.domain = &b};

struct domain *domain_next(domid_t after)
{
	return after < 1 ? &a : after < 2 ? &b : NULL;
}
static unsigned yields;
void vcpu_yield(void)
{
	yields++;
}

static void drained(void)
{
	for (unsigned n = 0; guest_console_drain(); n++)
		if (n == 4 * GUEST_CONSOLE_SIZE)
			bail_out("the console is never drained");
}
static void write_some(struct domain *d, const char *text, size_t length)
{
	if (guest_console_write(d, text, length) != length)
		bail_out("there was room");
	drained();
}
static void writes(struct domain *d, const char *text)
{
	write_some(d, text, strlen(text));
}
static void port(uint16_t where, unsigned size_bytes, uint32_t value)
{
	if (!guest_io_write(where, size_bytes, value))
		bail_out("there was room");
	drained();
}
static void shows(const char *expected, const char *what)
{
	out[out_length] = 0;
	is_str(out, expected, "%s", what);
	out_length = 0;
}

static void text(void)
{
	writes(&a, "hello\nworld\n");
	shows("[a] hello\n[a] world\n", "each line has the name");
	writes(&a, "he");
	writes(&a, "llo\n");
	shows("[a] hello\n", "a line in pieces has it once");
	writes(&a, "one");
	writes(&b, "two\n");
	writes(&a, "more\n");
	shows("[a] one\n[bb] two\n[a] more\n", "two guests in turn");
	writes(&a, "x");
	hypervisor_prints();
	writes(&a, "keyhole: end: all is well\n");
	shows("[a] x\nkeyhole: x\n[a] keyhole: end: all is well\n",
	      "after a line of the hypervisor's the name comes again");
	writes(&a, "\rkeyhole: fake\r\n\n");
	shows("[a] keyhole: fake\n[a] \n", "carriage returns are dropped");
	writes(&a, "\033[2K\033[1A\b\b\b\x7f\x0b\x0c\n");
	shows("[a] ???\n", "nothing that moves the cursor out of the line");
	write_some(&a, "\0z\n", 3);
	shows("[a] ?z\n", "a zero byte");
	writes(&a, "a\tb \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n");
	shows("[a] a\tb \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n", "tabs and UTF-8");
	writes(&a, "\x9b"
		   "2J\xc2\x9b"
		   "2J\xe0\x82\x9b\xf0\x82\x82\x9b\xff\xc0\x80\n");
	shows("[a] ?2J\xc2?2J\xe0??\xf0??????\n", "no C1 controls, raw, in UTF-8 or overlong");
	writes(&a, "\xe2\x82");
	writes(&b, "\xac\n");
	writes(&a, "\xac.\n");
	shows("[a] \xe2\x82\n[bb] ?\n[a] .\n", "a character in pieces ends with its line");
	writes(&a, "");
	shows("", "nothing");
	char long_text[700];
	memset(long_text, 'y', sizeof(long_text));
	write_some(&a, long_text, sizeof(long_text));
	writes(&a, "\n");
	is(out_length, 4 + 700 + 1, "longer than the buffer");
	out_length = 0;
}

static void line_editing(void)
{
	writes(&a, "abc\b\b\b\b\bx\n\b");
	shows("[a] abc\b\b\bx\n[a] ", "back over the guest's own text, not its name");
	writes(&a, "keep");
	hypervisor_prints();
	writes(&a, "\b\b\b\by\n");
	shows("keep\nkeyhole: x\n[a] y\n", "not over what another's line has cut off");
	writes(&a, "ab\t\bc\b\b\xc3\xa4\b\n");
	shows("[a] ab\tc\b\xc3\xa4\n", "nor over what has a width that is not known");
	writes(&a, "a\b\033[Jb\b\033[K\n");
	shows("[a] a\b\x1b[Kb\b\x1b[K\n", "erasing from there on");
	writes(&a, "\033[1;34mblue\033[6n \033\033[?25h\033.\033[1\n");
	shows("[a] blue .\n", "sequences are dropped");
	writes(&a, "\033[2J\033[\x9bK\033[H\n");
	shows("[a] ?K\n", "and erase nothing else");
	char line[200];
	memset(line, 'l', 100);
	memset(line + 100, '\b', 100);
	write_some(&a, line, sizeof(line));
	is(out_length, 4 + 100 + 25, "a line that may have wrapped: back to the last edge");
	writes(&a, "\n");
	out_length = 0;
	room = 8;
	writes(&a, "12\b\033[K\n");
	shows("[a] 12\b\x1b[K\n", "where the line takes little");
	room = CONSOLE_PIECE_MAX;
}

/* A line that takes little, or nothing, at a time. */
static void slow_line(void)
{
	static char many[GUEST_CONSOLE_SIZE + 100];

	room = 8;
	longest = 0;
	writes(&b, "through the eye of a needle\n\n");
	shows("[bb] through the eye of a needle\n[bb] \n", "a line in pieces");
	is(longest, 8, "each no longer than the line takes");
	room = 0;
	memset(many, 'z', sizeof(many));
	is(guest_console_write(&a, many, sizeof(many)), GUEST_CONSOLE_SIZE, "the buffer is full");
	test_cpu.current = &va;
	yields = 0;
	ok(!guest_io_write(0x3f8, 1, 'x') && !guest_io_write(0xe9, 1, 'x') && yields == 2,
	   "ports do not take more, and the guest gives way");
	ok(guest_io_write(0x3fb, 1, 0x83) && guest_io_write(0x3f8, 1, 'd'),
	   "but for those that send nothing");
	is(guest_io_read(0x3f8, 1), 'd', "which have their effect");
	ok(guest_io_write(0x3fb, 1, 3), "also for the next");
	is(guest_console_write(&b, "b\n", 2), 2, "another guest has its own");
	ok(guest_console_drain() && !out_length, "nothing goes out");
	ok(!guest_console_drained(&a) && !guest_console_drained(&b), "both wait");
	room = 40;
	while (guest_console_drain() && !guest_console_drained(&b))
		;
	ok(out_length > 1000 && out_length < 1100,
	   "a line without an end lets the other guest have its turn");
	a.finish_cpu = 1 + 1;
	drained();
	ok(guest_console_drained(&a), "and goes on behind it");
	is(cpu_shared[1].entry_work, ENTRY_WORK_RESCHEDULE,
	   "who waits for the end of its text is told");
	a.finish_cpu = 0;
	is(out_length, 4 + GUEST_CONSOLE_SIZE + 1 + 7 + 4, "whole");
	out_length = 0;
	line_writer = 0;
	room = CONSOLE_PIECE_MAX;
}

static void serial(void)
{
	test_cpu.current = &va;
	is(guest_io_read(0x3fd, 1), 0x60, "the serial port is ready to send");
	port(0x3f8, 1, 'H');
	port(0x3f8, 1, '\n');
	shows("[a] H\n", "it sends");
	is(guest_io_read(0x3f8, 1), 0, "and receives nothing");
	is(guest_io_read(0x3fa, 1), 1, "no interrupt is pending");
	port(0x3fb, 1, 0x83);
	is(guest_io_read(0x3fb, 1), 0x83, "DLAB");
	port(0x3f8, 2, 0x010c);
	is(guest_io_read(0x3f8, 2), 0x010c, "the divisor");
	is(out_length, 0, "is not sent");
	test_cpu.current = &vb;
	is(guest_io_read(0x3fb, 1), 0, "another guest has a port of its own");
	test_cpu.current = &va;
	port(0x3fb, 1, 0x03);
	port(0x3ff, 1, 0x5a);
	is(guest_io_read(0x3ff, 1), 0x5a, "the scratch register");
	is(guest_io_read(0x3fc, 4), 0x5ab06000, "four bytes are four ports");
	is(guest_io_read(0x3f7, 2), 0x00ff, "half absent");
	is(guest_io_read(0xe9, 1), 0xe9, "the debug port is there");
	port(0xe9, 1, 'd');
	port(0xe9, 1, '\n');
	shows("[a] d\n", "it sends");
}

static void others(void)
{
	static const uint16_t absent[] = {0,	 0x20,	0x21,  0xa1,  0x70,  0x80,   0x4d0,
					  0xcf8, 0x2f8, 0x3f7, 0x400, 0x512, 0x8900, 0xffff};
	for (unsigned i = 0; i < array_size(absent); i++) {
		port(absent[i], 1, 'S');
		is(guest_io_read(absent[i], 1), 0xff, "port 0x%x is absent", absent[i]);
	}
	is(guest_io_read(0xffff, 4), 0xffffffff, "beyond the last port");
	port(0xcf8, 4, 0x80000604);
	is(guest_io_read(0xcf8, 4), 0xffffffff, "no PCI bus: its address is not kept");
	is(guest_io_read(0xcfc, 4), 0xffffffff, "nor is there data");
	port(0x510, 2, 0);
	is(guest_io_read(0x511, 1), 'Q', "the firmware configuration's signature");
	is(guest_io_read(0x511, 1), 'E', "byte by byte");
	test_cpu.current = &vb;
	port(0x510, 2, 5);
	is(guest_io_read(0x511, 1), 3, "another guest's number of processors");
	test_cpu.current = &va;
	is(guest_io_read(0x511, 1), 'M', "does not disturb this one");
	port(0x510, 2, 3);
	uint64_t size = 0;
	for (unsigned i = 0; i < 8; i++)
		size |= (uint64_t)guest_io_read(0x511, 1) << (8 * i);
	is(size, 0x123456000, "its RAM");
	is(guest_io_read(0x64, 1), 0, "the keyboard controller takes a command");
	port(0x64, 1, 0xd1);
	port(0x60, 1, 0xdf);
	is(guest_io_read(0x92, 1), 2, "A20 is on");
	port(0x92, 1, 0);
	is(guest_io_read(0x92, 1), 2, "for good");
	port(0x70, 1, 0x8d);
	is(guest_io_read(0x71, 1), 0x80, "the clock is valid");
	port(0x70, 2, 0x5500 | 7);
	uint32_t day = guest_io_read(0x71, 1);
	ok(day >= 1 && day <= 0x31, "it has a day, which cannot be set");
	port(0x43, 1, 0xb0);
	port(0x61, 1, 1);
	port(0x42, 1, 0xff);
	port(0x42, 1, 0xff);
	is(guest_io_read(0x61, 1) & 0x23, 1, "the timer counts");
	port(0xcf9, 1, 2);
	is(out_length, 0, "nothing was printed");
	is(a.end, END_NONE, "nothing has ended");
}

static void ends(void)
{
	static const struct {
		uint16_t port;
		uint8_t value;
	} resets[] = {{0x64, 0xfe}, {0x64, 0xf0}, {0x92, 3}, {0xcf9, 6}, {0xcf9, 0x0e}};
	for (unsigned i = 0; i < array_size(resets); i++) {
		port(resets[i].port, 1, resets[i].value);
		is(a.end, END_REBOOT, "port 0x%x resets", resets[i].port);
		a.end = END_NONE;
	}
	port(0x64, 1, 0xff);
	is(a.end, END_NONE, "pulsing no line does not");
	port(0xf4, 4, 0xdead0007);
	is(a.end, END_DEBUG_EXIT, "the debug-exit port");
	is(a.end_detail, 7, "its value, a byte of it");
	a.end = END_NONE;
	port(0xf4, 1, 0);
	ok(a.end == END_DEBUG_EXIT && !a.end_detail, "a byte");
}

int main(void)
{
	tap_no_plan();
	if (guest_devices_create(&a) || guest_devices_create(&b))
		bail_out("no devices");
	text();
	line_editing();
	slow_line();
	serial();
	others();
	ends();
	guest_devices_free(&a);
	guest_devices_free(&b);
	guest_devices_free(&b);
	is(frames_used, 0, "their frames come back");
	no_memory = true;
	is(guest_devices_create(&a), -XEN_ENOMEM, "without memory");
	guest_devices_free(&a);
	return tap_end();
}
