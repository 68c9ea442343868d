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
#include "drivers/uart.h"
#include "drivers/vga.h"
#include "kernel/cmdline.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "lock.h"

#define PREFIX	 "keyhole: "
#define LINE_MAX 320u

static struct lock console_lock = LOCK_INIT;
static uint32_t devices; /* CONSOLE_*, present and asked for */
static enum log_level level = LOG_INFO;
/* The CPU that panics, index + 1: it takes no lock, which may be held by a CPU that is stopped. */
static _Atomic uint32_t lock_broken_by;
/* Under the lock: */
static uint32_t line_writer; /* who has left a line open on the serial ports; 0: nobody */
static bool text_locked;     /* console_text_begin() took the lock */

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
			if (!(devices & (u == UART_COM1 ? CONSOLE_COM1 : CONSOLE_COM2)))
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

/* What is printed next begins a line. */
static void end_open_line(void)
{
	if (line_writer)
		serial_write("\n", 1);
	line_writer = 0;
}

void print_init_early(void)
{
	devices = uart_init(UART_COM1) ? CONSOLE_COM1 : 0;
}

/* Sets the level and the serial ports; a port that is asked for and absent is named where it can be
 * read. */
void print_init(const struct cmdline_options *options)
{
	static const struct {
		uint32_t bit;
		enum uart uart;
		const char *name;
	} serial[] = {{CONSOLE_COM1, UART_COM1, "com1"}, {CONSOLE_COM2, UART_COM2, "com2"}};
	uint32_t found = devices & options->console, absent = 0;

	level = options->loglvl;
	for (size_t i = 0; i < array_size(serial); i++) {
		uint32_t bit = serial[i].bit;

		if (!(options->console & bit) || (devices & bit))
			continue;
		if (uart_init(serial[i].uart))
			found |= bit;
		else
			absent |= bit;
	}
	devices = found;
	for (size_t i = 0; i < array_size(serial); i++)
		if (absent & serial[i].bit)
			print(LOG_WARN, "console: no serial port %s", serial[i].name);
}

/* Adds the screen, if it is asked for and there is one. What was printed before is not repeated. */
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

	if (line_level > level)
		return;
	__builtin_memcpy(line, PREFIX, sizeof(PREFIX) - 1);
	/* Room is left for the line end. */
	size_t length = sizeof(PREFIX) - 1;
	length += format_string_v(line + length, sizeof(line) - length - 1, fmt, args);
	line[length++] = '\n';

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

/*
 * Begins to print text that is not ours, for a writer (not 0), and takes the console's lock. A line
 * that another left open is ended. True if the writer's own line is still open: then no prefix is
 * due.
 */
bool console_text_begin(uint32_t writer)
{
	text_locked = lock_console();
	if (line_writer == writer)
		return true;
	end_open_line();
	return false;
}

void console_text(const char *text, size_t length)
{
	serial_write(text, length);
}

/* Says whether the writer's line is left open, and releases the lock. */
void console_text_end(uint32_t writer, bool line_open)
{
	line_writer = line_open ? writer : 0;
	if (text_locked)
		lock_release(&console_lock);
}

void console_drain(void)
{
	for (unsigned u = 0; u < UART_COUNT; u++)
		uart_drain((enum uart)u);
}

void console_break_lock(void)
{
	atomic_store(&lock_broken_by, cpu_index() + 1);
}
