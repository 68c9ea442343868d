/*
 * Mappings of other domains' pages by grants: making them, taking them away, and the handles by
 * which a domain knows its own.
 *
 *	granter                                         mapper
 *	shared table: one grant_entry_v1 for each       handles: one struct grant_track for each
 *	reference, written by the guest                 mapping it holds
 *	active words: one per reference                 (this file)
 *	(kernel/grant_entry.c, kernel/grant_table.c)
 *
 * State: the handles of struct grant_table, a free list under its lock; the state of one handle is
 * changed by compare-and-swap, so that only one CPU closes it.
 *
 * Each mapping holds a reference on the frame of its own, so that the frame outlives the granter if
 * it must. When a mapping goes, other vCPUs of the mapper may still use its translation until every
 * CPU has passed a quiescent point. The granter must not be told before that nobody uses its page:
 * the pin is given up through the epoch, from an entry in the handle itself, so that unmapping
 * cannot fail for lack of memory.
 *
 * Ready for many CPUs. Lock order: domain, grant table, p2m.
 *
 * Source: Xen, public/grant_table.h.
 */
#include "grant_internal.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "p2m.h"
#include "print.h"
#include "public/errno.h"
#include "public/grant_table.h"

enum track_state { TRACK_FREE, TRACK_RESERVED, TRACK_LIVE, TRACK_CLOSING, TRACK_RELEASING };

/* A mapping, behind its handle. */
struct grant_track {
	struct epoch_deferred deferred;
	struct grant_table *owner; /* of the mapper */
	mfn_t frame;
	gfn_t gfn; /* where it is mapped */
	uint32_t ref;
	uint32_t next_free; /* handle + 1, 0 at the end */
	domid_t granter;
	bool readonly;
	_Atomic uint8_t state; /* enum track_state */
};

#define TRACKS_PER_PAGE (PAGE_SIZE / sizeof(struct grant_track))
#define TRACKS_MAX	(GRANT_TRACK_PAGES_MAX * TRACKS_PER_PAGE)

/* --- handles ---------------------------------------------------------------------------------- */

static struct grant_track *track_at(struct grant_table *t, uint32_t handle)
{
	uint32_t pages = atomic_load_explicit(&t->track_pages, memory_order_acquire);

	if (handle / TRACKS_PER_PAGE >= pages)
		return NULL;
	return &t->tracks[handle / TRACKS_PER_PAGE][handle % TRACKS_PER_PAGE];
}

/* Takes a handle off the free list, which grows by a page when it is empty. */
static struct grant_track *track_reserve(struct grant_table *t, uint32_t *handle)
{
	struct grant_track *track = NULL;

	lock_acquire(&t->lock);
	uint32_t pages = atomic_load_explicit(&t->track_pages, memory_order_relaxed);
	if (!t->free_head && pages < GRANT_TRACK_PAGES_MAX) {
		void *page;
		if (heap_alloc(TRACKS_PER_PAGE * sizeof(struct grant_track), t->domain->id,
			       &page) == 0) {
			t->tracks[pages] = page;
			for (uint32_t i = 0; i < TRACKS_PER_PAGE; i++) {
				uint32_t next = pages * (uint32_t)TRACKS_PER_PAGE + i + 2;
				t->tracks[pages][i].owner = t;
				t->tracks[pages][i].next_free = i + 1 < TRACKS_PER_PAGE ? next : 0;
			}
			t->free_head = pages * (uint32_t)TRACKS_PER_PAGE + 1;
			atomic_store_explicit(&t->track_pages, pages + 1, memory_order_release);
		}
	}
	if (t->free_head) {
		*handle = t->free_head - 1;
		track = track_at(t, *handle);
		t->free_head = track->next_free;
		atomic_store_explicit(&track->state, TRACK_RESERVED, memory_order_relaxed);
	}
	lock_release(&t->lock);
	return track;
}

static uint32_t track_handle(const struct grant_table *t, const struct grant_track *track)
{
	uint32_t pages = atomic_load_explicit(&t->track_pages, memory_order_acquire);

	for (uint32_t p = 0; p < pages; p++)
		if (track >= t->tracks[p] && track < t->tracks[p] + TRACKS_PER_PAGE)
			return p * (uint32_t)TRACKS_PER_PAGE + (uint32_t)(track - t->tracks[p]);
	panic("grant handle of no page");
}

static void track_free(struct grant_track *track)
{
	struct grant_table *t = track->owner;

	lock_acquire(&t->lock);
	atomic_store_explicit(&track->state, TRACK_FREE, memory_order_relaxed);
	track->next_free = t->free_head;
	t->free_head = track_handle(t, track) + 1;
	lock_release(&t->lock);
}

/* Gives up what a mapping held: its pin, unless the granter is gone, and its frame. */
static void track_drop(struct grant_track *track)
{
	struct domain *granter = domain_find(track->granter);

	if (granter)
		grant_entry_unpin(granter, track->ref, track->readonly);
	frame_put(track->frame);
	track_free(track);
}

static void track_release(struct epoch_deferred *deferred)
{
	struct grant_track *track = container_of(deferred, struct grant_track, deferred);
	struct grant_table *t = track->owner;

	track_drop(track);
	atomic_fetch_sub_explicit(&t->releasing, 1, memory_order_release);
}

/* --- mapping ---------------------------------------------------------------------------------- */

/*
 * Everything about a mapping that can be refused, but for the p2m itself; reserves a handle, a pin
 * and a frame. Errors (GNTST_): bad_domain: no such live domain; bad_gntref: beyond its table;
 * general_error: the entry does not permit it, another has it mapped, or something is mapped at
 * gfn; address_too_big; bad_page: the granter's entry leads to no RAM of its own; eagain: the
 * granter keeps changing it; no_space: no handle, or mapped too often. Takes and releases the
 * mapper's grant table lock.
 */
int16_t grant_map_prepare(struct grant_map *m)
{
	struct domain *granter = domain_find(m->granter);
	struct p2m_entry e;

	if (!granter)
		return GNTST_bad_domain;
	if (gfn_raw(m->gfn) >= m->mapper->p2m.max_gfn)
		return GNTST_address_too_big;
	if (p2m_lookup(&m->mapper->p2m, m->gfn, &e))
		return GNTST_general_error;
	m->track = track_reserve(m->mapper->grants, &m->handle);
	if (!m->track)
		return GNTST_no_space;
	int16_t status = grant_entry_pin(granter, m->ref, m->mapper->id, m->readonly, &m->frame);
	if (status != GNTST_okay) {
		track_free(m->track);
		return status;
	}
	m->track->frame = m->frame;
	m->track->gfn = m->gfn;
	m->track->ref = m->ref;
	m->track->granter = m->granter;
	m->track->readonly = m->readonly;
	return GNTST_okay;
}

/* Undoes grant_map_prepare(). Nobody has had the translation, so that nothing is to be waited for.
 */
void grant_map_cancel(struct grant_map *m)
{
	track_drop(m->track);
}

/*
 * Makes the mapping. Errors (GNTST_), with everything undone: general_error: another vCPU has
 * mapped something there since; no_space: out of p2m tables. Takes the domain's lock.
 */
int16_t grant_map_commit(struct grant_map *m)
{
	struct domain *d = m->mapper;

	lock_acquire(&d->lock);
	int rc = p2m_map(&d->p2m, m->gfn, m->frame, 1, m->readonly ? P2M_GRANT_RO : P2M_GRANT_RW,
			 m->readonly ? P2M_R : P2M_RW);
	if (!rc)
		atomic_store_explicit(&m->track->state, TRACK_LIVE, memory_order_release);
	lock_release(&d->lock);
	if (!rc)
		return GNTST_okay;
	grant_map_cancel(m);
	return rc == -XEN_ENOMEM ? GNTST_no_space : GNTST_general_error;
}

/* Makes mappings that lie side by side on both ends, by one change of the p2m. False: nothing was
 * done. Takes the domain's lock. */
static bool map_commit_run(struct grant_map *maps, unsigned count)
{
	struct domain *d = maps->mapper;

	lock_acquire(&d->lock);
	int rc =
	    p2m_map(&d->p2m, maps->gfn, maps->frame, count,
		    maps->readonly ? P2M_GRANT_RO : P2M_GRANT_RW, maps->readonly ? P2M_R : P2M_RW);
	for (unsigned i = 0; !rc && i < count; i++)
		atomic_store_explicit(&maps[i].track->state, TRACK_LIVE, memory_order_release);
	lock_release(&d->lock);
	return !rc;
}

/*
 * grant_map_commit() for each whose status is GNTST_okay; the others are left alone. What lies side
 * by side is mapped at once where that is possible, and else one by one.
 */
void grant_map_commit_batch(struct grant_map *maps, unsigned count, int16_t *status)
{
	for (unsigned i = 0, run; i < count; i += run) {
		for (run = 1; status[i] == GNTST_okay && i + run < count; run++)
			if (status[i + run] != GNTST_okay ||
			    maps[i + run].readonly != maps[i].readonly ||
			    !gfn_equal(maps[i + run].gfn, gfn_add(maps[i].gfn, run)) ||
			    !mfn_equal(maps[i + run].frame, mfn_add(maps[i].frame, run)))
				break;
		if (run > 1 && map_commit_run(&maps[i], run))
			continue;
		for (unsigned n = i; n < i + run; n++)
			if (status[n] == GNTST_okay)
				status[n] = grant_map_commit(&maps[n]);
	}
}

/*
 * Looks a handle up and keeps others from closing it too. gfn: where the caller believes it mapped.
 * Errors (GNTST_): bad_handle: none of the caller's live mappings; bad_virt_addr: it is mapped
 * elsewhere.
 */
int16_t grant_unmap_prepare(struct domain *mapper, uint32_t handle, gfn_t gfn,
			    struct grant_track **out)
{
	struct grant_track *track = track_at(mapper->grants, handle);
	uint8_t live = TRACK_LIVE;

	if (!track ||
	    !atomic_compare_exchange_strong_explicit(&track->state, &live, TRACK_CLOSING,
						     memory_order_acquire, memory_order_relaxed))
		return GNTST_bad_handle;
	if (!gfn_equal(track->gfn, gfn)) {
		grant_unmap_cancel(track);
		return GNTST_bad_virt_addr;
	}
	*out = track;
	return GNTST_okay;
}

void grant_unmap_cancel(struct grant_track *track)
{
	atomic_store_explicit(&track->state, TRACK_LIVE, memory_order_release);
}

static void ignore_removed(gfn_t gfn, const struct p2m_entry *entry, uint64_t frame_count,
			   void *ctx)
{
	(void)gfn;
	(void)entry;
	(void)frame_count;
	(void)ctx;
}

/* The mapping is out of the p2m: pin and frame follow after an epoch. */
static void release_later(struct grant_track *track)
{
	atomic_store_explicit(&track->state, TRACK_RELEASING, memory_order_relaxed);
	atomic_fetch_add_explicit(&track->owner->releasing, 1, memory_order_relaxed);
	epoch_defer(&track->deferred, track_release);
}

/*
 * Takes the mapping away. The p2m's generation moves, so that this vCPU cannot use it any more once
 * it runs again; pin and frame follow after an epoch. Error: GNTST_no_space: out of p2m tables
 * (only where the mapping had become part of a larger leaf); it then stays. Takes the domain's
 * lock.
 */
int16_t grant_unmap_commit(struct domain *mapper, struct grant_track *track)
{
	lock_acquire(&mapper->lock);
	int rc = p2m_unmap(&mapper->p2m, track->gfn, 1, ignore_removed, NULL);
	lock_release(&mapper->lock);
	if (rc) {
		grant_unmap_cancel(track);
		return GNTST_no_space;
	}
	release_later(track);
	return GNTST_okay;
}

/* grant_unmap_commit() for each track that is not NULL, side by side at once where possible. */
void grant_unmap_commit_batch(struct domain *mapper, struct grant_track *const *tracks,
			      unsigned count, int16_t *status)
{
	for (unsigned i = 0, run; i < count; i += run) {
		int rc = -XEN_EINVAL;

		for (run = 1; tracks[i] && i + run < count; run++)
			if (!tracks[i + run] ||
			    !gfn_equal(tracks[i + run]->gfn, gfn_add(tracks[i]->gfn, run)))
				break;
		if (run > 1) {
			lock_acquire(&mapper->lock);
			rc = p2m_unmap(&mapper->p2m, tracks[i]->gfn, run, ignore_removed, NULL);
			lock_release(&mapper->lock);
		}
		for (unsigned n = i; n < i + run; n++)
			if (!rc)
				release_later(tracks[n]);
			else if (tracks[n])
				status[n] = grant_unmap_commit(mapper, tracks[n]);
	}
}

/*
 * Gives up a page of handles of a domain that is being taken apart, after an epoch in which it did
 * not run; its p2m may still lead there, but nobody uses it. True when none is left.
 */
bool grant_maps_release_step(struct domain *d)
{
	struct grant_table *t = d->grants;
	uint32_t pages = atomic_load_explicit(&t->track_pages, memory_order_acquire);

	if (t->release_cursor < pages) {
		struct grant_track *page = t->tracks[t->release_cursor++];
		for (uint32_t i = 0; i < TRACKS_PER_PAGE; i++)
			if (atomic_load(&page[i].state) == TRACK_LIVE)
				track_drop(&page[i]);
		return false;
	}
	return atomic_load_explicit(&t->releasing, memory_order_acquire) == 0;
}

/* Frees all handles; none is in use. */
void grant_tracks_free(struct grant_table *t)
{
	for (uint32_t i = 0; i < atomic_load(&t->track_pages); i++)
		heap_free(t->tracks[i]);
}
