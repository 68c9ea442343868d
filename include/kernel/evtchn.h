/* Event channels. kernel/evtchn.c, kernel/evtchn_bind.c; the hypercall: kernel/evtchn_op.c. */
#ifndef KEYHOLE_KERNEL_EVTCHN_H
#define KEYHOLE_KERNEL_EVTCHN_H

#include "../domain.h"
#include "../types.h"
#include "../vcpu.h"

/* Below: port numbers that are not in use, or out of range, are -XEN_EINVAL. */
bool evtchn_release_step(struct domain *d);
void evtchn_table_free(struct domain *d);

/* What a port is. */
enum evtchn_state {
	EVTCHN_FREE,
	EVTCHN_UNBOUND,
	EVTCHN_INTERDOMAIN,
	EVTCHN_VIRQ,
	EVTCHN_IPI,
	EVTCHN_OWN /* the other end is the hypervisor itself: enum evtchn_own */
};
enum evtchn_own { EVTCHN_OWN_CONSOLE, EVTCHN_OWN_STORE };
struct evtchn_port {
	enum evtchn_state state;
	uint32_t vcpu;	      /* that is told */
	domid_t domain;	      /* UNBOUND: who may bind; INTERDOMAIN: the other end's */
	uint32_t remote_port; /* INTERDOMAIN */
	uint32_t virq;
};
bool evtchn_port_get(struct domain *d, uint32_t port, struct evtchn_port *out);

int evtchn_alloc_unbound(struct domain *d, domid_t remote, uint32_t *port) must_use;
int evtchn_bind_interdomain(struct domain *d, struct domain *remote, uint32_t remote_port,
			    uint32_t *port) must_use;
int evtchn_bind_virq(struct domain *d, uint32_t virq, uint32_t vcpu, uint32_t *port) must_use;
int evtchn_bind_own(struct domain *d, enum evtchn_own which) must_use;
int evtchn_bind_ipi(struct domain *d, uint32_t vcpu, uint32_t *port) must_use;
int evtchn_bind_vcpu(struct domain *d, uint32_t port, uint32_t vcpu) must_use;
int evtchn_close(struct domain *d, uint32_t port) must_use;
int evtchn_unmask(struct domain *d, uint32_t port) must_use;
/* Whether another domain that lives could send an event, or input of the console come. */
bool evtchn_from_others(const struct domain *d);
/* Its port, if it has bound the virtual interrupt, becomes pending. */
void evtchn_raise_virq(struct vcpu_shared *v, uint32_t virq);
/* Likewise a port whose other end is the hypervisor. */
void evtchn_raise_own(struct domain *d, enum evtchn_own which);
struct vcpu_xen;
void evtchn_poll_begin(struct vcpu_xen *x, uint32_t port);

#endif
