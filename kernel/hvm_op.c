/*
 * The hypercall hvm_op: how a guest is told of events, and where its console ring is.
 *
 * State: struct domain_xen. There are no interrupt lines, so that an upcall is by vector, of the
 * local APIC or past it. Source: Xen, public/hvm/hvm_op.h, params.h.
 */
#include "public/hvm/hvm_op.h"
#include "kernel/domain.h"
#include "kernel/evtchn.h"
#include "kernel/hypercall.h"
#include "kernel/shared_info.h"
#include "kernel/xen_state.h"
#include "public/errno.h"

#define VECTOR_MIN 0x10u /* below are exceptions */

/* A line is taken as on Xen, and nothing ever comes by it. Linux, which has the local APIC told,
 * names one all the same. */
static int set_callback(struct domain *d, uint64_t value)
{
	uint64_t type = value >> HVM_CALLBACK_TYPE_SHIFT;

	if (type > HVM_CALLBACK_TYPE_VECTOR ||
	    (type == HVM_CALLBACK_TYPE_VECTOR && (uint8_t)value < VECTOR_MIN))
		return -XEN_EINVAL;
	atomic_store(&d->xen->callback, value);
	for (uint32_t i = 0; type == HVM_CALLBACK_TYPE_VECTOR && i < d->vcpu_count; i++)
		vcpu_retell_upcall(d->vcpus[i]);
	return 0;
}

static int set_param(struct hypercall *c, const struct xen_hvm_param *p)
{
	if (p->index == HVM_PARAM_CALLBACK_IRQ)
		return set_callback(c->domain, p->value);
	return p->index < HVM_NR_PARAMS ? -XEN_EPERM : -XEN_EINVAL;
}

static int get_param(struct hypercall *c, struct xen_hvm_param *p)
{
	const struct domain_xen *x = c->domain->xen;

	switch (p->index) {
	case HVM_PARAM_CALLBACK_IRQ:
		p->value = atomic_load(&x->callback);
		break;
	case HVM_PARAM_STORE_PFN:
		p->value = GUEST_STORE_GFN;
		break;
	case HVM_PARAM_STORE_EVTCHN:
		p->value = atomic_load(&x->own_ports[EVTCHN_OWN_STORE]);
		break;
	case HVM_PARAM_CONSOLE_PFN:
		p->value = GUEST_CONSOLE_GFN;
		break;
	case HVM_PARAM_CONSOLE_EVTCHN:
		p->value = atomic_load(&x->own_ports[EVTCHN_OWN_CONSOLE]);
		break;
	default:
		return p->index < HVM_NR_PARAMS ? -XEN_EPERM : -XEN_EINVAL;
	}
	return 0;
}

static int64_t param(struct hypercall *c, bool set)
{
	struct guest_place place;
	struct xen_hvm_param p;
	int rc = guest_place_find(&c->access, make_gva(c->arg[1]), sizeof(p), &place);

	if (rc)
		return rc;
	guest_place_read(&place, &p, sizeof(p));
	if (!hypercall_is_caller(c, p.domid))
		return -XEN_EPERM;
	if (set)
		return set_param(c, &p);
	rc = get_param(c, &p);
	if (!rc)
		guest_place_write(&place, &p, sizeof(p));
	return rc;
}

static int64_t set_upcall_vector(struct hypercall *c)
{
	struct xen_hvm_evtchn_upcall_vector op;
	int rc = guest_copy_in(&c->access, &op, make_gva(c->arg[1]), sizeof(op));

	if (rc)
		return rc;
	if (op.vector < VECTOR_MIN)
		return -XEN_EINVAL;
	if (op.vcpu >= c->domain->vcpu_count)
		return -XEN_ENOENT;
	struct vcpu_shared *v = c->domain->vcpus[op.vcpu];
	atomic_store(&v->xen->upcall_vector, op.vector);
	vcpu_retell_upcall(v);
	return 0;
}

/*
 * hvm_op(cmd, arg): 0; -XEN_EINVAL: no such parameter, or a value that means nothing here;
 * -XEN_EPERM: another domain's parameter, or one that is not the guest's to set or to see;
 * -XEN_ENOENT: no such vCPU; -XEN_EFAULT; -XEN_ENOSYS.
 */
int64_t hypercall_hvm_op(struct hypercall *c)
{
	switch ((uint32_t)c->arg[0]) {
	case HVMOP_set_param:
		return param(c, true);
	case HVMOP_get_param:
		return param(c, false);
	case HVMOP_set_evtchn_upcall_vector:
		return set_upcall_vector(c);
	case HVMOP_pagetable_dying: /* no shadow page tables that could care */
		return 0;
	default:
		return -XEN_ENOSYS;
	}
}
