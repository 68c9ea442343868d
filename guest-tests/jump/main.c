/*
 * jump: goes on executing where it has no memory.
 */
#include "guest.h"

int main(void)
{
	void (*volatile nowhere)(void) = (void (*)(void))0xdead0000ul;

	printf("# jumping to nowhere\n");
	nowhere();
	return 0;
}
