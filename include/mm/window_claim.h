/* Claiming a slot of the map window, and giving it back: a bit of this CPU's window_open_mask. */
#ifndef KEYHOLE_MM_WINDOW_CLAIM_H
#define KEYHOLE_MM_WINDOW_CLAIM_H

#include "percpu.h"
#include "types.h"

noreturn_fn void window_opened_twice(unsigned slot);

static inline void window_claim(struct cpu_private *cpu, unsigned slot)
{
	bool open;

	/* Not a bit string for the processor: slot < 64. No other CPU looks at the mask. */
	__asm__("btsq %[slot], %[mask]"
		: [mask] "+m"(cpu->window_open_mask), "=@ccc"(open)
		: [slot] "Jr"((uint64_t)slot));
	if (unlikely(open))
		window_opened_twice(slot);
}

static inline void window_release(struct cpu_private *cpu, unsigned slot)
{
	__asm__("btrq %[slot], %[mask]"
		: [mask] "+m"(cpu->window_open_mask)
		: [slot] "Jr"((uint64_t)slot)
		: "cc");
}

#endif
