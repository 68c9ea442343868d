/*
 * The explainer's rules on the host-state area: SDM Vol. 3, "Checks on Host Control Registers,
 * MSRs, and SSP", "Checks on Host Segment and Descriptor-Table Registers", "Checks Related to
 * Address-Space Size". A broken one is VM-instruction error 8.
 *
 * A host that is not 64-bit breaks HOST_64BIT already (Keyhole runs in IA-32e mode), so the rules
 * for 32-bit hosts are not repeated.
 *
 * State: none. No lock.
 */
#include "explain_internal.h"

static void explain_host_registers(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;
	const struct vmx_caps *caps = e->caps;
	const uint64_t long_mode = EFER_LMA | EFER_LME;

	BREAKS((~s->host_cr0 & caps->cr0_fixed0) || (s->host_cr0 & ~caps->cr0_fixed1), HOST_CR0,
	       host_cr0);
	BREAKS((~s->host_cr4 & caps->cr4_fixed0) || (s->host_cr4 & ~caps->cr4_fixed1), HOST_CR4,
	       host_cr4);
	BREAKS((s->host_cr4 & CR4_CET) && !(s->host_cr0 & CR0_WP), HOST_CET, host_cr4);
	BREAKS(!explain_physical(e, s->host_cr3), HOST_CR3, host_cr3);
	BREAKS(!explain_canonical(e, s->host_sysenter_esp), HOST_SYSENTER, host_sysenter_esp);
	BREAKS(!explain_canonical(e, s->host_sysenter_eip), HOST_SYSENTER, host_sysenter_eip);
	BREAKS((s->exit & EXIT_LOAD_PAT) && !explain_pat_valid(s->host_pat), HOST_PAT, host_pat);
	if (s->exit & EXIT_LOAD_EFER) {
		uint64_t expected = s->exit & EXIT_HOST_64BIT ? long_mode : 0;

		BREAKS(s->host_efer & ~caps->efer_valid, HOST_EFER_RESERVED, host_efer);
		BREAKS((s->host_efer & long_mode) != expected, HOST_EFER_MODE, host_efer);
	}
}

static void explain_host_segments(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;
	const uint64_t rpl_ti = SELECTOR_RPL_MASK | SELECTOR_TI;

	BREAKS(s->host_es_selector & rpl_ti, HOST_SELECTOR, host_es_selector);
	BREAKS(s->host_cs_selector & rpl_ti, HOST_SELECTOR, host_cs_selector);
	BREAKS(s->host_ss_selector & rpl_ti, HOST_SELECTOR, host_ss_selector);
	BREAKS(s->host_ds_selector & rpl_ti, HOST_SELECTOR, host_ds_selector);
	BREAKS(s->host_fs_selector & rpl_ti, HOST_SELECTOR, host_fs_selector);
	BREAKS(s->host_gs_selector & rpl_ti, HOST_SELECTOR, host_gs_selector);
	BREAKS(s->host_tr_selector & rpl_ti, HOST_SELECTOR, host_tr_selector);
	BREAKS(s->host_cs_selector == 0, HOST_SELECTOR_NULL, host_cs_selector);
	BREAKS(s->host_tr_selector == 0, HOST_SELECTOR_NULL, host_tr_selector);

	BREAKS(!explain_canonical(e, s->host_fs_base), HOST_BASE, host_fs_base);
	BREAKS(!explain_canonical(e, s->host_gs_base), HOST_BASE, host_gs_base);
	BREAKS(!explain_canonical(e, s->host_tr_base), HOST_BASE, host_tr_base);
	BREAKS(!explain_canonical(e, s->host_gdtr_base), HOST_BASE, host_gdtr_base);
	BREAKS(!explain_canonical(e, s->host_idtr_base), HOST_BASE, host_idtr_base);
}

void explain_host_state(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;

	explain_host_registers(e);
	explain_host_segments(e);
	BREAKS(!(s->exit & EXIT_HOST_64BIT), HOST_64BIT, exit);
	if (s->exit & EXIT_HOST_64BIT) {
		BREAKS(!(s->host_cr4 & CR4_PAE), HOST_PAE, host_cr4);
		BREAKS(!explain_canonical(e, s->host_rip), HOST_RIP, host_rip);
	}
}
