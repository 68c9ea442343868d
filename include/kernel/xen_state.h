/*
 * What a domain and its vCPUs have as guests of Xen's ABI: shared pages, ports, clocks, timers.
 * kernel/xen_state.c makes and frees it; shared_info.c, evtchn.c, vcpu_op.c, hvm_op.c and
 * console_ring.c work with it.
 *
 * No register and no memory of the guest is kept here: frame numbers, ports, vectors, deadlines.
 */
#ifndef KEYHOLE_KERNEL_XEN_STATE_H
#define KEYHOLE_KERNEL_XEN_STATE_H

#include "../domain.h"
#include "../lock.h"
#include "../public/event_channel.h"
#include "../types.h"
#include "../vcpu.h"
#include "timer.h"

#define EVTCHN_PORTS_PER_CHUNK (PAGE_SIZE / sizeof(uint64_t))
#define EVTCHN_CHUNKS	       (EVTCHN_2L_NR_CHANNELS / EVTCHN_PORTS_PER_CHUNK)

#define WATCHDOGS 2u /* as on Xen */
struct watchdog {
	struct timer timer;
	struct domain *domain; /* constant */
};

struct domain_xen {
	/* kernel/shared_info.c; the place is under the domain's lock */
	mfn_t shared_info; /* constant */
	gfn_t shared_info_gfn;
	_Atomic uint32_t port_limit; /* as many as its layout has bits for */
	/* kernel/hvm_op.c */
	_Atomic uint64_t callback; /* HVM_PARAM_CALLBACK_IRQ, as it was set */
	/* kernel/runstate.c */
	_Atomic uint32_t assist; /* bit VMASST_TYPE_ */
	/* kernel/sched_op.c */
	_Atomic uint32_t shutdown_code; /* a SHUTDOWN_ plus 1; 0: not named */
	_Atomic uint32_t watchdogs_used;
	struct watchdog watchdogs[WATCHDOGS];
	/* kernel/console_ring.c */
	mfn_t console_ring;	/* constant */
	_Atomic bool ring_open; /* somebody drains it now */
	_Atomic bool ring_used; /* the guest has sent an event by its port */
	/* kernel/xenstore.c */
	mfn_t store;		       /* constant */
	_Atomic uint32_t own_ports[2]; /* by enum evtchn_own */
	/* kernel/evtchn.c */
	struct lock lock;	   /* what follows, but for generation and pollers */
	uint32_t first_free;	   /* no port below is free */
	_Atomic uint32_t released; /* how far evtchn_release_step() has come */
	_Atomic(_Atomic uint64_t *) ports[EVTCHN_CHUNKS];
	_Atomic uint32_t outside; /* ports that live domains can send to */
	/* Of what is kept in struct evtchn_sent; from 1 on. */
	_Atomic uint64_t generation;
	_Atomic uint32_t pollers; /* vCPUs in SCHEDOP_poll, or lately so */
};

#define VCPU_POLLS_ANY UINT32_MAX

/* Where a vCPU's runstate is written. */
struct runstate_area {
	struct guest_place place;
	bool wide;
	_Atomic bool present;
};

struct vcpu_xen {
	struct vcpu_shared *vcpu; /* constant */
	/* kernel/shared_info.c: machine address of its vcpu_info, 0: none; changes once */
	_Atomic uint64_t info;
	bool info_pinned; /* domain's lock */
	/* kernel/evtchn.c */
	_Atomic uint8_t upcall_vector; /* of its local APIC; 0: the domain's callback */
	_Atomic uint32_t polls;	       /* a port, VCPU_POLLS_ANY, or 0 */
	_Atomic uint16_t virq_ports[NR_VIRQS];
	/* kernel/runstate.c */
	struct lock runstate_lock;
	struct runstate_area runstate;
	/* kernel/vcpu_op.c */
	struct timer singleshot, periodic, poll;
	_Atomic uint64_t period; /* ticks */
};

int xen_state_create(struct domain *d) must_use;
/* For a dying domain, which nobody finds: while its vCPUs exist, one bounded step, true when done;
 * then the rest. */
bool xen_state_release_step(struct domain *d);
void xen_state_free(struct domain *d);

/*
 * kernel/console_ring.c: the guest has sent an event by the ring's port, and gets all input there
 * from now on. True: nothing that it wrote is left. Who finds no such event noted has put its text
 * where the event looks.
 */
bool console_ring_event(struct domain *d);
/* kernel/xenstore.c: likewise, by the xenstore's port. */
void xenstore_event(struct domain *d);

#endif
