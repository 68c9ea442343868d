/*
 * ipi: further processors by INIT and start-up, and interrupts among all of them: to one, to all,
 * by logical number, ping-pong, NMI, and one that is stopped by INIT and started again.
 */
#include "apic.h"

#define CPUS	    32u
#define VECTOR	    0x71
#define PING	    0x72
#define ROUNDS	    100u
#define BUSY_ROUNDS 8u /* each may take a slice */

static volatile unsigned counts[CPUS], nmis[CPUS], pongs[CPUS], starts[CPUS], wakes[CPUS];
static volatile bool spin[CPUS];
static volatile unsigned ping_from, nmi_for;
static unsigned count;

INTERRUPT on_vector(struct interrupt_frame *frame)
{
	(void)frame;
	counts[cpu_id()]++;
	apic_eoi();
}
INTERRUPT on_ping(struct interrupt_frame *frame)
{
	(void)frame;
	unsigned me = cpu_id();

	pongs[me]++;
	if (me != 0)
		wrmsr(X2_ICR, ICR_TO(0) | PING);
	apic_eoi();
}
INTERRUPT on_nmi(struct interrupt_frame *frame)
{
	(void)frame;
	nmis[cpu_id()]++;
}

static void works(unsigned id)
{
	starts[id]++;
	for (;;) {
		if (spin[id])
			INTERRUPTS_FOR(cpu_pause());
		else
			sleep_once();
		wakes[id]++;
	}
}

/* The first processor lets the interrupts that are meant for it in while it waits. */
#define WAIT_HERE(condition)       \
	WAIT_UNTIL(({              \
		INTERRUPTS_FOR(;); \
		(condition);       \
	}))

static bool all_have(volatile unsigned *what, unsigned first, unsigned wanted)
{
	for (unsigned i = first; i < count; i++)
		if (what[i] != wanted)
			return false;
	return true;
}

static void print_counts(volatile unsigned *what)
{
	for (unsigned i = 0; i < count; i++)
		printf("# %u: %u\n", i, what[i]);
}

#define ok_all(what, first, wanted, ...)                                            \
	do {                                                                        \
		if (!tap_ok(WAIT_HERE(all_have(what, first, wanted)), __VA_ARGS__)) \
			print_counts(what);                                         \
	} while (0)

static void messages(void)
{
	for (unsigned i = 1; i < count; i++)
		wrmsr(X2_ICR, ICR_TO(i) | VECTOR);
	ok_all(counts, 1, 1, "one to each of the others");
	wrmsr(X2_ICR, ICR_OTHERS | VECTOR);
	ok_all(counts, 1, 2, "all others at once");
	tap_is(counts[0], 0, "not the sender");
	wrmsr(X2_ICR, ICR_ALL | VECTOR);
	ok_all(counts, 1, 3, "all");
	tap_ok(WAIT_HERE(counts[0] == 1), "the sender too");
	wrmsr(X2_ICR, ICR_TO(0xffffffff) | VECTOR);
	ok_all(counts, 1, 4, "broadcast by destination");
	wrmsr(X2_ICR, ICR_TO((1u << count) - 2) | ICR_LOGICAL | VECTOR);
	ok_all(counts, 1, 5, "logical, all but the first");
	for (unsigned i = 1; i < count; i++)
		spin[i] = true;
	wrmsr(X2_ICR, ICR_OTHERS | VECTOR);
	ok_all(counts, 1, 6, "while they are busy");
	wrmsr(X2_ICR, ICR_TO(count) | VECTOR);
	wrmsr(X2_ICR, ICR_TO(1) | ICR_STARTUP | 8);
	wrmsr(X2_ICR, ICR_OTHERS | VECTOR);
	ok_all(counts, 1, 7, "nobody there, a start-up of one that runs: nothing");
	wrmsr(X2_ICR, ICR_OTHERS | ICR_NMI);
	ok_all(nmis, 1, 1, "an NMI to all others, busy");
	wrmsr(X2_ICR, ICR_OTHERS | ICR_NMI);
	wrmsr(X2_ICR, ICR_OTHERS | ICR_NMI);
	ok_all(nmis, 1, 3, "two are not one, whether they run or not");
	for (unsigned i = 1; i < count; i++)
		spin[i] = false;
	wrmsr(X2_ICR, ICR_OTHERS | VECTOR);
	ok_all(counts, 1, 8, "asleep again");
	wrmsr(X2_ICR, ICR_OTHERS | ICR_NMI);
	ok_all(nmis, 1, 4, "an NMI to all others, asleep");
}

static void ping_pong(void)
{
	for (unsigned to = 1; to < count; to++) {
		unsigned before = pongs[0], good = 0;

		unsigned rounds = to & 1 ? BUSY_ROUNDS : ROUNDS;

		spin[to] = to & 1;
		wrmsr(X2_ICR, ICR_TO(to) | VECTOR); /* to notice it */
		for (; good < rounds; good++) {
			wrmsr(X2_ICR, ICR_TO(to) | PING);
			if (!WAIT_HERE(pongs[0] == before + good + 1))
				break;
		}
		tap_is(good, rounds, "ping-pong with %u, which %s", to,
		       to & 1 ? "is busy" : "sleeps");
		spin[to] = false;
	}
}

static void asleep_here(void)
{
	unsigned before = pongs[0];

	for (unsigned i = 0; i < ROUNDS; i++) {
		wrmsr(X2_ICR, ICR_TO(1) | PING);
		sleep_once();
	}
	tap_is(pongs[0], before + ROUNDS, "each of %u answers wakes the first from HLT", ROUNDS);
}

static void again(void)
{
	unsigned wake;

	tap_ok(cpu_start(1, works) && WAIT_UNTIL(starts[1] == 2),
	       "INIT and start-up start one once more");
	wrmsr(X2_ICR, ICR_TO(1) | ICR_INIT);
	wake = wakes[1];
	wrmsr(X2_ICR, ICR_TO(1) | VECTOR);
	for (unsigned i = 0; i < 50; i++)
		yield();
	tap_is(wakes[1], wake, "after INIT nothing runs");
	for (unsigned i = 0; i < 20; i++)
		if (!cpu_start(1, works) || !WAIT_UNTIL(starts[1] == 3 + i))
			break;
	tap_is(starts[1], 22, "20 more times");
	tap_is(rdmsr(X2_ESR), 0, "no error");
}

int main(void)
{
	apic_enable();
	interrupt_set(VECTOR, on_vector);
	interrupt_set(PING, on_ping);
	interrupt_set(VECTOR_NMI, on_nmi);
	count = cpu_count();
	tap_is(count, option_number("cpus", 4), "CPUID tells of %u processors", count);
	if (count < 2 || count > CPUS)
		tap_bail_out("%u processors", count);
	for (unsigned i = 1; i < count; i++)
		tap_ok(cpu_start(i, works), "processor %u starts", i);
	messages();
	ping_pong();
	asleep_here();
	again();
	tap_done();
}
