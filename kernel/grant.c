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
 * changed under the domain's lock, and from TRACK_RELEASING on by the CPU that gives it up alone.
 * What becomes of those whose page is revoked: kernel/grant_revoke.c.
 *
 * Each mapping holds a reference on the frame of its own, and is counted with the granter, which
 * stays for as long as there is one. When a mapping goes, other vCPUs of the mapper may still use
 * its translation until every CPU has passed a quiescent point. The granter must not be told before
 * that nobody uses its page: the pins are given up through the epoch, those of a batch together,
 * from an entry in one of its handles, so that unmapping cannot fail for lack of memory.
 *
 * Lock order: domain, grant table, p2m, and inside of them BUSY of one active word at a time. All
 * three are the mapper's: of the granter nothing is locked but the words, so that two domains that
 * map each other's pages do not meet. What was found in the granter's p2m holds until this CPU's
 * next quiescent point.
 *
 * Source: Xen, public/grant_table.h.
 */
#include "grant_pin.h"
#include "mm/heap.h"
#include "p2m.h"
#include "public/errno.h"
#include "vmx/ept_batch.h"

/* The largest handle number is never given out: it says that there is none. */
#define NO_HANDLE UINT32_MAX

/* --- handles ---------------------------------------------------------------------------------- */

/* A page more of free handles. False: there are too many, or there is no memory. */
noinline_fn static bool tracks_grow(struct grant_table *t)
{
	uint32_t pages = atomic_load_explicit(&t->track_pages, memory_order_relaxed);
	void *page;

	if (pages == GRANT_TRACK_PAGES_MAX ||
	    heap_alloc(GRANT_TRACKS_PER_PAGE * sizeof(struct grant_track), t->domain->id, &page))
		return false;
	struct grant_track *tracks = page;
	for (uint32_t i = 0; i < GRANT_TRACKS_PER_PAGE; i++) {
		tracks[i].owner = t;
		tracks[i].handle = pages * GRANT_TRACKS_PER_PAGE + i;
		tracks[i].next = i + 1 < GRANT_TRACKS_PER_PAGE ? &tracks[i + 1] : NULL;
	}
	t->tracks[pages] = tracks;
	t->free = tracks;
	atomic_store_explicit(&t->track_pages, pages + 1, memory_order_release);
	return true;
}

/* Gives up what a mapping of the session's mapper held: its pin and its frame. */
always_inline_fn static inline void track_drop(struct grant_track *track, domid_t mapper,
					       struct grant_session *s)
{
	if (unlikely(s->granter_id != track->granter))
		grant_session_return(s, track->granter);
	grant_entry_unpin(s, track->ref, mapper, track_readonly(track), track->frame);
	s->mapped--;
	frame_put(track->frame);
}

void grant_track_drop(struct grant_track *track, struct grant_session *s)
{
	track_drop(track, s->mapper, s);
}

/* Puts a chain of handles back, as it is. Takes the grant table's lock. */
void grant_tracks_put(struct grant_table *t, struct grant_track *first, struct grant_track *last)
{
	lock_acquire(&t->lock);
	last->next = t->free;
	t->free = first;
	lock_release(&t->lock);
}

/* A chain of handles, after its epoch: onto the free list as it is. */
static void tracks_release(struct epoch_deferred *deferred)
{
	struct grant_track *first = container_of(deferred, struct grant_track, deferred);
	struct grant_track *track = first;
	struct grant_table *t = first->owner;
	domid_t mapper = t->domain->id;
	struct grant_session session;
	uint32_t count = 1;

	grant_session_begin(&session, mapper);
	for (;; count++) {
		track_drop(track, mapper, &session);
		atomic_store_explicit(&track->state, TRACK_FREE, memory_order_relaxed);
		if (!track->next)
			break;
		track = track->next;
	}
	grant_session_end(&session);
	grant_tracks_put(t, first, track);
	atomic_fetch_sub_explicit(&t->releasing, count, memory_order_release);
}

/* --- mapping ---------------------------------------------------------------------------------- */

/* Maps made in a row by one domain. */
struct maps {
	struct domain *mapper;
	struct grant_session session;
	struct p2m_batch p2m;
};

/* What a mapping asks for that cannot be had. */
noinline_fn static int16_t refused_flags(uint32_t flags)
{
	if (flags & GNTMAP_device_map)
		return GNTST_bad_dev_addr;
	if (!(flags & GNTMAP_host_map))
		return GNTST_bad_gntref;
	/* What is left is for paravirtualised guests, or means nothing. */
	return GNTST_general_error;
}

/* No slot was found: why not, if that is an error. */
noinline_fn static int16_t check_place(struct maps *maps, gfn_t gfn)
{
	if (gfn_raw(gfn) >= maps->mapper->p2m.max_gfn)
		return GNTST_address_too_big;
	return p2m_batch_mapped(&maps->p2m, gfn) ? GNTST_general_error : GNTST_okay;
}

/* The rest of mapping what is pinned, without a slot. */
noinline_fn static int16_t map_pinned(struct maps *maps, gfn_t gfn, uint32_t ref, bool readonly,
				      mfn_t frame)
{
	int rc = p2m_batch_map(&maps->p2m, gfn, frame, readonly ? P2M_GRANT_RO : P2M_GRANT_RW,
			       readonly ? P2M_R : P2M_RW);

	if (!rc)
		return GNTST_okay;
	/* Nobody has had the translation, so that nothing is to be waited for. */
	grant_entry_unpin(&maps->session, ref, maps->mapper->id, readonly, frame);
	frame_put(frame);
	return rc == -XEN_ENOMEM ? GNTST_no_space : GNTST_general_error;
}

always_inline_fn static inline int16_t map_one(struct maps *maps, struct gnttab_map_grant_ref *op)
{
	struct grant_table *own = maps->mapper->grants;
	gfn_t gfn = gpa_to_gfn(make_gpa(op->host_addr));
	bool readonly = op->flags & GNTMAP_readonly;
	int16_t status;
	mfn_t frame;

	if (unlikely((op->flags & ~(GNTMAP_readonly | GNTMAP_keyhole_fault |
				    GNTMAP_guest_avail_mask)) != GNTMAP_host_map))
		return refused_flags(op->flags);
	if (unlikely(gpa_offset(make_gpa(op->host_addr))))
		return GNTST_bad_virt_addr;
	if (unlikely(maps->session.granter_id != op->dom) &&
	    !grant_session_switch(&maps->session, op->dom))
		return GNTST_bad_domain;
	uint64_t *slot = p2m_batch_slot(&maps->p2m, gfn,
					readonly ? p2m_batch_kind(P2M_GRANT_RO, P2M_R)
						 : p2m_batch_kind(P2M_GRANT_RW, P2M_RW));
	if (unlikely(!slot)) {
		status = check_place(maps, gfn);
		if (status != GNTST_okay)
			return status;
	}
	if (unlikely(!own->free) && !tracks_grow(own))
		return GNTST_no_space;
	status = grant_entry_pin(&maps->session, op->ref, maps->mapper->id, readonly, &frame);
	if (unlikely(status != GNTST_okay))
		return status;
	if (likely(slot)) {
		p2m_batch_set(&maps->p2m, slot, frame);
	} else {
		status = map_pinned(maps, gfn, op->ref, readonly, frame);
		if (status != GNTST_okay)
			return status;
	}
	struct grant_track *track = own->free;
	uint32_t ref = op->ref, handle = track->handle;
	own->free = track->next;
	track->frame = frame;
	track->gfn = gfn;
	track->ref = ref;
	track->granter = op->dom;
	track->flags = (uint16_t)op->flags;
	/* A hint for who looks for it; the last mapping of the frame counts. */
	frame_set_note(frame, ref, handle);
	maps->session.mapped++;
	atomic_store_explicit(&track->state, TRACK_LIVE, memory_order_release);
	op->handle = handle;
	return GNTST_okay;
}

/*
 * Maps what the elements of a batch say, each by itself: its status and its handle are left in it.
 * Takes the locks of the mapper: its own, its grant table's, its p2m's. Statuses (GNTST_), with
 * nothing changed: bad_dev_addr, bad_gntref, general_error: flags that are not for it;
 * bad_virt_addr: not aligned; bad_domain: no such live domain; address_too_big; general_error:
 * something is mapped there; no_space: no handle, or out of p2m tables; and those of
 * grant_entry_pin().
 */
void grants_map(struct domain *mapper, struct gnttab_map_grant_ref *ops, unsigned count)
{
	struct maps maps = {.mapper = mapper};

	grant_session_begin(&maps.session, mapper->id);
	lock_acquire(&mapper->lock);
	lock_acquire(&mapper->grants->lock);
	p2m_batch_begin(&maps.p2m, &mapper->p2m);
	for (struct gnttab_map_grant_ref *op = ops; op < ops + count; op++) {
		op->status = map_one(&maps, op);
		if (unlikely(op->status != GNTST_okay))
			op->handle = NO_HANDLE;
		op->dev_bus_addr = 0; /* no machine address is ever told */
	}
	p2m_batch_end(&maps.p2m);
	/* Now: who gets the lock next, to revoke, finds them counted. */
	grant_session_end(&maps.session);
	lock_release(&mapper->grants->lock);
	lock_release(&mapper->lock);
}

/* --- unmapping -------------------------------------------------------------------------------- */

/* The same for taking them away. */
struct unmaps {
	struct domain *mapper;
	struct grant_track *gone; /* a chain */
	uint32_t gone_count;
	struct grant_track *revoked; /* the same, of handles that hold nothing any more */
	struct p2m_batch p2m;
};

/*
 * What is no live mapping: nothing, or a handle whose page was revoked. Then the place is a hole
 * again, or has been one. Its pin may still wait for its epoch; who gives that up frees the handle.
 */
noinline_fn static int16_t unmap_revoked(struct unmaps *unmaps, struct grant_track *track,
					 gfn_t gfn)
{
	struct grant_table *t = unmaps->mapper->grants;
	uint8_t state = TRACK_REVOKING;

	if (!track || atomic_load_explicit(&track->state, memory_order_acquire) < TRACK_REVOKING)
		return GNTST_bad_handle;
	if (!gfn_equal(track->gfn, gfn))
		return GNTST_bad_virt_addr;
	if (!track_faults(track) && p2m_batch_clear(&unmaps->p2m, gfn))
		return GNTST_no_space;
	atomic_fetch_sub_explicit(&t->revoked, 1, memory_order_relaxed);
	if (track_faults(track))
		atomic_fetch_sub_explicit(&t->faulting, 1, memory_order_relaxed);
	if (atomic_compare_exchange_strong(&track->state, &state, TRACK_RELEASING))
		return GNTST_okay;
	atomic_store_explicit(&track->state, TRACK_FREE, memory_order_relaxed);
	track->next = unmaps->revoked;
	unmaps->revoked = track;
	return GNTST_okay;
}

always_inline_fn static inline int16_t unmap_one(struct unmaps *unmaps,
						 const struct gnttab_unmap_grant_ref *op)
{
	struct grant_track *track = track_at(unmaps->mapper->grants, op->handle);

	if (unlikely(op->dev_bus_addr))
		return GNTST_bad_dev_addr;
	if (unlikely(gpa_offset(make_gpa(op->host_addr))))
		return GNTST_bad_virt_addr;
	/* The domain's lock keeps others from closing it. */
	if (unlikely(!track ||
		     atomic_load_explicit(&track->state, memory_order_acquire) != TRACK_LIVE))
		return unmap_revoked(unmaps, track, gpa_to_gfn(make_gpa(op->host_addr)));
	if (unlikely(!gfn_equal(track->gfn, gpa_to_gfn(make_gpa(op->host_addr)))))
		return GNTST_bad_virt_addr;
	if (unlikely(p2m_batch_clear(&unmaps->p2m, track->gfn)))
		return GNTST_no_space;
	atomic_store_explicit(&track->state, TRACK_RELEASING, memory_order_relaxed);
	track->next = unmaps->gone;
	unmaps->gone = track;
	unmaps->gone_count++;
	return GNTST_okay;
}

/*
 * Takes away what the elements of a batch say, each by itself. The p2m's generation moves, so that
 * this vCPU cannot use the mappings any more once it runs again; pins and frames follow after an
 * epoch, all by one entry: that of the last handle. Takes the locks of the mapper: its own and its
 * p2m's. Statuses (GNTST_), with nothing changed: bad_dev_addr: there is none; bad_handle: none of
 * the caller's live mappings; bad_virt_addr: not aligned, or it is mapped elsewhere; no_space: out
 * of p2m tables (only where the mapping had become part of a larger leaf).
 */
void grants_unmap(struct domain *mapper, struct gnttab_unmap_grant_ref *ops, unsigned count)
{
	struct unmaps unmaps = {.mapper = mapper};

	lock_acquire(&mapper->lock);
	p2m_batch_begin(&unmaps.p2m, &mapper->p2m);
	for (struct gnttab_unmap_grant_ref *op = ops; op < ops + count; op++)
		op->status = unmap_one(&unmaps, op);
	p2m_batch_end(&unmaps.p2m);
	if (unlikely(unmaps.revoked)) {
		struct grant_track *last = unmaps.revoked;
		while (last->next)
			last = last->next;
		grant_tracks_put(mapper->grants, unmaps.revoked, last);
	}
	lock_release(&mapper->lock);
	if (!unmaps.gone)
		return;
	atomic_fetch_add_explicit(&mapper->grants->releasing, unmaps.gone_count,
				  memory_order_relaxed);
	epoch_defer_work(&unmaps.gone->deferred, tracks_release, unmaps.gone_count);
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
		grant_session_begin(&session, d->id);
		for (uint32_t i = 0; i < GRANT_TRACKS_PER_PAGE; i++)
			if (atomic_load(&page[i].state) == TRACK_LIVE)
				track_drop(&page[i], d->id, &session);
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
