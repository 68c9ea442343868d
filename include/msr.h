/* Model-specific registers that may not exist: no panic, but an answer. */
#ifndef KEYHOLE_MSR_H
#define KEYHOLE_MSR_H

#include "public/errno.h"
#include "types.h"

/* Reads an MSR; -XEN_ENXIO, and *value is 0, if the processor refuses it. */
must_use static inline int rdmsr_safe(uint32_t msr, uint64_t *value)
{
	uint32_t low = 0, high = 0;
	int rc = -XEN_ENXIO;

	/* Where it faults, the fix-up skips what sets rc to 0. */
	__asm__ volatile("1: rdmsr\n\t"
			 "xor %[rc], %[rc]\n"
			 "2:\n\t"
			 ".pushsection .extable, \"a\"\n\t"
			 ".quad 1b, 2b\n\t"
			 ".popsection"
			 : "+a"(low), "+d"(high), [rc] "+r"(rc)
			 : "c"(msr)
			 : "cc", "memory");
	*value = (uint64_t)high << 32 | low;
	return rc;
}

/* Writes an MSR; -XEN_ENXIO, and nothing happened, if the processor refuses it. */
must_use static inline int wrmsr_safe(uint32_t msr, uint64_t value)
{
	int rc = -XEN_ENXIO;

	__asm__ volatile("1: wrmsr\n\t"
			 "xor %[rc], %[rc]\n"
			 "2:\n\t"
			 ".pushsection .extable, \"a\"\n\t"
			 ".quad 1b, 2b\n\t"
			 ".popsection"
			 : [rc] "+r"(rc)
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "cc", "memory");
	return rc;
}

#endif
