/*
 * The inside of grant tables, shared by kernel/grant.c (mappings), kernel/grant_entry.c (entries)
 * and kernel/grant_table.c (tables). State and locks are described there.
 */
#ifndef KEYHOLE_KERNEL_GRANT_INTERNAL_H
#define KEYHOLE_KERNEL_GRANT_INTERNAL_H

#include "kernel/grant.h"
#include "lock.h"
#include "public/grant_table.h"

struct grant_track;

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
};

/*
 * Looks at one granter's table, several references in a row: its slot of the window stays open, and
 * what its p2m said is used again as long as it still holds.
 */
struct grant_session {
	uint64_t granter_id; /* GRANT_SESSION_NONE: of nobody yet */
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
void grant_session_begin(struct grant_session *s);
void grant_session_end(struct grant_session *s);
bool grant_session_switch(struct grant_session *s, domid_t granter);
bool grant_session_take_frame(struct grant_session *s, uint32_t ref);
bool grant_session_take_leaf(struct grant_session *s, uint64_t gfn);
int16_t grant_entry_pin_again(struct grant_session *s, uint32_t ref, uint64_t active,
			      domid_t mapper, bool readonly, mfn_t *frame);
int16_t grant_entries_swap(struct domain *d, uint32_t a, uint32_t b);
void grant_entry_unpin_again(struct grant_session *s, uint32_t ref, bool readonly);

/* kernel/grant.c */
void grant_tracks_free(struct grant_table *t);

#endif
