/*
 * VM entry and exit.
 *
 * HOST_RSP points just behind struct vcpu_regs in the current vCPU's secret half, at the same private address
 * for every vCPU of this CPU, so that the pushes below store the guest's registers where they belong and none
 * of them touches a stack. The C code runs on the CPU's own stack, whose depth at entry is kept in
 * cpu_private.run_stack. Exceptions and NMIs have stacks of their own (IST), so one may come between any two
 * instructions here. Interrupts are off throughout (root mode).
 */
#include "cpu_bits.h"
#include "vmx/entry_offsets.h"

/* All that the processor may have got from C, in the order of struct vcpu_regs. RBP is 0 in C, and
 * RBX and R12 to R15 are preserved. */
	.macro POP_REST
	pop %rbp
	pop %r11
	pop %rcx
	pop %rdi
	pop %rsi
	pop %rdx
	pop %r10
	pop %r8
	pop %r9
	pop %rax
	.endm

/* After an exit: the same, to struct vcpu_regs. */
	.macro PUSH_REST
	push %rax
	push %r9
	push %r8
	push %r10
	push %rdx
	push %rsi
	push %rdi
	push %rcx
	push %r11
	push %rbp
	.endm

	.text
	.globl vmx_guest_loop, vmx_exit_stub, vmx_exit_stub_traced, vmx_exit_stub_verw, vmx_exit_stub_verw_traced
	.type vmx_guest_loop, @function
	/* unsigned vmx_guest_loop(struct vcpu_regs *regs): RDI */
vmx_guest_loop:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	/* private_clear_stack(), called from where this was called, clears all that lies below. */
	sub $(RUN_STACK_ROOM + 8), %rsp /* with what follows, aligned to 16 for the calls below */
	lea REGS_RBP(%rdi), %rax
	push %rax
	push %rdi
	mov %rsp, %gs:CPU_RUN_STACK

	/* RDI = struct vcpu_regs */
enter:
	mov %rdi, %rsp
	cmpb $0, %gs:CPU_VMCS_LAUNCHED
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	POP_REST
	je launch
	verw verw_operand(%rip) /* wanted or not: here it costs little */
	vmresume
	jmp failed
launch:
	movb $1, %gs:CPU_VMCS_LAUNCHED
	verw verw_operand(%rip)
	vmlaunch

	/* The entry did not happen; the guest's registers are still in place, and go back. */
failed:
	push %rax
	/* 1 = VMfailValid (ZF), 2 = VMfailInvalid (CF) */
	mov $1, %eax
	jz 1f
	mov $2, %eax
1:
	mov %gs:CPU_RUN_STACK, %rsp
	jmp leave

/*
 * An exit: quick and rest are vmx_exit_quick() and vmx_exit(), or the same with the trace on. verw: the
 * processor's buffers are overwritten before the entry, with nothing but guest registers read after that.
 */
	.macro EXIT_STUB name, quick, rest, traced, verw
\name:
	PUSH_REST
	.if \traced
	rdtsc
	mov %eax, %gs:CPU_TRACE_BEGIN
	.endif
	lea -REGS_RBP(%rsp), %rdi
	mov %gs:CPU_RUN_STACK, %rsp
	xor %ebp, %ebp /* backtraces end here */
	call \quick
	cmp $EXIT_ENTER, %rax
	jne 2f
1:
	mov 8(%rsp), %rsp
	POP_REST
	.if \verw
	verw verw_operand(%rip)
	.endif
	vmresume /* the VMCS has been launched */
	jmp failed
2:
	cmp $EXIT_ENTER_RBX, %rax
	jne 3f
	mov (%rsp), %rbx
	mov REGS_RBX(%rbx), %rbx
	jmp 1b
3:
	cmp $EXIT_WORK_RBX, %rax
	jne 4f
	mov (%rsp), %rbx
	mov REGS_RBX(%rbx), %rbx
	mov $EXIT_WORK, %rax
4:
	/* C has preserved the other registers; now they are stored too. */
	mov 8(%rsp), %rsp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	mov %rax, %rsi
	mov %gs:CPU_RUN_STACK, %rsp
	call \rest
	mov (%rsp), %rdi
	test %al, %al
	jne enter
	jmp leave
	.endm

	EXIT_STUB vmx_exit_stub, vmx_exit_quick, vmx_exit, 0, 0
	EXIT_STUB vmx_exit_stub_traced, vmx_exit_quick_traced, vmx_exit_traced, 1, 0
	EXIT_STUB vmx_exit_stub_verw, vmx_exit_quick, vmx_exit, 0, 1
	EXIT_STUB vmx_exit_stub_verw_traced, vmx_exit_quick_traced, vmx_exit_traced, 1, 1

leave:
	add $(RUN_STACK_ROOM + 24), %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size vmx_guest_loop, . - vmx_guest_loop

	/* VERW with a register does not overwrite anything: its operand has to be in memory, and to be good. */
	.section .rodata
verw_operand:
	.word SELECTOR_DATA
	.section .note.GNU-stack, "", @progbits
