/*
 * A direct map of all memory: for comparing with, and for teaching, in a build of its own
 * (DIRECT_MAP=1). No normal build has it. selftest/direct_map.c.
 *
 * Where DIRECT_MAP is 0, all of this is gone before the compiler emits an instruction.
 */
#ifndef KEYHOLE_MM_DIRECT_MAP_H
#define KEYHOLE_MM_DIRECT_MAP_H

#include "layout.h"
#include "types.h"

#ifdef CONFIG_DIRECT_MAP
#define DIRECT_MAP	1
#define DIRECT_MAP_SIZE (8ull << 30)
void direct_map_init(void);
static inline bool direct_map_has(uint64_t va)
{
	return va - LAYOUT_DIRECT_MAP < DIRECT_MAP_SIZE;
}
#else
#define DIRECT_MAP	0
#define DIRECT_MAP_SIZE 0ull
static inline void direct_map_init(void) {}
static inline bool direct_map_has(uint64_t va)
{
	(void)va;
	return false;
}
#endif

/* What the map window becomes in that build: an addition. The frame lies below DIRECT_MAP_SIZE. */
static inline void *direct_map_at(mfn_t frame)
{
	return (void *)(LAYOUT_DIRECT_MAP + (mfn_raw(frame) << PAGE_SHIFT));
}

#endif
