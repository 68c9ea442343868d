/*
 * Entry of a 32-bit guest, and its exception stubs. PVH starts it as it stays: protected mode, no paging.
 */
#include "public/elfnote.h"
#include "segments.h"

	.section .note.Xen, "a", @note
	.balign 4
	.long	4, 4, XEN_ELFNOTE_PHYS32_ENTRY	/* bytes of name, bytes of value, type */
	.asciz	"Xen"
	.long	guest_entry

	.text
	.globl	guest_entry
guest_entry:
	cld
	mov	%ebx, start_info_address
	mov	$stack_top, %esp
	lgdt	gdt_pointer
	ljmp	$SEL_CODE32, $1f
1:	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%cr4, %eax
	or	$0x600, %eax		/* OSFXSR, OSXMMEXCPT */
	mov	%eax, %cr4
	xor	%ebp, %ebp
	call	guest_start
	ud2

/* --- exceptions --------------------------------------------------------------------------------- */

	/* Each stub pushes a zero where the CPU pushes no error code, then the vector. */
	.balign	16
	.globl	trap_stubs
trap_stubs:
	.set	vector, 0
	.rept	32
	.balign	16
	.if	!((vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21))
	push	$0
	.endif
	push	$vector
	jmp	trap_common
	.set	vector, vector + 1
	.endr

trap_common:			/* builds struct trap_frame */
	push	%eax
	push	%ecx
	push	%edx
	push	%ebx
	push	%ebp
	push	%esi
	push	%edi
	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%esp, %eax
	cld
	and	$-16, %esp
	sub	$12, %esp
	push	%eax
	call	trap_handle	/* never returns */
	ud2

/* int trap_save(struct trap_context *): like setjmp(). */
	.globl	trap_save
trap_save:
	pop	%edx
	mov	(%esp), %ecx
	mov	%esp, 0(%ecx)
	mov	%edx, 4(%ecx)
	mov	%ebx, 8(%ecx)
	mov	%ebp, 12(%ecx)
	mov	%esi, 16(%ecx)
	mov	%edi, 20(%ecx)
	pushf
	pop	24(%ecx)
	xor	%eax, %eax
	jmp	*%edx

/* void trap_resume(struct trap_context *): makes trap_save() return once more, with 1. */
	.globl	trap_resume
trap_resume:
	mov	4(%esp), %ecx
	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	0(%ecx), %esp
	mov	8(%ecx), %ebx
	mov	12(%ecx), %ebp
	mov	16(%ecx), %esi
	mov	20(%ecx), %edi
	push	24(%ecx)
	popf
	mov	$1, %eax
	jmp	*4(%ecx)

/* void user_enter(ip, sp): goes on at CPL 3; only an exception comes back. */
	.globl	user_enter
user_enter:
	mov	4(%esp), %ecx
	mov	8(%esp), %edx
	mov	$SEL_USER_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	push	$SEL_USER_DATA
	push	%edx
	push	$2
	push	$SEL_USER_CODE32
	push	%ecx
	iret

	.data
	.balign	8
	.globl	gdt
gdt:	.quad	0
	.quad	0x00cf9b000000ffff	/* SEL_CODE32 */
	.quad	0x00cf93000000ffff	/* SEL_DATA */
	.quad	0			/* SEL_CODE64: not here */
	.quad	0x00cffb000000ffff	/* SEL_USER_CODE32 */
	.quad	0x00cff3000000ffff	/* SEL_USER_DATA */
	.quad	0			/* SEL_USER_CODE64: not here */
	.quad	0x00009b000000ffff	/* SEL_CODE16 */
	.quad	0x000093000000ffff	/* SEL_DATA16 */
	.quad	0, 0			/* SEL_TSS: filled by trap_init() */
	.globl	gdt_pointer
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

	.bss
	.balign	16
	.skip	32768
	.globl	stack_top
stack_top:
