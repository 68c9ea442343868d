/*
 * Memory-type range registers of a vCPU: they hold what the guest writes, as far as a processor
 * would take it. Caching of a guest's memory follows its page tables and PAT alone.
 *
 * State: struct vcpu_mtrr of the vCPU's secret half. No lock. Source: SDM Vol. 3, "Memory Type
 * Range Registers (MTRRs)".
 */
#include "cpu_bits.h"
#include "vmx/vmx.h"

#define MTRR_CAPABILITY	  (VCPU_MTRR_VARIABLE | MTRRCAP_FIX | MTRRCAP_WC)
#define PHYSBASE_RESERVED 0xf00ull
#define PHYSMASK_RESERVED 0x7ffull
#define MTRR_VARIABLE_END (MSR_IA32_MTRR_PHYSBASE0 + 2 * VCPU_MTRR_VARIABLE)
#define MTRR_FIXED_TYPES  8u

static bool type_valid(uint64_t type)
{
	return type <= MEMORY_TYPE_WC || (type >= MEMORY_TYPE_WT && type <= MEMORY_TYPE_WB);
}

/* The register, or NULL; of a fixed range if *fixed. */
static uint64_t *find(struct vcpu_mtrr *m, uint32_t msr, bool *fixed)
{
	*fixed = true;
	switch (msr) {
	case MSR_IA32_MTRR_FIX64K_00000:
		return &m->fixed[0];
	case MSR_IA32_MTRR_FIX16K_80000:
	case MSR_IA32_MTRR_FIX16K_A0000:
		return &m->fixed[1 + (msr - MSR_IA32_MTRR_FIX16K_80000)];
	}
	if (msr >= MSR_IA32_MTRR_FIX4K_C0000 && msr <= MSR_IA32_MTRR_FIX4K_F8000)
		return &m->fixed[3 + (msr - MSR_IA32_MTRR_FIX4K_C0000)];
	*fixed = false;
	if (msr >= MSR_IA32_MTRR_PHYSBASE0 && msr < MTRR_VARIABLE_END)
		return &m->variable[msr - MSR_IA32_MTRR_PHYSBASE0];
	return msr == MSR_IA32_MTRR_DEF_TYPE ? &m->default_type : NULL;
}

static bool value_valid(uint32_t msr, uint64_t value, bool fixed, unsigned physical_bits)
{
	uint64_t beyond = ~(BIT64(physical_bits) - 1);

	if (fixed) {
		for (unsigned i = 0; i < MTRR_FIXED_TYPES; i++)
			if (!type_valid(value >> 8 * i & 0xff))
				return false;
		return true;
	}
	if (msr == MSR_IA32_MTRR_DEF_TYPE)
		return !(value & ~(MTRR_DEF_TYPE_TYPE_MASK | MTRR_DEF_TYPE_FE | MTRR_DEF_TYPE_E)) &&
		       type_valid(value & MTRR_DEF_TYPE_TYPE_MASK);
	if (msr & 1)
		return !(value & (beyond | PHYSMASK_RESERVED));
	return !(value & (beyond | PHYSBASE_RESERVED)) &&
	       type_valid(value & MTRR_DEF_TYPE_TYPE_MASK);
}

/* False: no such register. */
bool mtrr_read(struct vcpu_mtrr *m, uint32_t msr, uint64_t *value)
{
	bool fixed;

	if (msr == MSR_IA32_MTRRCAP) {
		*value = MTRR_CAPABILITY;
		return true;
	}
	const uint64_t *reg = find(m, msr, &fixed);
	if (reg)
		*value = *reg;
	return reg;
}

/* False: no such register, it is read-only, or it does not take this value. */
bool mtrr_write(struct vcpu_mtrr *m, uint32_t msr, uint64_t value, unsigned physical_bits)
{
	bool fixed;
	uint64_t *reg = find(m, msr, &fixed);

	if (!reg || !value_valid(msr, value, fixed, physical_bits))
		return false;
	*reg = value;
	return true;
}
