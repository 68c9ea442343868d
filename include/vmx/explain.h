/*
 * The VM-entry failure explainer: the checks of a VM entry, run in software over a copy of the
 * VMCS.
 *
 * When an entry fails with VM-instruction error 7 (invalid control fields), 8 (invalid host-state
 * fields) or exit reason 33 (invalid guest state), the processor does not say which field it is.
 * vmx_explain() finds the rules that the VMCS breaks, each with its field, value and section title.
 *
 * State: none (pure functions). A snapshot holds guest registers: it belongs on the stack of the
 * CPU that runs the guest, never in shared memory. No lock. Ready for many CPUs.
 *
 * Scope: the fields that Keyhole writes, with a 64-bit host outside SMM. A control that Keyhole
 * never sets and that has fields of its own (posted interrupts, VM functions, VMCS shadowing, CET,
 * ...) is checked against the capability MSRs only.
 *
 * Source: Intel SDM Vol. 3, chapter "VM Entries", sections "Checks on VMX Controls and Host-State
 * Area" and "Checking and Loading Guest State".
 */
#ifndef KEYHOLE_VMX_EXPLAIN_H
#define KEYHOLE_VMX_EXPLAIN_H

#include "types.h"
#include "vmx/caps.h"
#include "vmx/vmcs_fields.h"

/* clang-format off */
/* Every field that a rule looks at: member of struct vmcs_snapshot, name in vmx/vmcs_fields.h. */
#define VMCS_SNAPSHOT_SEGMENT(S, reg, REG) \
	S(guest_##reg##_selector, GUEST_##REG##_SELECTOR) \
	S(guest_##reg##_base, GUEST_##REG##_BASE) \
	S(guest_##reg##_limit, GUEST_##REG##_LIMIT) \
	S(guest_##reg##_ar, GUEST_##REG##_AR)

#define VMCS_SNAPSHOT_FIELDS(S) \
	S(pin, PIN_CONTROLS) \
	S(proc, PROC_CONTROLS) \
	S(proc2, PROC2_CONTROLS) \
	S(exit, EXIT_CONTROLS) \
	S(entry, ENTRY_CONTROLS) \
	S(cr3_target_count, CR3_TARGET_COUNT) \
	S(io_bitmap_a, IO_BITMAP_A) \
	S(io_bitmap_b, IO_BITMAP_B) \
	S(msr_bitmap, MSR_BITMAP) \
	S(virtual_apic_address, VIRTUAL_APIC_ADDRESS) \
	S(apic_access_address, APIC_ACCESS_ADDRESS) \
	S(tpr_threshold, TPR_THRESHOLD) \
	S(ept_pointer, EPT_POINTER) \
	S(vpid, VPID) \
	S(exit_msr_store_count, EXIT_MSR_STORE_COUNT) \
	S(exit_msr_store_address, EXIT_MSR_STORE_ADDRESS) \
	S(exit_msr_load_count, EXIT_MSR_LOAD_COUNT) \
	S(exit_msr_load_address, EXIT_MSR_LOAD_ADDRESS) \
	S(entry_msr_load_count, ENTRY_MSR_LOAD_COUNT) \
	S(entry_msr_load_address, ENTRY_MSR_LOAD_ADDRESS) \
	S(entry_interruption_info, ENTRY_INTERRUPTION_INFO) \
	S(entry_exception_error_code, ENTRY_EXCEPTION_ERROR_CODE) \
	S(entry_instruction_length, ENTRY_INSTRUCTION_LENGTH) \
	S(host_cr0, HOST_CR0) \
	S(host_cr3, HOST_CR3) \
	S(host_cr4, HOST_CR4) \
	S(host_sysenter_esp, HOST_SYSENTER_ESP) \
	S(host_sysenter_eip, HOST_SYSENTER_EIP) \
	S(host_pat, HOST_PAT) \
	S(host_efer, HOST_EFER) \
	S(host_es_selector, HOST_ES_SELECTOR) \
	S(host_cs_selector, HOST_CS_SELECTOR) \
	S(host_ss_selector, HOST_SS_SELECTOR) \
	S(host_ds_selector, HOST_DS_SELECTOR) \
	S(host_fs_selector, HOST_FS_SELECTOR) \
	S(host_gs_selector, HOST_GS_SELECTOR) \
	S(host_tr_selector, HOST_TR_SELECTOR) \
	S(host_fs_base, HOST_FS_BASE) \
	S(host_gs_base, HOST_GS_BASE) \
	S(host_tr_base, HOST_TR_BASE) \
	S(host_gdtr_base, HOST_GDTR_BASE) \
	S(host_idtr_base, HOST_IDTR_BASE) \
	S(host_rip, HOST_RIP) \
	S(guest_cr0, GUEST_CR0) \
	S(guest_cr3, GUEST_CR3) \
	S(guest_cr4, GUEST_CR4) \
	S(guest_dr7, GUEST_DR7) \
	S(guest_debugctl, GUEST_DEBUGCTL) \
	S(guest_sysenter_esp, GUEST_SYSENTER_ESP) \
	S(guest_sysenter_eip, GUEST_SYSENTER_EIP) \
	S(guest_pat, GUEST_PAT) \
	S(guest_efer, GUEST_EFER) \
	VMCS_SNAPSHOT_SEGMENT(S, es, ES) \
	VMCS_SNAPSHOT_SEGMENT(S, cs, CS) \
	VMCS_SNAPSHOT_SEGMENT(S, ss, SS) \
	VMCS_SNAPSHOT_SEGMENT(S, ds, DS) \
	VMCS_SNAPSHOT_SEGMENT(S, fs, FS) \
	VMCS_SNAPSHOT_SEGMENT(S, gs, GS) \
	VMCS_SNAPSHOT_SEGMENT(S, ldtr, LDTR) \
	VMCS_SNAPSHOT_SEGMENT(S, tr, TR) \
	S(guest_gdtr_base, GUEST_GDTR_BASE) \
	S(guest_gdtr_limit, GUEST_GDTR_LIMIT) \
	S(guest_idtr_base, GUEST_IDTR_BASE) \
	S(guest_idtr_limit, GUEST_IDTR_LIMIT) \
	S(guest_rip, GUEST_RIP) \
	S(guest_rflags, GUEST_RFLAGS) \
	S(guest_activity, GUEST_ACTIVITY) \
	S(guest_interruptibility, GUEST_INTERRUPTIBILITY) \
	S(guest_pending_debug, GUEST_PENDING_DEBUG) \
	S(vmcs_link_pointer, VMCS_LINK_POINTER) \
	S(guest_pdpte0, GUEST_PDPTE0) \
	S(guest_pdpte1, GUEST_PDPTE1) \
	S(guest_pdpte2, GUEST_PDPTE2) \
	S(guest_pdpte3, GUEST_PDPTE3)

#define VMX_SECTION_EXECUTION	"VM-Execution Control Fields"
#define VMX_SECTION_EXIT	"VM-Exit Control Fields"
#define VMX_SECTION_ENTRY	"VM-Entry Control Fields"
#define VMX_SECTION_HOST_CR	"Checks on Host Control Registers, MSRs, and SSP"
#define VMX_SECTION_HOST_SEG	"Checks on Host Segment and Descriptor-Table Registers"
#define VMX_SECTION_HOST_SIZE	"Checks Related to Address-Space Size"
#define VMX_SECTION_GUEST_CR	"Checks on Guest Control Registers, Debug Registers, and MSRs"
#define VMX_SECTION_GUEST_SEG	"Checks on Guest Segment Registers"
#define VMX_SECTION_GUEST_TABLE	"Checks on Guest Descriptor-Table Registers"
#define VMX_SECTION_GUEST_RIP	"Checks on Guest RIP, RFLAGS, and SSP"
#define VMX_SECTION_GUEST_STATE	"Checks on Guest Non-Register State"
#define VMX_SECTION_GUEST_PDPTE	"Checks on Guest Page-Directory-Pointer-Table Entries"

/* Every rule: name (no macro's), what the processor reports (7, 8, 33), section, the rule. */
#define VMX_RULES(R) \
	R(PIN_MUST_BE_1, 7, VMX_SECTION_EXECUTION, \
	  "a bit that must be 1 in the pin-based controls is 0") \
	R(PIN_MAY_BE_1, 7, VMX_SECTION_EXECUTION, \
	  "a bit that must be 0 in the pin-based controls is 1") \
	R(PROC_MUST_BE_1, 7, VMX_SECTION_EXECUTION, \
	  "a bit that must be 1 in the primary processor-based controls is 0") \
	R(PROC_MAY_BE_1, 7, VMX_SECTION_EXECUTION, \
	  "a bit that must be 0 in the primary processor-based controls is 1") \
	R(PROC2_MAY_BE_1, 7, VMX_SECTION_EXECUTION, \
	  "a bit that must be 0 in the secondary processor-based controls is 1") \
	R(CR3_TARGETS, 7, VMX_SECTION_EXECUTION, \
	  "the CR3-target count is above the processor's limit") \
	R(IO_BITMAPS, 7, VMX_SECTION_EXECUTION, \
	  "with \"use I/O bitmaps\", each bitmap's address must be page-aligned and in range") \
	R(MSR_BITMAPS, 7, VMX_SECTION_EXECUTION, \
	  "with \"use MSR bitmaps\", the bitmaps' address must be page-aligned and in range") \
	R(VIRTUAL_APIC, 7, VMX_SECTION_EXECUTION, \
	  "with \"use TPR shadow\", the virtual-APIC address must be page-aligned and in range") \
	R(TPR_THRESHOLD_RESERVED, 7, VMX_SECTION_EXECUTION, \
	  "with \"use TPR shadow\", bits 31:4 of the TPR threshold must be 0") \
	R(TPR_THRESHOLD_VALUE, 7, VMX_SECTION_EXECUTION, \
	  "the TPR threshold must not be above bits 7:4 of the virtual TPR") \
	R(TPR_SHADOW_NEEDED, 7, VMX_SECTION_EXECUTION, \
	  "x2APIC mode, APIC registers and interrupt delivery are virtualized with \"use TPR shadow\" only") \
	R(VIRTUAL_NMIS, 7, VMX_SECTION_EXECUTION, \
	  "\"virtual NMIs\" needs \"NMI exiting\"") \
	R(NMI_WINDOW, 7, VMX_SECTION_EXECUTION, \
	  "\"NMI-window exiting\" needs \"virtual NMIs\"") \
	R(APIC_ACCESS, 7, VMX_SECTION_EXECUTION, \
	  "with \"virtualize APIC accesses\", the APIC-access address must be page-aligned and in range") \
	R(APIC_MODES, 7, VMX_SECTION_EXECUTION, \
	  "\"virtualize x2APIC mode\" excludes \"virtualize APIC accesses\"") \
	R(VIRTUAL_INTERRUPTS, 7, VMX_SECTION_EXECUTION, \
	  "\"virtual-interrupt delivery\" needs \"external-interrupt exiting\"") \
	R(VPID_ZERO, 7, VMX_SECTION_EXECUTION, \
	  "with \"enable VPID\", the VPID must not be 0") \
	R(EPTP_TYPE, 7, VMX_SECTION_EXECUTION, \
	  "the EPT memory type in the EPT pointer must be one that the processor supports") \
	R(EPTP_WALK, 7, VMX_SECTION_EXECUTION, \
	  "the EPT walk length in the EPT pointer must be one that the processor supports") \
	R(EPTP_AD_FLAGS, 7, VMX_SECTION_EXECUTION, \
	  "bit 6 of the EPT pointer needs a processor with EPT accessed and dirty flags") \
	R(EPTP_RESERVED, 7, VMX_SECTION_EXECUTION, \
	  "reserved bits of the EPT pointer must be 0 and its address in range") \
	R(UNRESTRICTED_NEEDS_EPT, 7, VMX_SECTION_EXECUTION, \
	  "\"unrestricted guest\" needs \"enable EPT\"") \
	R(EPT_NEEDED, 7, VMX_SECTION_EXECUTION, \
	  "page-modification logging, mode-based execute control and sub-page permissions need \"enable EPT\"") \
	R(EXIT_MUST_BE_1, 7, VMX_SECTION_EXIT, \
	  "a bit that must be 1 in the VM-exit controls is 0") \
	R(EXIT_MAY_BE_1, 7, VMX_SECTION_EXIT, \
	  "a bit that must be 0 in the VM-exit controls is 1") \
	R(SAVE_TIMER, 7, VMX_SECTION_EXIT, \
	  "\"save VMX-preemption timer value\" needs \"activate VMX-preemption timer\"") \
	R(EXIT_MSR_STORE, 7, VMX_SECTION_EXIT, \
	  "the VM-exit MSR-store list must be 16-byte aligned and in range") \
	R(EXIT_MSR_LOAD, 7, VMX_SECTION_EXIT, \
	  "the VM-exit MSR-load list must be 16-byte aligned and in range") \
	R(ENTRY_MUST_BE_1, 7, VMX_SECTION_ENTRY, \
	  "a bit that must be 1 in the VM-entry controls is 0") \
	R(ENTRY_MAY_BE_1, 7, VMX_SECTION_ENTRY, \
	  "a bit that must be 0 in the VM-entry controls is 1") \
	R(INJECT_TYPE, 7, VMX_SECTION_ENTRY, \
	  "an injected event's type must not be 1, nor 7 without the monitor trap flag") \
	R(INJECT_VECTOR, 7, VMX_SECTION_ENTRY, \
	  "an injected event's vector must fit its type: 2 for an NMI, up to 31 for an exception, 0 for type 7") \
	R(INJECT_ERROR_CODE, 7, VMX_SECTION_ENTRY, \
	  "deliver-error-code must be 1 exactly for a hardware exception that has one, in protected mode") \
	R(INJECT_RESERVED, 7, VMX_SECTION_ENTRY, \
	  "bits 30:12 of the VM-entry interruption information must be 0") \
	R(INJECT_ERROR_CODE_VALUE, 7, VMX_SECTION_ENTRY, \
	  "bits 31:16 of an injected error code must be 0") \
	R(INJECT_LENGTH, 7, VMX_SECTION_ENTRY, \
	  "a software interrupt or exception needs an instruction length of 1 to 15 (0 where supported)") \
	R(ENTRY_MSR_LOAD, 7, VMX_SECTION_ENTRY, \
	  "the VM-entry MSR-load list must be 16-byte aligned and in range") \
	R(ENTRY_SMM, 7, VMX_SECTION_ENTRY, \
	  "outside SMM, \"entry to SMM\" and \"deactivate dual-monitor treatment\" must be 0") \
	\
	R(HOST_CR0, 8, VMX_SECTION_HOST_CR, \
	  "host CR0 has a bit at a value that VMX operation does not support") \
	R(HOST_CR4, 8, VMX_SECTION_HOST_CR, \
	  "host CR4 has a bit at a value that VMX operation does not support") \
	R(HOST_CET, 8, VMX_SECTION_HOST_CR, \
	  "host CR4.CET needs host CR0.WP") \
	R(HOST_CR3, 8, VMX_SECTION_HOST_CR, \
	  "host CR3 has bits beyond the physical-address width") \
	R(HOST_SYSENTER, 8, VMX_SECTION_HOST_CR, \
	  "host IA32_SYSENTER_ESP and IA32_SYSENTER_EIP must be canonical") \
	R(HOST_PAT, 8, VMX_SECTION_HOST_CR, \
	  "each byte of the host IA32_PAT must be 0, 1, 4, 5, 6 or 7") \
	R(HOST_EFER_RESERVED, 8, VMX_SECTION_HOST_CR, \
	  "reserved bits of the host IA32_EFER must be 0") \
	R(HOST_EFER_MODE, 8, VMX_SECTION_HOST_CR, \
	  "LMA and LME of the host IA32_EFER must equal \"host address-space size\"") \
	R(HOST_SELECTOR, 8, VMX_SECTION_HOST_SEG, \
	  "RPL and TI of a host selector must be 0") \
	R(HOST_SELECTOR_NULL, 8, VMX_SECTION_HOST_SEG, \
	  "the host CS and TR selectors must not be 0") \
	R(HOST_BASE, 8, VMX_SECTION_HOST_SEG, \
	  "the host's FS, GS, GDTR, IDTR and TR bases must be canonical") \
	R(HOST_64BIT, 8, VMX_SECTION_HOST_SIZE, \
	  "in IA-32e mode, \"host address-space size\" must be 1") \
	R(HOST_PAE, 8, VMX_SECTION_HOST_SIZE, \
	  "with a 64-bit host, host CR4.PAE must be 1") \
	R(HOST_RIP, 8, VMX_SECTION_HOST_SIZE, \
	  "with a 64-bit host, the host RIP must be canonical") \
	\
	R(CR0_FIXED, 33, VMX_SECTION_GUEST_CR, \
	  "guest CR0 has a bit at a value that VMX operation does not support") \
	R(CR0_PG_NEEDS_PE, 33, VMX_SECTION_GUEST_CR, \
	  "guest CR0.PG needs CR0.PE") \
	R(CR4_FIXED, 33, VMX_SECTION_GUEST_CR, \
	  "guest CR4 has a bit at a value that VMX operation does not support") \
	R(CET_NEEDS_WP, 33, VMX_SECTION_GUEST_CR, \
	  "guest CR4.CET needs CR0.WP") \
	R(DEBUGCTL, 33, VMX_SECTION_GUEST_CR, \
	  "with \"load debug controls\", reserved bits of the guest IA32_DEBUGCTL must be 0") \
	R(LONG_NEEDS_PG, 33, VMX_SECTION_GUEST_CR, \
	  "\"IA-32e mode guest\" needs guest CR0.PG") \
	R(LONG_NEEDS_PAE, 33, VMX_SECTION_GUEST_CR, \
	  "\"IA-32e mode guest\" needs guest CR4.PAE") \
	R(PCIDE_NEEDS_LONG, 33, VMX_SECTION_GUEST_CR, \
	  "guest CR4.PCIDE needs \"IA-32e mode guest\"") \
	R(GUEST_CR3, 33, VMX_SECTION_GUEST_CR, \
	  "guest CR3 has bits beyond the physical-address width") \
	R(GUEST_DR7, 33, VMX_SECTION_GUEST_CR, \
	  "with \"load debug controls\", bits 63:32 of the guest DR7 must be 0") \
	R(GUEST_SYSENTER, 33, VMX_SECTION_GUEST_CR, \
	  "guest IA32_SYSENTER_ESP and IA32_SYSENTER_EIP must be canonical") \
	R(GUEST_PAT, 33, VMX_SECTION_GUEST_CR, \
	  "each byte of the guest IA32_PAT must be 0, 1, 4, 5, 6 or 7") \
	R(EFER_MUST_BE_0, 33, VMX_SECTION_GUEST_CR, \
	  "reserved bits of the guest IA32_EFER must be 0") \
	R(EFER_LMA_MODE, 33, VMX_SECTION_GUEST_CR, \
	  "LMA of the guest IA32_EFER must equal \"IA-32e mode guest\"") \
	R(EFER_LME_MODE, 33, VMX_SECTION_GUEST_CR, \
	  "with guest CR0.PG, LME of the guest IA32_EFER must equal LMA") \
	\
	R(SYSTEM_SELECTOR_TI, 33, VMX_SECTION_GUEST_SEG, \
	  "TI of the TR selector, and of a usable LDTR, must be 0") \
	R(SS_RPL, 33, VMX_SECTION_GUEST_SEG, \
	  "without \"unrestricted guest\", the RPLs of SS and CS must be equal") \
	R(V86_BASE, 33, VMX_SECTION_GUEST_SEG, \
	  "in virtual-8086 mode, a segment's base must be 16 times its selector") \
	R(V86_LIMIT, 33, VMX_SECTION_GUEST_SEG, \
	  "in virtual-8086 mode, a segment's limit must be 0xffff") \
	R(V86_AR, 33, VMX_SECTION_GUEST_SEG, \
	  "in virtual-8086 mode, a segment's access rights must be 0xf3") \
	R(BASE_CANONICAL, 33, VMX_SECTION_GUEST_SEG, \
	  "the bases of TR, FS, GS and a usable LDTR must be canonical") \
	R(BASE_HIGH, 33, VMX_SECTION_GUEST_SEG, \
	  "bits 63:32 of the bases of CS and of a usable SS, DS or ES must be 0") \
	R(CS_TYPE, 33, VMX_SECTION_GUEST_SEG, \
	  "CS must be an accessed code segment (or, with \"unrestricted guest\", type 3)") \
	R(SS_TYPE, 33, VMX_SECTION_GUEST_SEG, \
	  "a usable SS must be an accessed, writable data segment (type 3 or 7)") \
	R(DATA_ACCESSED, 33, VMX_SECTION_GUEST_SEG, \
	  "a usable DS, ES, FS or GS must be accessed") \
	R(DATA_READABLE, 33, VMX_SECTION_GUEST_SEG, \
	  "a usable DS, ES, FS or GS that is a code segment must be readable") \
	R(SEGMENT_S, 33, VMX_SECTION_GUEST_SEG, \
	  "CS and each usable SS, DS, ES, FS or GS must be no system segment (S = 1)") \
	R(CS_DPL, 33, VMX_SECTION_GUEST_SEG, \
	  "DPL of CS must fit its type: 0 for type 3, equal to SS.DPL, or not above it if conforming") \
	R(SS_DPL_RPL, 33, VMX_SECTION_GUEST_SEG, \
	  "without \"unrestricted guest\", DPL of SS must equal its RPL") \
	R(SS_DPL_0, 33, VMX_SECTION_GUEST_SEG, \
	  "with CS of type 3 or CR0.PE = 0, DPL of SS must be 0") \
	R(DATA_DPL, 33, VMX_SECTION_GUEST_SEG, \
	  "without \"unrestricted guest\", DPL of a usable data segment must not be below its RPL") \
	R(SEGMENT_P, 33, VMX_SECTION_GUEST_SEG, \
	  "CS and each usable segment must be present") \
	R(SEGMENT_RESERVED, 33, VMX_SECTION_GUEST_SEG, \
	  "reserved bits 11:8 and 31:17 of a usable segment's access rights must be 0") \
	R(CS_L_AND_D, 33, VMX_SECTION_GUEST_SEG, \
	  "in IA-32e mode, CS must not have both L and D/B") \
	R(GRANULARITY_0, 33, VMX_SECTION_GUEST_SEG, \
	  "G must be 0 if bits 11:0 of the limit are not all 1") \
	R(GRANULARITY_1, 33, VMX_SECTION_GUEST_SEG, \
	  "G must be 1 if bits 31:20 of the limit are not all 0") \
	R(TR_TYPE, 33, VMX_SECTION_GUEST_SEG, \
	  "TR must be a busy TSS: type 11, or 3 outside IA-32e mode") \
	R(LDTR_TYPE, 33, VMX_SECTION_GUEST_SEG, \
	  "a usable LDTR must be of type 2") \
	R(SYSTEM_S, 33, VMX_SECTION_GUEST_SEG, \
	  "TR and a usable LDTR must be system segments (S = 0)") \
	R(TR_USABLE, 33, VMX_SECTION_GUEST_SEG, \
	  "TR must be usable") \
	\
	R(TABLE_BASE, 33, VMX_SECTION_GUEST_TABLE, \
	  "the bases of GDTR and IDTR must be canonical") \
	R(TABLE_LIMIT, 33, VMX_SECTION_GUEST_TABLE, \
	  "bits 31:16 of the limits of GDTR and IDTR must be 0") \
	\
	R(RIP_HIGH, 33, VMX_SECTION_GUEST_RIP, \
	  "outside 64-bit mode, bits 63:32 of the guest RIP must be 0") \
	R(RIP_LINEAR, 33, VMX_SECTION_GUEST_RIP, \
	  "in 64-bit mode, bits of the guest RIP beyond the linear-address width must be equal") \
	R(RFLAGS_MUST_BE_0, 33, VMX_SECTION_GUEST_RIP, \
	  "reserved bits 63:22, 15, 5 and 3 of RFLAGS must be 0") \
	R(RFLAGS_MUST_BE_1, 33, VMX_SECTION_GUEST_RIP, \
	  "reserved bit 1 of RFLAGS must be 1") \
	R(RFLAGS_VM_MODE, 33, VMX_SECTION_GUEST_RIP, \
	  "RFLAGS.VM must be 0 in IA-32e mode and in real-address mode") \
	R(RFLAGS_IF_INJECT, 33, VMX_SECTION_GUEST_RIP, \
	  "RFLAGS.IF must be 1 to inject an external interrupt") \
	\
	R(ACTIVITY_RANGE, 33, VMX_SECTION_GUEST_STATE, \
	  "the activity state must be 0 to 3 and one that the processor supports") \
	R(ACTIVITY_HLT_DPL, 33, VMX_SECTION_GUEST_STATE, \
	  "activity state HLT needs DPL 0 of SS") \
	R(ACTIVITY_BLOCKING, 33, VMX_SECTION_GUEST_STATE, \
	  "blocking by STI or MOV SS needs the activity state active") \
	R(ACTIVITY_INJECT, 33, VMX_SECTION_GUEST_STATE, \
	  "the activity state does not allow the injected event") \
	R(INTERRUPTIBILITY_BITS, 33, VMX_SECTION_GUEST_STATE, \
	  "reserved bits 31:5 of the interruptibility state must be 0") \
	R(STI_AND_MOV_SS, 33, VMX_SECTION_GUEST_STATE, \
	  "blocking by STI and by MOV SS exclude each other") \
	R(STI_NEEDS_IF, 33, VMX_SECTION_GUEST_STATE, \
	  "blocking by STI needs RFLAGS.IF") \
	R(INTERRUPT_BLOCKED, 33, VMX_SECTION_GUEST_STATE, \
	  "an external interrupt cannot be injected under blocking by STI or MOV SS") \
	R(NMI_MOV_SS, 33, VMX_SECTION_GUEST_STATE, \
	  "an NMI cannot be injected under blocking by MOV SS") \
	R(NMI_STI, 33, VMX_SECTION_GUEST_STATE, \
	  "an NMI cannot be injected under blocking by STI (on some processors)") \
	R(SMI_BLOCKING, 33, VMX_SECTION_GUEST_STATE, \
	  "blocking by SMI must be 0 outside SMM") \
	R(NMI_BLOCKED, 33, VMX_SECTION_GUEST_STATE, \
	  "with \"virtual NMIs\", an NMI cannot be injected under blocking by NMI") \
	R(ENCLAVE, 33, VMX_SECTION_GUEST_STATE, \
	  "enclave interruption needs SGX and excludes blocking by MOV SS") \
	R(PENDING_RESERVED, 33, VMX_SECTION_GUEST_STATE, \
	  "reserved bits of the pending debug exceptions must be 0") \
	R(PENDING_BS, 33, VMX_SECTION_GUEST_STATE, \
	  "under blocking by STI or MOV SS or in HLT, pending BS must be 1 exactly with TF and no BTF") \
	R(PENDING_RTM, 33, VMX_SECTION_GUEST_STATE, \
	  "pending RTM needs a processor with RTM, bit 12 alone beside it, and no blocking by MOV SS") \
	R(LINK_POINTER, 33, VMX_SECTION_GUEST_STATE, \
	  "a VMCS link pointer other than all ones must be page-aligned and in range") \
	R(PDPTE, 33, VMX_SECTION_GUEST_PDPTE, \
	  "reserved bits of a present PDPTE must be 0")
/* clang-format on */

#define VMX_ENUMERATE_RULE(name, kind, section, text) VMX_RULE_##name,
enum vmx_rule { VMX_RULES(VMX_ENUMERATE_RULE) VMX_RULE_COUNT };
#undef VMX_ENUMERATE_RULE

/* What the processor reports for a broken rule. */
enum vmx_failure_kind {
	VMX_FAILURE_NONE = 0,
	VMX_FAILURE_CONTROLS = 7,     /* VM-instruction error */
	VMX_FAILURE_HOST_STATE = 8,   /* VM-instruction error */
	VMX_FAILURE_GUEST_STATE = 33, /* basic exit reason */
};

#define VMCS_SNAPSHOT_MEMBER(member, field) uint64_t member;
struct vmcs_snapshot {
	VMCS_SNAPSHOT_FIELDS(VMCS_SNAPSHOT_MEMBER)
	/* VTPR in the virtual-APIC page, which is no VMCS field: -1 if the caller does not know. */
	int virtual_tpr;
};
#undef VMCS_SNAPSHOT_MEMBER

struct vmx_rule_violation {
	enum vmx_rule rule;
	enum vmx_failure_kind kind;
	const char *name;    /* of the rule, as in VMX_RULES */
	const char *section; /* its title */
	const char *text;    /* the rule */
	const char *field;   /* the SDM's words for the field to look at */
	uint32_t encoding;   /* of that field */
	uint64_t value;	     /* of that field */
};

/* Reads one field; returns nonzero if the processor has no such field (its value is then 0). */
typedef int vmcs_read_fn(void *ctx, uint32_t encoding, uint64_t *value);
typedef void vmx_explain_fn(void *ctx, const struct vmx_rule_violation *violation);

void vmcs_snapshot_fill(struct vmcs_snapshot *s, vmcs_read_fn *read, void *ctx);
int vmx_explain(const struct vmx_caps *caps, const struct vmcs_snapshot *s, vmx_explain_fn *report,
		void *ctx);
/* Prints each broken rule at LOG_ERROR; returns their number. */
int vmx_explain_print(const struct vmx_caps *caps, const struct vmcs_snapshot *s);

#endif
