/*
 * The capability table: which VT-x features Keyhole needs, uses if present, or does without; what
 * this processor has; and the control fields that follow.
 *
 * State: none (pure functions over the caller's structures). No lock.
 *
 * Sources: Intel SDM Vol. 3, appendix "VMX Capability Reporting Facility"; "Enabling and Entering
 * VMX Operation".
 */
#include "vmx/caps.h"
#include "public/errno.h"

const struct vmx_capability vmx_capabilities[] = {
    {VMX_PIN, VMX_REQUIRED, PIN_EXTERNAL_INTERRUPT_EXITING, "external-interrupt exiting"},
    {VMX_PIN, VMX_REQUIRED, PIN_NMI_EXITING, "NMI exiting"},
    {VMX_PIN, VMX_REQUIRED, PIN_VIRTUAL_NMIS, "virtual NMIs"},
    {VMX_PIN, VMX_OPTIONAL, PIN_PREEMPTION_TIMER, "VMX-preemption timer"},

    {VMX_PROC, VMX_ABLE, PROC_INTERRUPT_WINDOW_EXITING, "interrupt-window exiting"},
    {VMX_PROC, VMX_REQUIRED, PROC_TSC_OFFSETTING, "TSC offsetting"},
    {VMX_PROC, VMX_REQUIRED, PROC_HLT_EXITING, "HLT exiting"},
    {VMX_PROC, VMX_REQUIRED, PROC_MWAIT_EXITING, "MWAIT exiting"},
    {VMX_PROC, VMX_REQUIRED, PROC_RDPMC_EXITING, "RDPMC exiting"},
    {VMX_PROC, VMX_CLEAR, PROC_CR3_LOAD_EXITING, "CR3-load exiting off"},
    {VMX_PROC, VMX_CLEAR, PROC_CR3_STORE_EXITING, "CR3-store exiting off"},
    {VMX_PROC, VMX_REQUIRED, PROC_CR8_LOAD_EXITING, "CR8-load exiting"},
    {VMX_PROC, VMX_REQUIRED, PROC_CR8_STORE_EXITING, "CR8-store exiting"},
    {VMX_PROC, VMX_ON_DEMAND, PROC_TPR_SHADOW, "TPR shadow"},
    {VMX_PROC, VMX_ABLE, PROC_NMI_WINDOW_EXITING, "NMI-window exiting"},
    {VMX_PROC, VMX_ABLE, PROC_MOV_DR_EXITING, "MOV-DR exiting"},
    {VMX_PROC, VMX_ABLE, PROC_UNCONDITIONAL_IO_EXITING, "unconditional I/O exiting"},
    {VMX_PROC, VMX_OPTIONAL, PROC_IO_BITMAPS, "I/O bitmaps"},
    {VMX_PROC, VMX_ON_DEMAND, PROC_MONITOR_TRAP_FLAG, "monitor trap flag"},
    {VMX_PROC, VMX_REQUIRED, PROC_MSR_BITMAPS, "MSR bitmaps"},
    {VMX_PROC, VMX_REQUIRED, PROC_MONITOR_EXITING, "MONITOR exiting"},
    {VMX_PROC, VMX_ON_DEMAND, PROC_PAUSE_EXITING, "PAUSE exiting"},
    {VMX_PROC, VMX_REQUIRED, PROC_SECONDARY_CONTROLS, "secondary controls"},

    {VMX_PROC2, VMX_REQUIRED, PROC2_EPT, "EPT"},
    {VMX_PROC2, VMX_ON_DEMAND, PROC2_VIRTUALIZE_X2APIC, "virtualize x2APIC"},
    {VMX_PROC2, VMX_ON_DEMAND, PROC2_APIC_REGISTER_VIRT, "APIC-register virtualization"},
    {VMX_PROC2, VMX_ON_DEMAND, PROC2_VIRTUAL_INTERRUPT_DELIVERY, "virtual-interrupt delivery"},
    {VMX_PROC2, VMX_OPTIONAL, PROC2_RDTSCP, "RDTSCP and RDPID"},
    {VMX_PROC2, VMX_OPTIONAL, PROC2_VPID, "VPID"},
    {VMX_PROC2, VMX_OPTIONAL, PROC2_WBINVD_EXITING, "WBINVD exiting"},
    {VMX_PROC2, VMX_REQUIRED, PROC2_UNRESTRICTED_GUEST, "unrestricted guest"},
    {VMX_PROC2, VMX_ON_DEMAND, PROC2_PAUSE_LOOP_EXITING, "PAUSE-loop exiting"},
    {VMX_PROC2, VMX_OPTIONAL, PROC2_INVPCID, "INVPCID"},
    {VMX_PROC2, VMX_ON_DEMAND, PROC2_XSAVES, "XSAVES and XRSTORS"},

    {VMX_EXIT, VMX_OPTIONAL, EXIT_SAVE_DEBUG_CONTROLS, "save debug controls"},
    {VMX_EXIT, VMX_REQUIRED, EXIT_HOST_64BIT, "64-bit host"},
    {VMX_EXIT, VMX_REQUIRED, EXIT_ACKNOWLEDGE_INTERRUPT, "acknowledge interrupt on exit"},
    {VMX_EXIT, VMX_REQUIRED, EXIT_SAVE_PAT, "save IA32_PAT"},
    {VMX_EXIT, VMX_REQUIRED, EXIT_LOAD_PAT, "load IA32_PAT of the host"},
    {VMX_EXIT, VMX_REQUIRED, EXIT_SAVE_EFER, "save IA32_EFER"},
    {VMX_EXIT, VMX_REQUIRED, EXIT_LOAD_EFER, "load IA32_EFER of the host"},
    {VMX_EXIT, VMX_OPTIONAL, EXIT_SAVE_PREEMPTION_TIMER, "save VMX-preemption timer"},

    {VMX_ENTRY, VMX_OPTIONAL, ENTRY_LOAD_DEBUG_CONTROLS, "load debug controls"},
    {VMX_ENTRY, VMX_ABLE, ENTRY_IA32E_MODE_GUEST, "64-bit guest"},
    {VMX_ENTRY, VMX_REQUIRED, ENTRY_LOAD_PAT, "load IA32_PAT of the guest"},
    {VMX_ENTRY, VMX_REQUIRED, ENTRY_LOAD_EFER, "load IA32_EFER of the guest"},

    {VMX_EPT_VPID, VMX_ABLE, EPT_CAP_WALK_4, "EPT: 4-level walk"},
    {VMX_EPT_VPID, VMX_ABLE, EPT_CAP_TYPE_WB, "EPT: write-back tables"},
    {VMX_EPT_VPID, VMX_ON_DEMAND, EPT_CAP_EXECUTE_ONLY, "EPT: execute-only pages"},
    {VMX_EPT_VPID, VMX_ON_DEMAND, EPT_CAP_PAGE_2M, "EPT: 2 MiB pages"},
    {VMX_EPT_VPID, VMX_ON_DEMAND, EPT_CAP_PAGE_1G, "EPT: 1 GiB pages"},
    {VMX_EPT_VPID, VMX_ON_DEMAND, EPT_CAP_ACCESSED_DIRTY, "EPT: accessed and dirty flags"},
    {VMX_EPT_VPID, VMX_ABLE, EPT_CAP_INVEPT, "INVEPT"},
    {VMX_EPT_VPID, VMX_ON_DEMAND, EPT_CAP_INVEPT_SINGLE, "INVEPT: one context"},
    {VMX_EPT_VPID, VMX_ABLE, EPT_CAP_INVEPT_ALL, "INVEPT: all contexts"},
    {VMX_EPT_VPID, VMX_ON_DEMAND, VPID_CAP_INVVPID, "INVVPID"},
    {VMX_EPT_VPID, VMX_ON_DEMAND, VPID_CAP_INVVPID_ADDRESS, "INVVPID: one address"},
    {VMX_EPT_VPID, VMX_ON_DEMAND, VPID_CAP_INVVPID_SINGLE, "INVVPID: one context"},
    {VMX_EPT_VPID, VMX_ON_DEMAND, VPID_CAP_INVVPID_ALL, "INVVPID: all contexts"},
    {VMX_EPT_VPID, VMX_ON_DEMAND, VPID_CAP_INVVPID_SINGLE_KEEP_GLOBAL,
     "INVVPID: one context, globals kept"},

    {VMX_MISC, VMX_ON_DEMAND, VMX_MISC_ACTIVITY_HLT, "activity state HLT"},
    {VMX_MISC, VMX_ON_DEMAND, VMX_MISC_ACTIVITY_SHUTDOWN, "activity state shutdown"},
    {VMX_MISC, VMX_ON_DEMAND, VMX_MISC_ACTIVITY_WAIT_SIPI, "activity state wait-for-SIPI"},
    {VMX_MISC, VMX_ON_DEMAND, VMX_MISC_INJECT_ZERO_LENGTH, "injection with length 0"},
};
const unsigned vmx_capability_count = array_size(vmx_capabilities);

static const char *const family_names[VMX_FAMILIES] = {
    [VMX_PIN] = "pin",	   [VMX_PROC] = "proc",		[VMX_PROC2] = "proc2", [VMX_EXIT] = "exit",
    [VMX_ENTRY] = "entry", [VMX_EPT_VPID] = "ept/vpid", [VMX_MISC] = "misc",
};

static const char *const need_names[] = {
    [VMX_REQUIRED] = "required", [VMX_ABLE] = "required",      [VMX_CLEAR] = "required",
    [VMX_OPTIONAL] = "optional", [VMX_ON_DEMAND] = "optional",
};

static void fill_cpuid(struct vmx_caps *caps, const struct vmx_cpu_reader *cpu)
{
	uint32_t r[4], basic_leaves, extended_leaves;

	cpu->read_cpuid(0, 0, r);
	basic_leaves = r[0];
	/* "GenuineIntel" in EBX, EDX, ECX */
	caps->intel = r[1] == 0x756e6547 && r[3] == 0x49656e69 && r[2] == 0x6c65746e;

	cpu->read_cpuid(1, 0, r);
	caps->vmx = (r[2] & CPUID_1_ECX_VMX) != 0;
	caps->hypervisor = (r[2] & CPUID_1_ECX_HYPERVISOR) != 0;
	if (basic_leaves >= 7) {
		cpu->read_cpuid(7, 0, r);
		caps->rtm = (r[1] & CPUID_7_EBX_RTM) != 0;
		caps->sgx = (r[1] & CPUID_7_EBX_SGX) != 0;
		caps->bus_lock_detect = (r[2] & CPUID_7_ECX_BUS_LOCK_DETECT) != 0;
	}

	caps->physical_bits = 36;
	caps->linear_bits = 48;
	cpu->read_cpuid(0x80000000, 0, r);
	extended_leaves = r[0];
	if (extended_leaves >= 0x80000001) {
		cpu->read_cpuid(0x80000001, 0, r);
		if (r[3] & CPUID_80000001_EDX_SYSCALL)
			caps->efer_valid |= EFER_SCE;
		if (r[3] & CPUID_80000001_EDX_LONG_MODE)
			caps->efer_valid |= EFER_SCE | EFER_LME | EFER_LMA;
		if (r[3] & CPUID_80000001_EDX_NX)
			caps->efer_valid |= EFER_NXE;
	}
	if (extended_leaves >= 0x80000008) {
		cpu->read_cpuid(0x80000008, 0, r);
		caps->physical_bits = (uint8_t)r[0];
		caps->linear_bits = (uint8_t)(r[0] >> 8);
	}
}

/*
 * Reads everything that matters of the current CPU. MSRs that a processor may lack are read only
 * where another one says that they exist, so that nothing faults; without VMX in CPUID none is
 * read.
 */
void vmx_caps_fill(struct vmx_caps *caps, const struct vmx_cpu_reader *cpu)
{
	*caps = (struct vmx_caps){0};
	fill_cpuid(caps, cpu);
	if (!caps->vmx)
		return;

	caps->feature_control = cpu->read_msr(MSR_IA32_FEATURE_CONTROL);
	caps->basic = cpu->read_msr(MSR_IA32_VMX_BASIC);
	if (caps->basic & VMX_BASIC_TRUE_CONTROLS) {
		caps->control[VMX_PIN] = cpu->read_msr(MSR_IA32_VMX_TRUE_PINBASED_CTLS);
		caps->control[VMX_PROC] = cpu->read_msr(MSR_IA32_VMX_TRUE_PROCBASED_CTLS);
		caps->control[VMX_EXIT] = cpu->read_msr(MSR_IA32_VMX_TRUE_EXIT_CTLS);
		caps->control[VMX_ENTRY] = cpu->read_msr(MSR_IA32_VMX_TRUE_ENTRY_CTLS);
	} else {
		caps->control[VMX_PIN] = cpu->read_msr(MSR_IA32_VMX_PINBASED_CTLS);
		caps->control[VMX_PROC] = cpu->read_msr(MSR_IA32_VMX_PROCBASED_CTLS);
		caps->control[VMX_EXIT] = cpu->read_msr(MSR_IA32_VMX_EXIT_CTLS);
		caps->control[VMX_ENTRY] = cpu->read_msr(MSR_IA32_VMX_ENTRY_CTLS);
	}
	if (vmx_caps_present(caps, VMX_PROC, PROC_SECONDARY_CONTROLS))
		caps->control[VMX_PROC2] = cpu->read_msr(MSR_IA32_VMX_PROCBASED_CTLS2);
	if (vmx_caps_may_be_1(caps, VMX_PROC2) & (PROC2_EPT | PROC2_VPID))
		caps->ept_vpid = cpu->read_msr(MSR_IA32_VMX_EPT_VPID_CAP);
	caps->misc = cpu->read_msr(MSR_IA32_VMX_MISC);
	caps->cr0_fixed0 = cpu->read_msr(MSR_IA32_VMX_CR0_FIXED0);
	caps->cr0_fixed1 = cpu->read_msr(MSR_IA32_VMX_CR0_FIXED1);
	caps->cr4_fixed0 = cpu->read_msr(MSR_IA32_VMX_CR4_FIXED0);
	caps->cr4_fixed1 = cpu->read_msr(MSR_IA32_VMX_CR4_FIXED1);
}

/* Whether two CPUs are alike in all that Keyhole depends on (the lock bit of feature control may
 * be set on one and still to be set on the other). */
bool vmx_caps_equal(const struct vmx_caps *a, const struct vmx_caps *b)
{
	for (unsigned i = 0; i < VMX_CONTROL_FAMILIES; i++)
		if (a->control[i] != b->control[i])
			return false;
	return a->vmx == b->vmx && a->basic == b->basic && a->misc == b->misc &&
	       a->ept_vpid == b->ept_vpid && a->cr0_fixed0 == b->cr0_fixed0 &&
	       a->cr0_fixed1 == b->cr0_fixed1 && a->cr4_fixed0 == b->cr4_fixed0 &&
	       a->cr4_fixed1 == b->cr4_fixed1 && a->efer_valid == b->efer_valid &&
	       a->physical_bits == b->physical_bits && a->linear_bits == b->linear_bits &&
	       a->rtm == b->rtm && a->bus_lock_detect == b->bus_lock_detect && a->sgx == b->sgx;
}

int vmx_caps_check_platform(const struct vmx_caps *caps, uint64_t *feature_control)
{
	const uint64_t needed = FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX_OUTSIDE_SMX;

	*feature_control = caps->feature_control;
	if (!caps->vmx) {
		print(LOG_ERROR, "VT-x: CPUID does not offer VMX");
		if (caps->hypervisor)
			print(LOG_ERROR, "VT-x: this is a virtual machine: on an Intel host load "
					 "kvm_intel with nested=1 and give QEMU -accel kvm -cpu "
					 "host; QEMU without KVM has no VMX; Bochs has it");
		else if (!caps->intel)
			print(LOG_ERROR, "VT-x: this is not an Intel processor, and AMD's SVM is "
					 "not supported");
		else
			print(LOG_ERROR, "VT-x: the processor lacks VT-x, or the firmware hides "
					 "it: look for \"Virtualization Technology\" in its setup");
		return -XEN_EOPNOTSUPP;
	}
	if (!(caps->feature_control & FEATURE_CONTROL_LOCKED)) {
		*feature_control |= needed;
		return 0;
	}
	if (caps->feature_control & FEATURE_CONTROL_VMX_OUTSIDE_SMX)
		return 0;
	print(LOG_ERROR, "VT-x: IA32_FEATURE_CONTROL (0x%lx) is locked without VMX%s",
	      caps->feature_control,
	      caps->feature_control & FEATURE_CONTROL_VMX_IN_SMX ? " outside SMX" : "");
	print(
	    LOG_ERROR, "VT-x: %s",
	    caps->hypervisor
		? "the outer hypervisor locked it: give this machine VMX (KVM: nested=1, -cpu host)"
		: "enable Intel Virtualization Technology (VT-x) in the firmware setup, then "
		  "switch the machine off and on: a reboot may keep the lock");
	return -XEN_EOPNOTSUPP;
}

static bool capability_satisfied(const struct vmx_caps *caps, const struct vmx_capability *c)
{
	if (c->need == VMX_CLEAR)
		return !(vmx_caps_must_be_1(caps, c->family) & c->bit);
	return vmx_caps_present(caps, c->family, c->bit);
}

/*
 * Chooses the initial controls: all that is required, all that is optional and present, and the
 * bits that must be 1. Names each requirement that is not met. -XEN_EOPNOTSUPP if there is any;
 * *controls is then not touched.
 */
int vmx_caps_choose(const struct vmx_caps *caps, struct vmx_controls *controls)
{
	uint32_t wanted[VMX_CONTROL_FAMILIES] = {0};
	unsigned missing = 0;

	for (unsigned i = 0; i < vmx_capability_count; i++) {
		const struct vmx_capability *c = &vmx_capabilities[i];

		if (c->need <= VMX_CLEAR && !capability_satisfied(caps, c)) {
			print(LOG_ERROR, "VT-x: missing: %s (%s)", c->name,
			      family_names[c->family]);
			missing++;
		}
		if (c->need == VMX_REQUIRED || c->need == VMX_OPTIONAL)
			wanted[c->family] |= (uint32_t)c->bit;
	}
	if (missing > 0) {
		print(LOG_ERROR, "VT-x: %u required features missing: %s", missing,
		      caps->hypervisor
			  ? "let the outer hypervisor offer them (KVM: kvm_intel with ept=1 "
			    "unrestricted_guest=1 nested=1, QEMU with -cpu host)"
			  : "this processor is too old (before 2010), or its firmware turned "
			    "them off");
		return -XEN_EOPNOTSUPP;
	}

	/* Default deny for ports: without bitmaps every port access exits. */
	if (!vmx_caps_present(caps, VMX_PROC, PROC_IO_BITMAPS))
		wanted[VMX_PROC] |= PROC_UNCONDITIONAL_IO_EXITING;
	/* A VPID that cannot be flushed when it is reused is of no use. */
	if (!vmx_caps_present(caps, VMX_EPT_VPID, VPID_CAP_INVVPID) ||
	    !(caps->ept_vpid & (VPID_CAP_INVVPID_SINGLE | VPID_CAP_INVVPID_ALL)))
		wanted[VMX_PROC2] &= ~PROC2_VPID;
	/* Both or neither: a timer that starts anew at each entry would never end the slice of a
	 * guest that exits often, and one that is saved without being there is refused. */
	if (!vmx_caps_present(caps, VMX_PIN, PIN_PREEMPTION_TIMER) ||
	    !vmx_caps_present(caps, VMX_EXIT, EXIT_SAVE_PREEMPTION_TIMER)) {
		wanted[VMX_PIN] &= ~PIN_PREEMPTION_TIMER;
		wanted[VMX_EXIT] &= ~EXIT_SAVE_PREEMPTION_TIMER;
	}
	for (unsigned f = 0; f < VMX_CONTROL_FAMILIES; f++)
		controls->value[f] =
		    (wanted[f] & vmx_caps_may_be_1(caps, f)) | vmx_caps_must_be_1(caps, f);
	return 0;
}

/* The table of the log: a line per capability. controls may be NULL (nothing chosen). */
void vmx_caps_print(const struct vmx_caps *caps, const struct vmx_controls *controls)
{
	print(LOG_INFO,
	      "VT-x: revision 0x%x, VMCS of %u bytes, %s control MSRs, %u+%u address bits",
	      (uint32_t)(caps->basic & VMX_BASIC_REVISION_MASK),
	      (unsigned)((caps->basic >> VMX_BASIC_VMCS_SIZE_SHIFT) & VMX_BASIC_VMCS_SIZE_MASK),
	      caps->basic & VMX_BASIC_TRUE_CONTROLS ? "true" : "old", caps->physical_bits,
	      caps->linear_bits);
	for (unsigned i = 0; i < vmx_capability_count; i++) {
		const struct vmx_capability *c = &vmx_capabilities[i];
		const char *chosen = "";

		if (controls && c->family < VMX_CONTROL_FAMILIES) {
			bool set = (controls->value[c->family] & c->bit) != 0;

			if (c->need == VMX_CLEAR)
				chosen = set ? "" : "chosen";
			else
				chosen = set ? "chosen" : "not set now";
		}
		print(LOG_INFO, "VT-x: %-8s %-8s %-7s %-11s %s", family_names[c->family],
		      need_names[c->need], capability_satisfied(caps, c) ? "present" : "absent",
		      chosen, c->name);
	}
	if (controls)
		print(LOG_INFO, "VT-x: controls pin %08x proc %08x proc2 %08x exit %08x entry %08x",
		      controls->value[VMX_PIN], controls->value[VMX_PROC],
		      controls->value[VMX_PROC2], controls->value[VMX_EXIT],
		      controls->value[VMX_ENTRY]);
}
