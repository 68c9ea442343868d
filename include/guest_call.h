/*
 * A hypercall in progress, and the way from the exit to its handler, which the backend takes inline
 * (vmx/exit.c); everything else about calls is kernel/hypercall.c.
 */
#ifndef KEYHOLE_GUEST_CALL_H
#define KEYHOLE_GUEST_CALL_H

#include "guest_copy.h"
#include "types.h"

#define HYPERCALL_ARGS 6u

struct domain;

/* Where events from a port of the vCPU's domain go: kernel/evtchn.c. */
#define EVTCHN_SENT 4u /* of them are kept, by the low bits of the port */
struct evtchn_sent {
	uint32_t port, remote_port; /* port 0: nothing is kept */
	uint64_t generation;	    /* domain_xen.generation of the sender */
	struct domain *remote;
	struct window_view shared; /* its shared page */
};

/*
 * One call. It holds what the guest passed: so it lies on the private stack of the CPU, or, for
 * calls of 64-bit kernels, in the vCPU's secret half, where all that no call changes is set when
 * the vCPU comes to a CPU.
 */
struct hypercall {
	struct domain *domain;
	uint64_t *arg;		  /* HYPERCALL_ARGS of them; changed for a continuation only */
	struct evtchn_sent *sent; /* EVTCHN_SENT of them, the vCPU's */
	bool wide;		  /* the caller uses the 64-bit ABI */
	bool args_changed;	  /* write arg[] back to its registers, for the continuation */
	struct guest_access access;
};

/*
 * A handler's result when it has more to do: it has moved its arguments on, and the guest executes
 * the call again, after whatever was due in between.
 */
#define HYPERCALL_CONTINUE INT32_MIN

/* By number, a handler or one that refuses; numbers beyond may have a flag. kernel/hypercall.c. */
#define HYPERCALL_NUMBERS 64u
typedef int64_t (*hypercall_handler)(struct hypercall *c);
extern const hypercall_handler hypercall_handlers[HYPERCALL_NUMBERS];
int64_t hypercall_flagged(struct hypercall *c, uint32_t number);

/* Runs a call, of which the paging state alone is not prepared. */
always_inline_fn static inline int64_t hypercall_dispatch(struct hypercall *c, uint32_t number)
{
	c->access.state = GUEST_ACCESS_LATER;
	return likely(number < HYPERCALL_NUMBERS) ? hypercall_handlers[number](c)
						  : hypercall_flagged(c, number);
}

#endif
