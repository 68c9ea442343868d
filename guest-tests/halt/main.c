/*
 * halt: waits for an interrupt where none can come: by STI; HLT, or with `block` by SCHEDOP_block.
 * The hypervisor ends a guest that nothing could ever wake.
 */
#include "guest.h"

int main(void)
{
	if (option("block")) {
		printf("# SCHEDOP_block\n");
		printf("# it returned %ld\n", sched_op(SCHEDOP_block, NULL));
	} else {
		printf("# STI; HLT\n");
		__asm__ volatile("sti; hlt");
		printf("# it went on\n");
	}
	shutdown(SHUTDOWN_poweroff);
}
