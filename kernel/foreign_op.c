/*
 * Pages of other domains, beyond what memory_op maps in batches: the call keyhole_foreign, and
 * XENMEM_acquire_resource. State: none. Locks: kernel/foreign_map.c's.
 *
 * Source: Xen, public/memory.h; public/keyhole.h.
 */
#include "kernel/demand.h"
#include "kernel/domain.h"
#include "kernel/foreign_map.h"
#include "kernel/grant.h"
#include "public/errno.h"
#include "public/keyhole.h"
#include "public/memory.h"

/* The first argument. */
#define COMMAND_MASK 0xffffu
#define DOMAIN_SHIFT 16

/*
 * A part of a range is done: frames at *first and, if not NULL, *second move on. The result is how
 * many in all; if that is none, the error.
 */
static int64_t range_done(struct hypercall *c, uint64_t *first, uint64_t *second, uint64_t *count,
			  uint64_t *total, uint64_t done, int rc)
{
	uint64_t all = *total + done;

	if (*total > GUEST_GFN_LIMIT) /* made up */
		return -XEN_EINVAL;
	if (rc || done == *count)
		return all ? (int64_t)all : rc;
	*first += done;
	if (second)
		*second += done;
	*count -= done;
	*total = all;
	return hypercall_continue(c);
}

static int64_t map_range(struct hypercall *c)
{
	struct domain *target;
	int rc = foreign_find(c, (uint32_t)c->arg[0] >> DOMAIN_SHIFT, &target);

	if (rc)
		return rc;
	uint64_t *arg = c->arg, done;

	done = foreign_map_range(c->domain, target, arg[1], arg[2], arg[3], &rc);
	return range_done(c, &arg[1], &arg[2], &arg[3], &arg[4], done, rc);
}

static int64_t remove_range(struct hypercall *c)
{
	int rc;
	uint64_t done = foreign_remove_range(c->domain, c->arg[1], c->arg[2], &rc);

	return range_done(c, &c->arg[1], NULL, &c->arg[2], &c->arg[3], done, rc);
}

static int64_t exchange(struct hypercall *c)
{
	struct xen_add_to_physmap_batch op;
	struct domain *target;
	int rc = hypercall_copy_in(c, &layout_add_to_physmap_batch, &op, make_gva(c->arg[1]));

	if (!rc && !hypercall_is_caller(c, op.domid))
		rc = -XEN_EPERM;
	if (!rc && op.space != XENMAPSPACE_gmfn_foreign)
		rc = -XEN_EINVAL;
	if (!rc)
		rc = foreign_find(c, op.foreign_domid, &target);
	if (rc || c->arg[2] >= op.size)
		return rc;
	rc = foreign_map_batch(c, &op, target, c->arg[2], true);
	if (rc <= 0)
		return -XEN_EFAULT;
	if (c->arg[2] + (unsigned)rc >= op.size)
		return 0;
	c->arg[2] += (unsigned)rc;
	return hypercall_continue(c);
}

static int64_t window_open_op(struct hypercall *c)
{
	struct domain *owner;
	int rc = foreign_find(c, (uint32_t)c->arg[0] >> DOMAIN_SHIFT, &owner);

	return rc ? rc : demand_open(c->domain, owner, c->arg[1], c->arg[2], c->arg[3], c->arg[4]);
}

static int64_t window_close_op(struct hypercall *c)
{
	int rc = demand_close_step(c->domain, c->arg[1]);

	if (!rc)
		return hypercall_continue(c);
	return rc < 0 ? rc : 0;
}

static int64_t window_stats_op(struct hypercall *c)
{
	struct keyhole_window_stats stats;
	int rc = demand_stats(c->domain, c->arg[1], &stats);

	return rc ? rc : guest_copy_out(&c->access, make_gva(c->arg[2]), &stats, sizeof(stats));
}

/*
 * keyhole_foreign(cmd, ...): see public/keyhole.h. -XEN_EPERM, -XEN_ESRCH, -XEN_EINVAL: of the
 * other domain; -XEN_EFAULT; -XEN_ENOSYS: no such cmd; errors of the first page that could not be
 * mapped or removed; those of kernel/demand.c.
 */
int64_t hypercall_foreign(struct hypercall *c)
{
	switch (c->arg[0] & COMMAND_MASK) {
	case KEYHOLE_FOREIGN_MAP:
		return map_range(c);
	case KEYHOLE_FOREIGN_REMOVE:
		return remove_range(c);
	case KEYHOLE_FOREIGN_EXCHANGE:
		return exchange(c);
	case KEYHOLE_WINDOW_OPEN:
		return window_open_op(c);
	case KEYHOLE_WINDOW_CLOSE:
		return window_close_op(c);
	case KEYHOLE_WINDOW_STATS:
		return window_stats_op(c);
	default:
		return -XEN_ENOSYS;
	}
}

/*
 * acquire_resource: frames of another domain's grant table, at most 32; without a list, how many
 * there can be. -XEN_EINVAL: no such resource, or no such frame of it; those of
 * foreign_find() and foreign_map_frame(). What was mapped before an error stays.
 */
int64_t memory_op_acquire_resource(struct hypercall *c)
{
	struct xen_mem_acquire_resource op;
	struct domain *target;
	int rc = hypercall_copy_in(c, &layout_acquire_resource, &op, make_gva(c->arg[1]));

	if (rc)
		return rc;
	rc = foreign_find(c, op.domid, &target);
	if (rc)
		return rc;
	if (op.pad || op.type != XENMEM_resource_grant_table ||
	    op.id != XENMEM_resource_grant_table_id_shared)
		return -XEN_EINVAL;
	if (!op.frame_list) {
		if (op.nr_frames)
			return -XEN_EINVAL;
		op.nr_frames = GRANT_FRAMES_MAX;
		return hypercall_copy_out(c, &layout_acquire_resource, make_gva(c->arg[1]), &op);
	}
	if (op.frame > GRANT_FRAMES_MAX || op.nr_frames > GRANT_FRAMES_MAX - op.frame)
		return -XEN_EINVAL;
	for (uint64_t i = 0; i < op.nr_frames && !rc; i++) {
		uint64_t gfn;
		mfn_t frame;

		rc = hypercall_word_in(c, make_gva(op.frame_list), i, &gfn);
		if (!rc)
			rc = grant_table_take_frame(target, (uint32_t)(op.frame + i), &frame);
		if (rc)
			return rc;
		rc = foreign_map_frame(c->domain, frame, make_gfn(gfn));
	}
	return rc;
}
