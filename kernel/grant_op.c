/*
 * The hypercall grant_table_op: arguments in, results out. What it does is in kernel/grant.c.
 *
 * State: none. No lock. Each element of a batch, or chunk of it, goes through the same steps:
 * copied in once; checked, with everything reserved that it needs; its result written; and only
 * then done, by a step that as a rule cannot fail. So an array that cannot be written to has
 * changed nothing. A batch of unmappings costs one flush: that of the generation the p2m has
 * reached when the guest runs again.
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

static int16_t unmap_prepare(struct hypercall *c, const struct gnttab_unmap_grant_ref *op,
			     struct grant_track **track)
{
	if (op->dev_bus_addr)
		return GNTST_bad_dev_addr;
	if (gpa_offset(make_gpa(op->host_addr)))
		return GNTST_bad_virt_addr;
	return grant_unmap_prepare(c->domain, op->handle, gpa_to_gfn(make_gpa(op->host_addr)),
				   track);
}

static int unmap_one(struct hypercall *c, gva_t at)
{
	struct gnttab_unmap_grant_ref op;
	struct grant_track *track = NULL;
	int rc = hypercall_copy_in(c, &layout_gnttab_unmap_grant_ref, &op, at);

	if (rc)
		return rc;
	op.status = unmap_prepare(c, &op, &track);
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

/*
 * Elements of a 64-bit caller at once, through the same steps: all are copied in, all are checked
 * and reserved, all results are written, and then all is done. Returns how many: count, or 0 if
 * they cannot be reached as a whole, and nothing has changed; -XEN_EFAULT: a result that was not to
 * be expected could not be written.
 */
#define CHUNK 16u

static int map_chunk(struct hypercall *c, gva_t at, unsigned count)
{
	struct gnttab_map_grant_ref ops[CHUNK];
	struct grant_map maps[CHUNK];
	int16_t status[CHUNK];
	bool failed = false;

	if (guest_copy_in(&c->access, ops, at, count * sizeof(*ops)))
		return 0;
	for (unsigned i = 0; i < count; i++) {
		ops[i].status = status[i] = map_prepare(c, &ops[i], &maps[i]);
		ops[i].handle = status[i] == GNTST_okay ? maps[i].handle : NO_HANDLE;
		ops[i].dev_bus_addr = 0;
	}
	if (guest_copy_out(&c->access, at, ops, count * sizeof(*ops))) {
		for (unsigned i = 0; i < count; i++)
			if (status[i] == GNTST_okay)
				grant_map_cancel(&maps[i]);
		return 0;
	}
	grant_map_commit_batch(maps, count, status);
	for (unsigned i = 0; i < count; i++)
		if (ops[i].status != status[i]) {
			ops[i].status = status[i];
			ops[i].handle = NO_HANDLE;
			failed = true;
		}
	if (failed && guest_copy_out(&c->access, at, ops, count * sizeof(*ops)))
		return -XEN_EFAULT;
	return (int)count;
}

static int unmap_chunk(struct hypercall *c, gva_t at, unsigned count)
{
	struct gnttab_unmap_grant_ref ops[CHUNK];
	struct grant_track *tracks[CHUNK] = {NULL};
	int16_t status[CHUNK];
	bool failed = false;

	if (guest_copy_in(&c->access, ops, at, count * sizeof(*ops)))
		return 0;
	for (unsigned i = 0; i < count; i++)
		ops[i].status = status[i] = unmap_prepare(c, &ops[i], &tracks[i]);
	if (guest_copy_out(&c->access, at, ops, count * sizeof(*ops))) {
		for (unsigned i = 0; i < count; i++)
			if (tracks[i])
				grant_unmap_cancel(tracks[i]);
		return 0;
	}
	grant_unmap_commit_batch(c->domain, tracks, count, status);
	for (unsigned i = 0; i < count; i++) {
		failed |= ops[i].status != status[i];
		ops[i].status = status[i];
	}
	if (failed && guest_copy_out(&c->access, at, ops, count * sizeof(*ops)))
		return -XEN_EFAULT;
	return (int)count;
}

/* Works off an array from the registers, and moves the registers on when it is not done. */
static int64_t batch(struct hypercall *c, const struct compat_layout *layout,
		     int (*one)(struct hypercall *c, gva_t at),
		     int (*chunk)(struct hypercall *c, gva_t at, unsigned count))
{
	uint32_t count = (uint32_t)c->arg[2];
	unsigned size = hypercall_size(c, layout);
	bool chunks = c->wide;
	uint32_t i = 0;

	while (i < count && i < HYPERCALL_BATCH) {
		uint32_t left = (count < HYPERCALL_BATCH ? count : HYPERCALL_BATCH) - i;
		unsigned n = left < CHUNK ? left : CHUNK;
		gva_t at, last;
		int rc = hypercall_element(c, make_gva(c->arg[1]), i, size, &at);
		if (!rc && chunks && n > 1 &&
		    !hypercall_element(c, make_gva(c->arg[1]), i + n - 1, size, &last)) {
			rc = chunk(c, at, n);
			if (rc > 0) {
				i += (unsigned)rc;
				continue;
			}
			chunks = false; /* one of them is out of reach: up to there one by one */
		}
		if (!rc)
			rc = one(c, at);
		if (rc)
			return rc;
		i++;
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
		return batch(c, &layout_gnttab_map_grant_ref, map_one, map_chunk);
	case GNTTABOP_unmap_grant_ref:
		return batch(c, &layout_gnttab_unmap_grant_ref, unmap_one, unmap_chunk);
	case GNTTABOP_setup_table:
		return setup_table(c);
	case GNTTABOP_query_size:
		return query_size(c);
	default:
		return -XEN_ENOSYS;
	}
}
