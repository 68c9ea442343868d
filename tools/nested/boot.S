/*
 * Boot sector of the disk from which Bochs starts Linux (L0): reads the loader, its table and the
 * command line with one BIOS call, asks the BIOS for the memory map, and enters the loader in
 * 32-bit protected mode with flat segments. '!' on COM1 means that the disk cannot be read.
 */
#include "layout.h"

#define LOAD_SECTORS (LOADER_SECTORS + 1 + CMDLINE_SECTORS)
#define SEL_CODE     0x08
#define SEL_DATA     0x10

	.code16
	.globl	_start
_start:
	cli
	cld
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$0x7c00, %sp
	ljmp	$0, $1f			/* the BIOS may have come by 07c0:0000 */
1:	sti
	movw	$packet, %si
	movb	$0x42, %ah		/* INT 13h: extended read, DL is the boot disk */
	int	$0x13
	jc	unreadable

	movw	$E820_ADDR, %di
	xorl	%ebx, %ebx		/* where to go on, 0 at the beginning and after the last */
	xorl	%ebp, %ebp		/* entries so far */
2:	movl	$0xe820, %eax
	movl	$0x534d4150, %edx	/* "SMAP" */
	movl	$24, %ecx
	movl	$0, 20(%di)		/* a BIOS that writes 20 bytes leaves the last field */
	int	$0x15
	jc	3f
	incw	%bp
	addw	$24, %di
	testl	%ebx, %ebx
	jz	3f
	cmpw	$E820_MAX, %bp
	jb	2b
3:	movl	%ebp, E820_COUNT_ADDR

	inb	$0x92, %al		/* A20 on; bit 0 would reset */
	orb	$2, %al
	andb	$0xfe, %al
	outb	%al, $0x92
	cli
	lgdt	gdt_pointer
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmp	$SEL_CODE, $protected

unreadable:
	movw	$0x3f8, %dx
	movb	$'!', %al
	outb	%al, %dx
	cli
4:	hlt
	jmp	4b

	.code32
protected:
	movw	$SEL_DATA, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	%ax, %fs
	movw	%ax, %gs
	movl	$0x7c00, %esp
	movl	$LOADER_ADDR, %eax
	jmp	*%eax

	.balign	4
packet:	.byte	16, 0
	.word	LOAD_SECTORS
	.word	0, LOADER_ADDR >> 4	/* offset, segment */
	.quad	1			/* first sector */

	.balign	8
gdt:	.quad	0
	.quad	0x00cf9b000000ffff	/* flat code */
	.quad	0x00cf93000000ffff	/* flat data */
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

	.org	446			/* one active partition, so that any BIOS accepts the disk */
	.byte	0x80, 0, 2, 0, 0x83, 0, 2, 0
	.long	1, 0x1000
	.org	510
	.word	0xaa55
