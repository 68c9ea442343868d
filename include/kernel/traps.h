/* Exceptions, NMIs and interrupts of the hypervisor itself. kernel/traps.c, kernel/trap_entry.S. */
#ifndef KEYHOLE_KERNEL_TRAPS_H
#define KEYHOLE_KERNEL_TRAPS_H

#include "types.h"

/* What kernel/trap_entry.S leaves on the stack, and IRETQ takes from it. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error_code; /* 0 where the processor pushes none */
	uint64_t rip, cs, rflags, rsp, ss;
};
static_assert_size(struct trap_frame, 22 * 8);

/* Faults end in a panic from here on; no stacks of their own yet. Boot CPU, once. */
void traps_init_early(void);
/* GDT, TSS and interrupt stacks of this CPU, in its private range. */
void traps_init_cpu(void);

/* Names the function that interrupt vector 32..255 calls; NULL: none. Interrupts are off in it. */
void traps_set_interrupt(unsigned vector, void (*fn)(unsigned vector));

/* For kernel/panic.c: a fault within the panic keeps to the stack it happens on. */
void traps_stay_on_stack(void);

/* Called from kernel/trap_entry.S. */
uint64_t trap_handler(struct trap_frame *frame);

#endif
