/*
 * The timer of a vCPU's local APIC. Nothing counts: what the count is follows from the time, and
 * the machine's timer is armed for the moment at which something is due.
 *
 * State and lock: see include/vmx/vlapic.h. Source: SDM Vol. 3, "APIC Timer", "TSC-Deadline Mode".
 */
#include "vmx/vlapic.h"

#define CLOCK_MAX_KHZ	100000u /* of the APIC's clock */
#define MIN_INTERVAL_US 20u

struct vlapic_clock vlapic_clock;

void vlapic_clock_init(uint64_t tsc_khz)
{
	vlapic_clock.shift = 0;
	while (tsc_khz >> vlapic_clock.shift > CLOCK_MAX_KHZ)
		vlapic_clock.shift++;
	vlapic_clock.min_ticks = MIN_INTERVAL_US * tsc_khz / 1000;
}

/* TSC ticks in one of the count, as a shift: 2, 4, ... 128, and 1 (bits 3, 1 and 0 are 111b). */
static unsigned tick_shift(const struct vlapic *a)
{
	uint32_t d = vlapic_get(a, APIC_DIVIDE);
	uint32_t code = (d & 3) | (d >> 1 & 4);

	return vlapic_clock.shift + ((code + 1) & 7);
}

static uint32_t timer_mode(const struct vlapic *a)
{
	return vlapic_get(a, APIC_LVT_TIMER) & APIC_LVT_TIMER_MODE;
}

/* How much of the machine's TSC is left until something is due; UINT64_MAX: never. */
static uint64_t remaining(const struct vlapic *a)
{
	uint64_t elapsed;

	if (a->tsc_deadline) {
		uint64_t now = vlapic_now() + a->tsc_offset;
		return a->tsc_deadline > now ? a->tsc_deadline - now : 0;
	}
	if (!a->timer_ticks)
		return UINT64_MAX;
	elapsed = vlapic_now() - a->timer_start;
	return elapsed < a->timer_ticks ? a->timer_ticks - elapsed : 0;
}

void vlapic_timer_poll(struct vlapic *a)
{
	uint32_t lvt = vlapic_get(a, APIC_LVT_TIMER);

	if (remaining(a))
		return;
	if (timer_mode(a) == APIC_LVT_TIMER_PERIODIC) {
		/* However many have been missed, they are one interrupt. */
		uint64_t elapsed = vlapic_now() - a->timer_start;
		a->timer_start += elapsed - elapsed % a->timer_ticks;
	} else {
		a->tsc_deadline = 0;
		a->timer_ticks = 0;
	}
	if (!(lvt & APIC_LVT_MASKED))
		vlapic_raise(a, lvt & APIC_LVT_VECTOR);
	vlapic_timer_arm(a);
}

void vlapic_timer_arm(const struct vlapic *a)
{
	uint64_t left = remaining(a), now = vlapic_now();
	bool heard = !(vlapic_get(a, APIC_LVT_TIMER) & APIC_LVT_MASKED);

	vlapic_timer_set(!heard || left > UINT64_MAX - 1 - now ? 0 : now + left);
}

void vlapic_timer_disarm(struct vlapic *a)
{
	a->tsc_deadline = 0;
	a->timer_ticks = 0;
	vlapic_timer_arm(a);
}

/* The current count register. */
uint32_t vlapic_timer_count(const struct vlapic *a)
{
	unsigned shift = tick_shift(a);
	uint64_t left;

	if (!a->timer_ticks)
		return 0;
	left = remaining(a);
	if (!left && timer_mode(a) == APIC_LVT_TIMER_PERIODIC)
		left = a->timer_ticks - (vlapic_now() - a->timer_start) % a->timer_ticks;
	left = (left + BIT64(shift) - 1) >> shift;
	/* An interval that was made longer is not shown. */
	return left < vlapic_get(a, APIC_INITIAL_COUNT) ? (uint32_t)left
							: vlapic_get(a, APIC_INITIAL_COUNT);
}

static void set_ticks(struct vlapic *a, unsigned shift)
{
	a->timer_ticks = (uint64_t)vlapic_get(a, APIC_INITIAL_COUNT) << shift;
	if (a->timer_ticks && a->timer_ticks < vlapic_clock.min_ticks &&
	    timer_mode(a) == APIC_LVT_TIMER_PERIODIC)
		a->timer_ticks = vlapic_clock.min_ticks;
}

/* The initial count is written. In TSC-deadline mode that has no effect. */
void vlapic_timer_start(struct vlapic *a, uint32_t count)
{
	if (timer_mode(a) == APIC_LVT_TIMER_TSC_DEADLINE)
		return;
	vlapic_timer_poll(a);
	*vlapic_reg(a, APIC_INITIAL_COUNT) = count;
	set_ticks(a, tick_shift(a));
	a->timer_start = vlapic_now();
	vlapic_timer_arm(a);
}

/* The count goes on from where it is, at the new rate. */
void vlapic_timer_divide(struct vlapic *a, uint32_t divide)
{
	vlapic_timer_poll(a);
	uint32_t count = vlapic_timer_count(a);
	*vlapic_reg(a, APIC_DIVIDE) = divide;
	if (!a->timer_ticks)
		return;
	uint64_t left = (uint64_t)count << tick_shift(a);
	set_ticks(a, tick_shift(a));
	a->timer_start = vlapic_now() - (a->timer_ticks > left ? a->timer_ticks - left : 0);
	vlapic_timer_arm(a);
}

/* The timer's entry in the vector table is written. A change from or to TSC-deadline mode stops
 * the timer. */
void vlapic_timer_mode(struct vlapic *a, uint32_t lvt)
{
	vlapic_timer_poll(a);
	uint32_t before = timer_mode(a), after = lvt & APIC_LVT_TIMER_MODE;

	*vlapic_reg(a, APIC_LVT_TIMER) = lvt;
	if ((before ^ after) & APIC_LVT_TIMER_TSC_DEADLINE) {
		*vlapic_reg(a, APIC_INITIAL_COUNT) = 0;
		vlapic_timer_disarm(a);
		return;
	}
	if (before != after && a->timer_ticks)
		set_ticks(a, tick_shift(a));
	vlapic_timer_arm(a);
}

/* Outside TSC-deadline mode a write is ignored. */
void vlapic_set_deadline(struct vlapic *a, uint64_t deadline)
{
	if (timer_mode(a) != APIC_LVT_TIMER_TSC_DEADLINE)
		return;
	vlapic_timer_poll(a);
	a->tsc_deadline = deadline;
	vlapic_timer_poll(a);
	vlapic_timer_arm(a);
}

/* 0 from the moment on that it has passed. */
uint64_t vlapic_get_deadline(const struct vlapic *a)
{
	return remaining(a) ? a->tsc_deadline : 0;
}

void vlapic_set_tsc_offset(struct vlapic *a, uint64_t offset)
{
	vlapic_timer_poll(a);
	a->tsc_offset = offset;
	if (a->tsc_deadline) {
		vlapic_timer_poll(a);
		vlapic_timer_arm(a);
	}
}
