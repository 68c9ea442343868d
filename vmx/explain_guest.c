/*
 * The explainer's rules on the guest-state area, except segments (explain_segments.c): SDM Vol. 3,
 * "Checks on the Guest State Area". A broken one is exit reason 33.
 *
 * State: none. No lock.
 */
#include "explain_internal.h"

#define PDPTE_PRESENT	   BIT64(0)
#define PDPTE_RESERVED_LOW UINT64_C(0x1e6) /* bits 8:5 and 2:1 */

static void explain_control_registers(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;
	const struct vmx_caps *caps = e->caps;
	const bool long_mode = (s->entry & ENTRY_IA32E_MODE_GUEST) != 0;
	/* VM entry does not load NW and CD, and so does not check them. */
	uint64_t checked = ~(CR0_NW | CR0_CD);

	if (explain_proc2(s) & PROC2_UNRESTRICTED_GUEST)
		checked &= ~(CR0_PE | CR0_PG);
	BREAKS(((~s->guest_cr0 & caps->cr0_fixed0) | (s->guest_cr0 & ~caps->cr0_fixed1)) & checked,
	       CR0_FIXED, guest_cr0);
	BREAKS((s->guest_cr0 & CR0_PG) && !(s->guest_cr0 & CR0_PE), CR0_PG_NEEDS_PE, guest_cr0);
	BREAKS((~s->guest_cr4 & caps->cr4_fixed0) || (s->guest_cr4 & ~caps->cr4_fixed1), CR4_FIXED,
	       guest_cr4);
	BREAKS((s->guest_cr4 & CR4_CET) && !(s->guest_cr0 & CR0_WP), CET_NEEDS_WP, guest_cr4);
	if (long_mode) {
		BREAKS(!(s->guest_cr0 & CR0_PG), LONG_NEEDS_PG, guest_cr0);
		BREAKS(!(s->guest_cr4 & CR4_PAE), LONG_NEEDS_PAE, guest_cr4);
	} else {
		BREAKS(s->guest_cr4 & CR4_PCIDE, PCIDE_NEEDS_LONG, guest_cr4);
	}
	BREAKS(!explain_physical(e, s->guest_cr3), GUEST_CR3, guest_cr3);
}

static void explain_debug_and_msrs(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;
	const struct vmx_caps *caps = e->caps;
	const bool long_mode = (s->entry & ENTRY_IA32E_MODE_GUEST) != 0;

	if (s->entry & ENTRY_LOAD_DEBUG_CONTROLS) {
		uint64_t reserved = DEBUGCTL_RESERVED;

		if (!caps->bus_lock_detect)
			reserved |= DEBUGCTL_BUS_LOCK_DETECT;
		if (!caps->rtm)
			reserved |= DEBUGCTL_RTM;
		BREAKS(s->guest_debugctl & reserved, DEBUGCTL, guest_debugctl);
		BREAKS(s->guest_dr7 >> 32, GUEST_DR7, guest_dr7);
	}
	BREAKS(!explain_canonical(e, s->guest_sysenter_esp), GUEST_SYSENTER, guest_sysenter_esp);
	BREAKS(!explain_canonical(e, s->guest_sysenter_eip), GUEST_SYSENTER, guest_sysenter_eip);
	BREAKS((s->entry & ENTRY_LOAD_PAT) && !explain_pat_valid(s->guest_pat), GUEST_PAT,
	       guest_pat);
	if (s->entry & ENTRY_LOAD_EFER) {
		const bool lma = (s->guest_efer & EFER_LMA) != 0;
		const bool lme = (s->guest_efer & EFER_LME) != 0;

		BREAKS(s->guest_efer & ~caps->efer_valid, EFER_MUST_BE_0, guest_efer);
		BREAKS(lma != long_mode, EFER_LMA_MODE, guest_efer);
		BREAKS((s->guest_cr0 & CR0_PG) && lma != lme, EFER_LME_MODE, guest_efer);
	}
}

static void explain_tables(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;

	BREAKS(!explain_canonical(e, s->guest_gdtr_base), TABLE_BASE, guest_gdtr_base);
	BREAKS(!explain_canonical(e, s->guest_idtr_base), TABLE_BASE, guest_idtr_base);
	BREAKS(s->guest_gdtr_limit >> 16, TABLE_LIMIT, guest_gdtr_limit);
	BREAKS(s->guest_idtr_limit >> 16, TABLE_LIMIT, guest_idtr_limit);
}

static void explain_rip_rflags(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;
	const bool long_mode = (s->entry & ENTRY_IA32E_MODE_GUEST) != 0;

	if (long_mode && (s->guest_cs_ar & SEG_AR_L)) {
		/* Weaker than canonical: the highest bit of the width itself may differ. */
		uint64_t beyond = s->guest_rip >> e->caps->linear_bits;

		BREAKS(beyond != 0 && beyond != ~UINT64_C(0) >> e->caps->linear_bits, RIP_LINEAR,
		       guest_rip);
	} else {
		BREAKS(s->guest_rip >> 32, RIP_HIGH, guest_rip);
	}
	BREAKS(s->guest_rflags & RFLAGS_RESERVED, RFLAGS_MUST_BE_0, guest_rflags);
	BREAKS(!(s->guest_rflags & RFLAGS_FIXED1), RFLAGS_MUST_BE_1, guest_rflags);
	BREAKS((s->guest_rflags & RFLAGS_VM) && (long_mode || !(s->guest_cr0 & CR0_PE)),
	       RFLAGS_VM_MODE, guest_rflags);
	BREAKS(explain_injects(s, INTERRUPTION_EXTERNAL) && !(s->guest_rflags & RFLAGS_IF),
	       RFLAGS_IF_INJECT, guest_rflags);
}

void explain_guest_registers(struct explain *e)
{
	explain_control_registers(e);
	explain_debug_and_msrs(e);
	explain_tables(e);
	explain_rip_rflags(e);
}

/* Whether an event may be injected into a vCPU in an activity state other than active. */
static bool injection_allowed(uint64_t activity, uint32_t info)
{
	const uint32_t type = info & INTERRUPTION_TYPE_MASK;
	const uint32_t vector = info & INTERRUPTION_VECTOR_MASK;
	const bool exception = type == INTERRUPTION_HARDWARE_EXCEPTION;

	switch (activity) {
	case ACTIVITY_ACTIVE:
		return true;
	case ACTIVITY_HLT:
		return type == INTERRUPTION_EXTERNAL || type == INTERRUPTION_NMI ||
		       (exception && (vector == VECTOR_DB || vector == VECTOR_MC)) ||
		       (type == INTERRUPTION_OTHER_EVENT && vector == OTHER_EVENT_PENDING_MTF);
	case ACTIVITY_SHUTDOWN:
		return type == INTERRUPTION_NMI || (exception && vector == VECTOR_MC);
	default:
		return false;
	}
}

static void explain_activity(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;
	const uint64_t activity = s->guest_activity;
	const uint64_t blocking =
	    s->guest_interruptibility & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);
	/* HLT, shutdown and wait-for-SIPI are reported in this order from one bit upwards. */
	const bool supported =
	    activity == ACTIVITY_ACTIVE ||
	    (activity <= ACTIVITY_WAIT_SIPI &&
	     (e->caps->misc & (VMX_MISC_ACTIVITY_HLT << (activity - ACTIVITY_HLT))));

	BREAKS(!supported, ACTIVITY_RANGE, guest_activity);
	BREAKS(activity == ACTIVITY_HLT && (s->guest_ss_ar & SEG_AR_DPL_MASK), ACTIVITY_HLT_DPL,
	       guest_ss_ar);
	BREAKS(blocking && activity != ACTIVITY_ACTIVE, ACTIVITY_BLOCKING, guest_activity);
	BREAKS((s->entry_interruption_info & INTERRUPTION_VALID) &&
		   !injection_allowed(activity, (uint32_t)s->entry_interruption_info),
	       ACTIVITY_INJECT, guest_activity);
}

static void explain_interruptibility(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;
	const uint64_t state = s->guest_interruptibility;
	const bool sti = (state & INTERRUPTIBILITY_STI) != 0;
	const bool mov_ss = (state & INTERRUPTIBILITY_MOV_SS) != 0;
	const bool nmi = explain_injects(s, INTERRUPTION_NMI);

	BREAKS(state & INTERRUPTIBILITY_RESERVED, INTERRUPTIBILITY_BITS, guest_interruptibility);
	BREAKS(sti && mov_ss, STI_AND_MOV_SS, guest_interruptibility);
	BREAKS(sti && !(s->guest_rflags & RFLAGS_IF), STI_NEEDS_IF, guest_interruptibility);
	BREAKS((sti || mov_ss) && explain_injects(s, INTERRUPTION_EXTERNAL), INTERRUPT_BLOCKED,
	       guest_interruptibility);
	BREAKS(mov_ss && nmi, NMI_MOV_SS, guest_interruptibility);
	BREAKS(sti && nmi, NMI_STI, guest_interruptibility);
	BREAKS(state & INTERRUPTIBILITY_SMI, SMI_BLOCKING, guest_interruptibility);
	BREAKS((s->pin & PIN_VIRTUAL_NMIS) && (state & INTERRUPTIBILITY_NMI) && nmi, NMI_BLOCKED,
	       guest_interruptibility);
	BREAKS((state & INTERRUPTIBILITY_ENCLAVE) && (mov_ss || !e->caps->sgx), ENCLAVE,
	       guest_interruptibility);
}

static void explain_pending_debug(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;
	const uint64_t pending = s->guest_pending_debug;
	const bool mov_ss = (s->guest_interruptibility & INTERRUPTIBILITY_MOV_SS) != 0;
	const bool single_step =
	    (s->guest_rflags & RFLAGS_TF) && !(s->guest_debugctl & DEBUGCTL_BTF);
	const bool delayed = mov_ss || (s->guest_interruptibility & INTERRUPTIBILITY_STI) ||
			     s->guest_activity == ACTIVITY_HLT;
	uint64_t reserved = PENDING_DEBUG_RESERVED;

	if (!e->caps->bus_lock_detect)
		reserved |= PENDING_DEBUG_BUS_LOCK;
	BREAKS(pending & reserved, PENDING_RESERVED, guest_pending_debug);
	BREAKS(delayed && ((pending & PENDING_DEBUG_BS) != 0) != single_step, PENDING_BS,
	       guest_pending_debug);
	if (pending & PENDING_DEBUG_RTM)
		BREAKS(!e->caps->rtm || mov_ss ||
			   pending != (PENDING_DEBUG_RTM | PENDING_DEBUG_BREAKPOINT),
		       PENDING_RTM, guest_pending_debug);
}

/* With EPT, a PAE guest's entries come from the VMCS. */
static void explain_pdptes(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;
	static const uint32_t encodings[] = {VMCS_ENC_GUEST_PDPTE0, VMCS_ENC_GUEST_PDPTE1,
					     VMCS_ENC_GUEST_PDPTE2, VMCS_ENC_GUEST_PDPTE3};
	const uint64_t pdptes[] = {s->guest_pdpte0, s->guest_pdpte1, s->guest_pdpte2,
				   s->guest_pdpte3};

	if (!(s->guest_cr0 & CR0_PG) || !(s->guest_cr4 & CR4_PAE) ||
	    (s->entry & ENTRY_IA32E_MODE_GUEST) || !(explain_proc2(s) & PROC2_EPT))
		return;
	for (unsigned i = 0; i < array_size(pdptes); i++)
		if ((pdptes[i] & PDPTE_PRESENT) &&
		    ((pdptes[i] & PDPTE_RESERVED_LOW) || !explain_physical(e, pdptes[i])))
			explain_broken(e, VMX_RULE_PDPTE, encodings[i], pdptes[i]);
}

void explain_guest_state(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;

	explain_activity(e);
	explain_interruptibility(e);
	explain_pending_debug(e);
	BREAKS(s->vmcs_link_pointer != ~UINT64_C(0) &&
		   !explain_physical_page(e, s->vmcs_link_pointer),
	       LINK_POINTER, vmcs_link_pointer);
	explain_pdptes(e);
}
