/* The control registers of each CPU. No state, no lock. Source: SDM Vol. 3, "Control Registers". */
#include "cpu.h"
#include "kernel/smp.h"
#include "percpu.h"
#include "print.h"

void cpu_enable_protections(void)
{
	const struct cpuid leaf7 = cpuid_basic(7);
	uint64_t cr4 = CR4_PAE | CR4_PGE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	cr4 |= cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE ? CR4_OSXSAVE : 0;
	cr4 |= leaf7.ebx & CPUID_7_EBX_SMEP ? CR4_SMEP : 0;
	cr4 |= leaf7.ebx & CPUID_7_EBX_SMAP ? CR4_SMAP : 0;
	cr4 |= leaf7.ecx & CPUID_7_ECX_UMIP ? CR4_UMIP : 0;
	/* No page of the hypervisor is a user page; with this a guest's PKRU can be read. */
	cr4 |= leaf7.ecx & CPUID_7_ECX_PKU ? CR4_PKE : 0;
	write_cr4(cr4);
	/* Caches on, monitoring off, native FPU errors, read-only pages hold in ring 0. */
	write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	if (!cpu_index())
		print(LOG_INFO, "cpu0: NX WP%s%s%s", cr4 & CR4_SMEP ? " SMEP" : "",
		      cr4 & CR4_SMAP ? " SMAP" : "", cr4 & CR4_UMIP ? " UMIP" : "");
}
