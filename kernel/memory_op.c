/*
 * The hypercall memory_op: what a domain maps into its own guest-physical address space.
 *
 * State: none of its own. Every change of a domain's address space is made under the domain's lock,
 * so that what was found there is still there when it is changed; grants do the same
 * (kernel/grant.c).
 *
 * Source: Xen, public/memory.h.
 */
#include "kernel/demand.h"
#include "kernel/domain.h"
#include "kernel/foreign_map.h"
#include "kernel/grant.h"
#include "kernel/hypercall.h"
#include "kernel/reservation.h"
#include "kernel/shared_info.h"
#include "lock.h"
#include "p2m.h"
#include "public/errno.h"
#include "public/memory.h"

#define MEMOP_CMD_MASK ((1ull << MEMOP_EXTENT_SHIFT) - 1)

/* --- mapping ---------------------------------------------------------------------------------- */

static int map_grant_frame(struct domain *d, uint64_t idx, gfn_t gfn)
{
	if (idx >= GRANT_FRAMES_MAX) /* among them XENMAPIDX_grant_table_status: version 2 only */
		return -XEN_EINVAL;
	lock_acquire(&d->lock);
	int rc = grant_table_map_frame(d, (uint32_t)idx, gfn);
	lock_release(&d->lock);
	return rc;
}

static int64_t add_to_physmap(struct hypercall *c)
{
	struct xen_add_to_physmap op;
	int rc = hypercall_copy_in(c, &layout_add_to_physmap, &op, make_gva(c->arg[1]));

	if (rc)
		return rc;
	if (!hypercall_is_caller(c, op.domid))
		return -XEN_EPERM;
	switch (op.space) {
	case XENMAPSPACE_grant_table:
		return map_grant_frame(c->domain, op.idx, make_gfn(op.gpfn));
	case XENMAPSPACE_shared_info:
		return op.idx ? -XEN_EINVAL
			      : shared_info_map(c->domain, make_gfn(op.gpfn), c->wide);
	case XENMAPSPACE_gmfn_foreign: /* in batches only */
	case XENMAPSPACE_gmfn:
	case XENMAPSPACE_gmfn_range:
		return -XEN_ENOSYS;
	default:
		return -XEN_EINVAL;
	}
}

static int64_t add_to_physmap_batch(struct hypercall *c, uint64_t first)
{
	struct xen_add_to_physmap_batch op;
	struct domain *target = NULL;
	int rc = hypercall_copy_in(c, &layout_add_to_physmap_batch, &op, make_gva(c->arg[1]));

	if (rc)
		return rc;
	if (!hypercall_is_caller(c, op.domid))
		return -XEN_EPERM;
	if (first > op.size)
		return -XEN_EILSEQ;
	if (op.space == XENMAPSPACE_gmfn_foreign) {
		rc = foreign_find(c, op.foreign_domid, &target);
		if (rc)
			return rc;
	} else if (op.space != XENMAPSPACE_grant_table) {
		return op.space <= XENMAPSPACE_gmfn_range ? -XEN_ENOSYS : -XEN_EINVAL;
	}
	/* Foreign pages all at once, if the arrays can be reached so; else, and grant frames, one
	 * by one. */
	rc = target ? foreign_map_batch(c, &op, target, first, false) : 0;
	if (rc < 0)
		return rc;
	for (uint64_t i = first + (unsigned)rc; i < op.size; i++) {
		uint64_t idx, gfn;
		int32_t err = 0;
		gva_t err_at;
		if (i - first >= HYPERCALL_BATCH) {
			c->arg[0] = XENMEM_add_to_physmap_batch | i << MEMOP_EXTENT_SHIFT;
			return hypercall_continue(c);
		}
		/* The place of the result is tried before anything is done. */
		if (hypercall_word_in(c, make_gva(op.idxs), i, &idx) ||
		    hypercall_word_in(c, make_gva(op.gpfns), i, &gfn) ||
		    hypercall_element(c, make_gva(op.errs), i, sizeof(err), &err_at) ||
		    guest_copy_out(&c->access, err_at, &err, sizeof(err)))
			return -XEN_EFAULT;
		if (target)
			err = foreign_map_one(c->domain, target, idx, make_gfn(gfn));
		else
			err = map_grant_frame(c->domain, idx, make_gfn(gfn));
		if (err && guest_copy_out(&c->access, err_at, &err, sizeof(err)))
			return -XEN_EFAULT;
	}
	return 0;
}

/* --- removing --------------------------------------------------------------------------------- */

/*
 * Takes what is at gfn out of the domain's address space: RAM (which goes back to the hypervisor
 * when nobody has it mapped any more), a foreign frame, a frame of the grant table. -XEN_EINVAL:
 * out of range; -XEN_ENOENT: nothing is there; -XEN_EBUSY: a grant, which is unmapped by its
 * handle; -XEN_ENOMEM: a large leaf could not be split. On error nothing has changed.
 */
static int remove_frame(struct domain *d, gfn_t gfn)
{
	struct p2m_entry e;
	int rc;

	if (gfn_raw(gfn) >= d->p2m.max_gfn)
		return -XEN_EINVAL;
	lock_acquire(&d->lock);
	if (!p2m_lookup(&d->p2m, gfn, &e))
		rc = -XEN_ENOENT;
	else if (e.type != P2M_RAM && e.type != P2M_FOREIGN && e.type != P2M_DEMAND &&
		 e.type != P2M_SHARED)
		rc = -XEN_EBUSY;
	else
		rc = p2m_unmap(&d->p2m, gfn, 1, memory_put_removed, d);
	if (!rc && e.type == P2M_SHARED) {
		grant_table_frame_unmapped(d, gfn);
		shared_info_unmapped(d, gfn);
	}
	lock_release(&d->lock);
	/* It may have been RAM that came in the place of a window's page meanwhile. */
	if (!rc)
		demand_given_back(d, gfn_raw(gfn), 1);
	return rc;
}

static int64_t remove_from_physmap(struct hypercall *c)
{
	struct xen_remove_from_physmap op;
	int rc = hypercall_copy_in(c, &layout_remove_from_physmap, &op, make_gva(c->arg[1]));

	if (rc)
		return rc;
	if (!hypercall_is_caller(c, op.domid))
		return -XEN_EPERM;
	return remove_frame(c->domain, make_gfn(op.gpfn));
}

/* --- memory map ------------------------------------------------------------------------------- */

static int64_t memory_map(struct hypercall *c)
{
	struct domain_map_entry map[DOMAIN_MAP_MAX];
	unsigned count = domain_memory_map(c->domain, map);
	struct xen_memory_map op;
	int rc = hypercall_copy_in(c, &layout_memory_map, &op, make_gva(c->arg[1]));

	if (rc)
		return rc;
	if (op.nr_entries > count)
		op.nr_entries = count;
	for (uint32_t i = 0; i < op.nr_entries; i++) {
		struct e820_entry entry = {
		    .addr = map[i].start, .size = map[i].size, .type = map[i].type};
		gva_t at;
		rc = hypercall_element(c, make_gva(op.buffer), i, sizeof(entry), &at);
		if (!rc)
			rc = guest_copy_out(&c->access, at, &entry, sizeof(entry));
		if (rc)
			return rc;
	}
	return hypercall_copy_out(c, &layout_memory_map, make_gva(c->arg[1]), &op);
}

/*
 * memory_op(cmd, arg): 0, or an error of the command; -XEN_EFAULT: an argument cannot be read or
 * written; -XEN_EPERM: about another domain, without the right; -XEN_ENOSYS: no such command or
 * kind of mapping.
 */
int64_t hypercall_memory_op(struct hypercall *c)
{
	uint64_t first = c->arg[0] >> MEMOP_EXTENT_SHIFT;
	uint32_t cmd = (uint32_t)(c->arg[0] & MEMOP_CMD_MASK);

	/* Only a batch can be gone on with. */
	if (first && cmd != XENMEM_add_to_physmap_batch && cmd != XENMEM_populate_physmap &&
	    cmd != XENMEM_decrease_reservation)
		return -XEN_ENOSYS;
	switch (cmd) {
	case XENMEM_populate_physmap:
	case XENMEM_decrease_reservation:
		return memory_op_reservation(c, cmd, first);
	case XENMEM_current_reservation:
	case XENMEM_maximum_reservation:
		return memory_op_reservation_size(c, cmd);
	case XENMEM_add_to_physmap:
		return add_to_physmap(c);
	case XENMEM_add_to_physmap_batch:
		return add_to_physmap_batch(c, first);
	case XENMEM_remove_from_physmap:
		return remove_from_physmap(c);
	case XENMEM_memory_map:
		return memory_map(c);
	case XENMEM_acquire_resource:
		return memory_op_acquire_resource(c);
	default:
		return -XEN_ENOSYS;
	}
}
