/*
 * Event channels, 2-level ABI: what ports are, and how an event gets from one to another.
 *
 * State: a table of ports for each domain, in pages that come as ports are taken and go with the
 * domain. A port is one word, changed under its domain's table lock and read by senders without
 * one: a sender finds the other end's domain and port in its own word, and goes there only if the
 * word there names it in return. What was bound otherwise meanwhile gets an event too many, which
 * the ABI allows. Whether a port is pending or masked is in the shared-info page
 * (kernel/shared_info.c). Two tables are locked in the order of their domains' ids.
 *
 * Source: Xen, public/event_channel.h.
 */
#include "kernel/evtchn.h"
#include "kernel/domain.h"
#include "kernel/shared_info.h"
#include "kernel/xen_state.h"
#include "lock.h"
#include "mm/heap.h"
#include "percpu.h"
#include "public/errno.h"
#include "public/event_channel.h"
#include "public/hvm/hvm_op.h"

#define RELEASED_IN_A_STEP 64u

/* A port's word: state, vCPU, the other end or the virtual interrupt. 0: free. */
#define WORD_STATE_MASK	  0x7fu
#define WORD_OUTSIDE	  0x80u /* counted in domain_xen.outside */
#define WORD_VCPU_SHIFT	  8
#define WORD_DOMAIN_SHIFT 16
#define WORD_PORT_SHIFT	  32

static uint64_t word_make(enum evtchn_state state, uint32_t vcpu, domid_t domain, uint32_t port)
{
	return (uint64_t)state | (uint64_t)vcpu << WORD_VCPU_SHIFT |
	       (uint64_t)domain << WORD_DOMAIN_SHIFT | (uint64_t)port << WORD_PORT_SHIFT;
}

static enum evtchn_state word_state(uint64_t word)
{
	return (enum evtchn_state)(word & WORD_STATE_MASK);
}
static uint32_t word_vcpu(uint64_t word)
{
	return word >> WORD_VCPU_SHIFT & 0xff;
}
static domid_t word_domain(uint64_t word)
{
	return (domid_t)(word >> WORD_DOMAIN_SHIFT);
}
static uint32_t word_port(uint64_t word)
{
	return (uint32_t)(word >> WORD_PORT_SHIFT);
}
_Static_assert(DOMAIN_VCPUS_MAX <= 0x100, "a vCPU's number fits in a port's word");

/* A port by which that domain, if it is another one, can send to d. */
static uint64_t word_outside(const struct domain *d, domid_t other)
{
	return other != d->id ? WORD_OUTSIDE : 0;
}

bool evtchn_from_others(const struct domain *d)
{
	return d->xen && (atomic_load(&d->xen->outside) || atomic_load(&d->xen->ring_used) ||
			  atomic_load(&d->vcpus[0]->xen->virq_ports[VIRQ_CONSOLE]));
}

/* Where a port's word is; NULL: out of range, or there is no such page yet. */
static inline _Atomic uint64_t *word_of(const struct domain *d, uint32_t port)
{
	if (port == 0 || port >= shared_info_ports(d))
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

bool evtchn_port_get(struct domain *d, uint32_t port, struct evtchn_port *out)
{
	uint64_t word = word_load(d, port);

	*out = (struct evtchn_port){word_state(word), word_vcpu(word), word_domain(word),
				    word_port(word), word_domain(word)};
	return port && port < shared_info_ports(d);
}

/* --- tables ----------------------------------------------------------------------------------- */

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

/* --- sending ---------------------------------------------------------------------------------- */

uint8_t vcpu_callback_vector(void)
{
	const struct domain_xen *x = this_cpu_field(current)->domain->xen;
	uint64_t how = x ? atomic_load(&x->callback) : 0;

	return how >> HVM_CALLBACK_TYPE_SHIFT == HVM_CALLBACK_TYPE_VECTOR ? (uint8_t)how : 0;
}

/* Tells v that its record says so: by its vector, or as the domain's callback has it. */
static void evtchn_upcall(struct vcpu_shared *v)
{
	uint8_t vector = atomic_load(&v->xen->upcall_vector);

	if (vector)
		atomic_fetch_or(&v->posted[vector / 64], 1ull << (vector % 64));
	else
		atomic_fetch_or(&v->requests, VCPU_REQUEST_UPCALL);
	vcpu_kick(v);
}

void vcpu_retell_upcall(struct vcpu_shared *v)
{
	if (v->xen && vcpu_info_upcall_pending(v))
		evtchn_upcall(v);
}

/* A vCPU waits for a port, or for any. */
void evtchn_poll_begin(struct vcpu_xen *x, uint32_t port)
{
	atomic_store(&x->polls, port);
	atomic_fetch_or(&x->vcpu->domain->xen->pollers, 1u << x->vcpu->id);
}

/* vCPUs that poll for this port, masked or not, go on. */
static __attribute__((noinline)) void wake_pollers(struct domain *d, uint32_t port)
{
	for (uint32_t set = atomic_load(&d->xen->pollers); set; set &= set - 1) {
		struct vcpu_shared *v = d->vcpus[__builtin_ctz(set)];
		uint32_t polled = atomic_load(&v->xen->polls);

		if (polled && polled != VCPU_POLLS_ANY && polled != port)
			continue;
		atomic_fetch_and(&d->xen->pollers, ~(1u << v->id));
		if (!atomic_exchange(&v->xen->polls, 0))
			continue;
		atomic_fetch_or(&v->requests, VCPU_REQUEST_WAKE);
		vcpu_kick(v);
	}
}
_Static_assert(DOMAIN_VCPUS_MAX <= 32, "one word of pollers");

static inline void notify(struct domain *d, uint32_t port, uint32_t vcpu)
{
	struct vcpu_shared *v = d->vcpus[vcpu];
	enum event_raised raised = shared_info_raise(v, port);

	if (raised == EVENT_WAS_PENDING)
		return;
	if (raised == EVENT_UPCALL)
		evtchn_upcall(v);
	if (unlikely(atomic_load(&d->xen->pollers)))
		wake_pollers(d, port);
}

/*
 * An event from port of d. -XEN_EINVAL: it is not bound to something that can be sent to. To a port
 * that nobody has bound, or whose other end has just gone: nothing, and no error. -XEN_ERESTART: to
 * be called again, for the rest of a console's output.
 */
int evtchn_send(struct domain *d, uint32_t port)
{
	uint64_t word = word_load(d, port);

	switch (word_state(word)) {
	case EVTCHN_INTERDOMAIN: {
		struct domain *remote = domain_find(word_domain(word));
		uint64_t there = remote ? word_load(remote, word_port(word)) : 0;

		if (word_state(there) == EVTCHN_INTERDOMAIN && word_domain(there) == d->id &&
		    word_port(there) == port)
			notify(remote, word_port(word), word_vcpu(there));
		return 0;
	}
	case EVTCHN_IPI:
		notify(d, port, word_vcpu(word));
		return 0;
	case EVTCHN_OWN:
		if (word_port(word) == EVTCHN_OWN_CONSOLE)
			return console_ring_event(d) ? 0 : -XEN_ERESTART;
		xenstore_event(d);
		return 0;
	case EVTCHN_UNBOUND:
		return 0;
	default:
		return -XEN_EINVAL;
	}
}

/* An event of the hypervisor's own; none if the guest has closed the port, or there is none. */
static void raise(struct domain *d, uint32_t port, enum evtchn_state state)
{
	uint64_t word = word_load(d, port);

	if (word_state(word) == state)
		notify(d, port, word_vcpu(word));
}

void evtchn_raise_virq(struct vcpu_shared *v, uint32_t virq)
{
	raise(v->domain, atomic_load(&v->xen->virq_ports[virq]), EVTCHN_VIRQ);
}

void evtchn_raise_own(struct domain *d, enum evtchn_own which)
{
	raise(d, atomic_load(&d->xen->own_ports[which]), EVTCHN_OWN);
}

/* Unmasks a port for the guest; an event that was pending is told now. */
int evtchn_unmask(struct domain *d, uint32_t port)
{
	uint64_t word = word_load(d, port);

	if (!word)
		return -XEN_EINVAL;
	struct vcpu_shared *v = d->vcpus[word_vcpu(word)];
	if (shared_info_unmask(v, port) == EVENT_UPCALL)
		evtchn_upcall(v);
	return 0;
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
		notify(d, *port, 0);
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
			remote = domain_find(word_domain(word));
		lock_two(d, remote);
		bool same = word_load(d, port) == word;
		if (same) {
			if (remote)
				unbind_remote(d, port, remote, word_port(word));
			if (word_state(word) == EVTCHN_VIRQ)
				atomic_store(virq_port_of(d, word_domain(word), word_vcpu(word)),
					     0);
			give_port(d, port);
		}
		unlock_two(d, remote);
		/* It may have waited for nothing else. */
		if (same && remote && remote != d && !evtchn_from_others(remote))
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
