/*
 * System time of a guest of Xen's ABI: nanoseconds since its time-stamp counters began at zero,
 * when it was made. So one record, whose counter and time are both zero, is right for all vCPUs and
 * all the time; a guest that writes its counter has itself to blame. State: none.
 *
 * Source: Xen, public/xen.h (vcpu_time_info).
 */
#include "kernel/guest_time.h"
#include "cpu.h"
#include "drivers/rtc.h"
#include "drivers/tsc.h"
#include "kernel/xen_state.h"
#include "mm/window.h"

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

/* Ticks in so many nanoseconds; all ones if that is beyond counting. */
uint64_t guest_time_ticks(uint64_t ns)
{
	uint64_t khz = tsc_khz();

	if (ns / NS_PER_MS >= UINT64_MAX / khz - 1)
		return UINT64_MAX;
	return ns / NS_PER_MS * khz + ns % NS_PER_MS * khz / NS_PER_MS;
}

uint64_t guest_time_ns(uint64_t ticks)
{
	uint64_t khz = tsc_khz();

	return ticks / khz * NS_PER_MS + ticks % khz * NS_PER_MS / khz;
}

uint64_t guest_time_now(const struct domain *d)
{
	return guest_time_ns(rdtsc() + d->tsc_offset);
}

/* All ones: never, as far as anybody can tell. */
uint64_t guest_time_to_tsc(const struct domain *d, uint64_t ns)
{
	uint64_t ticks = guest_time_ticks(ns);

	return ticks < d->tsc_offset + INT64_MAX ? ticks - d->tsc_offset : UINT64_MAX;
}

/* The multiplier is kept between half and all of its 32 bits. */
struct vcpu_time_info guest_time_record(const struct domain *d)
{
	struct vcpu_time_info t = {.version = 2, .flags = XEN_PVCLOCK_TSC_STABLE_BIT};
	uint64_t hz = tsc_khz() * 1000;

	(void)d;
	while (hz > 2 * NS_PER_S) {
		hz >>= 1;
		t.tsc_shift--;
	}
	while (hz <= NS_PER_S) {
		hz <<= 1;
		t.tsc_shift++;
	}
	t.tsc_to_system_mul = (uint32_t)((NS_PER_S << 32) / hz);
	return t;
}

/* The time of day at system time 0, at offset in the domain's shared-info page. */
void guest_time_write_wall_clock(struct domain *d, uint32_t offset)
{
	struct {
		uint32_t version, seconds, ns;
	} clock = {.version = 2};
	/* When the domain was made, by the host's clock. */
	uint64_t since_boot = -d->tsc_offset / (tsc_khz() * 1000);

	clock.seconds = (uint32_t)(rtc_at_tsc_0() + since_boot);
	window_write(d->xen->shared_info, offset, &clock, sizeof(clock));
}
