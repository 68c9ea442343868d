/*
 * nmi: non-maskable interrupts by IPI: with interrupts off, blocked until IRET, one that waits, and
 * as the end of HLT.
 */
#include "apic.h"

#define VECTOR 0x61

static volatile unsigned nmis, depth, deepest, interrupts, seen_inside;
static volatile unsigned again;

static void send(void)
{
	wrmsr(X2_ICR, ICR_TO(cpu_id()) | ICR_NMI);
}

INTERRUPT on_nmi(struct interrupt_frame *frame)
{
	(void)frame;
	nmis++;
	if (++depth > deepest)
		deepest = depth;
	if (again) {
		again--;
		send();
		send(); /* of those that wait there is one */
		__asm__ volatile("nop; nop");
		seen_inside = nmis;
	}
	depth--;
}
INTERRUPT on_interrupt(struct interrupt_frame *frame)
{
	(void)frame;
	interrupts++;
	apic_eoi();
}

int main(void)
{
	apic_enable();
	interrupt_set(VECTOR_NMI, on_nmi);
	interrupt_set(VECTOR, on_interrupt);
	send();
	tap_is(nmis, 1, "an NMI comes with interrupts off");
	again = 1;
	send();
	tap_is(nmis, 3, "two more within its handler are one more");
	tap_is(seen_inside, 2, "which waits for IRET");
	tap_is(deepest, 1, "none within another");
	again = 5;
	send();
	tap_is(nmis, 9, "five in a row");
	tap_is(deepest, 1, "none within another");
	/* Both at once. */
	wrmsr(X2_SELF_IPI, VECTOR);
	interrupts_on();
	send();
	interrupts_off();
	tap_ok(nmis == 10 && interrupts == 1, "NMI and interrupt");
	/* Behind MOV SS and STI. */
	__asm__ volatile("mov %0, %%ss" : : "r"(0x10));
	send();
	tap_is(nmis, 11, "one more");
	/* A page fault between an NMI and its end, and the NMI's end after it, are a guest's own
	 * matter; here only that blocking survives an exit: CPUID within the handler. */
	for (unsigned i = 0; i < 1000; i++)
		send();
	tap_is(nmis, 1011, "a thousand");
	tap_done();
}
