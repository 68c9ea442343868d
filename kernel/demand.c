/*
 * Demand windows: a span of another domain's RAM that appears in a domain page by page, where it is
 * touched, and of which a bounded number is there at a time. What was not used of late makes room,
 * a batch of pages with one flush.
 *
 * State: a window's record, on the heap, charged to its mapper: what is constant or atomic, and
 * under its lock the list of its pages. An entry of the list (a slot) names a page that is mapped
 * or was; the p2m alone says whether it is. A mapped page (P2M_DEMAND) holds a reference to its
 * frame. Windows are found in tables of their mapper and of their owner without a lock, and freed
 * an epoch after they have left both. Lock order: domain, window, p2m.
 *
 * Who fills a page and who takes pages away for good must not miss each other: whoever fills looks
 * at the window and at the owner again when the page is mapped (all under or after the p2m's lock),
 * and takes it out itself if they have changed; whoever closes says so first and takes pages out
 * then.
 *
 * How pages are chosen: a hand goes round the slots. Where the processor has accessed flags, a page
 * whose flag is set gets another round, with the flag cleared; the flush of the batch makes the
 * processor set it anew. Elsewhere pages are unmapped a batch ahead, as a sample: those that are
 * touched before the next batch keep their slots.
 */
#include "kernel/demand.h"
#include "kernel/domain.h"
#include "lock.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "public/errno.h"
#include "public/keyhole.h"
#include "vmx/ept_batch.h"

/* Pages evicted with one flush, at most and as a part of the budget; slots looked at for each. */
#define BATCH_MAX      64u
#define BATCH_PART     4u
#define LOOKS_PER_PAGE 4u
/* Slots that one step of closing looks at. */
#define CLOSE_STEP 256u

/* A slot: the page's offset in the window; with SLOT_PENDING its CPU has not mapped it yet. */
#define SLOT_PENDING 0x80000000u
#define SLOT_FREE    UINT32_MAX
#define SLOT_NONE    UINT32_MAX
_Static_assert(GUEST_GFN_LIMIT <= SLOT_PENDING, "a page's offset fits");

struct demand_window {
	struct lock lock;
	/* Constant. */
	struct domain *mapper;
	struct domain *owner; /* there for as long as the window is open */
	domid_t owner_id;
	uint64_t gfn, page_count, index; /* index: the owner's frame of the first page */
	uint32_t budget, batch, charge;	 /* slots; pages a flush; pages charged */
	_Atomic bool closed;		 /* no page comes any more */
	/* Under the lock. */
	uint32_t hand, used,
	    swept; /* slots below used have been used; those below swept are closed */
	uint32_t free_count, sample_count;
	uint32_t free[BATCH_MAX], sample[BATCH_MAX]; /* slots */
	/* A leaf of the owner's RAM, as of a generation of its p2m; leaf_count 0: none. */
	uint64_t generation, leaf_first, leaf_count;
	mfn_t leaf_frame;
	uint64_t faults, evicted, flushes;
	struct epoch_deferred deferred;
	_Atomic uint32_t slots[];
};

/* --- taking pages away ------------------------------------------------------------------------ */

/* Pages taken out of a p2m, to be let go when it is flushed. */
struct removal {
	struct p2m_batch batch;
	uint32_t count;
	mfn_t frames[BATCH_MAX];
};

static void removal_begin(struct removal *r, struct domain *mapper)
{
	r->count = 0;
	p2m_batch_begin(&r->batch, &mapper->p2m);
}

static void removal_end(struct removal *r)
{
	p2m_batch_end(&r->batch);
	while (r->count)
		frame_put(r->frames[--r->count]);
}

/* Takes the page at gfn out if it is one of a window. False: it was used lately (if that counts),
 * and stays. */
static inline bool remove_page(struct removal *r, uint64_t gfn, bool even_used)
{
	int rc =
	    p2m_batch_evict(&r->batch, make_gfn(gfn), P2M_DEMAND, even_used, &r->frames[r->count]);

	r->count += !rc;
	return rc != -XEN_EAGAIN;
}

/* A slot whose page has gone. Where there is no room it stays as it is: the hand finds it. */
static inline void slot_give(struct demand_window *w, uint32_t slot)
{
	if (w->free_count == BATCH_MAX)
		return;
	atomic_store_explicit(&w->slots[slot], SLOT_FREE, memory_order_relaxed);
	w->free[w->free_count++] = slot;
}

/* The slot under the hand, which moves on; SLOT_NONE if no page's. */
static inline uint32_t hand_next(struct demand_window *w, uint32_t *page)
{
	uint32_t slot = w->hand;

	w->hand = slot + 1 < w->used ? slot + 1 : 0;
	*page = atomic_load_explicit(&w->slots[slot], memory_order_acquire);
	return *page < SLOT_PENDING ? slot : SLOT_NONE;
}

/* By accessed flags. The last looks take what there is. hand_next(), with all in registers. */
static void evict_idle(struct demand_window *w, struct removal *r)
{
	const uint32_t batch = w->batch, used = w->used;
	uint32_t looks = batch * LOOKS_PER_PAGE, left = batch, hand = w->hand;
	const uint64_t first = w->gfn;

	for (; looks && left; looks--) {
		uint32_t slot = hand;
		uint32_t page = atomic_load_explicit(&w->slots[slot], memory_order_acquire);

		if (unlikely(++hand >= used))
			hand = 0;
		if (unlikely(page >= SLOT_PENDING) || !remove_page(r, first + page, looks <= batch))
			continue;
		slot_give(w, slot);
		left--;
	}
	w->hand = hand;
}

/* Without them: slots of the sample that nobody has asked for again are free, others become the
 * next sample. If all were asked for, half a batch goes at once. */
static void evict_sample(struct demand_window *w, struct removal *r)
{
	uint32_t at_once = w->sample_count ? 0 : w->batch / 2, slot, page;

	while (w->sample_count)
		slot_give(w, w->sample[--w->sample_count]);
	for (uint32_t n = 0; n < w->batch; n++) {
		slot = hand_next(w, &page);
		if (slot == SLOT_NONE)
			continue;
		remove_page(r, w->gfn + page, true);
		if (at_once) {
			at_once--;
			slot_give(w, slot);
		} else {
			w->sample[w->sample_count++] = slot;
		}
	}
}

/* Takes a batch of pages out, with one flush. */
static __attribute__((noinline)) void evict(struct demand_window *w)
{
	struct removal r;

	assert_locked(&w->lock);
	removal_begin(&r, w->mapper);
	if (p2m_tracks_access())
		evict_idle(w, &r);
	else
		evict_sample(w, &r);
	w->evicted += r.count;
	w->flushes += r.count > 0;
	removal_end(&r);
}

/* --- filling ---------------------------------------------------------------------------------- */

/* The slot that a page of the sample still has. */
static uint32_t sample_take(struct demand_window *w, uint32_t page)
{
	for (uint32_t i = 0; i < w->sample_count; i++) {
		uint32_t slot = w->sample[i];

		if (atomic_load_explicit(&w->slots[slot], memory_order_relaxed) == page) {
			w->sample[i] = w->sample[--w->sample_count];
			return slot;
		}
	}
	return SLOT_NONE;
}

/* A slot for a page, pending; SLOT_NONE: there is none just now. The window's lock held. */
static inline uint32_t slot_take(struct demand_window *w, uint32_t page)
{
	uint32_t slot = SLOT_NONE;

	if (unlikely(w->sample_count))
		slot = sample_take(w, page);
	if (slot == SLOT_NONE && !w->free_count) {
		if (w->used < w->budget)
			slot = w->used++;
		else
			evict(w);
	}
	if (slot == SLOT_NONE && w->free_count)
		slot = w->free[--w->free_count];
	if (likely(slot != SLOT_NONE))
		atomic_store_explicit(&w->slots[slot], page | SLOT_PENDING, memory_order_relaxed);
	return slot;
}

/* Brings the leaf to hand that has the owner's frame index. False: that is no RAM. */
static __attribute__((noinline)) bool find_leaf(struct demand_window *w, uint64_t index)
{
	struct p2m_entry e;

	w->generation = atomic_load(&w->owner->p2m.generation);
	w->leaf_count = 0;
	if (!p2m_lookup(&w->owner->p2m, make_gfn(index), &e) || e.type != P2M_RAM)
		return false;
	w->leaf_count = 1ull << e.order;
	w->leaf_first = index & ~(w->leaf_count - 1);
	w->leaf_frame = make_mfn(mfn_raw(e.frame) - (index - w->leaf_first));
	return true;
}

/*
 * Takes a reference to the owner's frame index. False: it has no RAM there. Unless the generation
 * has moved since, what was a leaf is one, or is about to be taken out of the p2m and then of
 * windows.
 */
static inline bool frame_take(struct demand_window *w, uint64_t index, mfn_t *frame)
{
	for (bool found = false;; found = true) {
		if ((index - w->leaf_first >= w->leaf_count ||
		     w->generation != atomic_load(&w->owner->p2m.generation)) &&
		    !find_leaf(w, index))
			return false;
		*frame = mfn_add(w->leaf_frame, index - w->leaf_first);
		if (likely(!frame_get_present(*frame, w->owner_id, FRAME_GUEST_RAM)))
			return true;
		if (found)
			return false;
		w->leaf_count = 0;
	}
}

/* The first page of a leaf table, or there is no table left: pages of all windows make room. */
static __attribute__((noinline)) int map_page(struct domain *d, gfn_t gfn, mfn_t frame)
{
	int rc = p2m_map(&d->p2m, gfn, frame, 1, P2M_DEMAND, P2M_RW);

	for (unsigned i = 0; rc == -XEN_ENOMEM && i < DEMAND_WINDOWS_MAX; i++) {
		struct demand_window *w = atomic_load(&d->windows[i]);

		if (!w)
			continue;
		lock_acquire(&w->lock);
		if (w->used)
			evict(w);
		lock_release(&w->lock);
		rc = p2m_map(&d->p2m, gfn, frame, 1, P2M_DEMAND, P2M_RW);
	}
	return rc;
}

/* Takes one page out again. */
static void unmap_page(struct domain *d, uint64_t gfn)
{
	struct removal r;

	removal_begin(&r, d);
	remove_page(&r, gfn, true);
	removal_end(&r);
}

/* Whether the owner has this frame there still, and the window is open. */
static bool still_there(const struct demand_window *w, uint64_t index, mfn_t frame)
{
	struct p2m_entry e;

	return !atomic_load(&w->closed) && p2m_lookup(&w->owner->p2m, make_gfn(index), &e) &&
	       e.type == P2M_RAM && mfn_equal(e.frame, frame);
}

/* Maps a page of a window, which has nothing there: 0, also if it is to be tried again.
 * -XEN_ENOENT: neither has the owner; -XEN_ENOMEM: no table, though every window has made room. */
static int fill(struct demand_window *w, gfn_t gfn)
{
	uint64_t page = gfn_raw(gfn) - w->gfn, index = w->index + page;
	struct domain *d = w->mapper;
	uint32_t slot = SLOT_NONE;
	mfn_t frame;

	lock_acquire(&w->lock);
	bool there = !atomic_load(&w->closed) && frame_take(w, index, &frame);
	uint64_t generation = w->generation;
	if (likely(there))
		slot = slot_take(w, (uint32_t)page);
	w->faults += there;
	lock_release(&w->lock);
	if (unlikely(slot == SLOT_NONE)) {
		if (there)
			frame_put(frame);
		return there ? 0 : -XEN_ENOENT;
	}
	int rc = p2m_fill_page(&d->p2m, gfn, frame, P2M_DEMAND, P2M_RW);
	if (unlikely(rc == -XEN_ENOENT))
		rc = map_page(d, gfn, frame);
	/* On an error the slot names a page that has gone. */
	atomic_store_explicit(&w->slots[slot], (uint32_t)page, memory_order_release);
	if (unlikely(rc)) {
		frame_put(frame);		   /* never mapped: nothing to wait for */
		return rc == -XEN_EEXIST ? 0 : rc; /* another CPU was first */
	}
	if (unlikely(generation != atomic_load(&w->owner->p2m.generation) ||
		     atomic_load(&w->closed)) &&
	    !still_there(w, index, frame))
		unmap_page(d, gfn_raw(gfn));
	return 0;
}

static inline bool covers(const struct demand_window *w, uint64_t gfn)
{
	return gfn - w->gfn < w->page_count;
}

/* The window that has gfn, and its place. Valid until this CPU's next quiescent point. */
static struct demand_window *find_window(const struct domain *d, uint64_t gfn, uint32_t *place)
{
	uint32_t limit = atomic_load_explicit(&d->window_limit, memory_order_acquire);

	for (*place = 0; *place < limit; ++*place) {
		struct demand_window *w =
		    atomic_load_explicit(&d->windows[*place], memory_order_acquire);

		if (w && covers(w, gfn))
			return w;
	}
	return NULL;
}

/*
 * A page without memory was touched. 0: it is of a window, and has some now, or the guest is to try
 * again; -XEN_ENOENT: it is of none, or its owner has nothing there; -XEN_ENOMEM: no table is left.
 * Takes the window's lock and the p2m's.
 */
int demand_fault(struct domain *d, gfn_t gfn)
{
	uint32_t place = atomic_load_explicit(&d->window_hint, memory_order_relaxed);
	struct demand_window *w = atomic_load_explicit(&d->windows[place], memory_order_acquire);

	/* Most often it is the one of the last time. */
	if (unlikely(!w || !covers(w, gfn_raw(gfn)))) {
		w = find_window(d, gfn_raw(gfn), &place);
		if (!w)
			return -XEN_ENOENT;
		atomic_store_explicit(&d->window_hint, place, memory_order_relaxed);
	}
	return fill(w, gfn);
}

/* Whether gfn is of a window. */
bool demand_covers(const struct domain *d, gfn_t gfn)
{
	uint32_t place;

	return find_window(d, gfn_raw(gfn), &place);
}

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
			remove_page(&r, w->gfn + first - w->index, true);
		removal_end(&r);
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
	w->lock = (struct lock)LOCK_INIT(LOCK_DEMAND);
	w->mapper = d;
	w->owner = owner;
	w->owner_id = owner->id;
	w->gfn = gfn;
	w->page_count = page_count;
	w->index = index;
	w->budget = (uint32_t)budget;
	w->batch = w->budget / BATCH_PART < BATCH_MAX ? w->budget / BATCH_PART : BATCH_MAX;
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
	struct removal r;
	uint32_t end;

	lock_acquire(&w->lock);
	end = w->used - w->swept < BATCH_MAX ? w->used : w->swept + BATCH_MAX;
	removal_begin(&r, w->mapper);
	for (; w->swept < end; w->swept++) {
		uint32_t page = atomic_load_explicit(&w->slots[w->swept], memory_order_acquire);

		/* One that is pending is taken out by its CPU, as the window is closed. */
		if (page < SLOT_PENDING)
			remove_page(&r, w->gfn + page, true);
	}
	w->flushes += r.count > 0;
	w->evicted += r.count;
	removal_end(&r);
	bool all = w->swept == w->used;
	lock_release(&w->lock);
	return all;
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

	if (!w)
		return -XEN_ENOENT;
	lock_acquire(&w->lock);
	*out = (struct keyhole_window_stats){
	    .faults = w->faults,
	    .evicted = w->evicted,
	    .flushes = w->flushes,
	    .flushes_per_1000_faults = w->faults ? w->flushes * 1000 / w->faults : 0,
	    .resident = w->used - w->free_count - w->sample_count,
	    .budget = w->budget,
	    .open = !atomic_load(&w->closed),
	};
	lock_release(&w->lock);
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
