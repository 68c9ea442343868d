/* How guests wait and end. kernel/sched_op.c. */
#ifndef KEYHOLE_KERNEL_SCHED_OP_H
#define KEYHOLE_KERNEL_SCHED_OP_H

#include "xen_state.h"

/* Ends d for a reason of Xen's (SHUTDOWN_), or the first one that its guest has named before. The
 * summary shows a reason that is known; any other number is the guest's own affair. */
void sched_op_shutdown(struct domain *d, uint32_t reason);
/* With the domain's state for Xen's ABI. */
void sched_op_init(struct domain *d);
void sched_op_release(struct domain *d);
/* Whether a watchdog will end it. */
static inline bool sched_op_watches(const struct domain *d)
{
	return d->xen && atomic_load(&d->xen->watchdogs_used);
}

#endif
