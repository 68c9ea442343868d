/* Mapping pages of another domain: kernel/foreign_map.c, behind memory_op. */
#ifndef KEYHOLE_KERNEL_FOREIGN_MAP_H
#define KEYHOLE_KERNEL_FOREIGN_MAP_H

#include "hypercall.h"

struct xen_add_to_physmap_batch;

int foreign_find(const struct hypercall *c, uint64_t id, struct domain **out) must_use;
int foreign_map_frame(struct domain *d, mfn_t frame, gfn_t gfn) must_use;
int foreign_map_one(struct domain *d, struct domain *target, uint64_t idx, gfn_t gfn) must_use;
int foreign_map_batch(struct hypercall *c, const struct xen_add_to_physmap_batch *op,
		      struct domain *target, uint64_t first, bool exchanged) must_use;
/* Commands of memory_op: kernel/foreign_op.c. */
int64_t memory_op_acquire_resource(struct hypercall *c);
uint64_t foreign_map_range(struct domain *d, struct domain *target, uint64_t idx, uint64_t gfn,
			   uint64_t count, int *rc);
uint64_t foreign_remove_range(struct domain *d, uint64_t gfn, uint64_t count, int *rc);

/* Mappings of these frames have gone from a domain's p2m, with one reference each. Adjacent frames
 * may belong to several owners. */
void foreign_put_run(const struct domain *d, mfn_t first, uint64_t count);
/* Frames of one owner have appeared in a domain's p2m. */
void foreign_count(const struct domain *d, domid_t owner, uint64_t count);
/* kernel/foreign_revoke.c */
bool foreign_revoke_step(domid_t owner, struct domain *mapper, uint64_t *at);

#endif
