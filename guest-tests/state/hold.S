/*
 * void state_hold(const struct held *in, struct held *out, unsigned long spins, unsigned long flags);
 *
 * Fills every general and vector register from `in`, yields, spins with all of them in place, and writes what
 * is in them then to `out`. `flags` bit 0: YMM registers instead of XMM.
 *
 * struct held: 13 general registers (RBX RCX RDX RSI RBP R8 to R15), then at offset 128
 * sixteen vectors of 32 bytes.
 */
	.text
	.globl	state_hold
state_hold:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsi, hold_out
	mov	%rdx, hold_spins
	mov	%rcx, hold_flags

	test	$1, %ecx
	jz	1f
	.irp	n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vmovdqu	128 + 32 * \n(%rdi), %ymm\n
	.endr
	jmp	2f
1:
	.irp	n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movdqu	128 + 32 * \n(%rdi), %xmm\n
	.endr
2:
	mov	0(%rdi), %rbx
	mov	8(%rdi), %rcx
	mov	16(%rdi), %rdx
	mov	24(%rdi), %rsi
	mov	32(%rdi), %rbp
	mov	40(%rdi), %r8
	mov	48(%rdi), %r9
	mov	56(%rdi), %r10
	mov	64(%rdi), %r11
	mov	72(%rdi), %r12
	mov	80(%rdi), %r13
	mov	88(%rdi), %r14
	mov	96(%rdi), %r15
	mov	$29, %eax		/* sched_op(SCHEDOP_yield) */
	xor	%edi, %edi
	vmcall
	mov	hold_spins, %rax
3:	dec	%rax
	jnz	3b

	mov	hold_out, %rdi
	mov	%rbx, 0(%rdi)
	mov	%rcx, 8(%rdi)
	mov	%rdx, 16(%rdi)
	mov	%rsi, 24(%rdi)
	mov	%rbp, 32(%rdi)
	mov	%r8, 40(%rdi)
	mov	%r9, 48(%rdi)
	mov	%r10, 56(%rdi)
	mov	%r11, 64(%rdi)
	mov	%r12, 72(%rdi)
	mov	%r13, 80(%rdi)
	mov	%r14, 88(%rdi)
	mov	%r15, 96(%rdi)
	testb	$1, hold_flags
	jz	4f
	.irp	n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vmovdqu	%ymm\n, 128 + 32 * \n(%rdi)
	.endr
	vzeroupper
	jmp	5f
4:
	.irp	n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movdqu	%xmm\n, 128 + 32 * \n(%rdi)
	.endr
5:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.bss
	.balign	8
hold_out:
	.skip	8
hold_spins:
	.skip	8
hold_flags:
	.skip	8
