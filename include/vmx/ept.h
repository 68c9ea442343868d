/* EPT: what VT-x adds to the p2m (p2m.h). The interface of vmx/ept.c. */
#ifndef KEYHOLE_VMX_EPT_H
#define KEYHOLE_VMX_EPT_H

#include "p2m.h"
#include "types.h"

/* What tables are built of, from IA32_VMX_EPT_VPID_CAP; at boot, before the first p2m, and never
 * again. */
void ept_configure(bool has_1g, bool has_2m, bool has_accessed_dirty);
/* The EPT pointer of a p2m, for the VMCS and for INVEPT; the same for as long as the p2m lives.
 * Source: SDM Vol. 3, "Extended-Page-Table Pointer (EPTP)". */
uint64_t ept_pointer(const struct p2m *p2m);

#ifdef CONFIG_BENCH
/* The same by a linear view: vmx/ept_view.c. */
struct ept_view {
	struct p2m *p2m;
	mfn_t zero; /* what stands where no table is */
};
int ept_view_init(struct ept_view *v, struct p2m *p2m) must_use;
int ept_view_change(const struct ept_view *v, gfn_t gfn, unsigned level) must_use;
void ept_view_destroy(struct ept_view *v);
struct p2m_entry ept_view_find(const struct ept_view *v, gfn_t gfn);
#endif

#endif
