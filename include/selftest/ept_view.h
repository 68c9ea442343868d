/* A linear view of a p2m, to be compared with the walk (bench builds). selftest/ept_view.c. */
#ifndef KEYHOLE_SELFTEST_EPT_VIEW_H
#define KEYHOLE_SELFTEST_EPT_VIEW_H

#include "../p2m.h"

struct ept_view {
	struct p2m *p2m;
	mfn_t zero; /* what stands where no table is */
};
int ept_view_init(struct ept_view *v, struct p2m *p2m) must_use;
int ept_view_change(const struct ept_view *v, gfn_t gfn, unsigned level) must_use;
void ept_view_destroy(struct ept_view *v);
struct p2m_entry ept_view_find(const struct ept_view *v, gfn_t gfn);

#endif
