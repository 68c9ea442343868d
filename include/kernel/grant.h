/* Grants: the state behind the hypercalls. kernel/grant.c, kernel/grant_table.c. */
#ifndef KEYHOLE_KERNEL_GRANT_H
#define KEYHOLE_KERNEL_GRANT_H

#include "../domain.h"
#include "../p2m.h"
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

/*
 * Looks at one granter's table, several in a row: its slot of the window stays open, and what its
 * p2m said is used again as long as it still holds. Inside of kernel/grant_entry.c.
 */
struct grant_session {
	struct domain *granter; /* NULL: of nobody */
	struct grant_table *table;
	void *entries;	/* of the open table frame */
	uint32_t frame; /* its index; all ones: none is open */
	/* a leaf of the granter's RAM, as of generation */
	uint64_t generation, first_gfn, frame_count;
	mfn_t first_frame;
};

/*
 * Mappings made in a row by one domain. Between begin and end its lock, its grant table's and its
 * p2m's are held.
 */
struct grant_maps {
	struct domain *mapper;
	struct grant_session session;
	struct p2m_batch p2m;
};
struct grant_map {
	gfn_t gfn; /* where it shall appear */
	uint32_t ref;
	domid_t granter;
	bool readonly;
};
void grant_maps_begin(struct grant_maps *maps, struct domain *mapper);
int16_t grant_maps_add(struct grant_maps *maps, const struct grant_map *m, uint32_t *handle);
void grant_maps_end(struct grant_maps *maps);

/* The same for taking them away; the domain's lock and its p2m's are held. */
struct grant_unmaps {
	struct domain *mapper;
	struct grant_track *gone;
	uint32_t gone_count;
	struct p2m_batch p2m;
};
void grant_unmaps_begin(struct grant_unmaps *unmaps, struct domain *mapper);
int16_t grant_unmaps_add(struct grant_unmaps *unmaps, uint32_t handle, gfn_t gfn);
void grant_unmaps_end(struct grant_unmaps *unmaps);

#endif
