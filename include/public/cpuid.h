/*
 * CPUID leaves by which a guest finds the hypervisor, and the MSR that fills its hypercall page.
 * Source: Xen, public/arch-x86/cpuid.h.
 */
#ifndef KEYHOLE_PUBLIC_CPUID_H
#define KEYHOLE_PUBLIC_CPUID_H

/* Leaf 0: EAX = last leaf, EBX ECX EDX = "XenVMMXenVMM". */
#define XEN_CPUID_FIRST_LEAF	0x40000000u
#define XEN_CPUID_LEAF(n)	(XEN_CPUID_FIRST_LEAF + (n))
#define XEN_CPUID_SIGNATURE_EBX 0x566e6558u /* "XenV" */
#define XEN_CPUID_SIGNATURE_ECX 0x65584d4du /* "MMXe" */
#define XEN_CPUID_SIGNATURE_EDX 0x4d4d566eu /* "nVMM" */

/* Leaf 1: EAX = version, major << 16 | minor. */

/*
 * Leaf 2: EAX = number of hypercall pages, EBX = the MSR, ECX and EDX = features. A page-aligned
 * guest-physical address written to the MSR has the page there filled; the low 12 bits number the
 * page.
 */
#define XEN_HYPERCALL_MSR			  0x40000000u
#define XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD (1u << 0)

/*
 * Leaf 3: the time-stamp counter. Sub-leaf 0: EAX = flags, EBX = mode, ECX = kHz, EDX =
 * incarnation. Sub-leaf 1: EAX and EBX = offset, ECX = multiplier, EDX = shift. Sub-leaf 2: EAX =
 * the CPU's kHz.
 */
#define XEN_CPUID_TSC_EMULATED		  (1u << 0)
#define XEN_CPUID_HOST_TSC_RELIABLE	  (1u << 1)
#define XEN_CPUID_RDTSCP_INSTR_AVAIL	  (1u << 2)
#define XEN_CPUID_TSC_MODE_DEFAULT	  0u
#define XEN_CPUID_TSC_MODE_ALWAYS_EMULATE 1u
#define XEN_CPUID_TSC_MODE_NEVER_EMULATE  2u

/* Leaf 4, sub-leaf 0: EAX = the bits below, EBX = vCPU id, ECX = domain id. */
#define XEN_HVM_CPUID_APIC_ACCESS_VIRT (1u << 0)
#define XEN_HVM_CPUID_X2APIC_VIRT      (1u << 1)
#define XEN_HVM_CPUID_IOMMU_MAPPINGS   (1u << 2)
#define XEN_HVM_CPUID_VCPU_ID_PRESENT  (1u << 3)
#define XEN_HVM_CPUID_DOMID_PRESENT    (1u << 4)
#define XEN_HVM_CPUID_EXT_DEST_ID      (1u << 5)
#define XEN_HVM_CPUID_UPCALL_VECTOR    (1u << 6)

/* Leaf 5, sub-leaf 0: EBX bits 0 to 7 = width of a machine address. */
#define XEN_CPUID_MACHINE_ADDRESS_WIDTH_MASK 0xffu

#define XEN_CPUID_MAX_NUM_LEAVES 5u

/* Keyhole's own. Leaf 0: EAX = last leaf, EBX ECX EDX = "KeyholeVMM\0\0". Leaf 1: EAX = the bits
 * below. Leaf 2, sub-leaf n: EBX:EAX = first frame, EDX:ECX = frames of the n-th range of
 * guest-physical addresses that never has RAM and is set aside for foreign pages; zero behind the
 * last. */
#define KEYHOLE_CPUID_FIRST_LEAF    0x40000100u
#define KEYHOLE_CPUID_LEAF(n)	    (KEYHOLE_CPUID_FIRST_LEAF + (n))
#define KEYHOLE_CPUID_SIGNATURE_EBX 0x6879654bu /* "Keyh" */
#define KEYHOLE_CPUID_SIGNATURE_ECX 0x56656c6fu /* "oleV" */
#define KEYHOLE_CPUID_SIGNATURE_EDX 0x00004d4du /* "MM" */
#define KEYHOLE_CPUID_CALL_PHYSICAL (1u << 0)	/* calls with KEYHOLE_CALL_PHYSICAL */

#endif
