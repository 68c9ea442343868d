/*
 * Output of guests on the hypervisor's console: each line begins with "[name] ", so that none can
 * be taken for the hypervisor's own or another guest's.
 *
 * A guest's text waits in a buffer in the frame of its devices (kernel/guest_io.c), which is its
 * own, and goes out from there in pieces that the serial port's FIFO takes without waiting, at each
 * turn of any CPU's loop (kernel/smp.c). A guest that writes faster than the line waits, nobody
 * else does. Lines of several guests take turns.
 *
 * State: the buffers, under devices_lock of the domain; which domains have text, changed under that
 * lock; whose turn it is, by the CPU that has set `draining`; whether a line is half out, and
 * whether another may begin. Locks: devices_lock, then the console's, which is only tried.
 *
 * A guest may print lines, tabs, printable ASCII and UTF-8. Whatever could move the cursor or
 * address the terminal (C0 and C1 control characters, the latter also in UTF-8, and stray bytes)
 * becomes a question mark; carriage returns and control sequences (ECMA-48, "ESC [ ...") are
 * dropped. For line editors a backspace goes back over what the guest itself has printed on the
 * line that is open, never over its name, and J and K without parameters erase from there on.
 */
#include "domain.h"
#include "kernel/cmdline.h"
#include "kernel/console.h"
#include "kernel/domain.h"
#include "kernel/domain_set.h"
#include "kernel/guest_devices.h"
#include "mem.h"
#include "percpu.h"
#include "vcpu.h"

/* A line that does not end lets others have their turn after so many characters. */
#define LINE_TURN_MAX 1024u
#define COLOURS	      5u /* from green on: red is for alarms, white what has no colour */
#define FIRST_COLOUR  32u
/* Of a control sequence what has come. */
enum { SEQUENCE_NONE, SEQUENCE_ESCAPE, SEQUENCE_BEGUN, SEQUENCE_PARAMETERS };

#define BACK_MAX   75u	/* with the name: a terminal has at least 80 columns */
#define ERASE	   '\v' /* in the buffer: up to the end of the line */
#define ESCAPE	   '\x1b'
#define PREFIX_MAX (DOMAIN_NAME_MAX + sizeof("\x1b[32m[] "))

static struct domain_set waiting; /* they have text */
static _Atomic bool draining;
static _Atomic uint32_t held; /* by whom; 0: not */
static _Atomic bool in_line;
/* Whose turn it is. */
static struct {
	domid_t domain;
	unsigned prefix_done; /* characters of it that are out, of the line that is open */
	unsigned line_sent;
	unsigned behind; /* columns that it may go back over */
} turn;

/* --- in --------------------------------------------------------------------------------------- */

/* Whether a control sequence, or its beginning, takes the next byte; *c: what it amounts to, or 0.
 */
static bool in_sequence(struct guest_console *g, uint8_t byte, char *c)
{
	unsigned before = g->sequence;

	g->sequence = SEQUENCE_NONE;
	*c = 0;
	if (byte == ESCAPE) {
		g->sequence = SEQUENCE_ESCAPE;
	} else if (before == SEQUENCE_ESCAPE && byte == '[') {
		g->sequence = SEQUENCE_BEGUN;
	} else if (before >= SEQUENCE_BEGUN && byte >= 0x20 && byte < 0x40) {
		g->sequence = SEQUENCE_PARAMETERS;
	} else if (before >= SEQUENCE_BEGUN && byte >= 0x40 && byte < 0x7f) {
		if (before == SEQUENCE_BEGUN && (byte == 'J' || byte == 'K'))
			*c = ERASE;
	} else {
		return false;
	}
	return true;
}

static char filtered_ascii(uint8_t c)
{
	switch (c) {
	case '\r':
		return 0;
	case '\t':
	case '\n':
	case '\b':
		return (char)c;
	default:
		return c >= 0x20 && c < 0x7f ? (char)c : '?';
	}
}

/* The character to be shown for the next byte, 0: none; updates the states. */
static char filtered(struct guest_console *g, uint8_t c)
{
	char of_sequence;

	if (in_sequence(g, c, &of_sequence))
		return of_sequence;
	if (c < 0x80) {
		g->utf8_left = 0;
		return filtered_ascii(c);
	}
	if (c < 0xc0) {
		bool expected = g->utf8_left && c >= g->utf8_min;
		g->utf8_left = expected ? (uint8_t)(g->utf8_left - 1) : 0;
		g->utf8_min = 0x80;
		return expected ? (char)c : '?';
	}
	/* First bytes; the least second byte excludes overlong forms and the C1 controls of U+0080
	 * on. */
	g->utf8_left = 0;
	g->utf8_min = 0x80;
	if (c == 0xc2) {
		g->utf8_left = 1;
		g->utf8_min = 0xa0;
	} else if (c > 0xc2 && c < 0xe0) {
		g->utf8_left = 1;
	} else if (c >= 0xe0 && c < 0xf0) {
		g->utf8_left = 2;
		g->utf8_min = c == 0xe0 ? 0xa0 : 0x80;
	} else if (c >= 0xf0 && c < 0xf5) {
		g->utf8_left = 3;
		g->utf8_min = c == 0xf0 ? 0x90 : 0x80;
	}
	return g->utf8_left ? (char)c : '?';
}

size_t guest_console_write(struct domain *d, const char *text, size_t length)
{
	struct guest_console *g = &guest_devices_open(d)->console;
	size_t done = 0;

	for (; done < length && !guest_console_full(g); done++) {
		char c = filtered(g, (uint8_t)text[done]);

		if (c)
			g->text[g->written++ % GUEST_CONSOLE_SIZE] = c;
	}
	if (g->written != g->read)
		(void)domain_set_add(&waiting, d->id);
	guest_devices_close(d);
	return done;
}

/* --- out -------------------------------------------------------------------------------------- */

bool guest_console_drained(const struct domain *d)
{
	return !domain_set_has(&waiting, d->id);
}

/* The domain whose turn it is: the same until its line ends, then the next that has text. */
static struct domain *whose_turn(void)
{
	for (domid_t n = 0; n <= DOMAINS_MAX; n++) {
		domid_t id = (domid_t)((turn.domain + n) % (DOMAINS_MAX + 1));
		struct domain *d = id ? domain_next((domid_t)(id - 1)) : NULL;

		if (!d || d->id != id || guest_console_drained(d))
			continue;
		if (id != turn.domain)
			turn.line_sent = 0;
		turn.domain = id;
		return d;
	}
	return NULL;
}

/* Puts what is still due of the prefix; whether that is all of it. */
static bool put_prefix(const struct domain *d, struct console_piece *p)
{
	char prefix[PREFIX_MAX];
	size_t length = 0;

	if (cmdline_options.colour)
		length = format_string(prefix, sizeof(prefix), "\x1b[%um",
				       FIRST_COLOUR + d->id % COLOURS);
	length += format_string(prefix + length, sizeof(prefix) - length, "[%s] ", d->name);
	unsigned left = (unsigned)length - turn.prefix_done;
	if (left > p->room)
		left = p->room;
	console_piece_put(p, prefix + turn.prefix_done, left);
	turn.prefix_done += left;
	return turn.prefix_done == length;
}

/* Puts a character that does not end a line. False: it has no room. */
static bool put_char(const struct domain *d, char c, struct console_piece *p)
{
	static const char erase[] = {'\x1b', '[', 'K'};

	if (p->room < (c == ERASE ? sizeof(erase) : 1))
		return false;
	turn.line_sent++;
	if (c == ERASE) {
		console_piece_put(p, erase, sizeof(erase));
	} else if (c != '\b') {
		bool sure = c >= ' ' && c <= '~' && turn.behind + strlen(d->name) < BACK_MAX;

		turn.behind = sure ? turn.behind + 1 : 0;
		console_piece_put(p, &c, 1);
	} else if (turn.behind) {
		turn.behind--;
		console_piece_put(p, &c, 1);
	}
	return true;
}

/* Puts as much text as there is room for, up to the end of a line. Whether that was reached. */
static bool put_text(const struct domain *d, struct guest_console *g, struct console_piece *p)
{
	for (; g->read != g->written && p->room; g->read++) {
		char c = g->text[g->read % GUEST_CONSOLE_SIZE];

		if (c != '\n') {
			if (!put_char(d, c, p))
				return false;
			continue;
		}
		if (p->room < CONSOLE_LINE_END)
			return false;
		console_piece_end_line(p);
		g->read++;
		return true;
	}
	return false;
}

/* What is left of a character that another's line cut in two is not shown. */
static void begin_line(struct guest_console *g)
{
	turn.prefix_done = turn.behind = 0;
	while (g->read != g->written && (g->text[g->read % GUEST_CONSOLE_SIZE] & 0xc0) == 0x80)
		g->read++;
}

static void all_is_out(const struct domain *d)
{
	domain_set_remove(&waiting, d->id);
	uint32_t cpu = atomic_load(&d->finish_cpu);
	if (cpu)
		cpu_kick(cpu - 1, ENTRY_WORK_RESCHEDULE);
}

static void drain(struct domain *d)
{
	struct guest_console *g = &guest_devices_open(d)->console;
	struct console_piece p;

	if (console_piece_begin(d->id, &p)) {
		bool ended = false;

		if (!p.open)
			begin_line(g);
		if (put_prefix(d, &p))
			ended = put_text(d, g, &p);
		console_piece_end(d->id, &p, !ended);
		if (g->read == g->written)
			all_is_out(d);
		ended |= turn.line_sent >= LINE_TURN_MAX;
		atomic_store(&in_line, !ended && g->read != g->written);
		if (ended)
			turn.domain++; /* the next one's */
	}
	guest_devices_close(d);
}

bool guest_console_hold(uint32_t who)
{
	uint32_t other = 0;

	if (!atomic_compare_exchange_strong(&held, &other, who) && other != who)
		return false;
	return !atomic_load(&in_line);
}

void guest_console_go_on(uint32_t who)
{
	atomic_compare_exchange_strong(&held, &who, 0);
}

bool guest_console_drain(void)
{
	if (likely(domain_set_empty(&waiting, memory_order_relaxed)))
		return false;
	if (atomic_exchange(&draining, true))
		return true;
	if (!atomic_load(&held) || atomic_load(&in_line)) {
		struct domain *d = whose_turn();
		if (d)
			drain(d);
	}
	atomic_store(&draining, false);
	return true;
}
