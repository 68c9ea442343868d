/*
 * Entry points of all 256 vectors.
 *
 * Each pushes its number and, where the processor pushes no error code, a zero; the common part stores the
 * registers as struct trap_frame and calls trap_handler(). Nothing is assumed of the interrupted code but GS,
 * which belongs to the host in all of root mode (a VM exit loads it): the fault may come in the VM-exit stub,
 * whose RSP points into a guest's registers and whose RBP is the guest's. That is why every exception has a
 * stack of its own (IST): there the processor pushes to that, whatever RSP was.
 *
 * The interrupted code may have had registers of a guest, which are then on that stack twice: here, and where
 * the handlers kept what is theirs to keep. Both are cleared before it goes on.
 */
#define SAVED_REGISTERS 15

#include "cpu_bits.h"

	.text
	.balign 16
	.globl trap_entries
	.type trap_entries, @function
	/* TRAP_ENTRY_SIZE bytes each (kernel/traps.c). */
trap_entries:
	.set vector, 0
	.rept VECTOR_COUNT_ARCHITECTURE
	.balign 16
	.if !((0x00227d00 >> vector) & 1) /* VECTORS_WITH_ERROR_CODE */
	pushq $0
	.endif
	pushq $vector
	jmp trap_common
	.set vector, vector + 1
	.endr
	.rept 256 - VECTOR_COUNT_ARCHITECTURE
	.balign 16
	pushq $0
	pushq $vector
	jmp trap_common
	.set vector, vector + 1
	.endr
	.balign 16
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
	.section .note.GNU-stack, "", @progbits
