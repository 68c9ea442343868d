/*
 * Model-specific registers of a guest: an allow-list. What is not named raises #GP(0), as on a
 * processor that lacks it. Registers that the guest uses without an exit are listed in vmx/vmx.c.
 * State: the current VMCS. No lock. Source: SDM Vol. 4, "Model-Specific Registers"; Xen's public
 * cpuid.h for the hypercall-page register.
 */
#include "cpu.h"
#include "public/cpuid.h"
#include "public/errno.h"
#include "vmx/advance.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/* The low bits of the written address choose one of the hypercall pages; there is one, number 0. */
#define HYPERCALL_PAGE_INDEX 0xfffull

static bool read_msr(uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_IA32_BIOS_SIGN_ID: /* microcode revision: unknown */
	case MSR_IA32_PLATFORM_ID:
	case MSR_IA32_DEBUGCTL:
		*value = 0;
		return true;
	case MSR_IA32_FEATURE_CONTROL:
		*value = FEATURE_CONTROL_LOCKED; /* VMX is off, and stays so */
		return true;
	case MSR_IA32_MISC_ENABLE:
		*value = MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_BTS_UNAVAILABLE |
			 MISC_ENABLE_PEBS_UNAVAILABLE;
		return true;
	}
	*value = 0; /* as on Xen: where the page is, is not kept */
	return msr == XEN_HYPERCALL_MSR;
}

static bool write_msr(uint32_t msr, uint64_t value)
{
	switch (msr) {
	case XEN_HYPERCALL_MSR:
		return !(value & HYPERCALL_PAGE_INDEX) && !hypercall_page_write(make_gpa(value));
	case MSR_IA32_BIOS_SIGN_ID: /* software writes 0 before it asks for the revision */
	case MSR_IA32_DEBUGCTL:
		return value == 0;
	}
	return false;
}

/* Does not advance RIP. False: a fault was injected. */
bool vmx_exit_msr_read(struct vcpu_regs *regs)
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

void vmx_exit_msr_write(struct vcpu_regs *regs)
{
	if (write_msr((uint32_t)regs->rcx, (regs->rdx << 32) | (uint32_t)regs->rax))
		vmx_advance_rip();
	else
		vmx_inject_gp();
}
