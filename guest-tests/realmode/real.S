/*
 * From 64-bit mode to real mode and back. The code runs from a copy at REAL_BASE, below 1 MiB; addresses
 * in it are computed for there.
 */
#include "real.h"
#include "segments.h"

#define AT(label) (label - real_start + REAL_BASE)

	.text
	.globl	real_start, real_end
	.code64
real_start:			/* called; struct real_results is at REAL_RESULTS */
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, AT(saved_rsp)
	sidt	AT(saved_idt)
	ljmp	*AT(to_32)

	.code32
down_32:			/* compatibility mode: leave long mode */
	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %ss
	mov	%cr0, %eax
	mov	%eax, AT(saved_cr0)
	and	$0x7fffffff, %eax
	mov	%eax, %cr0
	mov	$0xc0000080, %ecx
	rdmsr
	and	$~0x100, %eax
	wrmsr
	mov	$SEL_DATA16, %eax	/* real mode keeps the limits: 64K, as a BIOS has them */
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%eax, %ss
	ljmp	$SEL_CODE16, $AT(down_16)

	.code16
down_16:
	mov	%cr0, %eax
	and	$~1, %eax
	mov	%eax, %cr0
	ljmp	$0, $AT(real)
real:
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$REAL_STACK, %sp
	lidtl	AT(real_idt)

	/* Segments: 0x2000:0x0010 and 0x1fff:0x0020 are the same byte. */
	mov	$0x2000, %ax
	mov	%ax, %ds
	mov	$0x1fff, %ax
	mov	%ax, %es
	movl	$REAL_PATTERN, 0x10
	mov	%es:0x20, %eax
	xor	%cx, %cx
	mov	%cx, %ds
	mov	%eax, REAL_RESULTS + RESULT_SEGMENTS

	/* A string copied between segments. */
	mov	$0x2000, %ax
	mov	%ax, %ds
	mov	$0x3000, %ax
	mov	%ax, %es
	mov	$0x10, %si
	mov	$0x40, %di
	mov	$4, %cx
	cld
	rep movsb
	mov	%es:0x40, %eax
	mov	%cx, %ds		/* 0 */
	mov	%eax, REAL_RESULTS + RESULT_STRING

	/* An exit that the hypervisor answers: its signature. */
	mov	$0x40000000, %eax
	xor	%ecx, %ecx
	cpuid
	mov	%ebx, REAL_RESULTS + RESULT_CPUID

	/* Ports. */
	mov	$0x1234, %dx
	in	%dx, %al
	mov	%al, REAL_RESULTS + RESULT_IN
	in	%dx, %ax
	mov	%ax, REAL_RESULTS + RESULT_IN + 2
	mov	$0x80, %dx
	out	%al, %dx

	/* A software interrupt through the table at address 0, and an exception. */
	movw	$AT(handler), 4 * 0x60
	movw	$0, 4 * 0x60 + 2
	movw	$AT(undefined), 4 * 6
	movw	$0, 4 * 6 + 2
	xor	%ebp, %ebp
	int	$0x60
	ud2
	mov	%ebp, REAL_RESULTS + RESULT_INTERRUPTS

	/* A hypercall from here, with the registers of a 32-bit caller: SCHEDOP_yield. */
	mov	$29, %eax
	xor	%ebx, %ebx
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%edi, %edi
	vmcall
	mov	%eax, REAL_RESULTS + RESULT_HYPERCALL

	mov	%cr0, %eax
	mov	%eax, REAL_RESULTS + RESULT_CR0
	or	$1, %eax
	mov	%eax, %cr0
	ljmpl	$SEL_CODE32, $AT(up_32)

handler:
	add	$0x100, %bp
	iret
undefined:
	inc	%bp
	push	%bp
	mov	%sp, %bp
	addw	$2, 2(%bp)		/* behind the UD2 */
	pop	%bp
	iret

	.code32
up_32:
	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x100, %eax
	wrmsr
	mov	AT(saved_cr0), %eax
	mov	%eax, %cr0
	ljmp	$SEL_CODE64, $AT(up_64)

	.code64
up_64:
	lidt	AT(saved_idt)
	mov	AT(saved_rsp), %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.balign	8
saved_rsp:
	.quad	0
saved_cr0:
	.long	0
to_32:	.long	AT(down_32)
	.word	SEL_CODE32
saved_idt:
	.skip	10
real_idt:
	.word	0x3ff
	.long	0
real_end:
