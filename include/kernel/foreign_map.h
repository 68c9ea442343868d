/* Mapping pages of another domain: kernel/foreign_map.c, behind memory_op. */
#ifndef KEYHOLE_KERNEL_FOREIGN_MAP_H
#define KEYHOLE_KERNEL_FOREIGN_MAP_H

#include "hypercall.h"

struct xen_add_to_physmap_batch;

int foreign_map_one(struct domain *d, struct domain *target, uint64_t idx, gfn_t gfn) must_use;
int foreign_map_batch(struct hypercall *c, const struct xen_add_to_physmap_batch *op,
		      struct domain *target, uint64_t first) must_use;

#endif
