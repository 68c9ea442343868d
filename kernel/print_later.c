/*
 * Text of the hypervisor's own that waits for the line, instead of having a CPU wait: what the
 * monitor says. It goes out in pieces that the serial port's FIFO takes at once, as guests' text
 * does (kernel/guest_console.c), between the lines of guests, to the serial ports only.
 *
 * State: a ring of characters in the private data of the boot CPU, which alone uses it: it may hold
 * registers of a guest. A character is cleared when it goes. No lock but the console's, which is
 * only tried.
 */
#include "kernel/print_later.h"
#include "domain.h"
#include "kernel/console.h"
#include "kernel/guest_devices.h"
#include "percpu.h"

#define WRITER	     (DOMAINS_MAX + LAYOUT_CPUS_MAX + 1u) /* no guest, nor a CPU's number + 1 */
#define CONTINUATION "keyhole: "

void print_later_begin(void)
{
	this_cpu()->prints_later = true;
}

void print_later_end(void)
{
	this_cpu()->prints_later = false;
}

unsigned print_later_room(void)
{
	const struct cpu_private *cpu = this_cpu();

	return PRINT_LATER_SIZE - (cpu->later_written - cpu->later_read);
}

void print_later_put(const char *text, size_t length)
{
	struct cpu_private *cpu = this_cpu();

	for (size_t i = 0; i < length && print_later_room(); i++)
		cpu->later[cpu->later_written++ % PRINT_LATER_SIZE] = text[i];
}

/* As much as there is room for, up to the end of a line. */
static void put(struct cpu_private *cpu, struct console_piece *p)
{
	if (cpu->later_open && !p->open && p->room > sizeof(CONTINUATION))
		console_piece_put(p, CONTINUATION, sizeof(CONTINUATION) - 1);
	for (cpu->later_open = true; cpu->later_read != cpu->later_written && p->room;) {
		char *c = &cpu->later[cpu->later_read % PRINT_LATER_SIZE];

		if (*c == '\n' && p->room < CONSOLE_LINE_END)
			return;
		cpu->later_read++;
		if (*c == '\n') {
			console_piece_end_line(p);
			cpu->later_open = false;
			return;
		}
		console_piece_put(p, c, 1);
		*c = 0;
	}
}

bool print_later_drain(void)
{
	struct cpu_private *cpu = this_cpu();
	struct console_piece p;

	if (likely(cpu->later_read == cpu->later_written))
		return false;
	if (guest_console_hold(WRITER) && console_piece_begin(WRITER, &p)) {
		put(cpu, &p);
		console_piece_end(WRITER, &p, cpu->later_open);
	}
	if (cpu->later_read != cpu->later_written)
		return true;
	guest_console_go_on(WRITER);
	return false;
}
