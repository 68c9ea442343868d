/* The page a domain shares with the hypervisor, and its vCPUs' records. kernel/shared_info.c. */
#ifndef KEYHOLE_KERNEL_SHARED_INFO_H
#define KEYHOLE_KERNEL_SHARED_INFO_H

#include "../domain.h"
#include "../types.h"
#include "../vcpu.h"
#include "xen_state.h"

int shared_info_map(struct domain *d, gfn_t gfn, bool wide) must_use;
void shared_info_unmapped(struct domain *d, gfn_t gfn);
int vcpu_info_register(struct vcpu_shared *v, gfn_t gfn, uint32_t offset) must_use;
void vcpu_info_init(struct vcpu_shared *v);
void vcpu_info_release(struct vcpu_shared *v);
void vcpu_time_write(struct vcpu_shared *v);

/* Ports that the domain's layout has bits for. */
static inline uint32_t shared_info_ports(const struct domain *d)
{
	return atomic_load_explicit(&d->xen->narrow, memory_order_relaxed)
		   ? EVTCHN_2L_NR_CHANNELS_COMPAT
		   : EVTCHN_2L_NR_CHANNELS;
}

/* What setting a port's bit has done. */
enum event_raised {
	EVENT_WAS_PENDING,
	EVENT_MASKED, /* pending from now on; the guest asked not to be told */
	EVENT_NOTED,  /* the vCPU has an upcall to come anyway */
	EVENT_UPCALL  /* the vCPU is to be told */
};
enum event_raised shared_info_raise(struct vcpu_shared *v, uint32_t port);
enum event_raised shared_info_unmask(struct vcpu_shared *v, uint32_t port);
void shared_info_clear(struct domain *d, uint32_t port);
bool shared_info_pending(struct domain *d, uint32_t port);
bool vcpu_info_upcall_pending(struct vcpu_shared *v);

#endif
