/* sources: kernel/sched.c kernel/pause.c kernel/smp.c kernel/run_queue.c kernel/chores.c kernel/cap.c kernel/vcpu_timer.c kernel/timer.c kernel/timer_heap.c tests/unit/fake_heap.c tests/unit/quiet.c */
/* flags: -include tests/unit/fake_clock.h -ffunction-sections -Wl,--gc-sections */
/*
 * The scheduler on simulated processors. Each has a clock of its own, and the one that is most
 * behind has the next turn of its loop. A guest does nothing but use time: it moves its processor's
 * clock on to the end of its slice or the next timer.
 */
#include "boot_info.h"
#include "domain.h"
#include "drivers/acpi.h"
#include "drivers/apic.h"
#include "drivers/tsc.h"
#include "fake_heap.h"
#include "kernel/cmdline.h"
#include "kernel/console_input.h"
#include "kernel/domain.h"
#include "kernel/guest_devices.h"
#include "kernel/lifecycle.h"
#include "kernel/monitor.h"
#include "kernel/runstate.h"
#include "kernel/sched.h"
#include "kernel/smp.h"
#include "kernel/timer.h"
#include "kernel/traps.h"
#include "mm/audit.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/private.h"
#include "mm/window.h"
#include "public/vcpu.h"
#include "tap.h"
#include "vcpu.h"

#define CPUS	   4u
#define OUTSIDE	   CPUS /* who asks for things */
#define KHZ	   1000000u
#define MS	   ((uint64_t)KHZ)
#define TURN_COST  500u /* ticks of a turn of the loop */
#define ENTRY_COST 500u /* of a guest that is let run, however short */

/* --- the machine ------------------------------------------------------------------------------ */

struct cpu_shared cpu_shared[LAYOUT_CPUS_MAX];
_Thread_local struct cpu_private test_cpu;
static struct cpu_private cpus[CPUS + 1];
static struct {
	uint64_t now, alarm;
	bool asleep;
} sim[CPUS + 1];
static bool kept_awake; /* by frames to be scrubbed */

uint64_t fake_rdtsc(void)
{
	return sim[test_cpu.index].now;
}
void fake_sleep(void)
{
	sim[test_cpu.index].asleep = true;
}
uint64_t tsc_khz(void)
{
	return KHZ;
}
void tsc_delay_us(uint64_t us)
{
	(void)us;
}
void apic_timer_init(void) {}
void apic_timer_arm(uint64_t deadline)
{
	sim[test_cpu.index].alarm = deadline;
}
uint32_t apic_id(void)
{
	return 0;
}
void apic_send_init(uint32_t to)
{
	(void)to;
}
void apic_send_startup(uint32_t to, uint8_t page)
{
	(void)to;
	(void)page;
}
/* One that runs a guest has run it to the end of the slice already. */
void apic_send_ipi(uint32_t to, unsigned vector)
{
	(void)vector;
	if (sim[to].asleep && sim[to].now < fake_rdtsc())
		sim[to].now = fake_rdtsc();
	sim[to].asleep = false;
}
void traps_set_interrupt(unsigned vector, void (*fn)(unsigned vector))
{
	(void)vector;
	(void)fn;
}

/* Start-up of the processors. */
struct acpi_info acpi_info = {.cpu_count = CPUS};
struct boot_info boot_info = {.range_count = 1};
__asm__(".data\n.globl ap_trampoline, ap_trampoline_end, ap_gdt_base, ap_far32, ap_far64\n"
	".globl ap_gdt, ap_start32, ap_start64\n"
	"ap_trampoline: ap_gdt_base: ap_far32: ap_far64: ap_gdt: ap_start32: ap_start64:\n"
	".skip 16\nap_trampoline_end:\n.text");
int private_create(uint32_t cpu, mfn_t *root)
{
	(void)cpu;
	*root = make_mfn(0);
	return 0;
}
void private_map_trampoline(mfn_t frame)
{
	(void)frame;
}
void private_unmap_trampoline(void) {}
void window_scrub(mfn_t first, unsigned order)
{
	(void)first;
	(void)order;
}
void *window_open(enum window_slot slot, mfn_t frame)
{
	static uint8_t page[PAGE_SIZE];

	(void)slot;
	(void)frame;
	return page;
}
void window_close(enum window_slot slot)
{
	(void)slot;
}

/* --- the rest of the hypervisor --------------------------------------------------------------- */

struct cmdline_options cmdline_options;
static struct domain *finished; /* the last one */

void console_input_turn(void) {}
void console_later_turn(void) {}
bool monitor_turn(void)
{
	return false;
}
bool fake_heap_fails(void)
{
	return false;
}
noreturn_fn void panic(const char *fmt, ...)
{
	printf("Bail out! panic: %s\n", fmt);
	abort();
}
void audit_print_table(void) {}
void audit_print_map(void) {}
void epoch_quiescent(void) {}
bool epoch_pending(void)
{
	return false;
}
bool frame_scrub_ahead(void)
{
	return kept_awake;
}
bool guest_console_drain(void)
{
	return false;
}
bool domain_create_step(void)
{
	return false;
}
bool domain_finish_step(void)
{
	return false;
}
void domain_finish(struct domain *d)
{
	finished = d;
}
bool domains_gone(void)
{
	return false;
}
void domain_check_blocked(struct domain *d)
{
	(void)d;
}
static unsigned shown;
void runstate_show(struct vcpu_shared *v)
{
	(void)v;
	shown++;
}

void vcpu_load(struct vcpu_shared *v)
{
	struct vcpu_shared *old = this_cpu()->current;

	this_cpu()->current = v;
	if (old && old != v)
		atomic_store(&old->loaded, false);
	if (v)
		atomic_store(&v->loaded, true);
}

static bool must_leave(const struct vcpu_shared *v)
{
	uint32_t work = atomic_fetch_and(&this_cpu_shared()->entry_work,
					 ENTRY_WORK_EPOCH | ENTRY_WORK_HOST_FLUSH);

	return work & ENTRY_WORK_RESCHEDULE || atomic_load(&v->domain->end) != END_NONE;
}

static uint64_t ran[DOMAINS_MAX]; /* in guest mode, by id */

/* Looks at entry work as vmx/flush.c does: what is marked on the way in ends the run there. */
void vcpu_run(uint64_t slice_ticks)
{
	uint64_t *now = &sim[cpu_index()].now, end = *now + slice_ticks, next = timers_run();

	*now += ENTRY_COST;
	while (!must_leave(this_cpu()->current) && *now < end &&
	       !atomic_load(&this_cpu()->current->down)) {
		uint64_t until = next < end ? next : end;

		ran[this_cpu()->current->domain->id] += until - *now;
		*now = until;
		next = timers_run();
	}
}

/* --- guests ----------------------------------------------------------------------------------- */

struct guest {
	struct domain *domain;
	uint64_t used; /* when the measurement began */
};

static void be(uint32_t cpu)
{
	cpus[test_cpu.index] = test_cpu;
	test_cpu = cpus[cpu];
}

/* On no queue yet. */
static struct guest made(uint32_t vcpus, uint32_t weight, uint32_t cap)
{
	static domid_t ids;
	struct domain *d = calloc(1, sizeof(*d) + CPUS * sizeof(uint64_t));

	d->id = ++ids % DOMAINS_MAX;
	d->cpu_ticks = (_Atomic uint64_t *)(d + 1);
	d->cap_percent = cap;
	d->vcpu_count = vcpus;
	d->vcpus_alive = vcpus;
	for (uint32_t cpu = 0; cpu < CPUS; cpu++)
		cpu_set_add(&d->pin, cpu);
	for (uint32_t i = 0; i < vcpus; i++) {
		struct vcpu_shared *v = calloc(1, sizeof(*v));

		d->vcpus[i] = v;
		v->domain = d;
		v->id = i;
		v->weight = weight;
		atomic_store(&v->state, VCPU_RUNNABLE);
		atomic_store(&v->cpu, VCPU_NO_CPU);
		if (vcpu_timer_create(v))
			abort();
	}
	return (struct guest){.domain = d, .used = ran[d->id]};
}

static struct guest guest(uint32_t vcpus, uint32_t weight, uint32_t cap)
{
	struct guest g = made(vcpus, weight, cap);

	for (uint32_t i = 0; i < vcpus; i++)
		sched_add(g.domain->vcpus[i]);
	return g;
}

/* Time that it has run since, on all processors. */
static uint64_t used(const struct guest *g)
{
	return ran[g->domain->id] - g->used;
}

/* All processors go on for so long. */
static void go_on(uint64_t ticks)
{
	uint64_t until = sim[0].now + ticks;

	for (;;) {
		uint32_t next = CPUS;

		for (uint32_t cpu = 0; cpu < smp_cpu_count(); cpu++) {
			if (sim[cpu].asleep && sim[cpu].alarm <= sim[cpu].now)
				sim[cpu].asleep = false;
			if (next == CPUS || sim[cpu].now < sim[next].now)
				next = cpu;
		}
		if (sim[next].now >= until)
			break;
		be(next);
		if (sim[next].asleep) { /* to its alarm, or the others' time */
			sim[next].now += TURN_COST;
			continue;
		}
		sim[next].alarm = UINT64_MAX;
		sim[next].now += TURN_COST;
		atomic_store(&cpu_shared[next].idle, false);
		smp_turn();
		atomic_store(&cpu_shared[next].idle, sim[next].asleep);
	}
	be(OUTSIDE);
	sim[OUTSIDE].now = until;
}

static void end(struct guest *g)
{
	struct domain *d = g->domain;

	d->end = END_DESTROYED;
	for (uint32_t i = 0; i < d->vcpu_count; i++)
		vcpu_kick(d->vcpus[i]);
	go_on(10 * MS);
	ok(finished == d && !d->vcpus_alive, "a guest that is ended goes");
	for (uint32_t i = 0; i < d->vcpu_count; i++) {
		ok(!timers_armed(d->vcpus[i]), "with its timers");
		vcpu_timer_destroy(d->vcpus[i]);
		free(d->vcpus[i]);
	}
	free(d);
}

static bool about(uint64_t value, uint64_t wanted)
{
	return value * 100 >= wanted * 95 && value * 100 <= wanted * 105;
}

/* --- tests ------------------------------------------------------------------------------------ */

static enum vcpu_state state(const struct guest *g)
{
	return (enum vcpu_state)atomic_load(&g->domain->vcpus[0]->state);
}

static void until_capped(const struct guest *g)
{
	for (unsigned n = 0; n < 1000 && state(g) != VCPU_CAPPED; n++)
		go_on(TURN_COST);
	is(state(g), VCPU_CAPPED, "it waits for its cap");
}

/* Whatever keeps its processor from sleeping meanwhile. */
static void caps(bool awake)
{
	kept_awake = awake;
	struct guest g = guest(1, 256, 25);

	go_on(200 * MS);
	ok(about(used(&g), 50 * MS), "capped to a quarter (%" PRIu64 " of 200 ms)", used(&g) / MS);

	until_capped(&g);
	domain_pause(g.domain);
	g.used += used(&g);
	go_on(100 * MS);
	is(state(&g), VCPU_PAUSED, "paused while it waits for its cap");
	is(used(&g), 0, "it does not run");
	domain_resume(g.domain);
	go_on(200 * MS);
	ok(about(used(&g), 50 * MS), "resumed, it has its quarter (%" PRIu64 " of 200 ms)",
	   used(&g) / MS);

	until_capped(&g);
	domain_pause(g.domain);
	domain_resume(g.domain);
	g.used += used(&g);
	go_on(200 * MS);
	ok(about(used(&g), 50 * MS), "and if it was resumed before its cap let it run");

	until_capped(&g);
	end(&g);

	g = guest(1, 256, 25);
	go_on(20 * MS);
	until_capped(&g);
	domain_pause(g.domain);
	go_on(20 * MS);
	is(state(&g), VCPU_PAUSED, "one that is paused");
	end(&g);
	kept_awake = false;
}

static void shares(uint32_t vcpus)
{
	struct guest one = guest(vcpus, 100, 0), three = guest(vcpus, 300, 0);

	go_on(100 * MS);
	one.used = used(&one);
	three.used = used(&three);
	go_on(1000 * MS);
	diag("%u CPUs, %u vCPUs each: %" PRIu64 " and %" PRIu64 " ms", smp_cpu_count(), vcpus,
	     used(&one) / MS, used(&three) / MS);
	ok(about(used(&three), 3 * used(&one)), "weights 1 to 3");
	end(&one);
	end(&three);
}

/* What a vCPU was, in ticks; all of it, from the making of its domain on. */
static struct vcpu_runstate_info times(struct guest *g)
{
	struct vcpu_runstate_info info;
	uint64_t all = 0, made = -g->domain->tsc_offset;

	be(0);
	sched_runstate(g->domain->vcpus[0], &info);
	for (unsigned i = 0; i < 4; i++)
		all += info.time[i];
	ok(all == sim[0].now - made, "all of its time is one state's or another's");
	be(OUTSIDE);
	return info;
}

static void ups_and_downs(void)
{
	struct guest g = guest(1, 256, 0), other = guest(1, 256, 0);
	struct vcpu_shared *v = g.domain->vcpus[0];

	shown = 0;
	go_on(400 * MS);
	struct vcpu_runstate_info t = times(&g);
	ok(about(t.time[RUNSTATE_running], 200 * MS) && about(t.time[RUNSTATE_runnable], 200 * MS),
	   "half of the time it ran, half it was to run");
	ok(!t.time[RUNSTATE_blocked] && shown > 200, "which is shown at each switch");
	atomic_store(&v->down, true);
	vcpu_kick(v);
	go_on(20 * MS);
	is(state(&g), VCPU_DOWN, "taken down");
	g.used += used(&g);
	vcpu_kick(v);
	atomic_store(&v->posted[1], 1);
	atomic_store(&v->wakes_on_interrupt, true);
	vcpu_kick(v);
	go_on(380 * MS);
	is(used(&g), 0, "it does not run");
	t = times(&g);
	is(t.state, RUNSTATE_offline, "it is offline");
	ok(about(t.time[RUNSTATE_offline], 390 * MS), "for so long");
	atomic_store(&v->posted[1], 0);
	atomic_store(&v->down, false);
	vcpu_kick(v);
	go_on(100 * MS);
	ok(about(used(&g), 50 * MS), "up again, it has its half");
	/* It waits, is taken down, and what wakes it comes meanwhile. */
	atomic_store(&v->down, true);
	v->blocking = true;
	vcpu_kick(v);
	go_on(20 * MS);
	is(state(&g), VCPU_BLOCKED, "taken down while it waits");
	atomic_fetch_or(&v->requests, VCPU_REQUEST_WAKE);
	vcpu_kick(v);
	go_on(20 * MS);
	is(state(&g), VCPU_BLOCKED, "it stays down");
	atomic_store(&v->down, false);
	vcpu_kick(v);
	g.used += used(&g);
	go_on(100 * MS);
	ok(used(&g) > 30 * MS, "up, it has not missed it");
	atomic_store(&v->requests, 0);
	atomic_store(&v->down, true);
	vcpu_kick(v);
	go_on(20 * MS);
	atomic_fetch_or(&v->requests, VCPU_REQUEST_WATCHDOG);
	vcpu_kick(v);
	be(0);
	ok(atomic_load(&v->state) != VCPU_DOWN, "a watchdog's end reaches it all the same");
	be(OUTSIDE);
	end(&g);
	end(&other);
}

/* A guest with the right to ends another, whose vCPUs are just being put on queues. */
static void ended_before_it_starts(void)
{
	struct guest busy = guest(CPUS, 256, 0), g = made(3, 256, 0);
	struct domain *d = g.domain;

	for (uint32_t i = 1; i < 3; i++) {
		d->vcpus[i]->waits_for_sipi = true;
		atomic_store(&d->vcpus[i]->state, VCPU_PARKED);
	}
	sched_add(d->vcpus[2]);
	d->end = END_DESTROYED;
	for (uint32_t i = 0; i < 3; i++)
		vcpu_kick(d->vcpus[i]);
	go_on(10 * MS);
	is(d->vcpus_alive, 2, "the one that was there is gone");
	sched_add(d->vcpus[1]);
	sched_add(d->vcpus[0]);
	go_on(10 * MS);
	is(d->vcpus_alive, 0, "the others go when they come, once each");
	end(&g);
	end(&busy);
}

static void late(void)
{
	struct guest old = guest(1, 256, 0), young;

	go_on(1000 * MS);
	young = guest(1, 256, 0);
	old.used = used(&old);
	go_on(200 * MS);
	ok(about(used(&young), 100 * MS),
	   "one that is made later gets its half, no more (%" PRIu64 " of 200 ms)",
	   used(&young) / MS);
	end(&old);
	end(&young);
}

int main(void)
{
	tap_no_plan();
	for (uint32_t cpu = 0; cpu <= CPUS; cpu++) {
		cpus[cpu] = (struct cpu_private){.index = cpu, .shared = &cpu_shared[cpu]};
		cpu_shared[cpu].apic_id = cpu;
		if (cpu == OUTSIDE)
			break;
		acpi_info.apic_ids[cpu] = cpu;
		atomic_store(&cpu_shared[cpu].runs_guests, true);
		atomic_store(&cpu_shared[cpu].online, true);
	}
	test_cpu = cpus[OUTSIDE];
	boot_info.ranges[0].usable = true;
	boot_info.ranges[0].end = make_paddr(0x80000);
	ups_and_downs();
	ended_before_it_starts();
	caps(false);
	caps(true);
	late();
	shares(1);
	for (uint32_t count = 2; count <= CPUS; count *= 2) {
		for (uint32_t cpu = smp_cpu_count(); cpu < count; cpu++)
			sim[cpu].now = sim[0].now;
		is(smp_start(count, true), count, "processors start");
		shares(count);
	}
	return tap_end();
}
