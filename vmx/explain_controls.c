/*
 * The explainer's rules on the control fields: SDM Vol. 3, "Checks on VMX Controls". A broken one
 * is VM-instruction error 7.
 *
 * State: none. No lock.
 */
#include "explain_internal.h"

#define MSR_LIST_ENTRY_BYTES 16

void explain_execution_controls(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;
	const struct vmx_caps *caps = e->caps;
	const uint32_t proc2 = explain_proc2(s);
	const uint64_t targets =
	    (caps->misc >> VMX_MISC_CR3_TARGETS_SHIFT) & VMX_MISC_CR3_TARGETS_MASK;

	BREAKS(~s->pin & vmx_caps_must_be_1(caps, VMX_PIN), PIN_MUST_BE_1, pin);
	BREAKS(s->pin & ~(uint64_t)vmx_caps_may_be_1(caps, VMX_PIN), PIN_MAY_BE_1, pin);
	BREAKS(~s->proc & vmx_caps_must_be_1(caps, VMX_PROC), PROC_MUST_BE_1, proc);
	BREAKS(s->proc & ~(uint64_t)vmx_caps_may_be_1(caps, VMX_PROC), PROC_MAY_BE_1, proc);
	BREAKS(proc2 & ~vmx_caps_may_be_1(caps, VMX_PROC2), PROC2_MAY_BE_1, proc2);
	BREAKS(s->cr3_target_count > targets, CR3_TARGETS, cr3_target_count);

	if (s->proc & PROC_IO_BITMAPS) {
		BREAKS(!explain_physical_page(e, s->io_bitmap_a), IO_BITMAPS, io_bitmap_a);
		BREAKS(!explain_physical_page(e, s->io_bitmap_b), IO_BITMAPS, io_bitmap_b);
	}
	BREAKS((s->proc & PROC_MSR_BITMAPS) && !explain_physical_page(e, s->msr_bitmap),
	       MSR_BITMAPS, msr_bitmap);

	if (s->proc & PROC_TPR_SHADOW) {
		BREAKS(!explain_physical_page(e, s->virtual_apic_address), VIRTUAL_APIC,
		       virtual_apic_address);
		if (!(proc2 & PROC2_VIRTUAL_INTERRUPT_DELIVERY)) {
			BREAKS(s->tpr_threshold & ~UINT64_C(0xf), TPR_THRESHOLD_RESERVED,
			       tpr_threshold);
			BREAKS(!(proc2 & PROC2_VIRTUALIZE_APIC_ACCESSES) && s->virtual_tpr >= 0 &&
				   (s->tpr_threshold & 0xf) >
				       (((unsigned)s->virtual_tpr >> 4) & 0xf),
			       TPR_THRESHOLD_VALUE, tpr_threshold);
		}
	} else {
		BREAKS(proc2 & (PROC2_VIRTUALIZE_X2APIC | PROC2_APIC_REGISTER_VIRT |
				PROC2_VIRTUAL_INTERRUPT_DELIVERY),
		       TPR_SHADOW_NEEDED, proc2);
	}

	BREAKS((s->pin & PIN_VIRTUAL_NMIS) && !(s->pin & PIN_NMI_EXITING), VIRTUAL_NMIS, pin);
	BREAKS((s->proc & PROC_NMI_WINDOW_EXITING) && !(s->pin & PIN_VIRTUAL_NMIS), NMI_WINDOW,
	       proc);
	if (proc2 & PROC2_VIRTUALIZE_APIC_ACCESSES) {
		BREAKS(!explain_physical_page(e, s->apic_access_address), APIC_ACCESS,
		       apic_access_address);
		BREAKS(proc2 & PROC2_VIRTUALIZE_X2APIC, APIC_MODES, proc2);
	}
	BREAKS((proc2 & PROC2_VIRTUAL_INTERRUPT_DELIVERY) &&
		   !(s->pin & PIN_EXTERNAL_INTERRUPT_EXITING),
	       VIRTUAL_INTERRUPTS, pin);

	BREAKS((proc2 & PROC2_VPID) && s->vpid == 0, VPID_ZERO, vpid);
	if (proc2 & PROC2_EPT) {
		uint64_t type = s->ept_pointer & EPTP_MEMORY_TYPE_MASK;
		uint64_t walk = s->ept_pointer & EPTP_WALK_MASK;
		uint64_t reserved = EPTP_RESERVED_LOW;

		if (!(caps->ept_vpid & EPT_CAP_SHADOW_STACK))
			reserved |= EPTP_SHADOW_STACK;
		BREAKS(!(type == MEMORY_TYPE_WB && (caps->ept_vpid & EPT_CAP_TYPE_WB)) &&
			   !(type == MEMORY_TYPE_UC && (caps->ept_vpid & EPT_CAP_TYPE_UC)),
		       EPTP_TYPE, ept_pointer);
		BREAKS(!(walk == EPTP_WALK_4 && (caps->ept_vpid & EPT_CAP_WALK_4)) &&
			   !(walk == EPTP_WALK_5 && (caps->ept_vpid & EPT_CAP_WALK_5)),
		       EPTP_WALK, ept_pointer);
		BREAKS((s->ept_pointer & EPTP_ACCESSED_DIRTY) &&
			   !(caps->ept_vpid & EPT_CAP_ACCESSED_DIRTY),
		       EPTP_AD_FLAGS, ept_pointer);
		BREAKS((s->ept_pointer & reserved) || !explain_physical(e, s->ept_pointer),
		       EPTP_RESERVED, ept_pointer);
	} else {
		BREAKS(proc2 & PROC2_UNRESTRICTED_GUEST, UNRESTRICTED_NEEDS_EPT, proc2);
		BREAKS(proc2 & (PROC2_PML | PROC2_MODE_BASED_EXECUTE | PROC2_SUB_PAGE_WRITE),
		       EPT_NEEDED, proc2);
	}
}

/* A list of count MSR entries at address: aligned, and its last byte in range. */
static bool msr_list_valid(const struct explain *e, uint64_t address, uint64_t count)
{
	uint64_t last;

	if (count == 0)
		return true;
	last = address + (count & UINT32_MAX) * MSR_LIST_ENTRY_BYTES - 1;
	return (address & (MSR_LIST_ENTRY_BYTES - 1)) == 0 && explain_physical(e, address) &&
	       explain_physical(e, last);
}

void explain_exit_controls(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;

	BREAKS(~s->exit & vmx_caps_must_be_1(e->caps, VMX_EXIT), EXIT_MUST_BE_1, exit);
	BREAKS(s->exit & ~(uint64_t)vmx_caps_may_be_1(e->caps, VMX_EXIT), EXIT_MAY_BE_1, exit);
	BREAKS((s->exit & EXIT_SAVE_PREEMPTION_TIMER) && !(s->pin & PIN_PREEMPTION_TIMER),
	       SAVE_TIMER, exit);
	BREAKS(!msr_list_valid(e, s->exit_msr_store_address, s->exit_msr_store_count),
	       EXIT_MSR_STORE, exit_msr_store_address);
	BREAKS(!msr_list_valid(e, s->exit_msr_load_address, s->exit_msr_load_count), EXIT_MSR_LOAD,
	       exit_msr_load_address);
}

/* Whether the deliver-error-code bit of the injected event is wrong. */
static bool error_code_bit_wrong(const struct explain *e, uint32_t info)
{
	const struct vmcs_snapshot *s = e->s;
	const uint32_t vector = info & INTERRUPTION_VECTOR_MASK;
	const bool delivers = (info & INTERRUPTION_ERROR_CODE) != 0;
	bool real_mode = (explain_proc2(s) & PROC2_UNRESTRICTED_GUEST) && !(s->guest_cr0 & CR0_PE);

	if (real_mode || (info & INTERRUPTION_TYPE_MASK) != INTERRUPTION_HARDWARE_EXCEPTION)
		return delivers;
	/* A processor that says so delivers any hardware exception with or without one. */
	if (e->caps->basic & VMX_BASIC_ANY_ERROR_CODE)
		return false;
	/* #CP came later: processors without that freedom do not know it. */
	return delivers != (vector < VECTOR_CP && (VECTORS_WITH_ERROR_CODE >> vector & 1));
}

static void explain_injection(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;
	const uint32_t info = (uint32_t)s->entry_interruption_info;
	const uint32_t type = info & INTERRUPTION_TYPE_MASK;
	const uint32_t vector = info & INTERRUPTION_VECTOR_MASK;
	const bool has_mtf = vmx_caps_present(e->caps, VMX_PROC, PROC_MONITOR_TRAP_FLAG);
	const uint64_t length = s->entry_instruction_length;

	BREAKS(type == INTERRUPTION_RESERVED_TYPE || (type == INTERRUPTION_OTHER_EVENT && !has_mtf),
	       INJECT_TYPE, entry_interruption_info);
	BREAKS(
	    (type == INTERRUPTION_NMI && vector != VECTOR_NMI) ||
		(type == INTERRUPTION_HARDWARE_EXCEPTION && vector >= VECTOR_COUNT_ARCHITECTURE) ||
		(type == INTERRUPTION_OTHER_EVENT && vector != OTHER_EVENT_PENDING_MTF),
	    INJECT_VECTOR, entry_interruption_info);
	BREAKS(error_code_bit_wrong(e, info), INJECT_ERROR_CODE, entry_interruption_info);
	BREAKS(info & ENTRY_INTERRUPTION_RESERVED, INJECT_RESERVED, entry_interruption_info);
	BREAKS((info & INTERRUPTION_ERROR_CODE) && s->entry_exception_error_code >> 16,
	       INJECT_ERROR_CODE_VALUE, entry_exception_error_code);
	BREAKS((type == INTERRUPTION_SOFTWARE_INTERRUPT ||
		type == INTERRUPTION_PRIVILEGED_SOFTWARE ||
		type == INTERRUPTION_SOFTWARE_EXCEPTION) &&
		   (length > 15 || (length == 0 && !(e->caps->misc & VMX_MISC_INJECT_ZERO_LENGTH))),
	       INJECT_LENGTH, entry_instruction_length);
}

void explain_entry_controls(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;

	BREAKS(~s->entry & vmx_caps_must_be_1(e->caps, VMX_ENTRY), ENTRY_MUST_BE_1, entry);
	BREAKS(s->entry & ~(uint64_t)vmx_caps_may_be_1(e->caps, VMX_ENTRY), ENTRY_MAY_BE_1, entry);
	if (s->entry_interruption_info & INTERRUPTION_VALID)
		explain_injection(e);
	BREAKS(!msr_list_valid(e, s->entry_msr_load_address, s->entry_msr_load_count),
	       ENTRY_MSR_LOAD, entry_msr_load_address);
	BREAKS(s->entry & (ENTRY_TO_SMM | ENTRY_DEACTIVATE_DUAL_MONITOR), ENTRY_SMM, entry);
}
