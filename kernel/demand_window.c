/*
 * Demand windows: opening, closing, and what their owners do. State and locks: kernel/demand.c.
 *
 * A window is in two tables, its mapper's and its owner's, each place of which is changed by
 * compare-and-swap. It leaves its owner's table before the owner can no longer be found, closed, or
 * before its mapper can no longer be found.
 */
#include "demand_internal.h"
#include "mm/heap.h"
#include "public/keyhole.h"

/* --- the owner's side ------------------------------------------------------------------------- */

static void take_from(struct demand_window *w, uint64_t first, uint64_t end)
{
	struct removal r;

	if (first < w->index)
		first = w->index;
	if (end > w->index + w->page_count)
		end = w->index + w->page_count;
	while (first < end) {
		removal_begin(&r, w->mapper);
		for (; first < end && r.count < BATCH_MAX; first++)
			remove_page(&r, w->gfn + first - w->index);
		removal_end(&r, NULL);
	}
}

/*
 * Frames of a domain's from gfn on, at most 2 MiB, have left its p2m: they leave the windows onto
 * it, with one flush for each 64. No lock of a p2m or window held.
 */
void demand_given_back(struct domain *owner, uint64_t gfn, uint64_t count)
{
	for (unsigned i = 0; demand_watched(owner) && i < DEMAND_WATCHERS_MAX; i++) {
		struct demand_window *w = atomic_load(&owner->watchers[i]);

		if (w)
			take_from(w, gfn, gfn + count);
	}
}

/* --- opening and closing ---------------------------------------------------------------------- */

/* The owner's notice of a window goes, if there still is an owner to look for it. */
static void unwatch(struct demand_window *w)
{
	struct domain *owner = domain_next((domid_t)(w->owner_id - 1));

	for (unsigned i = 0; owner == w->owner && i < DEMAND_WATCHERS_MAX; i++) {
		struct demand_window *expected = w;

		if (atomic_compare_exchange_strong(&owner->watchers[i], &expected, NULL))
			atomic_fetch_sub(&owner->watched, 1);
	}
}

static int watch(struct demand_window *w, struct domain *owner)
{
	atomic_fetch_add(&owner->watched, 1);
	for (unsigned i = 0; i < DEMAND_WATCHERS_MAX; i++) {
		struct demand_window *expected = NULL;

		if (!atomic_compare_exchange_strong(&owner->watchers[i], &expected, w))
			continue;
		/* Either it sees the window when it is taken apart, or its end is seen here. */
		if (atomic_load(&owner->end) != END_NONE)
			atomic_store(&w->closed, true);
		return 0;
	}
	atomic_fetch_sub(&owner->watched, 1);
	return -XEN_ENOSPC;
}

/* A place for a window in its mapper's table, which it must not share pages with. d->lock held. */
static int place_find(const struct domain *d, const struct demand_window *w, unsigned *place)
{
	*place = DEMAND_WINDOWS_MAX;
	for (unsigned i = DEMAND_WINDOWS_MAX; i-- > 0;) {
		const struct demand_window *other = atomic_load(&d->windows[i]);

		if (!other)
			*place = i;
		else if (covers(other, w->gfn) || covers(w, other->gfn))
			return -XEN_EEXIST;
	}
	return *place < DEMAND_WINDOWS_MAX ? 0 : -XEN_ENOSPC;
}

static void window_free(struct demand_window *w)
{
	table_account_uncharge(&w->mapper->p2m.tables, w->charge);
	heap_free(w);
}

static void window_unused(struct epoch_deferred *deferred)
{
	heap_free(container_of(deferred, struct demand_window, deferred));
}

/*
 * Opens a window onto page_count frames of owner from index on, at gfn, of which at most budget are
 * there at a time. Returns its number. -XEN_EINVAL: beyond either's addresses, none, or too small a
 * budget; -XEN_EEXIST: another window is there; -XEN_ENOSPC: too many windows, the mapper's or onto
 * this owner; -XEN_ENOMEM: no memory for the list of pages, or no quota.
 */
int demand_open(struct domain *d, struct domain *owner, uint64_t index, uint64_t gfn,
		uint64_t page_count, uint64_t budget)
{
	unsigned place;
	void *object;

	if (!page_count || page_count > GUEST_GFN_LIMIT || index > GUEST_GFN_LIMIT - page_count ||
	    gfn > GUEST_GFN_LIMIT - page_count || budget < DEMAND_BUDGET_MIN)
		return -XEN_EINVAL;
	if (budget > page_count)
		budget = page_count > DEMAND_BUDGET_MIN ? page_count : DEMAND_BUDGET_MIN;
	size_t size = sizeof(struct demand_window) + budget * sizeof(uint32_t);
	uint32_t charge = (uint32_t)((size + PAGE_SIZE - 1) / PAGE_SIZE);
	if (!table_account_charge(&d->p2m.tables, charge))
		return -XEN_ENOMEM;
	int rc = heap_alloc(size, d->id, &object);
	if (rc) {
		table_account_uncharge(&d->p2m.tables, charge);
		return rc;
	}
	struct demand_window *w = object;
	for (unsigned i = 0; i < SHARES_MAX; i++)
		w->shares[i].lock = (struct lock)LOCK_INIT(LOCK_DEMAND);
	w->mapper = d;
	w->owner = owner;
	w->owner_id = owner->id;
	w->gfn = gfn;
	w->page_count = page_count;
	w->index = index;
	w->budget = (uint32_t)budget;
	w->batch = w->budget / BATCH_PART < BATCH_MAX ? w->budget / BATCH_PART : BATCH_MAX;
	w->samples = !p2m_tracks_access();
	for (uint64_t shares = 2; shares <= SHARES_MAX; shares *= 2)
		if (budget >= shares * (BUDGET_FOR_SHARE << w->samples))
			w->share_mask = (uint32_t)shares - 1;
	w->charge = charge;
	lock_acquire(&d->lock);
	rc = place_find(d, w, &place);
	if (!rc)
		rc = watch(w, owner);
	if (!rc) {
		atomic_store_explicit(&d->windows[place], w, memory_order_release);
		if (place >= atomic_load(&d->window_limit))
			atomic_store_explicit(&d->window_limit, place + 1, memory_order_release);
	}
	lock_release(&d->lock);
	if (rc)
		window_free(w); /* nobody has seen it */
	return rc ? rc : (int)place;
}

/* Takes pages out for good, a bounded number; true when all are. It is closed. */
static bool sweep_step(struct demand_window *w)
{
	struct demand_share *s = &w->shares[0];
	uint32_t used = atomic_load(&w->used), end;
	struct removal r;

	lock_acquire(&s->lock);
	end = used - w->swept < BATCH_MAX ? used : w->swept + BATCH_MAX;
	removal_begin(&r, w->mapper);
	for (; w->swept < end; w->swept++) {
		uint32_t page = atomic_load(&w->slots[w->swept]);

		/* One that is pending is taken out by its CPU, as the window is closed. */
		if ((int32_t)page > 0)
			remove_page(&r, w->gfn - 1 + page);
	}
	removal_end(&r, s);
	lock_release(&s->lock);
	/* Who has begun to evict has ended, too. */
	for (; end == used && s < &w->shares[w->share_mask + 1]; s++) {
		lock_acquire(&s->lock);
		lock_release(&s->lock);
	}
	return end == used;
}

static struct demand_window *window_by_id(const struct domain *d, uint64_t id)
{
	return id < DEMAND_WINDOWS_MAX ? atomic_load(&d->windows[id]) : NULL;
}

/* A bounded step in closing a window: 1: it is gone; 0: call again; -XEN_ENOENT: there is none. */
int demand_close_step(struct domain *d, uint64_t id)
{
	struct demand_window *w = window_by_id(d, id), *expected = w;

	if (!w)
		return -XEN_ENOENT;
	atomic_store(&w->closed, true);
	if (!sweep_step(w))
		return 0;
	/* Another vCPU may have closed it at the same time. */
	if (atomic_compare_exchange_strong(&d->windows[id], &expected, NULL)) {
		unwatch(w);
		table_account_uncharge(&d->p2m.tables, w->charge);
		epoch_defer(&w->deferred, window_unused);
	}
	return 1;
}

/* What a window has done. -XEN_ENOENT: there is none. */
int demand_stats(struct domain *d, uint64_t id, struct keyhole_window_stats *out)
{
	struct demand_window *w = window_by_id(d, id);
	struct keyhole_window_stats found = {0};
	uint64_t used, idle = 0;

	if (!w)
		return -XEN_ENOENT;
	for (unsigned i = 0; i <= w->share_mask; i++) {
		struct demand_share *s = &w->shares[i];

		lock_acquire(&s->lock);
		found.faults += s->faults;
		found.evicted += s->evicted;
		found.flushes += s->flushes;
		idle += s->free_count + s->sample_count;
		lock_release(&s->lock);
	}
	if (found.faults)
		found.flushes_per_1000_faults = found.flushes * 1000 / found.faults;
	used = atomic_load(&w->used);
	found.resident = used > idle ? used - idle : 0;
	found.budget = w->budget;
	found.open = !atomic_load(&w->closed);
	*out = found;
	return 0;
}

/*
 * A domain that has ended, and can still be found, leaves all windows: those onto it are closed, a
 * bounded step a call, its own are not known to their owners any more. True: done. None of its
 * vCPUs runs.
 */
bool demand_detach_step(struct domain *d)
{
	for (unsigned i = 0; i < DEMAND_WINDOWS_MAX; i++) {
		struct demand_window *w = atomic_load(&d->windows[i]);

		if (w)
			unwatch(w);
	}
	for (unsigned i = 0; i < DEMAND_WATCHERS_MAX; i++) {
		struct demand_window *w = atomic_load(&d->watchers[i]);

		if (!w)
			continue;
		atomic_store(&w->closed, true);
		if (sweep_step(w))
			unwatch(w);
		return false;
	}
	return true;
}

/* Frees the windows of a domain that nobody can find any more. Their pages go with its p2m. */
void demand_free_all(struct domain *d)
{
	for (unsigned i = 0; i < DEMAND_WINDOWS_MAX; i++) {
		struct demand_window *w = atomic_load(&d->windows[i]);

		atomic_store(&d->windows[i], NULL);
		if (w)
			window_free(w);
	}
}
