/*
 * halt: waits for an interrupt where none can come: by STI; HLT, or with `block` by SCHEDOP_block.
 * The hypervisor ends a guest that nothing could ever wake. With `cli` it halts with interrupts
 * off, which is a way to end that counts as a good one.
 */
#include "guest.h"

int main(void)
{
	if (option("block")) {
		printf("# SCHEDOP_block\n");
		printf("# it returned %ld\n", sched_op(SCHEDOP_block, NULL));
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
