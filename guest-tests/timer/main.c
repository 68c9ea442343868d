/*
 * timer: the local APIC's timer in its three modes: it comes, how late, and as often as it should.
 * Lateness is held against a slice, since other guests run besides.
 */
#include "apic.h"

#define VECTOR 0x51
#define MS     1000u
#define LONG   (1000 * MS)

static volatile unsigned count;
static volatile uint64_t came;

INTERRUPT on_timer(struct interrupt_frame *frame)
{
	(void)frame;
	came = rdtsc();
	count++;
	apic_eoi();
}

/* TSC ticks in one of the APIC's. */
static uint64_t ratio(void)
{
	struct cpuid c = cpuid(0x15, 0);

	return c.ebx / c.eax;
}

static void in_time(uint64_t due, const char *what)
{
	tap_ok(came >= due, "%s: not early", what);
	tap_ok(came < due + tsc_us(60 * MS), "%s: %lu ticks late, less than 60 ms", what,
	       (unsigned long)(came - due));
}

static void one_shot(void)
{
	uint64_t start;

	wrmsr(X2_DIVIDE, DIVIDE_BY_1);
	wrmsr(X2_LVT_TIMER, VECTOR);
	/* The guest may be off the processor at any moment, for longer than what is waited for. */
	wrmsr(X2_INITIAL_COUNT, tsc_us(LONG) / ratio());
	tap_ok(rdmsr(X2_CURRENT_COUNT) > 0, "it counts");
	start = rdtsc();
	wrmsr(X2_INITIAL_COUNT, tsc_us(300) / ratio());
	sleep_once();
	tap_is(count, 1, "one shot ends HLT");
	in_time(start + tsc_us(300) - ratio(), "one shot");
	tap_is(rdmsr(X2_CURRENT_COUNT), 0, "then it stands at 0");
	start = rdtsc();
	INTERRUPTS_FOR(while (rdtsc() - start < tsc_us(MS)));
	tap_is(count, 1, "it comes once");
	/* While the guest is busy. */
	wrmsr(X2_DIVIDE, 0); /* by 2 */
	start = rdtsc();
	wrmsr(X2_INITIAL_COUNT, tsc_us(300) / ratio() / 2);
	INTERRUPTS_FOR(while (count == 1 && rdtsc() - start < tsc_us(60 * MS)));
	tap_is(count, 2, "it interrupts a busy guest");
	in_time(start + tsc_us(300) - 4 * ratio(), "divided by 2");
	/* Masked, and with interrupts off. */
	wrmsr(X2_LVT_TIMER, LVT_MASKED | VECTOR);
	wrmsr(X2_INITIAL_COUNT, 1000);
	start = rdtsc();
	INTERRUPTS_FOR(while (rdtsc() - start < tsc_us(600)));
	tap_is(count, 2, "masked: nothing");
	wrmsr(X2_LVT_TIMER, VECTOR);
	start = rdtsc();
	wrmsr(X2_INITIAL_COUNT, 1000);
	start = rdtsc();
	while (rdtsc() - start < 4 * 1000 * ratio())
		;
	tap_ok(count == 2 && apic_bit(X2_IRR, VECTOR), "interrupts off: requested");
	INTERRUPTS_FOR(;);
	tap_is(count, 3, "on: taken");
}

static void periodic(void)
{
	unsigned before = count;
	uint64_t start, took;

	wrmsr(X2_DIVIDE, DIVIDE_BY_1);
	wrmsr(X2_LVT_TIMER, LVT_PERIODIC | VECTOR);
	start = rdtsc();
	wrmsr(X2_INITIAL_COUNT, tsc_us(MS) / ratio());
	while (count - before < 20)
		sleep_once();
	took = rdtsc() - start;
	wrmsr(X2_INITIAL_COUNT, 0);
	tap_ok(took >= tsc_us(20 * MS) - tsc_us(10), "20 periods of 1 ms are not early");
	/* A period that others' slices swallow is not made up for. */
	tap_ok(took < tsc_us(400 * MS), "nor late: %lu ticks for %lu", (unsigned long)took,
	       (unsigned long)tsc_us(20 * MS));
	before = count;
	start = rdtsc();
	INTERRUPTS_FOR(while (rdtsc() - start < tsc_us(3 * MS)));
	tap_is(count, before, "0 stops it");
}

static void deadline(void)
{
	unsigned before = count;
	uint64_t due;

	wrmsr(X2_LVT_TIMER, LVT_DEADLINE | VECTOR);
	__asm__ volatile("mfence" : : : "memory");
	due = rdtsc() + tsc_us(LONG);
	wrmsr(MSR_TSC_DEADLINE, due);
	tap_is(rdmsr(MSR_TSC_DEADLINE), due, "the deadline can be read");
	due = rdtsc() + tsc_us(300);
	wrmsr(MSR_TSC_DEADLINE, due);
	sleep_once();
	tap_is(count, before + 1, "it ends HLT");
	in_time(due, "deadline");
	tap_is(rdmsr(MSR_TSC_DEADLINE), 0, "then it is 0");
	wrmsr(MSR_TSC_DEADLINE, rdtsc() - 1);
	INTERRUPTS_FOR(;);
	tap_is(count, before + 2, "one that has passed comes at once");
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_us(MS));
	wrmsr(MSR_TSC_DEADLINE, 0);
	due = rdtsc();
	INTERRUPTS_FOR(while (rdtsc() - due < tsc_us(600)));
	tap_is(count, before + 2, "0 takes it back");
	/* After the guest has moved its clock. */
	wrmsr(MSR_TSC, 1ull << 50);
	due = rdtsc() + tsc_us(300);
	wrmsr(MSR_TSC_DEADLINE, due);
	sleep_once();
	tap_is(count, before + 3, "by a clock that was written");
	in_time(due, "written clock");
	unsigned many = 0;
	before = count;
	for (; many < 100; many++) {
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_us(100));
		sleep_once();
	}
	tap_is(count, before + many, "a hundred in a row");
}

int main(void)
{
	apic_enable();
	interrupt_set(VECTOR, on_timer);
	one_shot();
	periodic();
	deadline();
	tap_done();
}
