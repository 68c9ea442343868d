/*
 * Exit reasons, exit qualifications and VM-instruction errors. Constants only; the names as text
 * are in vmx/exit_names.c.
 *
 * Sources: Intel SDM Vol. 3, appendix "VMX Basic Exit Reasons"; "Basic VM-Exit Information";
 * "VM Instruction Error Numbers".
 */
#ifndef KEYHOLE_VMX_EXIT_REASONS_H
#define KEYHOLE_VMX_EXIT_REASONS_H

#include "cpu_bits.h"

/* clang-format off */
#define VMX_EXIT_REASONS(R) \
	R(EXCEPTION_NMI,	 0, "exception or NMI") \
	R(EXTERNAL_INTERRUPT,	 1, "external interrupt") \
	R(TRIPLE_FAULT,		 2, "triple fault") \
	R(INIT,			 3, "INIT signal") \
	R(SIPI,			 4, "start-up IPI") \
	R(IO_SMI,		 5, "I/O system-management interrupt") \
	R(OTHER_SMI,		 6, "other SMI") \
	R(INTERRUPT_WINDOW,	 7, "interrupt window") \
	R(NMI_WINDOW,		 8, "NMI window") \
	R(TASK_SWITCH,		 9, "task switch") \
	R(CPUID,		10, "CPUID") \
	R(GETSEC,		11, "GETSEC") \
	R(HLT,			12, "HLT") \
	R(INVD,			13, "INVD") \
	R(INVLPG,		14, "INVLPG") \
	R(RDPMC,		15, "RDPMC") \
	R(RDTSC,		16, "RDTSC") \
	R(RSM,			17, "RSM") \
	R(VMCALL,		18, "VMCALL") \
	R(VMCLEAR,		19, "VMCLEAR") \
	R(VMLAUNCH,		20, "VMLAUNCH") \
	R(VMPTRLD,		21, "VMPTRLD") \
	R(VMPTRST,		22, "VMPTRST") \
	R(VMREAD,		23, "VMREAD") \
	R(VMRESUME,		24, "VMRESUME") \
	R(VMWRITE,		25, "VMWRITE") \
	R(VMXOFF,		26, "VMXOFF") \
	R(VMXON,		27, "VMXON") \
	R(CR_ACCESS,		28, "control-register access") \
	R(DR_ACCESS,		29, "MOV DR") \
	R(IO,			30, "I/O instruction") \
	R(RDMSR,		31, "RDMSR") \
	R(WRMSR,		32, "WRMSR") \
	R(ENTRY_GUEST_STATE,	33, "VM-entry failure: invalid guest state") \
	R(ENTRY_MSR_LOAD,	34, "VM-entry failure: MSR loading") \
	R(MWAIT,		36, "MWAIT") \
	R(MONITOR_TRAP_FLAG,	37, "monitor trap flag") \
	R(MONITOR,		39, "MONITOR") \
	R(PAUSE,		40, "PAUSE") \
	R(ENTRY_MACHINE_CHECK,	41, "VM-entry failure: machine-check event") \
	R(TPR_BELOW_THRESHOLD,	43, "TPR below threshold") \
	R(APIC_ACCESS,		44, "APIC access") \
	R(VIRTUALIZED_EOI,	45, "virtualized EOI") \
	R(GDTR_IDTR_ACCESS,	46, "access to GDTR or IDTR") \
	R(LDTR_TR_ACCESS,	47, "access to LDTR or TR") \
	R(EPT_VIOLATION,	48, "EPT violation") \
	R(EPT_MISCONFIGURATION,	49, "EPT misconfiguration") \
	R(INVEPT,		50, "INVEPT") \
	R(RDTSCP,		51, "RDTSCP") \
	R(PREEMPTION_TIMER,	52, "VMX-preemption timer expired") \
	R(INVVPID,		53, "INVVPID") \
	R(WBINVD,		54, "WBINVD or WBNOINVD") \
	R(XSETBV,		55, "XSETBV") \
	R(APIC_WRITE,		56, "APIC write") \
	R(RDRAND,		57, "RDRAND") \
	R(INVPCID,		58, "INVPCID") \
	R(VMFUNC,		59, "VMFUNC") \
	R(ENCLS,		60, "ENCLS") \
	R(RDSEED,		61, "RDSEED") \
	R(PML_FULL,		62, "page-modification log full") \
	R(XSAVES,		63, "XSAVES") \
	R(XRSTORS,		64, "XRSTORS") \
	R(PCONFIG,		65, "PCONFIG") \
	R(SPP_EVENT,		66, "SPP-related event") \
	R(UMWAIT,		67, "UMWAIT") \
	R(TPAUSE,		68, "TPAUSE") \
	R(LOADIWKEY,		69, "LOADIWKEY") \
	R(ENCLV,		70, "ENCLV") \
	R(ENQCMD_PASID,		72, "ENQCMD PASID translation failure") \
	R(ENQCMDS_PASID,	73, "ENQCMDS PASID translation failure") \
	R(BUS_LOCK,		74, "bus lock") \
	R(INSTRUCTION_TIMEOUT,	75, "instruction timeout") \
	R(SEAMCALL,		76, "SEAMCALL") \
	R(TDCALL,		77, "TDCALL") \
	R(RDMSRLIST,		78, "RDMSRLIST") \
	R(WRMSRLIST,		79, "WRMSRLIST") \
	R(URDMSR,		80, "URDMSR") \
	R(UWRMSR,		81, "UWRMSR") \
	R(RDMSR_IMMEDIATE,	84, "RDMSR with immediate") \
	R(WRMSRNS_IMMEDIATE,	85, "WRMSRNS with immediate")

#define VMX_INSTRUCTION_ERRORS(E) \
	E(VMCALL_IN_ROOT,	 1, "VMCALL executed in VMX root operation") \
	E(VMCLEAR_ADDRESS,	 2, "VMCLEAR with invalid physical address") \
	E(VMCLEAR_VMXON_POINTER, 3, "VMCLEAR with VMXON pointer") \
	E(VMLAUNCH_NOT_CLEAR,	 4, "VMLAUNCH with non-clear VMCS") \
	E(VMRESUME_NOT_LAUNCHED, 5, "VMRESUME with non-launched VMCS") \
	E(VMRESUME_AFTER_VMXOFF, 6, "VMRESUME after VMXOFF") \
	E(ENTRY_CONTROLS,	 7, "VM entry with invalid control fields") \
	E(ENTRY_HOST_STATE,	 8, "VM entry with invalid host-state fields") \
	E(VMPTRLD_ADDRESS,	 9, "VMPTRLD with invalid physical address") \
	E(VMPTRLD_VMXON_POINTER, 10, "VMPTRLD with VMXON pointer") \
	E(VMPTRLD_REVISION,	 11, "VMPTRLD with incorrect VMCS revision identifier") \
	E(UNSUPPORTED_FIELD,	 12, "VMREAD or VMWRITE of an unsupported VMCS component") \
	E(VMWRITE_READ_ONLY,	 13, "VMWRITE to a read-only VMCS component") \
	E(VMXON_IN_ROOT,	 15, "VMXON executed in VMX root operation") \
	E(EXECUTIVE_POINTER,	 16, "VM entry with invalid executive-VMCS pointer") \
	E(EXECUTIVE_NOT_LAUNCHED, 17, "VM entry with non-launched executive VMCS") \
	E(EXECUTIVE_NOT_VMXON,	 18, "VM entry with executive-VMCS pointer not VMXON pointer") \
	E(VMCALL_NOT_CLEAR,	 19, "VMCALL with non-clear VMCS") \
	E(VMCALL_EXIT_CONTROLS,	 20, "VMCALL with invalid VM-exit control fields") \
	E(VMCALL_MSEG_REVISION,	 22, "VMCALL with incorrect MSEG revision identifier") \
	E(VMXOFF_DUAL_MONITOR,	 23, "VMXOFF under dual-monitor treatment of SMIs and SMM") \
	E(VMCALL_SMM_FEATURES,	 24, "VMCALL with invalid SMM-monitor features") \
	E(EXECUTIVE_CONTROLS,	 25, "VM entry with invalid VM-execution control fields in executive VMCS") \
	E(ENTRY_MOV_SS,		 26, "VM entry with events blocked by MOV SS") \
	E(INVEPT_INVVPID_OPERAND, 28, "invalid operand to INVEPT or INVVPID")
/* clang-format on */

#define VMX_ENUMERATE_REASON(name, number, text) EXIT_REASON_##name = number,
enum vmx_exit_reason { VMX_EXIT_REASONS(VMX_ENUMERATE_REASON) EXIT_REASON_COUNT };
#undef VMX_ENUMERATE_REASON

#define VMX_ENUMERATE_ERROR(name, number, text) VMX_ERROR_##name = number,
enum vmx_instruction_error { VMX_INSTRUCTION_ERRORS(VMX_ENUMERATE_ERROR) VMX_ERROR_COUNT };
#undef VMX_ENUMERATE_ERROR

/* The exit-reason field: the basic reason and flags ("Basic VM-Exit Information") */
#define EXIT_REASON_BASIC_MASK	  UINT32_C(0xffff)
#define EXIT_REASON_ENTRY_FAILURE BIT32(31)

/* "Exit Qualification for Control-Register Accesses" */
#define CR_ACCESS_NUMBER_MASK	UINT64_C(0xf)
#define CR_ACCESS_TYPE_SHIFT	4
#define CR_ACCESS_TYPE_MASK	UINT64_C(0x3)
#define CR_ACCESS_TYPE_MOV_TO	0
#define CR_ACCESS_TYPE_MOV_FROM 1
#define CR_ACCESS_TYPE_CLTS	2
#define CR_ACCESS_TYPE_LMSW	3
#define CR_ACCESS_GPR_SHIFT	8
#define CR_ACCESS_GPR_MASK	UINT64_C(0xf)
#define CR_ACCESS_LMSW_SHIFT	16

/* "Exit Qualification for I/O Instructions" */
#define IO_ACCESS_SIZE_MASK  UINT64_C(0x7) /* size in bytes minus 1: 0, 1, 3 */
#define IO_ACCESS_IN	     BIT64(3)
#define IO_ACCESS_STRING     BIT64(4)
#define IO_ACCESS_REP	     BIT64(5)
#define IO_ACCESS_PORT_SHIFT 16
#define IO_ACCESS_PORT_MASK  UINT64_C(0xffff)

/* "Exit Qualification for EPT Violations" */
#define EPT_VIOLATION_READ	     BIT64(0)
#define EPT_VIOLATION_WRITE	     BIT64(1)
#define EPT_VIOLATION_FETCH	     BIT64(2)
#define EPT_VIOLATION_WAS_READABLE   BIT64(3)
#define EPT_VIOLATION_WAS_WRITABLE   BIT64(4)
#define EPT_VIOLATION_WAS_EXECUTABLE BIT64(5)
#define EPT_VIOLATION_WAS_ANY \
	(EPT_VIOLATION_WAS_READABLE | EPT_VIOLATION_WAS_WRITABLE | EPT_VIOLATION_WAS_EXECUTABLE)
#define EPT_VIOLATION_LINEAR_VALID   BIT64(7)
#define EPT_VIOLATION_TRANSLATED     BIT64(8) /* 0: access by the guest's page walk */
#define EPT_VIOLATION_NMI_UNBLOCKING BIT64(12)

/* "Exit Qualification for APIC-access VM exits" */
#define APIC_ACCESS_OFFSET_MASK UINT64_C(0xfff)

/* Names for reports; never NULL ("unknown" for numbers that have none). exit_reason: the whole
 * field or its basic part; flags in the upper half are ignored. */
const char *vmx_exit_reason_name(uint32_t exit_reason);
const char *vmx_instruction_error_name(uint32_t error);
/* The SDM's words for a VMCS field by its encoding. */
const char *vmcs_field_name(uint32_t encoding);

#endif
