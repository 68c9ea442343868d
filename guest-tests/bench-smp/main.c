/*
 * bench-smp: what grows with the number of processors, each with a vCPU of this guest; in ticks of
 * the time-stamp counter. A line per row:
 *
 *	scale: NAME cpus=N samples=S median=M mean=A max=X
 *
 * With `switch=N` it is one of two guests on each of N processors that only give way to each other.
 * tools/keyhole/benchscale.py says what the figures mean.
 */
#include "../bench/shared.h"
#include "apic.h"
#include "public/keyhole.h"

#define CPUS	    32u
#define VECTOR	    0x61
#define TIMER	    0x62
#define WARM_UP	    8u
#define SAMPLES	    100u
#define SWITCHES    1000u /* before they are measured, and after: the others are at it too */
#define TIMER_TICKS 4000u
#define GAP	    45u /* ticks between two looks at the clock: it was not running */
#define GAP_WAIT    30000u
#define OWN	    0x380000ul /* RAM that nothing else uses */

#define AT_WINDOW    (HOLE + 0x800000ul)
#define FOREIGN_SPAN 1536u /* pages of the peer's, from FOREIGN_START on */
#define FAULTS	     64u   /* in a sample */

struct row {
	unsigned count;
	uint64_t cost[SAMPLES];
};

static unsigned cpus;
static volatile uint64_t came[CPUS]; /* when its interrupt did; 0: not yet */
static struct row rows[CPUS];	     /* of each vCPU */
static void (*volatile job)(unsigned id);
static volatile unsigned job_number, done[CPUS];
static volatile unsigned round;
static volatile uint64_t gap[CPUS];

static void add(struct row *r, uint64_t cost)
{
	uint64_t *at = &r->cost[r->count++];

	for (; at > r->cost && at[-1] > cost; at--)
		*at = at[-1];
	*at = cost;
}

static void print(const char *name, const struct row *r, unsigned divisor)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < r->count; i++)
		sum += r->cost[i];
	printf("scale: %s cpus=%u samples=%u median=%lu mean=%lu max=%lu\n", name, cpus, r->count,
	       r->cost[r->count / 2] / divisor, sum / r->count / divisor,
	       r->cost[r->count - 1] / divisor);
}

INTERRUPT on_vector(struct interrupt_frame *frame)
{
	(void)frame;
	came[cpu_id()] = rdtsc();
	apic_eoi();
}

/* --- jobs: what all vCPUs do at a time -------------------------------------------------------- */

static void looks(unsigned id)
{
	unsigned seen = 0;
	uint64_t now = rdtsc();

	interrupts_on(); /* else Bochs does not see an IPI that comes while the guest is entered */
	while (job == looks) {
		uint64_t before = now, lost = (now = rdtsc()) - before;

		if (lost > GAP && round != seen) {
			seen = round;
			gap[id] = lost;
		}
	}
	interrupts_off();
}

static void waits(unsigned id)
{
	(void)id;
	INTERRUPTS_FOR(while (job == waits) cpu_pause());
}

static void timers(unsigned id)
{
	struct row *r = &rows[id];

	r->count = 0;
	wrmsr(X2_LVT_TIMER, LVT_DEADLINE | TIMER);
	for (unsigned n = 0; n < WARM_UP + SAMPLES; n++) {
		uint64_t due = rdtsc() + TIMER_TICKS;

		came[id] = 0;
		wrmsr(MSR_TSC_DEADLINE, due);
		INTERRUPTS_FOR(while (!came[id]) cpu_pause());
		if (n >= WARM_UP)
			add(r, came[id] - due);
	}
}

static void works(unsigned id)
{
	for (unsigned n = 0;; done[id] = n) {
		while (job_number == n)
			cpu_pause();
		n = job_number;
		void (*fn)(unsigned id) = job;
		if (fn) /* else it is over already */
			fn(id);
	}
}

static void others_do(void (*fn)(unsigned id))
{
	job = fn;
	job_number++;
}

static void others_are_done(void)
{
	for (unsigned id = 1; id < cpus; id++)
		while (done[id] != job_number)
			cpu_pause();
}

/* --- rows ------------------------------------------------------------------------------------- */

/* From the WRMSR to the last handler's first instructions; alone, to itself. */
static void ipi(const char *name, uint64_t icr, unsigned last)
{
	struct row *r = &rows[0];

	r->count = 0;
	others_do(waits);
	for (unsigned n = 0; n < WARM_UP + SAMPLES; n++) {
		uint64_t start, latest = 0;

		for (unsigned id = 0; id < cpus; id++)
			came[id] = 0;
		interrupts_on();
		start = rdtsc();
		wrmsr(X2_ICR, icr | VECTOR);
		for (unsigned id = cpus > 1; id <= last; id++) {
			while (!came[id])
				cpu_pause();
			if (came[id] > latest)
				latest = came[id];
		}
		interrupts_off();
		if (n >= WARM_UP)
			add(r, latest - start);
	}
	job = NULL;
	print(name, r, 1);
}

static native_ulong_t gfn;

static long reserve(unsigned command)
{
	memory_reservation_t argument = {
	    .extent_start = handle(&gfn), .nr_extents = 1, .domid = DOMID_SELF};

	return memory_op(command, &argument);
}

/* A page given back while all others run on its p2m: the call, and what each other one loses. */
static unsigned shootdown(void)
{
	static struct row call, lost;
	unsigned wrong = 0;

	gfn =
	    OWN / PAGE_SIZE + 1; /* stays away, or the 2 MiB would be joined and split each time */
	wrong += reserve(XENMEM_decrease_reservation) != 1;
	gfn = OWN / PAGE_SIZE;
	call.count = lost.count = 0;
	others_do(looks);
	for (unsigned n = 0; n < WARM_UP + SAMPLES; n++) {
		uint64_t start, cost, most = 0;

		*(volatile uint64_t *)OWN = n;
		for (unsigned id = 0; id < cpus; id++)
			gap[id] = 0;
		round++;
		start = rdtsc();
		wrong += reserve(XENMEM_decrease_reservation) != 1;
		cost = rdtsc() - start;
		for (unsigned id = 1; id < cpus; id++) {
			while (!gap[id] && rdtsc() - start < GAP_WAIT)
				cpu_pause();
			if (gap[id] > most)
				most = gap[id];
		}
		wrong += reserve(XENMEM_populate_physmap) != 1;
		if (n >= WARM_UP) {
			add(&call, cost);
			add(&lost, most);
		}
	}
	job = NULL;
	print("shootdown_call", &call, 1);
	if (cpus > 1)
		print("shootdown_other", &lost, 1);
	return wrong;
}

/* A round is two switches, to the other guest and back. */
static void switches(void)
{
	struct row *r = &rows[0];
	uint64_t start;

	for (unsigned n = 0; n < SWITCHES; n++)
		yield();
	for (unsigned n = 0; n < SAMPLES; n++) {
		start = rdtsc();
		yield();
		add(r, rdtsc() - start);
	}
	for (unsigned n = 0; n < SWITCHES; n++)
		yield();
	if (option("report"))
		print("yield_switch", r, 2);
	tap_ok(true, "switched");
	tap_done();
}

/* A sample is a batch of faults, one of which may evict for all. */
static void faults(unsigned id)
{
	struct row *r = &rows[id];
	unsigned share = FOREIGN_SPAN / cpus, page = 0;

	r->count = 0;
	for (unsigned n = 0; n < WARM_UP + SAMPLES; n++) {
		uint64_t start = rdtsc();

		for (unsigned i = 0; i < FAULTS; i++) {
			*(volatile char *)(AT_WINDOW + (id * share + page) * PAGE_SIZE) = 1;
			page = page + 1 < share ? page + 1 : 0;
		}
		if (n >= WARM_UP)
			add(r, rdtsc() - start);
	}
}

/* All vCPUs, each in its part of a window onto the memory of the domain before, which stands still.
 */
static void all_fault(void)
{
	uint32_t peer = self_domain() - 1;
	struct keyhole_window_stats stats;
	grant_handle_t mapping;
	struct bench_control *control = (struct bench_control *)HOLE;

	tap_ok(
	    WAIT_UNTIL(grant_map(peer, REF_CONTROL, HOLE, GNTMAP_host_map, &mapping) == GNTST_okay),
	    "domain %u grants a page", peer);
	tap_is(hypercall(__HYPERVISOR_keyhole_control, KEYHOLE_CONTROL_PAUSE, peer, 0), 0,
	       "and stands still");
	long window = hypercall5(
	    __HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN(KEYHOLE_WINDOW_OPEN, peer),
	    FOREIGN_START / PAGE_SIZE, AT_WINDOW / PAGE_SIZE, FOREIGN_SPAN, FOREIGN_SPAN / 3);
	tap_ok(window >= 0, "a window onto its memory");
	others_do(faults);
	faults(0);
	others_are_done();
	tap_is(hypercall(__HYPERVISOR_keyhole_foreign, KEYHOLE_WINDOW_STATS, (unsigned long)window,
			 (unsigned long)&stats),
	       0, "statistics");
	tap_ok(stats.faults >= (uint64_t)cpus * (WARM_UP + SAMPLES) * FAULTS * 98 / 100,
	       "nearly each touch was a fault (%lu)", (unsigned long)stats.faults);
	print("demand_fault", &rows[0], FAULTS);
	control->done = 1;
	hypercall(__HYPERVISOR_keyhole_control, KEYHOLE_CONTROL_RESUME, peer, 0);
	tap_done();
}

int main(void)
{
	cpus = (unsigned)option_number("switch", 0);
	if (cpus)
		switches();
	cpus = cpu_count();
	apic_enable();
	interrupt_set(VECTOR, on_vector);
	interrupt_set(TIMER, on_vector);
	for (unsigned id = 1; id < cpus; id++)
		if (!cpu_start(id, works))
			tap_bail_out("processor %u does not start", id);
	if (option("faults"))
		all_fault();
	ipi("ipi", ICR_TO(cpus > 1), cpus > 1);
	others_are_done();
	if (cpus > 1)
		ipi("ipi_all", ICR_OTHERS, cpus - 1);
	others_are_done();
	others_do(timers);
	timers(0);
	others_are_done();
	print("timer", &rows[0], 1);
	tap_is(shootdown(), 0, "pages went and came");
	others_are_done();
	tap_done();
}
