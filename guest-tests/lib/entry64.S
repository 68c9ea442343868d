/*
 * Entry of a 64-bit guest, and its exception stubs.
 *
 * PVH starts a guest in 32-bit protected mode without paging, with EBX = the start info's address. From
 * there: tables that map the first 4 GiB one to one by 2 MiB pages, long mode, a stack, main().
 */
#include "public/elfnote.h"
#include "segments.h"

	.section .note.Xen, "a", @note
	.balign 4
	.long	4, 8, XEN_ELFNOTE_PHYS32_ENTRY	/* bytes of name, bytes of value, type */
	.asciz	"Xen"
	.quad	guest_entry

	.text
	.code32
	.globl	guest_entry
guest_entry:
	cld
	mov	%ebx, start_info_address
	mov	$stack_top, %esp
	lgdt	gdt_pointer

	/* 2048 entries in four consecutive page directories: address | large, writable, present. */
	mov	$page_directories, %edi
	xor	%ecx, %ecx
1:	mov	%ecx, %eax
	shl	$21, %eax
	or	$0x83, %eax
	mov	%eax, (%edi, %ecx, 8)
	inc	%ecx
	cmp	$2048, %ecx
	jne	1b
	movl	$page_directories + 0x0003, page_directory_pointers
	movl	$page_directories + 0x1003, page_directory_pointers + 8
	movl	$page_directories + 0x2003, page_directory_pointers + 16
	movl	$page_directories + 0x3003, page_directory_pointers + 24
	movl	$page_directory_pointers + 3, page_table_root

	mov	$0x620, %eax		/* CR4: PAE, OSFXSR, OSXMMEXCPT */
	mov	%eax, %cr4
	mov	$page_table_root, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	/* EFER: LME, NXE */
	rdmsr
	or	$0x900, %eax
	wrmsr
	mov	$0x80010033, %eax	/* CR0: PG, WP, NE, ET, MP, PE */
	mov	%eax, %cr0
	ljmp	$SEL_CODE64, $1f

	.code64
1:	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$stack_top, %esp
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
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %rdi
	cld
	and	$-16, %rsp
	call	trap_handle	/* never returns */
	ud2

/* int trap_save(struct trap_context *): like setjmp(). */
	.globl	trap_save
trap_save:
	pop	%rdx
	mov	%rsp, 0(%rdi)
	mov	%rdx, 8(%rdi)
	mov	%rbx, 16(%rdi)
	mov	%rbp, 24(%rdi)
	mov	%r12, 32(%rdi)
	mov	%r13, 40(%rdi)
	mov	%r14, 48(%rdi)
	mov	%r15, 56(%rdi)
	pushf
	pop	64(%rdi)
	xor	%eax, %eax
	jmp	*%rdx

/* void trap_resume(struct trap_context *): makes trap_save() return once more, with 1. */
	.globl	trap_resume
trap_resume:
	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	0(%rdi), %rsp
	mov	16(%rdi), %rbx
	mov	24(%rdi), %rbp
	mov	32(%rdi), %r12
	mov	40(%rdi), %r13
	mov	48(%rdi), %r14
	mov	56(%rdi), %r15
	push	64(%rdi)
	popf
	mov	$1, %eax
	jmp	*8(%rdi)

/* void user_enter(ip, sp): goes on at CPL 3; only an exception comes back. */
	.globl	user_enter
user_enter:
	push	$SEL_USER_DATA
	push	%rsi
	push	$2
	push	$SEL_USER_CODE64
	push	%rdi
	iretq

	.data
	.balign	8
	.globl	gdt
gdt:	.quad	0
	.quad	0x00cf9b000000ffff	/* SEL_CODE32 */
	.quad	0x00cf93000000ffff	/* SEL_DATA */
	.quad	0x00af9b000000ffff	/* SEL_CODE64 */
	.quad	0x00cffb000000ffff	/* SEL_USER_CODE32 */
	.quad	0x00cff3000000ffff	/* SEL_USER_DATA */
	.quad	0x00affb000000ffff	/* SEL_USER_CODE64 */
	.quad	0x00009b000000ffff	/* SEL_CODE16 */
	.quad	0x000093000000ffff	/* SEL_DATA16 */
	.quad	0, 0			/* SEL_TSS: filled by trap_init() */
	.globl	gdt_pointer
gdt_pointer:
	.word	. - gdt - 1
	.quad	gdt

	.bss
	.balign	4096
	.globl	page_table_root
page_table_root:
	.skip	4096
page_directory_pointers:
	.skip	4096
page_directories:
	.skip	4 * 4096
	.skip	32768
	.globl	stack_top
stack_top:
