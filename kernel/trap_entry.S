/*
 * Entry points of all 256 vectors, and the interrupt descriptor tables, read-only, whose gates lead there.
 *
 * Each pushes its number and, where the processor pushes no error code, a zero; the common part stores the
 * registers as struct trap_frame and calls trap_handler(). Nothing is assumed of the interrupted code but GS,
 * which belongs to the host in all of root mode (a VM exit loads it): the fault may come in the VM-exit stub,
 * whose RSP points into a guest's registers and whose RBP is the guest's. That is why every exception has a
 * stack of its own (IST): there the processor pushes to that, whatever RSP was.
 *
 * The interrupted code may have had registers of a guest, which are then on that stack twice: here, and where
 * the handlers kept what is theirs to keep. Both are cleared before it goes on.
 *
 * Source: SDM Vol. 3, "64-Bit Mode IDT", "Interrupt Stack Table".
 */
#include "cpu_bits.h"

#define SAVED_REGISTERS 15
#define TRAP_ENTRY_SIZE 16

/* Interrupt stacks by number, as in struct tss and in a gate; 0: the current stack. */
#define IST_NMI	  1
#define IST_DF	  2
#define IST_MC	  3
#define IST_DB	  4
#define IST_OTHER 5

/* A present interrupt gate of privilege 0: type 14. */
#define GATE_INTERRUPT 0x8e00

	.text
	.balign 256 * TRAP_ENTRY_SIZE /* so that only the lowest part of their addresses differs */
	.globl trap_entries
	.type trap_entries, @function
	/* TRAP_ENTRY_SIZE bytes each. */
trap_entries:
	.set vector, 0
	.rept VECTOR_COUNT_ARCHITECTURE
	.balign TRAP_ENTRY_SIZE
	.if !((0x00227d00 >> vector) & 1) /* VECTORS_WITH_ERROR_CODE */
	pushq $0
	.endif
	pushq $vector
	jmp trap_common
	.set vector, vector + 1
	.endr
	.rept 256 - VECTOR_COUNT_ARCHITECTURE
	.balign TRAP_ENTRY_SIZE
	pushq $0
	pushq $vector
	jmp trap_common
	.set vector, vector + 1
	.endr
	.balign TRAP_ENTRY_SIZE
	.size trap_entries, . - trap_entries

	.globl trap_common
	.type trap_common, @function
trap_common:
	cld
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	/* The frame is 22 words below a stack top aligned to 16: aligned already. */
	call trap_handler
	test %rax, %rax
	jz 1f
	/* From the stack's end, which trap_handler() gives, up to here. */
	mov %rax, %rdi
	mov %rsp, %rcx
	sub %rdi, %rcx
	shr $3, %rcx
	xor %eax, %eax
	rep stosq
1:
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	.set slot, 1
	.rept SAVED_REGISTERS
	movq $0, -8 * slot(%rsp)
	.set slot, slot + 1
	.endr
	add $16, %rsp /* vector, error code */
	iretq
	.size trap_common, . - trap_common

	/* A table of so many gates. The parts of the entries' address that a gate wants are linker.ld's. */
	.macro gates count, nmi, df, mc, db, other
	.set vector, 0
	.rept \count
	.if vector == VECTOR_NMI
	.set ist, \nmi
	.elseif vector == VECTOR_DF
	.set ist, \df
	.elseif vector == VECTOR_MC
	.set ist, \mc
	.elseif vector == VECTOR_DB
	.set ist, \db
	.elseif vector < VECTOR_COUNT_ARCHITECTURE
	.set ist, \other
	.else
	.set ist, 0
	.endif
	.word trap_entries_low + TRAP_ENTRY_SIZE * vector, SELECTOR_CODE, GATE_INTERRUPT | ist
	.word trap_entries_middle
	.long trap_entries_high, 0
	.set vector, vector + 1
	.endr
	.endm

	.section .rodata
	.balign 16

	/* Every exception on a stack of its own, interrupts on the current one. */
	.globl idt, idt_end
idt:
	gates 256, IST_NMI, IST_DF, IST_MC, IST_DB, IST_OTHER
idt_end:

	/* Before there are stacks. No interrupts, as in a panic. */
	.globl idt_without_stacks, idt_without_stacks_end
idt_without_stacks:
	gates VECTOR_COUNT_ARCHITECTURE, 0, 0, 0, 0, 0
idt_without_stacks_end:

	.globl idt_of_panic, idt_of_panic_end
idt_of_panic:
	gates VECTOR_COUNT_ARCHITECTURE, IST_NMI, IST_DF, IST_MC, IST_DB, 0
idt_of_panic_end:

	.section .note.GNU-stack, "", @progbits
