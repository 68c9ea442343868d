/*
 * Model-specific registers of a guest: an allow-list. What is not named raises #GP(0), as on a
 * processor that lacks it. Registers that the guest uses without an exit are listed in vmx/vmx.c.
 * State: the current VMCS and the current vCPU's secret half. No lock. Source: SDM Vol. 4,
 * "Model-Specific Registers"; Xen's public cpuid.h for the hypercall-page register.
 */
#include "cpu.h"
#include "public/cpuid.h"
#include "vmx/advance.h"
#include "vmx/vlapic.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/* The low bits of the written address choose one of the hypercall pages; there is one, number 0. */
#define HYPERCALL_PAGE_INDEX 0xfffull

/* Architectural bits are kept as written; only the one for fast strings had anything to change. */
#define MISC_ENABLE_WRITABLE                                                      \
	(MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_THERMAL | MISC_ENABLE_SPEEDSTEP | \
	 MISC_ENABLE_MWAIT | MISC_ENABLE_LIMIT_CPUID | MISC_ENABLE_XTPR_DISABLE | \
	 MISC_ENABLE_XD_DISABLE)

static bool is_x2apic(uint32_t msr)
{
	return msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST;
}

/* Those of the vCPU that have a state. */
noinline_fn static bool read_kept(uint32_t msr, uint64_t *value)
{
	struct vcpu_secret *s = vmx_secret();

	switch (msr) {
	case MSR_IA32_APIC_BASE:
	case MSR_IA32_TSC_DEADLINE:
		return vlapic_msr_read(vlapic_current(), msr, value);
	case MSR_IA32_TSC_ADJUST:
		*value = s->tsc_adjust;
		return true;
	case MSR_IA32_MISC_ENABLE:
		*value =
		    s->misc_enable | MISC_ENABLE_BTS_UNAVAILABLE | MISC_ENABLE_PEBS_UNAVAILABLE;
		return true;
	}
	return is_x2apic(msr) ? vlapic_msr_read(vlapic_current(), msr, value)
			      : mtrr_read(&s->mtrr, msr, value);
}

/* Those below 256 that are known and read as zero, a bit each: guests read them often. */
#define LOW_BIT(msr, word) ((msr) / 64 == (word) ? BIT64((msr) % 64) : 0)
#define LOW_WORD(word)                                                            \
	(LOW_BIT(MSR_IA32_BIOS_SIGN_ID, word) /* microcode revision: unknown */ | \
	 LOW_BIT(MSR_IA32_PLATFORM_ID, word) | LOW_BIT(MSR_SMI_COUNT, word) |     \
	 LOW_BIT(MSR_PLATFORM_INFO, word))
static const uint64_t zero_msrs[4] = {LOW_WORD(0), LOW_WORD(1), LOW_WORD(2), LOW_WORD(3)};

static bool read_msr(uint32_t msr, uint64_t *value)
{
	*value = 0;
	switch (msr) {
	case MSR_IA32_DEBUGCTL:
	case MSR_MISC_FEATURES_ENABLES:
	case MSR_IA32_MCG_CAP: /* no bank of machine-check registers */
	case MSR_IA32_MCG_STATUS:
	case XEN_HYPERCALL_MSR: /* as on Xen: where the page is, is not kept */
		return true;
	case MSR_IA32_FEATURE_CONTROL:
		*value = FEATURE_CONTROL_LOCKED; /* VMX is off, and stays so */
		return true;
	}
	return read_kept(msr, value);
}

/* The guest's time-stamp counter jumps: its distance to the machine's changes, and TSC_ADJUST. */
static void move_tsc(uint64_t by)
{
	struct vlapic *a = vlapic_current();

	vmx_secret()->tsc_adjust += by;
	vlapic_set_tsc_offset(a, a->tsc_offset + by);
	vmcs_write64(VMCS_TSC_OFFSET, a->tsc_offset);
}

static bool write_apic(uint32_t msr, uint64_t value)
{
	bool valid = vlapic_msr_write(vlapic_current(), msr, value);

	vmx_apicv_update(vlapic_current());
	vmx_events_changed();
	return valid;
}

static bool write_msr(uint32_t msr, uint64_t value)
{
	struct vcpu_secret *s = vmx_secret();

	if (is_x2apic(msr))
		return write_apic(msr, value);
	switch (msr) {
	case XEN_HYPERCALL_MSR:
		return !(value & HYPERCALL_PAGE_INDEX) && !hypercall_page_write(make_gpa(value));
	case MSR_IA32_BIOS_SIGN_ID: /* software writes 0 before it asks for the revision */
	case MSR_IA32_DEBUGCTL:
	case MSR_MISC_FEATURES_ENABLES:
	case MSR_IA32_MCG_STATUS:
		return value == 0;
	case MSR_IA32_APIC_BASE:
	case MSR_IA32_TSC_DEADLINE:
		return write_apic(msr, value);
	case MSR_IA32_TSC:
		move_tsc(value - (rdtsc() + vlapic_current()->tsc_offset));
		vmx_events_changed();
		return true;
	case MSR_IA32_TSC_ADJUST:
		move_tsc(value - s->tsc_adjust);
		vmx_events_changed();
		return true;
	case MSR_IA32_MISC_ENABLE: /* what is absent is read-only */
		value &= ~(MISC_ENABLE_BTS_UNAVAILABLE | MISC_ENABLE_PEBS_UNAVAILABLE);
		if (value & ~MISC_ENABLE_WRITABLE)
			return false;
		s->misc_enable = value;
		return true;
	}
	return mtrr_write(&s->mtrr, msr, value, vmx_machine.caps.physical_bits);
}

noinline_fn static bool read_other(struct vcpu_regs *regs)
{
	uint64_t value;

	if (!read_msr((uint32_t)regs->rcx, &value)) {
		vmx_inject_gp();
		return false;
	}
	regs->rax = (uint32_t)value;
	regs->rdx = value >> 32;
	return true;
}

/* Does not advance RIP. False: a fault was injected. */
bool vmx_exit_msr_read(struct vcpu_regs *regs)
{
	uint32_t msr = (uint32_t)regs->rcx;

	if (msr >= 64 * array_size(zero_msrs) || !(zero_msrs[msr / 64] >> msr % 64 & 1))
		return read_other(regs);
	regs->rax = regs->rdx = 0;
	return true;
}

void vmx_exit_msr_write(struct vcpu_regs *regs)
{
	if (write_msr((uint32_t)regs->rcx, (regs->rdx << 32) | (uint32_t)regs->rax))
		vmx_advance_rip();
	else
		vmx_inject_gp();
}
