/*
 * Bits of the processor's registers, MSR numbers and CPUID feature bits, by the SDM's names, in bit
 * order. Constants only, no state; usable from assembly too.
 *
 * Sources: Intel SDM Vol. 3, "Control Registers", "Extended Control Registers", "Debug Registers",
 * "Segment Descriptors", "Page-Fault Exceptions"; Vol. 4, "Architectural MSRs"; Vol. 2, "CPUID".
 */
#ifndef KEYHOLE_CPU_BITS_H
#define KEYHOLE_CPU_BITS_H

#ifdef __ASSEMBLER__
#define BIT32(n)   (1 << (n))
#define BIT64(n)   (1 << (n))
#define CONST64(c) c
#else
#include <stdint.h>
#define BIT32(n)   (UINT32_C(1) << (n))
#define BIT64(n)   (UINT64_C(1) << (n))
#define CONST64(c) UINT64_C(c)
#endif

/* --- CR0 --------------------------------------------------------------------------------------*/
#define CR0_PE BIT64(0)	 /* protected mode */
#define CR0_MP BIT64(1)	 /* monitor coprocessor */
#define CR0_EM BIT64(2)	 /* emulate x87 */
#define CR0_TS BIT64(3)	 /* task switched */
#define CR0_ET BIT64(4)	 /* reads as 1 */
#define CR0_NE BIT64(5)	 /* x87 errors by #MF */
#define CR0_WP BIT64(16) /* supervisor honours read-only pages */
#define CR0_AM BIT64(18) /* alignment checks allowed */
#define CR0_NW BIT64(29)
#define CR0_CD BIT64(30)
#define CR0_PG BIT64(31)
/* Bits that software may set; MOV to CR0 ignores other bits below 32 and faults on bits 63:32. */
#define CR0_DEFINED                                                                                \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
	 CR0_PG)

/* --- CR3 --------------------------------------------------------------------------------------*/
#define CR3_PCID_MASK CONST64(0xfff)

/* --- CR4 --------------------------------------------------------------------------------------*/
#define CR4_VME	       BIT64(0)
#define CR4_PVI	       BIT64(1)
#define CR4_TSD	       BIT64(2)
#define CR4_DE	       BIT64(3)
#define CR4_PSE	       BIT64(4)
#define CR4_PAE	       BIT64(5)
#define CR4_MCE	       BIT64(6)
#define CR4_PGE	       BIT64(7)
#define CR4_OSFXSR     BIT64(9)
#define CR4_OSXMMEXCPT BIT64(10)
#define CR4_UMIP       BIT64(11)
#define CR4_LA57       BIT64(12)
#define CR4_VMXE       BIT64(13)
#define CR4_FSGSBASE   BIT64(16)
#define CR4_PCIDE      BIT64(17)
#define CR4_OSXSAVE    BIT64(18)
#define CR4_SMEP       BIT64(20)
#define CR4_SMAP       BIT64(21)
#define CR4_PKE	       BIT64(22)
#define CR4_CET	       BIT64(23)

/* --- IA32_EFER --------------------------------------------------------------------------------*/
#define EFER_SCE      BIT64(0)
#define EFER_LME      BIT64(8)
#define EFER_LMA      BIT64(10)
#define EFER_NXE      BIT64(11)
#define EFER_RESERVED (~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE))

/* --- XCR0 (and IA32_XSS) ----------------------------------------------------------------------*/
#define XCR0_X87       BIT64(0)
#define XCR0_SSE       BIT64(1)
#define XCR0_AVX       BIT64(2)
#define XCR0_OPMASK    BIT64(5)
#define XCR0_ZMM_HI256 BIT64(6)
#define XCR0_HI16_ZMM  BIT64(7)
#define XCR0_PKRU      BIT64(9)

/* --- RFLAGS -----------------------------------------------------------------------------------*/
#define RFLAGS_CF	BIT64(0)
#define RFLAGS_FIXED1	BIT64(1) /* always 1 */
#define RFLAGS_PF	BIT64(2)
#define RFLAGS_AF	BIT64(4)
#define RFLAGS_ZF	BIT64(6)
#define RFLAGS_SF	BIT64(7)
#define RFLAGS_TF	BIT64(8)
#define RFLAGS_IF	BIT64(9)
#define RFLAGS_DF	BIT64(10)
#define RFLAGS_OF	BIT64(11)
#define RFLAGS_RF	BIT64(16)
#define RFLAGS_VM	BIT64(17)
#define RFLAGS_AC	BIT64(18)
#define RFLAGS_RESERVED CONST64(0xffffffffffc08028) /* bits that must be 0 */

/* --- debug registers --------------------------------------------------------------------------*/
#define DR6_B0		BIT64(0)
#define DR6_B1		BIT64(1)
#define DR6_B2		BIT64(2)
#define DR6_B3		BIT64(3)
#define DR6_BD		BIT64(13)
#define DR6_BS		BIT64(14)
#define DR6_RESET	CONST64(0xffff0ff0)
#define DR7_GD		BIT64(13)
#define DR7_RW_SHIFT(n) (16 + 4 * (n))
#define DR7_RESET	CONST64(0x400)

/* --- segments ---------------------------------------------------------------------------------
 * Access rights in the VMCS's format (SDM Vol. 3, "Guest Register State"): bits 23:8 of the upper
 * half of a descriptor, moved down by 8.
 *
 *	16        15  14   13  12  11..8  7   6..5   4   3..0
 *	unusable  G   D/B  L   AVL  0     P   DPL    S   type
 */
#define SEG_AR_TYPE_MASK UINT32_C(0xf)
#define SEG_AR_ACCESSED	 BIT32(0) /* code and data */
#define SEG_AR_RW	 BIT32(1) /* data: writable; code: readable */
#define SEG_AR_DC	 BIT32(2) /* data: expands down; code: conforming */
#define SEG_AR_CODE	 BIT32(3)
#define SEG_AR_S	 BIT32(4) /* 1: code or data, 0: system */
#define SEG_AR_DPL_SHIFT 5
#define SEG_AR_DPL_MASK	 UINT32_C(0x60)
#define SEG_AR_P	 BIT32(7)
#define SEG_AR_L	 BIT32(13)
#define SEG_AR_DB	 BIT32(14)
#define SEG_AR_G	 BIT32(15)
#define SEG_AR_UNUSABLE	 BIT32(16)
#define SEG_AR_RESERVED	 UINT32_C(0xfffe0f00)

#define SEG_TYPE_TSS16_BUSY 3
#define SEG_TYPE_LDT	    2
#define SEG_TYPE_TSS_BUSY   11 /* 32-bit TSS, or 64-bit TSS in IA-32e mode */

/* Whole access-rights words of flat segments. */
#define SEG_AR_FLAT_CODE64 UINT32_C(0xa09b)
#define SEG_AR_FLAT_CODE32 UINT32_C(0xc09b)
#define SEG_AR_FLAT_DATA   UINT32_C(0xc093)
#define SEG_AR_REAL_CODE   UINT32_C(0x009b)
#define SEG_AR_REAL_DATA   UINT32_C(0x0093)
#define SEG_AR_LDT	   UINT32_C(0x0082)
#define SEG_AR_LDT	   UINT32_C(0x0082)
#define SEG_AR_TSS_BUSY	   UINT32_C(0x008b)

#define SELECTOR_RPL_MASK 0x3
#define SELECTOR_TI	  0x4

/* --- page-fault error code --------------------------------------------------------------------*/
#define PF_PRESENT	BIT32(0) /* 0: not present; 1: rights */
#define PF_WRITE	BIT32(1)
#define PF_USER		BIT32(2)
#define PF_RESERVED_BIT BIT32(3)
#define PF_INSTRUCTION	BIT32(4)
#define PF_PROTECT_KEY	BIT32(5)

/* --- exception vectors ------------------------------------------------------------------------*/
#define VECTOR_DE		  0
#define VECTOR_DB		  1
#define VECTOR_NMI		  2
#define VECTOR_BP		  3
#define VECTOR_OF		  4
#define VECTOR_BR		  5
#define VECTOR_UD		  6
#define VECTOR_NM		  7
#define VECTOR_DF		  8
#define VECTOR_TS		  10
#define VECTOR_NP		  11
#define VECTOR_SS		  12
#define VECTOR_GP		  13
#define VECTOR_PF		  14
#define VECTOR_MF		  16
#define VECTOR_AC		  17
#define VECTOR_MC		  18
#define VECTOR_XM		  19
#define VECTOR_VE		  20
#define VECTOR_CP		  21
#define VECTOR_COUNT_ARCHITECTURE 32 /* 0 to 31 belong to the architecture */
/* Exceptions that push an error code: #DF #TS #NP #SS #GP #PF #AC #CP. */
#define VECTORS_WITH_ERROR_CODE UINT32_C(0x00227d00)

/* --- the hypervisor's GDT (kernel/traps.c) ----------------------------------------------------*/
#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TSS  0x18

/* --- MSR numbers ------------------------------------------------------------------------------*/
#define MSR_IA32_TSC			 0x010
#define MSR_IA32_PLATFORM_ID		 0x017
#define MSR_IA32_APIC_BASE		 0x01b
#define MSR_IA32_FEATURE_CONTROL	 0x03a
#define MSR_SMI_COUNT			 0x034
#define MSR_IA32_TSC_ADJUST		 0x03b
#define MSR_IA32_SPEC_CTRL		 0x048
#define MSR_IA32_PRED_CMD		 0x049
#define MSR_IA32_BIOS_SIGN_ID		 0x08b
#define MSR_PLATFORM_INFO		 0x0ce
#define MSR_IA32_MTRRCAP		 0x0fe
#define MSR_IA32_ARCH_CAPABILITIES	 0x10a
#define MSR_IA32_FLUSH_CMD		 0x10b
#define MSR_IA32_MCU_OPT_CTRL		 0x123
#define MSR_MISC_FEATURES_ENABLES	 0x140
#define MSR_IA32_SYSENTER_CS		 0x174
#define MSR_IA32_SYSENTER_ESP		 0x175
#define MSR_IA32_SYSENTER_EIP		 0x176
#define MSR_IA32_MCG_CAP		 0x179
#define MSR_IA32_MCG_STATUS		 0x17a
#define MSR_IA32_MISC_ENABLE		 0x1a0
#define MSR_IA32_DEBUGCTL		 0x1d9
#define MSR_IA32_MTRR_PHYSBASE0		 0x200 /* + 2 per variable range */
#define MSR_IA32_MTRR_FIX64K_00000	 0x250
#define MSR_IA32_MTRR_FIX16K_80000	 0x258
#define MSR_IA32_MTRR_FIX16K_A0000	 0x259
#define MSR_IA32_MTRR_FIX4K_C0000	 0x268 /* to 0x26f, one per 32 KiB */
#define MSR_IA32_MTRR_FIX4K_F8000	 0x26f
#define MSR_IA32_PAT			 0x277
#define MSR_IA32_MTRR_DEF_TYPE		 0x2ff
#define MSR_IA32_VMX_BASIC		 0x480
#define MSR_IA32_VMX_PINBASED_CTLS	 0x481
#define MSR_IA32_VMX_PROCBASED_CTLS	 0x482
#define MSR_IA32_VMX_EXIT_CTLS		 0x483
#define MSR_IA32_VMX_ENTRY_CTLS		 0x484
#define MSR_IA32_VMX_MISC		 0x485
#define MSR_IA32_VMX_CR0_FIXED0		 0x486
#define MSR_IA32_VMX_CR0_FIXED1		 0x487
#define MSR_IA32_VMX_CR4_FIXED0		 0x488
#define MSR_IA32_VMX_CR4_FIXED1		 0x489
#define MSR_IA32_VMX_PROCBASED_CTLS2	 0x48b
#define MSR_IA32_VMX_EPT_VPID_CAP	 0x48c
#define MSR_IA32_VMX_TRUE_PINBASED_CTLS	 0x48d
#define MSR_IA32_VMX_TRUE_PROCBASED_CTLS 0x48e
#define MSR_IA32_VMX_TRUE_EXIT_CTLS	 0x48f
#define MSR_IA32_VMX_TRUE_ENTRY_CTLS	 0x490
#define MSR_IA32_TSC_DEADLINE		 0x6e0
#define MSR_IA32_EFER			 0xc0000080
#define MSR_IA32_STAR			 0xc0000081
#define MSR_IA32_LSTAR			 0xc0000082
#define MSR_IA32_CSTAR			 0xc0000083
#define MSR_IA32_FMASK			 0xc0000084
#define MSR_IA32_FS_BASE		 0xc0000100
#define MSR_IA32_GS_BASE		 0xc0000101
#define MSR_IA32_KERNEL_GS_BASE		 0xc0000102
#define MSR_IA32_TSC_AUX		 0xc0000103

/* x2APIC: register at offset o of the xAPIC page is MSR 0x800 + (o >> 4). */
#define MSR_X2APIC_FIRST	 0x800
#define MSR_X2APIC_APICID	 0x802
#define MSR_X2APIC_VERSION	 0x803
#define MSR_X2APIC_TPR		 0x808
#define MSR_X2APIC_PPR		 0x80a
#define MSR_X2APIC_EOI		 0x80b
#define MSR_X2APIC_LDR		 0x80d
#define MSR_X2APIC_SIVR		 0x80f
#define MSR_X2APIC_ESR		 0x828
#define MSR_X2APIC_ICR		 0x830
#define MSR_X2APIC_LVT_TIMER	 0x832
#define MSR_X2APIC_INITIAL_COUNT 0x838
#define MSR_X2APIC_DIVIDE_CONF	 0x83e
#define MSR_X2APIC_SELF_IPI	 0x83f
#define MSR_X2APIC_LAST		 0x8ff

/* Fields of single MSRs. */
#define APIC_BASE_BSP			BIT64(8)
#define APIC_BASE_X2APIC		BIT64(10)
#define APIC_BASE_ENABLE		BIT64(11)
#define APIC_BASE_ADDRESS_MASK		CONST64(0x000ffffffffff000)
#define FEATURE_CONTROL_LOCKED		BIT64(0)
#define FEATURE_CONTROL_VMX_IN_SMX	BIT64(1)
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX BIT64(2)
#define SPEC_CTRL_IBRS			BIT64(0)
#define SPEC_CTRL_STIBP			BIT64(1)
#define SPEC_CTRL_SSBD			BIT64(2)
#define PRED_CMD_IBPB			BIT64(0)
#define FLUSH_CMD_L1D			BIT64(0)
#define PRED_CMD_IBPB			BIT64(0)
#define FLUSH_CMD_L1D			BIT64(0)
#define ARCH_CAP_RDCL_NO		BIT64(0)
#define ARCH_CAP_IBRS_ALL		BIT64(1)
#define ARCH_CAP_SKIP_L1DFL_VMENTRY	BIT64(3)
#define ARCH_CAP_MDS_NO			BIT64(5)
#define ARCH_CAP_FB_CLEAR		BIT64(17)
#define MISC_ENABLE_FAST_STRINGS	BIT64(0)
#define MISC_ENABLE_THERMAL		BIT64(3)
#define MISC_ENABLE_BTS_UNAVAILABLE	BIT64(11)
#define MISC_ENABLE_PEBS_UNAVAILABLE	BIT64(12)
#define MISC_ENABLE_SPEEDSTEP		BIT64(16)
#define MISC_ENABLE_MWAIT		BIT64(18)
#define MISC_ENABLE_LIMIT_CPUID		BIT64(22)
#define MISC_ENABLE_XTPR_DISABLE	BIT64(23)
#define MISC_ENABLE_XD_DISABLE		BIT64(34)
#define DEBUGCTL_BTF			BIT64(1)
#define DEBUGCTL_BUS_LOCK_DETECT	BIT64(2)
#define DEBUGCTL_RTM			BIT64(15)
#define DEBUGCTL_RESERVED		CONST64(0xffffffffffff0038)
#define MTRRCAP_FIX			BIT64(8)
#define MTRRCAP_WC			BIT64(10)
#define MTRR_DEF_TYPE_TYPE_MASK		CONST64(0xff)
#define MTRR_DEF_TYPE_FE		BIT64(10)
#define MTRR_DEF_TYPE_E			BIT64(11)

/* Memory types, as in MTRRs, PAT entries and EPT entries. */
#define MEMORY_TYPE_UC	     0
#define MEMORY_TYPE_WC	     1
#define MEMORY_TYPE_WT	     4
#define MEMORY_TYPE_WP	     5
#define MEMORY_TYPE_WB	     6
#define MEMORY_TYPE_UC_MINUS 7 /* PAT only */
#define PAT_RESET	     CONST64(0x0007040600070406)

/* --- CPUID ------------------------------------------------------------------------------------
 * CPUID_<leaf>_<register>_<feature>; leaf 7 is subleaf 0, leaf 0xD subleaf 1.
 */
#define CPUID_1_ECX_SSE3	 BIT32(0)
#define CPUID_1_ECX_PCLMULQDQ	 BIT32(1)
#define CPUID_1_ECX_DTES64	 BIT32(2)
#define CPUID_1_ECX_MONITOR	 BIT32(3)
#define CPUID_1_ECX_VMX		 BIT32(5)
#define CPUID_1_ECX_SMX		 BIT32(6)
#define CPUID_1_ECX_EIST	 BIT32(7)
#define CPUID_1_ECX_TM2		 BIT32(8)
#define CPUID_1_ECX_SSSE3	 BIT32(9)
#define CPUID_1_ECX_FMA		 BIT32(12)
#define CPUID_1_ECX_CMPXCHG16B	 BIT32(13)
#define CPUID_1_ECX_PDCM	 BIT32(15)
#define CPUID_1_ECX_PCID	 BIT32(17)
#define CPUID_1_ECX_SSE41	 BIT32(19)
#define CPUID_1_ECX_SSE42	 BIT32(20)
#define CPUID_1_ECX_X2APIC	 BIT32(21)
#define CPUID_1_ECX_MOVBE	 BIT32(22)
#define CPUID_1_ECX_POPCNT	 BIT32(23)
#define CPUID_1_ECX_TSC_DEADLINE BIT32(24)
#define CPUID_1_ECX_AES		 BIT32(25)
#define CPUID_1_ECX_XSAVE	 BIT32(26)
#define CPUID_1_ECX_OSXSAVE	 BIT32(27)
#define CPUID_1_ECX_AVX		 BIT32(28)
#define CPUID_1_ECX_F16C	 BIT32(29)
#define CPUID_1_ECX_RDRAND	 BIT32(30)
#define CPUID_1_ECX_HYPERVISOR	 BIT32(31)

#define CPUID_1_EDX_FPU	  BIT32(0)
#define CPUID_1_EDX_VME	  BIT32(1)
#define CPUID_1_EDX_DE	  BIT32(2)
#define CPUID_1_EDX_PSE	  BIT32(3)
#define CPUID_1_EDX_TSC	  BIT32(4)
#define CPUID_1_EDX_MSR	  BIT32(5)
#define CPUID_1_EDX_PAE	  BIT32(6)
#define CPUID_1_EDX_MCE	  BIT32(7)
#define CPUID_1_EDX_CX8	  BIT32(8)
#define CPUID_1_EDX_APIC  BIT32(9)
#define CPUID_1_EDX_SEP	  BIT32(11)
#define CPUID_1_EDX_MTRR  BIT32(12)
#define CPUID_1_EDX_PGE	  BIT32(13)
#define CPUID_1_EDX_MCA	  BIT32(14)
#define CPUID_1_EDX_CMOV  BIT32(15)
#define CPUID_1_EDX_PAT	  BIT32(16)
#define CPUID_1_EDX_PSE36 BIT32(17)
#define CPUID_1_EDX_CLFSH BIT32(19)
#define CPUID_1_EDX_DS	  BIT32(21)
#define CPUID_1_EDX_ACPI  BIT32(22)
#define CPUID_1_EDX_MMX	  BIT32(23)
#define CPUID_1_EDX_FXSR  BIT32(24)
#define CPUID_1_EDX_SSE	  BIT32(25)
#define CPUID_1_EDX_SSE2  BIT32(26)
#define CPUID_1_EDX_SS	  BIT32(27)
#define CPUID_1_EDX_HTT	  BIT32(28)

#define CPUID_6_EAX_ARAT BIT32(2)

/* Leaf 0xb, extended topology. */
#define CPUID_TOPOLOGY		  0xbu
#define CPUID_TOPOLOGY_LEVEL_MASK 0xff00u /* ECX: what this level tells apart */
#define CPUID_TOPOLOGY_THREADS	  0x100u
#define CPUID_TOPOLOGY_SHIFT_MASK 0x1fu /* EAX */

#define CPUID_7_EDX_MD_CLEAR	      BIT32(10)
#define CPUID_7_EDX_IBRS_IBPB	      BIT32(26)
#define CPUID_7_EDX_L1D_FLUSH	      BIT32(28)
#define CPUID_7_EDX_ARCH_CAPABILITIES BIT32(29)
#define CPUID_7_EBX_FSGSBASE	      BIT32(0)
#define CPUID_7_EBX_TSC_ADJUST	      BIT32(1)
#define CPUID_7_EBX_SGX		      BIT32(2)
#define CPUID_7_EBX_BMI1	      BIT32(3)
#define CPUID_7_EBX_HLE		      BIT32(4)
#define CPUID_7_EBX_AVX2	      BIT32(5)
#define CPUID_7_EBX_SMEP	      BIT32(7)
#define CPUID_7_EBX_BMI2	      BIT32(8)
#define CPUID_7_EBX_ERMS	      BIT32(9)
#define CPUID_7_EBX_INVPCID	      BIT32(10)
#define CPUID_7_EBX_RTM		      BIT32(11)
#define CPUID_7_EBX_MPX		      BIT32(14)
#define CPUID_7_EBX_AVX512F	      BIT32(16)
#define CPUID_7_EBX_AVX512DQ	      BIT32(17)
#define CPUID_7_EBX_RDSEED	      BIT32(18)
#define CPUID_7_EBX_ADX		      BIT32(19)
#define CPUID_7_EBX_SMAP	      BIT32(20)
#define CPUID_7_EBX_CLFLUSHOPT	      BIT32(23)
#define CPUID_7_EBX_CLWB	      BIT32(24)
#define CPUID_7_EBX_PT		      BIT32(25)
#define CPUID_7_EBX_AVX512CD	      BIT32(28)
#define CPUID_7_EBX_SHA		      BIT32(29)
#define CPUID_7_EBX_AVX512BW	      BIT32(30)
#define CPUID_7_EBX_AVX512VL	      BIT32(31)

#define CPUID_7_ECX_UMIP	    BIT32(2)
#define CPUID_7_ECX_PKU		    BIT32(3)
#define CPUID_7_ECX_OSPKE	    BIT32(4)
#define CPUID_7_ECX_WAITPKG	    BIT32(5)
#define CPUID_7_ECX_CET_SS	    BIT32(7)
#define CPUID_7_ECX_LA57	    BIT32(16)
#define CPUID_7_ECX_RDPID	    BIT32(22)
#define CPUID_7_ECX_KL		    BIT32(23)
#define CPUID_7_ECX_BUS_LOCK_DETECT BIT32(24)
#define CPUID_7_ECX_PKS		    BIT32(31)

#define CPUID_7_EDX_UINTR     BIT32(5)
#define CPUID_7_EDX_MD_CLEAR  BIT32(10)
#define CPUID_7_EDX_HYBRID    BIT32(15)
#define CPUID_7_EDX_CET_IBT   BIT32(20)
#define CPUID_7_EDX_IBRS_IBPB BIT32(26)
#define CPUID_7_EDX_STIBP     BIT32(27)
#define CPUID_7_EDX_L1D_FLUSH BIT32(28)
#define CPUID_7_EDX_ARCH_CAP  BIT32(29)
#define CPUID_7_EDX_CORE_CAP  BIT32(30)
#define CPUID_7_EDX_SSBD      BIT32(31)

#define CPUID_D_1_EAX_XSAVEOPT BIT32(0)
#define CPUID_D_1_EAX_XSAVEC   BIT32(1)
#define CPUID_D_1_EAX_XGETBV1  BIT32(2)

#define CPUID_80000001_ECX_LAHF		 BIT32(0)
#define CPUID_80000001_ECX_LZCNT	 BIT32(5)
#define CPUID_80000001_ECX_PREFETCHW	 BIT32(8)
#define CPUID_80000001_EDX_SYSCALL	 BIT32(11)
#define CPUID_80000001_EDX_NX		 BIT32(20)
#define CPUID_80000001_EDX_PAGE1GB	 BIT32(26)
#define CPUID_80000001_EDX_RDTSCP	 BIT32(27)
#define CPUID_80000001_EDX_LONG_MODE	 BIT32(29)
#define CPUID_80000007_EDX_INVARIANT_TSC BIT32(8)

#endif
