/*
 * The hypercall grant_table_op: arguments in, results out. What it does is in kernel/grant.c.
 *
 * State: none. No lock. Each element of a batch goes through the same steps: copied in once;
 * checked, with everything reserved that it needs; its result written; and only then done, by a
 * step that as a rule cannot fail. So an array that cannot be written to has changed nothing. A
 * batch of unmappings costs one flush: that of the generation the p2m has reached when the guest
 * runs again.
 *
 * Source: Xen, public/grant_table.h.
 */
#include "kernel/grant.h"
#include "kernel/hypercall.h"
#include "public/errno.h"
#include "public/grant_table.h"
#include "public/xen.h"

/* The largest handle number is never given out: it says that there is none. */
#define NO_HANDLE UINT32_MAX

static bool is_caller(const struct hypercall *c, domid_t id)
{
	return id == DOMID_SELF || id == c->domain->id;
}

static int16_t map_prepare(struct hypercall *c, const struct gnttab_map_grant_ref *op,
			   struct grant_map *m)
{
	if (op->flags & GNTMAP_device_map)
		return GNTST_bad_dev_addr;
	if (!(op->flags & GNTMAP_host_map))
		return GNTST_bad_gntref;
	/* What is left is for paravirtualised guests, or means nothing. */
	if (op->flags & ~(GNTMAP_host_map | GNTMAP_readonly))
		return GNTST_general_error;
	if (gpa_offset(make_gpa(op->host_addr)))
		return GNTST_bad_virt_addr;
	*m = (struct grant_map){
	    .mapper = c->domain,
	    .granter = op->dom,
	    .ref = op->ref,
	    .gfn = gpa_to_gfn(make_gpa(op->host_addr)),
	    .readonly = op->flags & GNTMAP_readonly,
	};
	return grant_map_prepare(m);
}

static int map_one(struct hypercall *c, gva_t at)
{
	struct gnttab_map_grant_ref op;
	struct grant_map m;
	int rc = hypercall_copy_in(c, &layout_gnttab_map_grant_ref, &op, at);

	if (rc)
		return rc;
	op.status = map_prepare(c, &op, &m);
	bool prepared = op.status == GNTST_okay;
	op.handle = prepared ? m.handle : NO_HANDLE;
	op.dev_bus_addr = 0; /* no machine address is ever told */
	rc = hypercall_copy_out(c, &layout_gnttab_map_grant_ref, at, &op);
	if (!prepared)
		return rc;
	if (rc) {
		grant_map_cancel(&m);
		return rc;
	}
	op.status = grant_map_commit(&m);
	if (op.status == GNTST_okay)
		return 0;
	op.handle = NO_HANDLE;
	return hypercall_copy_out(c, &layout_gnttab_map_grant_ref, at, &op);
}

static int unmap_one(struct hypercall *c, gva_t at)
{
	struct gnttab_unmap_grant_ref op;
	struct grant_track *track = NULL;
	int rc = hypercall_copy_in(c, &layout_gnttab_unmap_grant_ref, &op, at);

	if (rc)
		return rc;
	if (op.dev_bus_addr)
		op.status = GNTST_bad_dev_addr;
	else if (gpa_offset(make_gpa(op.host_addr)))
		op.status = GNTST_bad_virt_addr;
	else
		op.status = grant_unmap_prepare(c->domain, op.handle,
						gpa_to_gfn(make_gpa(op.host_addr)), &track);
	rc = hypercall_copy_out(c, &layout_gnttab_unmap_grant_ref, at, &op);
	if (op.status != GNTST_okay)
		return rc;
	if (rc) {
		grant_unmap_cancel(track);
		return rc;
	}
	op.status = grant_unmap_commit(c->domain, track);
	if (op.status == GNTST_okay)
		return 0;
	return hypercall_copy_out(c, &layout_gnttab_unmap_grant_ref, at, &op);
}

/* Works off an array from the registers, and moves the registers on when it is not done. */
static int64_t batch(struct hypercall *c, const struct compat_layout *layout,
		     int (*one)(struct hypercall *c, gva_t at))
{
	uint32_t count = (uint32_t)c->arg[2];
	unsigned size = hypercall_size(c, layout);
	uint32_t i;

	for (i = 0; i < count && i < HYPERCALL_BATCH; i++) {
		gva_t at;
		int rc = hypercall_element(c, make_gva(c->arg[1]), i, size, &at);
		if (!rc)
			rc = one(c, at);
		if (rc)
			return rc;
	}
	if (i == count)
		return 0;
	gva_t rest;
	int rc = hypercall_element(c, make_gva(c->arg[1]), i, size, &rest);
	if (rc) /* the array ends with the address space, but not with its count */
		return rc;
	c->arg[1] = gva_raw(rest);
	c->arg[2] = count - i;
	return hypercall_continue(c);
}

static int64_t setup_table(struct hypercall *c)
{
	struct gnttab_setup_table op;
	gva_t at = make_gva(c->arg[1]);

	if ((uint32_t)c->arg[2] != 1)
		return -XEN_EINVAL;
	int rc = hypercall_copy_in(c, &layout_gnttab_setup_table, &op, at);
	if (rc)
		return rc;
	op.status = GNTST_okay;
	if (!is_caller(c, op.dom))
		op.status = GNTST_permission_denied;
	else if (op.nr_frames > GRANT_FRAMES_MAX || grant_table_grow(c->domain, op.nr_frames))
		op.status = GNTST_general_error;
	for (uint32_t i = 0; op.status == GNTST_okay && i < op.nr_frames; i++) {
		uint64_t gfn = gfn_raw(grant_table_frame_gfn(c->domain, i));
		if (hypercall_word_out(c, make_gva(op.frame_list), i, gfn))
			op.status = GNTST_bad_virt_addr;
	}
	return hypercall_copy_out(c, &layout_gnttab_setup_table, at, &op);
}

static int64_t query_size(struct hypercall *c)
{
	struct gnttab_query_size op;
	gva_t at = make_gva(c->arg[1]);

	if ((uint32_t)c->arg[2] != 1)
		return -XEN_EINVAL;
	int rc = hypercall_copy_in(c, &layout_gnttab_query_size, &op, at);
	if (rc)
		return rc;
	if (is_caller(c, op.dom)) {
		op.nr_frames = grant_table_frames(c->domain);
		op.max_nr_frames = GRANT_FRAMES_MAX;
		op.status = GNTST_okay;
	} else {
		op.status = GNTST_permission_denied;
	}
	return hypercall_copy_out(c, &layout_gnttab_query_size, at, &op);
}

/*
 * grant_table_op(cmd, args, count): 0 when every element has its status; -XEN_EFAULT when an
 * element cannot be read or written: those before it are done; -XEN_EINVAL: count is not 1 where
 * only 1 is possible; -XEN_ENOSYS.
 */
int64_t hypercall_grant_table_op(struct hypercall *c)
{
	switch ((uint32_t)c->arg[0]) {
	case GNTTABOP_map_grant_ref:
		return batch(c, &layout_gnttab_map_grant_ref, map_one);
	case GNTTABOP_unmap_grant_ref:
		return batch(c, &layout_gnttab_unmap_grant_ref, unmap_one);
	case GNTTABOP_setup_table:
		return setup_table(c);
	case GNTTABOP_query_size:
		return query_size(c);
	default:
		return -XEN_ENOSYS;
	}
}
