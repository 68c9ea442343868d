/*
 * keyhole_control(): domains at run time, for a privileged guest. State: none. No lock.
 */
#include "kernel/hypercall.h"
#include "kernel/lifecycle.h"
#include "public/errno.h"
#include "public/keyhole.h"

/*
 * keyhole_control(cmd, domain): 0, or a state; -XEN_EPERM: the caller has no priv=*; -XEN_EINVAL:
 * its own domain; -XEN_ENOSYS; those of lifecycle_request().
 */
int64_t hypercall_control(struct hypercall *c)
{
	uint32_t command = (uint32_t)c->arg[0];
	uint64_t domain = c->arg[1];

	if (c->domain->priv != DOMAIN_PRIV_ALL)
		return -XEN_EPERM;
	if (command < KEYHOLE_CONTROL_CREATE || command > KEYHOLE_CONTROL_STATE)
		return -XEN_ENOSYS;
	if (!domain || domain > DOMAINS_MAX)
		return -XEN_ESRCH;
	if (command == KEYHOLE_CONTROL_STATE)
		return lifecycle_state((domid_t)domain);
	if (domain == c->domain->id)
		return -XEN_EINVAL;
	return lifecycle_request((domid_t)domain, command);
}
