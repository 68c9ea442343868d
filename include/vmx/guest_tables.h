/* Which tables a guest translates by, inline where copies ask for nothing else. State: the current
 * VMCS. */
#ifndef KEYHOLE_VMX_GUEST_TABLES_H
#define KEYHOLE_VMX_GUEST_TABLES_H

#include "guest_copy.h"

#ifdef KEYHOLE_HOST_TEST
bool vmx_tables_are_of(const struct guest_walk_kept *k);
#else
#include "vmx/vmcs.h"

/* Whether the current vCPU has those of a walk now. In the handling of an exit, whose reason has
 * been read from the VMCS. */
static inline bool vmx_tables_are_of(const struct guest_walk_kept *k)
{
	return likely(vmcs_read_sure(VMCS_GUEST_CR3.encoding) == k->cr3) &&
	       likely(vmcs_read_sure(VMCS_GUEST_EFER.encoding) == k->efer);
}
#endif

#endif
