/*
 * Mapping pages of another domain, one and in batches.
 *
 * State: none of its own. The mapping domain's lock is held while its p2m changes. Each mapping
 * holds a reference to its frame, taken before the frame appears anywhere. The other domain is not
 * locked: what its p2m said stays true of the frame until this CPU's next quiescent point, and the
 * reference is refused if the frame has a new owner. Ready for many CPUs.
 *
 * A batch reads its arrays once, takes runs that are contiguous on both sides and in the other
 * domain's RAM, and maps each by one change of the p2m.
 *
 * Source: Xen, public/memory.h.
 */
#include "kernel/foreign_map.h"
#include "kernel/domain.h"
#include "lock.h"
#include "mm/frame.h"
#include "p2m.h"
#include "public/errno.h"
#include "public/memory.h"

/* Pages of a batch that are worked off before a continuation: an array's place is found once for as
 * many. */
#define FOREIGN_BATCH 128u

/*
 * Maps frame idx of another domain at gfn. -XEN_EINVAL: no RAM of its own there, or gfn out of
 * range; -XEN_EEXIST: the caller has something at gfn; -XEN_ENOMEM. On error nothing has changed.
 */
int foreign_map_one(struct domain *d, struct domain *target, uint64_t idx, gfn_t gfn)
{
	struct p2m_entry e;

	if (idx >= target->p2m.max_gfn || !p2m_lookup(&target->p2m, make_gfn(idx), &e) ||
	    e.type != P2M_RAM || frame_get_present(e.frame, target->id, FRAME_GUEST_RAM))
		return -XEN_EINVAL;
	lock_acquire(&d->lock);
	int rc = p2m_map(&d->p2m, gfn, e.frame, 1, P2M_FOREIGN, P2M_RW);
	lock_release(&d->lock);
	if (rc)
		frame_put(e.frame); /* never mapped: nothing to wait for */
	return rc;
}

/* A part of a batch: frames of the target from idx on, wanted from gfn on. */
struct foreign_run {
	struct domain *d, *target;
	uint64_t idx, gfn, frame_count;
};

/*
 * Maps the beginning of a run, as far as one leaf of the target holds it. Returns how many frames;
 * 0: none, for whatever reason, and nothing has changed.
 */
static uint64_t map_run(const struct foreign_run *r)
{
	struct p2m_entry e;
	uint64_t count, taken = 0;

	if (r->idx >= r->target->p2m.max_gfn ||
	    !p2m_lookup(&r->target->p2m, make_gfn(r->idx), &e) || e.type != P2M_RAM)
		return 0;
	count = (1ull << e.order) - (r->idx & ((1ull << e.order) - 1));
	if (count > r->frame_count)
		count = r->frame_count;
	mfn_t first = e.frame;
	domid_t owner = r->target->id;
	while (taken < count && !frame_get_present(mfn_add(first, taken), owner, FRAME_GUEST_RAM))
		taken++;
	lock_acquire(&r->d->lock);
	int rc = taken < count
		     ? -XEN_EINVAL
		     : p2m_map(&r->d->p2m, make_gfn(r->gfn), e.frame, count, P2M_FOREIGN, P2M_RW);
	lock_release(&r->d->lock);
	if (!rc)
		return count;
	while (taken)
		frame_put(mfn_add(e.frame, --taken)); /* never mapped: nothing to wait for */
	return 0;
}

/* count words of the caller's size, from array[first] on. */
static int words_in(struct hypercall *c, uint64_t array, uint64_t first, unsigned count,
		    uint64_t out[FOREIGN_BATCH])
{
	uint32_t narrow[FOREIGN_BATCH];
	unsigned size = c->wide ? sizeof(*out) : sizeof(*narrow);
	gva_t at, last;

	if (hypercall_element(c, make_gva(array), first, size, &at) ||
	    hypercall_element(c, make_gva(array), first + count - 1, size, &last))
		return -XEN_EFAULT;
	if (c->wide)
		return guest_copy_in(&c->access, out, at, count * sizeof(*out));
	int rc = guest_copy_in(&c->access, narrow, at, count * sizeof(*narrow));
	for (unsigned i = 0; !rc && i < count; i++)
		out[i] = narrow[i];
	return rc;
}

/* How many numbers of both arrays count up in step. */
static inline uint64_t run_length(const uint64_t *idx, const uint64_t *gfn, uint64_t count)
{
	uint64_t n = 1, i = idx[0], g = gfn[0];

	while (n < count && idx[n] == i + n && gfn[n] == g + n)
		n++;
	return n;
}

/*
 * The pages of a batch from first on, at most FOREIGN_BATCH. Returns how many are done, each with
 * its result in the caller's array; 0 if the arrays cannot be reached as a whole, and nothing was
 * done; -XEN_EFAULT: results that were not to be expected could not be written any more.
 */
int foreign_map_batch(struct hypercall *c, const struct xen_add_to_physmap_batch *op,
		      struct domain *target, uint64_t first)
{
	uint64_t idx[FOREIGN_BATCH], gfn[FOREIGN_BATCH];
	int32_t errs[FOREIGN_BATCH] = {0};
	unsigned count =
	    op->size - first < FOREIGN_BATCH ? (unsigned)(op->size - first) : FOREIGN_BATCH;
	bool runs = true, failed = false;
	gva_t at, last;

	/* The place of the results is tried before anything is done. */
	if (!count || words_in(c, op->idxs, first, count, idx) ||
	    words_in(c, op->gpfns, first, count, gfn) ||
	    hypercall_element(c, make_gva(op->errs), first, sizeof(*errs), &at) ||
	    hypercall_element(c, make_gva(op->errs), first + count - 1, sizeof(*errs), &last) ||
	    guest_copy_out(&c->access, at, errs, count * sizeof(*errs)))
		return 0;
	for (unsigned i = 0, done; i < count; i += done) {
		struct foreign_run r = {c->domain, target, idx[i], gfn[i], 1};

		if (runs)
			r.frame_count = run_length(&idx[i], &gfn[i], count - i);
		done = r.frame_count > 1 ? (unsigned)map_run(&r) : 0;
		if (done)
			continue;
		/* One of them cannot be mapped: from here on each is tried by itself, so that the
		 * work stays linear. */
		runs &= r.frame_count == 1;
		errs[i] = foreign_map_one(c->domain, target, idx[i], make_gfn(gfn[i]));
		failed |= errs[i] != 0;
		done = 1;
	}
	if (failed && guest_copy_out(&c->access, at, errs, count * sizeof(*errs)))
		return -XEN_EFAULT;
	return (int)count;
}
