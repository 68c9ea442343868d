/*
 * Barriers between guests that share a processor, where it says that it needs them.
 *
 * State: barriers, constant after boot; in each CPU's private half the domain that it entered last,
 * and counts. No lock. The VERW is in the exit stubs (vmx/entry.S); the others come with the first
 * vCPU of another domain, since vCPUs of one domain trust each other, and before the entry after an
 * exit in which this CPU had another domain's memory open in the window. Most exits have not, and
 * pay nothing.
 *
 * Sources: SDM Vol. 4, "Model-Specific Registers (MSRs)"; Intel, "Microarchitectural Data
 * Sampling", "L1 Terminal Fault", "Speculative Execution Side Channel Mitigations".
 */
#include "barriers.h"
#include "cpu.h"
#include "print.h"
#include "vmx/barrier_counts.h"

struct barriers barriers;

struct barriers barriers_choose(uint32_t cpuid_7_edx, uint64_t arch_capabilities)
{
	uint64_t l1tf_safe = ARCH_CAP_RDCL_NO | ARCH_CAP_SKIP_L1DFL_VMENTRY;

	return (struct barriers){
	    .verw = cpuid_7_edx & CPUID_7_EDX_MD_CLEAR,
	    .ibpb = cpuid_7_edx & CPUID_7_EDX_IBRS_IBPB,
	    .l1d_flush = cpuid_7_edx & CPUID_7_EDX_L1D_FLUSH && !(arch_capabilities & l1tf_safe),
	};
}

static void command(uint32_t msr, uint64_t value)
{
	if (!barriers_counted(msr))
		wrmsr(msr, value);
}

void vmx_barriers_init(enum mitigations wanted)
{
	uint32_t edx = cpuid_basic(7).edx;
	uint64_t capabilities =
	    edx & CPUID_7_EDX_ARCH_CAPABILITIES ? rdmsr(MSR_IA32_ARCH_CAPABILITIES) : 0;

	if (wanted != MITIGATIONS_OFF)
		barriers = barriers_choose(edx, capabilities);
	if (wanted == MITIGATIONS_COUNTED)
		barriers_count_all();
	print(LOG_INFO, "barriers between guests:%s%s%s%s", barriers.verw ? " VERW" : "",
	      barriers.ibpb ? " IBPB" : "", barriers.l1d_flush ? " L1D flush" : "",
	      barriers.verw || barriers.ibpb || barriers.l1d_flush ? ""
	      : wanted == MITIGATIONS_OFF			   ? " off"
					  : " none named by this processor");
}

void vmx_barrier_loaded(const struct domain *d)
{
	struct cpu_private *cpu = this_cpu();

	/* No two domains begin at the same tick, not even one after another with the same id. */
	if (cpu->barrier_domain == d->tsc_offset)
		return;
	cpu->barrier_domain = d->tsc_offset;
	if (barriers.ibpb)
		command(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
	if (barriers.l1d_flush)
		vmx_barrier_l1d();
}

void vmx_barrier_l1d(void)
{
	command(MSR_IA32_FLUSH_CMD, FLUSH_CMD_L1D);
}
