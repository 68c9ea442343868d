/*
 * The local APIC as x2APIC, interrupts, and, for 64-bit guests, further processors. A handler is a
 * function with __attribute__((interrupt)); it ends with apic_eoi() unless it is an NMI's.
 *
 * Source of the numbers: SDM Vol. 3, "x2APIC Register Address Space", "Local Vector Table".
 */
#ifndef GUEST_APIC_H
#define GUEST_APIC_H

#include "guest.h"

#define MSR_TSC		 0x010u
#define MSR_APIC_BASE	 0x01bu
#define MSR_TSC_ADJUST	 0x03bu
#define MSR_TSC_DEADLINE 0x6e0u

#define APIC_BASE_BSP 0x100u
#define APIC_BASE_X2  0x400u
#define APIC_BASE_ON  0x800u

/* MSRs. */
#define X2_ID		 0x802u
#define X2_VERSION	 0x803u
#define X2_TPR		 0x808u
#define X2_PPR		 0x80au
#define X2_EOI		 0x80bu
#define X2_LDR		 0x80du
#define X2_SIVR		 0x80fu
#define X2_ISR		 0x810u
#define X2_IRR		 0x820u
#define X2_ESR		 0x828u
#define X2_ICR		 0x830u
#define X2_LVT_TIMER	 0x832u
#define X2_LVT_ERROR	 0x837u
#define X2_INITIAL_COUNT 0x838u
#define X2_CURRENT_COUNT 0x839u
#define X2_DIVIDE	 0x83eu
#define X2_SELF_IPI	 0x83fu

#define LVT_MASKED	0x10000u
#define LVT_PERIODIC	0x20000u
#define LVT_DEADLINE	0x40000u
#define DIVIDE_BY_1	0xbu
#define ICR_NMI		0x00400u
#define ICR_INIT	0x04500u
#define ICR_STARTUP	0x00600u
#define ICR_LOGICAL	0x00800u
#define ICR_ALL		0x80000u
#define ICR_OTHERS	0xc0000u
#define ICR_TO(id)	((uint64_t)(id) << 32)
#define VECTOR_NMI	2
#define VECTOR_SPURIOUS 0xff

struct interrupt_frame;
typedef void interrupt_handler(struct interrupt_frame *frame);
#define INTERRUPT static __attribute__((interrupt)) void

/* A vector's handler, on all processors. */
void interrupt_set(unsigned vector, interrupt_handler *handler);

static inline void apic_eoi(void)
{
	wrmsr(X2_EOI, 0);
}
/* x2APIC mode, enabled by software. */
void apic_enable(void);
/* Bit of a vector in the registers from X2_ISR or X2_IRR on. */
bool apic_bit(uint32_t first, unsigned vector);

static inline void interrupts_on(void)
{
	__asm__ volatile("sti; nop" : : : "memory");
}
static inline void interrupts_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}
/* Sleeps until an interrupt has been handled; interrupts are off before and after. */
static inline void sleep_once(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}
#define INTERRUPTS_FOR(statement) \
	do {                      \
		interrupts_on();  \
		statement;        \
		interrupts_off(); \
	} while (0)

/* How many vCPUs there are. */
unsigned cpu_count(void);
/* This one's number. */
static inline unsigned cpu_id(void)
{
	return (unsigned)rdmsr(X2_ID);
}
/* Starts another processor, which runs fn with its number, x2APIC enabled, interrupts off. False:
 * it has not come. */
bool cpu_start(unsigned id, void (*fn)(unsigned id));

/* Ticks of the time-stamp counter in so many microseconds. */
uint64_t tsc_us(uint64_t microseconds);

#endif
