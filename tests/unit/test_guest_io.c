/* sources: kernel/guest_io.c kernel/guest_console.c tests/unit/fake_cpu.c */
/* Ports that the hypervisor answers, and what becomes of the text of guests that try to deceive. */
#include "domain.h"
#include "kernel/console.h"
#include "percpu.h"
#include "tap.h"
#include "vcpu.h"

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
bool console_text_begin(uint32_t writer)
{
	if (begun)
		bail_out("the console is begun twice");
	begun = true;
	if (line_writer == writer)
		return true;
	end_open_line();
	return false;
}
void console_text(const char *text, size_t length)
{
	if (!begun)
		bail_out("text without the console's lock");
	memcpy(out + out_length, text, length);
	out_length += length;
}
void console_text_end(uint32_t writer, bool line_open)
{
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
	d->end = why;
	d->end_detail = detail;
}

static struct domain a = {.id = 1, .name = "a"}, b = {.id = 2, .name = "bb"};
static struct vcpu_shared va = {.domain = &a}, vb = {.domain = &b};

static void writes(struct domain *d, const char *text)
{
	guest_console_write(d, text, strlen(text));
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
	shows("[a] ?[2K?[1A??????\n", "nothing that moves the cursor");
	guest_console_write(&a, "\0z\n", 3);
	shows("[a] ?z\n", "a zero byte");
	writes(&a, "a\tb \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n");
	shows("[a] a\tb \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n", "tabs and UTF-8");
	writes(&a, "\x9b"
		   "2J\xc2\x9b"
		   "2J\xe0\x82\x9b\xf0\x82\x82\x9b\xff\xc0\x80\n");
	shows("[a] ?2J\xc2?2J\xe0??\xf0??????\n", "no C1 controls, raw, in UTF-8 or overlong");
	writes(&a, "\xe2\x82");
	writes(&b, "\xac\n");
	writes(&a, "\xac\n");
	shows("[a] \xe2\x82\n[bb] ?\n[a] ?\n", "a character in pieces ends with its line");
	writes(&a, "");
	shows("", "nothing");
	char long_text[700];
	memset(long_text, 'y', sizeof(long_text));
	guest_console_write(&a, long_text, sizeof(long_text));
	writes(&a, "\n");
	is(out_length, 4 + 700 + 1, "longer than the buffer");
	out_length = 0;
}

static void ports(void)
{
	test_cpu.current = &va;
	is(guest_io_read(0x3fd, 1), 0x60, "the serial port is ready to send");
	guest_io_write(0x3f8, 1, 'H');
	guest_io_write(0x3f8, 1, '\n');
	shows("[a] H\n", "it sends");
	is(guest_io_read(0x3f8, 1), 0, "and receives nothing");
	is(guest_io_read(0x3fa, 1), 1, "no interrupt is pending");
	is(guest_io_read(0x3fb, 1), 3, "8 bits, no parity");
	guest_io_write(0x3fb, 1, 0x83);
	is(guest_io_read(0x3fb, 1), 0x83, "DLAB");
	is(guest_io_read(0x3f8, 1), 1, "the divisor");
	guest_io_write(0x3f8, 1, 'X');
	is(out_length, 0, "is not sent");
	test_cpu.current = &vb;
	is(guest_io_read(0x3fb, 1), 3, "another guest has a port of its own");
	test_cpu.current = &va;
	guest_io_write(0x3fb, 1, 0x03);
	guest_io_write(0x3ff, 1, 0x5a);
	is(guest_io_read(0x3ff, 1), 0, "no scratch register to keep a guest's data");
	is(guest_io_read(0x3fc, 4), 0x00b06000, "four bytes are four ports");
	is(guest_io_read(0x3f7, 2), 0x00ff, "half absent");
	is(guest_io_read(0xe9, 1), 0xe9, "the debug port is there");
	guest_io_write(0xe9, 1, 'd');
	guest_io_write(0xe9, 1, '\n');
	shows("[a] d\n", "it sends");
	static const uint16_t absent[] = {0,	 0x20,	0x21,  0x40,  0x60,  0x64,   0x70,
					  0xcf8, 0x2f8, 0x3f7, 0x400, 0x510, 0x8900, 0xffff};
	for (unsigned i = 0; i < array_size(absent); i++) {
		guest_io_write(absent[i], 1, 'S');
		is(guest_io_read(absent[i], 1), 0xff, "port 0x%x is absent", absent[i]);
	}
	is(guest_io_read(0xffff, 4), 0xffffffff, "beyond the last port");
	is(guest_io_read(0x510, 4), 0xffffffff, "four bytes absent");
	is(guest_io_read(0x510, 2), 0xffff, "two bytes absent");
	is(out_length, 0, "nothing was printed");
	is(a.end, END_NONE, "nothing has ended");
	guest_io_write(0xf4, 4, 0xdead0007);
	is(a.end, END_DEBUG_EXIT, "the debug-exit port");
	is(a.end_detail, 7, "its value, a byte of it");
}

int main(void)
{
	tap_no_plan();
	text();
	ports();
	return tap_end();
}
