/* What the files of this guest share. */
#ifndef MMIO_H
#define MMIO_H

#include "guest.h"

/* The order is that of run.S. */
struct registers {
	unsigned long a, c, d, b, flags, di, si;
};
void run_code(const void *code, struct registers *r);

/* special.c: `nothing` is an address with at least 16 pages of nothing. */
void strings(unsigned long nothing, uint8_t *ram);
void borders(unsigned long nothing);
void faults(unsigned long nothing);
_Noreturn void end_of_guest(const char *how, unsigned long nothing);

#endif
