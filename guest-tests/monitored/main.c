/*
 * monitored: guests for the test of the monitor (tests/test_monitor.py), which destroys them.
 * `idle` sleeps, woken 100 times a second; the others loop for ever with interrupts on. The chain
 * of frame pointers is whole in `busy`, and leads to itself in `circle`, to no address in `wild`,
 * and to memory that is not mapped in `hole`.
 */
#include "apic.h"
#include "guest.h"

#define VECTOR	0x51
#define WILD	0x8000000000000000ul
#define NOTHING 0x7ffffffff000ul

/* Saved frame pointer, return address. */
static unsigned long frames[3][2];

__attribute__((noreturn)) static void loop_with(unsigned long rbp)
{
	__asm__ volatile("mov %0, %%rbp\n\t"
			 "sti\n"
			 "1:\n\t"
			 "pause\n\t"
			 "jmp 1b"
			 :
			 : "r"(rbp));
	__builtin_unreachable();
}

INTERRUPT on_timer(struct interrupt_frame *frame)
{
	(void)frame;
	apic_eoi();
}

__attribute__((noreturn)) static void sleep_for_ever(void)
{
	interrupt_set(VECTOR, on_timer);
	apic_enable();
	wrmsr(X2_LVT_TIMER, LVT_DEADLINE | VECTOR);
	for (;;) {
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_us(10000));
		sleep_once();
	}
}

int main(void)
{
	for (unsigned i = 0; i < 3; i++) {
		frames[i][0] = i < 2 ? (unsigned long)frames[i + 1] : 0;
		frames[i][1] = 0x111111 * (i + 1);
	}
	printf("here\n");
	if (option("idle"))
		sleep_for_ever();
	if (option("circle"))
		frames[0][0] = (unsigned long)frames[0];
	if (option("wild"))
		frames[0][0] = WILD;
	if (option("hole"))
		frames[0][0] = NOTHING;
	loop_with((unsigned long)frames[0]);
}
