/*
 * Event channels: taking ports, binding them, giving them back.
 *
 * State and protection: kernel/evtchn.c says. Two tables are locked in the order of their domains'
 * ids.
 *
 * Source: Xen, public/event_channel.h.
 */
#include "evtchn_port.h"
#include "kernel/domain.h"
#include "lock.h"
#include "mm/heap.h"
#include "public/errno.h"
#include "public/event_channel.h"

#define RELEASED_IN_A_STEP 64u

/* A port by which that domain, if it is another one, can send to d. */
static uint64_t word_outside(const struct domain *d, domid_t other)
{
	return other != d->id ? WORD_OUTSIDE : 0;
}

/* Frees the pages of an empty table: nobody can find the domain any more. */
void evtchn_table_free(struct domain *d)
{
	for (unsigned i = 0; i < EVTCHN_CHUNKS; i++)
		heap_free((void *)atomic_load(&d->xen->ports[i]));
}

/*
 * Takes the lowest free port, as word. -XEN_ENOSPC: none is left; -XEN_ENOMEM. The table's lock is
 * held.
 */
static int take_port(struct domain *d, uint64_t word, uint32_t *port)
{
	struct domain_xen *t = d->xen;

	assert_locked(&t->lock);
	for (uint32_t p = t->first_free; p < shared_info_ports(d); p++) {
		if (!atomic_load(&t->ports[p / EVTCHN_PORTS_PER_CHUNK])) {
			void *chunk;
			int rc = heap_alloc(PAGE_SIZE, d->id, &chunk);

			if (rc)
				return rc;
			atomic_store_explicit(&t->ports[p / EVTCHN_PORTS_PER_CHUNK], chunk,
					      memory_order_release);
		}
		_Atomic uint64_t *at = word_of(d, p);
		if (atomic_load(at))
			continue;
		shared_info_clear(d, p);
		if (word & WORD_OUTSIDE)
			atomic_fetch_add(&t->outside, 1);
		atomic_store_explicit(at, word, memory_order_release);
		t->first_free = p + 1;
		*port = p;
		return 0;
	}
	return -XEN_ENOSPC;
}

static void give_port(struct domain *d, uint32_t port)
{
	struct domain_xen *t = d->xen;

	assert_locked(&t->lock);
	if (word_load(d, port) & WORD_OUTSIDE)
		atomic_fetch_sub(&t->outside, 1);
	atomic_store_explicit(word_of(d, port), 0, memory_order_release);
	shared_info_clear(d, port);
	if (port < t->first_free)
		t->first_free = port;
}

static int take_port_alone(struct domain *d, uint64_t word, uint32_t *port)
{
	lock_acquire(&d->xen->lock);
	int rc = take_port(d, word, port);
	lock_release(&d->xen->lock);
	return rc;
}

/* b may be NULL, or a. */
static void lock_two(struct domain *a, struct domain *b)
{
	struct domain *first = !b || a->id <= b->id ? a : b;
	struct domain *second = first == a ? b : a;

	lock_acquire(&first->xen->lock);
	if (second && second != first)
		lock_acquire(&second->xen->lock);
}

static void unlock_two(struct domain *a, struct domain *b)
{
	lock_release(&a->xen->lock);
	if (b && b != a)
		lock_release(&b->xen->lock);
}

/* --- binding ---------------------------------------------------------------------------------- */

/* A port of d that the domain remote may bind to. -XEN_ENOSPC, -XEN_ENOMEM. */
int evtchn_alloc_unbound(struct domain *d, domid_t remote, uint32_t *port)
{
	return take_port_alone(d, word_make(EVTCHN_UNBOUND, 0, remote, 0) | word_outside(d, remote),
			       port);
}

/*
 * Binds a new port of d to one that remote holds for it. The new port is pending at once: an event
 * may have been sent before. -XEN_EINVAL: remote holds no such port for d; -XEN_ENOSPC,
 * -XEN_ENOMEM.
 */
int evtchn_bind_interdomain(struct domain *d, struct domain *remote, uint32_t remote_port,
			    uint32_t *port)
{
	int rc = -XEN_EINVAL;

	lock_two(d, remote);
	uint64_t there = word_load(remote, remote_port);
	if (word_state(there) == EVTCHN_UNBOUND && word_domain(there) == d->id)
		rc = take_port(d,
			       word_make(EVTCHN_INTERDOMAIN, 0, remote->id, remote_port) |
				   word_outside(d, remote->id),
			       port);
	if (!rc)
		atomic_store_explicit(
		    word_of(remote, remote_port),
		    word_make(EVTCHN_INTERDOMAIN, word_vcpu(there), d->id, *port) |
			(there & WORD_OUTSIDE),
		    memory_order_release);
	unlock_two(d, remote);
	if (!rc)
		evtchn_raise(d, *port, EVTCHN_INTERDOMAIN);
	return rc;
}

static bool virq_is_global(uint32_t virq)
{
	return virq != VIRQ_TIMER && virq != VIRQ_DEBUG && virq != VIRQ_XENOPROF &&
	       virq != VIRQ_XENPMU;
}

/* Where the port of a virtual interrupt is noted; one of the domain, with vCPU 0. */
static _Atomic uint16_t *virq_port_of(struct domain *d, uint32_t virq, uint32_t vcpu)
{
	return &d->vcpus[virq_is_global(virq) ? 0 : vcpu]->xen->virq_ports[virq];
}

/*
 * A port for a virtual interrupt of a vCPU. -XEN_EINVAL: no such interrupt, or one of the domain
 * for another vCPU than 0; -XEN_ENOENT: no such vCPU; -XEN_EEXIST: it has a port already;
 * -XEN_ENOSPC, -XEN_ENOMEM.
 */
int evtchn_bind_virq(struct domain *d, uint32_t virq, uint32_t vcpu, uint32_t *port)
{
	int rc = -XEN_EEXIST;

	if (virq >= NR_VIRQS || (virq_is_global(virq) && vcpu))
		return -XEN_EINVAL;
	if (vcpu >= d->vcpu_count)
		return -XEN_ENOENT;
	_Atomic uint16_t *bound = virq_port_of(d, virq, vcpu);
	lock_acquire(&d->xen->lock);
	if (!atomic_load(bound))
		rc = take_port(d, word_make(EVTCHN_VIRQ, vcpu, (domid_t)virq, 0), port);
	if (!rc)
		atomic_store(bound, (uint16_t)*port);
	lock_release(&d->xen->lock);
	return rc;
}

/* A new domain's port for its console ring, or for its xenstore. */
int evtchn_bind_own(struct domain *d, enum evtchn_own which)
{
	uint32_t port;
	int rc = take_port_alone(d, word_make(EVTCHN_OWN, 0, 0, which), &port);

	if (!rc)
		atomic_store(&d->xen->own_ports[which], port);
	return rc;
}

/* A port by which vCPUs of d call one of them. -XEN_ENOENT: no such vCPU; -XEN_ENOSPC, -XEN_ENOMEM.
 */
int evtchn_bind_ipi(struct domain *d, uint32_t vcpu, uint32_t *port)
{
	if (vcpu >= d->vcpu_count)
		return -XEN_ENOENT;
	return take_port_alone(d, word_make(EVTCHN_IPI, vcpu, 0, 0), port);
}

/*
 * Has another vCPU told of a port's events. -XEN_EINVAL: not for an IPI, nor for a virtual
 * interrupt of a vCPU; -XEN_ENOENT: no such vCPU.
 */
int evtchn_bind_vcpu(struct domain *d, uint32_t port, uint32_t vcpu)
{
	int rc = -XEN_EINVAL;

	if (vcpu >= d->vcpu_count)
		return -XEN_ENOENT;
	lock_acquire(&d->xen->lock);
	uint64_t word = word_load(d, port);
	enum evtchn_state state = word_state(word);
	if (state == EVTCHN_UNBOUND || state == EVTCHN_INTERDOMAIN || state == EVTCHN_OWN ||
	    (state == EVTCHN_VIRQ && virq_is_global(word_domain(word)))) {
		atomic_store_explicit(word_of(d, port),
				      word_make(state, vcpu, word_domain(word), word_port(word)) |
					  (word & WORD_OUTSIDE),
				      memory_order_release);
		rc = 0;
	}
	lock_release(&d->xen->lock);
	return rc;
}

/* The other end of a port that goes can be bound to again, by a domain that lives. Both tables are
 * locked. */
static void unbind_remote(const struct domain *d, uint32_t port, struct domain *remote,
			  uint32_t remote_port)
{
	uint64_t there = word_load(remote, remote_port), outside = there & WORD_OUTSIDE;

	if (word_state(there) != EVTCHN_INTERDOMAIN || word_domain(there) != d->id ||
	    word_port(there) != port)
		return;
	if (outside && atomic_load(&d->end) != END_NONE) {
		atomic_fetch_sub(&remote->xen->outside, 1);
		outside = 0;
	}
	atomic_store_explicit(word_of(remote, remote_port),
			      word_make(EVTCHN_UNBOUND, word_vcpu(there), d->id, 0) | outside,
			      memory_order_release);
}

/* Gives a port back. -XEN_EINVAL: it is free. */
int evtchn_close(struct domain *d, uint32_t port)
{
	for (;;) {
		uint64_t word = word_load(d, port);
		struct domain *remote = NULL;

		if (!word)
			return -XEN_EINVAL;
		if (word_state(word) == EVTCHN_INTERDOMAIN)
			remote = domain_owning(word_domain(word)); /* it may be ending */
		lock_two(d, remote);
		bool same = word_load(d, port) == word;
		if (same) {
			if (remote)
				unbind_remote(d, port, remote, word_port(word));
			if (word_state(word) == EVTCHN_VIRQ)
				atomic_store(virq_port_of(d, word_domain(word), word_vcpu(word)),
					     0);
			give_port(d, port);
			if (remote) { /* what is kept of either end: kernel/evtchn.c */
				atomic_fetch_add(&d->xen->generation, 1);
				atomic_fetch_add(&remote->xen->generation, 1);
			}
		}
		unlock_two(d, remote);
		/* It may have waited for nothing else. */
		if (same && remote && remote != d && atomic_load(&remote->end) == END_NONE &&
		    !evtchn_from_others(remote))
			domain_check_blocked(remote);
		if (same)
			return 0;
	}
}

/* Closes some ports of a domain, in turn; true when it has come to the end. */
bool evtchn_release_step(struct domain *d)
{
	struct domain_xen *t = d->xen;

	for (unsigned n = 0; n < RELEASED_IN_A_STEP; n++) {
		uint32_t port = atomic_fetch_add(&t->released, 1);

		if (port >= EVTCHN_2L_NR_CHANNELS) {
			atomic_store(&t->released, 0);
			return true;
		}
		(void)!evtchn_close(d, port);
	}
	return false;
}
