/* The monitor on the serial console. kernel/monitor.c; docs/monitor.md. */
#ifndef KEYHOLE_KERNEL_MONITOR_H
#define KEYHOLE_KERNEL_MONITOR_H

#include "../types.h"

/*
 * Its commands: name, who carries it out (step_...(): kernel/monitor.c says how), arguments as help
 * shows them, how many there must and may be, what it does. An argument is a number, or where usage
 * says so the word on or off, which is 1 or 0.
 */
#define MONITOR_COMMANDS(X)                                                                  \
	X(help, help, "", 0, 0, "this list")                                                 \
	X(list, list, "", 0, 0, "guests: state, vCPUs and where they are, RAM, weight, cap") \
	X(pause, request, "GUEST", 1, 1, "its vCPUs do not run")                             \
	X(resume, request, "GUEST", 1, 1, "they run again")                                  \
	X(destroy, request, "GUEST", 1, 1, "ends it")                                        \
	X(restart, request, "GUEST", 1, 1,                                                   \
	  "ends it if it lives, and makes it again (needs restart=yes)")                     \
	X(console, console, "GUEST", 1, 1, "what is typed goes to it")                       \
	X(regs, inspect, "GUEST [VCPU]", 1, 2, "registers (unless registers=off)")           \
	X(backtrace, inspect, "GUEST [VCPU]", 1, 2,                                          \
	  "return addresses by frame pointers (likewise)")                                   \
	X(p2m, p2m, "GUEST GFN", 2, 2, "what a guest-physical frame is")                     \
	X(cpus, cpus, "", 0, 0, "processors, and what runs there")                           \
	X(memory, memory, "", 0, 0, "what RAM is used for")                                  \
	X(map, map, "", 0, 0, "what is mapped on this processor; takes its time")            \
	X(audit, audit, "", 0, 0, "whether that may be, on all processors; takes its time")  \
	X(trace, trace, "[on|off]", 0, 1,                                                    \
	  "the last events of each processor; whether they are recorded")                    \
	X(exits, exits, "[GUEST]", 0, 1, "VM exits by reason, while the trace was on")

enum monitor_verb {
#define X(name, step, usage, min, max, help) MONITOR_##name,
	MONITOR_COMMANDS(X)
#undef X
	    MONITOR_VERBS
};

#define MONITOR_ARGS_MAX 2u
struct monitor_command {
	enum monitor_verb verb;
	unsigned given; /* arguments */
	uint64_t arg[MONITOR_ARGS_MAX];
	uint32_t at; /* the step's: 0 at first, then what the one before it has left */
};

struct monitor_words {
	const char *name, *usage, *help;
	unsigned min, max;
};
extern const struct monitor_words monitor_words[MONITOR_VERBS];

/*
 * A line of length characters, of any kind, as a command: NULL, or what is wrong with it. An empty
 * one is no command: "". Pure; kernel/monitor_parse.c.
 */
const char *monitor_parse(const char *line, size_t length, struct monitor_command *out) must_use;

/* All of this on the boot CPU. */
/* What was typed for it, up to the end of a line at most. */
void monitor_input(const char *text, size_t length);
/* A command is being carried out: there is no input now. */
bool monitor_busy(void);
/* One bounded step of it, on any CPU. Whether it shall go on at once. */
bool monitor_turn(void);

#endif
