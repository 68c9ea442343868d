/*
 * VT-x on this machine: what it can do, and VMX operation on each CPU.
 *
 * State: vmx_machine, constant once VMX operation is enabled everywhere. Every CPU checks that its
 * own capabilities are the same. The VMXON region of a CPU is a frame that is written once and
 * never mapped again.
 *
 * Source: SDM Vol. 3, "Enabling and Entering VMX Operation", "Restrictions on VMX Operation".
 */
#include "vmx/vmx.h"
#include "cpu.h"
#include "mm/frame.h"
#include "mm/window.h"
#include "public/errno.h"
#include "vmx/ept.h"
#include "vmx/exit_reasons.h"
#include "vmx/vmcs.h"

struct vmx_machine vmx_machine;

static void read_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	const struct cpuid r = cpuid(leaf, subleaf);

	__builtin_memcpy(out, &r, sizeof(r));
}

static const struct vmx_cpu_reader this_processor = {.read_msr = rdmsr, .read_cpuid = read_cpuid};

/* Guests use these MSRs without an exit: their values are the vCPU's own, in the VMCS or switched
 * with it. */
static const uint32_t msrs_passed_through[] = {
    MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP, MSR_IA32_PAT,
    MSR_IA32_EFER,	  MSR_IA32_STAR,	 MSR_IA32_LSTAR,	MSR_IA32_CSTAR,
    MSR_IA32_FMASK,	  MSR_IA32_FS_BASE,	 MSR_IA32_GS_BASE,	MSR_IA32_KERNEL_GS_BASE,
};

/*
 * MSR bitmap: 1 KiB each for reads of the low MSRs, reads of the high ones, writes of both. A set
 * bit is an exit (SDM Vol. 3, "MSR-Bitmap Address"). Everything exits but what is named above.
 */
#define MSR_HIGH_FIRST	 0xc0000000u
#define MSR_BITMAP_HIGH	 1024u
#define MSR_BITMAP_WRITE 2048u
#define MSR_BITMAP_RANGE 8192u

void vmx_msr_allow(uint8_t *bitmap, uint32_t msr, bool write)
{
	uint32_t base = msr >= MSR_HIGH_FIRST ? MSR_BITMAP_HIGH : 0;
	uint32_t bit = msr & (MSR_BITMAP_RANGE - 1);

	base += write ? MSR_BITMAP_WRITE : 0;
	bitmap[base + bit / 8] &= (uint8_t) ~(1u << (bit % 8));
}

static int allocate_bitmaps(void)
{
	mfn_t *frames[] = {&vmx_machine.msr_bitmap, &vmx_machine.io_bitmap[0],
			   &vmx_machine.io_bitmap[1], &vmx_machine.msr_bitmap_apicv};
	unsigned count = vmx_apicv_present() ? 4 : 3;

	for (unsigned i = 0; i < count; i++) {
		int rc = frame_alloc(0, DOMID_HYPERVISOR, FRAME_VMX, frames[i]);
		if (rc)
			return rc;
		uint8_t *bitmap = window_open(WINDOW_BUILD, *frames[i]);
		for (unsigned b = 0; b < PAGE_SIZE; b++)
			bitmap[b] = 0xff;
		if (i == 0 || i == 3) {
			for (unsigned m = 0; m < array_size(msrs_passed_through); m++) {
				vmx_msr_allow(bitmap, msrs_passed_through[m], false);
				vmx_msr_allow(bitmap, msrs_passed_through[m], true);
			}
			if (vmx_machine.rdtscp) {
				vmx_msr_allow(bitmap, MSR_IA32_TSC_AUX, false);
				vmx_msr_allow(bitmap, MSR_IA32_TSC_AUX, true);
			}
			vmx_msr_allow(bitmap, MSR_IA32_TSC, false);
		}
		if (i == 3)
			vmx_apicv_fill_bitmap(bitmap);
		window_close(WINDOW_BUILD);
	}
	return 0;
}

/* Which CR4 bits and which extended state a guest may use: what its CPUID offers
 * (kernel/guest_cpuid_build.c). */
static void find_offered_state(void)
{
	struct vmx_machine *m = &vmx_machine;
	const struct cpuid leaf1 = cpuid(1, 0), leaf7 = cpuid_basic(7);

	m->xsave = leaf1.ecx & CPUID_1_ECX_XSAVE;
	m->pse36 = leaf1.edx & CPUID_1_EDX_PSE36;
	m->cr4_offered =
	    CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_OSFXSR |
	    CR4_OSXMMEXCPT | CR4_MCE | (leaf1.ecx & CPUID_1_ECX_PCID ? CR4_PCIDE : 0) |
	    (m->xsave ? CR4_OSXSAVE : 0) | (leaf7.ebx & CPUID_7_EBX_FSGSBASE ? CR4_FSGSBASE : 0) |
	    (leaf7.ebx & CPUID_7_EBX_SMEP ? CR4_SMEP : 0) |
	    (leaf7.ebx & CPUID_7_EBX_SMAP ? CR4_SMAP : 0) |
	    (leaf7.ecx & CPUID_7_ECX_UMIP ? CR4_UMIP : 0) |
	    (leaf7.ecx & CPUID_7_ECX_PKU ? CR4_PKE : 0);
	m->pku = leaf7.ecx & CPUID_7_ECX_PKU;
	if (m->xsave) {
		uint32_t has = cpuid(0xd, 0).eax;
		uint64_t avx512 = XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM;

		m->xcr0_offered = has & (XCR0_X87 | XCR0_SSE | XCR0_AVX);
		if ((has & avx512) == avx512)
			m->xcr0_offered |= avx512;
		if (has & XCR0_PKRU && m->pku)
			m->xcr0_offered |= XCR0_PKRU;
		/* The save area is one page. Components that do not fit are not offered. */
		write_xcr0(m->xcr0_offered);
		if (cpuid(0xd, 0).ebx > PAGE_SIZE) {
			m->xcr0_offered &= XCR0_X87 | XCR0_SSE | XCR0_AVX;
			write_xcr0(m->xcr0_offered);
		}
	}
	m->pages_1g = cpuid(0x80000001, 0).edx & CPUID_80000001_EDX_PAGE1GB;
	m->rdtscp = m->controls.value[VMX_PROC2] & PROC2_RDTSCP;
}

/*
 * Boot CPU: reads the capabilities, prints them, chooses the controls. -XEN_EOPNOTSUPP when
 * something required is missing (printed with its remedy), -XEN_ENOMEM.
 */
int vmx_init(void)
{
	struct vmx_machine *m = &vmx_machine;
	uint64_t feature_control;

	vmx_caps_fill(&m->caps, &this_processor);
	int rc = vmx_caps_check_platform(&m->caps, &feature_control);
	if (rc)
		return rc;
	rc = vmx_caps_choose(&m->caps, &m->controls);
	vmx_caps_print(&m->caps, &m->controls);
	if (rc)
		return rc;
	if (!(m->controls.value[VMX_PIN] & PIN_PREEMPTION_TIMER))
		print(LOG_WARN,
		      "VT-x: no VMX-preemption timer that can be saved: a guest keeps the "
		      "processor until it yields or ends");
	find_offered_state();
	ept_configure(vmx_caps_present(&m->caps, VMX_EPT_VPID, EPT_CAP_PAGE_1G),
		      vmx_caps_present(&m->caps, VMX_EPT_VPID, EPT_CAP_PAGE_2M),
		      vmx_caps_present(&m->caps, VMX_EPT_VPID, EPT_CAP_ACCESSED_DIRTY));
	return allocate_bitmaps();
}

int vmx_cpu_enable(void)
{
	struct vmx_caps caps;
	uint64_t feature_control;

	vmx_caps_fill(&caps, &this_processor);
	int rc = vmx_caps_check_platform(&caps, &feature_control);
	if (rc)
		return rc;
	if (feature_control != caps.feature_control)
		wrmsr(MSR_IA32_FEATURE_CONTROL, feature_control);
	caps.feature_control = vmx_machine.caps.feature_control;
	if (!vmx_caps_equal(&caps, &vmx_machine.caps)) {
		print(LOG_ERROR, "cpu%u: VT-x capabilities differ from the boot CPU's",
		      cpu_index());
		return -XEN_EOPNOTSUPP;
	}

	mfn_t region;
	rc = frame_alloc(0, DOMID_HYPERVISOR, FRAME_VMX, &region);
	if (rc)
		return rc;
	uint32_t revision = (uint32_t)(caps.basic & VMX_BASIC_REVISION_MASK);
	window_write(region, 0, &revision, sizeof(revision));

	write_cr0((read_cr0() | caps.cr0_fixed0) & caps.cr0_fixed1);
	write_cr4((read_cr4() | CR4_VMXE | caps.cr4_fixed0) & caps.cr4_fixed1);
	if (vmxon(mfn_to_paddr(region)) != VMX_OK) {
		frame_free(region, 0);
		print(LOG_ERROR, "cpu%u: VMXON failed", cpu_index());
		return -XEN_EIO;
	}
	this_cpu()->vmxon = region;
	if (cpu_index())
		vmx_machine.many_cpus = true;
	/* Nothing that an earlier user of these tags cached may be seen. */
	if (invept(INVEPT_ALL_CONTEXTS, 0) != VMX_OK)
		panic("INVEPT of all contexts failed");
	if (vmx_caps_present(&caps, VMX_EPT_VPID, VPID_CAP_INVVPID_ALL) &&
	    invvpid(INVVPID_ALL_CONTEXTS, 0, make_gva(0)) != VMX_OK)
		panic("INVVPID of all contexts failed");
	return 0;
}

void vmx_instruction_failed(const char *what, uint32_t encoding)
{
	uint64_t error;

	if (vmcs_try_read(VMCS_ENC_INSTRUCTION_ERROR, &error) != VMX_OK)
		error = 0;
	panic("%s of field 0x%x (%s) failed: %s", what, encoding, vmcs_field_name(encoding),
	      error ? vmx_instruction_error_name((uint32_t)error) : "no current VMCS");
}
