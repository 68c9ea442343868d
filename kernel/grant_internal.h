/*
 * The inside of grant tables, shared by kernel/grant.c (mappings), kernel/grant_entry.c (entries)
 * and kernel/grant_table.c (tables). State and locks are described there.
 */
#ifndef KEYHOLE_KERNEL_GRANT_INTERNAL_H
#define KEYHOLE_KERNEL_GRANT_INTERNAL_H

#include "kernel/grant.h"
#include "lock.h"

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
	uint32_t free_head;	    /* handle + 1, 0: none */
	_Atomic uint32_t releasing; /* handles that wait for their epoch */
	uint32_t release_cursor;    /* grant_maps_release_step(): the next handle to look at */
};

/* kernel/grant_entry.c */
void grant_session_begin(struct grant_session *s, struct domain *granter);
void grant_session_end(struct grant_session *s);
int16_t grant_entry_pin(struct grant_session *s, uint32_t ref, domid_t mapper, bool readonly,
			mfn_t *frame);
void grant_entry_unpin(struct grant_session *s, uint32_t ref, bool readonly);

/* kernel/grant.c */
void grant_tracks_free(struct grant_table *t);

#endif
