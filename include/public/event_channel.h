/*
 * event_channel_op(cmd, arg). All structures are laid out alike for 64- and 32-bit callers. Source:
 * Xen, public/event_channel.h.
 */
#ifndef KEYHOLE_PUBLIC_EVENT_CHANNEL_H
#define KEYHOLE_PUBLIC_EVENT_CHANNEL_H

#include "base.h"

#define EVTCHNOP_bind_interdomain 0
#define EVTCHNOP_bind_virq	  1
#define EVTCHNOP_bind_pirq	  2
#define EVTCHNOP_close		  3
#define EVTCHNOP_send		  4
#define EVTCHNOP_status		  5
#define EVTCHNOP_alloc_unbound	  6
#define EVTCHNOP_bind_ipi	  7
#define EVTCHNOP_bind_vcpu	  8
#define EVTCHNOP_unmask		  9
#define EVTCHNOP_reset		  10
#define EVTCHNOP_init_control	  11
#define EVTCHNOP_expand_array	  12
#define EVTCHNOP_set_priority	  13

/* evtchn_status.status */
#define EVTCHNSTAT_closed      0u
#define EVTCHNSTAT_unbound     1u
#define EVTCHNSTAT_interdomain 2u
#define EVTCHNSTAT_pirq	       3u
#define EVTCHNSTAT_virq	       4u
#define EVTCHNSTAT_ipi	       5u

/* Virtual interrupts; those of a vCPU, not of the domain, are below the first global one. */
#define VIRQ_TIMER    0u
#define VIRQ_DEBUG    1u
#define VIRQ_CONSOLE  2u
#define VIRQ_DOM_EXC  3u
#define VIRQ_TBUF     4u
#define VIRQ_DEBUGGER 6u
#define VIRQ_XENOPROF 7u
#define VIRQ_CON_RING 8u
#define VIRQ_XENPMU   13u
#define NR_VIRQS      24u

/* Ports of the 2-level ABI: bits in the shared-info page. Port 0 is never used. */
#define EVTCHN_2L_NR_CHANNELS	     4096u
#define EVTCHN_2L_NR_CHANNELS_COMPAT 1024u

#ifndef __ASSEMBLER__
typedef uint32_t evtchn_port_t;

struct evtchn_alloc_unbound {
	domid_t dom, remote_dom; /* in: whose port, who may bind to it */
	evtchn_port_t port;	 /* out */
};
struct evtchn_bind_interdomain {
	domid_t remote_dom;
	evtchn_port_t remote_port;
	evtchn_port_t local_port; /* out */
};
struct evtchn_bind_virq {
	uint32_t virq, vcpu;
	evtchn_port_t port; /* out */
};
struct evtchn_bind_ipi {
	uint32_t vcpu;
	evtchn_port_t port; /* out */
};
struct evtchn_close {
	evtchn_port_t port;
};
struct evtchn_send {
	evtchn_port_t port;
};
struct evtchn_status {
	domid_t dom;
	evtchn_port_t port;
	uint32_t status, vcpu; /* out, as all that follows */
	union {
		struct {
			domid_t dom;
		} unbound;
		struct {
			domid_t dom;
			evtchn_port_t port;
		} interdomain;
		uint32_t pirq, virq;
	} u;
};
struct evtchn_bind_vcpu {
	evtchn_port_t port;
	uint32_t vcpu;
};
struct evtchn_unmask {
	evtchn_port_t port;
};
struct evtchn_reset {
	domid_t dom;
};
XEN_CHECK_SIZE(struct evtchn_alloc_unbound, 8);
XEN_CHECK_SIZE(struct evtchn_bind_interdomain, 12);
XEN_CHECK_SIZE(struct evtchn_status, 24);
#endif

#endif
