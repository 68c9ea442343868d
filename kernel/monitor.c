/*
 * The monitor: commands that are typed on the serial console, and their answers (docs/monitor.md).
 *
 * State: the line that is being typed, and the command that is being carried out; the boot CPU's.
 * No lock. A command runs in steps at the turns of that CPU's loop, with no lock held, each as
 * short as what it looks at allows, and only while there is room for what it prints; that goes out
 * by and by (kernel/print_later.c). Nothing of a guest's registers or memory is kept but there.
 *
 * A step returns whether there is another one; what it leaves in c->at, which is 0 at first, is for
 * that.
 */
#include "kernel/monitor.h"
#include "kernel/console_input.h"
#include "kernel/monitor_steps.h"
#include "kernel/print_later.h"
#include "percpu.h"
#include "print.h"
#include "vcpu.h"

#define LINE_MAX  80u
#define PROMPT	  "keyhole: > "
#define BACKSPACE 0x08
#define DELETE	  0x7f
/* What a step may print. */
#define STEP_ROOM (PRINT_LATER_SIZE / 2)

static struct {
	char text[LINE_MAX];
	unsigned length;
	bool too_long;
} line;
static struct monitor_command command;
static bool active;

static bool (*const steps[MONITOR_VERBS])(struct monitor_command *c) = {
#define X(name, step, usage, min, max, help) [MONITOR_##name] = step_##step,
    MONITOR_COMMANDS(X)
#undef X
};

/* No vCPU is loaded on this CPU before a step of it, nor after. */
static bool runs_alone(enum monitor_verb verb)
{
	return verb == MONITOR_regs || verb == MONITOR_backtrace || verb == MONITOR_map ||
	       verb == MONITOR_audit;
}

static void execute(void)
{
	const char *error = line.too_long ? "that is longer than any command"
					  : monitor_parse(line.text, line.length, &command);

	if (error && *error)
		print(LOG_RESULT, "%s", error);
	active = !error;
	__builtin_memset(&line, 0, sizeof(line));
}

static void typed(char c)
{
	if (c == '\r' || c == '\n') {
		print_later_put("\n", line.length || line.too_long);
		execute();
	} else if (c == BACKSPACE || c == DELETE) {
		if (line.length) {
			line.length--;
			print_later_put("\b \b", 3);
		}
	} else if (c >= ' ' && c < DELETE) {
		if (line.length == LINE_MAX) {
			line.too_long = true;
			return;
		}
		if (!line.length)
			print_later_put(PROMPT, sizeof(PROMPT) - 1);
		line.text[line.length++] = c;
		print_later_put(&c, 1);
	}
}

void monitor_input(const char *text, size_t length)
{
	print_later_begin();
	for (size_t i = 0; i < length; i++)
		typed(text[i]);
	print_later_end();
}

bool monitor_busy(void)
{
	return active;
}

/* From sched_turn(): a vCPU is unloaded at about the depth of the stack where one is run. */
bool monitor_turn(void)
{
	if (likely(!active) || cpu_index())
		return false;
	if (print_later_room() < STEP_ROOM)
		return false;
	bool alone = runs_alone(command.verb);
	if (alone)
		vcpu_load(NULL);
	print_later_begin();
	active = steps[command.verb](&command);
	print_later_end();
	if (alone)
		vcpu_load(NULL);
	console_later_turn();
	return true;
}

bool step_help(struct monitor_command *c)
{
	const struct monitor_words *m = &monitor_words[c->at];

	print(LOG_RESULT, "  %-9s  %-14s  %s", m->name, m->usage, m->help);
	return ++c->at < MONITOR_VERBS;
}
