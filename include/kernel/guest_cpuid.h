/* CPUID as guests see it: the policy. kernel/guest_cpuid_build.c; guest_cpuid() itself is in
 * vcpu.h. */
#ifndef KEYHOLE_KERNEL_GUEST_CPUID_H
#define KEYHOLE_KERNEL_GUEST_CPUID_H

#include "../types.h"

/* What the policy is made from. */
struct cpuid_source {
	/* The processor's own CPUID: EAX EBX ECX EDX. */
	void (*host)(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
	uint64_t xcr0_offered; /* state components that guests may enable; 0: no XSAVE */
	uint64_t cr4_offered;  /* CR4 bits that guests may set */
	bool rdtscp, invpcid;  /* the instructions work in a guest */
	uint32_t tsc_khz;
	unsigned apic_clock_shift; /* the local APIC counts once in 2^n ticks of the TSC */
};

void guest_cpuid_build(const struct cpuid_source *source);
void guest_cpuid_init(void);

#endif
