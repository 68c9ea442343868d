/*
 * A vCPU's local APIC: priorities, what is requested and in service, errors, reset.
 *
 * State and lock: see include/vmx/vlapic.h. Sources: SDM Vol. 3, "Local APIC", "Interrupt,
 * Task, and Processor Priority", "Error Handling", "Local APIC State After Power-Up or Reset".
 */
#include "vmx/vlapic.h"
#include "percpu.h"

#define VECTORS_PER_REGISTER 32u
#define VECTOR_REGISTERS     8u

#define APIC_BASE_RESET (APIC_BASE_PAGE | APIC_BASE_ENABLE)
#define APIC_BASE_PAGE	0xfee00000ull

static int highest(const struct vlapic *a, uint32_t first)
{
	for (unsigned i = VECTOR_REGISTERS; i-- > 0;) {
		uint32_t bits = a->reg[(first >> 4) + i].value;
		if (bits)
			return (int)(i * VECTORS_PER_REGISTER + 31u -
				     (unsigned)__builtin_clz(bits));
	}
	return VLAPIC_NO_VECTOR;
}

static uint32_t *vector_word(struct vlapic *a, uint32_t first, unsigned vector)
{
	return &a->reg[(first >> 4) + vector / VECTORS_PER_REGISTER].value;
}

static uint32_t vector_bit(unsigned vector)
{
	return BIT32(vector % VECTORS_PER_REGISTER);
}

int vlapic_highest_requested(const struct vlapic *a)
{
	return highest(a, APIC_IRR);
}

int vlapic_highest_in_service(const struct vlapic *a)
{
	return highest(a, APIC_ISR);
}

/* Computed, since with a TPR shadow the processor changes the task priority by itself. */
uint32_t vlapic_ppr(const struct vlapic *a)
{
	uint32_t tpr = vlapic_get(a, APIC_TPR) & 0xff;
	int in_service = vlapic_highest_in_service(a);
	uint32_t class = in_service < 0 ? 0 : (uint32_t)in_service & 0xf0;

	return (tpr & 0xf0) >= class ? tpr : class;
}

int vlapic_pending(const struct vlapic *a)
{
	int vector = vlapic_highest_requested(a);

	if (vector < 0 || !(a->base & APIC_BASE_ENABLE) ||
	    ((uint32_t)vector & 0xf0) <= (vlapic_ppr(a) & 0xf0))
		return VLAPIC_NO_VECTOR;
	return vector;
}

void vlapic_accept(struct vlapic *a, unsigned vector)
{
	*vector_word(a, APIC_IRR, vector) &= ~vector_bit(vector);
	*vector_word(a, APIC_ISR, vector) |= vector_bit(vector);
}

void vlapic_eoi(struct vlapic *a)
{
	int vector = vlapic_highest_in_service(a);

	if (vector < 0)
		return;
	*vector_word(a, APIC_ISR, (unsigned)vector) &= ~vector_bit((unsigned)vector);
}

static void request(struct vlapic *a, unsigned vector)
{
	*vector_word(a, APIC_IRR, vector) |= vector_bit(vector);
}

void vlapic_raise(struct vlapic *a, unsigned vector)
{
	if (!vlapic_software_enabled(a))
		return;
	if (vector < APIC_VECTOR_FIRST) {
		vlapic_error(a, APIC_ESR_RECEIVE_ILLEGAL_VECTOR);
		return;
	}
	request(a, vector);
}

/* The error's own interrupt comes once, until the register is written. Its entry is masked while
 * the APIC is disabled. */
void vlapic_error(struct vlapic *a, uint32_t error)
{
	uint32_t lvt = vlapic_get(a, APIC_LVT_ERROR);

	a->errors |= error;
	if (a->error_reported || lvt & APIC_LVT_MASKED)
		return;
	a->error_reported = true;
	if ((lvt & APIC_LVT_VECTOR) < APIC_VECTOR_FIRST)
		a->errors |= APIC_ESR_RECEIVE_ILLEGAL_VECTOR;
	else
		request(a, lvt & APIC_LVT_VECTOR);
}

void vlapic_collect(struct vlapic *a, struct vcpu_shared *v)
{
	for (unsigned i = 0; i < array_size(v->posted); i++) {
		if (!atomic_load_explicit(&v->posted[i], memory_order_relaxed))
			continue;
		uint64_t bits = atomic_exchange(&v->posted[i], 0);
		if (!vlapic_software_enabled(a))
			continue;
		a->reg[(APIC_IRR >> 4) + 2 * i].value |= (uint32_t)bits;
		a->reg[(APIC_IRR >> 4) + 2 * i + 1].value |= (uint32_t)(bits >> 32);
	}
}

void vlapic_set_ids(struct vlapic *a)
{
	if (!vlapic_is_x2(a)) {
		*vlapic_reg(a, APIC_ID) = a->id << APIC_XAPIC_ID_SHIFT;
		return;
	}
	*vlapic_reg(a, APIC_ID) = a->id;
	*vlapic_reg(a, APIC_LDR) = a->id / APIC_X2_CLUSTER_SIZE << APIC_X2_CLUSTER_SHIFT |
				   BIT32(a->id % APIC_X2_CLUSTER_SIZE);
}

void vlapic_init(struct vlapic *a)
{
	for (unsigned i = 0; i < array_size(a->reg); i++)
		a->reg[i].value = 0;
	for (uint32_t lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 0x10)
		*vlapic_reg(a, lvt) = APIC_LVT_MASKED;
	*vlapic_reg(a, APIC_VERSION) = VLAPIC_VERSION;
	*vlapic_reg(a, APIC_SIVR) = APIC_SIVR_RESET;
	*vlapic_reg(a, APIC_DFR) = APIC_DFR_FLAT << APIC_DFR_SHIFT | APIC_DFR_ONES;
	a->errors = 0;
	a->error_reported = false;
	vlapic_timer_disarm(a);
	vlapic_set_ids(a);
	vlapic_publish_route(a);
}

void vlapic_reset(struct vlapic *a, uint32_t id)
{
	a->id = id;
	a->base = APIC_BASE_RESET | (id == 0 ? APIC_BASE_BSP : 0);
	vlapic_init(a);
}
