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
	mov	%cr0, %eax
	mov	%eax, entry_cr0
	jmp	guest_entry

	.data
	.globl	entry_eax, entry_cr0, entry_cs, entry_ds
entry_eax:
	.long	0
entry_cr0:
	.long	0
entry_cs:
	.long	0
entry_ds:
	.long	0
