/*
 * void victim_hold(lo, hi, spins, yield_first): all general and vector registers hold halves of the canary
 * while the guest yields, or spins until it is interrupted.
 */
	.text
	.globl	victim_hold
victim_hold:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rdx, hold_spins
	movq	%rdi, %xmm0
	movq	%rsi, %xmm1
	punpcklqdq %xmm1, %xmm0
	.irp	n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movdqa	%xmm0, %xmm\n
	.endr
	mov	%rdi, %rbx
	mov	%rdi, %rbp
	mov	%rdi, %r8
	mov	%rdi, %r10
	mov	%rdi, %r12
	mov	%rdi, %r14
	mov	%rsi, %rdx
	mov	%rsi, %r9
	mov	%rsi, %r11
	mov	%rsi, %r13
	mov	%rsi, %r15
	test	%cl, %cl
	mov	%rsi, %rcx
	jz	1f
	mov	$29, %eax		/* sched_op(SCHEDOP_yield) */
	xor	%edi, %edi
	vmcall
	mov	%rbx, %rdi
1:	mov	hold_spins, %rax
2:	dec	%rax
	jnz	2b
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.bss
	.balign	8
hold_spins:
	.skip	8
