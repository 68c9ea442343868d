/*
 * The console: which lines go to which device.
 */
/* sources: kernel/print.c kernel/print_later.c kernel/format.c tests/unit/fake_cpu.c */
#include "boot_info.h"
#include "drivers/uart.h"
#include "drivers/vga.h"
#include "kernel/cmdline.h"
#include "kernel/console.h"
#include "kernel/guest_devices.h"
#include "kernel/print_later.h"
#include "percpu.h"
#include "print.h"
#include "tap.h"

struct cmdline_options cmdline_options = {.console = CONSOLE_COM1 | CONSOLE_VGA,
					  .loglvl = LOG_INFO};
struct boot_info boot_info = {.vga_text = true};

static char serial[16384], screen[4096];

bool uart_init(enum uart which)
{
	return which == UART_COM1;
}

void uart_write(enum uart which, const char *text, size_t length)
{
	if (which == UART_COM1)
		strncat(serial, text, length);
}

static unsigned room = 16;
unsigned uart_room(enum uart which)
{
	return which == UART_COM1 ? room : UINT32_MAX;
}

void uart_drain(enum uart which)
{
	(void)which;
}

int vga_init(void)
{
	return 0;
}

void vga_write(const char *text, size_t length)
{
	strncat(screen, text, length);
}

static bool held, in_line;
bool guest_console_hold(uint32_t who)
{
	held = who;
	return !in_line;
}

void guest_console_go_on(uint32_t who)
{
	(void)who;
	held = false;
}

static void begin(void)
{
	serial[0] = screen[0] = 0;
}

static void drain(void)
{
	while (print_later_drain()) {
	}
}

/* What waits for the line: in pieces, between others' lines. */
static void test_later(void)
{
	struct console_piece p;

	begin();
	print_later_begin();
	print(LOG_DEBUG, "rax %x, and more that is longer than a FIFO", 0x1234u);
	print_later_end();
	is_str(serial, "", "nothing goes out at once");
	in_line = true;
	ok(print_later_drain() && !*serial, "nor while a guest's line is half out");
	in_line = false;
	ok(print_later_drain() && held, "then other lines wait");
	is_str(serial, "keyhole: rax 123", "as much as the FIFO takes");
	print(LOG_INFO, "ours");
	drain();
	is_str(serial,
	       "keyhole: rax 123\r\nkeyhole: ours\r\n"
	       "keyhole: 4, and more that is longer than a FIFO\r\n",
	       "what was cut goes on behind our name");
	ok(!held, "guests go on");
	is_str(screen, "keyhole: ours\n", "not to the screen");

	unsigned left = 0;
	for (unsigned i = 0; i < sizeof(this_cpu()->later); i++)
		left += this_cpu()->later[i] != 0 && this_cpu()->later[i] != '\n';
	is(left, 0, "nothing stays behind");

	begin();
	for (unsigned i = 0; i < 2 * PRINT_LATER_SIZE; i++)
		print_later_put("x", 1);
	is(print_later_room(), 0, "a full ring loses what comes");
	drain();
	is(strlen(serial), PRINT_LATER_SIZE, "and nothing else");
	is(print_later_room(), PRINT_LATER_SIZE, "it is empty again");

	begin();
	print_later_put(" go\n", 4);
	ok(console_piece_begin(3, &p), "a guest's line ends ours");
	console_piece_end(3, &p, false);
	print_later_begin();
	console_break_lock();
	print(LOG_ERROR, "PANIC");
	ok(strstr(serial, "PANIC") != NULL, "a panic does not wait");
}

int main(void)
{
	tap_no_plan();
	print_init_early();
	print_init(&cmdline_options);
	print_init_devices();

	begin();
	print(LOG_INFO, "a line of %u", 7u);
	is_str(serial, "keyhole: a line of 7\r\n", "a line goes to the serial port");
	is_str(screen, "keyhole: a line of 7\n", "and to the screen");
	begin();
	print_guest_state(LOG_WARN, "rax %x", 0x1234u);
	is_str(serial, "keyhole: rax 1234\r\n", "what a register held goes to the serial port");
	is_str(screen, "", "and not to the screen, whose memory every CPU maps");
	begin();
	print(LOG_DEBUG, "no");
	print_guest_state(LOG_DEBUG, "no");
	is_str(serial, "", "nothing is printed above the level");

	begin();
	struct console_piece p;
	ok(console_piece_begin(3, &p) && !p.open && p.room == 16,
	   "no line of this guest's is open");
	console_piece_put(&p, "[g] half", 8);
	is(p.room, 8, "half of the FIFO is left");
	console_piece_end(3, &p, true);
	is(p.text[0], 0, "nothing stays behind");
	ok(console_piece_begin(3, &p) && p.open, "now there is");
	console_piece_end(3, &p, true);
	room = 0;
	ok(!console_piece_begin(3, &p), "a busy line is not waited for");
	room = 1;
	ok(console_piece_begin(3, &p) && p.room >= CONSOLE_LINE_END, "one without a FIFO is");
	console_piece_end(3, &p, true);
	room = 16;
	print(LOG_INFO, "ours");
	is_str(serial, "[g] half\\\r\nkeyhole: ours\r\n",
	       "our line does not go on behind a guest's");
	is_str(screen, "keyhole: ours\n", "guests' text is not on the screen");

	begin();
	cmdline_options.colour = true;
	ok(console_piece_begin(3, &p), "a guest's line, coloured");
	console_piece_put(&p, "x", 1);
	console_piece_end(3, &p, true);
	print(LOG_INFO, "ours");
	is_str(serial, "x\\\x1b[0m\r\nkeyhole: ours\r\n", "the colour ends with it");
	cmdline_options.colour = false;
	test_later();
	return tap_end();
}
