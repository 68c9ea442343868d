/*
 * The scheduler: vCPUs take turns on the boot CPU, a slice each.
 *
 * State: the run queue, linked through vcpu_shared.run_next. Lock: sched_lock. For many CPUs: one
 * queue serves any number of them, since a vCPU is off the queue while it runs; queues of their own
 * come with the other CPUs. Holds no register of any guest.
 */
#include "kernel/sched.h"
#include "cpu.h"
#include "domain.h"
#include "drivers/tsc.h"
#include "kernel/cmdline.h"
#include "kernel/domain.h"
#include "lock.h"
#include "mm/audit.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "percpu.h"
#include "print.h"
#include "vcpu.h"

#define SLICE_US 2000ull

static struct lock sched_lock = LOCK_INIT;
static struct vcpu_shared *queue_head, *queue_tail;

static void enqueue(struct vcpu_shared *v)
{
	lock_acquire(&sched_lock);
	v->run_next = NULL;
	if (queue_tail)
		queue_tail->run_next = v;
	else
		queue_head = v;
	queue_tail = v;
	lock_release(&sched_lock);
}

static struct vcpu_shared *dequeue(void)
{
	lock_acquire(&sched_lock);
	struct vcpu_shared *v = queue_head;
	if (v) {
		queue_head = v->run_next;
		if (!queue_head)
			queue_tail = NULL;
	}
	lock_release(&sched_lock);
	return v;
}

/* Puts a runnable vCPU at the end of the queue. It is on no queue and runs nowhere. */
void sched_add(struct vcpu_shared *v)
{
	enqueue(v);
}

/* The current vCPU gives up the rest of its slice. */
void vcpu_yield(void)
{
	atomic_fetch_or(&this_cpu()->shared->entry_work, ENTRY_WORK_RESCHEDULE);
}

/*
 * The current vCPU waits for an event. With interrupts off that is the end of its domain, and a
 * good one: kernels halt so when they have nothing more to do. With interrupts on there is no
 * source yet that could wake it, so that it would wait for ever: its domain ends, and says so.
 */
void vcpu_block(bool interrupts_on)
{
	domain_end(this_cpu()->current->domain, interrupts_on ? END_BLOCKED : END_HALTED, 0);
}

static bool ended(const struct vcpu_shared *v)
{
	return atomic_load(&v->domain->end) != END_NONE;
}

/* The map is asked for: once, of a machine at work, with the first guest's registers in place. */
static void print_map_once(void)
{
	if (!cmdline_options.map)
		return;
	cmdline_options.map = false;
	audit_print_table();
	audit_print_map();
}

/* Runs all guests until the last has ended. */
void sched_run(void)
{
	struct vcpu_shared *v;

	while ((v = dequeue())) {
		if (!ended(v)) {
			atomic_store(&v->state, VCPU_RUNNING);
			vcpu_load(v);
			vcpu_run(SLICE_US * tsc_khz() / 1000);
			print_map_once();
		}
		if (!ended(v)) {
			atomic_store(&v->state, VCPU_RUNNABLE);
			enqueue(v);
			if (queue_head == v) /* gave way to nobody */
				(void)frame_scrub_ahead();
			continue;
		}
		atomic_store(&v->state, VCPU_ENDED);
		vcpu_load(NULL);
		domain_finish(v->domain);
	}
	vcpu_load(NULL);
	epoch_quiescent();
}
