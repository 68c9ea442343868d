/* The page a domain shares with the hypervisor, and its vCPUs' records. kernel/shared_info.c. */
#ifndef KEYHOLE_KERNEL_SHARED_INFO_H
#define KEYHOLE_KERNEL_SHARED_INFO_H

#include "../barriers.h"
#include "../domain.h"
#include "../mm/window_peek.h"
#include "../public/shared_info.h"
#include "../types.h"
#include "../vcpu.h"
#include "xen_state.h"

int shared_info_map(struct domain *d, gfn_t gfn, bool wide) must_use;
void shared_info_unmapped(struct domain *d, gfn_t gfn);
int vcpu_info_register(struct vcpu_shared *v, gfn_t gfn, uint32_t offset) must_use;
void vcpu_info_init(struct vcpu_shared *v);
void vcpu_info_release(struct vcpu_shared *v);

/* Ports that the domain's layout has bits for. */
static inline uint32_t shared_info_ports(const struct domain *d)
{
	return atomic_load_explicit(&d->xen->port_limit, memory_order_relaxed);
}

/* Pending bits, and behind them as many for masks: so in both layouts, and within the page even
 * for a port of the other layout. */
#define SHARED_INFO_PENDING offsetof(struct shared_info, evtchn_pending)
#define SHARED_INFO_LAID_OUT(type, limit)                                \
	(offsetof(struct type, evtchn_pending) == SHARED_INFO_PENDING && \
	 offsetof(struct type, evtchn_mask) == SHARED_INFO_PENDING + (limit) / 8)
_Static_assert(SHARED_INFO_LAID_OUT(shared_info, EVTCHN_2L_NR_CHANNELS) &&
		   SHARED_INFO_LAID_OUT(compat_shared_info, EVTCHN_2L_NR_CHANNELS_COMPAT),
	       "Xen's layouts");

/* Bits are in words of 32, aligned to their size wherever a guest has them. */
static inline _Atomic uint32_t *shared_info_word(void *bits, uint32_t bit)
{
	return (_Atomic uint32_t *)bits + bit / 32;
}

/* Sets a bit; whether it was set. The processor finds the word of a bit string by itself. */
static inline bool shared_info_set(void *bits, uint32_t bit)
{
	bool was;

	__asm__ volatile("lock btsl %[bit], %[bits]"
			 : [bits] "+m"(*(uint32_t *)bits), "=@ccc"(was)
			 : [bit] "r"(bit)
			 : "memory");
	return was;
}

static inline bool shared_info_test(void *bits, uint32_t bit)
{
	bool set;

	__asm__ volatile("btl %[bit], %[bits]"
			 : "=@ccc"(set)
			 : [bits] "m"(*(uint32_t *)bits), [bit] "r"(bit)
			 : "memory");
	return set;
}

static inline void *shared_info_open(const struct domain *d)
{
	return (uint8_t *)window_open(WINDOW_EVENT, d->xen->shared_info) + SHARED_INFO_PENDING;
}

/* What setting a port's bit has done. */
enum event_raised {
	EVENT_WAS_PENDING,
	EVENT_MASKED, /* pending from now on; the guest asked not to be told */
	EVENT_OPEN    /* to be selected */
};

/* Makes a port of d pending. port < ports, which are shared_info_ports(); view: of its page. */
static inline enum event_raised shared_info_raise(const struct domain *d, struct window_view view,
						  uint32_t ports, uint32_t port)
{
	barrier_memory_of(d);
	struct window_peek w = window_peek_begin(WINDOW_EVENT);
	void *bits = window_peek_open(&w, view) + SHARED_INFO_PENDING;
	bool was = shared_info_set(bits, port), masked = shared_info_test(bits, ports + port);

	window_peek_close(&w);
	window_peek_end(&w);
	return was ? EVENT_WAS_PENDING : masked ? EVENT_MASKED : EVENT_OPEN;
}
bool shared_info_select(struct vcpu_shared *v, uint32_t port);
bool shared_info_unmask(struct vcpu_shared *v, uint32_t port);
void shared_info_clear(struct domain *d, uint32_t port);
bool shared_info_pending(struct domain *d, uint32_t port);
bool vcpu_info_upcall_pending(struct vcpu_shared *v);

#endif
