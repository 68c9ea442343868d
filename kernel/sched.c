/*
 * The scheduler: which vCPU runs where, and who wakes it.
 *
 * State: a run queue for each CPU, in shared memory. Lock: the queue's, a leaf: at most one is held
 * at a time, and nothing but the console's is taken under it. It protects state and cpu of the
 * vCPUs that belong to that CPU, running and blocked ones too; who finds that a vCPU has moved
 * tries again.
 *
 * A CPU without a vCPU to run takes one from another's queue. A vCPU that is still loaded where it
 * ran last (its VMCS is active there) stays for that CPU; one that was replaced there is unloaded,
 * VMCS cleared, and may go anywhere that its domain's pin= allows. One whose domain has used what
 * its cap allows is set aside, on no queue, until its timer makes it runnable again.
 *
 * No wake-up is lost: who wakes sets a request or an interrupt, then looks at the state; who blocks
 * sets the state, then looks for requests, both by locked operations. So one of them sees the
 * other. Holds no register of any guest.
 */
#include "kernel/sched.h"
#include "cpu.h"
#include "domain.h"
#include "drivers/tsc.h"
#include "kernel/cap.h"
#include "kernel/chores.h"
#include "kernel/cmdline.h"
#include "kernel/domain.h"
#include "kernel/lifecycle.h"
#include "kernel/monitor.h"
#include "kernel/run_queue.h"
#include "kernel/runstate.h"
#include "kernel/smp.h"
#include "kernel/timer.h"
#include "mm/audit.h"
#include "mm/frame.h"
#include "percpu.h"
#include "public/vcpu.h"

#define SLICE_US 2000ull

static struct run_queue queues[LAYOUT_CPUS_MAX] = {
    [0 ... LAYOUT_CPUS_MAX - 1] = {.lock = LOCK_INIT(LOCK_RUN_QUEUE)}};

static uint64_t slice_ticks(void)
{
	return SLICE_US * tsc_khz() / 1000;
}

static bool ended(const struct vcpu_shared *v)
{
	return atomic_load(&v->domain->end) != END_NONE;
}

static bool paused(const struct vcpu_shared *v)
{
	return atomic_load(&v->domain->paused) || atomic_load(&v->inspected);
}

static struct run_queue *lock_queue_of(const struct vcpu_shared *v)
{
	for (;;) {
		uint32_t cpu = atomic_load(&v->cpu);

		lock_acquire(&queues[cpu].lock);
		if (atomic_load(&v->cpu) == cpu)
			return &queues[cpu];
		lock_release(&queues[cpu].lock);
	}
}

/* The lock of its queue is held, or nobody else looks at it any more. */
static void set_state(struct vcpu_shared *v, enum vcpu_state state)
{
	static const uint8_t runstates[] = {
	    [VCPU_PARKED] = RUNSTATE_offline,  [VCPU_RUNNABLE] = RUNSTATE_runnable,
	    [VCPU_RUNNING] = RUNSTATE_running, [VCPU_BLOCKED] = RUNSTATE_blocked,
	    [VCPU_CAPPED] = RUNSTATE_runnable, [VCPU_DOWN] = RUNSTATE_offline,
	    [VCPU_PAUSED] = RUNSTATE_offline,  [VCPU_ENDED] = RUNSTATE_offline};
	uint64_t now = rdtsc();

	atomic_store(&v->state, state);
	if (v->runstate.state == runstates[state])
		return;
	/* Another CPU's clock may be a little behind. */
	if (now > v->runstate.since)
		v->runstate.ticks[v->runstate.state] += now - v->runstate.since;
	v->runstate.state = runstates[state];
	v->runstate.since = now;
}

/* --- waking ----------------------------------------------------------------------------------- */

static bool waits(enum vcpu_state state)
{
	return state != VCPU_RUNNABLE && state != VCPU_RUNNING && state != VCPU_ENDED;
}

/* Whether a vCPU that waits has something to wake up for. */
static bool wakeable(const struct vcpu_shared *v, enum vcpu_state state)
{
	uint32_t requests = atomic_load(&v->requests);

	if (ended(v))
		return true;
	if (state == VCPU_CAPPED)
		return false;
	if (state == VCPU_PAUSED)
		return !paused(v);
	if (requests & VCPU_REQUEST_WATCHDOG)
		return true;
	if (state == VCPU_PARKED)
		return requests & (VCPU_REQUEST_SIPI | VCPU_REQUEST_START);
	if (atomic_load(&v->down)) /* a start-up follows */
		return requests & VCPU_REQUEST_INIT;
	return state == VCPU_DOWN || requests & ~(uint32_t)VCPU_REQUEST_UPCALL ||
	       (atomic_load(&v->wakes_on_interrupt) && vcpu_interrupt_posted(v));
}

/*
 * v waits on a queue: wakes a CPU that sleeps, has not been woken yet, and may take it. False:
 * there is none, or v is still loaded.
 */
static bool offer(const struct vcpu_shared *v)
{
	for (uint32_t cpu = 0; cpu < smp_cpu_count() && !atomic_load(&v->loaded); cpu++) {
		const struct cpu_shared *c = &cpu_shared[cpu];

		if (!atomic_load(&c->idle) || !atomic_load(&c->runs_guests) ||
		    atomic_load(&c->entry_work) & ENTRY_WORK_RESCHEDULE ||
		    !cpu_set_has(&v->domain->pin, cpu))
			continue;
		cpu_kick(cpu, ENTRY_WORK_RESCHEDULE);
		return true;
	}
	return false;
}

/* v has become runnable on that CPU, where something runs (busy) that it may go before (preempt).
 */
static void announce(const struct vcpu_shared *v, uint32_t cpu, bool preempt, bool busy)
{
	if (!busy || (!offer(v) && preempt))
		cpu_kick(cpu, ENTRY_WORK_RESCHEDULE);
}

/* v runs again if it waits and has a reason to run; capped: its wait for the cap is over. */
static void wake(struct vcpu_shared *v, bool capped)
{
	struct run_queue *q = lock_queue_of(v);
	enum vcpu_state state = (enum vcpu_state)atomic_load(&v->state);
	bool wakes = waits(state) && ((capped && state == VCPU_CAPPED) || wakeable(v, state));
	uint32_t cpu = atomic_load(&v->cpu);
	const struct vcpu_shared *running = q->running;
	bool preempt = false;

	if (wakes) {
		set_state(v, VCPU_RUNNABLE);
		run_queue_wake(q, v, slice_ticks());
		preempt = running && (int64_t)(v->virtual_time - running->virtual_time) < 0;
	}
	lock_release(&q->lock);
	if (!wakes)
		return;
	trace_vcpu(TRACE_WAKE, v, cpu);
	announce(v, cpu, preempt, running != NULL);
}

void sched_uncap(struct vcpu_shared *v)
{
	wake(v, true);
}

void vcpu_kick(struct vcpu_shared *v)
{
	enum vcpu_state state = (enum vcpu_state)atomic_load(&v->state);

	if (state == VCPU_RUNNING)
		cpu_kick(atomic_load(&v->cpu), ENTRY_WORK_VCPU);
	else if (waits(state) && atomic_load(&v->cpu) != VCPU_NO_CPU) /* else sched_add() looks */
		wake(v, false);
}

/* --- leaving ---------------------------------------------------------------------------------- */

void vcpu_yield(void)
{
	this_cpu()->current->yields = true;
	atomic_fetch_or(&this_cpu()->shared->entry_work, ENTRY_WORK_RESCHEDULE);
}

void vcpu_block(bool interrupts_on)
{
	struct vcpu_shared *v = this_cpu()->current;

	atomic_store(&v->wakes_on_interrupt, interrupts_on);
	if (wakeable(v, VCPU_BLOCKED))
		return;
	v->blocking = true;
	atomic_fetch_or(&this_cpu()->shared->entry_work, ENTRY_WORK_RESCHEDULE);
}

/* Its domain has ended. The last vCPU has it taken apart, on this CPU. */
static void retire(struct vcpu_shared *v)
{
	struct domain *d = v->domain;

	if (this_cpu()->current == v)
		vcpu_load(NULL);
	timers_cancel(v);
	set_state(v, VCPU_ENDED);
	if (atomic_fetch_sub(&d->vcpus_alive, 1) == 1)
		domain_finish(d);
}

/* v has run and used so much time from start on: what becomes of it. */
static void put_back(struct run_queue *q, struct vcpu_shared *v, uint64_t start, uint64_t ticks)
{
	_Atomic uint64_t *sum = &v->domain->cpu_ticks[cpu_index()];

	atomic_store_explicit(sum, *sum + ticks, memory_order_relaxed);
	cap_charge(v->domain, start, ticks);
	lock_acquire(&q->lock);
	bool blocks = v->blocking || v->waits_for_sipi || atomic_load(&v->down);
	enum vcpu_state waiting = v->waits_for_sipi ? VCPU_PARKED
				  : v->blocking	    ? VCPU_BLOCKED
						    : VCPU_DOWN;

	q->running = NULL;
	v->blocking = false;
	run_queue_charge(v, ticks);
	if (blocks) {
		set_state(v, waiting);
		blocks = !wakeable(v, waiting);
	}
	if (!blocks) {
		set_state(v, VCPU_RUNNABLE);
		if (v->yields)
			run_queue_yield(q, v);
		else
			run_queue_add(q, v);
	}
	v->yields = false;
	lock_release(&q->lock);
	runstate_show(v);
	if (blocks)
		domain_check_blocked(v->domain);
}

/* v, which has been taken to be run, waits instead, unless it has a reason to run by now: who gave
 * it one may have seen it running. */
static void set_down(struct run_queue *q, struct vcpu_shared *v, enum vcpu_state waiting)
{
	lock_acquire(&q->lock);
	q->running = NULL;
	set_state(v, waiting);
	if (wakeable(v, waiting)) {
		set_state(v, VCPU_RUNNABLE);
		run_queue_add(q, v);
	}
	lock_release(&q->lock);
}

/* The domain of v, which has been taken to be run, may not run before that time. */
static void set_aside(struct run_queue *q, struct vcpu_shared *v, uint64_t until)
{
	/* Before v can be taken by another CPU, which may end it. It does not fire meanwhile: this
	 * CPU looks at its timers later. */
	vcpu_cap_timer_set(v, until);
	set_down(q, v, VCPU_CAPPED);
}

/* --- choosing --------------------------------------------------------------------------------- */

/* Whether CPU *ctx may take it from another one. */
static bool may_move(const struct vcpu_shared *v, void *ctx)
{
	return !atomic_load(&v->loaded) && cpu_set_has(&v->domain->pin, *(uint32_t *)ctx);
}

/* The next of this CPU's own queue. */
static struct vcpu_shared *take(struct run_queue *q)
{
	lock_acquire(&q->lock);
	struct vcpu_shared *v = run_queue_take(q, NULL, NULL);

	if (v)
		set_state(v, VCPU_RUNNING);
	q->running = v;
	lock_release(&q->lock);
	return v;
}

/* One of another CPU's, for this one, which has none. */
static struct vcpu_shared *steal(struct run_queue *own)
{
	uint32_t me = cpu_index(), count = smp_cpu_count();

	for (uint32_t n = 1; n < count; n++) {
		struct run_queue *q = &queues[(me + n) % count];

		if (!atomic_load_explicit(&q->waiting, memory_order_relaxed))
			continue;
		lock_acquire(&q->lock);
		struct vcpu_shared *v = run_queue_take(q, may_move, &me);
		uint64_t from_time = q->virtual_time;
		if (v) {
			atomic_store(&v->cpu, me);
			set_state(v, VCPU_RUNNING);
		}
		lock_release(&q->lock);
		if (!v)
			continue;
		lock_acquire(&own->lock);
		run_queue_arrive(own, v, from_time);
		own->running = v;
		lock_release(&own->lock);
		return v;
	}
	return NULL;
}

/* The map is asked for: once, of a machine at work, with the first guest's registers in place. */
static void print_map_once(void)
{
	if (!cmdline_options.map || cpu_index())
		return;
	cmdline_options.map = false;
	audit_print_table();
	audit_print_map();
}

static void run(struct run_queue *q, struct vcpu_shared *v)
{
	uint64_t start = rdtsc();
	const struct vcpu_shared *old = this_cpu()->current;

	vcpu_load(v);
	if (old && old != v && atomic_load(&old->state) == VCPU_RUNNABLE)
		(void)offer(old); /* from now on others may have it */
	timers_follow(v);
	runstate_show(v);
	/* What was asked while it was queued: vcpu_kick() left it to us. */
	if (vcpu_pending(v) || atomic_load(&v->down))
		atomic_fetch_or(&this_cpu_shared()->entry_work, ENTRY_WORK_VCPU);
	vcpu_run(slice_ticks());
	print_map_once();
	put_back(q, v, start, rdtsc() - start);
	if (atomic_load_explicit(&q->waiting, memory_order_relaxed) <= 1) /* gives way to nobody */
		(void)frame_scrub_ahead();
}

bool sched_turn(void)
{
	struct run_queue *q = &queues[cpu_index()];
	bool busy = chores_due(q) && chores_done(q, domain_finish_step() || domain_create_step());

	busy |= monitor_turn();
	if (this_cpu()->current && atomic_load(&this_cpu()->current->inspected))
		vcpu_load(NULL);
	if (!atomic_load_explicit(&this_cpu_shared()->runs_guests, memory_order_relaxed))
		return busy;
	struct vcpu_shared *v = take(q);
	if (!v)
		v = steal(q);
	if (!v) {
		/* Nothing of a guest is mapped while the CPU sleeps. */
		busy |= this_cpu()->current != NULL;
		vcpu_load(NULL);
		return busy;
	}
	if (ended(v)) {
		lock_acquire(&q->lock);
		q->running = NULL;
		lock_release(&q->lock);
		retire(v);
		return true;
	}
	uint64_t until = atomic_load(&v->domain->cap_until);
	if (paused(v)) {
		if (this_cpu()->current == v)
			vcpu_load(NULL);
		set_down(q, v, VCPU_PAUSED);
	} else if (until > rdtsc()) {
		set_aside(q, v, until);
	} else {
		run(q, v);
	}
	return true;
}

void sched_runstate(struct vcpu_shared *v, struct vcpu_runstate_info *out)
{
	struct run_queue *q = lock_queue_of(v);
	uint64_t now = rdtsc(), in_state = now > v->runstate.since ? now - v->runstate.since : 0;

	out->state = (int32_t)v->runstate.state;
	out->state_entry_time = v->runstate.since;
	for (unsigned i = 0; i < array_size(out->time); i++)
		out->time[i] = v->runstate.ticks[i];
	out->time[out->state] += in_state;
	lock_release(&q->lock);
}

/* --- all guests ------------------------------------------------------------------------------- */

void sched_add(struct vcpu_shared *v)
{
	static uint32_t next;
	uint32_t count = smp_cpu_count();

	/* domain_create() has made sure that there is one. */
	while (!atomic_load(&cpu_shared[next % count].runs_guests) ||
	       !cpu_set_has(&v->domain->pin, next % count))
		next++;
	uint32_t cpu = next++ % count;
	struct run_queue *q = &queues[cpu];

	lock_acquire(&q->lock);
	atomic_store(&v->cpu, cpu);
	v->runstate.state = RUNSTATE_offline; /* until now, since its domain was made */
	v->runstate.since = -v->domain->tsc_offset;
	set_state(v, (enum vcpu_state)atomic_load(&v->state));
	if (atomic_load(&v->state) == VCPU_RUNNABLE)
		run_queue_wake(q, v, 0); /* nothing was saved up before it was there */
	lock_release(&q->lock);
	cpu_kick(cpu, ENTRY_WORK_RESCHEDULE);
	vcpu_kick(v); /* its domain may have been ended before */
}

void sched_run(void)
{
	while (!domains_gone())
		smp_turn();
}
