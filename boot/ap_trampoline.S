/*
 * The start page of the other processors.
 *
 * kernel/smp.c copies what lies between ap_trampoline and ap_trampoline_end to a page below 1 MiB, fills in the
 * two far pointers and the base of the descriptor table for that page, and maps it one to one, readable and
 * executable, in the boot tables for as long as processors are being started. A processor arrives by start-up IPI in
 * real mode with CS = page / 16, IP = 0, goes through protected mode to 64-bit mode on the boot tables, and from there
 * to its own tables and stack, which the mailbox names.
 *
 * Source: SDM Vol. 3, "Multiple-Processor (MP) Initialization", "Switching to Protected Mode", "Initializing IA-32e
 * Mode".
 */
#include "cpu_bits.h"
#include "kernel/ap_mailbox.h"

#define PHYS(symbol) ((symbol) - 0xffffffff80000000)
#define AT(label)    ((label) - ap_trampoline)

	.section .rodata
	.balign 16
	.globl ap_trampoline, ap_trampoline_end
	.globl ap_gdt_base, ap_far32, ap_far64, ap_gdt, ap_start32, ap_start64
ap_trampoline:
	.code16
	cli
	cld
	mov %cs, %ax
	mov %ax, %ds
	movzwl %ax, %ebx
	shll $4, %ebx /* the page's address */
	lgdtl AT(ap_gdt_pointer)
	movl $CR0_PE, %eax
	movl %eax, %cr0
	ljmpl *AT(ap_far32)

	.code32
ap_start32:
	movw $0x10, %ax
	movw %ax, %ds
	movl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $PHYS(boot_root), %eax
	movl %eax, %cr3
	movl $MSR_IA32_EFER, %ecx
	xorl %edx, %edx
	movl $(EFER_LME | EFER_NXE), %eax
	wrmsr
	movl $(CR0_PE | CR0_ET | CR0_WP | CR0_PG), %eax
	movl %eax, %cr0
	ljmpl *AT(ap_far64)(%ebx)

	.code64
ap_start64:
	movabs $ap_entry_high, %rax
	jmp *%rax

	.balign 8
ap_gdt:
	.quad 0
	.quad 0x00cf9b000000ffff /* 32-bit code, accessed already: the page is mapped read-only */
	.quad 0x00cf93000000ffff /* data */
	.quad 0x00af9b000000ffff /* 64-bit code */
ap_gdt_pointer:
	.short ap_gdt_pointer - ap_gdt - 1
ap_gdt_base:
	.long 0
ap_far32:
	.long 0
	.short 0x08
ap_far64:
	.long 0
	.short 0x18
ap_trampoline_end:

	.text
	.code64
	/* In the image, on the boot tables, without a stack. Interrupts are off. */
ap_entry_high:
	movq ap_mailbox + AP_MAILBOX_ROOT(%rip), %rax
	movq %rax, %cr3
	movq ap_mailbox + AP_MAILBOX_STACK(%rip), %rsp
	movl $MSR_IA32_GS_BASE, %ecx
	movl ap_mailbox + AP_MAILBOX_CPU(%rip), %eax
	movl ap_mailbox + AP_MAILBOX_CPU + 4(%rip), %edx
	wrmsr
	xorl %eax, %eax
	movl %eax, %ss
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs
	xorl %ebp, %ebp
	call smp_ap_main
	ud2
	.section .note.GNU-stack, "", @progbits
