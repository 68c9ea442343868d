/* Sending an event to where the last one from that port went: inline, since guests do little else
 * with ports. kernel/evtchn.c has the rest, and says why what is kept is safe. */
#ifndef KEYHOLE_KERNEL_EVTCHN_SEND_H
#define KEYHOLE_KERNEL_EVTCHN_SEND_H

#include "evtchn.h"
#include "shared_info.h"
#include "xen_state.h"

int evtchn_send_newly(struct domain *d, struct evtchn_sent *s, uint32_t port) must_use;
int evtchn_tell(const struct domain *d, const struct evtchn_sent *s, bool masked) must_use;

/*
 * An event from port of d, the current vCPU's domain; sent: the vCPU's. -XEN_EINVAL: it is not
 * bound to something that can be sent to. To a port that nobody has bound, or whose other end has
 * just gone: nothing, and no error. HYPERCALL_CONTINUE: to be called again, for the rest of a
 * console's output.
 */
must_use static inline __attribute__((always_inline)) int
evtchn_send(struct domain *d, struct evtchn_sent *sent, uint32_t port)
{
	struct evtchn_sent *s = &sent[port % EVTCHN_SENT];

	if (unlikely(s->port != port ||
		     atomic_load_explicit(&d->xen->generation, memory_order_acquire) !=
			 s->generation))
		return evtchn_send_newly(d, s, port);
	const struct domain_xen *there = s->remote->xen;
	uint32_t ports = atomic_load_explicit(&there->port_limit, memory_order_relaxed);
	if (unlikely(s->remote_port >= ports))
		return 0;
	enum event_raised raised = shared_info_raise(s->remote, s->shared, ports, s->remote_port);
	if (likely(raised == EVENT_WAS_PENDING))
		return 0;
	if (raised == EVENT_OPEN || unlikely(atomic_load(&there->pollers)))
		return evtchn_tell(d, s, raised == EVENT_MASKED);
	return 0;
}

#endif
