/*
 * VMCSes that break each rule of the VM-entry explainer, and the text with which Bochs 2.7 refuses
 * them (its bochs.log). See include/selftest/explain_cases.h.
 *
 * State: constant tables only. No lock. In test builds and in the unit test only.
 */
#if defined(CONFIG_TEST) || defined(KEYHOLE_HOST_TEST)
#include "selftest/explain_cases.h"

#define NOT_CANONICAL UINT64_C(0x4000000000000000)
#define BEYOND_WIDTH  BIT64(52) /* of any physical address */

#define SET(field, value)                            \
	{                                            \
		EXPLAIN_SET, VMCS_ENC_##field, value \
	}
#define OR(field, bits)                            \
	{                                          \
		EXPLAIN_OR, VMCS_ENC_##field, bits \
	}
#define CLEAR(field, bits)                            \
	{                                             \
		EXPLAIN_CLEAR, VMCS_ENC_##field, bits \
	}
#define INJECT(event) SET(ENTRY_INTERRUPTION_INFO, INTERRUPTION_VALID | (event))
#define CHANGES(...)        \
	{                   \
		__VA_ARGS__ \
	}
#define RESTRICTED CLEAR(PROC2_CONTROLS, PROC2_UNRESTRICTED_GUEST)
#define TPR_SHADOW_AT(address) \
	OR(PROC_CONTROLS, PROC_TPR_SHADOW), SET(VIRTUAL_APIC_ADDRESS, address)
#define USABLE_LDTR SET(GUEST_LDTR_AR, SEG_AR_LDT), SET(GUEST_LDTR_SELECTOR, 0x20)

/* clang-format off */
#define CASE(rule, base, bochs, ...) \
	{VMX_RULE_##rule, EXPLAIN_##base, bochs, false, CHANGES(__VA_ARGS__)}
#define HOST_CASE(rule, base, ...) \
	{VMX_RULE_##rule, EXPLAIN_##base, NULL, true, CHANGES(__VA_ARGS__)}

const struct explain_case explain_cases[] = {
	CASE(PIN_MUST_BE_1, LONG, "VMX pin-based controls allowed 0-settings",
	     CLEAR(PIN_CONTROLS, BIT32(1))),
	CASE(PIN_MAY_BE_1, LONG, "VMX pin-based controls allowed 1-settings",
	     OR(PIN_CONTROLS, BIT32(31))),
	CASE(PROC_MUST_BE_1, LONG, "VMX proc-based controls allowed 0-settings",
	     CLEAR(PROC_CONTROLS, BIT32(1))),
	CASE(PROC_MAY_BE_1, LONG, "VMX proc-based controls allowed 1-settings",
	     OR(PROC_CONTROLS, BIT32(0))),
	CASE(PROC2_MAY_BE_1, LONG, "VMX secondary controls allowed 1-settings",
	     OR(PROC2_CONTROLS, BIT32(29))),
	CASE(CR3_TARGETS, LONG, "too may CR3 targets", SET(CR3_TARGET_COUNT, 0x200)),
	CASE(IO_BITMAPS, LONG, "I/O bitmap A phy addr malformed",
	     OR(PROC_CONTROLS, PROC_IO_BITMAPS), OR(IO_BITMAP_A, 1)),
	CASE(IO_BITMAPS, LONG, "I/O bitmap B phy addr malformed",
	     OR(PROC_CONTROLS, PROC_IO_BITMAPS), OR(IO_BITMAP_B, BEYOND_WIDTH)),
	CASE(MSR_BITMAPS, LONG, "MSR bitmap phy addr malformed",
	     OR(PROC_CONTROLS, PROC_MSR_BITMAPS), OR(MSR_BITMAP, 0x800)),
	CASE(VIRTUAL_APIC, LONG, "virtual apic phy addr malformed", TPR_SHADOW_AT(0x1001)),
	CASE(TPR_THRESHOLD_RESERVED, LONG, "TPR threshold too big", TPR_SHADOW_AT(0x1000),
	     SET(TPR_THRESHOLD, 0x10)),
	CASE(TPR_THRESHOLD_VALUE, LONG, "TPR threshold > TPR shadow", TPR_SHADOW_AT(0x1000),
	     SET(TPR_THRESHOLD, 1), {EXPLAIN_SET, EXPLAIN_VIRTUAL_TPR, 0}),
	CASE(TPR_SHADOW_NEEDED, LONG, "apic virtualization is enabled without TPR shadow",
	     CLEAR(PROC_CONTROLS, PROC_TPR_SHADOW), OR(PROC2_CONTROLS, PROC2_VIRTUALIZE_X2APIC)),
	CASE(VIRTUAL_NMIS, LONG, "misconfigured virtual NMI control",
	     CLEAR(PIN_CONTROLS, PIN_NMI_EXITING), OR(PIN_CONTROLS, PIN_VIRTUAL_NMIS)),
	CASE(NMI_WINDOW, LONG, "misconfigured virtual NMI control",
	     CLEAR(PIN_CONTROLS, PIN_VIRTUAL_NMIS), OR(PROC_CONTROLS, PROC_NMI_WINDOW_EXITING)),
	CASE(APIC_ACCESS, LONG, "apic access page phy addr malformed",
	     OR(PROC2_CONTROLS, PROC2_VIRTUALIZE_APIC_ACCESSES), SET(APIC_ACCESS_ADDRESS, 1)),
	CASE(APIC_MODES, LONG, "virtualize X2APIC mode enabled together with APIC access",
	     TPR_SHADOW_AT(0x1000), SET(TPR_THRESHOLD, 0), SET(APIC_ACCESS_ADDRESS, 0x1000),
	     OR(PROC2_CONTROLS, PROC2_VIRTUALIZE_APIC_ACCESSES | PROC2_VIRTUALIZE_X2APIC)),
	CASE(VIRTUAL_INTERRUPTS, LONG,
	     "virtual interrupt delivery must be set together with external interrupt exiting",
	     TPR_SHADOW_AT(0x1000), OR(PROC2_CONTROLS, PROC2_VIRTUAL_INTERRUPT_DELIVERY),
	     CLEAR(PIN_CONTROLS, PIN_EXTERNAL_INTERRUPT_EXITING)),
	CASE(VPID_ZERO, LONG, "guest VPID == 0", OR(PROC2_CONTROLS, PROC2_VPID), SET(VPID, 0)),
	CASE(EPTP_TYPE, LONG, "invalid EPTPTR value",
	     CLEAR(EPT_POINTER, EPTP_MEMORY_TYPE_MASK), OR(EPT_POINTER, MEMORY_TYPE_WP)),
	CASE(EPTP_WALK, LONG, "invalid EPTPTR value", OR(EPT_POINTER, EPTP_WALK_MASK)),
	CASE(EPTP_AD_FLAGS, LONG, "invalid EPTPTR value",
	     OR(EPT_POINTER, EPTP_ACCESSED_DIRTY)),
	CASE(EPTP_RESERVED, LONG, "invalid EPTPTR value", OR(EPT_POINTER, BIT64(8))),
	CASE(EPTP_RESERVED, LONG, "invalid EPTPTR value", OR(EPT_POINTER, BEYOND_WIDTH)),
	CASE(UNRESTRICTED_NEEDS_EPT, LONG, "unrestricted guest without EPT",
	     CLEAR(PROC2_CONTROLS, PROC2_EPT), OR(PROC2_CONTROLS, PROC2_UNRESTRICTED_GUEST)),
	CASE(EPT_NEEDED, LONG, "PML is enabled without EPT",
	     CLEAR(PROC2_CONTROLS, PROC2_EPT | PROC2_UNRESTRICTED_GUEST),
	     OR(PROC2_CONTROLS, PROC2_PML)),

	CASE(EXIT_MUST_BE_1, LONG, "VMX vmexit controls allowed 0-settings",
	     CLEAR(EXIT_CONTROLS, BIT32(0))),
	CASE(EXIT_MAY_BE_1, LONG, "VMX vmexit controls allowed 1-settings",
	     OR(EXIT_CONTROLS, BIT32(31))),
	CASE(SAVE_TIMER, LONG, "save_VMX_preemption_timer VMEXIT control is set",
	     CLEAR(PIN_CONTROLS, PIN_PREEMPTION_TIMER),
	     OR(EXIT_CONTROLS, EXIT_SAVE_PREEMPTION_TIMER)),
	CASE(EXIT_MSR_STORE, LONG, "VMEXIT CTRL: msr store addr malformed",
	     SET(EXIT_MSR_STORE_COUNT, 1), SET(EXIT_MSR_STORE_ADDRESS, 8)),
	CASE(EXIT_MSR_LOAD, LONG, "VMEXIT CTRL: msr load addr malformed",
	     SET(EXIT_MSR_LOAD_COUNT, 1), SET(EXIT_MSR_LOAD_ADDRESS, BEYOND_WIDTH)),
	CASE(ENTRY_MUST_BE_1, LONG, "VMX vmentry controls allowed 0-settings",
	     CLEAR(ENTRY_CONTROLS, BIT32(0))),
	CASE(ENTRY_MAY_BE_1, LONG, "VMX vmentry controls allowed 1-settings",
	     OR(ENTRY_CONTROLS, BIT32(31))),
	CASE(INJECT_TYPE, PROTECTED, "VMENTRY bad injected event type 1",
	     INJECT(INTERRUPTION_RESERVED_TYPE | 0x20)),
	/* Bochs 2.7 takes any event of type 7, and ends itself. */
	HOST_CASE(INJECT_TYPE, PROTECTED, INJECT(INTERRUPTION_OTHER_EVENT)),
	CASE(INJECT_VECTOR, PROTECTED, "VMENTRY bad injected event vector 3",
	     INJECT(INTERRUPTION_NMI | 3)),
	CASE(INJECT_VECTOR, PROTECTED, "VMENTRY bad injected event vector 32",
	     INJECT(INTERRUPTION_HARDWARE_EXCEPTION | 32)),
	HOST_CASE(INJECT_VECTOR, PROTECTED, INJECT(INTERRUPTION_OTHER_EVENT | 1)),
	CASE(INJECT_ERROR_CODE, PROTECTED, "VMENTRY injected event vector 13 broken error code",
	     INJECT(INTERRUPTION_HARDWARE_EXCEPTION | VECTOR_GP)),
	CASE(INJECT_ERROR_CODE, PROTECTED, "VMENTRY injected event vector 6 broken error code",
	     INJECT(INTERRUPTION_HARDWARE_EXCEPTION | VECTOR_UD | INTERRUPTION_ERROR_CODE)),
	CASE(INJECT_ERROR_CODE, REAL, "VMENTRY injected event vector 13 broken error code",
	     INJECT(INTERRUPTION_HARDWARE_EXCEPTION | VECTOR_GP | INTERRUPTION_ERROR_CODE)),
	CASE(INJECT_ERROR_CODE, PROTECTED, "VMENTRY injected event vector 32 broken error code",
	     INJECT(INTERRUPTION_EXTERNAL | 32 | INTERRUPTION_ERROR_CODE),
	     OR(GUEST_RFLAGS, RFLAGS_IF)),
	CASE(INJECT_RESERVED, PROTECTED, "VMENTRY broken interruption info field",
	     INJECT(INTERRUPTION_EXTERNAL | 32 | BIT32(12)), OR(GUEST_RFLAGS, RFLAGS_IF)),
	CASE(INJECT_ERROR_CODE_VALUE, PROTECTED, "VMENTRY bad error code",
	     INJECT(INTERRUPTION_HARDWARE_EXCEPTION | VECTOR_GP | INTERRUPTION_ERROR_CODE),
	     SET(ENTRY_EXCEPTION_ERROR_CODE, 0x10000)),
	CASE(INJECT_LENGTH, PROTECTED, "VMENTRY bad injected event instr length",
	     INJECT(INTERRUPTION_SOFTWARE_INTERRUPT | 0x80), SET(ENTRY_INSTRUCTION_LENGTH, 16)),
	CASE(INJECT_LENGTH, PROTECTED, "VMENTRY bad injected event instr length",
	     INJECT(INTERRUPTION_SOFTWARE_EXCEPTION | VECTOR_BP),
	     SET(ENTRY_INSTRUCTION_LENGTH, 0)),
	CASE(ENTRY_MSR_LOAD, LONG, "VMENTRY CTRL: msr load addr malformed",
	     SET(ENTRY_MSR_LOAD_COUNT, 1), SET(ENTRY_MSR_LOAD_ADDRESS, 8)),
	CASE(ENTRY_SMM, LONG, "from outside SMM with dual-monitor treatment",
	     OR(ENTRY_CONTROLS, ENTRY_DEACTIVATE_DUAL_MONITOR)),

	CASE(HOST_CR0, LONG, "host state invalid CR0", CLEAR(HOST_CR0, CR0_NE)),
	CASE(HOST_CR0, LONG, "host state invalid CR0", OR(HOST_CR0, BIT64(32))),
	CASE(HOST_CR4, LONG, "host state invalid CR4", CLEAR(HOST_CR4, CR4_VMXE)),
	CASE(HOST_CR4, LONG, "host state invalid CR4", OR(HOST_CR4, BIT64(31))),
	HOST_CASE(HOST_CET, LONG, OR(HOST_CR4, CR4_CET), CLEAR(HOST_CR0, CR0_WP)),
	CASE(HOST_CR3, LONG, "host state invalid CR3", OR(HOST_CR3, BEYOND_WIDTH)),
	CASE(HOST_SYSENTER, LONG, "host SYSENTER_ESP_MSR non canonical",
	     SET(HOST_SYSENTER_ESP, NOT_CANONICAL)),
	CASE(HOST_SYSENTER, LONG, "host SYSENTER_EIP_MSR non canonical",
	     SET(HOST_SYSENTER_EIP, NOT_CANONICAL)),
	CASE(HOST_PAT, LONG, "invalid Memory Type in host MSR_PAT",
	     SET(HOST_PAT, UINT64_C(0x0007040600070402))),
	CASE(HOST_EFER_RESERVED, LONG, "host EFER reserved bits", OR(HOST_EFER, BIT64(1))),
	CASE(HOST_EFER_MODE, LONG, "host EFER (", CLEAR(HOST_EFER, EFER_LME)),
	CASE(HOST_SELECTOR, LONG, "host segreg 0 TI/RPL", OR(HOST_ES_SELECTOR, 3)),
	CASE(HOST_SELECTOR, LONG, "host segreg 1 TI/RPL", OR(HOST_CS_SELECTOR, SELECTOR_TI)),
	CASE(HOST_SELECTOR, LONG, "host segreg 2 TI/RPL", OR(HOST_SS_SELECTOR, 1)),
	CASE(HOST_SELECTOR, LONG, "host segreg 3 TI/RPL", OR(HOST_DS_SELECTOR, 2)),
	CASE(HOST_SELECTOR, LONG, "host segreg 4 TI/RPL", OR(HOST_FS_SELECTOR, SELECTOR_TI)),
	CASE(HOST_SELECTOR, LONG, "host segreg 5 TI/RPL", OR(HOST_GS_SELECTOR, 3)),
	CASE(HOST_SELECTOR, LONG, "invalid host TR selector", OR(HOST_TR_SELECTOR, SELECTOR_TI)),
	CASE(HOST_SELECTOR_NULL, LONG, "host CS selector 0", SET(HOST_CS_SELECTOR, 0)),
	CASE(HOST_SELECTOR_NULL, LONG, "invalid host TR selector", SET(HOST_TR_SELECTOR, 0)),
	CASE(HOST_BASE, LONG, "host FS BASE non canonical", SET(HOST_FS_BASE, NOT_CANONICAL)),
	CASE(HOST_BASE, LONG, "host GS BASE non canonical", SET(HOST_GS_BASE, NOT_CANONICAL)),
	CASE(HOST_BASE, LONG, "host TR BASE non canonical", SET(HOST_TR_BASE, NOT_CANONICAL)),
	CASE(HOST_BASE, LONG, "host GDTR BASE non canonical", SET(HOST_GDTR_BASE, NOT_CANONICAL)),
	CASE(HOST_BASE, LONG, "host IDTR BASE non canonical", SET(HOST_IDTR_BASE, NOT_CANONICAL)),
	CASE(HOST_64BIT, LONG, "x86-64 host control invalid",
	     CLEAR(EXIT_CONTROLS, EXIT_HOST_64BIT)),
	CASE(HOST_PAE, LONG, "host CR4.PAE=0 with x86-64 host", CLEAR(HOST_CR4, CR4_PAE)),
	CASE(HOST_RIP, LONG, "host RIP non-canonical", SET(HOST_RIP, NOT_CANONICAL)),

	CASE(CR0_FIXED, LONG, "guest invalid CR0", CLEAR(GUEST_CR0, CR0_NE)),
	CASE(CR0_FIXED, LONG, "guest invalid CR0", OR(GUEST_CR0, BIT64(32))),
	CASE(CR0_FIXED, PROTECTED, "guest invalid CR0", RESTRICTED),
	CASE(CR0_PG_NEEDS_PE, REAL, "unrestricted guest CR0.PG without CR0.PE",
	     OR(GUEST_CR0, CR0_PG)),
	CASE(CR4_FIXED, LONG, "guest invalid CR4", CLEAR(GUEST_CR4, CR4_VMXE)),
	CASE(CR4_FIXED, LONG, "guest invalid CR4", OR(GUEST_CR4, BIT64(31))),
	CASE(CET_NEEDS_WP, LONG, "guest CR4.CET=1 when CR0.WP=0", OR(GUEST_CR4, CR4_CET),
	     CLEAR(GUEST_CR0, CR0_WP)),
	CASE(DEBUGCTL, LONG, NULL, OR(ENTRY_CONTROLS, ENTRY_LOAD_DEBUG_CONTROLS),
	     OR(GUEST_DEBUGCTL, BIT64(3))),
	CASE(LONG_NEEDS_PG, LONG, NULL, CLEAR(GUEST_CR0, CR0_PG)),
	CASE(LONG_NEEDS_PAE, LONG, "guest CR4.PAE=0 in x86-64 mode", CLEAR(GUEST_CR4, CR4_PAE)),
	CASE(PCIDE_NEEDS_LONG, PROTECTED, "CR4.PCIDE set in 32-bit guest",
	     OR(GUEST_CR4, CR4_PCIDE)),
	CASE(GUEST_CR3, LONG, "guest invalid CR3", OR(GUEST_CR3, BEYOND_WIDTH)),
	CASE(GUEST_DR7, LONG, "guest invalid DR7",
	     OR(ENTRY_CONTROLS, ENTRY_LOAD_DEBUG_CONTROLS), OR(GUEST_DR7, BIT64(32))),
	CASE(GUEST_SYSENTER, LONG, "guest SYSENTER_ESP_MSR non canonical",
	     SET(GUEST_SYSENTER_ESP, NOT_CANONICAL)),
	CASE(GUEST_SYSENTER, LONG, "guest SYSENTER_EIP_MSR non canonical",
	     SET(GUEST_SYSENTER_EIP, NOT_CANONICAL)),
	CASE(GUEST_PAT, LONG, "invalid Memory Type in guest MSR_PAT",
	     SET(GUEST_PAT, UINT64_C(0x0807040600070406))),
	CASE(EFER_MUST_BE_0, LONG, "guest EFER reserved bits", OR(GUEST_EFER, BIT64(1))),
	CASE(EFER_LMA_MODE, LONG, "guest EFER.LMA doesn't match",
	     CLEAR(GUEST_EFER, EFER_LMA | EFER_LME)),
	CASE(EFER_LMA_MODE, PROTECTED, "guest EFER.LMA doesn't match", OR(GUEST_EFER, EFER_LMA)),
	CASE(EFER_LME_MODE, LONG, "guest EFER (", CLEAR(GUEST_EFER, EFER_LME)),

	CASE(SYSTEM_SELECTOR_TI, LONG, "guest TR.TI set", OR(GUEST_TR_SELECTOR, SELECTOR_TI)),
	CASE(SYSTEM_SELECTOR_TI, LONG, "guest LDTR.TI set", USABLE_LDTR,
	     OR(GUEST_LDTR_SELECTOR, SELECTOR_TI)),
	CASE(SS_RPL, LONG, "guest CS.RPL != SS.RPL", RESTRICTED, OR(GUEST_SS_SELECTOR, 1)),
	CASE(V86_BASE, V86, "v8086 guest bad CS.BASE", SET(GUEST_CS_BASE, 0x2000)),
	CASE(V86_LIMIT, V86, "v8086 guest SS.LIMIT", SET(GUEST_SS_LIMIT, 0xfffff)),
	CASE(V86_AR, V86, "v8086 guest DS.AR", SET(GUEST_DS_AR, SEG_AR_REAL_DATA)),
	CASE(BASE_CANONICAL, LONG, "guest TR.BASE non canonical",
	     SET(GUEST_TR_BASE, NOT_CANONICAL)),
	CASE(BASE_CANONICAL, LONG, "guest FS.BASE non canonical",
	     SET(GUEST_FS_BASE, NOT_CANONICAL)),
	CASE(BASE_CANONICAL, LONG, "guest GS.BASE non canonical",
	     SET(GUEST_GS_BASE, NOT_CANONICAL)),
	CASE(BASE_CANONICAL, LONG, "guest LDTR.BASE non canonical", USABLE_LDTR,
	     SET(GUEST_LDTR_BASE, NOT_CANONICAL)),
	CASE(BASE_HIGH, LONG, "guest CS.BASE > 32 bit", SET(GUEST_CS_BASE, BIT64(32))),
	CASE(BASE_HIGH, PROTECTED, "guest SS.BASE > 32 bit", SET(GUEST_SS_BASE, BIT64(32))),
	CASE(BASE_HIGH, LONG, "guest DS.BASE > 32 bit", SET(GUEST_DS_BASE, BIT64(32))),
	CASE(BASE_HIGH, LONG, "guest ES.BASE > 32 bit", SET(GUEST_ES_BASE, BIT64(32))),
	CASE(CS_TYPE, LONG, "guest CS.TYPE", CLEAR(GUEST_CS_AR, SEG_AR_ACCESSED)),
	CASE(CS_TYPE, LONG, "guest CS.TYPE", RESTRICTED, CLEAR(GUEST_CS_AR, SEG_AR_CODE)),
	CASE(SS_TYPE, PROTECTED, "guest SS.TYPE", CLEAR(GUEST_SS_AR, SEG_AR_RW)),
	CASE(DATA_ACCESSED, LONG, "guest DS not ACCESSED", CLEAR(GUEST_DS_AR, SEG_AR_ACCESSED)),
	CASE(DATA_ACCESSED, LONG, "guest FS not ACCESSED", CLEAR(GUEST_FS_AR, SEG_AR_ACCESSED)),
	CASE(DATA_READABLE, LONG, "guest CODE segment ES not READABLE",
	     OR(GUEST_ES_AR, SEG_AR_CODE), CLEAR(GUEST_ES_AR, SEG_AR_RW)),
	CASE(SEGMENT_S, LONG, "guest CS not segment", CLEAR(GUEST_CS_AR, SEG_AR_S)),
	CASE(SEGMENT_S, PROTECTED, "guest SS not segment", CLEAR(GUEST_SS_AR, SEG_AR_S)),
	CASE(SEGMENT_S, LONG, "guest GS not segment", CLEAR(GUEST_GS_AR, SEG_AR_S)),
	CASE(CS_DPL, LONG, "guest non-conforming CS.RPL <> CS.DPL",
	     OR(GUEST_CS_AR, SEG_AR_DPL_MASK)),
	CASE(CS_DPL, LONG, "guest non-conforming CS.RPL < CS.DPL",
	     OR(GUEST_CS_AR, SEG_AR_DPL_MASK | SEG_AR_DC)),
	CASE(CS_DPL, REAL, "unrestricted guest CS.DPL != 0", OR(GUEST_CS_AR, SEG_AR_DPL_MASK)),
	CASE(SS_DPL_RPL, LONG, "guest SS.RPL <> SS.DPL", RESTRICTED,
	     OR(GUEST_SS_AR, SEG_AR_DPL_MASK)),
	CASE(SS_DPL_0, REAL, "unrestricted guest SS.DPL != 0", OR(GUEST_SS_AR, SEG_AR_DPL_MASK)),
	CASE(DATA_DPL, LONG, "guest non-conforming DS.RPL < DS.DPL", RESTRICTED,
	     OR(GUEST_DS_SELECTOR, 3)),
	CASE(SEGMENT_P, LONG, "guest CS not present", CLEAR(GUEST_CS_AR, SEG_AR_P)),
	CASE(SEGMENT_P, PROTECTED, "guest SS not present", CLEAR(GUEST_SS_AR, SEG_AR_P)),
	CASE(SEGMENT_P, LONG, "guest DS not present", CLEAR(GUEST_DS_AR, SEG_AR_P)),
	CASE(SEGMENT_P, LONG, "guest TR not present", CLEAR(GUEST_TR_AR, SEG_AR_P)),
	CASE(SEGMENT_P, LONG, "guest LDTR not present", USABLE_LDTR,
	     CLEAR(GUEST_LDTR_AR, SEG_AR_P)),
	CASE(SEGMENT_RESERVED, LONG, "guest CS.AR/LIMIT malformed", OR(GUEST_CS_AR, BIT32(8))),
	CASE(SEGMENT_RESERVED, LONG, "guest ES.AR/LIMIT malformed", OR(GUEST_ES_AR, BIT32(17))),
	CASE(SEGMENT_RESERVED, LONG, "guest TR.AR/LIMIT malformed", OR(GUEST_TR_AR, BIT32(11))),
	CASE(CS_L_AND_D, LONG, "guest wrong CS.D_B/L", OR(GUEST_CS_AR, SEG_AR_DB)),
	CASE(GRANULARITY_0, LONG, "guest DS.AR/LIMIT malformed", SET(GUEST_DS_LIMIT, 0xfffff000)),
	CASE(GRANULARITY_0, LONG, "guest TR.AR/LIMIT malformed", OR(GUEST_TR_AR, SEG_AR_G)),
	CASE(GRANULARITY_1, LONG, "guest CS.AR/LIMIT malformed", CLEAR(GUEST_CS_AR, SEG_AR_G)),
	CASE(GRANULARITY_1, LONG, "guest LDTR.AR/LIMIT malformed", USABLE_LDTR,
	     SET(GUEST_LDTR_LIMIT, 0x100000)),
	CASE(TR_TYPE, LONG, "guest incorrect TR type", CLEAR(GUEST_TR_AR, SEG_AR_CODE)),
	CASE(TR_TYPE, PROTECTED, "guest incorrect TR type", CLEAR(GUEST_TR_AR, SEG_AR_RW)),
	CASE(LDTR_TYPE, LONG, "guest incorrect LDTR type", USABLE_LDTR,
	     OR(GUEST_LDTR_AR, SEG_AR_ACCESSED)),
	CASE(SYSTEM_S, LONG, "guest TR is not system segment", OR(GUEST_TR_AR, SEG_AR_S)),
	CASE(SYSTEM_S, LONG, "guest LDTR is not system segment", USABLE_LDTR,
	     OR(GUEST_LDTR_AR, SEG_AR_S)),
	CASE(TR_USABLE, LONG, "guest TR invalid", OR(GUEST_TR_AR, SEG_AR_UNUSABLE)),

	CASE(TABLE_BASE, LONG, "guest IDTR/IDTR.BASE non canonical",
	     SET(GUEST_GDTR_BASE, NOT_CANONICAL)),
	CASE(TABLE_BASE, LONG, "guest IDTR/IDTR.BASE non canonical",
	     SET(GUEST_IDTR_BASE, NOT_CANONICAL)),
	CASE(TABLE_LIMIT, LONG, "guest GDTR/IDTR limit > 0xFFFF", SET(GUEST_GDTR_LIMIT, 0x10000)),
	CASE(TABLE_LIMIT, LONG, "guest GDTR/IDTR limit > 0xFFFF", SET(GUEST_IDTR_LIMIT, 0x10000)),

	CASE(RIP_HIGH, PROTECTED, "guest RIP > 32 bit", SET(GUEST_RIP, BIT64(32))),
	CASE(RIP_LINEAR, LONG, NULL, SET(GUEST_RIP, NOT_CANONICAL)),
	CASE(RFLAGS_MUST_BE_0, LONG, "RFLAGS reserved bits are set", OR(GUEST_RFLAGS, BIT64(3))),
	CASE(RFLAGS_MUST_BE_0, LONG, "RFLAGS reserved bits are set", OR(GUEST_RFLAGS, BIT64(63))),
	CASE(RFLAGS_MUST_BE_1, LONG, "RFLAGS[1] cleared", CLEAR(GUEST_RFLAGS, RFLAGS_FIXED1)),
	CASE(RFLAGS_VM_MODE, LONG, "Enter to x86-64 guest with RFLAGS.VM", OR(GUEST_RFLAGS, RFLAGS_VM)),
	CASE(RFLAGS_IF_INJECT, PROTECTED, "interrupts blocked when injecting external interrupt",
	     INJECT(INTERRUPTION_EXTERNAL | 32)),

	CASE(ACTIVITY_RANGE, LONG, "guest activity state 8", SET(GUEST_ACTIVITY, 8)),
	CASE(ACTIVITY_HLT_DPL, PROTECTED, "guest HLT state with SS.DPL=3",
	     SET(GUEST_ACTIVITY, ACTIVITY_HLT), OR(GUEST_CS_AR, SEG_AR_DPL_MASK),
	     OR(GUEST_SS_AR, SEG_AR_DPL_MASK), OR(GUEST_CS_SELECTOR, 3), OR(GUEST_SS_SELECTOR, 3)),
	CASE(ACTIVITY_BLOCKING, LONG, "interruptibility state broken when entering non active CPU",
	     SET(GUEST_ACTIVITY, ACTIVITY_HLT), SET(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS)),
	CASE(ACTIVITY_INJECT, LONG, "allowed when entering shutdown state",
	     SET(GUEST_ACTIVITY, ACTIVITY_SHUTDOWN), OR(GUEST_RFLAGS, RFLAGS_IF),
	     INJECT(INTERRUPTION_EXTERNAL | 32)),
	CASE(ACTIVITY_INJECT, LONG, NULL, SET(GUEST_ACTIVITY, ACTIVITY_HLT),
	     INJECT(INTERRUPTION_HARDWARE_EXCEPTION | VECTOR_UD)),
	CASE(INTERRUPTIBILITY_BITS, LONG, "guest interruptibility state broken",
	     SET(GUEST_INTERRUPTIBILITY, BIT32(5))),
	CASE(STI_AND_MOV_SS, LONG, "guest interruptibility state broken",
	     OR(GUEST_RFLAGS, RFLAGS_IF),
	     SET(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)),
	CASE(STI_NEEDS_IF, LONG, "can't be blocked by STI when EFLAGS.IF = 0",
	     SET(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI)),
	CASE(INTERRUPT_BLOCKED, LONG, "interrupts blocked when injecting external interrupt",
	     INJECT(INTERRUPTION_EXTERNAL | 32), OR(GUEST_RFLAGS, RFLAGS_IF),
	     SET(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS)),
	CASE(NMI_MOV_SS, LONG, "interrupts blocked when injecting NMI",
	     INJECT(INTERRUPTION_NMI | VECTOR_NMI),
	     SET(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS)),
	CASE(NMI_STI, LONG, "interrupts blocked when injecting NMI",
	     INJECT(INTERRUPTION_NMI | VECTOR_NMI), OR(GUEST_RFLAGS, RFLAGS_IF),
	     SET(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI)),
	CASE(SMI_BLOCKING, LONG, "SMI blocked when not in SMM mode",
	     SET(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_SMI)),
	CASE(NMI_BLOCKED, LONG, NULL, OR(PIN_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS),
	     SET(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI),
	     INJECT(INTERRUPTION_NMI | VECTOR_NMI)),
	CASE(ENCLAVE, LONG, "guest interruptibility state broken",
	     SET(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_ENCLAVE | INTERRUPTIBILITY_MOV_SS)),
	CASE(PENDING_RESERVED, LONG, "guest tmpDR6 reserved bits",
	     SET(GUEST_PENDING_DEBUG, BIT64(4))),
	CASE(PENDING_BS, LONG, NULL, SET(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS),
	     SET(GUEST_PENDING_DEBUG, PENDING_DEBUG_BS)),
	CASE(PENDING_BS, LONG, NULL, SET(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS),
	     OR(GUEST_RFLAGS, RFLAGS_TF)),
	CASE(PENDING_RTM, LONG, "guest tmpDR6 reserved bits",
	     SET(GUEST_PENDING_DEBUG, PENDING_DEBUG_RTM)),
	CASE(LINK_POINTER, LONG, "link pointer malformed", SET(VMCS_LINK_POINTER, 0x123)),
	CASE(LINK_POINTER, LONG, "link pointer malformed", SET(VMCS_LINK_POINTER, BEYOND_WIDTH)),
	CASE(PDPTE, PROTECTED, "EPT Guest State PDPTRs Checks Failed",
	     OR(GUEST_CR0, CR0_PG), OR(GUEST_CR4, CR4_PAE), SET(GUEST_PDPTE0, 3)),
	CASE(PDPTE, PROTECTED, "EPT Guest State PDPTRs Checks Failed",
	     OR(GUEST_CR0, CR0_PG), OR(GUEST_CR4, CR4_PAE), SET(GUEST_PDPTE3, BEYOND_WIDTH | 1)),
};
/* clang-format on */
const unsigned explain_case_count = array_size(explain_cases);

const char *explain_base_name(enum explain_base base)
{
	static const char *const names[EXPLAIN_BASES] = {
	    [EXPLAIN_LONG] = "64-bit",
	    [EXPLAIN_PROTECTED] = "32-bit",
	    [EXPLAIN_REAL] = "real mode",
	    [EXPLAIN_V86] = "virtual-8086",
	};

	return names[base];
}

#define SET_SEGMENT(reg, sel, base_, limit_, rights) \
	do {                                         \
		s->guest_##reg##_selector = sel;     \
		s->guest_##reg##_base = base_;       \
		s->guest_##reg##_limit = limit_;     \
		s->guest_##reg##_ar = rights;        \
	} while (0)
#define SET_DATA_SEGMENTS(sel, base_, limit_, rights)        \
	do {                                                 \
		SET_SEGMENT(es, sel, base_, limit_, rights); \
		SET_SEGMENT(ss, sel, base_, limit_, rights); \
		SET_SEGMENT(ds, sel, base_, limit_, rights); \
		SET_SEGMENT(fs, sel, base_, limit_, rights); \
		SET_SEGMENT(gs, sel, base_, limit_, rights); \
	} while (0)

#define FLAT_LIMIT    0xffffffffu
#define REAL_LIMIT    0xffffu
#define REAL_SELECTOR 0x100
#define V86_RIGHTS    0xf3

static void apply_segments(struct vmcs_snapshot *s, enum explain_base base)
{
	SET_SEGMENT(ldtr, 0, 0, 0, SEG_AR_UNUSABLE);
	SET_SEGMENT(tr, 0x18, 0, 0x67, SEG_AR_TSS_BUSY);
	switch (base) {
	case EXPLAIN_REAL:
		SET_SEGMENT(cs, REAL_SELECTOR, REAL_SELECTOR << 4, REAL_LIMIT, SEG_AR_REAL_DATA);
		SET_DATA_SEGMENTS(REAL_SELECTOR, REAL_SELECTOR << 4, REAL_LIMIT, SEG_AR_REAL_DATA);
		break;
	case EXPLAIN_V86:
		SET_SEGMENT(cs, REAL_SELECTOR, REAL_SELECTOR << 4, REAL_LIMIT, V86_RIGHTS);
		SET_DATA_SEGMENTS(REAL_SELECTOR, REAL_SELECTOR << 4, REAL_LIMIT, V86_RIGHTS);
		break;
	default:
		SET_SEGMENT(cs, 0x08, 0, FLAT_LIMIT,
			    base == EXPLAIN_LONG ? SEG_AR_FLAT_CODE64 : SEG_AR_FLAT_CODE32);
		SET_DATA_SEGMENTS(0x10, 0, FLAT_LIMIT, SEG_AR_FLAT_DATA);
		break;
	}
}

void explain_apply_base(struct vmcs_snapshot *s, const struct vmx_caps *caps,
			enum explain_base base)
{
	const bool long_mode = base == EXPLAIN_LONG;

	s->guest_cr0 = (caps->cr0_fixed0 & ~(CR0_PE | CR0_PG)) | CR0_ET | CR0_NE;
	if (base != EXPLAIN_REAL)
		s->guest_cr0 |= CR0_PE;
	s->guest_cr4 = caps->cr4_fixed0;
	if (long_mode) {
		s->guest_cr0 |= CR0_PG | CR0_WP;
		s->guest_cr4 |= CR4_PAE;
		s->entry |= ENTRY_IA32E_MODE_GUEST;
	} else {
		s->entry &= ~(uint64_t)ENTRY_IA32E_MODE_GUEST;
	}
	s->guest_cr3 = 0x1000;
	s->guest_efer = long_mode ? EFER_LME | EFER_LMA : 0;
	s->guest_pat = PAT_RESET;
	s->guest_dr7 = DR7_RESET;
	s->guest_debugctl = 0;
	s->guest_sysenter_esp = 0;
	s->guest_sysenter_eip = 0;
	apply_segments(s, base);
	s->guest_gdtr_base = 0;
	s->guest_gdtr_limit = 0xffff;
	s->guest_idtr_base = 0;
	s->guest_idtr_limit = 0xffff;
	s->guest_rip = 0x1000;
	s->guest_rflags = RFLAGS_FIXED1;
	if (base == EXPLAIN_V86)
		s->guest_rflags |= RFLAGS_VM;
	s->guest_activity = ACTIVITY_ACTIVE;
	s->guest_interruptibility = 0;
	s->guest_pending_debug = 0;
	s->vmcs_link_pointer = ~UINT64_C(0);
	s->guest_pdpte0 = 0;
	s->guest_pdpte1 = 0;
	s->guest_pdpte2 = 0;
	s->guest_pdpte3 = 0;
	s->entry_interruption_info = 0;
	s->entry_exception_error_code = 0;
	s->entry_instruction_length = 0;
}

void explain_apply_changes(struct vmcs_snapshot *s, const struct explain_case *c)
{
	for (unsigned i = 0; i < EXPLAIN_CHANGES_MAX && c->changes[i].op != EXPLAIN_END; i++) {
		const struct explain_change *change = &c->changes[i];
		uint64_t *member;

		if (change->encoding == EXPLAIN_VIRTUAL_TPR) {
			s->virtual_tpr = (int)change->operand;
			continue;
		}
		member = vmcs_snapshot_field(s, change->encoding);
		if (!member)
			continue;
		if (change->op == EXPLAIN_SET)
			*member = change->operand;
		else if (change->op == EXPLAIN_OR)
			*member |= change->operand;
		else
			*member &= ~change->operand;
	}
}

/* --- what is tested, by number ---------------------------------------------------------------- */

#define SNAPSHOT_MEMBER(member, field) {VMCS_ENC_##field, offsetof(struct vmcs_snapshot, member)},
static const struct {
	uint32_t encoding, offset;
} members[] = {VMCS_SNAPSHOT_FIELDS(SNAPSHOT_MEMBER)};
#undef SNAPSHOT_MEMBER

uint32_t vmcs_snapshot_encoding(unsigned index)
{
	return index < array_size(members) ? members[index].encoding : VMCS_SNAPSHOT_END;
}

uint64_t *vmcs_snapshot_field(struct vmcs_snapshot *s, uint32_t encoding)
{
	for (size_t i = 0; i < array_size(members); i++)
		if (members[i].encoding == encoding)
			return (uint64_t *)((char *)s + members[i].offset);
	return NULL;
}

const char *vmx_rule_name(enum vmx_rule rule)
{
#define RULE_NAME(name, kind, section, text) #name,
	static const char *const names[VMX_RULE_COUNT] = {VMX_RULES(RULE_NAME)};
#undef RULE_NAME

	return rule < VMX_RULE_COUNT ? names[rule] : "unknown";
}
#endif
