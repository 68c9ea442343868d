/*
 * Ballooning: a domain gives RAM back and takes it again, up to what it was configured with.
 *
 * State: none of its own; how much a domain owns is counted with the frames (frame_owned). Taking
 * out is done under the domain's lock, filling what is empty under the p2m's alone.
 *
 * A frame that a domain gives back leaves its address space at once. It stays the domain's, and
 * counts against its limit, for as long as others have it mapped: else a domain could own any
 * amount of memory by having a friend hold on to it.
 *
 * Source: Xen, public/memory.h; as there the result is the number of extents that are done, and
 * the first that is not possible ends the call.
 */
#include "kernel/reservation.h"
#include "kernel/demand.h"
#include "kernel/domain.h"
#include "kernel/foreign_map.h"
#include "kernel/hypercall.h"
#include "lock.h"
#include "mm/frame.h"
#include "p2m.h"
#include "public/errno.h"
#include "public/memory.h"
#include "vmx/ept_batch.h"

/* Largest extent, 2 MiB: as Xen grants a domain without devices. */
#define EXTENT_ORDER_MAX FRAME_ORDER_2M
/* Frames between two continuations, but for the last extent. */
#define FRAMES_PER_STEP HYPERCALL_BATCH
/* For a page of a demand window that comes and goes meanwhile. */
#define FILL_TRIES 4u

/* The gfns of extents, read in one piece as far as that can be done. */
struct extents {
	uint64_t first, count; /* those in gfns */
	uint64_t gfns[HYPERCALL_BATCH];
};

/* --- one extent ------------------------------------------------------------------------------- */

static uint64_t frames_allowed(const struct domain *d)
{
	return d->ram_bytes >> PAGE_SHIFT;
}

/*
 * Maps 2^order fresh frames, all zero, at gfn, where nothing may be. -XEN_ENOMEM: the domain would
 * have more than it was configured with, or there is no block of that order, or no table;
 * -XEN_EEXIST, -XEN_EINVAL as p2m_map(). On error nothing has changed.
 */
static must_use int reservation_populate(struct domain *d, gfn_t gfn, unsigned order)
{
	mfn_t frame;
	struct p2m_entry e;

	if (gfn_raw(gfn) >= d->p2m.max_gfn || d->p2m.max_gfn - gfn_raw(gfn) < 1ull << order)
		return -XEN_EINVAL;
	/* Before 2 MiB are scrubbed for nothing; p2m_map() looks again, at all of them. */
	if (p2m_lookup(&d->p2m, gfn, &e))
		return -XEN_EEXIST;
	if (frame_owned(d->id) + (1ull << order) > frames_allowed(d))
		return -XEN_ENOMEM;
	int rc = frame_alloc(order, d->id, FRAME_GUEST_RAM, &frame);
	if (rc)
		return rc;
	/* Another CPU may have done the same meanwhile: then one of the two gives way, or both. */
	if (frame_owned(d->id) > frames_allowed(d)) {
		frame_free(frame, order);
		return -XEN_ENOMEM;
	}
	rc = p2m_map(&d->p2m, gfn, frame, 1ull << order, P2M_RAM, P2M_RWX);
	if (rc)
		frame_free(frame, order); /* never mapped: nothing to wait for */
	return rc;
}

/* --- RAM that gets its frames when it is touched first ---------------------------------------- */

/* Whether all of these are RAM of a domain that has it filled late: see domain_ram_ranges(). */
static bool is_lazy(const struct domain *d, uint64_t gfn, uint64_t frame_count)
{
	uint64_t all = frames_allowed(d), range = all;

	if (range > GUEST_HOLE_START >> PAGE_SHIFT)
		range = GUEST_HOLE_START >> PAGE_SHIFT;
	if (unlikely(gfn >= GUEST_HOLE_END >> PAGE_SHIFT)) {
		gfn -= GUEST_HOLE_END >> PAGE_SHIFT;
		range = all - range;
	}
	return d->lazy && gfn < range && frame_count <= range - gfn;
}

/* Where no page of 2 MiB is there yet: all of them if there is such a block, else one. */
noinline_fn static bool fill_first(struct domain *d, gfn_t gfn)
{
	uint64_t block = gfn_raw(gfn) & ~(FRAMES_PER_2M - 1);

	if (is_lazy(d, block, FRAMES_PER_2M) &&
	    !reservation_populate(d, make_gfn(block), FRAME_ORDER_2M))
		return true;
	int rc = reservation_populate(d, gfn, 0);
	return !rc || rc == -XEN_EEXIST; /* another CPU was first */
}

/* Where one frame does not simply go in. */
noinline_fn static int fill_otherwise(struct domain *d, gfn_t gfn, mfn_t frame, int rc)
{
	struct p2m_entry e;

	if (!mfn_equal(frame, MFN_INVALID))
		frame_free(frame, 0); /* never mapped: nothing to wait for */
	if (rc == -XEN_ENOENT)
		return fill_first(d, gfn) ? 0 : -XEN_ENOMEM;
	return rc == -XEN_EEXIST || p2m_lookup(&d->p2m, gfn, &e) ? 0 : -XEN_ENOMEM;
}

/*
 * Gives RAM that was never touched a cleared frame, or 2 MiB of them where all of these are free
 * and there is such a block. 0: something is at gfn now; -XEN_EINVAL: it is no RAM that is filled
 * late; -XEN_ENOMEM: there is none, or the domain has all that it may have.
 */
static inline int fill_late(struct domain *d, gfn_t gfn)
{
	int rc = -XEN_ENOMEM;

	if (unlikely(!is_lazy(d, gfn_raw(gfn), 1)))
		return -XEN_EINVAL;
	mfn_t frame = frame_alloc_ram(d->id, frames_allowed(d));
	if (likely(!mfn_equal(frame, MFN_INVALID)))
		rc = p2m_fill_page(&d->p2m, gfn, frame, P2M_RAM, P2M_RWX);
	return likely(!rc) ? 0 : fill_otherwise(d, gfn, frame, rc);
}

/* For p2m->fill, of a struct domain. Pages of demand windows may have to be tried again. */
bool memory_fill(struct p2m *p2m, gfn_t gfn)
{
	struct domain *d = container_of(p2m, struct domain, p2m);
	struct p2m_entry e;

	for (unsigned tries = 0; tries < FILL_TRIES && !demand_fault(d, gfn); tries++)
		if (p2m_lookup(p2m, gfn, &e))
			return true;
	return !fill_late(d, gfn) || p2m_lookup(p2m, gfn, &e);
}

bool memory_fault(struct domain *d, gpa_t gpa)
{
	gfn_t gfn = gpa_to_gfn(gpa);
	int rc = -XEN_ENOENT;

	if (unlikely(atomic_load_explicit(&d->window_limit, memory_order_relaxed)))
		rc = demand_fault(d, gfn);
	if (rc == -XEN_ENOENT)
		rc = fill_late(d, gfn);
	if (unlikely(rc == -XEN_ENOMEM))
		domain_end(d, END_OUT_OF_MEMORY, 0);
	return rc != -XEN_EINVAL;
}

bool memory_absent(const struct domain *d, gpa_t gpa)
{
	struct domain_range ranges[DOMAIN_RANGES_MAX];
	unsigned range_count = domain_ram_ranges(d->ram_bytes, ranges);

	for (unsigned r = 0; r < range_count; r++)
		if (gpa_raw(gpa) - ranges[r].start < ranges[r].size)
			return !d->mmio_strict && demand_covers(d, gpa_to_gfn(gpa));
	return !d->mmio_strict;
}

static bool is_own_ram(struct domain *d, uint64_t gfn, uint64_t frame_count)
{
	struct p2m_entry e;

	if (gfn >= d->p2m.max_gfn || frame_count > d->p2m.max_gfn - gfn)
		return false;
	for (uint64_t end = gfn + frame_count; gfn < end;) {
		if (!p2m_lookup(&d->p2m, make_gfn(gfn), &e)) {
			if (!is_lazy(d, gfn, 1))
				return false;
			gfn++; /* nothing to give back: it is as if it had been */
			continue;
		}
		if (e.type != P2M_RAM)
			return false;
		gfn = (gfn | ((1ull << e.order) - 1)) + 1; /* behind its leaf */
	}
	return true;
}

/* The reference that being mapped by a domain was, ctx: see p2m_removed_fn. Should it be the last,
 * the frame waits for an epoch. Frames that the domain shares with the hypervisor are held by that.
 */
void memory_put_removed(gfn_t gfn, const struct p2m_entry *entry, uint64_t frame_count, void *ctx)
{
	const struct domain *d = ctx;

	(void)gfn;
	if (entry->type == P2M_RAM || entry->type == P2M_DEMAND)
		frame_put_run(entry->frame, frame_count);
	else if (entry->type == P2M_FOREIGN)
		foreign_put_run(d, entry->frame, frame_count);
}

/*
 * Takes frame_count frames, all of them the domain's own RAM, out of its address space, with one
 * flush. -XEN_EINVAL: some are not; -XEN_ENOMEM: a large leaf could not be split. On error nothing
 * has changed.
 */
static int take_out(struct domain *d, uint64_t gfn, uint64_t frame_count)
{
	int rc = -XEN_EINVAL;

	lock_acquire(&d->lock);
	if (is_own_ram(d, gfn, frame_count))
		rc = p2m_unmap(&d->p2m, make_gfn(gfn), frame_count, memory_put_removed, d);
	lock_release(&d->lock);
	if (!rc)
		demand_given_back(d, gfn, frame_count);
	return rc;
}

/*
 * Makes room at gfn for a page that the guest wants to see there: RAM is given back, as on Xen.
 * -XEN_EBUSY: something else is there; -XEN_ENOMEM: a large leaf could not be split. The caller
 * holds the domain's lock.
 */
int reservation_vacate(struct domain *d, gfn_t gfn)
{
	struct p2m_entry e;

	assert_locked(&d->lock);
	if (!p2m_lookup(&d->p2m, gfn, &e))
		return 0;
	if (e.type != P2M_RAM)
		return -XEN_EBUSY;
	int rc = p2m_unmap(&d->p2m, gfn, 1, memory_put_removed, d);
	if (!rc)
		demand_given_back(d, gfn_raw(gfn), 1);
	return rc;
}

/* --- a batch ---------------------------------------------------------------------------------- */

/* Reads gfns from extent first on into x, at most limit and at least one. -XEN_EFAULT. */
static int read_extents(struct hypercall *c, gva_t array, uint64_t first, uint64_t limit,
			struct extents *x)
{
	x->first = first;
	x->count = limit < HYPERCALL_BATCH ? limit : HYPERCALL_BATCH;
	/* In one piece; where not all of it can be read, one, so that those before it are done. */
	if (!hypercall_words_in(c, array, first, (unsigned)x->count, x->gfns))
		return 0;
	x->count = 1;
	return hypercall_word_in(c, array, first, &x->gfns[0]);
}

/* Gives single pages back, from the i-th read on, with one flush. Returns how many until one could
 * not be. */
static uint64_t decrease_pages(struct domain *d, const struct extents *x, uint64_t i,
			       uint64_t count)
{
	mfn_t frames[HYPERCALL_BATCH];
	uint32_t removed = 0;
	struct p2m_batch b;
	uint64_t done;

	lock_acquire(&d->lock);
	p2m_batch_begin(&b, &d->p2m);
	for (done = 0; done < count; done++) {
		gfn_t gfn = make_gfn(x->gfns[i + done]);
		int rc = p2m_batch_take(&b, gfn, P2M_RAM, &frames[removed]);

		if (likely(!rc))
			removed++;
		else if (rc != -XEN_ENOENT || !is_lazy(d, gfn_raw(gfn), 1))
			break; /* else nothing is there to give back: it is as if it had been */
	}
	p2m_batch_end(&b);
	lock_release(&d->lock);
	frame_put_pages(frames, removed);
	/* Now: a window may have been opened and filled just before the pages had gone. */
	for (uint64_t n = 0; demand_watched(d) && n < done; n++)
		demand_given_back(d, x->gfns[i + n], 1);
	return done;
}

/* Takes single pages, from the i-th read on. Returns how many until one could not be had. */
static uint64_t populate_pages(struct domain *d, const struct extents *x, uint64_t i,
			       uint64_t count)
{
	uint64_t owned = frame_owned(d->id), done = 0;
	struct p2m_batch b;
	struct p2m_entry e;
	mfn_t frames[HYPERCALL_BATCH];

	if (owned >= frames_allowed(d) || p2m_lookup(&d->p2m, make_gfn(x->gfns[i]), &e))
		return 0;
	if (count > frames_allowed(d) - owned)
		count = frames_allowed(d) - owned;
	uint32_t had = frame_alloc_pages((uint32_t)count, d->id, FRAME_GUEST_RAM, frames);
	/* Another CPU may have done the same meanwhile: then one of the two gives way, or both. */
	if (frame_owned(d->id) <= frames_allowed(d)) {
		p2m_batch_begin(&b, &d->p2m);
		for (; done < had; done++) {
			gfn_t gfn = make_gfn(x->gfns[i + done]);
			uint64_t *slot = p2m_batch_slot(&b, gfn, p2m_batch_kind(P2M_RAM, P2M_RWX));

			if (likely(slot))
				p2m_batch_set(&b, slot, frames[done]);
			else if (p2m_batch_map(&b, gfn, frames[done], P2M_RAM, P2M_RWX))
				break;
		}
		p2m_batch_end(&b);
	}
	while (had > done)
		frame_free(frames[--had], 0);
	return done;
}

/* Does extents from the i-th read on, at most count. Returns how many; 0 ends the call. */
static uint64_t change_extents(struct domain *d, bool populate, struct extents *x, uint64_t i,
			       uint64_t count, unsigned order)
{
	if (!order)
		return populate ? populate_pages(d, x, i, count) : decrease_pages(d, x, i, count);
	gfn_t gfn = make_gfn(x->gfns[i]);
	return !(populate ? reservation_populate(d, gfn, order)
			  : take_out(d, gfn_raw(gfn), 1ull << order));
}

/*
 * populate_physmap, decrease_reservation, from extent first on: the number of extents done,
 * counting those before first. -XEN_EFAULT: the argument cannot be read; -XEN_EPERM: about another
 * domain.
 */
int64_t memory_op_reservation(struct hypercall *c, uint32_t cmd, uint64_t first)
{
	struct xen_memory_reservation op;
	struct extents x = {0};
	int rc = hypercall_copy_in(c, &layout_memory_reservation, &op, make_gva(c->arg[1]));

	if (rc)
		return rc;
	if (!hypercall_is_caller(c, op.domid))
		return -XEN_EPERM;
	/* Where a continuation's number would not fit the register. */
	if (op.nr_extents > (c->wide ? UINT64_MAX : UINT32_MAX) >> MEMOP_EXTENT_SHIFT ||
	    op.extent_order > EXTENT_ORDER_MAX)
		return (int64_t)first;
	uint64_t i = first, step = FRAMES_PER_STEP >> op.extent_order, done;
	if (!step)
		step = 1;
	for (; i < op.nr_extents; i += done) {
		uint64_t left = op.nr_extents - i;

		if (i - first >= step) {
			c->arg[0] = cmd | i << MEMOP_EXTENT_SHIFT;
			return hypercall_continue(c);
		}
		if (i - x.first >= x.count &&
		    read_extents(c, make_gva(op.extent_start), i,
				 left < step - (i - first) ? left : step - (i - first), &x))
			break;
		uint64_t at = i - x.first;
		done = change_extents(c->domain, cmd == XENMEM_populate_physmap, &x, at,
				      x.count - at, op.extent_order);
		if (!done)
			break;
	}
	return (int64_t)i;
}

/*
 * current_reservation, maximum_reservation: frames that the caller owns, or may own. -XEN_EFAULT,
 * -XEN_EPERM as above.
 */
int64_t memory_op_reservation_size(struct hypercall *c, uint32_t cmd)
{
	domid_t id;
	int rc = guest_copy_in(&c->access, &id, make_gva(c->arg[1]), sizeof(id));

	if (rc)
		return rc;
	if (!hypercall_is_caller(c, id))
		return -XEN_EPERM;
	return (int64_t)(cmd == XENMEM_current_reservation ? frame_owned(c->domain->id)
							   : frames_allowed(c->domain));
}
