/* Printing without waiting for the line: the boot CPU's. kernel/print_later.c. */
#ifndef KEYHOLE_KERNEL_PRINT_LATER_H
#define KEYHOLE_KERNEL_PRINT_LATER_H

#include "../types.h"

/* From begin to end what this CPU prints, of any level, waits for its turn. What has no room is
 * lost. */
void print_later_begin(void);
void print_later_end(void);
void print_later_put(const char *text, size_t length);
/* Characters that there is room for. */
unsigned print_later_room(void);
/* Prints a piece, if the line has room. Whether more waits. Does nothing on other CPUs. */
bool print_later_drain(void);

#endif
