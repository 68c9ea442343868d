/*
 * Cached slots of the map window (window=cached): read-only looks at frames of the domain whose
 * vCPU is loaded on this CPU, left open until it is unloaded or rights are taken out of its p2m.
 * The interface of mm/window_cache.c.
 */
#ifndef KEYHOLE_MM_WINDOW_CACHE_H
#define KEYHOLE_MM_WINDOW_CACHE_H

#include "mm/frame.h"
#include "percpu.h"
#include "types.h"

/* Entries of the window's table: behind the fixed slots. */
#define WINDOW_CACHE_FIRST 64u
_Static_assert(WINDOW_CACHE_SLOTS == 64,
	       "window_cache_filled has a bit for each; the hash yields 6 bits");

#ifdef KEYHOLE_HOST_TEST
/* Against a fake window there are none. */
static inline void window_cache_drop(void) {}
static inline bool window_cache_on(void)
{
	return false;
}
static inline const char *window_cache_look(mfn_t frame)
{
	(void)frame;
	return NULL;
}
#else
/* window=cached on the command line; constant after boot. */
extern bool window_cache_enabled;

/* Frames of this state (frame_unreferenced()) may stay open from now on; 0: none. Everything is
 * closed first. */
void window_cache_set_state(uint64_t state);
/* Closes all slots. */
void window_cache_drop(void);
/* Slots that show anything but RAM of the current domain: must be 0. */
uint32_t window_cache_errors(void);
/* Opens a slot that shows another frame or none. NULL: not RAM of the current domain. frame is from
 * its p2m, in the epoch in which it was found there. */
const char *window_cache_fill(struct cpu_private *cpu, mfn_t frame, uint32_t slot);

/* owner's vCPU is loaded from now on; none: DOMID_HYPERVISOR. */
static inline void window_cache_set_owner(domid_t owner)
{
	window_cache_set_state(
	    owner == DOMID_HYPERVISOR ? 0 : frame_unreferenced(owner, FRAME_GUEST_RAM));
}

static inline bool window_cache_on(void)
{
	return this_cpu()->window_cache_state;
}

/* A frame from the domain's p2m, read-only, until the next look or VM entry. NULL: use a fixed
 * slot. Only when window_cache_on(). */
static inline const char *window_cache_look(mfn_t frame)
{
	struct cpu_private *cpu = this_cpu();
	/* Frames of page tables lie close together: a multiplicative hash spreads them. */
	uint32_t slot = (uint32_t)((mfn_raw(frame) * 0x9e3779b97f4a7c15ull) >> 58);

	if (likely(cpu->window_cache_frame[slot] == mfn_raw(frame)))
		return (const char *)cpu->window_base +
		       (WINDOW_CACHE_FIRST + slot) * (uint64_t)PAGE_SIZE;
	return window_cache_fill(cpu, frame, slot);
}
#endif

#endif
