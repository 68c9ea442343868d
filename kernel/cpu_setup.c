/* The control registers of each CPU. No state, no lock. Source: SDM Vol. 3, "Control Registers". */
#include "cpu.h"
#include "kernel/smp.h"
#include "percpu.h"
#include "print.h"

void cpu_enable_protections(void)
{
	uint32_t a, b, c, d, leaf7_b = 0, leaf7_c = 0;

	cpuid(0, 0, &a, &b, &c, &d);
	if (a >= 7)
		cpuid(7, 0, &a, &leaf7_b, &leaf7_c, &d);
	cpuid(1, 0, &a, &b, &c, &d);
	uint64_t cr4 = CR4_PAE | CR4_PGE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	if (c & CPUID_1_ECX_XSAVE)
		cr4 |= CR4_OSXSAVE;
	if (leaf7_b & CPUID_7_EBX_SMEP)
		cr4 |= CR4_SMEP;
	if (leaf7_b & CPUID_7_EBX_SMAP)
		cr4 |= CR4_SMAP;
	if (leaf7_c & CPUID_7_ECX_UMIP)
		cr4 |= CR4_UMIP;
	/* No page of the hypervisor is a user page; with this a guest's PKRU can be read. */
	if (leaf7_c & CPUID_7_ECX_PKU)
		cr4 |= CR4_PKE;
	write_cr4(cr4);
	/* Caches on, monitoring off, native FPU errors, read-only pages hold in ring 0. */
	write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	if (!cpu_index())
		print(LOG_INFO, "cpu0: NX WP%s%s%s", cr4 & CR4_SMEP ? " SMEP" : "",
		      cr4 & CR4_SMAP ? " SMAP" : "", cr4 & CR4_UMIP ? " UMIP" : "");
}
