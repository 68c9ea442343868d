/*
 * void run_code(const void *code, struct registers *r): calls code with the registers in *r, and
 * stores there what they are when it returns. struct registers: A, C, D, B, flags, DI, SI.
 */
	.text
	.globl run_code
run_code:
#ifdef __x86_64__
	push	%rbp
	push	%rbx
	push	%rsi
	mov	%rdi, %rbp
	mov	%rsi, %rbx
	mov	40(%rbx), %rdi
	mov	48(%rbx), %rsi
	mov	(%rbx), %rax
	mov	8(%rbx), %rcx
	mov	16(%rbx), %rdx
	push	32(%rbx)
	mov	24(%rbx), %rbx
	popf
	call	*%rbp
	pushf
	cld
	xchg	%rbx, 8(%rsp)
	mov	%rax, (%rbx)
	mov	%rcx, 8(%rbx)
	mov	%rdx, 16(%rbx)
	mov	%rdi, 40(%rbx)
	mov	%rsi, 48(%rbx)
	pop	32(%rbx)
	pop	24(%rbx)
	pop	%rbx
	pop	%rbp
	ret
#else
	push	%ebp
	push	%ebx
	push	%esi
	push	%edi
	mov	20(%esp), %ebp
	mov	24(%esp), %ebx
	push	%ebx
	mov	20(%ebx), %edi
	mov	24(%ebx), %esi
	mov	(%ebx), %eax
	mov	4(%ebx), %ecx
	mov	8(%ebx), %edx
	push	16(%ebx)
	mov	12(%ebx), %ebx
	popf
	call	*%ebp
	pushf
	cld
	xchg	%ebx, 4(%esp)
	mov	%eax, (%ebx)
	mov	%ecx, 4(%ebx)
	mov	%edx, 8(%ebx)
	mov	%edi, 20(%ebx)
	mov	%esi, 24(%ebx)
	pop	16(%ebx)
	pop	12(%ebx)
	pop	%edi
	pop	%esi
	pop	%ebx
	pop	%ebp
	ret
#endif
	.section .note.GNU-stack, "", @progbits
