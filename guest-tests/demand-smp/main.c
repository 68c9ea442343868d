/*
 * demand-smp: four vCPUs look into demand-owner's memory through one window at the same time, while
 * the owner gives parts of it back and takes them all the time, and the first vCPU opens and closes
 * another window onto it. What is seen of a page is what was written there, or nothing.
 */
#include "../demand-owner/shared.h"
#include "apic.h"
#include "public/keyhole.h"

#define FRAME(address) ((unsigned long)((address) / PAGE_SIZE))
#define BUDGET	       128u
#define BUDGET_SHARED  512u /* each vCPU has a share */
#define ABSENT	       0xffffffffffffffffull
#define LOOKS	       4000u
#define ROUNDS	       12u

static struct control *const control = (struct control *)HOLE;
static volatile uint64_t wrong[32], seen[32];
static volatile bool started, done[32];
static uint32_t peer;
static unsigned long low;

static long foreign(unsigned command, unsigned long a, unsigned long b, unsigned long c,
		    unsigned long d)
{
	return hypercall5(__HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN(command, peer), a, b, c, d);
}

static unsigned look(unsigned id, unsigned i)
{
	uint64_t value = ((volatile struct span_page *)(low + i * PAGE_SIZE))->owner;
	bool moves = (i >= GIVEN && i < GIVEN + GIVEN_COUNT);

	seen[id]++;
	/* Between its coming and its being written a page is clear. */
	return value != MAGIC(i) &&
	       !(moves && (value == ABSENT || value == 0 || value == MAGIC_AGAIN(i)));
}

/* Each in an order of its own, often where memory comes and goes. */
static void looks(unsigned id)
{
	unsigned next = id * 37;

	while (!started)
		cpu_pause();
	for (unsigned n = 0; n < LOOKS; n++) {
		next = next * 5 + 2 * id + 1;
		wrong[id] +=
		    look(id, n % 3 ? (next >> 3) % SPAN : GIVEN + (next >> 3) % GIVEN_COUNT);
	}
	done[id] = true;
}

static void looks_and_halts(unsigned id)
{
	looks(id);
	for (;;)
		__asm__ volatile("hlt");
}

int main(void)
{
	struct keyhole_window_stats stats;
	unsigned cpus = cpu_count(), others = 0, bad = 0;
	uint64_t all = 0;
	long window;

	apic_enable();
	peer = self_domain() - 1;
	low = (unsigned long)cpuid(KEYHOLE_CPUID_LEAF(2), 0).eax * PAGE_SIZE;
	tap_is(foreign(KEYHOLE_FOREIGN_MAP, FRAME(CONTROL_AT), FRAME(HOLE), 1, 0), 1,
	       "a page to talk by");
	tap_ok(WAIT_UNTIL(control->ready), "the owner is ready");
	window = foreign(KEYHOLE_WINDOW_OPEN, FRAME(SPAN_AT), FRAME(low), SPAN, BUDGET_SHARED);
	tap_ok(window >= 0, "a window opens");
	for (unsigned id = 1; id < cpus; id++)
		others += cpu_start(id, looks_and_halts);
	tap_is(others, cpus - 1, "%u vCPUs more", others);
	control->request = CHURN;
	started = true;
	for (unsigned round = 0; round < ROUNDS; round++) {
		long second =
		    foreign(KEYHOLE_WINDOW_OPEN, FRAME(SPAN_AT), FRAME(low) + SPAN, SPAN, BUDGET);

		bad += second < 0;
		for (unsigned i = 0; i < 2 * BUDGET; i++)
			bad += look(0, (i * 11) % SPAN);
		bad += foreign(KEYHOLE_WINDOW_CLOSE, (unsigned long)second, 0, 0, 0) != 0;
		yield();
	}
	tap_is(bad, 0, "another window opens and closes meanwhile");
	looks(0);
	for (unsigned id = 0; id < cpus; id++) {
		tap_ok(WAIT_UNTIL(done[id]), "vCPU %u comes to its end", id);
		tap_is(wrong[id], 0, "and has seen nothing but what was there");
		all += seen[id];
	}
	tap_is(foreign(KEYHOLE_WINDOW_STATS, (unsigned long)window, (unsigned long)&stats, 0, 0), 0,
	       "statistics");
	printf("# %lu looks, %lu faults, %lu evicted, %lu flushes\n", (unsigned long)all,
	       (unsigned long)stats.faults, (unsigned long)stats.evicted,
	       (unsigned long)stats.flushes);
	tap_ok(stats.resident <= stats.budget, "no more was there than may be");
	tap_is(foreign(KEYHOLE_WINDOW_CLOSE, (unsigned long)window, 0, 0, 0), 0, "it closes");
	control->request = END;
	tap_done();
}
