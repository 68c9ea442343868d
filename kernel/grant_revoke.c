/*
 * Revocation: an owner takes back a page that others have mapped through grants, of its own will or
 * because it is destroyed. Nobody has to let go of anything.
 *
 * The mapper keeps its handle. Where the page was it sees its poison frame, a frame of its own, or,
 * if it asked for that when it mapped the page, a hole whose use raises #GP. The pin, the frame and
 * the granter's count go after an epoch, as those of an unmapping do; until then copies begun
 * before go on.
 *
 * State: that of struct grant_track and struct grant_table, under the mapper's lock; a granter's
 * own cursors, when it is destroyed. Of the granter nothing is locked. Lock order: kernel/grant.c.
 *
 * How mappings are found: an active word says who has a reference mapped; a note at the frame, by
 * which handle, if that is the last one; else the mapper's handles are searched, a bounded step at
 * a time. When a domain is destroyed, its counts say whose handles and whose p2m are to be
 * searched.
 */
#include "grant_pin.h"
#include "kernel/foreign_map.h"
#include "kernel/hypercall.h"
#include "p2m.h"
#include "public/keyhole.h"
#include "vcpu.h"

/* Handles looked at in one step of a search. */
#define SEARCH_HANDLES 2048u
_Static_assert(DOMAINS_MAX <= 64, "struct grant_search has a bit for each mapper");

/* Mappings of one mapper that are revoked together, at most HYPERCALL_BATCH. */
struct revoker {
	struct domain *mapper;
	struct grant_track *gone; /* a chain */
	uint32_t count;
	struct p2m_batch p2m;
};

/* Pins of revoked mappings, after their epoch. All are one granter's. */
static void tracks_revoked(struct epoch_deferred *deferred)
{
	struct grant_track *track = container_of(deferred, struct grant_track, deferred), *next;
	struct grant_table *t = track->owner;
	struct domain *granter = domain_owning(track->granter);
	struct grant_track *freed = NULL, *last = NULL;
	struct grant_session session;
	uint32_t count = 0;

	grant_session_begin(&session, t->domain->id);
	for (; track; track = next, count++) {
		uint8_t state = TRACK_REVOKING;

		next = track->next;
		grant_track_drop(track, &session);
		if (atomic_compare_exchange_strong(&track->state, &state, TRACK_REVOKED))
			continue;
		atomic_store_explicit(&track->state, TRACK_FREE, memory_order_relaxed);
		track->next = freed;
		freed = track;
		last = last ? last : track;
	}
	grant_session_end(&session);
	if (freed)
		grant_tracks_put(t, freed, last);
	atomic_fetch_sub(&granter->grants->revoking, count);
	atomic_fetch_sub_explicit(&t->releasing, count, memory_order_release);
}

/* False: the mapper gives up all it has mapped itself, since it is being destroyed. */
static bool revoker_begin(struct revoker *r, struct domain *mapper)
{
	lock_acquire(&mapper->lock);
	if (mapper->maps_closed) {
		lock_release(&mapper->lock);
		return false;
	}
	r->mapper = mapper;
	r->gone = NULL;
	r->count = 0;
	p2m_batch_begin(&r->p2m, &mapper->p2m);
	return true;
}

static void revoker_add(struct revoker *r, struct grant_track *track)
{
	struct grant_table *t = r->mapper->grants;
	mfn_t old;
	int rc = track_faults(track)
		     ? p2m_batch_unmap(&r->p2m, track->gfn)
		     : p2m_batch_exchange(&r->p2m, track->gfn,
					  track_readonly(track) ? P2M_GRANT_RO : P2M_GRANT_RW,
					  r->mapper->poison, &old);

	assert_always(!rc); /* it is a single page, and there */
	atomic_fetch_add_explicit(&t->revoked, 1, memory_order_relaxed);
	if (track_faults(track))
		atomic_fetch_add_explicit(&t->faulting, 1, memory_order_relaxed);
	track->next = r->gone;
	r->gone = track;
	r->count++;
	atomic_store_explicit(&track->state, TRACK_REVOKING, memory_order_release);
}

static void revoker_end(struct revoker *r, struct domain *granter)
{
	p2m_batch_end(&r->p2m);
	atomic_fetch_add(&r->mapper->grants->releasing, r->count);
	atomic_fetch_add(&granter->grants->revoking, r->count);
	lock_release(&r->mapper->lock);
	if (r->gone)
		epoch_defer_work(&r->gone->deferred, tracks_revoked, r->count);
}

static bool is_live(const struct grant_track *track, domid_t granter)
{
	return atomic_load_explicit(&track->state, memory_order_acquire) == TRACK_LIVE &&
	       track->granter == granter;
}

/* --- by its owner ----------------------------------------------------------------------------- */

/* Goes on with the mappings of a domain. False: it is being destroyed. */
static bool revoker_switch(struct revoker *r, domid_t id, struct domain *granter)
{
	struct domain *mapper = domain_owning(id);

	if (r->mapper && r->mapper->id == id)
		return true;
	if (r->mapper)
		revoker_end(r, granter);
	r->mapper = NULL;
	return mapper && revoker_begin(r, mapper);
}

/*
 * Revokes the mapping of a reference that is noted at its frame, if that one lives. Whether it is
 * all that uses the reference: the pin of a handle that does not live any more may have gone
 * before the pins were counted, and the one that was may be another's.
 */
static bool revoke_noted(struct revoker *r, const struct domain *d, uint32_t ref, uint64_t a)
{
	uint32_t noted, handle;

	frame_note(make_mfn(a & ACTIVE_FRAME_MASK), &noted, &handle);
	struct grant_track *track = track_at(r->mapper->grants, handle);
	if (!track || !is_live(track, d->id) || track->ref != ref)
		return false;
	revoker_add(r, track);
	return grant_active_pins(a) == 1;
}

/*
 * Takes back what references of a domain's own grant, each by itself, with one flush for each row
 * of them with one mapper. Their entries become invalid at once; mappings are gone, and the pages
 * the owner's alone, when grants_revoke_search() has come to its end, and after an epoch from
 * there, when also grants_revoking() says so. Statuses (GNTST_): okay, also if nothing was mapped;
 * bad_gntref: beyond the table. Takes the locks of mappers: their own and their p2m's.
 */
void grants_revoke(struct domain *d, struct keyhole_grant_revoke *ops, unsigned count,
		   struct grant_search *search)
{
	struct revoker r = {.mapper = NULL};
	struct grant_session session;
	uint64_t active[HYPERCALL_BATCH];

	grant_session_begin(&session, d->id);
	session.granter = d;
	for (unsigned i = 0; i < count; i++) {
		active[i] = grant_entry_revoke(&session, ops[i].ref);
		ops[i].status = active[i] == ACTIVE_BUSY ? GNTST_bad_gntref : GNTST_okay;
		ops[i].mappings = (uint16_t)grant_active_pins(active[i]);
	}
	grant_session_end(&session);
	for (unsigned i = 0; i < count; i++) {
		domid_t mapper = grant_active_mapper(active[i]);

		if (!ops[i].mappings || !revoker_switch(&r, mapper, d) ||
		    revoke_noted(&r, d, ops[i].ref, active[i]))
			continue;
		search->mappers |= 1ull << (mapper - 1);
		search->handle = 0;
	}
	if (r.mapper)
		revoker_end(&r, d);
}

/*
 * A bounded step in revoking what the references that a domain is revoking have mapped and no note
 * tells of: some mapper has, or had. What it makes meanwhile is not by these. True: there is no
 * more to look for.
 */
bool grants_revoke_search(struct domain *d, struct grant_search *search)
{
	struct revoker r = {.mapper = NULL};
	struct domain *mapper;
	uint32_t looks = SEARCH_HANDLES;

	mapper = domain_owning((domid_t)(1 + __builtin_ctzll(search->mappers)));
	if (mapper && revoker_begin(&r, mapper)) {
		struct grant_table *t = mapper->grants;
		/* Who has nothing of d may have been made up: nothing is told of it. */
		uint32_t end = atomic_load(&d->granted_to[mapper->id])
				   ? atomic_load(&t->track_pages) * GRANT_TRACKS_PER_PAGE
				   : 0;

		for (; search->handle < end && looks && r.count < HYPERCALL_BATCH;
		     search->handle++, looks--) {
			struct grant_track *track = track_at(t, search->handle);

			if (is_live(track, d->id) &&
			    grant_entry_active(d, track->ref) & ACTIVE_REVOKED)
				revoker_add(&r, track);
		}
		revoker_end(&r, d);
		if (search->handle < end)
			return false;
	}
	search->mappers &= search->mappers - 1;
	search->handle = 0;
	return !search->mappers;
}

/* Whether mappings of a domain's pages that were revoked still wait for their epoch. */
bool grants_revoking(const struct domain *d)
{
	return atomic_load(&d->grants->revoking);
}

/* Handles of a domain that were revoked and not unmapped. */
uint32_t grants_revoked(const struct domain *d)
{
	return atomic_load_explicit(&d->grants->revoked, memory_order_relaxed);
}

/* --- by a domain that is destroyed ------------------------------------------------------------ */

/* A page of a mapper's handles. False: there are no more. */
static bool revoke_handles_step(struct domain *d, struct domain *mapper)
{
	struct grant_table *t = mapper->grants;
	struct revoker r;

	if (d->grants->revoke_page >= atomic_load(&t->track_pages) || !revoker_begin(&r, mapper))
		return false;
	struct grant_track *page = t->tracks[d->grants->revoke_page++];
	for (uint32_t i = 0; i < GRANT_TRACKS_PER_PAGE; i++)
		if (is_live(&page[i], d->id))
			revoker_add(&r, &page[i]);
	revoker_end(&r, d);
	return true;
}

/*
 * A bounded step in taking all pages of a domain from those that have them mapped; nobody can find
 * it any more. True: nobody has any of them, and what their use needed has passed.
 */
bool grant_revoke_step(struct domain *d)
{
	struct grant_table *t = d->grants;
	uint32_t left = 0;

	for (; t->revoke_mapper <= DOMAINS_MAX; t->revoke_mapper++) {
		domid_t id = t->revoke_mapper;
		struct domain *mapper = domain_owning(id);

		if (mapper && atomic_load(&d->granted_to[id]) && revoke_handles_step(d, mapper))
			return false;
		if (mapper && atomic_load(&d->foreign_in[id]) &&
		    foreign_revoke_step(d->id, mapper, &t->revoke_gfn))
			return false;
		t->revoke_page = 0;
		t->revoke_gfn = 0;
	}
	for (domid_t id = 0; id <= DOMAINS_MAX; id++)
		left |= atomic_load(&d->granted_to[id]) | atomic_load(&d->foreign_in[id]);
	return !left;
}

/* --- what the mapper sees --------------------------------------------------------------------- */

bool memory_revoked(struct domain *d, gpa_t gpa)
{
	struct grant_table *t = d->grants;
	uint32_t pages = atomic_load_explicit(&t->track_pages, memory_order_acquire);

	if (!atomic_load_explicit(&t->faulting, memory_order_relaxed))
		return false;
	for (uint32_t handle = 0; handle < pages * GRANT_TRACKS_PER_PAGE; handle++) {
		const struct grant_track *track = track_at(t, handle);

		if (atomic_load_explicit(&track->state, memory_order_acquire) >= TRACK_REVOKING &&
		    track_faults(track) && gfn_equal(track->gfn, gpa_to_gfn(gpa)))
			return true;
	}
	return false;
}
