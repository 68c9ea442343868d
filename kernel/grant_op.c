/*
 * The hypercalls grant_table_op and keyhole_grant: arguments in, results out. What they do is in
 * kernel/grant*.c.
 *
 * State: none. No lock. Elements of a batch go through the same steps, as many at a time as lie in
 * one page: their place is found and copied in once; each is checked and done, or refused with
 * nothing changed; their results are written. So an array that cannot be written to has changed
 * nothing. A batch of unmappings costs one flush: that of the generation the p2m has reached when
 * the guest runs again.
 *
 * Source: Xen, public/grant_table.h.
 */
#include "grant_copy.h"
#include "kernel/grant.h"
#include "kernel/hypercall.h"
#include "mm/epoch.h"
#include "public/errno.h"
#include "public/grant_table.h"
#include "public/keyhole.h"
#include "vcpu.h"

#define GRANT_TABLE_VERSION 1u

/* Elements of a batch; all but those of a copy are laid out alike for 32- and 64-bit callers. */
union elements {
	struct gnttab_map_grant_ref map[HYPERCALL_BATCH];
	struct gnttab_unmap_grant_ref unmap[HYPERCALL_BATCH];
	struct gnttab_unmap_and_replace replace[HYPERCALL_BATCH];
	struct gnttab_swap_grant_ref swap[HYPERCALL_BATCH];
	struct gnttab_copy copy[HYPERCALL_BATCH];
	struct compat_gnttab_copy narrow_copy[HYPERCALL_BATCH];
};

static void map_some(struct domain *d, union elements *ops, unsigned count)
{
	grants_map(d, ops->map, count);
}

static void unmap_some(struct domain *d, union elements *ops, unsigned count)
{
	grants_unmap(d, ops->unmap, count);
}

/*
 * Xen refuses a replacement to guests that have a p2m, which Keyhole's all have: it is an
 * unmapping. new_addr lies where dev_bus_addr does there, which must be 0, too.
 */
_Static_assert(offsetof(struct gnttab_unmap_and_replace, new_addr) ==
		       offsetof(struct gnttab_unmap_grant_ref, dev_bus_addr) &&
		   offsetof(struct gnttab_unmap_and_replace, handle) ==
		       offsetof(struct gnttab_unmap_grant_ref, handle) &&
		   offsetof(struct gnttab_unmap_and_replace, status) ==
		       offsetof(struct gnttab_unmap_grant_ref, status),
	       "laid out alike");

static void replace_some(struct domain *d, union elements *ops, unsigned count)
{
	grants_unmap(d, ops->unmap, count);
	for (unsigned i = 0; i < count; i++)
		if (ops->replace[i].status == GNTST_bad_dev_addr)
			ops->replace[i].status = GNTST_general_error;
}

static void swap_some(struct domain *d, union elements *ops, unsigned count)
{
	for (struct gnttab_swap_grant_ref *op = ops->swap; op < ops->swap + count; op++)
		op->status = grant_entries_swap(d, op->ref_a, op->ref_b);
}

static void copy_some(struct domain *d, union elements *ops, unsigned count)
{
	struct grant_copies copies;

	grant_copies_begin(&copies, d);
	for (struct gnttab_copy *op = ops->copy; op < ops->copy + count; op++)
		op->status = grant_copy_one(&copies, op);
	grant_copies_end(&copies);
}

static void copy_some_narrow(struct domain *d, union elements *ops, unsigned count)
{
	struct grant_copies copies;
	struct gnttab_copy wide;

	grant_copies_begin(&copies, d);
	for (struct compat_gnttab_copy *op = ops->narrow_copy; op < ops->narrow_copy + count;
	     op++) {
		compat_widen(&layout_gnttab_copy, &wide, op);
		op->status = grant_copy_one(&copies, &wide);
	}
	grant_copies_end(&copies);
}

/* Elements from an address on that lie whole in its page, at most left; at least one, then, which
 * may reach into the next page. */
static unsigned elements_in_page(gva_t at, unsigned size, unsigned left)
{
	unsigned count = (unsigned)((PAGE_SIZE - (gva_raw(at) & (PAGE_SIZE - 1))) / size);

	if (!count)
		return 1;
	return count < left ? count : left;
}

/* After the first done elements of an array from the registers: moves the registers on, if there
 * are more. */
static int64_t go_on(struct hypercall *c, unsigned done, unsigned size)
{
	uint32_t count = (uint32_t)c->arg[2];
	gva_t rest;

	if (done == count)
		return 0;
	int rc = hypercall_element(c, make_gva(c->arg[1]), done, size, &rest);
	if (rc) /* the array ends with the address space, but not with its count */
		return rc;
	c->arg[1] = gva_raw(rest);
	c->arg[2] = count - done;
	return hypercall_continue(c);
}

/*
 * Works off an array from the registers, a page of it at a time, and moves the registers on when it
 * is not done. The place of a page's elements is found once, for reading and writing, before
 * anything is done with them; writing their results there cannot fail any more.
 */
static int64_t batch(struct hypercall *c, unsigned size,
		     void (*some)(struct domain *d, union elements *ops, unsigned count))
{
	uint32_t count = (uint32_t)c->arg[2];
	unsigned end = count < HYPERCALL_BATCH ? count : HYPERCALL_BATCH;
	union elements ops;

	for (unsigned i = 0, n; i < end; i += n) {
		struct guest_place place;
		gva_t at;
		int rc = hypercall_element(c, make_gva(c->arg[1]), i, size, &at);

		if (rc)
			return rc;
		n = elements_in_page(at, size, end - i);
		rc = guest_place_find(&c->access, at, n * size, &place);
		if (rc)
			return rc;
		guest_place_read(&place, &ops, n * size);
		some(c->domain, &ops, n);
		guest_place_write(&place, &ops, n * size);
	}
	return go_on(c, end, size);
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
	if (!hypercall_is_caller(c, op.dom))
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
	int rc = guest_copy_in(&c->access, &op, at, sizeof(op));
	if (rc)
		return rc;
	if (hypercall_is_caller(c, op.dom)) {
		op.nr_frames = grant_table_frames(c->domain);
		op.max_nr_frames = GRANT_FRAMES_MAX;
		op.status = GNTST_okay;
	} else {
		op.status = GNTST_permission_denied;
	}
	return guest_copy_out(&c->access, at, &op, sizeof(op));
}

/* Elements have no status: the first error is that of the call. */
static int64_t cache_flush(struct hypercall *c)
{
	uint32_t count = (uint32_t)c->arg[2];
	unsigned end = count < HYPERCALL_BATCH ? count : HYPERCALL_BATCH;
	struct gnttab_cache_flush op;

	for (unsigned i = 0; i < end; i++) {
		gva_t at;
		int rc = hypercall_element(c, make_gva(c->arg[1]), i, sizeof(op), &at);

		if (!rc)
			rc = guest_copy_in(&c->access, &op, at, sizeof(op));
		if (!rc)
			rc = grant_cache_flush(c->domain, &op);
		if (rc)
			return rc;
	}
	return go_on(c, end, sizeof(op));
}

/* Tables have version 1, and no other. As on Xen, count does not matter. */
static int64_t get_version(struct hypercall *c)
{
	struct gnttab_get_version op;
	int rc = guest_copy_in(&c->access, &op, make_gva(c->arg[1]), sizeof(op));

	if (rc)
		return rc;
	if (!hypercall_is_caller(c, op.dom))
		return -XEN_EPERM;
	op.version = GRANT_TABLE_VERSION;
	return guest_copy_out(&c->access, make_gva(c->arg[1]), &op, sizeof(op));
}

static int64_t set_version(struct hypercall *c)
{
	struct gnttab_set_version op;
	int rc = guest_copy_in(&c->access, &op, make_gva(c->arg[1]), sizeof(op));

	if (rc)
		return rc;
	if (op.version != GRANT_TABLE_VERSION)
		return op.version == 2 ? -XEN_ENOSYS : -XEN_EINVAL;
	return guest_copy_out(&c->access, make_gva(c->arg[1]), &op, sizeof(op));
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
		return batch(c, sizeof(struct gnttab_map_grant_ref), map_some);
	case GNTTABOP_unmap_grant_ref:
		return batch(c, sizeof(struct gnttab_unmap_grant_ref), unmap_some);
	case GNTTABOP_copy:
		return c->wide ? batch(c, sizeof(struct gnttab_copy), copy_some)
			       : batch(c, sizeof(struct compat_gnttab_copy), copy_some_narrow);
	case GNTTABOP_unmap_and_replace:
		return batch(c, sizeof(struct gnttab_unmap_and_replace), replace_some);
	case GNTTABOP_swap_grant_ref:
		return batch(c, sizeof(struct gnttab_swap_grant_ref), swap_some);
	case GNTTABOP_cache_flush:
		return cache_flush(c);
	case GNTTABOP_get_version:
		return get_version(c);
	case GNTTABOP_set_version:
		return set_version(c);
	case GNTTABOP_setup_table:
		return setup_table(c);
	case GNTTABOP_query_size:
		return query_size(c);
	default:
		return -XEN_ENOSYS;
	}
}

/* --- Keyhole's own ---------------------------------------------------------------------------- */

/*
 * A revocation that goes on says so in its command, whichever vCPU executes it again then: in
 * arguments 3 and 4 are the mappers whose handles are to be searched; in argument 1, when all
 * elements have been read, the handle, and at last the epoch that is waited for. A guest that makes
 * them up comes back too early, or searches in vain.
 */
#define REVOKE_GOES_ON BIT32(16)
#define REVOKE_FAILED  BIT32(17) /* at an element; what comes before is brought to its end */
#define REVOKE_FLAGS   (REVOKE_GOES_ON | REVOKE_FAILED)

static int64_t revoke_later(struct hypercall *c, uint32_t flags, uint64_t at, uint32_t left,
			    uint64_t mappers)
{
	c->arg[0] = KEYHOLE_GRANT_REVOKE | REVOKE_GOES_ON | flags;
	c->arg[1] = at;
	c->arg[2] = left;
	c->arg[3] = (uint32_t)mappers;
	c->arg[4] = mappers >> 32;
	return hypercall_continue(c);
}

/* Until all mappings have been found and the last has gone, and what was going on in the hypervisor
 * is over, which depends on nobody's goodwill. */
static int64_t revoke_rest(struct hypercall *c, uint32_t flags, struct grant_search *search)
{
	uint32_t ticket = search->handle;

	if (search->mappers) {
		bool done = grants_revoke_search(c->domain, search);

		return revoke_later(c, flags, done ? epoch_ticket() : search->handle, 0,
				    search->mappers);
	}
	if (epoch_over(ticket) && !grants_revoking(c->domain))
		return flags & REVOKE_FAILED ? -XEN_EFAULT : 0;
	vcpu_yield();
	return hypercall_continue(c);
}

/* A page of elements at a time, then the rest. */
static int64_t revoke(struct hypercall *c)
{
	struct keyhole_grant_revoke ops[HYPERCALL_BATCH];
	uint32_t flags = (uint32_t)c->arg[0] & REVOKE_FLAGS, left = (uint32_t)c->arg[2];
	struct grant_search search = {.handle = (uint32_t)c->arg[1]};
	gva_t at = make_gva(c->arg[1]);
	struct guest_place place;

	if (flags)
		search.mappers = (uint32_t)c->arg[3] | c->arg[4] << 32;
	if (!left)
		return flags ? revoke_rest(c, flags, &search) : 0;
	unsigned n =
	    elements_in_page(at, sizeof(ops[0]), left < HYPERCALL_BATCH ? left : HYPERCALL_BATCH);
	bool failed = guest_place_find(&c->access, at, n * sizeof(ops[0]), &place);
	if (failed && !flags)
		return -XEN_EFAULT;
	if (!failed) {
		guest_place_read(&place, ops, n * sizeof(ops[0]));
		grants_revoke(c->domain, ops, n, &search);
		guest_place_write(&place, ops, n * sizeof(ops[0]));
		left -= n;
		failed = left && hypercall_element(c, at, n, sizeof(ops[0]), &at);
	}
	if (left && !failed)
		return revoke_later(c, 0, gva_raw(at), left, search.mappers);
	return revoke_later(c, failed ? REVOKE_FAILED : 0, search.mappers ? 0 : epoch_ticket(), 0,
			    search.mappers);
}

/* One at a time, and no more than one search. */
static int64_t find(struct hypercall *c)
{
	uint32_t count = (uint32_t)c->arg[2];
	struct keyhole_grant_find op;
	gva_t at = make_gva(c->arg[1]);

	if (!count)
		return 0;
	int rc = guest_copy_in(&c->access, &op, at, sizeof(op));
	if (rc)
		return rc;
	bool done = grant_find(c->domain, &op);
	rc = guest_copy_out(&c->access, at, &op, sizeof(op));
	return rc ? rc : go_on(c, done, sizeof(op));
}

/*
 * keyhole_grant(cmd, args, count): 0, or a number; -XEN_EFAULT when an element cannot be read or
 * written: those before it are done; -XEN_ENOSYS.
 */
int64_t hypercall_grant(struct hypercall *c)
{
	uint32_t command = (uint32_t)c->arg[0];

	if ((command & ~REVOKE_FLAGS) == KEYHOLE_GRANT_REVOKE)
		return revoke(c);
	switch (command) {
	case KEYHOLE_GRANT_FIND:
		return find(c);
	case KEYHOLE_GRANT_REVOKED:
		return grants_revoked(c->domain);
	default:
		return -XEN_ENOSYS;
	}
}
