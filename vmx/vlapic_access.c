/*
 * The registers of a vCPU's local APIC as software sees them, by MSR and by memory: which may be
 * read and written, and what a write does.
 *
 * State and lock: see include/vmx/vlapic.h. Sources: SDM Vol. 3, "Local APIC Register Address Map",
 * "x2APIC Register Availability", "x2APIC State Transitions"; Vol. 2, "RDMSR", "WRMSR".
 */
#include "percpu.h"
#include "vmx/vlapic.h"

/* Registers by number, which is the offset divided by 16. */
#define R(offset)  BIT64((offset) >> 4)
#define R8(offset) (0xffull << ((offset) >> 4))
#define LVTS                                                                             \
	(R(APIC_LVT_TIMER) | R(APIC_LVT_THERMAL) | R(APIC_LVT_PMI) | R(APIC_LVT_LINT0) | \
	 R(APIC_LVT_LINT1) | R(APIC_LVT_ERROR))
/* What both modes have, and what only the older one has. */
#define READABLE                                                                                 \
	(R(APIC_ID) | R(APIC_VERSION) | R(APIC_TPR) | R(APIC_PPR) | R(APIC_LDR) | R(APIC_SIVR) | \
	 R8(APIC_ISR) | R8(APIC_TMR) | R8(APIC_IRR) | R(APIC_ESR) | R(APIC_ICR) | LVTS |         \
	 R(APIC_INITIAL_COUNT) | R(APIC_CURRENT_COUNT) | R(APIC_DIVIDE))
#define WRITABLE                                                                       \
	(R(APIC_TPR) | R(APIC_EOI) | R(APIC_SIVR) | R(APIC_ESR) | R(APIC_ICR) | LVTS | \
	 R(APIC_INITIAL_COUNT) | R(APIC_DIVIDE))
#define XAPIC_READABLE (R(APIC_APR) | R(APIC_RRD) | R(APIC_DFR) | R(APIC_ICR_HIGH))
#define XAPIC_WRITABLE (R(APIC_LDR) | R(APIC_DFR) | R(APIC_ICR_HIGH))

static bool in_set(uint64_t set, uint32_t offset)
{
	return set >> (offset >> 4) & 1;
}

#define LINT_WRITABLE \
	(APIC_LVT_VECTOR | APIC_LVT_MODE | APIC_LVT_POLARITY | APIC_LVT_TRIGGER | APIC_LVT_MASKED)
/* By number, the bits that may be written: others are reserved, and of registers that are not here,
 * EOI and the error status, all. Those that are read-only are not among them. */
#define NUMBER(offset) ((offset) >> 4)
static const uint32_t writable[NUMBER(APIC_PAGE_END)] = {
    [NUMBER(APIC_TPR)] = 0xff,
    [NUMBER(APIC_SELF_IPI)] = 0xff,
    [NUMBER(APIC_LDR)] = 0xff000000,
    [NUMBER(APIC_ICR_HIGH)] = 0xff000000,
    [NUMBER(APIC_DFR)] = ~APIC_DFR_ONES,
    [NUMBER(APIC_SIVR)] = APIC_SIVR_VALID,
    [NUMBER(APIC_ICR)] = APIC_ICR_VALID & ~APIC_ICR_PENDING,
    [NUMBER(APIC_LVT_TIMER)] = APIC_LVT_VECTOR | APIC_LVT_MASKED | APIC_LVT_TIMER_MODE,
    [NUMBER(APIC_LVT_THERMAL)] = APIC_LVT_VECTOR | APIC_LVT_MODE | APIC_LVT_MASKED,
    [NUMBER(APIC_LVT_PMI)] = APIC_LVT_VECTOR | APIC_LVT_MODE | APIC_LVT_MASKED,
    [NUMBER(APIC_LVT_LINT0)] = LINT_WRITABLE,
    [NUMBER(APIC_LVT_LINT1)] = LINT_WRITABLE,
    [NUMBER(APIC_LVT_ERROR)] = APIC_LVT_VECTOR | APIC_LVT_MASKED,
    [NUMBER(APIC_INITIAL_COUNT)] = ~0u,
    [NUMBER(APIC_DIVIDE)] = APIC_DIVIDE_VALID,
};

/* Bits that are read-only, so that writing ones to them is no fault. */
static uint32_t ignored_bits(uint32_t offset)
{
	if (offset == APIC_ICR)
		return APIC_ICR_PENDING;
	if (offset == APIC_LVT_LINT0 || offset == APIC_LVT_LINT1)
		return APIC_LVT_STATUS | APIC_LVT_REMOTE_IRR;
	return in_set(LVTS, offset) ? APIC_LVT_STATUS : 0;
}

static void write_sivr(struct vlapic *a, uint32_t value)
{
	bool was_enabled = vlapic_software_enabled(a);

	*vlapic_reg(a, APIC_SIVR) = value;
	/* While it was disabled it took no upcall, and Xen's ABI tells of one once only. */
	if (!was_enabled && value & APIC_SIVR_ENABLE)
		vcpu_retell_upcall(this_cpu()->current);
	if (!(value & APIC_SIVR_ENABLE)) {
		vlapic_timer_poll(a); /* what was due before is not lost */
		for (uint32_t lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 0x10)
			*vlapic_reg(a, lvt) |= APIC_LVT_MASKED;
		vlapic_timer_arm(a);
	}
	vlapic_publish_route(a);
}

static void write_lvt(struct vlapic *a, uint32_t offset, uint32_t value)
{
	if (!vlapic_software_enabled(a))
		value |= APIC_LVT_MASKED;
	if (offset == APIC_LVT_TIMER)
		vlapic_timer_mode(a, value);
	else
		*vlapic_reg(a, offset) = value;
}

/* value has no reserved bit set. */
static void write_register(struct vlapic *a, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case APIC_TPR:
	case APIC_ICR_HIGH:
		*vlapic_reg(a, offset) = value;
		break;
	case APIC_EOI:
		vlapic_eoi(a);
		break;
	case APIC_LDR:
	case APIC_DFR:
		*vlapic_reg(a, offset) = value | (offset == APIC_DFR ? APIC_DFR_ONES : 0);
		vlapic_publish_route(a);
		break;
	case APIC_SIVR:
		write_sivr(a, value);
		break;
	case APIC_ESR:
		*vlapic_reg(a, APIC_ESR) = a->errors;
		a->errors = 0;
		a->error_reported = false;
		break;
	case APIC_INITIAL_COUNT:
		vlapic_timer_start(a, value);
		break;
	case APIC_DIVIDE:
		vlapic_timer_divide(a, value);
		break;
	case APIC_SELF_IPI:
		vlapic_send(a, APIC_ICR_SELF | value, 0);
		break;
	default:
		write_lvt(a, offset, value);
	}
}

static void write_icr(struct vlapic *a, uint32_t command, uint32_t high, uint32_t destination)
{
	*vlapic_reg(a, APIC_ICR) = command;
	*vlapic_reg(a, APIC_ICR_HIGH) = high;
	vlapic_send(a, command, destination);
}

static uint32_t read_register(const struct vlapic *a, uint32_t offset)
{
	if (offset == APIC_CURRENT_COUNT)
		return vlapic_timer_count(a);
	return offset == APIC_PPR ? vlapic_ppr(a) : vlapic_get(a, offset);
}

/* --- by memory -------------------------------------------------------------------------------- */

bool vlapic_registers_read(struct vlapic *a, uint32_t offset, unsigned size, uint32_t *out)
{
	uint32_t within = offset % 16, reg = offset - within, value = 0;

	*out = ~0u;
	if (!vlapic_is_xapic(a))
		return false;
	if (reg < APIC_PAGE_END && in_set(READABLE | XAPIC_READABLE, reg))
		value = read_register(a, reg);
	else if (reg != APIC_EOI)
		vlapic_error(a, APIC_ESR_ILLEGAL_REGISTER);
	/* A register is four bytes wide; the rest of its sixteen reads as zero. */
	*out = within < 4 ? value >> within * 8 : 0;
	if (size < 4)
		*out &= BIT32(size * 8) - 1;
	return true;
}

void vlapic_registers_write(struct vlapic *a, uint32_t offset, unsigned size, uint32_t value)
{
	if (!vlapic_is_xapic(a) || offset % 16 || size != 4)
		return;
	if (offset >= APIC_PAGE_END ||
	    !in_set(READABLE | XAPIC_READABLE | WRITABLE | XAPIC_WRITABLE, offset)) {
		vlapic_error(a, APIC_ESR_ILLEGAL_REGISTER);
		return;
	}
	if (!in_set(WRITABLE | XAPIC_WRITABLE, offset))
		return;
	value &= writable[NUMBER(offset)];
	if (offset == APIC_ICR) {
		uint32_t high = vlapic_get(a, APIC_ICR_HIGH);
		write_icr(a, value, high, high >> APIC_XAPIC_ID_SHIFT);
	} else {
		write_register(a, offset, value);
	}
}

/* --- by MSR ----------------------------------------------------------------------------------- */

bool vlapic_msr_read(struct vlapic *a, uint32_t msr, uint64_t *value)
{
	if (msr == MSR_IA32_APIC_BASE) {
		*value = a->base;
		return true;
	}
	if (msr == MSR_IA32_TSC_DEADLINE) {
		*value = vlapic_get_deadline(a);
		return true;
	}
	uint32_t offset = (msr - MSR_X2APIC_FIRST) << 4;
	if (!vlapic_is_x2(a) || offset >= APIC_PAGE_END || !in_set(READABLE, offset))
		return false;
	*value = read_register(a, offset);
	if (offset == APIC_ICR)
		*value |= (uint64_t)vlapic_get(a, APIC_ICR_HIGH) << APIC_ICR_DESTINATION_SHIFT;
	return true;
}

/* Source: SDM Vol. 3, "x2APIC State Transitions". */
static bool write_base(struct vlapic *a, uint64_t value)
{
	uint64_t mode = APIC_BASE_ENABLE | APIC_BASE_X2APIC;
	uint64_t from = a->base & mode, to = value & mode;
	uint64_t valid =
	    (APIC_BASE_ADDRESS_MASK & (BIT64(vlapic_physical_bits()) - 1)) | mode | APIC_BASE_BSP;

	if (value & ~valid || to == APIC_BASE_X2APIC || (from == mode && to == APIC_BASE_ENABLE) ||
	    (from == 0 && to == mode))
		return false;
	a->base = value;
	if (from == to)
		return true;
	if (to == 0)
		vlapic_init(a);
	vlapic_set_ids(a);
	vlapic_publish_route(a);
	return true;
}

bool vlapic_msr_write(struct vlapic *a, uint32_t msr, uint64_t value)
{
	if (msr == MSR_IA32_APIC_BASE)
		return write_base(a, value);
	if (msr == MSR_IA32_TSC_DEADLINE) {
		vlapic_set_deadline(a, value);
		return true;
	}
	uint32_t offset = (msr - MSR_X2APIC_FIRST) << 4, low = (uint32_t)value;
	if (!vlapic_is_x2(a) || offset >= APIC_PAGE_END ||
	    !in_set(WRITABLE | R(APIC_SELF_IPI), offset) ||
	    low & ~(writable[NUMBER(offset)] | ignored_bits(offset)))
		return false;
	low &= writable[NUMBER(offset)];
	if (offset == APIC_ICR)
		write_icr(a, low, (uint32_t)(value >> 32), (uint32_t)(value >> 32));
	else if (value >> 32)
		return false;
	else
		write_register(a, offset, low);
	return true;
}
