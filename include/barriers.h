/*
 * Barriers between guests that share a processor, against what it keeps of one in its caches,
 * buffers and predictors where another one's speculation may reach it. vmx/barriers.c.
 */
#ifndef KEYHOLE_BARRIERS_H
#define KEYHOLE_BARRIERS_H

#include "domain.h"
#include "percpu.h"
#include "types.h"

/* Constant after boot. */
struct barriers {
	bool verw;	/* buffers are overwritten by VERW before each entry */
	bool ibpb;	/* indirect branches forget what they learnt when the domain changes */
	bool l1d_flush; /* the L1 data cache is emptied then, and see barrier_memory_of() */
};
extern struct barriers barriers;

/*
 * This CPU reads or writes memory of d, which may be another domain than the one whose exit it
 * deals with, and which that one has no right to read: the L1 data cache is flushed before the next
 * entry.
 */
static inline void barrier_memory_of(const struct domain *d)
{
	if (unlikely(barriers.l1d_flush) && this_cpu()->barrier_domain != d->tsc_offset)
		atomic_fetch_or(&this_cpu_shared()->entry_work, ENTRY_WORK_L1D_FLUSH);
}

/* What a processor needs: CPUID.7.0:EDX, IA32_ARCH_CAPABILITIES (0 where there is none). */
struct barriers barriers_choose(uint32_t cpuid_7_edx, uint64_t arch_capabilities);

/* Counted: in test builds, which write to no register. */
enum mitigations { MITIGATIONS_ON, MITIGATIONS_OFF, MITIGATIONS_COUNTED };
/* Boot CPU, before any guest: applies what this processor needs from now on, and says what. */
void vmx_barriers_init(enum mitigations wanted);
/* Before an entry: a vCPU of d has been loaded on this CPU. */
void vmx_barrier_loaded(const struct domain *d);
/* Before an entry: ENTRY_WORK_L1D_FLUSH was set. */
void vmx_barrier_l1d(void);

#endif
