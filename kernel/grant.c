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
 * State: the handles of struct grant_table, a free list under its lock; the state of a handle is
 *changed under the domain's lock, and from TRACK_RELEASING on by the CPU that gives it up alone.
 *
 * Each mapping holds a reference on the frame of its own, so that the frame outlives the granter if
 * it must. When a mapping goes, other vCPUs of the mapper may still use its translation until every
 * CPU has passed a quiescent point. The granter must not be told before that nobody uses its page:
 * the pins are given up through the epoch, those of a batch together, from an entry in one of its
 * handles, so that unmapping cannot fail for lack of memory.
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

enum track_state { TRACK_FREE, TRACK_LIVE, TRACK_RELEASING };

/* A mapping, behind its handle. */
struct grant_track {
	struct epoch_deferred deferred;
	struct grant_table *owner; /* of the mapper */
	mfn_t frame;
	gfn_t gfn; /* where it is mapped */
	uint32_t ref;
	uint32_t next; /* free, or released together: handle + 1, 0 at the end */
	uint32_t handle;
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

/* The next free handle, which stays on its list; the list grows by a page when it is empty. */
static struct grant_track *track_next_free(struct grant_table *t)
{
	uint32_t pages = atomic_load_explicit(&t->track_pages, memory_order_relaxed);
	void *page;

	if (likely(t->free_head))
		return track_at(t, t->free_head - 1);
	if (pages == GRANT_TRACK_PAGES_MAX ||
	    heap_alloc(TRACKS_PER_PAGE * sizeof(struct grant_track), t->domain->id, &page))
		return NULL;
	struct grant_track *tracks = page;
	for (uint32_t i = 0; i < TRACKS_PER_PAGE; i++) {
		tracks[i].owner = t;
		tracks[i].handle = pages * (uint32_t)TRACKS_PER_PAGE + i;
		tracks[i].next = i + 1 < TRACKS_PER_PAGE ? tracks[i].handle + 2 : 0;
	}
	t->tracks[pages] = tracks;
	t->free_head = tracks->handle + 1;
	atomic_store_explicit(&t->track_pages, pages + 1, memory_order_release);
	return tracks;
}

static void session_switch(struct grant_session *s, struct domain *granter)
{
	grant_session_end(s);
	grant_session_begin(s, granter);
}

/* Gives up what a mapping held: its pin, unless the granter is gone, and its frame. */
static void track_drop(struct grant_track *track, struct grant_session *s)
{
	if (!s->granter || s->granter->id != track->granter)
		session_switch(s, domain_find(track->granter));
	if (s->granter)
		grant_entry_unpin(s, track->ref, track->readonly);
	frame_put(track->frame);
	atomic_store_explicit(&track->state, TRACK_FREE, memory_order_relaxed);
}

/* A chain of handles, after its epoch: onto the free list as it is. */
static void tracks_release(struct epoch_deferred *deferred)
{
	struct grant_track *first = container_of(deferred, struct grant_track, deferred);
	struct grant_track *track = first;
	struct grant_table *t = first->owner;
	struct grant_session session;
	uint32_t count = 1;

	grant_session_begin(&session, NULL);
	for (;; count++) {
		track_drop(track, &session);
		if (!track->next)
			break;
		track = track_at(t, track->next - 1);
	}
	grant_session_end(&session);
	lock_acquire(&t->lock);
	track->next = t->free_head;
	t->free_head = first->handle + 1;
	lock_release(&t->lock);
	atomic_fetch_sub_explicit(&t->releasing, count, memory_order_release);
}

/* --- mapping ---------------------------------------------------------------------------------- */

/* Takes the locks of the mapper: its own, its grant table's, its p2m's. */
void grant_maps_begin(struct grant_maps *maps, struct domain *mapper)
{
	maps->mapper = mapper;
	grant_session_begin(&maps->session, NULL);
	lock_acquire(&mapper->lock);
	lock_acquire(&mapper->grants->lock);
	p2m_batch_begin(&maps->p2m, &mapper->p2m);
}

/*
 * Maps one. Errors (GNTST_), with nothing changed: bad_domain: no such live domain;
 * address_too_big; general_error: something is mapped at gfn, the entry does not permit it, or
 * another has it mapped; no_space: no handle, mapped too often, or out of p2m tables; bad_gntref:
 * beyond the granter's table; bad_page: the entry leads to no RAM of the granter's own; eagain: the
 * granter keeps changing it.
 */
int16_t grant_maps_add(struct grant_maps *maps, const struct grant_map *m, uint32_t *handle)
{
	struct domain *d = maps->mapper;
	struct grant_session *s = &maps->session;
	mfn_t frame;

	if (unlikely(!s->granter || s->granter->id != m->granter)) {
		session_switch(s, domain_find(m->granter));
		if (!s->granter)
			return GNTST_bad_domain;
	}
	if (unlikely(gfn_raw(m->gfn) >= d->p2m.max_gfn))
		return GNTST_address_too_big;
	if (unlikely(p2m_batch_mapped(&maps->p2m, m->gfn)))
		return GNTST_general_error;
	struct grant_track *track = track_next_free(d->grants);
	if (unlikely(!track))
		return GNTST_no_space;
	int16_t status = grant_entry_pin(s, m->ref, d->id, m->readonly, &frame);
	if (unlikely(status != GNTST_okay))
		return status;
	int rc = p2m_batch_map(&maps->p2m, m->gfn, frame, m->readonly ? P2M_GRANT_RO : P2M_GRANT_RW,
			       m->readonly ? P2M_R : P2M_RW);
	if (unlikely(rc)) {
		/* Nobody has had the translation, so that nothing is to be waited for. */
		grant_entry_unpin(s, m->ref, m->readonly);
		frame_put(frame);
		return rc == -XEN_ENOMEM ? GNTST_no_space : GNTST_general_error;
	}
	d->grants->free_head = track->next;
	track->frame = frame;
	track->gfn = m->gfn;
	track->ref = m->ref;
	track->granter = m->granter;
	track->readonly = m->readonly;
	atomic_store_explicit(&track->state, TRACK_LIVE, memory_order_release);
	*handle = track->handle;
	return GNTST_okay;
}

void grant_maps_end(struct grant_maps *maps)
{
	p2m_batch_end(&maps->p2m);
	lock_release(&maps->mapper->grants->lock);
	lock_release(&maps->mapper->lock);
	grant_session_end(&maps->session);
}

/* --- unmapping -------------------------------------------------------------------------------- */

/* Takes the locks of the mapper: its own and its p2m's. */
void grant_unmaps_begin(struct grant_unmaps *unmaps, struct domain *mapper)
{
	unmaps->mapper = mapper;
	unmaps->gone = NULL;
	unmaps->gone_count = 0;
	lock_acquire(&mapper->lock);
	p2m_batch_begin(&unmaps->p2m, &mapper->p2m);
}

/*
 * Takes one mapping away. gfn: where the caller believes it mapped. Errors (GNTST_), with nothing
 * changed: bad_handle: none of the caller's live mappings; bad_virt_addr: it is mapped elsewhere;
 * no_space: out of p2m tables (only where the mapping had become part of a larger leaf).
 */
int16_t grant_unmaps_add(struct grant_unmaps *unmaps, uint32_t handle, gfn_t gfn)
{
	struct grant_track *track = track_at(unmaps->mapper->grants, handle);

	/* The domain's lock keeps others from closing it. */
	if (unlikely(!track ||
		     atomic_load_explicit(&track->state, memory_order_acquire) != TRACK_LIVE))
		return GNTST_bad_handle;
	if (unlikely(!gfn_equal(track->gfn, gfn)))
		return GNTST_bad_virt_addr;
	if (unlikely(p2m_batch_unmap(&unmaps->p2m, gfn)))
		return GNTST_no_space;
	atomic_store_explicit(&track->state, TRACK_RELEASING, memory_order_relaxed);
	track->next = unmaps->gone ? unmaps->gone->handle + 1 : 0;
	unmaps->gone = track;
	unmaps->gone_count++;
	return GNTST_okay;
}

/*
 * The p2m's generation moves, so that this vCPU cannot use the mappings any more once it runs
 * again; pins and frames follow after an epoch, all by one entry: that of the last handle.
 */
void grant_unmaps_end(struct grant_unmaps *unmaps)
{
	p2m_batch_end(&unmaps->p2m);
	lock_release(&unmaps->mapper->lock);
	if (!unmaps->gone)
		return;
	atomic_fetch_add_explicit(&unmaps->mapper->grants->releasing, unmaps->gone_count,
				  memory_order_relaxed);
	epoch_defer(&unmaps->gone->deferred, tracks_release);
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
		struct grant_session session;
		grant_session_begin(&session, NULL);
		for (uint32_t i = 0; i < TRACKS_PER_PAGE; i++)
			if (atomic_load(&page[i].state) == TRACK_LIVE)
				track_drop(&page[i], &session);
		grant_session_end(&session);
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
