/*
 * The multiboot header, and the entry in front of the library's: no PVH note (link.ld leaves it out).
 */
#include "public/multiboot.h"

#define FLAGS (MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY)

	.section .multiboot, "a"
	.balign	MULTIBOOT_HEADER_ALIGN
	.long	MULTIBOOT_HEADER_MAGIC, FLAGS, -(MULTIBOOT_HEADER_MAGIC + FLAGS)

	.text
	.globl	multiboot_entry
multiboot_entry:
	mov	%eax, entry_eax
	mov	%cs, entry_cs
	mov	%ds, entry_ds
	mov	%esp, entry_esp
	sgdt	entry_gdt
	push	%cs			/* a stack */
	push	$1f
	lret				/* CS and DS, from the table */
1:	mov	%ds, %eax
	mov	%eax, %ds
	mov	%cr0, %eax
	mov	%eax, entry_cr0
	jmp	guest_entry

	.data
	.globl	entry_esp, entry_gdt, entry_eax, entry_cr0, entry_cs, entry_ds
entry_esp:
	.long	0
entry_gdt:
	.word	0
	.long	0
entry_eax:
	.long	0
entry_cr0:
	.long	0
entry_cs:
	.long	0
entry_ds:
	.long	0
