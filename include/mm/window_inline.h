/*
 * Opening and closing a slot of the map window, inline: a dozen instructions, done at every touch
 * of a frame. Included by mm/window.h; state and rules are those of mm/window.c.
 */
#ifndef KEYHOLE_MM_WINDOW_INLINE_H
#define KEYHOLE_MM_WINDOW_INLINE_H

#include "cpu.h"
#include "mm/pte.h"
#include "mm/window.h" /* the slots; it includes this file */
#include "mm/window_claim.h"
#include "mutant.h"
#include "percpu.h"

static inline void *window_open_as(enum window_slot slot, mfn_t frame, uint64_t flags)
{
	struct cpu_private *cpu = this_cpu();

	window_claim(cpu, slot);
	pte_store(&cpu->window_ptes[slot], pte_make(frame, flags));
	/* The entry was not present: no stale translation, nothing to flush; keep the compiler's
	 * order. */
	__asm__ volatile("" ::: "memory");
	return (void *)(cpu->window_base + (uint64_t)slot * PAGE_SIZE);
}

/* Opens a slot on a frame, writable. The pointer is valid on this CPU until window_close(). */
static inline void *window_open(enum window_slot slot, mfn_t frame)
{
	return window_open_as(slot, frame, WINDOW_FLAGS_RW);
}

/* The same, read-only: a write through it is a fault. */
static inline const void *window_open_readonly(enum window_slot slot, mfn_t frame)
{
	return window_open_as(slot, frame, WINDOW_FLAGS);
}

/* Closes a slot; the address faults from here on. */
static inline void window_close(enum window_slot slot)
{
	struct cpu_private *cpu = this_cpu();

	__asm__ volatile("" ::: "memory");
	pte_store(&cpu->window_ptes[slot], 0);
	if (!MUTANT(NO_INVLPG) && !(MUTANT(NO_INVLPG_ONCE) && slot == WINDOW_TEST))
		invlpg(cpu->window_base + (uint64_t)slot * PAGE_SIZE);
	window_release(cpu, slot);
}

#endif
