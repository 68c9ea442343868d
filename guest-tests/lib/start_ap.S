/*
 * A further processor, from a start-up IPI to 64-bit mode with the tables of the first. The code runs from a
 * copy at AP_PAGE, CS base there.
 */
#include "segments.h"

#define AP_PAGE 0x8000
#define AT(label) (label - ap_start + AP_PAGE)

	.text
	.globl	ap_start, ap_end
	.code16
ap_start:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	pointer - ap_start
	mov	%cr0, %eax
	and	$~0x60000000, %eax	/* caches on */
	or	$1, %eax
	mov	%eax, %cr0
	ljmpl	$SEL_CODE32, $AT(down)

	.code32
down:	mov	$SEL_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
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
	ljmp	$SEL_CODE64, $ap_64

pointer:
	.word	SEL_TSS + 15
	.long	gdt
ap_end:

	.code64
ap_64:	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	ap_stack, %rsp
	xor	%ebp, %ebp
	call	ap_main
	ud2
	.section .note.GNU-stack, "", @progbits
