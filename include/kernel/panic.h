/* The end after an error of the hypervisor's own; panic() is in print.h. kernel/panic.c. */
#ifndef KEYHOLE_KERNEL_PANIC_H
#define KEYHOLE_KERNEL_PANIC_H

#include "types.h"

struct trap_frame;

/* panic() for an exception: with its registers and a backtrace from where it happened. */
noreturn_fn void panic_at(const struct trap_frame *frame, const char *fmt, ...) printf_like(2, 3);

/* Whether another CPU panics: then this one stops at the next NMI. */
bool panic_elsewhere(void);

#endif
