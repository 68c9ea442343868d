/*
 * What this processor's VT-x can do, and what Keyhole has chosen of it.
 *
 * State: none here; the caller owns one struct vmx_caps and one struct vmx_controls, filled on the
 * boot CPU and constant afterwards. vmx/caps.c is pure: it reaches the processor only through
 * struct vmx_cpu_reader, so that unit tests feed it any processor. For many CPUs: each CPU fills
 * its own and compares (vmx_caps_equal()), since firmware may configure them differently.
 */
#ifndef KEYHOLE_VMX_CAPS_H
#define KEYHOLE_VMX_CAPS_H

#include "print.h"
#include "types.h"
#include "vmx/controls.h"

/* The groups of capabilities. Those up to VMX_ENTRY are control fields of the VMCS. */
enum vmx_family {
	VMX_PIN,
	VMX_PROC,
	VMX_PROC2,
	VMX_EXIT,
	VMX_ENTRY,
	VMX_CONTROL_FAMILIES,
	VMX_EPT_VPID = VMX_CONTROL_FAMILIES, /* bits of IA32_VMX_EPT_VPID_CAP */
	VMX_MISC,			     /* bits of IA32_VMX_MISC */
	VMX_FAMILIES
};

struct vmx_caps {
	uint64_t basic;
	/* allowed-0 settings (bits that must be 1) low, allowed-1 settings (may be 1) high */
	uint64_t control[VMX_CONTROL_FAMILIES];
	uint64_t misc;
	uint64_t ept_vpid;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	uint64_t feature_control;
	uint64_t efer_valid; /* bits of IA32_EFER that may be 1 */
	uint8_t physical_bits, linear_bits;
	bool vmx;	 /* CPUID offers VMX at all; else nothing of the above but CPUID's facts */
	bool intel;	 /* vendor string */
	bool hypervisor; /* we run under one */
	bool rtm, bus_lock_detect, sgx;
};

/* How Keyhole reads the processor. */
struct vmx_cpu_reader {
	uint64_t (*read_msr)(uint32_t msr);
	/* registers: EAX, EBX, ECX, EDX */
	void (*read_cpuid)(uint32_t leaf, uint32_t subleaf, uint32_t registers[4]);
};

/* The initial value of each control field: index by enum vmx_family. */
struct vmx_controls {
	uint32_t value[VMX_CONTROL_FAMILIES];
};

enum vmx_need {
	VMX_REQUIRED, /* set from the start; without it Keyhole does not run */
	VMX_ABLE,     /* must be settable; set while a vCPU needs it */
	VMX_CLEAR,    /* must be clearable */
	VMX_OPTIONAL, /* set if present */
	VMX_ON_DEMAND /* used if present, while it is needed */
};

struct vmx_capability {
	enum vmx_family family;
	enum vmx_need need;
	uint64_t bit;
	const char *name;
};

void vmx_caps_fill(struct vmx_caps *caps, const struct vmx_cpu_reader *cpu);
bool vmx_caps_equal(const struct vmx_caps *a, const struct vmx_caps *b);
/* Whether VMXON can work: prints what is missing and its remedy. *feature_control: what the MSR
 * must hold before VMXON; equal to caps->feature_control when it need not be written. */
must_use int vmx_caps_check_platform(const struct vmx_caps *caps, uint64_t *feature_control);
must_use int vmx_caps_choose(const struct vmx_caps *caps, struct vmx_controls *controls);
void vmx_caps_print(const struct vmx_caps *caps, const struct vmx_controls *controls);

/* bits of a control may be 1 (or, for the last two families, are reported). */
static inline bool vmx_caps_present(const struct vmx_caps *caps, enum vmx_family family,
				    uint64_t bits)
{
	uint64_t present = family == VMX_EPT_VPID ? caps->ept_vpid
			   : family == VMX_MISC	  ? caps->misc
						  : caps->control[family] >> 32;
	return (present & bits) == bits;
}

/* The bits that must be 1 and the bits that may be 1. */
static inline uint32_t vmx_caps_must_be_1(const struct vmx_caps *caps, enum vmx_family family)
{
	return (uint32_t)caps->control[family];
}
static inline uint32_t vmx_caps_may_be_1(const struct vmx_caps *caps, enum vmx_family family)
{
	return (uint32_t)(caps->control[family] >> 32);
}

/* TSC ticks per tick of the VMX-preemption timer, as a shift. */
static inline unsigned vmx_caps_timer_shift(const struct vmx_caps *caps)
{
	return (unsigned)(caps->misc & VMX_MISC_TIMER_SHIFT_MASK);
}

extern const struct vmx_capability vmx_capabilities[];
extern const unsigned vmx_capability_count;

#endif
