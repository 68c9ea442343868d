/*
 * The inside of grant tables, shared by kernel/grant.c (mappings), kernel/grant_entry.c (entries),
 * kernel/grant_revoke.c (revocation) and kernel/grant_table.c (tables). State and locks are
 * described there.
 */
#ifndef KEYHOLE_KERNEL_GRANT_INTERNAL_H
#define KEYHOLE_KERNEL_GRANT_INTERNAL_H

#include "kernel/grant.h"
#include "lock.h"
#include "mm/epoch.h"
#include "public/grant_table.h"

/*
 * A mapping, behind its handle.
 *
 *	FREE -> LIVE -> RELEASING -> FREE		unmapped; its pin goes after an epoch
 *		LIVE -> REVOKING -> REVOKED -> FREE	revoked, its pin gone; then unmapped
 *			REVOKING -> RELEASING -> FREE	unmapped before its pin has gone
 *
 * LIVE ends under the mapper's lock. What REVOKING becomes, two may decide: by compare-and-swap.
 */
enum track_state { TRACK_FREE, TRACK_LIVE, TRACK_RELEASING, TRACK_REVOKING, TRACK_REVOKED };

struct grant_track {
	struct epoch_deferred deferred;
	struct grant_table *owner; /* of the mapper */
	struct grant_track *next;  /* free, or released together */
	mfn_t frame;
	gfn_t gfn; /* where it is mapped */
	uint32_t ref;
	uint32_t handle;
	domid_t granter;
	uint16_t flags;	       /* GNTMAP_ */
	_Atomic uint8_t state; /* enum track_state */
};

struct grant_table {
	struct lock lock;
	struct domain *domain;
	_Atomic uint32_t frame_count;
	mfn_t frames[GRANT_FRAMES_MAX];
	gfn_t gfns[GRANT_FRAMES_MAX]; /* where the guest has them, or GFN_INVALID */
	_Atomic uint64_t *active[GRANT_FRAMES_MAX];
	struct grant_track *tracks[GRANT_TRACK_PAGES_MAX];
	_Atomic uint32_t track_pages;
	struct grant_track *free;
	_Atomic uint32_t releasing; /* handles that wait for their epoch */
	uint32_t release_cursor;    /* grant_maps_release_step(): the next handle to look at */
	_Atomic uint32_t revoking;  /* mappings of its pages, revoked, that wait for their epoch */
	_Atomic uint32_t
	    revoked; /* handles that were revoked and not unmapped yet; domain's lock */
	_Atomic uint32_t faulting; /* of these, that are holes whose use faults */
	domid_t revoke_mapper;	   /* grant_revoke_step(): whose mappings are being looked at, */
	uint32_t revoke_page;	   /* the next page of its handles, */
	uint64_t revoke_gfn;	   /* and where its p2m is gone on with */
};

/*
 * Looks at one granter's table, several references in a row: its slot of the window stays open, and
 * what its p2m said is used again as long as it still holds.
 */
struct grant_session {
	uint64_t granter_id; /* GRANT_SESSION_NONE: of nobody yet */
	domid_t mapper;
	uint32_t mapped; /* mappings made, less those ended, that the granter's count lacks */
	struct domain *granter;
	/* Of the table frame at hand, whose first reference this is; GRANT_SESSION_NONE: of none.
	 */
	uint64_t first_ref;
	struct grant_entry_v1 *entries;
	_Atomic uint64_t *active;
	/* A leaf of the granter's RAM, as of generation. */
	uint64_t generation, first_gfn, frame_count;
	mfn_t first_frame;
};

/* Far from every domain and every reference. */
#define GRANT_SESSION_NONE (1ull << 63)

/* kernel/grant_entry.c; kernel/grant_pin.h has the short ways */
void grant_session_begin(struct grant_session *s, domid_t mapper);
void grant_session_end(struct grant_session *s);
bool grant_session_switch(struct grant_session *s, domid_t granter);
void grant_session_return(struct grant_session *s, domid_t granter);
bool grant_session_take_frame(struct grant_session *s, uint32_t ref);
int16_t grant_entry_pin_again(struct grant_session *s, uint32_t ref, uint64_t active,
			      domid_t mapper, bool readonly, mfn_t *frame);
int16_t grant_entries_swap(struct domain *d, uint32_t a, uint32_t b);
void grant_entry_unpin_again(struct grant_session *s, uint32_t ref, bool readonly);
uint64_t grant_entry_revoke(struct grant_session *s, uint32_t ref);
uint64_t grant_entry_active(const struct domain *d, uint32_t ref);
uint32_t grant_active_pins(uint64_t a);
domid_t grant_active_mapper(uint64_t a);
mfn_t grant_active_frame(uint64_t a);

/* kernel/grant.c */
void grant_tracks_free(struct grant_table *t);
void grant_track_drop(struct grant_track *track, struct grant_session *s);
void grant_tracks_put(struct grant_table *t, struct grant_track *first, struct grant_track *last);

static inline bool track_readonly(const struct grant_track *track)
{
	return track->flags & GNTMAP_readonly;
}

/* Whether, revoked, it is to be a hole whose use faults. */
static inline bool track_faults(const struct grant_track *track)
{
	return track->flags & GNTMAP_keyhole_fault;
}

static inline struct grant_track *track_at(struct grant_table *t, uint32_t handle)
{
	uint32_t pages = atomic_load_explicit(&t->track_pages, memory_order_acquire);

	if (handle / GRANT_TRACKS_PER_PAGE >= pages)
		return NULL;
	return &t->tracks[handle / GRANT_TRACKS_PER_PAGE][handle % GRANT_TRACKS_PER_PAGE];
}

#endif
