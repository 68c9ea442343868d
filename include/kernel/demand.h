/* Demand windows: another domain's RAM, mapped where it is touched. kernel/demand.c. */
#ifndef KEYHOLE_KERNEL_DEMAND_H
#define KEYHOLE_KERNEL_DEMAND_H

#include "../domain.h"
#include "../p2m.h"
#include "../types.h"

/* Fewer pages than this could be evicted faster than one instruction uses them. */
#define DEMAND_BUDGET_MIN 64u

struct keyhole_window_stats;

int demand_open(struct domain *d, struct domain *owner, uint64_t index, uint64_t gfn,
		uint64_t page_count, uint64_t budget) must_use;
int demand_close_step(struct domain *d, uint64_t id) must_use;
int demand_stats(struct domain *d, uint64_t id, struct keyhole_window_stats *out) must_use;

int demand_fault(struct domain *d, gfn_t gfn) must_use;
bool demand_covers(const struct domain *d, gfn_t gfn);
void demand_given_back(struct domain *owner, uint64_t gfn, uint64_t count);
/* Whether somebody has a window onto its RAM. */
static inline bool demand_watched(const struct domain *owner)
{
	return unlikely(atomic_load_explicit(&owner->watched, memory_order_relaxed));
}

bool demand_detach_step(struct domain *d);
void demand_free_all(struct domain *d);

#endif
