/* The local APIC and further processors: apic.h. State: handlers in the IDT; the processor that is
 * being started, one at a time. */
#include "apic.h"

void interrupt_set(unsigned vector, interrupt_handler *handler)
{
	trap_set_gate(vector, (unsigned long)handler);
}

void apic_enable(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ON | APIC_BASE_X2);
	wrmsr(X2_SIVR, 0x100 | VECTOR_SPURIOUS);
}

bool apic_bit(uint32_t first, unsigned vector)
{
	return rdmsr(first + vector / 32) >> vector % 32 & 1;
}

unsigned cpu_count(void)
{
	return cpuid(0xb, 1).ebx;
}

#ifdef __x86_64__
uint64_t tsc_us(uint64_t microseconds)
{
	return microseconds * cpuid(XEN_CPUID_LEAF(3), 0).ecx / 1000;
}

#define AP_PAGE	      0x8000ul
#define AP_STACK_SIZE 4096u

extern const char ap_start[], ap_end[];
/* Read by start_ap.S. */
uint64_t ap_stack;
static void (*ap_function)(unsigned id);
static volatile unsigned ap_arrived;

_Noreturn void ap_main(void);

void ap_main(void)
{
	trap_load();
	apic_enable();
	ap_arrived = cpu_id() + 1;
	ap_function(cpu_id());
	for (;;)
		__asm__ volatile("cli; hlt");
}

bool cpu_start(unsigned id, void (*fn)(unsigned id))
{
	memcpy((void *)AP_PAGE, ap_start, (size_t)(ap_end - ap_start));
	ap_stack = (uintptr_t)page_alloc() + AP_STACK_SIZE;
	ap_function = fn;
	ap_arrived = 0;
	wrmsr(X2_ICR, ICR_TO(id) | ICR_INIT);
	wrmsr(X2_ICR, ICR_TO(id) | ICR_STARTUP | AP_PAGE >> 12);
	wrmsr(X2_ICR, ICR_TO(id) | ICR_STARTUP | AP_PAGE >> 12);
	return WAIT_UNTIL(ap_arrived == id + 1);
}
#endif
