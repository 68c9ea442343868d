/* Messages of the hypervisor itself (kernel/print.c). Never pass what a guest's memory held, and
 * what its registers held to print_guest_state() only. */
#ifndef KEYHOLE_PRINT_H
#define KEYHOLE_PRINT_H

#include "types.h"

/* LOG_RESULT: how guests and the run ended; shown at every level. */
enum log_level { LOG_RESULT, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/*
 * Prints one whole line: "keyhole: ", the text, a line end. Lines above the level of the command
 * line's loglvl= are dropped. Formats: %d %u %x %X (with l, ll, z, width, 0, -), %s %.*s %c %p %%.
 */
void print(enum log_level level, const char *fmt, ...) printf_like(2, 3);
/* The same for what comes from a guest's registers: on the serial ports only, since the screen's
 * memory is mapped on every CPU. */
void print_guest_state(enum log_level level, const char *fmt, ...) printf_like(2, 3);

/* Ends everything after an error of the hypervisor's own: message, registers, backtrace, power off.
 */
noreturn_fn void panic(const char *fmt, ...) printf_like(1, 2);

/* Formats into a buffer of size bytes (always terminated); returns the length without the end. */
size_t format_string(char *buf, size_t size, const char *fmt, ...) printf_like(3, 4);

/* An invariant of ours, in every build. Never for what a guest can choose. */
#define assert_always(cond)                                                               \
	do {                                                                              \
		if (unlikely(!(cond)))                                                    \
			panic("assertion failed: %s (%s:%d)", #cond, __FILE__, __LINE__); \
	} while (0)

#endif
