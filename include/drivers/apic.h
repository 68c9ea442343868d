/* The local APIC. drivers/apic.c. */
#ifndef KEYHOLE_DRIVERS_APIC_H
#define KEYHOLE_DRIVERS_APIC_H

#include "types.h"

#define APIC_VECTOR_SPURIOUS 0xffu
#define APIC_VECTOR_TIMER    0xf1u

/* Switches this CPU's local APIC on, x2APIC where there is one, with every local source masked. */
void apic_init(void);
uint32_t apic_id(void);
/* The end of an interrupt; nothing before apic_init(). */
void apic_eoi(void);
/* Interprocessor interrupts; nothing before apic_init(). vector: 32..254. */
void apic_send_ipi(uint32_t to, unsigned vector);
void apic_send_nmi(uint32_t to);
/*
 * The timer of this CPU's APIC: one-shot, by time-stamp counter; nothing before apic_init(), nor
 * before tsc_init(). The boot CPU, which is the first, finds out which kind it is; its rate is the
 * same on all.
 */
void apic_timer_init(void);
void apic_timer_arm(uint64_t tsc_deadline);
/* To start another processor: INIT, then start-up at a page below 1 MiB. */
void apic_send_init(uint32_t to);
void apic_send_startup(uint32_t to, uint8_t page);

#endif
