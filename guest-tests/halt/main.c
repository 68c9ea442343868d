/*
 * halt: waits for an interrupt where none can come: by STI; HLT, or with `block` by SCHEDOP_block.
 * The hypervisor ends a guest that nothing could ever wake. With `cli` it halts with interrupts
 * off, which is a way to end that counts as a good one; with `pending` two vCPUs do, and one has an
 * interrupt that it will never take.
 */
#include "apic.h"

#define VECTOR 0x40u

static void halts(unsigned id)
{
	(void)id;
	for (;;)
		__asm__ volatile("cli; hlt");
}

int main(void)
{
	if (option("block")) {
		printf("# SCHEDOP_block\n");
		printf("# it returned %ld\n", sched_op(SCHEDOP_block, NULL));
	} else if (option("pending")) {
		apic_enable();
		if (!cpu_start(1, halts))
			printf("# the other one does not start\n");
		for (unsigned i = 0; i < 100; i++)
			yield();
		wrmsr(X2_ICR, ICR_TO(1) | VECTOR);
		halts(0);
	} else if (option("cli")) {
		printf("# CLI; HLT\n");
		__asm__ volatile("cli; hlt");
		printf("# it went on\n");
	} else {
		printf("# STI; HLT\n");
		__asm__ volatile("sti; hlt");
		printf("# it went on\n");
	}
	shutdown(SHUTDOWN_poweroff);
}
