/*
 * Bits of the VMX controls, of their capability MSRs and of the state fields that are no register:
 * by family, in bit order. Constants only, no state.
 *
 * Sources: Intel SDM Vol. 3, chapter "Virtual Machine Control Structures" (sections on each control
 * field), appendix "VMX Capability Reporting Facility".
 */
#ifndef KEYHOLE_VMX_CONTROLS_H
#define KEYHOLE_VMX_CONTROLS_H

#include "cpu_bits.h"

/* "Pin-Based VM-Execution Controls" */
#define PIN_EXTERNAL_INTERRUPT_EXITING BIT32(0)
#define PIN_NMI_EXITING		       BIT32(3)
#define PIN_VIRTUAL_NMIS	       BIT32(5)
#define PIN_PREEMPTION_TIMER	       BIT32(6)

/* "Processor-Based VM-Execution Controls": primary */
#define PROC_INTERRUPT_WINDOW_EXITING BIT32(2)
#define PROC_TSC_OFFSETTING	      BIT32(3)
#define PROC_HLT_EXITING	      BIT32(7)
#define PROC_MWAIT_EXITING	      BIT32(10)
#define PROC_RDPMC_EXITING	      BIT32(11)
#define PROC_CR3_LOAD_EXITING	      BIT32(15)
#define PROC_CR3_STORE_EXITING	      BIT32(16)
#define PROC_CR8_LOAD_EXITING	      BIT32(19)
#define PROC_CR8_STORE_EXITING	      BIT32(20)
#define PROC_TPR_SHADOW		      BIT32(21)
#define PROC_NMI_WINDOW_EXITING	      BIT32(22)
#define PROC_MOV_DR_EXITING	      BIT32(23)
#define PROC_UNCONDITIONAL_IO_EXITING BIT32(24)
#define PROC_IO_BITMAPS		      BIT32(25)
#define PROC_MONITOR_TRAP_FLAG	      BIT32(27)
#define PROC_MSR_BITMAPS	      BIT32(28)
#define PROC_MONITOR_EXITING	      BIT32(29)
#define PROC_PAUSE_EXITING	      BIT32(30)
#define PROC_SECONDARY_CONTROLS	      BIT32(31)

/* "Processor-Based VM-Execution Controls": secondary */
#define PROC2_VIRTUALIZE_APIC_ACCESSES	 BIT32(0)
#define PROC2_EPT			 BIT32(1)
#define PROC2_RDTSCP			 BIT32(3)
#define PROC2_VIRTUALIZE_X2APIC		 BIT32(4)
#define PROC2_VPID			 BIT32(5)
#define PROC2_WBINVD_EXITING		 BIT32(6)
#define PROC2_UNRESTRICTED_GUEST	 BIT32(7)
#define PROC2_APIC_REGISTER_VIRT	 BIT32(8)
#define PROC2_VIRTUAL_INTERRUPT_DELIVERY BIT32(9)
#define PROC2_PAUSE_LOOP_EXITING	 BIT32(10)
#define PROC2_INVPCID			 BIT32(12)
#define PROC2_PML			 BIT32(17)
#define PROC2_XSAVES			 BIT32(20)
#define PROC2_MODE_BASED_EXECUTE	 BIT32(22)
#define PROC2_SUB_PAGE_WRITE		 BIT32(23)

/* "VM-Exit Controls": primary */
#define EXIT_SAVE_DEBUG_CONTROLS   BIT32(2)
#define EXIT_HOST_64BIT		   BIT32(9) /* "host address-space size" */
#define EXIT_ACKNOWLEDGE_INTERRUPT BIT32(15)
#define EXIT_SAVE_PAT		   BIT32(18)
#define EXIT_LOAD_PAT		   BIT32(19)
#define EXIT_SAVE_EFER		   BIT32(20)
#define EXIT_LOAD_EFER		   BIT32(21)
#define EXIT_SAVE_PREEMPTION_TIMER BIT32(22)

/* "VM-Entry Controls" */
#define ENTRY_LOAD_DEBUG_CONTROLS     BIT32(2)
#define ENTRY_IA32E_MODE_GUEST	      BIT32(9)
#define ENTRY_TO_SMM		      BIT32(10)
#define ENTRY_DEACTIVATE_DUAL_MONITOR BIT32(11)
#define ENTRY_LOAD_PAT		      BIT32(14)
#define ENTRY_LOAD_EFER		      BIT32(15)

/* IA32_VMX_BASIC: "Basic VMX Information" */
#define VMX_BASIC_REVISION_MASK	  UINT64_C(0x7fffffff)
#define VMX_BASIC_VMCS_SIZE_SHIFT 32
#define VMX_BASIC_VMCS_SIZE_MASK  UINT64_C(0x1fff)
#define VMX_BASIC_32BIT_ADDRESSES BIT64(48) /* VMX structures below 4 GiB only */
#define VMX_BASIC_TRUE_CONTROLS	  BIT64(55)
#define VMX_BASIC_ANY_ERROR_CODE  BIT64(56) /* event injection with and without error code */

/* IA32_VMX_MISC: "Miscellaneous Data" */
#define VMX_MISC_TIMER_SHIFT_MASK   UINT64_C(0x1f) /* timer ticks once per 1 << n TSC ticks */
#define VMX_MISC_ACTIVITY_HLT	    BIT64(6)
#define VMX_MISC_ACTIVITY_SHUTDOWN  BIT64(7)
#define VMX_MISC_ACTIVITY_WAIT_SIPI BIT64(8)
#define VMX_MISC_CR3_TARGETS_SHIFT  16
#define VMX_MISC_CR3_TARGETS_MASK   UINT64_C(0x1ff)
#define VMX_MISC_INJECT_ZERO_LENGTH BIT64(30)

/* IA32_VMX_EPT_VPID_CAP: "VPID and EPT Capabilities" */
#define EPT_CAP_EXECUTE_ONLY		    BIT64(0)
#define EPT_CAP_WALK_4			    BIT64(6)
#define EPT_CAP_WALK_5			    BIT64(7)
#define EPT_CAP_TYPE_UC			    BIT64(8)
#define EPT_CAP_TYPE_WB			    BIT64(14)
#define EPT_CAP_PAGE_2M			    BIT64(16)
#define EPT_CAP_PAGE_1G			    BIT64(17)
#define EPT_CAP_INVEPT			    BIT64(20)
#define EPT_CAP_ACCESSED_DIRTY		    BIT64(21)
#define EPT_CAP_SHADOW_STACK		    BIT64(23)
#define EPT_CAP_INVEPT_SINGLE		    BIT64(25)
#define EPT_CAP_INVEPT_ALL		    BIT64(26)
#define VPID_CAP_INVVPID		    BIT64(32)
#define VPID_CAP_INVVPID_ADDRESS	    BIT64(40)
#define VPID_CAP_INVVPID_SINGLE		    BIT64(41)
#define VPID_CAP_INVVPID_ALL		    BIT64(42)
#define VPID_CAP_INVVPID_SINGLE_KEEP_GLOBAL BIT64(43)

/* Types of INVEPT and INVVPID */
#define INVEPT_SINGLE_CONTEXT  1
#define INVEPT_ALL_CONTEXTS    2
#define INVVPID_ADDRESS	       0
#define INVVPID_SINGLE_CONTEXT 1
#define INVVPID_ALL_CONTEXTS   2

/* EPT pointer: "Extended-Page-Table Pointer (EPTP)" */
#define EPTP_MEMORY_TYPE_MASK UINT64_C(0x7)
#define EPTP_WALK_SHIFT	      3 /* walk length minus 1 */
#define EPTP_WALK_MASK	      UINT64_C(0x38)
#define EPTP_WALK_4	      (UINT64_C(3) << EPTP_WALK_SHIFT)
#define EPTP_WALK_5	      (UINT64_C(4) << EPTP_WALK_SHIFT)
#define EPTP_ACCESSED_DIRTY   BIT64(6)
#define EPTP_SHADOW_STACK     BIT64(7)
#define EPTP_RESERVED_LOW     UINT64_C(0xf00)
#define EPTP_ADDRESS_MASK     UINT64_C(0x000ffffffffff000)

/* EPT entries: "EPT Translation Mechanism" */
#define EPT_READ	      BIT64(0)
#define EPT_WRITE	      BIT64(1)
#define EPT_EXECUTE	      BIT64(2)
#define EPT_RWX		      (EPT_READ | EPT_WRITE | EPT_EXECUTE)
#define EPT_MEMORY_TYPE_SHIFT 3
#define EPT_LEAF	      BIT64(7)
#define EPT_ACCESSED	      BIT64(8)
#define EPT_DIRTY	      BIT64(9)
#define EPT_ADDRESS_MASK      UINT64_C(0x000ffffffffff000)

/* "Guest Non-Register State": activity state */
#define ACTIVITY_ACTIVE	   UINT32_C(0)
#define ACTIVITY_HLT	   UINT32_C(1)
#define ACTIVITY_SHUTDOWN  UINT32_C(2)
#define ACTIVITY_WAIT_SIPI UINT32_C(3)

/* "Guest Non-Register State": interruptibility state */
#define INTERRUPTIBILITY_STI	  BIT32(0)
#define INTERRUPTIBILITY_MOV_SS	  BIT32(1)
#define INTERRUPTIBILITY_SMI	  BIT32(2)
#define INTERRUPTIBILITY_NMI	  BIT32(3)
#define INTERRUPTIBILITY_ENCLAVE  BIT32(4)
#define INTERRUPTIBILITY_RESERVED UINT32_C(0xffffffe0)

/* "Guest Non-Register State": pending debug exceptions */
#define PENDING_DEBUG_BUS_LOCK	 BIT64(11)
#define PENDING_DEBUG_BREAKPOINT BIT64(12)
#define PENDING_DEBUG_BS	 BIT64(14)
#define PENDING_DEBUG_RTM	 BIT64(16)
#define PENDING_DEBUG_RESERVED	 UINT64_C(0xfffffffffffea7f0)

/*
 * Interruption information: of VM entry ("VM-Entry Controls for Event Injection"), VM exit
 * ("Information for VM Exits Due to Vectored Events") and IDT vectoring.
 */
#define INTERRUPTION_VECTOR_MASK	 UINT32_C(0xff)
#define INTERRUPTION_TYPE_SHIFT		 8
#define INTERRUPTION_TYPE_MASK		 UINT32_C(0x700)
#define INTERRUPTION_EXTERNAL		 (UINT32_C(0) << INTERRUPTION_TYPE_SHIFT)
#define INTERRUPTION_RESERVED_TYPE	 (UINT32_C(1) << INTERRUPTION_TYPE_SHIFT)
#define INTERRUPTION_NMI		 (UINT32_C(2) << INTERRUPTION_TYPE_SHIFT)
#define INTERRUPTION_HARDWARE_EXCEPTION	 (UINT32_C(3) << INTERRUPTION_TYPE_SHIFT)
#define INTERRUPTION_SOFTWARE_INTERRUPT	 (UINT32_C(4) << INTERRUPTION_TYPE_SHIFT)
#define INTERRUPTION_PRIVILEGED_SOFTWARE (UINT32_C(5) << INTERRUPTION_TYPE_SHIFT)
#define INTERRUPTION_SOFTWARE_EXCEPTION	 (UINT32_C(6) << INTERRUPTION_TYPE_SHIFT)
#define INTERRUPTION_OTHER_EVENT	 (UINT32_C(7) << INTERRUPTION_TYPE_SHIFT)
#define INTERRUPTION_ERROR_CODE		 BIT32(11)
#define INTERRUPTION_NMI_UNBLOCKING	 BIT32(12) /* exit only: IRET had unblocked NMIs */
#define INTERRUPTION_VALID		 BIT32(31)
#define ENTRY_INTERRUPTION_RESERVED	 UINT32_C(0x7ffff000)
#define OTHER_EVENT_PENDING_MTF		 0 /* vector of type "other event" */

#endif
