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

#endif
