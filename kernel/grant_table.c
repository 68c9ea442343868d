/*
 * Grant tables themselves: made with the domain, grown on demand, shown to the guest, freed.
 *
 * State: struct grant_table but for its handles (kernel/grant.c). Lock: its own. Arrays only grow
 * while the domain lives, so that look-ups below the counts need no lock. Lock order: domain, grant
 * table, p2m.
 */
#include "grant_internal.h"
#include "kernel/reservation.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "p2m.h"
#include "print.h"
#include "public/errno.h"

/*
 * Gives a new domain its grant table, of one frame. -XEN_ENOMEM: nothing has changed but d->grants,
 * which grant_table_free() takes.
 */
int grant_table_create(struct domain *d)
{
	void *object;
	int rc = heap_alloc(sizeof(struct grant_table), d->id, &object);

	if (rc)
		return rc;
	d->grants = object;
	d->grants->domain = d;
	d->grants->lock = (struct lock)LOCK_INIT(LOCK_GRANTS);
	for (unsigned i = 0; i < GRANT_FRAMES_MAX; i++)
		d->grants->gfns[i] = GFN_INVALID;
	rc = grant_table_grow(d, 1);
	/* Now: one that is taken when it is needed could be missing then, and one for all would
	 * show each what others write there. */
	return rc ? rc : frame_alloc(0, d->id, FRAME_GUEST_SHARED, &d->poison);
}

/* Frames that a domain's table has now. */
uint32_t grant_table_frames(const struct domain *d)
{
	return atomic_load_explicit(&d->grants->frame_count, memory_order_acquire);
}

static int grow_locked(struct grant_table *t, uint32_t wanted)
{
	uint32_t count = atomic_load_explicit(&t->frame_count, memory_order_relaxed);
	uint32_t done = count;
	int rc = 0;

	assert_locked(&t->lock);
	if (wanted > GRANT_FRAMES_MAX)
		return -XEN_EINVAL;
	for (; done < wanted; done++) {
		void *words;
		rc = heap_alloc(PAGE_SIZE, t->domain->id, &words);
		if (rc)
			break;
		rc = frame_alloc(0, t->domain->id, FRAME_GUEST_SHARED, &t->frames[done]);
		if (rc) {
			heap_free(words);
			break;
		}
		t->active[done] = words;
	}
	if (rc) {
		while (done > count) {
			frame_free(t->frames[--done], 0);
			heap_free((void *)t->active[done]);
			t->active[done] = NULL;
		}
		return rc;
	}
	if (done > count)
		atomic_store_explicit(&t->frame_count, done, memory_order_release);
	return 0;
}

/*
 * Makes the table at least frame_count frames large. -XEN_EINVAL: beyond GRANT_FRAMES_MAX;
 * -XEN_ENOMEM; nothing has changed then. Takes the grant table's lock.
 */
int grant_table_grow(struct domain *d, uint32_t frame_count)
{
	lock_acquire(&d->grants->lock);
	int rc = grow_locked(d->grants, frame_count);
	lock_release(&d->grants->lock);
	return rc;
}

/*
 * Shows frame index of the table at gfn, growing it if need be; where it was shown before, it no
 * longer is. RAM that is at gfn is given back, as on Xen. -XEN_EINVAL: index or gfn out of range;
 * -XEN_EBUSY: gfn holds something else; -XEN_ENOMEM: the RAM may be gone. On any error the table
 * may have grown. The caller holds the domain's lock; takes the grant table's.
 */
int grant_table_map_frame(struct domain *d, uint32_t index, gfn_t gfn)
{
	struct grant_table *t = d->grants;
	int rc = -XEN_EINVAL;

	assert_locked(&d->lock);
	/* Also keeps GFN_INVALID, which stands for "nowhere" below, from being taken for a place.
	 */
	if (gfn_raw(gfn) >= d->p2m.max_gfn)
		return -XEN_EINVAL;
	lock_acquire(&t->lock);
	if (index < GRANT_FRAMES_MAX)
		rc = grow_locked(t, index + 1);
	if (!rc && !gfn_equal(t->gfns[index], gfn)) {
		rc = reservation_vacate(d, gfn);
		if (!rc)
			rc = p2m_map(&d->p2m, gfn, t->frames[index], 1, P2M_SHARED, P2M_RW);
		if (!rc) {
			gfn_t old = t->gfns[index];
			t->gfns[index] = gfn;
			/* Should this fail, the guest sees its own frame twice, which hurts nobody.
			 */
			if (!gfn_equal(old, GFN_INVALID) && p2m_unmap(&d->p2m, old, 1, NULL, NULL))
				print(LOG_DEBUG, "d%u: grant table frame %u stays mapped twice",
				      d->id, index);
		}
	}
	lock_release(&t->lock);
	return rc;
}

/*
 * A reference to frame index of a domain's table, which grows to have it, for somebody else to map.
 * -XEN_EINVAL: beyond GRANT_FRAMES_MAX, or too many references; -XEN_ENOMEM.
 */
int grant_table_take_frame(struct domain *d, uint32_t index, mfn_t *out)
{
	int rc = grant_table_grow(d, index + 1);

	if (rc)
		return rc;
	*out = d->grants->frames[index];
	return frame_get_present(*out, d->id, FRAME_GUEST_SHARED) ? -XEN_EINVAL : 0;
}

/* Where the guest has frame index of its table, or GFN_INVALID. */
gfn_t grant_table_frame_gfn(struct domain *d, uint32_t index)
{
	gfn_t gfn = GFN_INVALID;

	lock_acquire(&d->grants->lock);
	if (index < GRANT_FRAMES_MAX)
		gfn = d->grants->gfns[index];
	lock_release(&d->grants->lock);
	return gfn;
}

/* The guest has taken the shared frame at gfn out of its address space. */
void grant_table_frame_unmapped(struct domain *d, gfn_t gfn)
{
	lock_acquire(&d->grants->lock);
	for (unsigned i = 0; i < GRANT_FRAMES_MAX; i++)
		if (gfn_equal(d->grants->gfns[i], gfn))
			d->grants->gfns[i] = GFN_INVALID;
	lock_release(&d->grants->lock);
}

/*
 * Frees a domain's grant table: nobody can find the domain any more, it holds no mapping of others,
 * and its p2m does not lead to its shared frames. Nobody has its pages mapped any more.
 */
void grant_table_free(struct domain *d)
{
	struct grant_table *t = d->grants;

	if (!t)
		return;
	d->grants = NULL;
	if (mfn_raw(d->poison))
		frame_free(d->poison, 0);
	for (uint32_t i = 0; i < atomic_load(&t->frame_count); i++) {
		frame_free(t->frames[i], 0);
		heap_free((void *)t->active[i]);
	}
	grant_tracks_free(t);
	heap_free(t);
}
