/*
 * The rate of the time-stamp counter.
 *
 * State: the rate, constant after tsc_init() on the boot CPU; one for all CPUs. No lock.
 *
 * Source: SDM Vol. 2, "CPUID", leaves 0x15 and 0x16; Vol. 3, "Time-Stamp Counter", "Determining the
 * Processor Base Frequency"; the hypervisor timing leaf 0x40000010 of VMware and KVM; Intel 8254
 * data sheet.
 */
#include "drivers/tsc.h"
#include "cpu.h"
#include "print.h"

#define CPUID_TSC	     0x15u
#define CPUID_FREQUENCY	     0x16u
#define CPUID_HYPERVISOR     0x40000000u
#define CPUID_HYPERVISOR_TSC 0x40000010u

#define PIT_HZ		   1193182u
#define PIT_CHANNEL2	   0x42u
#define PIT_COMMAND	   0x43u
#define PIT_CHANNEL2_MODE0 0xb0u /* both bytes, count down once */
#define SYSTEM_PORT_B	   0x61u
#define PORT_B_GATE2	   0x01u
#define PORT_B_SPEAKER	   0x02u
#define PORT_B_OUT2	   0x20u
#define CALIBRATE_MS	   10u
#define CALIBRATE_RUNS	   3u
#define CALIBRATE_POLLS	   10000000u
#define KHZ_ASSUMED	   1000000u
/* A rate outside of these is not believed. */
#define KHZ_MIN 1000u
#define KHZ_MAX 20000000u

static uint64_t khz;

static uint64_t khz_from_hypervisor(void)
{
	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR))
		return 0;
	uint32_t last = cpuid(CPUID_HYPERVISOR, 0).eax;
	if (last < CPUID_HYPERVISOR_TSC || last > CPUID_HYPERVISOR + 0xff)
		return 0;
	return cpuid(CPUID_HYPERVISOR_TSC, 0).eax;
}

static uint64_t khz_from_cpuid(void)
{
	const struct cpuid tsc = cpuid_basic(CPUID_TSC);
	uint32_t denominator = tsc.eax, numerator = tsc.ebx, crystal_hz = tsc.ecx;

	if (!denominator || !numerator)
		return 0;
	if (crystal_hz)
		return (uint64_t)crystal_hz * numerator / denominator / 1000;
	/* The counter runs at the base frequency, which the next leaf gives in MHz. */
	return (cpuid_basic(CPUID_FREQUENCY).eax & 0xffff) * 1000ull;
}

/* Ticks while channel 2 of the PIT counts CALIBRATE_MS down; 0 if it never does. */
static uint64_t ticks_of_pit(void)
{
	uint16_t count = (uint16_t)(PIT_HZ * CALIBRATE_MS / 1000);
	uint8_t port_b = in8(SYSTEM_PORT_B);
	uint64_t ticks = 0;

	out8(SYSTEM_PORT_B, (uint8_t)((port_b & ~PORT_B_SPEAKER) | PORT_B_GATE2));
	out8(PIT_COMMAND, PIT_CHANNEL2_MODE0);
	out8(PIT_CHANNEL2, (uint8_t)count);
	out8(PIT_CHANNEL2, (uint8_t)(count >> 8));
	uint64_t start = rdtsc();
	for (unsigned i = 0; i < CALIBRATE_POLLS; i++) {
		if (in8(SYSTEM_PORT_B) & PORT_B_OUT2) {
			ticks = rdtsc() - start;
			break;
		}
	}
	out8(SYSTEM_PORT_B, port_b);
	return ticks;
}

static uint64_t khz_from_pit(void)
{
	uint64_t least = 0;

	/* Whatever disturbs a run makes it longer. */
	for (unsigned i = 0; i < CALIBRATE_RUNS; i++) {
		uint64_t ticks = ticks_of_pit();

		if (ticks && (!least || ticks < least))
			least = ticks;
	}
	return least / CALIBRATE_MS;
}

/* Finds the rate. Boot CPU, once. */
void tsc_init(void)
{
	static const struct {
		uint64_t (*find)(void);
		const char *source;
	} ways[] = {{khz_from_hypervisor, "the hypervisor below"},
		    {khz_from_cpuid, "CPUID"},
		    {khz_from_pit, "the PIT"}};

	for (size_t i = 0; i < array_size(ways); i++) {
		uint64_t found = ways[i].find();

		if (found < KHZ_MIN || found > KHZ_MAX)
			continue;
		khz = found;
		print(LOG_INFO, "tsc: %lu.%03lu MHz, by %s", khz / 1000, khz % 1000,
		      ways[i].source);
		return;
	}
	khz = KHZ_ASSUMED;
	print(LOG_WARN, "tsc: its rate could not be found; %lu MHz is assumed", khz / 1000);
}

uint64_t tsc_khz(void)
{
	return khz;
}

/* Waits, for a hardware protocol that asks for it. After tsc_init(). */
void tsc_delay_us(uint64_t us)
{
	uint64_t end = rdtsc() + us * khz / 1000;

	while (rdtsc() < end)
		__builtin_ia32_pause();
}
