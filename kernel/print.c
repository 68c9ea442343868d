/*
 * The console: the hypervisor's own lines, and the text of guests.
 *
 * State: which devices are in use and the level, constant after boot; one line at a time goes out
 * under the lock "console", the last in the global order, from any CPU. A message is formatted on
 * the caller's stack, so no text is kept anywhere. Guests' text and registers go to the serial
 * ports only: the screen's memory is mapped on every CPU.
 */
#include "print.h"
#include "boot_info.h"
#include "domain.h"
#include "drivers/uart.h"
#include "drivers/vga.h"
#include "kernel/cmdline.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/print_later.h"
#include "lock.h"
#include "mem.h"

#define PREFIX	  "keyhole: "
#define LINE_MAX  320u
#define PIECE_MIN 8u /* CONSOLE_CUT, CONSOLE_LINE_END and a bit */

static struct lock console_lock = LOCK_INIT(LOCK_CONSOLE);
static uint32_t devices; /* CONSOLE_*, present and asked for */
_Static_assert(CONSOLE_COM1 == 1u << UART_COM1 && CONSOLE_COM2 == 1u << UART_COM2, "a bit each");
static enum log_level level = LOG_INFO;
/* The CPU that panics, index + 1: it takes no lock, which may be held by a CPU that is stopped. */
static _Atomic uint32_t lock_broken_by;
/* Under the lock: */
static uint32_t line_writer; /* who has left a line open on the serial ports; 0: nobody */

static bool lock_console(void)
{
	if (atomic_load_explicit(&lock_broken_by, memory_order_relaxed) == cpu_index() + 1)
		return false;
	lock_acquire(&console_lock);
	return true;
}

static void serial_write(const char *text, size_t length)
{
	while (length) {
		size_t part = 0;

		while (part < length && text[part] != '\n')
			part++;
		for (unsigned u = 0; u < UART_COUNT; u++) {
			if (!(devices & 1u << u))
				continue;
			uart_write((enum uart)u, text, part);
			if (part < length)
				uart_write((enum uart)u, "\r\n", 2);
		}
		if (part < length)
			part++;
		text += part;
		length -= part;
	}
}

/* A guest's line that another cuts in two. */
static bool cuts_guest(void)
{
	return line_writer && line_writer <= DOMAINS_MAX;
}

/* What is printed next begins a line. */
static void end_open_line(void)
{
	if (cuts_guest())
		serial_write(CONSOLE_CUT, sizeof(CONSOLE_CUT) - 1);
	if (line_writer && cmdline_options.colour)
		serial_write(CONSOLE_RESET, sizeof(CONSOLE_RESET) - 1);
	if (line_writer)
		serial_write("\n", 1);
	line_writer = 0;
}

void print_init_early(void)
{
	devices = uart_init(UART_COM1) ? CONSOLE_COM1 : 0;
}

void print_init(const struct cmdline_options *options)
{
	uint32_t wanted = options->console & (CONSOLE_COM1 | CONSOLE_COM2),
		 found = devices & wanted;

	level = options->loglvl;
	for (unsigned u = 0; u < UART_COUNT; u++)
		if (wanted & ~found & 1u << u && uart_init((enum uart)u))
			found |= 1u << u;
	devices = found;
	for (unsigned u = 0; u < UART_COUNT; u++)
		if (wanted & ~found & 1u << u)
			print(LOG_WARN, "console: no serial port com%u", u + 1);
}

void print_init_devices(void)
{
	if (!(cmdline_options.console & CONSOLE_VGA) || !boot_info.vga_text)
		return;
	int rc = vga_init();
	if (rc)
		print(LOG_WARN, "console: the screen could not be mapped, error %d", -rc);
	else
		devices |= CONSOLE_VGA;
}

static void print_line(enum log_level line_level, bool on_screen, const char *fmt, va_list args)
{
	char line[LINE_MAX];

	bool later = this_cpu()->prints_later;

	if (line_level > level && !later)
		return;
	__builtin_memcpy(line, PREFIX, sizeof(PREFIX) - 1);
	/* Room is left for the line end. */
	size_t length = sizeof(PREFIX) - 1;
	length += format_string_v(line + length, sizeof(line) - length - 1, fmt, args);
	line[length++] = '\n';

	if (later) {
		if (print_later_room() >= length)
			print_later_put(line, length);
		return;
	}
	bool locked = lock_console();
	end_open_line();
	serial_write(line, length);
	if (on_screen && devices & CONSOLE_VGA)
		vga_write(line, length);
	if (locked)
		lock_release(&console_lock);
}

void print(enum log_level line_level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_line(line_level, true, fmt, args);
	va_end(args);
}

/* The line lies on this CPU's stack meanwhile, which is cleared when the vCPU is unloaded. */
void print_guest_state(enum log_level line_level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_line(line_level, false, fmt, args);
	va_end(args);
}

/* What the ports take now. One without a FIFO has room for some characters too: it is waited for.
 */
static unsigned serial_room(void)
{
	unsigned room = CONSOLE_PIECE_MAX;

	for (unsigned u = 0; u < UART_COUNT; u++) {
		if (!(devices & 1u << u))
			continue;
		unsigned port = uart_room((enum uart)u);
		if (port && port < PIECE_MIN)
			port = PIECE_MIN;
		if (port < room)
			room = port;
	}
	return room;
}

void console_piece_end_line(struct console_piece *p)
{
	if (cmdline_options.colour)
		console_piece_put(p, CONSOLE_RESET, sizeof(CONSOLE_RESET) - 1);
	console_piece_put(p, "\r\n", 2);
}

/*
 * Begins a piece of text that is not ours, for a writer (not 0), if nobody else prints: then the
 * console is locked. A line that another left open is ended first. False: not now. Never waits.
 */
bool console_piece_begin(uint32_t writer, struct console_piece *p)
{
	if (!lock_try(&console_lock))
		return false;
	p->room = serial_room();
	p->length = 0;
	p->open = line_writer == writer;
	if (!p->room) {
		lock_release(&console_lock);
		return false;
	}
	if (cuts_guest() && !p->open)
		console_piece_put(p, CONSOLE_CUT, sizeof(CONSOLE_CUT) - 1);
	if (line_writer && !p->open)
		console_piece_end_line(p);
	return true;
}

/* Prints it. Says whether the writer's line is left open, and releases the lock. */
void console_piece_end(uint32_t writer, struct console_piece *p, bool line_open)
{
	for (unsigned u = 0; u < UART_COUNT; u++)
		if (devices & 1u << u)
			uart_write((enum uart)u, p->text, p->length);
	line_writer = line_open ? writer : 0;
	lock_release(&console_lock);
	mem_wipe(p, sizeof(*p));
}

void console_drain(void)
{
	for (unsigned u = 0; u < UART_COUNT; u++)
		uart_drain((enum uart)u);
}

void console_break_lock(void)
{
	this_cpu()->prints_later = false;
	atomic_store(&lock_broken_by, cpu_index() + 1);
}
