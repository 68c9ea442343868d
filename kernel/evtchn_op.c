/*
 * The hypercall event_channel_op. State: none of its own. Arguments are copied once, and back where
 * there is a result. All structures are alike for 64- and 32-bit callers.
 *
 * Source: Xen, public/event_channel.h.
 */
#include "guest_again.h"
#include "kernel/domain.h"
#include "kernel/evtchn_send.h"
#include "kernel/guest_time.h"
#include "kernel/hypercall.h"
#include "kernel/shared_info.h"
#include "kernel/xen_state.h"
#include "percpu.h"
#include "public/errno.h"
#include "public/event_channel.h"
#include "public/sched.h"
#include "public/xen.h"

/* The live domain that a caller names; NULL: there is none. */
static struct domain *named(const struct hypercall *c, domid_t id)
{
	return hypercall_is_caller(c, id) ? c->domain : domain_find(id);
}

static int status(struct domain *d, struct evtchn_status *op)
{
	struct evtchn_port p;

	if (!evtchn_port_get(d, op->port, &p))
		return -XEN_EINVAL;
	op->status = EVTCHNSTAT_closed;
	op->vcpu = p.vcpu;
	switch (p.state) {
	case EVTCHN_FREE:
		break;
	case EVTCHN_UNBOUND:
		op->status = EVTCHNSTAT_unbound;
		op->u.unbound.dom = p.domain;
		break;
	case EVTCHN_INTERDOMAIN:
		op->status = EVTCHNSTAT_interdomain;
		op->u.interdomain.dom = p.domain;
		op->u.interdomain.port = p.remote_port;
		break;
	case EVTCHN_VIRQ:
		op->status = EVTCHNSTAT_virq;
		op->u.virq = p.virq;
		break;
	case EVTCHN_OWN:
		op->status = EVTCHNSTAT_interdomain;
		op->u.interdomain.dom = DOMID_XEN;
		op->u.interdomain.port = 0;
		break;
	case EVTCHN_IPI:
		op->status = EVTCHNSTAT_ipi;
		break;
	}
	return 0;
}

/* The operations whose argument is copied back: 0, or an error with nothing changed. */
static int with_result(struct hypercall *c, uint32_t cmd, void *arg)
{
	switch (cmd) {
	case EVTCHNOP_alloc_unbound: {
		struct evtchn_alloc_unbound *op = arg;
		domid_t remote = op->remote_dom == DOMID_SELF ? c->domain->id : op->remote_dom;

		return hypercall_is_caller(c, op->dom)
			   ? evtchn_alloc_unbound(c->domain, remote, &op->port)
			   : -XEN_EPERM;
	}
	case EVTCHNOP_bind_interdomain: {
		struct evtchn_bind_interdomain *op = arg;
		struct domain *remote = named(c, op->remote_dom);

		return remote ? evtchn_bind_interdomain(c->domain, remote, op->remote_port,
							&op->local_port)
			      : -XEN_ESRCH;
	}
	case EVTCHNOP_bind_virq: {
		struct evtchn_bind_virq *op = arg;

		return evtchn_bind_virq(c->domain, op->virq, op->vcpu, &op->port);
	}
	case EVTCHNOP_bind_ipi: {
		struct evtchn_bind_ipi *op = arg;

		return evtchn_bind_ipi(c->domain, op->vcpu, &op->port);
	}
	default: {
		struct evtchn_status *op = arg;

		return hypercall_is_caller(c, op->dom) ? status(c->domain, op) : -XEN_EPERM;
	}
	}
}

/* Its argument is not where the last one was. */
static __attribute__((noinline)) int64_t send_from_elsewhere(struct hypercall *c)
{
	struct evtchn_send op;
	int rc = guest_copy_in(&c->access, &op, make_gva(c->arg[1]), sizeof(op));

	return rc ? rc : evtchn_send(c->domain, c->sent, op.port);
}

/* Arguments stay as they are, also if it goes on. */
static inline int64_t send(struct hypercall *c)
{
	struct evtchn_send op;

	return likely(reach_in(&c->access, &op, make_gva(c->arg[1]), sizeof(op)))
		   ? evtchn_send(c->domain, c->sent, op.port)
		   : send_from_elsewhere(c);
}

static int64_t without_result(struct hypercall *c, uint32_t cmd, const void *arg)
{
	switch (cmd) {
	case EVTCHNOP_close:
		return evtchn_close(c->domain, ((const struct evtchn_close *)arg)->port);
	case EVTCHNOP_unmask:
		return evtchn_unmask(c->domain, ((const struct evtchn_unmask *)arg)->port);
	case EVTCHNOP_bind_vcpu: {
		const struct evtchn_bind_vcpu *op = arg;

		return evtchn_bind_vcpu(c->domain, op->port, op->vcpu);
	}
	default:
		if (!hypercall_is_caller(c, ((const struct evtchn_reset *)arg)->dom))
			return -XEN_EPERM;
		return evtchn_release_step(c->domain) ? 0 : hypercall_continue(c);
	}
}

static __attribute__((noinline)) int64_t table_op(struct hypercall *c, uint32_t cmd)
{
	static const uint8_t sizes[] = {
	    [EVTCHNOP_bind_interdomain] = sizeof(struct evtchn_bind_interdomain),
	    [EVTCHNOP_bind_virq] = sizeof(struct evtchn_bind_virq),
	    [EVTCHNOP_close] = sizeof(struct evtchn_close),
	    [EVTCHNOP_status] = sizeof(struct evtchn_status),
	    [EVTCHNOP_alloc_unbound] = sizeof(struct evtchn_alloc_unbound),
	    [EVTCHNOP_bind_ipi] = sizeof(struct evtchn_bind_ipi),
	    [EVTCHNOP_bind_vcpu] = sizeof(struct evtchn_bind_vcpu),
	    [EVTCHNOP_unmask] = sizeof(struct evtchn_unmask),
	    [EVTCHNOP_reset] = sizeof(struct evtchn_reset),
	};
	static const uint32_t results = 1u << EVTCHNOP_alloc_unbound |
					1u << EVTCHNOP_bind_interdomain | 1u << EVTCHNOP_bind_virq |
					1u << EVTCHNOP_bind_ipi | 1u << EVTCHNOP_status;
	struct guest_place place;
	union {
		uint8_t bytes[sizeof(struct evtchn_status)];
		uint64_t aligned[sizeof(struct evtchn_status) / 8];
	} arg;

	if (cmd >= array_size(sizes) || !sizes[cmd])
		return -XEN_ENOSYS;
	if (!(results >> cmd & 1)) {
		int rc = guest_copy_in(&c->access, &arg, make_gva(c->arg[1]), sizes[cmd]);

		return rc ? rc : without_result(c, cmd, &arg);
	}
	/* A place that can be written to, before anything is done. */
	int rc = guest_place_find(&c->access, make_gva(c->arg[1]), sizes[cmd], &place);
	if (rc)
		return rc;
	guest_place_read(&place, &arg, sizes[cmd]);
	rc = with_result(c, cmd, &arg);
	if (!rc)
		guest_place_write(&place, &arg, sizes[cmd]);
	return rc;
}

/*
 * event_channel_op(cmd, arg): 0, or an error of the operation (kernel/evtchn_bind.c); -XEN_EFAULT;
 * -XEN_EPERM: about another domain's ports; -XEN_ESRCH: no such domain; -XEN_ENOSYS: no such
 * operation, those of the FIFO ABI and physical interrupts among them.
 */
int64_t hypercall_event_channel_op(struct hypercall *c)
{
	uint32_t cmd = (uint32_t)c->arg[0];

	return likely(cmd == EVTCHNOP_send) ? send(c) : table_op(c, cmd);
}

/* Whether one of the ports is pending: 1, 0, -XEN_EFAULT, -XEN_EINVAL: no such port. */
static int any_pending(struct hypercall *c, const struct sched_poll *op, evtchn_port_t *last)
{
	for (uint32_t i = 0; i < op->nr_ports; i++) {
		gva_t at;
		int rc = hypercall_element(c, make_gva(op->ports), i, sizeof(*last), &at);

		if (!rc)
			rc = guest_copy_in(&c->access, last, at, sizeof(*last));
		if (rc)
			return rc;
		if (*last == 0 || *last >= shared_info_ports(c->domain))
			return -XEN_EINVAL;
		if (shared_info_pending(c->domain, *last))
			return 1;
	}
	return 0;
}

/*
 * SCHEDOP_poll: waits until one of some ports is pending, masked or not, or until a time: 0;
 * -XEN_EINVAL: too many ports, or one that there is not; -XEN_EFAULT. May return early.
 */
int64_t sched_op_poll(struct hypercall *c)
{
	struct vcpu_xen *x = this_cpu_field(current)->xen;
	evtchn_port_t last = 0;
	struct sched_poll op;
	int rc = hypercall_copy_in(c, &layout_sched_poll, &op, make_gva(c->arg[1]));

	if (rc)
		return rc;
	if (op.nr_ports > SCHED_POLL_PORTS_MAX)
		return -XEN_EINVAL;
	/* First it is known to wait, then it looks: who makes a port pending does it the other way.
	 */
	evtchn_poll_begin(x, VCPU_POLLS_ANY);
	rc = any_pending(c, &op, &last);
	if (rc || (op.timeout && op.timeout <= guest_time_now(c->domain))) {
		atomic_store(&x->polls, 0);
		return rc < 0 ? rc : 0;
	}
	if (op.nr_ports == 1)
		atomic_store(&x->polls, last);
	if (op.timeout)
		timer_arm(&x->poll, guest_time_to_tsc(c->domain, op.timeout));
	if (!vcpu_event_waits())
		vcpu_block(true);
	return 0;
}
