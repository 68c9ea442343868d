/*
 * Every field of the VMCS: name, encoding, and the SDM's words for it. Constants only, no state.
 *
 * A field is a one-member struct whose type says its width, so that a field passed where a value
 * belongs, or a 64-bit field given to a 16-bit access, does not compile (access: vmx/vmcs.h).
 *
 * Source: Intel SDM Vol. 3, appendix "Field Encoding in VMCS". Encoding:
 *
 *	31..15  14..13  12  11..10  9..1   0
 *	0       width   0   type    index  access (1: upper half of a 64-bit field)
 *
 * width: 0 16-bit, 1 64-bit, 2 32-bit, 3 natural; type: 0 control, 1 read-only data, 2 guest state,
 * 3 host state. Fields of features that the processor lacks do not exist: VMREAD and VMWRITE fail.
 */
#ifndef KEYHOLE_VMX_VMCS_FIELDS_H
#define KEYHOLE_VMX_VMCS_FIELDS_H

#include <stdint.h>

typedef struct {
	uint32_t encoding;
} vmcs16_t;
typedef struct {
	uint32_t encoding;
} vmcs32_t;
typedef struct {
	uint32_t encoding;
} vmcs64_t;
/* Natural width: 64 bits on every processor that Keyhole runs on. */
typedef struct {
	uint32_t encoding;
} vmcsn_t;

#define VMCS_ENCODING_WIDTH_SHIFT 13
#define VMCS_WIDTH_16		  0
#define VMCS_WIDTH_64		  1
#define VMCS_WIDTH_32		  2
#define VMCS_WIDTH_NATURAL	  3

/* clang-format off */
#define VMCS_FIELDS_16(F) \
	F(VPID,				0x0000, "virtual-processor identifier") \
	F(POSTED_INTERRUPT_VECTOR,	0x0002, "posted-interrupt notification vector") \
	F(EPTP_INDEX,			0x0004, "EPTP index") \
	F(HLAT_PREFIX_SIZE,		0x0006, "HLAT prefix size") \
	F(LAST_PID_POINTER_INDEX,	0x0008, "last PID-pointer index") \
	F(VIRTUAL_TIMER_VECTOR,		0x000a, "virtual timer vector") \
	F(GUEST_ES_SELECTOR,		0x0800, "guest ES selector") \
	F(GUEST_CS_SELECTOR,		0x0802, "guest CS selector") \
	F(GUEST_SS_SELECTOR,		0x0804, "guest SS selector") \
	F(GUEST_DS_SELECTOR,		0x0806, "guest DS selector") \
	F(GUEST_FS_SELECTOR,		0x0808, "guest FS selector") \
	F(GUEST_GS_SELECTOR,		0x080a, "guest GS selector") \
	F(GUEST_LDTR_SELECTOR,		0x080c, "guest LDTR selector") \
	F(GUEST_TR_SELECTOR,		0x080e, "guest TR selector") \
	F(GUEST_INTERRUPT_STATUS,	0x0810, "guest interrupt status") \
	F(PML_INDEX,			0x0812, "PML index") \
	F(GUEST_UINV,			0x0814, "guest UINV") \
	F(HOST_ES_SELECTOR,		0x0c00, "host ES selector") \
	F(HOST_CS_SELECTOR,		0x0c02, "host CS selector") \
	F(HOST_SS_SELECTOR,		0x0c04, "host SS selector") \
	F(HOST_DS_SELECTOR,		0x0c06, "host DS selector") \
	F(HOST_FS_SELECTOR,		0x0c08, "host FS selector") \
	F(HOST_GS_SELECTOR,		0x0c0a, "host GS selector") \
	F(HOST_TR_SELECTOR,		0x0c0c, "host TR selector")

#define VMCS_FIELDS_64(F) \
	F(IO_BITMAP_A,			0x2000, "address of I/O bitmap A") \
	F(IO_BITMAP_B,			0x2002, "address of I/O bitmap B") \
	F(MSR_BITMAP,			0x2004, "address of MSR bitmaps") \
	F(EXIT_MSR_STORE_ADDRESS,	0x2006, "VM-exit MSR-store address") \
	F(EXIT_MSR_LOAD_ADDRESS,	0x2008, "VM-exit MSR-load address") \
	F(ENTRY_MSR_LOAD_ADDRESS,	0x200a, "VM-entry MSR-load address") \
	F(EXECUTIVE_VMCS_POINTER,	0x200c, "executive-VMCS pointer") \
	F(PML_ADDRESS,			0x200e, "PML address") \
	F(TSC_OFFSET,			0x2010, "TSC offset") \
	F(VIRTUAL_APIC_ADDRESS,		0x2012, "virtual-APIC address") \
	F(APIC_ACCESS_ADDRESS,		0x2014, "APIC-access address") \
	F(POSTED_INTERRUPT_DESCRIPTOR,	0x2016, "posted-interrupt descriptor address") \
	F(VMFUNC_CONTROLS,		0x2018, "VM-function controls") \
	F(EPT_POINTER,			0x201a, "EPT pointer") \
	F(EOI_EXIT_BITMAP_0,		0x201c, "EOI-exit bitmap 0") \
	F(EOI_EXIT_BITMAP_1,		0x201e, "EOI-exit bitmap 1") \
	F(EOI_EXIT_BITMAP_2,		0x2020, "EOI-exit bitmap 2") \
	F(EOI_EXIT_BITMAP_3,		0x2022, "EOI-exit bitmap 3") \
	F(EPTP_LIST_ADDRESS,		0x2024, "EPTP-list address") \
	F(VMREAD_BITMAP,		0x2026, "VMREAD-bitmap address") \
	F(VMWRITE_BITMAP,		0x2028, "VMWRITE-bitmap address") \
	F(VE_INFORMATION_ADDRESS,	0x202a, "virtualization-exception information address") \
	F(XSS_EXITING_BITMAP,		0x202c, "XSS-exiting bitmap") \
	F(ENCLS_EXITING_BITMAP,		0x202e, "ENCLS-exiting bitmap") \
	F(SUB_PAGE_TABLE_POINTER,	0x2030, "sub-page-permission-table pointer") \
	F(TSC_MULTIPLIER,		0x2032, "TSC multiplier") \
	F(TERTIARY_CONTROLS,		0x2034, "tertiary processor-based VM-execution controls") \
	F(ENCLV_EXITING_BITMAP,		0x2036, "ENCLV-exiting bitmap") \
	F(LOW_PASID_DIRECTORY,		0x2038, "low PASID directory address") \
	F(HIGH_PASID_DIRECTORY,		0x203a, "high PASID directory address") \
	F(SHARED_EPT_POINTER,		0x203c, "shared EPT pointer") \
	F(PCONFIG_EXITING_BITMAP,	0x203e, "PCONFIG-exiting bitmap") \
	F(HLAT_POINTER,			0x2040, "hypervisor-managed linear-address translation pointer") \
	F(PID_POINTER_TABLE,		0x2042, "PID-pointer table address") \
	F(SECONDARY_EXIT_CONTROLS,	0x2044, "secondary VM-exit controls") \
	F(SPEC_CTRL_MASK,		0x204a, "IA32_SPEC_CTRL mask") \
	F(SPEC_CTRL_SHADOW,		0x204c, "IA32_SPEC_CTRL shadow") \
	F(GUEST_DEADLINE_SHADOW,	0x204e, "guest deadline shadow") \
	F(INJECTED_EVENT_DATA,		0x2052, "injected-event data") \
	F(GUEST_PHYSICAL_ADDRESS,	0x2400, "guest-physical address") \
	F(MSR_DATA,			0x2402, "MSR data") \
	F(ORIGINAL_EVENT_DATA,		0x2404, "original-event data") \
	F(VMCS_LINK_POINTER,		0x2800, "VMCS link pointer") \
	F(GUEST_DEBUGCTL,		0x2802, "guest IA32_DEBUGCTL") \
	F(GUEST_PAT,			0x2804, "guest IA32_PAT") \
	F(GUEST_EFER,			0x2806, "guest IA32_EFER") \
	F(GUEST_PERF_GLOBAL_CTRL,	0x2808, "guest IA32_PERF_GLOBAL_CTRL") \
	F(GUEST_PDPTE0,			0x280a, "guest PDPTE0") \
	F(GUEST_PDPTE1,			0x280c, "guest PDPTE1") \
	F(GUEST_PDPTE2,			0x280e, "guest PDPTE2") \
	F(GUEST_PDPTE3,			0x2810, "guest PDPTE3") \
	F(GUEST_BNDCFGS,		0x2812, "guest IA32_BNDCFGS") \
	F(GUEST_RTIT_CTL,		0x2814, "guest IA32_RTIT_CTL") \
	F(GUEST_LBR_CTL,		0x2816, "guest IA32_LBR_CTL") \
	F(GUEST_PKRS,			0x2818, "guest IA32_PKRS") \
	F(GUEST_FRED_CONFIG,		0x281a, "guest IA32_FRED_CONFIG") \
	F(GUEST_FRED_RSP1,		0x281c, "guest IA32_FRED_RSP1") \
	F(GUEST_FRED_RSP2,		0x281e, "guest IA32_FRED_RSP2") \
	F(GUEST_FRED_RSP3,		0x2820, "guest IA32_FRED_RSP3") \
	F(GUEST_FRED_STKLVLS,		0x2822, "guest IA32_FRED_STKLVLS") \
	F(GUEST_FRED_SSP1,		0x2824, "guest IA32_FRED_SSP1") \
	F(GUEST_FRED_SSP2,		0x2826, "guest IA32_FRED_SSP2") \
	F(GUEST_FRED_SSP3,		0x2828, "guest IA32_FRED_SSP3") \
	F(GUEST_SPEC_CTRL,		0x282e, "guest IA32_SPEC_CTRL") \
	F(GUEST_DEADLINE,		0x2830, "guest deadline") \
	F(HOST_PAT,			0x2c00, "host IA32_PAT") \
	F(HOST_EFER,			0x2c02, "host IA32_EFER") \
	F(HOST_PERF_GLOBAL_CTRL,	0x2c04, "host IA32_PERF_GLOBAL_CTRL") \
	F(HOST_PKRS,			0x2c06, "host IA32_PKRS") \
	F(HOST_FRED_CONFIG,		0x2c08, "host IA32_FRED_CONFIG") \
	F(HOST_FRED_RSP1,		0x2c0a, "host IA32_FRED_RSP1") \
	F(HOST_FRED_RSP2,		0x2c0c, "host IA32_FRED_RSP2") \
	F(HOST_FRED_RSP3,		0x2c0e, "host IA32_FRED_RSP3") \
	F(HOST_FRED_STKLVLS,		0x2c10, "host IA32_FRED_STKLVLS") \
	F(HOST_FRED_SSP1,		0x2c12, "host IA32_FRED_SSP1") \
	F(HOST_FRED_SSP2,		0x2c14, "host IA32_FRED_SSP2") \
	F(HOST_FRED_SSP3,		0x2c16, "host IA32_FRED_SSP3") \
	F(HOST_SPEC_CTRL,		0x2c1a, "host IA32_SPEC_CTRL")

#define VMCS_FIELDS_32(F) \
	F(PIN_CONTROLS,			0x4000, "pin-based VM-execution controls") \
	F(PROC_CONTROLS,		0x4002, "primary processor-based VM-execution controls") \
	F(EXCEPTION_BITMAP,		0x4004, "exception bitmap") \
	F(PF_ERROR_CODE_MASK,		0x4006, "page-fault error-code mask") \
	F(PF_ERROR_CODE_MATCH,		0x4008, "page-fault error-code match") \
	F(CR3_TARGET_COUNT,		0x400a, "CR3-target count") \
	F(EXIT_CONTROLS,		0x400c, "primary VM-exit controls") \
	F(EXIT_MSR_STORE_COUNT,		0x400e, "VM-exit MSR-store count") \
	F(EXIT_MSR_LOAD_COUNT,		0x4010, "VM-exit MSR-load count") \
	F(ENTRY_CONTROLS,		0x4012, "VM-entry controls") \
	F(ENTRY_MSR_LOAD_COUNT,		0x4014, "VM-entry MSR-load count") \
	F(ENTRY_INTERRUPTION_INFO,	0x4016, "VM-entry interruption-information field") \
	F(ENTRY_EXCEPTION_ERROR_CODE,	0x4018, "VM-entry exception error code") \
	F(ENTRY_INSTRUCTION_LENGTH,	0x401a, "VM-entry instruction length") \
	F(TPR_THRESHOLD,		0x401c, "TPR threshold") \
	F(PROC2_CONTROLS,		0x401e, "secondary processor-based VM-execution controls") \
	F(PLE_GAP,			0x4020, "PLE_Gap") \
	F(PLE_WINDOW,			0x4022, "PLE_Window") \
	F(INSTRUCTION_TIMEOUT,		0x4024, "instruction-timeout control") \
	F(INSTRUCTION_ERROR,		0x4400, "VM-instruction error") \
	F(EXIT_REASON,			0x4402, "exit reason") \
	F(EXIT_INTERRUPTION_INFO,	0x4404, "VM-exit interruption information") \
	F(EXIT_INTERRUPTION_ERROR_CODE,	0x4406, "VM-exit interruption error code") \
	F(IDT_VECTORING_INFO,		0x4408, "IDT-vectoring information field") \
	F(IDT_VECTORING_ERROR_CODE,	0x440a, "IDT-vectoring error code") \
	F(EXIT_INSTRUCTION_LENGTH,	0x440c, "VM-exit instruction length") \
	F(EXIT_INSTRUCTION_INFO,	0x440e, "VM-exit instruction information") \
	F(GUEST_ES_LIMIT,		0x4800, "guest ES limit") \
	F(GUEST_CS_LIMIT,		0x4802, "guest CS limit") \
	F(GUEST_SS_LIMIT,		0x4804, "guest SS limit") \
	F(GUEST_DS_LIMIT,		0x4806, "guest DS limit") \
	F(GUEST_FS_LIMIT,		0x4808, "guest FS limit") \
	F(GUEST_GS_LIMIT,		0x480a, "guest GS limit") \
	F(GUEST_LDTR_LIMIT,		0x480c, "guest LDTR limit") \
	F(GUEST_TR_LIMIT,		0x480e, "guest TR limit") \
	F(GUEST_GDTR_LIMIT,		0x4810, "guest GDTR limit") \
	F(GUEST_IDTR_LIMIT,		0x4812, "guest IDTR limit") \
	F(GUEST_ES_AR,			0x4814, "guest ES access rights") \
	F(GUEST_CS_AR,			0x4816, "guest CS access rights") \
	F(GUEST_SS_AR,			0x4818, "guest SS access rights") \
	F(GUEST_DS_AR,			0x481a, "guest DS access rights") \
	F(GUEST_FS_AR,			0x481c, "guest FS access rights") \
	F(GUEST_GS_AR,			0x481e, "guest GS access rights") \
	F(GUEST_LDTR_AR,		0x4820, "guest LDTR access rights") \
	F(GUEST_TR_AR,			0x4822, "guest TR access rights") \
	F(GUEST_INTERRUPTIBILITY,	0x4824, "guest interruptibility state") \
	F(GUEST_ACTIVITY,		0x4826, "guest activity state") \
	F(GUEST_SMBASE,			0x4828, "guest SMBASE") \
	F(GUEST_SYSENTER_CS,		0x482a, "guest IA32_SYSENTER_CS") \
	F(PREEMPTION_TIMER,		0x482e, "VMX-preemption timer value") \
	F(HOST_SYSENTER_CS,		0x4c00, "host IA32_SYSENTER_CS")

#define VMCS_FIELDS_NATURAL(F) \
	F(CR0_MASK,			0x6000, "CR0 guest/host mask") \
	F(CR4_MASK,			0x6002, "CR4 guest/host mask") \
	F(CR0_READ_SHADOW,		0x6004, "CR0 read shadow") \
	F(CR4_READ_SHADOW,		0x6006, "CR4 read shadow") \
	F(CR3_TARGET_0,			0x6008, "CR3-target value 0") \
	F(CR3_TARGET_1,			0x600a, "CR3-target value 1") \
	F(CR3_TARGET_2,			0x600c, "CR3-target value 2") \
	F(CR3_TARGET_3,			0x600e, "CR3-target value 3") \
	F(EXIT_QUALIFICATION,		0x6400, "exit qualification") \
	F(IO_RCX,			0x6402, "I/O RCX") \
	F(IO_RSI,			0x6404, "I/O RSI") \
	F(IO_RDI,			0x6406, "I/O RDI") \
	F(IO_RIP,			0x6408, "I/O RIP") \
	F(GUEST_LINEAR_ADDRESS,		0x640a, "guest-linear address") \
	F(GUEST_CR0,			0x6800, "guest CR0") \
	F(GUEST_CR3,			0x6802, "guest CR3") \
	F(GUEST_CR4,			0x6804, "guest CR4") \
	F(GUEST_ES_BASE,		0x6806, "guest ES base") \
	F(GUEST_CS_BASE,		0x6808, "guest CS base") \
	F(GUEST_SS_BASE,		0x680a, "guest SS base") \
	F(GUEST_DS_BASE,		0x680c, "guest DS base") \
	F(GUEST_FS_BASE,		0x680e, "guest FS base") \
	F(GUEST_GS_BASE,		0x6810, "guest GS base") \
	F(GUEST_LDTR_BASE,		0x6812, "guest LDTR base") \
	F(GUEST_TR_BASE,		0x6814, "guest TR base") \
	F(GUEST_GDTR_BASE,		0x6816, "guest GDTR base") \
	F(GUEST_IDTR_BASE,		0x6818, "guest IDTR base") \
	F(GUEST_DR7,			0x681a, "guest DR7") \
	F(GUEST_RSP,			0x681c, "guest RSP") \
	F(GUEST_RIP,			0x681e, "guest RIP") \
	F(GUEST_RFLAGS,			0x6820, "guest RFLAGS") \
	F(GUEST_PENDING_DEBUG,		0x6822, "guest pending debug exceptions") \
	F(GUEST_SYSENTER_ESP,		0x6824, "guest IA32_SYSENTER_ESP") \
	F(GUEST_SYSENTER_EIP,		0x6826, "guest IA32_SYSENTER_EIP") \
	F(GUEST_S_CET,			0x6828, "guest IA32_S_CET") \
	F(GUEST_SSP,			0x682a, "guest SSP") \
	F(GUEST_INTERRUPT_SSP_TABLE,	0x682c, "guest IA32_INTERRUPT_SSP_TABLE_ADDR") \
	F(HOST_CR0,			0x6c00, "host CR0") \
	F(HOST_CR3,			0x6c02, "host CR3") \
	F(HOST_CR4,			0x6c04, "host CR4") \
	F(HOST_FS_BASE,			0x6c06, "host FS base") \
	F(HOST_GS_BASE,			0x6c08, "host GS base") \
	F(HOST_TR_BASE,			0x6c0a, "host TR base") \
	F(HOST_GDTR_BASE,		0x6c0c, "host GDTR base") \
	F(HOST_IDTR_BASE,		0x6c0e, "host IDTR base") \
	F(HOST_SYSENTER_ESP,		0x6c10, "host IA32_SYSENTER_ESP") \
	F(HOST_SYSENTER_EIP,		0x6c12, "host IA32_SYSENTER_EIP") \
	F(HOST_RSP,			0x6c14, "host RSP") \
	F(HOST_RIP,			0x6c16, "host RIP") \
	F(HOST_S_CET,			0x6c18, "host IA32_S_CET") \
	F(HOST_SSP,			0x6c1a, "host SSP") \
	F(HOST_INTERRUPT_SSP_TABLE,	0x6c1c, "host IA32_INTERRUPT_SSP_TABLE_ADDR")
/* clang-format on */

/* VMCS_GUEST_CR0 and so on: the typed constants for vmx/vmcs.h. */
#define VMCS_DEFINE_16(name, enc, text) static const vmcs16_t VMCS_##name = {enc};
#define VMCS_DEFINE_64(name, enc, text) static const vmcs64_t VMCS_##name = {enc};
#define VMCS_DEFINE_32(name, enc, text) static const vmcs32_t VMCS_##name = {enc};
#define VMCS_DEFINE_N(name, enc, text)	static const vmcsn_t VMCS_##name = {enc};
VMCS_FIELDS_16(VMCS_DEFINE_16)
VMCS_FIELDS_64(VMCS_DEFINE_64)
VMCS_FIELDS_32(VMCS_DEFINE_32)
VMCS_FIELDS_NATURAL(VMCS_DEFINE_N)
#undef VMCS_DEFINE_16
#undef VMCS_DEFINE_64
#undef VMCS_DEFINE_32
#undef VMCS_DEFINE_N

/* VMCS_ENC_GUEST_CR0 and so on: bare encodings, for constant tables only. */
#define VMCS_ENUMERATE(name, enc, text) VMCS_ENC_##name = enc,
enum vmcs_encoding {
	VMCS_FIELDS_16(VMCS_ENUMERATE) VMCS_FIELDS_64(VMCS_ENUMERATE) VMCS_FIELDS_32(VMCS_ENUMERATE)
	    VMCS_FIELDS_NATURAL(VMCS_ENUMERATE)
};
#undef VMCS_ENUMERATE

/* The width in each encoding agrees with the list in which the field stands. */
#define VMCS_CHECK(name, enc, width)                                                            \
	_Static_assert((((enc) >> VMCS_ENCODING_WIDTH_SHIFT) & 3) == (width) && ((enc)&1) == 0, \
		       "encoding of " #name);
#define VMCS_CHECK_16(name, enc, text) VMCS_CHECK(name, enc, VMCS_WIDTH_16)
#define VMCS_CHECK_64(name, enc, text) VMCS_CHECK(name, enc, VMCS_WIDTH_64)
#define VMCS_CHECK_32(name, enc, text) VMCS_CHECK(name, enc, VMCS_WIDTH_32)
#define VMCS_CHECK_N(name, enc, text)  VMCS_CHECK(name, enc, VMCS_WIDTH_NATURAL)
VMCS_FIELDS_16(VMCS_CHECK_16)
VMCS_FIELDS_64(VMCS_CHECK_64)
VMCS_FIELDS_32(VMCS_CHECK_32)
VMCS_FIELDS_NATURAL(VMCS_CHECK_N)
#undef VMCS_CHECK_16
#undef VMCS_CHECK_64
#undef VMCS_CHECK_32
#undef VMCS_CHECK_N
#undef VMCS_CHECK

#endif
