/*
 * Taking domains apart, in bounded steps.
 *
 * State: in the domain, how far this has come. One CPU at a time does it, that which stopped the
 * domain's last vCPU (kernel/guests.c). Locks: the domain's.
 */
#include "kernel/demand.h"
#include "kernel/domain.h"
#include "kernel/grant.h"
#include "kernel/guest_devices.h"
#include "kernel/reservation.h"
#include "kernel/timer.h"
#include "kernel/trace.h"
#include "kernel/xen_state.h"
#include "lock.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "p2m.h"

/* Leaves of a p2m that one step of domain_destroy() takes out. */
#define DESTROY_LEAVES 16u

/* Phases of domain_destroy(), in order. */
enum {
	DESTROY_NONE,
	DESTROY_WAIT,	/* until nobody can find it */
	DESTROY_MAPS,	/* what it has mapped of others through grants */
	DESTROY_MEMORY, /* its address space: its own RAM and foreign pages */
	DESTROY_REVOKE, /* what others have mapped of its pages */
	DESTROY_OWNER,	/* until nobody can find it as the owner of a page */
	DESTROY_TABLES
};

struct leaves {
	unsigned count;
	struct {
		gfn_t gfn;
		uint64_t frame_count;
	} leaf[DESTROY_LEAVES];
};

static bool collect_leaf(gfn_t gfn, const struct p2m_entry *entry, void *ctx)
{
	struct leaves *l = ctx;

	l->leaf[l->count].gfn = gfn;
	l->leaf[l->count].frame_count = 1ull << entry->order;
	return ++l->count < DESTROY_LEAVES;
}

/*
 * Takes out a bounded number of mappings; true when none is left. References that grants hold by
 * their handles, and the domain's shared pages by themselves, go with the grant table. Nobody runs
 * on this p2m or looks into it any more, so that the frames may go at once.
 */
static bool release_memory_step(struct domain *d)
{
	struct leaves l = {.count = 0};

	p2m_for_each(&d->p2m, collect_leaf, &l);
	for (unsigned i = 0; i < l.count; i++) {
		uint64_t count = l.leaf[i].frame_count;

		/* 1 GiB in parts, so that a step is bounded, if there is a table to split it. */
		if (count > FRAMES_PER_2M &&
		    !p2m_unmap(&d->p2m, l.leaf[i].gfn, FRAMES_PER_2M, memory_put_removed, d))
			continue;
		if (p2m_unmap(&d->p2m, l.leaf[i].gfn, count, memory_put_removed, d))
			panic("d%u: a whole leaf of the p2m could not be taken out", d->id);
	}
	return l.count == 0;
}

static void destroy_vcpus(struct domain *d)
{
	while (d->vcpu_count) {
		struct vcpu_shared *v = d->vcpus[--d->vcpu_count];

		vcpu_timer_destroy(v);
		trace_keep(v);
		vcpu_destroy(v);
	}
}

static void free_tables(struct domain *d)
{
	xen_state_free(d);
	grant_table_free(d);
	p2m_destroy(&d->p2m);
}

static void free_remains(struct epoch_deferred *deferred)
{
	struct domain *d = container_of(deferred, struct domain, deferred);

	if (atomic_load(&d->p2m.tables.used)) {
		epoch_defer(&d->deferred, free_remains);
		return;
	}
	heap_free(d);
}

/* Undoes domain_create() as far as it came; the domain was never found by anybody. */
void domain_create_undo(struct domain *d)
{
	while (!xen_state_release_step(d))
		;
	destroy_vcpus(d);
	guest_devices_free(d);
	while (!release_memory_step(d))
		;
	free_tables(d);
	/* Tables may still wait for their epoch and be given back to its account: its remains go
	 * the same way. */
	epoch_defer(&d->deferred, free_remains);
}

static void mark_unreachable(struct epoch_deferred *deferred)
{
	struct domain *d = container_of(deferred, struct domain, deferred);

	atomic_store_explicit(&d->unreachable, true, memory_order_release);
}

/* From now on nobody new finds it: unreachable is set when those who have found it are done. */
static void wait_until_unreachable(struct domain *d)
{
	atomic_store_explicit(&d->unreachable, false, memory_order_relaxed);
	epoch_defer(&d->deferred, mark_unreachable);
}

/* A bounded step of the phase that d is in. True: it is over. */
static bool phase_step(struct domain *d)
{
	switch (d->destroy_phase) {
	case DESTROY_NONE:
		if (!demand_detach_step(d))
			return false;
		domain_unlist(d->id);
		wait_until_unreachable(d);
		return true;
	case DESTROY_WAIT:
		if (!atomic_load_explicit(&d->unreachable, memory_order_acquire) ||
		    !xen_state_release_step(d))
			return false;
		destroy_vcpus(d);
		guest_devices_free(d);
		demand_free_all(d);
		lock_acquire(&d->lock);
		d->maps_closed = true;
		lock_release(&d->lock);
		return true;
	case DESTROY_MAPS:
		return grant_maps_release_step(d);
	case DESTROY_MEMORY:
		return release_memory_step(d);
	case DESTROY_REVOKE:
		if (!grant_revoke_step(d))
			return false;
		domain_disown(d->id);
		wait_until_unreachable(d);
		return true;
	case DESTROY_OWNER:
		if (!atomic_load_explicit(&d->unreachable, memory_order_acquire))
			return false;
		free_tables(d);
		return true;
	default:
		/* Tables that wait for their epoch are given back to the account in *d. And who is
		 * made when d is gone finds all the memory that it had. */
		return !atomic_load(&d->p2m.tables.used) && !frame_owned(d->id) &&
		       !frame_going(d->id);
	}
}

/*
 * Takes one bounded step in taking apart a domain that has ended. False: call again, after this CPU
 * has passed a quiescent point; true: it is gone, and d with it. None of its vCPUs is loaded or on
 * a run queue. To be called from one CPU at a time.
 *
 * Its pages that others have mapped are revoked (kernel/grant_revoke.c): nobody has to let go of
 * them. Two that have mapped pages of each other do not wait for each other: each gives up what it
 * has of others before it waits for its own.
 */
bool domain_destroy(struct domain *d)
{
	assert_always(atomic_load(&d->end) != END_NONE);
	if (!phase_step(d) || d->destroy_phase++ < DESTROY_TABLES)
		return false;
	heap_free(d);
	return true;
}
