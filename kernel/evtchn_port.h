/* Ports of event channels, as the files that know them by their words see them: kernel/evtchn.c,
 * kernel/evtchn_bind.c. */
#ifndef KEYHOLE_KERNEL_EVTCHN_PORT_H
#define KEYHOLE_KERNEL_EVTCHN_PORT_H

#include "kernel/evtchn_send.h"
#include "kernel/shared_info.h"
#include "kernel/xen_state.h"

/* A port's word: state, vCPU, the other end or the virtual interrupt. 0: free. */
#define WORD_STATE_MASK	  0x7fu
#define WORD_OUTSIDE	  0x80u /* counted in domain_xen.outside */
#define WORD_VCPU_SHIFT	  8
#define WORD_VCPU_MASK	  0xff00u
#define WORD_DOMAIN_SHIFT 16
#define WORD_PORT_SHIFT	  32

static inline uint64_t word_make(enum evtchn_state state, uint32_t vcpu, domid_t domain,
				 uint32_t port)
{
	return (uint64_t)state | (uint64_t)vcpu << WORD_VCPU_SHIFT |
	       (uint64_t)domain << WORD_DOMAIN_SHIFT | (uint64_t)port << WORD_PORT_SHIFT;
}

static inline enum evtchn_state word_state(uint64_t word)
{
	return (enum evtchn_state)(word & WORD_STATE_MASK);
}
static inline uint32_t word_vcpu(uint64_t word)
{
	return word >> WORD_VCPU_SHIFT & 0xff;
}
static inline domid_t word_domain(uint64_t word)
{
	return (domid_t)(word >> WORD_DOMAIN_SHIFT);
}
static inline uint32_t word_port(uint64_t word)
{
	return (uint32_t)(word >> WORD_PORT_SHIFT);
}
_Static_assert(DOMAIN_VCPUS_MAX <= 0x100, "a vCPU's number fits in a port's word");

/* Where a port's word is; NULL: out of range, or there is no such page yet. That of port 0 stays 0.
 * Once there it stays there, whatever layout the guest chooses: that is asked where ports are taken
 * and where their bits are set. */
static inline _Atomic uint64_t *word_of(const struct domain *d, uint32_t port)
{
	if (unlikely(port >= EVTCHN_2L_NR_CHANNELS))
		return NULL;
	_Atomic uint64_t *chunk = atomic_load_explicit(
	    &d->xen->ports[port / EVTCHN_PORTS_PER_CHUNK], memory_order_acquire);
	return chunk ? &chunk[port % EVTCHN_PORTS_PER_CHUNK] : NULL;
}

static inline uint64_t word_load(const struct domain *d, uint32_t port)
{
	_Atomic uint64_t *at = word_of(d, port);

	return at ? atomic_load_explicit(at, memory_order_acquire) : 0;
}

void evtchn_raise(struct domain *d, uint32_t port, enum evtchn_state state);

#endif
