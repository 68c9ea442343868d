/*
 * Interprocessor interrupts between the vCPUs of a domain: who is meant, and how it gets there.
 *
 * State: of the sender, its struct vlapic; of the receivers, atomic words of struct vcpu_shared,
 * which the receiver takes over before it runs on (vmx/events.c). No lock. The work is bounded by
 * the number of vCPUs of a domain.
 *
 * Sources: SDM Vol. 3, "Issuing Interprocessor Interrupts", "Determining IPI Destination",
 * "Logical Destination Mode in x2APIC Mode".
 */
#include "percpu.h"
#include "vmx/vlapic.h"

void vlapic_publish_route(const struct vlapic *a)
{
	uint64_t route =
	    vlapic_get(a, APIC_LDR) | (uint64_t)(vlapic_get(a, APIC_DFR) >> APIC_DFR_SHIFT)
					  << VLAPIC_ROUTE_DFR_SHIFT;

	if (a->base & APIC_BASE_ENABLE)
		route |= VLAPIC_ROUTE_ENABLED;
	if (vlapic_is_x2(a))
		route |= VLAPIC_ROUTE_X2;
	if (vlapic_software_enabled(a))
		route |= VLAPIC_ROUTE_SOFTWARE;
	atomic_store_explicit(&this_cpu()->current->apic_route, route, memory_order_release);
}

static bool logical_xapic(uint64_t route, uint32_t destination)
{
	uint32_t ldr = (uint32_t)route >> APIC_XAPIC_ID_SHIFT;

	switch (route >> VLAPIC_ROUTE_DFR_SHIFT) {
	case APIC_DFR_FLAT:
		return ldr & destination;
	case APIC_DFR_CLUSTER:
		return ldr >> 4 == destination >> 4 && ldr & destination & 0xf;
	default:
		return false;
	}
}

/* Whether an APIC with this route and number is meant. */
static bool route_matches(uint64_t route, uint32_t id, uint32_t destination, bool logical,
			  bool sender_x2)
{
	uint32_t ldr = (uint32_t)route;

	if (!(route & VLAPIC_ROUTE_ENABLED))
		return false;
	if (destination == (sender_x2 ? APIC_X2APIC_BROADCAST : APIC_XAPIC_BROADCAST))
		return true;
	if (!logical)
		return id == destination;
	if (!(route & VLAPIC_ROUTE_X2))
		return destination <= APIC_XAPIC_BROADCAST && logical_xapic(route, destination);
	return ldr >> APIC_X2_CLUSTER_SHIFT == destination >> APIC_X2_CLUSTER_SHIFT &&
	       (uint16_t)(ldr & destination);
}

/* Leaves an interrupt for a vCPU, and has it look. */
static void post_interrupt(struct vcpu_shared *v, unsigned vector)
{
	atomic_fetch_or(&v->posted[vector / 64], BIT64(vector % 64));
	vcpu_kick(v);
}

/* The same with a request (enum vcpu_request). INIT takes back a start-up that went before it; of
 * two start-ups the first counts. */
static void post_request(struct vcpu_shared *v, uint32_t bits)
{
	uint32_t old = atomic_load(&v->requests), new;

	do {
		new = old;
		if (bits & VCPU_REQUEST_INIT)
			new &= ~(VCPU_REQUEST_SIPI | VCPU_SIPI_VECTOR_MASK);
		if (bits & old & VCPU_REQUEST_NMI)
			new |= VCPU_REQUEST_NMI_AGAIN;
		if (!(bits & new &VCPU_REQUEST_SIPI))
			new |= bits;
	} while (!atomic_compare_exchange_weak(&v->requests, &old, new));
	vcpu_kick(v);
}

void vlapic_nmi(struct vlapic *a)
{
	if (a->nmis < 2)
		a->nmis++;
}

/* One message for one receiver, which may be the sender. */
static void deliver(struct vlapic *a, struct vcpu_shared *to, uint32_t command)
{
	uint32_t vector = command & APIC_ICR_VECTOR;
	struct vcpu_shared *self = this_cpu()->current;

	switch (command & APIC_ICR_MODE) {
	case APIC_ICR_FIXED:
	case APIC_ICR_LOWEST:
		if (to == self)
			vlapic_raise(a, vector);
		else if (vector >= APIC_VECTOR_FIRST)
			post_interrupt(to, vector);
		else
			post_request(to, VCPU_REQUEST_ILLEGAL_VECTOR);
		break;
	case APIC_ICR_NMI:
		if (to == self)
			vlapic_nmi(a);
		else
			post_request(to, VCPU_REQUEST_NMI);
		break;
	case APIC_ICR_INIT:
		post_request(to, VCPU_REQUEST_INIT);
		break;
	case APIC_ICR_STARTUP:
		post_request(to, VCPU_REQUEST_SIPI | vector << VCPU_SIPI_VECTOR_SHIFT);
		break;
	}
}

/* Modes that exist, in combinations that exist. A level-triggered INIT that is taken back has had
 * no effect since the Pentium 4; there is no system management. */
static bool is_valid(uint32_t command)
{
	uint32_t shorthand = command & APIC_ICR_SHORTHAND;

	switch (command & APIC_ICR_MODE) {
	case APIC_ICR_FIXED:
		return true;
	case APIC_ICR_LOWEST:
	case APIC_ICR_NMI:
	case APIC_ICR_STARTUP:
		return !shorthand || shorthand == APIC_ICR_OTHERS;
	case APIC_ICR_INIT:
		return (!shorthand || shorthand == APIC_ICR_OTHERS) &&
		       (command & (APIC_ICR_LEVEL | APIC_ICR_ASSERT)) != APIC_ICR_LEVEL;
	default:
		return false;
	}
}

/*
 * Lowest priority: in turn, since the priority that another vCPU runs at is its own affair.
 * candidates: bit n is vCPU n; at least one.
 */
static uint32_t choose(struct vlapic *a, uint32_t candidates)
{
	uint32_t later = candidates & ~((BIT32(a->lowest) << 1) - 1);

	a->lowest = (uint8_t)__builtin_ctz(later ? later : candidates);
	return BIT32(a->lowest);
}

void vlapic_send(struct vlapic *a, uint32_t command, uint32_t destination)
{
	struct vcpu_shared *self = this_cpu()->current;
	struct domain *d = self->domain;
	uint32_t mode = command & APIC_ICR_MODE, shorthand = command & APIC_ICR_SHORTHAND;
	bool fixed = mode == APIC_ICR_FIXED || mode == APIC_ICR_LOWEST;
	uint32_t targets = 0;

	if (!is_valid(command))
		return;
	if (fixed && (command & APIC_ICR_VECTOR) < APIC_VECTOR_FIRST)
		vlapic_error(a, APIC_ESR_SEND_ILLEGAL_VECTOR);
	for (uint32_t i = 0; i < d->vcpu_count; i++) {
		const struct vcpu_shared *v = d->vcpus[i];
		uint64_t route = atomic_load_explicit(&v->apic_route, memory_order_acquire);
		bool meant =
		    shorthand == APIC_ICR_SELF ? v == self
		    : shorthand
			? route & VLAPIC_ROUTE_ENABLED && (shorthand == APIC_ICR_ALL || v != self)
			: route_matches(route, v->id, destination, command & APIC_ICR_LOGICAL,
					vlapic_is_x2(a));
		if (meant && (!fixed || route & VLAPIC_ROUTE_SOFTWARE))
			targets |= BIT32(i);
	}
	if (mode == APIC_ICR_LOWEST && targets)
		targets = choose(a, targets);
	for (; targets; targets &= targets - 1)
		deliver(a, d->vcpus[__builtin_ctz(targets)], command);
}
