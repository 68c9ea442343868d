/*
 * Demand windows: a span of another domain's RAM that appears in a domain page by page, where it is
 * touched, and of which a bounded number is there at a time. What was not used of late makes room,
 * a batch of pages with one flush.
 *
 * State: a window's record (kernel/demand_internal.h), on the heap, charged to its mapper: what is
 * constant or atomic, the list of its pages among it. An entry of the list (a slot) names a page
 * that is mapped or was; the p2m alone says whether it is. A mapped page (P2M_DEMAND) holds a
 * reference to its frame. What a CPU has at hand is in its share, under a lock of that: free slots,
 * and the owner's leaf that it used last. A slot goes from one CPU to another by what it says: one
 * that names a page is anybody's who makes it pending. Windows are found in tables of their mapper
 * and of their owner without a lock, and freed an epoch after they have left both. Lock order:
 * domain, share, p2m.
 *
 * Who fills a page and who takes pages away for good must not miss each other: whoever fills looks
 * at the window and at the owner again when the page is mapped (by a locked operation), and takes
 * it out itself if they have changed; whoever closes says so first and takes pages out then.
 *
 * How pages are chosen: a hand goes round the slots, a few at a time for whichever CPU needs some.
 * Where the processor has accessed flags, a page whose flag is set gets another round, with the
 * flag cleared; the flush of the batch makes the processor set it anew. Elsewhere pages are
 * unmapped a batch ahead, as a sample: those that are touched before the next batch by a CPU of the
 * same share keep their slots.
 */
#include "demand_internal.h"
#include "mem.h"

/* --- making room --------------------------------------------------------------------------------
 */

/* A slot of this CPU's, whose page has gone. Without room it is left to the hand again. */
static inline void slot_give(struct demand_window *w, struct demand_share *s, uint32_t slot)
{
	if (likely(s->free_count < BATCH_MAX))
		s->free[s->free_count++] = slot;
	else
		atomic_fetch_and(&w->slots[slot], ~SLOT_PENDING);
}

/* Makes a slot that names a page this CPU's. */
static inline bool slot_claim(struct demand_window *w, uint32_t slot, uint32_t value)
{
	return atomic_compare_exchange_strong(&w->slots[slot], &value, value | SLOT_PENDING);
}

/* The next slots under the hand, [*slot, end), which moves on: end. Some have been used. */
static inline uint32_t hand_move(struct demand_window *w, uint32_t *slot)
{
	uint32_t used = atomic_load_explicit(&w->used, memory_order_relaxed), end;

	*slot = atomic_load_explicit(&w->hand, memory_order_relaxed);
	do
		end = *slot + LOOKS_AT_ONCE < used ? *slot + LOOKS_AT_ONCE : used;
	while (!atomic_compare_exchange_weak(&w->hand, slot, end < used ? end : 0));
	return end;
}

/* By accessed flags. The last looks take what there is. */
static void evict_idle(struct demand_window *w, struct demand_share *s, struct removal *r)
{
	const uint64_t first = w->gfn - 1;
	uint32_t left = w->batch, slot, end;

	for (uint32_t groups = left * LOOKS_PER_PAGE / LOOKS_AT_ONCE; left && groups; groups--) {
		bool sure = groups <= w->batch / LOOKS_AT_ONCE;

		end = hand_move(w, &slot);
		if (unlikely(lock_busy(&w->mapper->p2m.lock)))
			p2m_visit_yield(&r->visit);
		for (; slot < end; slot++) {
			uint32_t page = atomic_load_explicit(&w->slots[slot], memory_order_acquire);

			if (unlikely((int32_t)page <= 0))
				continue;
			if (!sure && p2m_visit_used(&r->visit, make_gfn(first + page)))
				continue;
			if (unlikely(!slot_claim(w, slot, page)))
				continue;
			remove_page(r, first + page);
			slot_give(w, s, slot);
			if (!--left)
				break;
		}
	}
}

/* Without them: slots of the sample that nobody has asked for again are free, others become the
 * next sample. If all were asked for, half a batch goes at once. */
static void evict_sample(struct demand_window *w, struct demand_share *s, struct removal *r)
{
	uint32_t at_once = s->sample_count ? 0 : w->batch / 2, left = w->batch, slot, end;
	uint32_t used = atomic_load(&w->used);

	while (s->sample_count)
		slot_give(w, s, s->sample[--s->sample_count]);
	for (uint32_t looks = 0; left && looks < used; looks += LOOKS_AT_ONCE) {
		end = hand_move(w, &slot);
		for (; slot < end && left; slot++) {
			uint32_t page = atomic_load(&w->slots[slot]);

			if ((int32_t)page <= 0 || !slot_claim(w, slot, page))
				continue;
			remove_page(r, w->gfn - 1 + page);
			if (left-- > w->batch - at_once)
				slot_give(w, s, slot);
			else
				s->sample[s->sample_count++] = slot;
		}
	}
}

/* Takes a batch of pages out, with one flush. The share's lock held. */
noinline_fn static void evict(struct demand_window *w, struct demand_share *s)
{
	struct removal r;

	assert_locked(&s->lock);
	if (!atomic_load(&w->used))
		return;
	removal_begin(&r, w->mapper);
	if (w->samples)
		evict_sample(w, s, &r);
	else
		evict_idle(w, s, &r);
	removal_end(&r, s);
}

/* --- filling ---------------------------------------------------------------------------------- */

/* The slot that a page has kept as one of the sample; SLOT_NONE. */
noinline_fn static uint32_t sample_take(const struct demand_window *w, struct demand_share *s,
					uint32_t value)
{
	for (uint32_t i = 0; i < s->sample_count; i++) {
		uint32_t slot = s->sample[i];

		if (atomic_load_explicit(&w->slots[slot], memory_order_relaxed) == value) {
			s->sample[i] = s->sample[--s->sample_count];
			return slot;
		}
	}
	return SLOT_NONE;
}

/* Gets a share free slots, in a row as far as there are, so that the hand finds the pages of one
 * vCPU side by side. */
noinline_fn static void share_refill(struct demand_window *w, struct demand_share *s)
{
	uint32_t used = atomic_load(&w->used), end;

	do
		end = w->budget - used < w->batch ? w->budget : used + w->batch;
	while (!atomic_compare_exchange_weak(&w->used, &used, end));
	while (end > used)
		s->free[s->free_count++] = --end;
	if (!s->free_count)
		evict(w, s);
}

/* A slot for a page, pending; SLOT_NONE: there is none just now. The share's lock held. */
static inline uint32_t slot_take(struct demand_window *w, struct demand_share *s, uint32_t page)
{
	uint32_t value = (page + 1) | SLOT_PENDING, slot = SLOT_NONE;

	if (unlikely(w->samples))
		slot = sample_take(w, s, value);
	if (unlikely(slot != SLOT_NONE))
		return slot;
	if (unlikely(!s->free_count)) {
		share_refill(w, s);
		if (!s->free_count)
			return SLOT_NONE;
	}
	slot = s->free[--s->free_count];
	atomic_store_explicit(&w->slots[slot], value, memory_order_relaxed);
	return slot;
}

/* Brings the leaf to hand that has the owner's frame index. False: that is no RAM. */
noinline_fn static bool find_leaf(const struct demand_window *w, struct demand_share *s,
				  uint64_t index)
{
	struct p2m_entry e;

	s->generation = atomic_load(&w->owner->p2m.generation);
	s->leaf_count = 0;
	if (!p2m_lookup(&w->owner->p2m, make_gfn(index), &e) || e.type != P2M_RAM)
		return false;
	s->leaf_count = 1ull << e.order;
	s->leaf_first = index & ~(s->leaf_count - 1);
	s->leaf_frame = make_mfn(mfn_raw(e.frame) - (index - s->leaf_first));
	return true;
}

/*
 * Takes a reference to the owner's frame index. False: it has no RAM there. Unless the generation
 * has moved since, what was a leaf is one, or is about to be taken out of the p2m and then of
 * windows.
 */
static inline bool frame_take(const struct demand_window *w, struct demand_share *s, uint64_t index,
			      mfn_t *frame)
{
	for (bool found = false;; found = true) {
		if ((index - s->leaf_first >= s->leaf_count ||
		     s->generation != atomic_load(&w->owner->p2m.generation)) &&
		    !find_leaf(w, s, index))
			return false;
		*frame = mfn_add(s->leaf_frame, index - s->leaf_first);
		if (likely(!frame_get_present(*frame, w->owner_id, FRAME_GUEST_RAM)))
			return true;
		if (found)
			return false;
		s->leaf_count = 0;
	}
}

/* The first page of a leaf table, or there is no table left: pages of all windows make room. */
noinline_fn static int map_page(struct domain *d, gfn_t gfn, mfn_t frame)
{
	int rc = p2m_map(&d->p2m, gfn, frame, 1, P2M_DEMAND, P2M_RW);

	for (unsigned i = 0; rc == -XEN_ENOMEM && i < DEMAND_WINDOWS_MAX; i++) {
		struct demand_window *w = atomic_load(&d->windows[i]);

		if (!w)
			continue;
		struct demand_share *s = &w->shares[cpu_index() & w->share_mask];

		lock_acquire(&s->lock);
		evict(w, s);
		lock_release(&s->lock);
		rc = p2m_map(&d->p2m, gfn, frame, 1, P2M_DEMAND, P2M_RW);
	}
	return rc;
}

/* Takes one page out again. */
static void unmap_page(struct domain *d, uint64_t gfn)
{
	struct removal r;

	removal_begin(&r, d);
	remove_page(&r, gfn);
	removal_end(&r, NULL);
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
noinline_fn static int fill(struct demand_window *w, struct demand_share *s, gfn_t gfn)
{
	uint64_t page = gfn_raw(gfn) - w->gfn, index = w->index + page;
	struct domain *d = w->mapper;
	uint32_t slot = SLOT_NONE;
	mfn_t frame = MFN_INVALID;

	lock_acquire(&s->lock);
	bool there = !atomic_load(&w->closed) && frame_take(w, s, index, &frame);
	uint64_t generation = s->generation;
	if (likely(there))
		slot = slot_take(w, s, (uint32_t)page);
	s->faults += there;
	lock_release(&s->lock);
	if (unlikely(slot == SLOT_NONE)) {
		if (there)
			frame_put(frame);
		return there ? 0 : -XEN_ENOENT;
	}
	int rc = p2m_fill_page(&d->p2m, gfn, frame, P2M_DEMAND, P2M_RW);
	if (unlikely(rc == -XEN_ENOENT))
		rc = map_page(d, gfn, frame);
	/* On an error the slot names a page that has gone. In order with the look at closed: who
	 * closes the window and finds the slot pending is seen below. */
	atomic_store(&w->slots[slot], (uint32_t)page + 1);
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
 * Takes the lock of a share, and for a table the p2m's.
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
	return fill(w, &w->shares[cpu_index() & w->share_mask], gfn);
}

/* Whether gfn is of a window. */
bool demand_covers(const struct domain *d, gfn_t gfn)
{
	uint32_t place;

	return find_window(d, gfn_raw(gfn), &place);
}
