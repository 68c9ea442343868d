/* Claiming a slot of the map window, and giving it back: a bit of this CPU's window_open_mask. */
#ifndef KEYHOLE_MM_WINDOW_CLAIM_H
#define KEYHOLE_MM_WINDOW_CLAIM_H

#include "percpu.h"
#include "types.h"

noreturn_fn void window_opened_twice(unsigned slot);

/* Sets a bit, below 64, of a word that no other CPU looks at. Whether it was set already. */
static inline bool window_set_bit(uint64_t *word, unsigned bit)
{
	bool was;

	/* Not a bit string for the processor: bit < 64. */
	__asm__("btsq %[bit], %[word]"
		: [word] "+m"(*word), "=@ccc"(was)
		: [bit] "Jr"((uint64_t)bit));
	return was;
}

static inline void window_claim(struct cpu_private *cpu, unsigned slot)
{
	if (unlikely(window_set_bit(&cpu->window_open_mask, slot)))
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
