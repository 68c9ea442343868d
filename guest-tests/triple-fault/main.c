/*
 * triple-fault: an exception with no handler for it, nor for the one that follows. A real CPU
 * resets.
 */
#include "guest.h"

int main(void)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		unsigned long base;
	} no_table = {0, 0};

	printf("# about to fault three times\n");
	__asm__ volatile("lidt %0; ud2" : : "m"(no_table));
	return 0;
}
