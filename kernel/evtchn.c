/*
 * Event channels, 2-level ABI: how an event gets from one port to another.
 *
 * State: a table of ports for each domain, in pages that come as ports are taken and go with the
 * domain. A port is one word, changed under its domain's table lock (kernel/evtchn_bind.c) and read
 * by senders without one: a sender finds the other end's domain and port in its own word, and goes
 * there only if the word there names it in return. What was bound otherwise meanwhile gets an event
 * too many, which the ABI allows. Whether a port is pending or masked is in the shared-info page
 * (kernel/shared_info.c).
 *
 * Where the last events of a vCPU went is kept in its secret half (struct evtchn_sent), for as long
 * as its domain's generation is what it was before the words were read. It moves when a port that
 * leads to another is closed, by either side: after the words have changed, before the tables are
 * unlocked. So who reads the new generation reads new words; who sends after a close has returned,
 * on any CPU, reads the new generation; and who has just read the old one sends what may be an
 * event too many, as one who has just read both words. What he uses is there: two ends name each
 * other from the binding to the close, also while one of the domains is being taken apart, so that
 * its ports had not been closed yet; and its page, its struct domain_xen and itself are given up an
 * epoch after that (domain_destroy()), which his CPU, in root mode, holds up. Its vCPUs go earlier:
 * they are told only if it lives, and then an epoch of theirs is still to come. All that the other
 * side may change without a close is read each time: its layout, which vCPU is told, where that
 * one's record is.
 *
 * Source: Xen, public/event_channel.h.
 */
#include "evtchn_port.h"
#include "guest_call.h"
#include "percpu.h"
#include "public/errno.h"
#include "public/event_channel.h"
#include "public/hvm/hvm_op.h"

bool evtchn_from_others(const struct domain *d)
{
	return d->xen && (atomic_load(&d->xen->outside) || atomic_load(&d->xen->ring_used) ||
			  atomic_load(&d->vcpus[0]->xen->virq_ports[VIRQ_CONSOLE]));
}

bool evtchn_port_get(struct domain *d, uint32_t port, struct evtchn_port *out)
{
	uint64_t word = word_load(d, port);

	*out = (struct evtchn_port){word_state(word), word_vcpu(word), word_domain(word),
				    word_port(word), word_domain(word)};
	return port && port < shared_info_ports(d);
}

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

/* Who is to hear of a port that has just become pending. */
static __attribute__((noinline)) void tell(struct domain *d, uint32_t port, uint32_t vcpu,
					   bool masked)
{
	struct vcpu_shared *v = d->vcpus[vcpu];

	if (!masked && shared_info_select(v, port))
		evtchn_upcall(v);
	if (unlikely(atomic_load(&d->xen->pollers)))
		wake_pollers(d, port);
}

static inline __attribute__((always_inline)) void notify(struct domain *d, uint32_t port,
							 uint32_t vcpu)
{
	uint32_t ports = shared_info_ports(d);

	if (unlikely(port >= ports))
		return; /* its layout has no bit for it any more */
	enum event_raised raised =
	    shared_info_raise(d, window_view_writable(d->xen->shared_info), ports, port);

	if (raised == EVENT_OPEN ||
	    (raised == EVENT_MASKED && unlikely(atomic_load(&d->xen->pollers))))
		tell(d, port, vcpu, raised == EVENT_MASKED);
}

/* Whether the word is that of the other end of a port of d. */
static inline bool is_other_end(uint64_t word, const struct domain *d, uint32_t port)
{
	const uint64_t any = WORD_OUTSIDE | WORD_VCPU_MASK;

	return !((word ^ word_make(EVTCHN_INTERDOMAIN, 0, d->id, port)) & ~any);
}

static __attribute__((noinline)) int send_elsewhere(struct domain *d, uint32_t port, uint64_t word)
{
	switch (word_state(word)) {
	case EVTCHN_IPI:
		notify(d, port, word_vcpu(word));
		return 0;
	case EVTCHN_OWN:
		if (word_port(word) == EVTCHN_OWN_CONSOLE)
			return console_ring_event(d) ? 0 : HYPERCALL_CONTINUE;
		xenstore_event(d);
		return 0;
	case EVTCHN_UNBOUND:
		return 0;
	default:
		return -XEN_EINVAL;
	}
}

/* evtchn_send() where nothing is kept that holds. For the next time it is, in *s. */
int evtchn_send_newly(struct domain *d, struct evtchn_sent *s, uint32_t port)
{
	uint64_t generation = atomic_load_explicit(&d->xen->generation, memory_order_acquire);
	uint64_t word = word_load(d, port);

	if (word_state(word) != EVTCHN_INTERDOMAIN)
		return send_elsewhere(d, port, word);
	struct domain *remote = domain_find(word_domain(word));
	uint64_t there = remote ? word_load(remote, word_port(word)) : 0;

	if (!is_other_end(there, d, port))
		return 0;
	*s = (struct evtchn_sent){.port = port,
				  .remote_port = word_port(word),
				  .generation = generation,
				  .remote = remote,
				  .shared = window_view_writable(remote->xen->shared_info)};
	notify(remote, word_port(word), word_vcpu(there));
	return 0;
}

/* An event has gone where s says, and somebody is to hear of it: if that domain lives, and what was
 * bound still is. Returns 0. */
int evtchn_tell(const struct domain *d, const struct evtchn_sent *s, bool masked)
{
	uint64_t there = word_load(s->remote, s->remote_port);

	if (atomic_load_explicit(&s->remote->end, memory_order_acquire) == END_NONE &&
	    is_other_end(there, d, s->port))
		tell(s->remote, s->remote_port, word_vcpu(there), masked);
	return 0;
}

/* An event at a port of d's own; none if it is not in that state, or there is no such port. */
void evtchn_raise(struct domain *d, uint32_t port, enum evtchn_state state)
{
	uint64_t word = word_load(d, port);

	if (word_state(word) == state)
		notify(d, port, word_vcpu(word));
}

void evtchn_raise_virq(struct vcpu_shared *v, uint32_t virq)
{
	evtchn_raise(v->domain, atomic_load(&v->xen->virq_ports[virq]), EVTCHN_VIRQ);
}

void evtchn_raise_own(struct domain *d, enum evtchn_own which)
{
	evtchn_raise(d, atomic_load(&d->xen->own_ports[which]), EVTCHN_OWN);
}

/* Unmasks a port for the guest; an event that was pending is told now. */
int evtchn_unmask(struct domain *d, uint32_t port)
{
	uint64_t word = word_load(d, port);

	if (!word)
		return -XEN_EINVAL;
	struct vcpu_shared *v = d->vcpus[word_vcpu(word)];
	if (shared_info_unmask(v, port))
		evtchn_upcall(v);
	return 0;
}
