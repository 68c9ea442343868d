/*
 * Exceptions: the tables that the CPU wants, and TRAP().
 * State: the IDT and TSS, built once; whether an exception is expected; the last one.
 */
#include "guest.h"
#include "segments.h"

#define VECTORS	     256
#define EXCEPTIONS   32
#define STUB_SIZE    16
#define GATE_PRESENT 0x8e /* present, DPL 0, interrupt gate */

/* What the stubs of entry32.S and entry64.S leave on the stack, lowest address first. */
struct trap_frame {
#ifdef __x86_64__
	unsigned long r15, r14, r13, r12, r11, r10, r9, r8;
#endif
	unsigned long di, si, bp, bx, dx, cx, ax;
	unsigned long vector, error, ip, cs, flags;
};

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
#ifdef __x86_64__
	uint32_t offset_high, reserved;
#endif
};

struct __attribute__((packed)) tss {
#ifdef __x86_64__
	uint32_t reserved0;
	uint64_t rsp0;
	uint8_t reserved1[90];
#else
	uint32_t link, esp0, ss0;
	uint8_t reserved1[90];
#endif
	uint16_t io_bitmap;
};

struct __attribute__((packed)) table_pointer {
	uint16_t limit;
	unsigned long base;
};

extern uint64_t gdt[];
extern const char trap_stubs[];
_Noreturn void trap_handle(const struct trap_frame *frame);

struct trap_context trap_context;
static struct gate idt[VECTORS];
static struct tss tss;
static uint8_t user_trap_stack[PAGE_SIZE] __attribute__((aligned(16)));
static bool armed;
static struct trap last;

void trap_set_gate(unsigned vector, unsigned long handler)
{
	struct gate *gate = &idt[vector];

	gate->offset_low = (uint16_t)handler;
	gate->offset_middle = (uint16_t)(handler >> 16);
#ifdef __x86_64__
	gate->offset_high = (uint32_t)(handler >> 32);
	gate->selector = SEL_CODE64;
#else
	gate->selector = SEL_CODE32;
#endif
	gate->type = GATE_PRESENT;
}

void trap_load(void)
{
	struct table_pointer pointer = {sizeof(idt) - 1, (unsigned long)idt};

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

void trap_init(void)
{
	unsigned long base = (unsigned long)&tss;

	for (unsigned i = 0; i < EXCEPTIONS; i++)
		trap_set_gate(i, (unsigned long)trap_stubs + i * STUB_SIZE);
	trap_load();

	tss.io_bitmap = sizeof(tss); /* none: CPL 3 has no ports */
#ifdef __x86_64__
	tss.rsp0 = (unsigned long)user_trap_stack + sizeof(user_trap_stack);
	gdt[SEL_TSS / 8 + 1] = (uint64_t)base >> 32;
#else
	tss.esp0 = (unsigned long)user_trap_stack + sizeof(user_trap_stack);
	tss.ss0 = SEL_DATA;
#endif
	/* Limit, base and "available TSS, present" in their scattered places. */
	gdt[SEL_TSS / 8] = (sizeof(tss) - 1) | (uint64_t)(base & 0xffffff) << 16 | 0x89ull << 40 |
			   (uint64_t)(base >> 24 & 0xff) << 56;
	__asm__ volatile("ltr %0" : : "r"((uint16_t)SEL_TSS));
}

void trap_arm(void)
{
	last.vector = -1;
	armed = true;
}

struct trap trap_finish(void)
{
	armed = false;
	return last;
}

/* Called by the stubs, on the stack of whoever was interrupted (or user_trap_stack). */
_Noreturn void trap_handle(const struct trap_frame *frame)
{
	last = (struct trap){(int)frame->vector, frame->error, read_cr2(),
			     frame->ip,		 frame->ax,    frame->flags};
	if (armed) {
		armed = false;
		trap_resume(&trap_context);
	}
	tap_bail_out("exception %d, error code 0x%lx, at 0x%lx, CR2 0x%lx, a=%lx b=%lx c=%lx d=%lx",
		     last.vector, last.error, last.ip, last.address, frame->ax, frame->bx,
		     frame->cx, frame->dx);
}
