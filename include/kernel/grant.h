/* Grants: the state behind the hypercalls. kernel/grant.c, kernel/grant_table.c. */
#ifndef KEYHOLE_KERNEL_GRANT_H
#define KEYHOLE_KERNEL_GRANT_H

#include "../domain.h"
#include "../types.h"

/* A version 1 table: 512 entries in each frame. */
#define GRANT_FRAMES_MAX	32u
#define GRANT_ENTRIES_PER_FRAME 512u
/* Grants of others that a domain may have mapped: 64 handles in each page. */
#define GRANT_TRACK_PAGES_MAX 256u

/* Functions that return int16_t return a GNTST_ status (public/grant_table.h). */

struct grant_track;

int grant_table_create(struct domain *d) must_use;
bool grant_maps_release_step(struct domain *d);
void grant_table_free(struct domain *d);

uint32_t grant_table_frames(struct domain *d);
int grant_table_grow(struct domain *d, uint32_t frame_count) must_use;
int grant_table_map_frame(struct domain *d, uint32_t index, gfn_t gfn) must_use;
gfn_t grant_table_frame_gfn(struct domain *d, uint32_t index);
void grant_table_frame_unmapped(struct domain *d, gfn_t gfn);

/* One mapping in the making: prepare, then either commit or cancel. */
struct grant_map {
	struct domain *mapper;
	domid_t granter;
	uint32_t ref;
	gfn_t gfn; /* where it shall appear */
	bool readonly;
	/* set by grant_map_prepare() */
	uint32_t handle;
	mfn_t frame;
	struct grant_track *track;
};
int16_t grant_map_prepare(struct grant_map *m);
int16_t grant_map_commit(struct grant_map *m);
void grant_map_commit_batch(struct grant_map *maps, unsigned count, int16_t *status);
void grant_map_cancel(struct grant_map *m);

/* The same for taking one away. */
int16_t grant_unmap_prepare(struct domain *mapper, uint32_t handle, gfn_t gfn,
			    struct grant_track **out);
int16_t grant_unmap_commit(struct domain *mapper, struct grant_track *track);
void grant_unmap_commit_batch(struct domain *mapper, struct grant_track *const *tracks,
			      unsigned count, int16_t *status);
void grant_unmap_cancel(struct grant_track *track);

#endif
