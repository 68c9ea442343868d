/* The console: serial ports and the text screen. kernel/print.c. Messages go through print.h. */
#ifndef KEYHOLE_KERNEL_CONSOLE_H
#define KEYHOLE_KERNEL_CONSOLE_H

#include "types.h"

struct cmdline_options;

/* Bits of cmdline_options.console. */
#define CONSOLE_COM1 0x1u
#define CONSOLE_COM2 0x2u
#define CONSOLE_VGA  0x4u

/* COM1 alone, at the default level: needs no memory management, only this_cpu(). */
void print_init_early(void);
/* The consoles and the level that the command line asks for; the screen waits for the next. */
void print_init(const struct cmdline_options *options);
/* Consoles whose registers are mapped: needs vmap. */
void print_init_devices(void);

/*
 * Text that is not ours (guests' output), to the serial ports only; \n becomes \r\n. Between begin
 * and end nobody else prints, and a line of one writer never goes on behind another's.
 */
bool console_text_begin(uint32_t writer);
void console_text(const char *text, size_t length);
void console_text_end(uint32_t writer, bool line_open);
/* Waits until everything has left the machine; bounded. */
void console_drain(void);
/* The rest of this run prints without the lock: a panic on this CPU, with the others stopped. */
void console_break_lock(void);

#endif
