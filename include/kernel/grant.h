/* Grants: the state behind the hypercalls. kernel/grant.c, kernel/grant_table.c. */
#ifndef KEYHOLE_KERNEL_GRANT_H
#define KEYHOLE_KERNEL_GRANT_H

#include "../domain.h"
#include "../p2m.h"
#include "../types.h"

/* A version 1 table: 512 entries in each frame. */
#define GRANT_FRAMES_MAX	32u
#define GRANT_ENTRIES_PER_FRAME 512u
/* Grants of others that a domain may have mapped. */
#define GRANT_TRACKS_PER_PAGE 64u
#define GRANT_TRACK_PAGES_MAX 256u

struct gnttab_map_grant_ref;
struct gnttab_unmap_grant_ref;

int grant_table_create(struct domain *d) must_use;
bool grant_maps_release_step(struct domain *d);
bool grant_revoke_step(struct domain *d);
void grant_table_free(struct domain *d);

uint32_t grant_table_frames(const struct domain *d);
int grant_table_grow(struct domain *d, uint32_t frame_count) must_use;
int grant_table_map_frame(struct domain *d, uint32_t index, gfn_t gfn) must_use;
int grant_table_take_frame(struct domain *d, uint32_t index, mfn_t *out) must_use;
gfn_t grant_table_frame_gfn(struct domain *d, uint32_t index);
void grant_table_frame_unmapped(struct domain *d, gfn_t gfn);

struct keyhole_grant_revoke;
struct keyhole_grant_find;
/* Whose handles a revocation has still to go through. */
struct grant_search {
	uint64_t mappers; /* a bit each, from domain 1 on */
	uint32_t handle;  /* where it goes on, with the first of them */
};
void grants_revoke(struct domain *d, struct keyhole_grant_revoke *ops, unsigned count,
		   struct grant_search *search);
bool grants_revoke_search(struct domain *d, struct grant_search *search);
bool grants_revoking(const struct domain *d);
uint32_t grants_revoked(const struct domain *d);
bool grant_find(struct domain *d, struct keyhole_grant_find *op);

void grants_map(struct domain *mapper, struct gnttab_map_grant_ref *ops, unsigned count);
void grants_unmap(struct domain *mapper, struct gnttab_unmap_grant_ref *ops, unsigned count);

#endif
