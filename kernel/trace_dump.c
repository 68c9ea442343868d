/*
 * The trace as text on COM2, for tools/trace, which knows this format.
 *
 * Each line ends with "#" and a checksum, since a serial line may lose characters:
 *
 *	trace: begin KHZ CPUS                   ticks a millisecond
 *	trace: domain ID NAME
 *	trace: exits DOMAIN CODE COUNT TICKS
 *	trace: cpu CPU LOST                     how many events were overwritten
 *	trace: e CPU TIME,WHAT,VALUE ...        hexadecimal; the first time of a line is the TSC,
 *	                                        the others are ticks since the one before
 *	trace: end LINES                        lines before it
 *
 * State: none that outlives the call, which the boot CPU makes at the end, when no guest is left.
 */
#include "drivers/tsc.h"
#include "drivers/uart.h"
#include "kernel/domain.h"
#include "kernel/smp.h"
#include "kernel/trace.h"
#include "print.h"

#define LINE_MAX    200u
#define EVENT_MAX   40u /* of one event, as text */
#define END_MAX	    12u /* of the checksum and the line's end */
#define READ_EVENTS 16u

static uint32_t lines;

/* FNV-1a, 32 bits. */
static uint32_t checksum(const char *text, size_t length)
{
	uint32_t sum = 0x811c9dc5u;

	for (size_t i = 0; i < length; i++)
		sum = (sum ^ (uint8_t)text[i]) * 0x01000193u;
	return sum;
}

/* Sends a line of so many characters, with room for its end. */
static void send(char *line, size_t length)
{
	length +=
	    format_string(line + length, LINE_MAX - length, "#%08x\r\n", checksum(line, length));
	uart_write(UART_COM2, line, length);
	lines++;
}

#define SEND(...)                                                                             \
	do {                                                                                  \
		char line_[LINE_MAX];                                                         \
		send(line_, format_string(line_, LINE_MAX - END_MAX, "trace: " __VA_ARGS__)); \
	} while (0)

static void send_exits(domid_t id)
{
	for (unsigned code = 0; code < TRACE_CODES; code++) {
		struct trace_sum sum = trace_exits(id, code);

		if (sum.count)
			SEND("exits %u %u %lu %lu ", id, code, sum.count, sum.ticks);
	}
}

static void send_events(uint32_t cpu)
{
	struct trace_event e[READ_EVENTS];
	uint64_t position = trace_last(cpu, TRACE_EVENTS), lost, before = 0;
	unsigned count;
	char line[LINE_MAX];
	size_t length = 0;

	SEND("cpu %u %lu ", cpu, position);
	while ((count = trace_read(cpu, &position, e, READ_EVENTS, &lost)))
		for (unsigned i = 0; i < count; i++) {
			if (length + EVENT_MAX + END_MAX > LINE_MAX) {
				send(line, length);
				length = before = 0;
			}
			if (!length)
				length = format_string(line, sizeof(line), "trace: e %u ", cpu);
			uint32_t what = (uint32_t)e[i].domain << TRACE_DOMAIN_SHIFT |
					(uint32_t)e[i].vcpu << TRACE_VCPU_SHIFT |
					(uint32_t)e[i].code << TRACE_CODE_SHIFT | e[i].kind;
			length += format_string(line + length, sizeof(line) - length, "%lx,%x,%x ",
						e[i].tsc - before, what, e[i].value);
			before = e[i].tsc;
		}
	if (length)
		send(line, length);
}

void trace_dump(void)
{
	if (!uart_init(UART_COM2)) {
		print(LOG_WARN, "trace: no serial port com2, to which it would go");
		return;
	}
	lines = 0;
	SEND("begin %lu %u ", tsc_khz(), smp_cpu_count());
	for (domid_t id = 1; id <= DOMAINS_MAX; id++) {
		const struct domain_result *r = domain_result(id);

		if (r)
			SEND("domain %u %s ", id, r->name);
		send_exits(id);
	}
	for (uint32_t cpu = 0; cpu < smp_cpu_count(); cpu++)
		send_events(cpu);
	SEND("end %u ", lines);
	uart_drain(UART_COM2);
	print(LOG_INFO, "trace: %u lines written to com2", lines);
}
