/* What guests see of CPUID: made by kernel/guest_cpuid_build.c at boot, and constant from then on.
 */
#ifndef KEYHOLE_KERNEL_GUEST_CPUID_POLICY_H
#define KEYHOLE_KERNEL_GUEST_CPUID_POLICY_H

#include "kernel/guest_cpuid.h"

enum { EAX, EBX, ECX, EDX };

#define EXTENDED_BASE	  0x80000000u
#define EXTENDED_MAX	  0x80000008u
#define SUBLEAVES_4	  6u /* caches */
#define SUBLEAVES_7	  2u
#define SUBLEAVES_D	  10u  /* state components up to PKRU */
#define XSAVE_LEGACY_SIZE 576u /* legacy region and header */

/* The basic leaves that have no subleaves are guest_cpuid_basic (vcpu.h). */
struct guest_cpuid_policy {
	uint32_t extended_max;
	uint32_t extended[EXTENDED_MAX - EXTENDED_BASE + 1][4];
	uint32_t caches[SUBLEAVES_4][4];
	uint32_t features[SUBLEAVES_7][4];
	uint32_t xsave[SUBLEAVES_D][4];
	uint32_t tsc[3][4]; /* Xen's leaf 3 */
};
extern struct guest_cpuid_policy guest_cpuid_policy;

#endif
