/* Which barriers between guests a processor needs. */
/* sources: vmx/barriers.c tests/unit/fake_cpu.c tests/unit/quiet.c */
#include "barriers.h"
#include "cpu_bits.h"
#include "print.h"
#include "tap.h"

static void needs(uint32_t edx, uint64_t capabilities, const char *wanted, const char *what)
{
	struct barriers b = barriers_choose(edx, capabilities);
	char got[4] = {b.verw ? 'v' : '-', b.ibpb ? 'i' : '-', b.l1d_flush ? 'f' : '-'};

	is_str(got, wanted, "%s", what);
}

int main(void)
{
	const uint32_t all = CPUID_7_EDX_MD_CLEAR | CPUID_7_EDX_IBRS_IBPB | CPUID_7_EDX_L1D_FLUSH;

	plan(6);
	needs(0, 0, "---", "a processor that names none");
	needs(all, 0, "vif", "one with all of them");
	needs(all, ARCH_CAP_RDCL_NO, "vi-", "no L1TF: no flush");
	needs(all, ARCH_CAP_SKIP_L1DFL_VMENTRY, "vi-", "a hypervisor below flushes");
	needs(CPUID_7_EDX_IBRS_IBPB, ARCH_CAP_MDS_NO, "-i-", "IBPB alone");
	needs(CPUID_7_EDX_L1D_FLUSH, 0, "--f", "the flush alone");
	return tap_end();
}
