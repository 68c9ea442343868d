/*
 * What a domain has as a guest of Xen's ABI: made with it, given back step by step.
 *
 * State: struct domain_xen and struct vcpu_xen, on the heap in pages of the domain's own; the
 * shared-info frame, the console ring's and the xenstore's. The domain is not found yet, or not any
 * more.
 */
#include "kernel/xen_state.h"
#include "kernel/domain.h"
#include "kernel/evtchn.h"
#include "kernel/runstate.h"
#include "kernel/sched_op.h"
#include "kernel/shared_info.h"
#include "kernel/vcpu_op.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "p2m.h"

static int vcpu_state_create(struct vcpu_shared *v)
{
	void *object;
	int rc = heap_alloc(sizeof(struct vcpu_xen), v->domain->id, &object);

	if (rc)
		return rc;
	v->xen = object;
	v->xen->vcpu = v;
	v->xen->runstate_lock = (struct lock)LOCK_INIT(LOCK_RUNSTATE);
	vcpu_op_timers_init(v);
	vcpu_info_init(v);
	return 0;
}

/* A page that d sees at gfn from the beginning. */
static int page_create(struct domain *d, uint64_t gfn, mfn_t *frame)
{
	int rc = frame_alloc(0, d->id, FRAME_GUEST_SHARED, frame);

	return rc ? rc : p2m_map(&d->p2m, make_gfn(gfn), *frame, 1, P2M_SHARED, P2M_RW);
}

/* For a new domain with its vCPUs. -XEN_ENOMEM: xen_state_free() takes what there is. */
int xen_state_create(struct domain *d)
{
	void *object;
	int rc = heap_alloc(sizeof(struct domain_xen), d->id, &object);

	if (rc)
		return rc;
	d->xen = object;
	d->xen->lock = (struct lock)LOCK_INIT_ORDERED(LOCK_EVTCHN, d->id);
	d->xen->first_free = 1;
	atomic_store(&d->xen->generation, 1);
	sched_op_init(d);
	d->xen->shared_info = d->xen->console_ring = d->xen->store = MFN_INVALID;
	d->xen->shared_info_gfn = GFN_INVALID;
	atomic_store(&d->xen->port_limit, EVTCHN_2L_NR_CHANNELS);
	rc = frame_alloc(0, d->id, FRAME_GUEST_SHARED, &d->xen->shared_info);
	if (!rc)
		rc = page_create(d, GUEST_CONSOLE_GFN, &d->xen->console_ring);
	if (!rc)
		rc = page_create(d, GUEST_STORE_GFN, &d->xen->store);
	for (uint32_t i = 0; !rc && i < d->vcpu_count; i++)
		rc = vcpu_state_create(d->vcpus[i]);
	if (!rc)
		rc = evtchn_bind_own(d, EVTCHN_OWN_CONSOLE);
	return rc ? rc : evtchn_bind_own(d, EVTCHN_OWN_STORE);
}

bool xen_state_release_step(struct domain *d)
{
	if (d->xen && !evtchn_release_step(d))
		return false;
	if (d->xen)
		sched_op_release(d);
	for (uint32_t i = 0; i < d->vcpu_count; i++) {
		struct vcpu_shared *v = d->vcpus[i];

		if (!v->xen)
			continue;
		vcpu_info_release(v);
		runstate_release(v);
		timers_cancel(v);
		v->timers->next_of_vcpu = NULL; /* the others are in what goes now */
		heap_free(v->xen);
		v->xen = NULL;
	}
	return true;
}

/* The p2m does not lead to the frames any more. */
void xen_state_free(struct domain *d)
{
	if (!d->xen)
		return;
	evtchn_table_free(d);
	const mfn_t pages[] = {d->xen->shared_info, d->xen->console_ring, d->xen->store};
	for (unsigned i = 0; i < array_size(pages); i++)
		if (!mfn_equal(pages[i], MFN_INVALID))
			frame_free(pages[i], 0);
	heap_free(d->xen);
	d->xen = NULL;
}
