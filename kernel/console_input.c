/*
 * What is typed on the serial console, and whom it is for: the monitor or a guest. Ctrl-A three
 * times gives it to the next one.
 *
 * State: a ring of characters in the private data of the boot CPU, to which the interrupts go, and
 * which hands them on at the turns of its loop; a character is cleared when it is taken. Whose the
 * input is; how many times Ctrl-A was typed. All of it is the boot CPU's. No lock.
 */
#include "kernel/console_input.h"
#include "drivers/apic.h"
#include "drivers/ioapic.h"
#include "drivers/uart.h"
#include "kernel/cmdline.h"
#include "kernel/console.h"
#include "kernel/domain.h"
#include "kernel/guest_devices.h"
#include "kernel/monitor.h"
#include "kernel/print_later.h"
#include "kernel/traps.h"
#include "mem.h"
#include "percpu.h"
#include "print.h"

#define VECTOR_INPUT 0xf2u
#define SWITCH_KEY   1 /* Ctrl-A */
#define SWITCH_TIMES 3u
/* An interrupt takes no more of one port, nor does a turn of the ring. */
#define TAKEN_AT_ONCE 64u

static const uint8_t irqs[UART_COUNT] = {UART_IRQ_COM1, UART_IRQ_COM2};

static unsigned works;	     /* the ports whose interrupts come, a bit each */
static domid_t focus;	     /* 0: the monitor */
static unsigned switch_keys; /* that may be one of three */

/* A character for which there is no room is lost: the line cannot be stopped. */
static void typed(unsigned vector)
{
	struct cpu_private *cpu = this_cpu();

	(void)vector;
	for (unsigned i = 0; i < UART_COUNT; i++) {
		unsigned n = 0;
		char c;

		if (!(cmdline_options.console & 1u << i))
			continue;
		if (works & 1u << i)
			uart_tell_room((enum uart)i, false);
		for (; n < TAKEN_AT_ONCE && uart_receive((enum uart)i, &c); n++)
			if (cpu->input_written - cpu->input_read < CONSOLE_INPUT_SIZE)
				cpu->input[cpu->input_written++ % CONSOLE_INPUT_SIZE] = c;
		if (n == TAKEN_AT_ONCE)
			uart_receive_later((enum uart)i);
	}
	/* Soon: a guest that runs here gives way for that moment. */
	atomic_fetch_or(&cpu->shared->entry_work, ENTRY_WORK_RESCHEDULE);
}

void console_input_init(void)
{
	traps_set_interrupt(VECTOR_INPUT, typed);
	for (unsigned i = 0; i < UART_COUNT; i++) {
		if (!(cmdline_options.console & 1u << i) || !uart_receive_on((enum uart)i))
			continue;
		if (ioapic_route_isa(irqs[i], VECTOR_INPUT, apic_id()))
			works |= 1u << i;
		else
			print(LOG_WARN,
			      "console: no I/O APIC has the interrupt of com%u: it takes no input",
			      i + 1);
	}
}

/* The live domain behind that one; NULL: none is. */
static struct domain *next_live(domid_t after)
{
	struct domain *d = domain_next(after);

	while (d && atomic_load(&d->end) != END_NONE)
		d = domain_next(d->id);
	return d;
}

static void say(void)
{
	const struct domain *d = focus ? domain_find(focus) : NULL;

	print_later_begin();
	if (d)
		print(
		    LOG_RESULT,
		    "input goes to guest d%u \"%s\"; Ctrl-A three times: the next, or the monitor",
		    d->id, d->name);
	else
		print(LOG_RESULT,
		      "input goes to the monitor, which knows help; Ctrl-A three times: guests");
	print_later_end();
}

void console_input_announce(void)
{
	const struct domain *d = next_live(0);

	focus = d ? d->id : 0;
	if (works)
		say();
}

void console_input_to(domid_t id)
{
	focus = id;
	say();
}

static void hand_on(const char *text, size_t length)
{
	struct domain *d = focus ? domain_find(focus) : NULL;

	if (!length)
		return;
	if (!focus)
		monitor_input(text, length);
	else if (d)
		guest_console_input(d, text, length);
	else /* it has ended: the monitor shall not get what was meant for it */
		console_input_to(0);
}

/* The next of the ring. Ctrl-A is held back until it is clear what it means. */
static char take(struct cpu_private *cpu)
{
	char *p = &cpu->input[cpu->input_read++ % CONSOLE_INPUT_SIZE], c = *p;

	*p = 0;
	return c;
}

void console_later_turn(void)
{
	/* The interrupt comes once the FIFO is empty, which may be now. */
	if (print_later_drain() && works)
		uart_tell_room((enum uart)__builtin_ctz(works), true);
}

void console_input_turn(void)
{
	struct cpu_private *cpu = this_cpu();
	char text[TAKEN_AT_ONCE + SWITCH_TIMES];
	size_t length = 0;
	bool moved = false;

	if (likely(cpu->input_read == cpu->input_written))
		return;
	for (unsigned n = 0; n < TAKEN_AT_ONCE && cpu->input_read != cpu->input_written; n++) {
		/* What is typed ahead waits, until the command before it has been carried out. */
		if (!focus && monitor_busy())
			break;
		char c = take(cpu);

		if (c == SWITCH_KEY && ++switch_keys == SWITCH_TIMES) {
			hand_on(text, length);
			length = 0;
			switch_keys = 0;
			const struct domain *d = next_live(focus);
			focus = d ? d->id : 0;
			moved = true;
		}
		if (c == SWITCH_KEY)
			continue;
		for (; switch_keys; switch_keys--)
			text[length++] = SWITCH_KEY;
		text[length++] = c;
		if (!focus) {
			hand_on(text, length);
			length = 0;
		}
	}
	hand_on(text, length);
	if (moved)
		say();
	mem_wipe(text, sizeof(text));
}
