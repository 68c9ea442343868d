/* The console: serial ports and the text screen. kernel/print.c. Messages go through print.h. */
#ifndef KEYHOLE_KERNEL_CONSOLE_H
#define KEYHOLE_KERNEL_CONSOLE_H

#include "types.h"

struct cmdline_options;

/* With colour=on, each line of a guest begins with its colour and ends with this. */
#define CONSOLE_RESET "\x1b[0m"
/* Ends the first part of a guest's line that another's cuts in two. */
#define CONSOLE_CUT "\\"
/* What the end of a line takes of the port's FIFO, at most. */
#define CONSOLE_LINE_END (sizeof(CONSOLE_RESET "\r\n") - 1)

/* Bits of cmdline_options.console; of a serial port, that of its number (enum uart). */
#define CONSOLE_COM1 0x1u
#define CONSOLE_COM2 0x2u
#define CONSOLE_VGA  0x4u

/* COM1 alone, at the default level: needs no memory management, only this_cpu(). */
void print_init_early(void);
/* The consoles and the level that the command line asks for; the screen waits for the next. A port
 * that is asked for and absent is named where it can be read. */
void print_init(const struct cmdline_options *options);
/* Consoles whose registers are mapped: adds the screen, if it is asked for and there is one. Needs
 * vmap. What was printed before is not repeated. */
void print_init_devices(void);

/*
 * Text that is not ours (guests' output), to the serial ports only, in pieces that go out without
 * waiting. Between begin and end nobody else prints, and a line of one writer never goes on behind
 * another's.
 */
#define CONSOLE_PIECE_MAX 64u
struct console_piece {
	bool open;     /* the writer's own line is still open: no prefix is due */
	unsigned room; /* characters that may still be added */
	unsigned length;
	char text[CONSOLE_PIECE_MAX];
};
bool console_piece_begin(uint32_t writer, struct console_piece *p) must_use;
static inline void console_piece_put(struct console_piece *p, const char *text, unsigned length)
{
	__builtin_memcpy(p->text + p->length, text, length);
	p->length += length;
	p->room -= length;
}
/* The end of a line: needs room for CONSOLE_LINE_END. */
void console_piece_end_line(struct console_piece *p);
void console_piece_end(uint32_t writer, struct console_piece *p, bool line_open);
/* Waits until everything has left the machine; bounded. */
void console_drain(void);
/* The rest of this run prints without the lock: a panic on this CPU, with the others stopped. */
void console_break_lock(void);

#endif
