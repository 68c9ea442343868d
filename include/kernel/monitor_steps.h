/* What the monitor's commands do, step by step: kernel/monitor.c says how. kernel/monitor_guests.c,
 * kernel/monitor_machine.c. */
#ifndef KEYHOLE_KERNEL_MONITOR_STEPS_H
#define KEYHOLE_KERNEL_MONITOR_STEPS_H

#include "monitor.h"

#define X(name, step, usage, min, max, help) bool step_##step(struct monitor_command *c) must_use;
MONITOR_COMMANDS(X)
#undef X

#endif
