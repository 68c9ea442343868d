/*
 * From GRUB's 32-bit hand-off to C in the higher half.
 *
 * Enters in protected mode without paging, EAX = multiboot2 magic, EBX = physical address of the loader's
 * information (multiboot2 specification, "I386 machine state"). Builds the boot page tables in the image's
 * bss: the image with the rights of its sections, this CPU's private range with the map window, and, for
 * the few instructions around the mode switch, this section itself, read-only. That last mapping is gone
 * before C runs. On a failure it prints the reason on COM1 and on the text screen, and halts.
 */
#define MULTIBOOT2_HEADER_MAGIC 0xe85250d6
#define MULTIBOOT2_LOADED_MAGIC 0x36d76289

#define PHYS(symbol) ((symbol) - 0xffffffff80000000)

#define PTE_P	   0x001
#define PTE_RW	   0x002
#define PTE_A	   0x020
#define PTE_D	   0x040
#define PTE_G	   0x100
#define PTE_NX_HI  0x80000000 /* bit 63, in the upper half */

#define CR0_PG	   0x80000000
#define CR0_WP	   0x00010000
#define CR0_PE	   0x00000001
#define CR4_PAE	   0x00000020
#define MSR_EFER   0xc0000080
#define EFER_LME   0x100
#define EFER_NXE   0x800
#define CPUID_EXT_NX 20
#define CPUID_EXT_LM 29
#define CPUID_1_SSE42 20
#define MSR_GS_BASE 0xc0000101

#define COM1	   0x3f8
#define VGA_TEXT   0xb8000
#define VGA_RED	   0x4f


	.section .multiboot2, "a"
	.balign 8
header:
	.long MULTIBOOT2_HEADER_MAGIC
	.long 0 /* i386 */
	.long header_end - header
	.long -(MULTIBOOT2_HEADER_MAGIC + (header_end - header))
	/* Modules on page boundaries. */
	.short 6, 0
	.long 8
	.short 0, 0
	.long 8
header_end:

	.section .boot, "ax"
	.code32
	.globl boot_entry
boot_entry:
	cli
	cld
	movl $PHYS(boot_stack_top), %esp
	movl %eax, %ebp
	movl %ebx, %edi /* kept: the loader's information */

	movl $message_magic, %esi
	cmpl $MULTIBOOT2_LOADED_MAGIC, %ebp
	jne fail

	/* CPUID exists if EFLAGS.ID can be changed. */
	movl $message_long_mode, %esi
	pushfl
	popl %eax
	movl %eax, %ecx
	xorl $0x200000, %eax
	pushl %eax
	popfl
	pushfl
	popl %eax
	cmpl %eax, %ecx
	je fail
	movl $0x80000000, %eax
	cpuid
	cmpl $0x80000001, %eax
	jb fail
	movl $0x80000001, %eax
	cpuid
	btl $CPUID_EXT_LM, %edx
	jnc fail
	movl $message_nx, %esi
	btl $CPUID_EXT_NX, %edx
	jnc fail
	movl $message_sse42, %esi
	movl $1, %eax
	cpuid
	btl $CPUID_1_SSE42, %ecx
	jnc fail

	/* The image: one entry a page, rights by section. */
	movl $PHYS(image_start), %eax
	movl $PHYS(boot_pt_image - 0x200000 / 4096 * 8), %ebx
1:
	movl %eax, %ecx
	shrl $12, %ecx
	leal (%ebx, %ecx, 8), %ecx
	xorl %edx, %edx
	movl %eax, %esi
	orl $(PTE_P | PTE_A | PTE_G), %esi
	cmpl $PHYS(image_text_end), %eax
	jb 2f
	movl $PTE_NX_HI, %edx
	cmpl $PHYS(image_rodata_end), %eax
	jb 2f
	orl $(PTE_RW | PTE_D), %esi
2:
	movl %esi, (%ecx)
	movl %edx, 4(%ecx)
	addl $4096, %eax
	cmpl $PHYS(image_end), %eax
	jb 1b

	movl $(PHYS(boot_pt_image) + PTE_P + PTE_RW + PTE_A), PHYS(boot_pd_image) + 1 * 8
	movl $(PHYS(boot_pt_image) + 4096 + PTE_P + PTE_RW + PTE_A), PHYS(boot_pd_image) + 2 * 8
	movl $(PHYS(boot_pd_image) + PTE_P + PTE_RW + PTE_A), PHYS(boot_pdpt_image) + 510 * 8
	movl $(PHYS(boot_pdpt_image) + PTE_P + PTE_RW + PTE_A), PHYS(boot_root) + 511 * 8

	/* CPU 0's private range: its tables lie in the image, and are reached there. */
	movl $(PHYS(boot_private_pdpt) + PTE_P + PTE_RW + PTE_A), PHYS(boot_root) + 258 * 8
	movl $(PHYS(boot_private_pd) + PTE_P + PTE_RW + PTE_A), PHYS(boot_private_pdpt)
	movl $(PHYS(boot_window_pt) + PTE_P + PTE_RW + PTE_A), PHYS(boot_private_pd) + 1 * 8

	/* This section, where it lies: readable and executable, a page. */
	movl $(PHYS(boot_pdpt_low) + PTE_P + PTE_RW + PTE_A), PHYS(boot_root)
	movl $(PHYS(boot_pd_low) + PTE_P + PTE_RW + PTE_A), PHYS(boot_pdpt_low)
	movl $(PHYS(boot_pt_low) + PTE_P + PTE_RW + PTE_A), PHYS(boot_pd_low) + 1 * 8
	movl $(header + PTE_P + PTE_A), PHYS(boot_pt_low)

	movl %cr4, %eax
	orl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $PHYS(boot_root), %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $(EFER_LME | EFER_NXE), %eax
	wrmsr
	movl %cr0, %eax
	orl $(CR0_PG | CR0_WP), %eax
	movl %eax, %cr0
	lgdt boot_gdt_pointer
	ljmp $0x08, $entry64

	/* ESI = text. Prints it on COM1 (bounded waits) and on the text screen, halts. */
fail:
	movw $(COM1 + 3), %dx
	movb $0x80, %al
	outb %al, %dx
	movw $COM1, %dx
	movb $1, %al
	outb %al, %dx
	movw $(COM1 + 1), %dx
	xorb %al, %al
	outb %al, %dx
	movw $(COM1 + 3), %dx
	movb $3, %al
	outb %al, %dx
	movl $VGA_TEXT, %edi
1:
	movb (%esi), %bl
	testb %bl, %bl
	jz 4f
	movl $100000, %ecx
2:
	movw $(COM1 + 5), %dx
	inb %dx, %al
	testb $0x20, %al
	jnz 3f
	loop 2b
3:
	movw $COM1, %dx
	movb %bl, %al
	outb %al, %dx
	cmpb $0x20, %bl
	jb 5f
	movb %bl, (%edi)
	movb $VGA_RED, 1(%edi)
	addl $2, %edi
5:
	incl %esi
	jmp 1b
4:
	hlt
	jmp 4b

message_magic:
	.asciz "keyhole: not started by a multiboot2 loader: boot the ISO, or use GRUB's multiboot2 command\r\n"
message_long_mode:
	.asciz "keyhole: this processor has no 64-bit mode: use an x86-64 processor (QEMU: qemu-system-x86_64)\r\n"
message_sse42:
	.asciz "keyhole: this processor has no SSE4.2: each that has EPT has it; QEMU: -cpu host or -cpu max\r\n"
message_nx:
	.asciz "keyhole: this processor offers no no-execute pages: switch on XD/NX in the firmware's setup\r\n"

	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* 64-bit code, accessed already: the page is read-only */
	.quad 0x00cf93000000ffff /* data */
boot_gdt_pointer:
	.short boot_gdt_pointer - boot_gdt - 1
	.long boot_gdt

	.code64
entry64:
	movabs $entry_high, %rax
	jmp *%rax

	.text
entry_high:
	/* Now in the higher half: drop the low mapping. */
	movabs $boot_stack_top, %rsp
	movq $0, boot_root(%rip)
	movq %cr3, %rax
	movq %rax, %cr3
	/* Null selectors: the descriptors lie in what was just dropped, and 64-bit mode needs none. */
	xorl %eax, %eax
	movl %eax, %ss
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs
	movl %eax, %gs
	movl %edi, %edi /* argument of boot_main: upper half clear */
	xorl %ebp, %ebp
	call boot_main
	ud2

	.bss
	.balign 4096
	.globl boot_root, boot_private_pdpt, boot_private_pd, boot_window_pt
	.globl boot_pdpt_low, boot_pd_low, boot_pt_low
boot_root:
	.skip 4096
boot_pdpt_image:
	.skip 4096
boot_pd_image:
	.skip 4096
boot_pt_image:
	.skip 8192
boot_private_pdpt:
	.skip 4096
boot_private_pd:
	.skip 4096
boot_window_pt:
	.skip 4096
boot_pdpt_low:
	.skip 4096
boot_pd_low:
	.skip 4096
boot_pt_low:
	.skip 4096
	.globl boot_stack, boot_stack_top
boot_stack:
	.skip 16384
boot_stack_top:
	.section .note.GNU-stack, "", @progbits
