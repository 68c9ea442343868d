/* A set of processors, by number. Pure. */
#ifndef KEYHOLE_CPU_SET_H
#define KEYHOLE_CPU_SET_H

#include "layout.h"
#include "types.h"

struct cpu_set {
	uint64_t words[LAYOUT_CPUS_MAX / 64];
};

static inline bool cpu_set_has(const struct cpu_set *set, uint32_t cpu)
{
	return set->words[cpu / 64] >> (cpu % 64) & 1;
}
static inline bool cpu_set_empty(const struct cpu_set *set)
{
	uint64_t any = 0;

	for (uint32_t i = 0; i < LAYOUT_CPUS_MAX / 64; i++)
		any |= set->words[i];
	return !any;
}
static inline void cpu_set_add(struct cpu_set *set, uint32_t cpu)
{
	set->words[cpu / 64] |= 1ull << (cpu % 64);
}

#endif
