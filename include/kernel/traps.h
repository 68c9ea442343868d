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

/* Faults end in a panic from here on, on the current stack: the private range with the others does
 * not exist yet. Boot CPU, once, with GS set. */
void traps_init_early(void);
/*
 * Sets up GDT, TSS and interrupt stacks of this CPU in its private range, which it runs in already.
 */
void traps_init_cpu(void);

/* Names the function that interrupt vector 32..255 calls; NULL: none. Interrupts are off in it. */
void traps_set_interrupt(unsigned vector, void (*fn)(unsigned vector));

/*
 * For a panic: exceptions from here on use the current stack. The panic itself may run on an
 * interrupt stack, and a second fault, which it survives where the exception table says so, would
 * overwrite it from the top. All other CPUs are stopped.
 */
void traps_stay_on_stack(void);

/*
 * Every vector comes here from kernel/trap_entry.S, with interrupts off. Returns from where on the
 * stack is to be cleared below the frame; 0: not at all, for an interrupt of idle, where no
 * register is a guest's.
 */
uint64_t trap_handler(struct trap_frame *frame);

#endif
