/*
 * What the processor does of the local APIC by itself ("APIC virtualization"), where it can.
 *
 * With a TPR shadow, CR8 is the task priority in the vCPU's virtual-APIC page, without an exit; it
 * exits when it falls below what would let an interrupt in. With x2APIC virtualization, register
 * virtualization and virtual-interrupt delivery all three, a vCPU whose local APIC is in x2APIC
 * mode and enabled reads its registers, writes task priority, EOI and self-IPI, and gets its
 * interrupts, without one. In every other state vmx/events.c does it all. apicv=off leaves it out.
 *
 * State: what is used, constant after vmx_init(); struct vlapic.virtualized of the current vCPU,
 * and its VMCS. No lock. Source: SDM Vol. 3, "APIC Virtualization and Virtual Interrupts".
 */
#include "vmx/exit_reasons.h"
#include "vmx/vlapic.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

bool vmx_apicv_enabled = true; /* the option */

#define PROC2_APICV \
	(PROC2_VIRTUALIZE_X2APIC | PROC2_APIC_REGISTER_VIRT | PROC2_VIRTUAL_INTERRUPT_DELIVERY)
#define CR8_EXITING (PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING)

/* MSRs that the processor reads from the page. Not the command, which is 64 bits wide and lies in
 * two registers there, nor the current count, which nobody keeps up to date. */
static const uint32_t read_ranges[][2] = {
    {MSR_X2APIC_APICID, MSR_X2APIC_VERSION},
    {MSR_X2APIC_TPR, MSR_X2APIC_TPR},
    {MSR_X2APIC_PPR, MSR_X2APIC_PPR},
    {MSR_X2APIC_LDR, MSR_X2APIC_LDR},
    {MSR_X2APIC_SIVR, MSR_X2APIC_ESR},
    {MSR_X2APIC_LVT_TIMER, MSR_X2APIC_INITIAL_COUNT},
    {MSR_X2APIC_DIVIDE_CONF, MSR_X2APIC_DIVIDE_CONF},
};

/* What the processor has. */
static bool has_tpr_shadow(void)
{
	return vmx_apicv_enabled && vmx_caps_present(&vmx_machine.caps, VMX_PROC, PROC_TPR_SHADOW);
}

bool vmx_apicv_present(void)
{
	return has_tpr_shadow() && vmx_caps_present(&vmx_machine.caps, VMX_PROC2, PROC2_APICV);
}

/* For a vCPU in that state: bitmap is a copy of the usual one. */
void vmx_apicv_fill_bitmap(uint8_t *bitmap)
{
	for (unsigned i = 0; i < array_size(read_ranges); i++)
		for (uint32_t msr = read_ranges[i][0]; msr <= read_ranges[i][1]; msr++)
			vmx_msr_allow(bitmap, msr, false);
	vmx_msr_allow(bitmap, MSR_X2APIC_TPR, true);
	vmx_msr_allow(bitmap, MSR_X2APIC_EOI, true);
	vmx_msr_allow(bitmap, MSR_X2APIC_SELF_IPI, true);
}

/* A new vCPU, whose controls have just been written. */
void vmx_apicv_setup(const struct vcpu_shared *v)
{
	if (!has_tpr_shadow())
		return;
	uint32_t proc = vmcs_read32(VMCS_PROC_CONTROLS) & ~CR8_EXITING;

	vmcs_write32(VMCS_PROC_CONTROLS, proc | PROC_TPR_SHADOW);
	vmcs_write64(VMCS_VIRTUAL_APIC_ADDRESS, paddr_raw(mfn_to_paddr(v->secret[VCPU_APIC_PAGE])));
	vmcs_write32(VMCS_TPR_THRESHOLD, 0);
	if (vmx_apicv_present()) {
		const vmcs64_t eoi_exits[] = {VMCS_EOI_EXIT_BITMAP_0, VMCS_EOI_EXIT_BITMAP_1,
					      VMCS_EOI_EXIT_BITMAP_2, VMCS_EOI_EXIT_BITMAP_3};

		for (unsigned i = 0; i < array_size(eoi_exits); i++)
			vmcs_write64(eoi_exits[i], 0);
		vmcs_write16(VMCS_GUEST_INTERRUPT_STATUS, 0);
	}
}

/* Tells the processor what is requested and in service; it delivers that when it can. */
static void tell_status(const struct vlapic *a)
{
	int requested = vlapic_highest_requested(a), in_service = vlapic_highest_in_service(a);

	vmcs_write16(
	    VMCS_GUEST_INTERRUPT_STATUS,
	    (uint16_t)((requested < 0 ? 0 : requested) | (in_service < 0 ? 0 : in_service) << 8));
}

/* The mode of the current vCPU's local APIC may have changed. */
void vmx_apicv_update(struct vlapic *a)
{
	bool can = vmx_apicv_present() && vlapic_is_x2(a) && vlapic_software_enabled(a);

	if (can == a->virtualized)
		return;
	uint32_t proc2 = vmcs_read32(VMCS_PROC2_CONTROLS) & ~PROC2_APICV;

	a->virtualized = can;
	vmcs_write32(VMCS_PROC2_CONTROLS, proc2 | (can ? PROC2_APICV : 0));
	vmcs_write64(VMCS_MSR_BITMAP, paddr_raw(mfn_to_paddr(can ? vmx_machine.msr_bitmap_apicv
								 : vmx_machine.msr_bitmap)));
	vmcs_write32(VMCS_TPR_THRESHOLD, 0);
}

/*
 * What is requested may have changed. Where the processor delivers interrupts it is told at once,
 * also of those that the task priority keeps away: when that falls, there is no exit. With a TPR
 * shadow only: when nothing can be delivered for the task priority alone, an exit comes when that
 * falls.
 */
void vmx_apicv_changed(const struct vlapic *a)
{
	if (a->virtualized) {
		tell_status(a);
		return;
	}
	if (!has_tpr_shadow())
		return;
	int requested = vlapic_highest_requested(a);
	uint32_t tpr = vlapic_get(a, APIC_TPR) >> 4 & 0xf;
	uint32_t class = requested < 0 ? 0 : (uint32_t)requested >> 4;

	vmcs_write32(VMCS_TPR_THRESHOLD, class <= tpr ? class : 0);
}

/* A write that the processor has put into the page, and cannot complete: a self-IPI of an illegal
 * vector. */
void vmx_exit_apic_write(void)
{
	struct vlapic *a = vlapic_current();

	if ((vmcs_readn(VMCS_EXIT_QUALIFICATION) & APIC_ACCESS_OFFSET_MASK) == APIC_SELF_IPI)
		vlapic_send(a, APIC_ICR_SELF | (vlapic_get(a, APIC_SELF_IPI) & APIC_ICR_VECTOR), 0);
	vmx_events_changed();
}
