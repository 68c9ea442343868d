/*
 * The domains that there are: finding them, and that they end.
 *
 * State: the table of domains, by id. An entry is written by who makes or takes apart the one
 * domain that has the id (domain_mark()), and read without a lock: who reads one in root mode may
 * use the domain until its CPU's next quiescent point, and domain_destroy() waits for all of these
 * before it frees anything (mm/epoch.h). An end reaches vCPUs on other CPUs by vcpu_kick().
 *
 * Locks: the domain's.
 */
#include "kernel/domain.h"
#include "kernel/evtchn.h"
#include "kernel/sched_op.h"
#include "kernel/timer.h"
#include "lock.h"

struct domain *_Atomic domain_table[DOMAINS_MAX + 1];
static struct domain *_Atomic owners[DOMAINS_MAX + 1]; /* by id, those being taken apart as well */

/* It can be found from now on. */
void domain_list(struct domain *d)
{
	atomic_store_explicit(&owners[d->id], d, memory_order_release);
	atomic_store_explicit(&domain_table[d->id], d, memory_order_release);
}

/* It is not found any more, but as the owner of its pages. */
void domain_unlist(domid_t id)
{
	atomic_store_explicit(&domain_table[id], NULL, memory_order_release);
}

/* Nor as that. */
void domain_disown(domid_t id)
{
	atomic_store_explicit(&owners[id], NULL, memory_order_release);
}

bool domain_listed(domid_t id)
{
	return atomic_load_explicit(&domain_table[id], memory_order_relaxed);
}

struct domain *domain_owning(domid_t id)
{
	return id <= DOMAINS_MAX ? atomic_load_explicit(&owners[id], memory_order_acquire) : NULL;
}

/*
 * The domain with the next higher id that is not being taken apart (it may have ended), or NULL.
 * Start with 0. As valid as from domain_find().
 */
struct domain *domain_next(domid_t after)
{
	for (unsigned id = after + 1u; id <= DOMAINS_MAX; id++) {
		struct domain *d = atomic_load_explicit(&domain_table[id], memory_order_acquire);
		if (d)
			return d;
	}
	return NULL;
}

void domain_for_each(bool (*fn)(struct domain *d, void *ctx), void *ctx)
{
	for (struct domain *d = domain_next(0); d; d = domain_next(d->id))
		if (!fn(d, ctx))
			return;
}

void domain_end(struct domain *d, enum domain_end why, uint64_t detail)
{
	lock_acquire(&d->lock);
	if (atomic_load_explicit(&d->end, memory_order_relaxed) == END_NONE) {
		d->end_detail = detail;
		atomic_store(&d->end, why); /* before states are looked at: kernel/sched.c */
		for (uint32_t i = 0; i < d->vcpu_count; i++)
			vcpu_kick(d->vcpus[i]);
	}
	lock_release(&d->lock);
}

/* Whether anything can ever wake a vCPU that waits: with interrupts off, none that is there
 * already.
 */
static bool can_be_woken(const struct vcpu_shared *v)
{
	return atomic_load(&v->requests) & ~(uint32_t)VCPU_REQUEST_UPCALL ||
	       (atomic_load(&v->wakes_on_interrupt) &&
		(vcpu_pending(v) || timers_armed(v) || evtchn_from_others(v->domain) ||
		 sched_op_watches(v->domain)));
}

/*
 * One of the vCPUs of d waits: the domain ends if they all do, and nothing can wake them. With
 * interrupts off, or never started, that is a good end: kernels halt so when they have nothing more
 * to do. Two that begin to wait at once both come here, with their state set: the later one sees
 * both. Takes the domain's lock.
 */
void domain_check_blocked(struct domain *d)
{
	bool alive = false, interrupts_on = false;

	lock_acquire(&d->lock);
	for (uint32_t i = 0; i < d->vcpu_count && !alive; i++) {
		const struct vcpu_shared *v = d->vcpus[i];
		uint32_t state = atomic_load(&v->state);

		if (state != VCPU_PARKED && state != VCPU_DOWN && state != VCPU_BLOCKED) {
			alive = true;
		} else if (state == VCPU_BLOCKED && !atomic_load(&v->down)) {
			alive = can_be_woken(v);
			interrupts_on |= atomic_load(&v->wakes_on_interrupt);
		}
	}
	lock_release(&d->lock);
	if (!alive)
		domain_end(d, interrupts_on ? END_BLOCKED : END_HALTED, 0);
}
