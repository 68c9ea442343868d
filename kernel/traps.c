/*
 * Exceptions, NMIs and interrupts of the hypervisor itself.
 *
 * State: the table of interrupt handlers, written at boot; each CPU's GDT and TSS, in its private
 * range and touched by it alone. No lock. traps_init_cpu() runs on each CPU.
 *
 * Root mode runs with interrupts off: an interrupt arrives only in idle, or as a VM exit that
 * acknowledges it and passes the vector on. Every exception has a stack of its own (IST), so that
 * even one in the VM-exit stub, where RSP points into a guest's registers, is reported. A fault
 * with an entry in the exception table goes on at its fix-up; every other one is our own mistake,
 * and a panic. NMI and machine-check code takes no lock and waits for nothing.
 *
 * Source: SDM Vol. 3, "Interrupt and Exception Handling", "64-Bit Mode Stack Frame", "Interrupt
 * Stack Table".
 */
#include "kernel/traps.h"
#include "cpu.h"
#include "drivers/apic.h"
#include "kernel/panic.h"
#include "layout.h"
#include "mm/private.h"
#include "percpu.h"
#include "print.h"
#include "vcpu.h"

#define VECTOR_COUNT 256u

/* Descriptors, accessed already, so that the processor never writes to them. */
#define DESCRIPTOR_CODE64 0x00af9b000000ffffull
#define DESCRIPTOR_DATA	  0x00cf93000000ffffull
/* A present 64-bit TSS, not busy. */
#define DESCRIPTOR_TSS_TYPE (0x89ull << 40)

/* kernel/idt.S */
extern const char idt[], idt_end[], idt_without_stacks[], idt_without_stacks_end[], idt_of_panic[],
    idt_of_panic_end[];
static void (*interrupt_handlers[VECTOR_COUNT])(unsigned vector);

struct extable_entry {
	uint64_t faulting, fixup;
};
extern const struct extable_entry extable_start[], extable_end[];

static void load_idt(const char *first, const char *end)
{
	struct descriptor_table table = {.limit = (uint16_t)(end - first - 1),
					 .base = (uint64_t)first};

	__asm__ volatile("lidt %0" : : "m"(table));
}

void traps_init_early(void)
{
	load_idt(idt_without_stacks, idt_without_stacks_end);
}

static void load_gdt(const struct descriptor_table *table)
{
	__asm__ volatile("lgdt %[table]\n\t"
			 "pushq %[code]\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\n\t"
			 "mov %[data], %%ss\n\t"
			 "ltr %[tss]"
			 :
			 : [table] "m"(*table), [code] "i"(SELECTOR_CODE),
			   [data] "r"(SELECTOR_DATA), [tss] "r"((uint16_t)SELECTOR_TSS)
			 : "rax", "memory");
}

void traps_init_cpu(void)
{
	struct cpu_private *cpu = this_cpu();
	uint64_t stacks = private_base_of(cpu->index) + PRIVATE_IST;
	uint64_t tss = (uint64_t)&cpu->tss;

	__builtin_memset(&cpu->tss, 0, sizeof(cpu->tss));
	for (unsigned i = 0; i < PRIVATE_IST_COUNT; i++)
		cpu->tss.ist[i] = stacks + i * PRIVATE_IST_STRIDE + PRIVATE_IST_PAGES * PAGE_SIZE;
	/* No I/O bitmap: it would begin behind the limit. */
	cpu->tss.io_map_base = sizeof(cpu->tss);

	cpu->gdt[0] = 0;
	cpu->gdt[SELECTOR_CODE / 8] = DESCRIPTOR_CODE64;
	cpu->gdt[SELECTOR_DATA / 8] = DESCRIPTOR_DATA;
	cpu->gdt[SELECTOR_TSS / 8] = (sizeof(cpu->tss) - 1) | (tss & 0xffffff) << 16 |
				     DESCRIPTOR_TSS_TYPE | (tss >> 24 & 0xff) << 56;
	cpu->gdt[SELECTOR_TSS / 8 + 1] = tss >> 32;
	struct descriptor_table table = {.limit = sizeof(cpu->gdt) - 1, .base = (uint64_t)cpu->gdt};
	load_gdt(&table);

	load_idt(idt, idt_end);
}

void traps_stay_on_stack(void)
{
	load_idt(idt_of_panic, idt_of_panic_end);
}

void traps_set_interrupt(unsigned vector, void (*fn)(unsigned vector))
{
	assert_always(vector >= VECTOR_COUNT_ARCHITECTURE && vector < VECTOR_COUNT);
	interrupt_handlers[vector] = fn;
}

void interrupt_dispatch(unsigned vector)
{
	assert_always(vector < VECTOR_COUNT);
	if (vector == APIC_VECTOR_SPURIOUS)
		return;
	if (interrupt_handlers[vector])
		interrupt_handlers[vector](vector);
	else
		this_cpu()->stray_interrupts++;
	apic_eoi();
}

static bool fix_up(struct trap_frame *frame)
{
	for (const struct extable_entry *e = extable_start; e < extable_end; e++) {
		if (e->faulting == frame->rip) {
			frame->rip = e->fixup;
			return true;
		}
	}
	return false;
}

static const char *vector_name(uint64_t vector)
{
	static const char *const names[VECTOR_COUNT_ARCHITECTURE] = {
	    [VECTOR_DE] = "divide error (#DE)",
	    [VECTOR_DB] = "debug exception (#DB)",
	    [VECTOR_NMI] = "NMI",
	    [VECTOR_BP] = "breakpoint (#BP)",
	    [VECTOR_OF] = "overflow (#OF)",
	    [VECTOR_BR] = "bound range exceeded (#BR)",
	    [VECTOR_UD] = "invalid opcode (#UD)",
	    [VECTOR_NM] = "no FPU (#NM)",
	    [VECTOR_DF] = "double fault (#DF)",
	    [VECTOR_TS] = "invalid TSS (#TS)",
	    [VECTOR_NP] = "segment not present (#NP)",
	    [VECTOR_SS] = "stack fault (#SS)",
	    [VECTOR_GP] = "general protection (#GP)",
	    [VECTOR_PF] = "page fault (#PF)",
	    [VECTOR_MF] = "x87 error (#MF)",
	    [VECTOR_AC] = "alignment check (#AC)",
	    [VECTOR_MC] = "machine check (#MC)",
	    [VECTOR_XM] = "SIMD error (#XM)",
	    [VECTOR_VE] = "virtualization exception (#VE)",
	    [VECTOR_CP] = "control protection (#CP)",
	};
	const char *name = vector < array_size(names) ? names[vector] : NULL;

	return name ? name : "reserved exception";
}

noreturn_fn static void page_fault(const struct trap_frame *frame)
{
	uint64_t code = frame->error_code;

	panic_at(frame, "page fault (#PF): %s at %016lx: %s",
		 code & PF_INSTRUCTION ? "execution"
		 : code & PF_WRITE     ? "write"
				       : "read",
		 read_cr2(),
		 code & PF_RESERVED_BIT ? "a reserved bit is set in a table"
		 : code & PF_PRESENT	? "not allowed there"
					: "nothing is mapped there");
}

static void nmi(void)
{
	if (panic_elsewhere())
		cpu_halt();
	this_cpu()->nmis++;
}

_Static_assert(!(PRIVATE_IST_STRIDE & (PRIVATE_IST_STRIDE - 1)) &&
		   !(PRIVATE_IST & (PRIVATE_IST_STRIDE - 1)),
	       "an interrupt stack begins where its address says");

/* Where the interrupt stack of this address begins; 0 if it is in another stack. */
static uint64_t interrupt_stack(uint64_t address)
{
	uint64_t offset = address - private_base_of(cpu_index());

	if (offset < PRIVATE_IST || offset >= PRIVATE_IST + PRIVATE_IST_COUNT * PRIVATE_IST_STRIDE)
		return 0;
	return address & ~(uint64_t)(PRIVATE_IST_STRIDE - 1);
}

uint64_t trap_handler(struct trap_frame *frame)
{
	if (frame->vector >= VECTOR_COUNT_ARCHITECTURE) {
		interrupt_dispatch((unsigned)frame->vector);
		return 0;
	}
	switch (frame->vector) {
	case VECTOR_NMI:
		nmi();
		return interrupt_stack((uint64_t)frame);
	case VECTOR_DF:
	case VECTOR_MC:
		break;
	default:
		if (fix_up(frame))
			return interrupt_stack((uint64_t)frame);
	}
	if (frame->vector == VECTOR_PF)
		page_fault(frame);
	panic_at(frame, "%s, error code %lx", vector_name(frame->vector), frame->error_code);
}
