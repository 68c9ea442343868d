/*
 * Mapping pages of another domain: one, in batches, in ranges; exchanging and removing them.
 *
 * State: none of its own. The mapping domain's lock is held while its p2m changes. Each mapping
 * holds a reference to its frame, taken before the frame appears anywhere, and is counted with the
 * frame's owner, which stays for as long as there is one; when it is destroyed its pages are
 * revoked. The other domain is not locked: what its p2m said stays true of the frame until this
 * CPU's next quiescent point, and the reference is refused if the frame has a new owner.
 *
 * A batch reads its arrays once, takes runs that are contiguous on both sides and in the other
 * domain's RAM, and maps each by one change of the p2m.
 *
 * Source: Xen, public/memory.h.
 */
#include "kernel/foreign_map.h"
#include "kernel/reservation.h"
#include "lock.h"
#include "mm/frame.h"
#include "p2m.h"
#include "public/errno.h"
#include "public/memory.h"
#include "public/xen.h"

/* Pages of a batch that are worked off before a continuation: an array's place is found once for as
 * many. */
#define FOREIGN_BATCH 128u

/* Frames of a range that are mapped or removed before a continuation, and changes of the p2m for
 * them, where they are single. */
#define RANGE_FRAMES FRAMES_PER_2M
#define RANGE_PIECES 64u

/*
 * The domain with this id, whose pages the caller may map. The right comes first: whether a domain
 * exists is not for everybody to know. -XEN_EPERM; -XEN_EINVAL: the caller itself; -XEN_ESRCH.
 */
int foreign_find(const struct hypercall *c, uint64_t id, struct domain **out)
{
	const struct domain *d = c->domain;

	/* DOMAIN_PRIV_NONE is no id. */
	if (d->priv != DOMAIN_PRIV_ALL && (d->priv != id || id > DOMAINS_MAX))
		return -XEN_EPERM;
	if (id == DOMID_SELF || id == d->id)
		return -XEN_EINVAL;
	*out = id <= DOMAINS_MAX ? domain_find((domid_t)id) : NULL;
	return *out ? 0 : -XEN_ESRCH;
}

void foreign_count(const struct domain *d, domid_t owner, uint64_t count)
{
	struct domain *o = domain_owning(owner);

	assert_always(o); /* it was found, or has been waiting for this */
	atomic_fetch_add(&o->foreign_in[d->id], (uint32_t)count);
}

void foreign_put_run(const struct domain *d, mfn_t first, uint64_t count)
{
	while (count) {
		domid_t owner = frame_owner(first);
		uint64_t n = 1;

		while (n < count && frame_owner(mfn_add(first, n)) == owner)
			n++;
		frame_put_run(first, n);
		foreign_count(d, owner, -n);
		first = mfn_add(first, n);
		count -= n;
	}
}

/* Takes a reference to frame idx of another domain's own RAM. -XEN_EINVAL: it has none there, or
 * too many references. */
static int take_frame(struct domain *target, uint64_t idx, mfn_t *out)
{
	struct p2m_entry e;

	if (idx >= target->p2m.max_gfn || !p2m_lookup(&target->p2m, make_gfn(idx), &e) ||
	    e.type != P2M_RAM || frame_get_present(e.frame, target->id, FRAME_GUEST_RAM))
		return -XEN_EINVAL;
	*out = e.frame;
	return 0;
}

/*
 * Maps frame idx of another domain at gfn. -XEN_EINVAL: no RAM of its own there, or gfn out of
 * range; -XEN_EEXIST: the caller has something at gfn; -XEN_ENOMEM. On error nothing has changed.
 */
int foreign_map_one(struct domain *d, struct domain *target, uint64_t idx, gfn_t gfn)
{
	mfn_t frame;
	int rc = take_frame(target, idx, &frame);

	return rc ? rc : foreign_map_frame(d, frame, gfn);
}

/* Maps a frame, a reference to which is the caller's, and goes over to the mapping, or is dropped.
 */
int foreign_map_frame(struct domain *d, mfn_t frame, gfn_t gfn)
{
	lock_acquire(&d->lock);
	int rc = p2m_map(&d->p2m, gfn, frame, 1, P2M_FOREIGN, P2M_RW);
	lock_release(&d->lock);
	if (rc)
		frame_put(frame); /* never mapped: nothing to wait for */
	else
		foreign_count(d, frame_owner(frame), 1);
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
	if (!rc) {
		foreign_count(r->d, owner, count);
		return count;
	}
	while (taken)
		frame_put(mfn_add(e.frame, --taken)); /* never mapped: nothing to wait for */
	return 0;
}

/* How many numbers of both arrays count up in step. */
static inline uint64_t run_length(const uint64_t *idx, const uint64_t *gfn, uint64_t count)
{
	uint64_t n = 1, i = idx[0], g = gfn[0];

	/* Most are long: four at a time. */
	for (; n + 4 <= count; n += 4) {
		uint64_t differs = (idx[n] ^ (i + n)) | (gfn[n] ^ (g + n));

		differs |= (idx[n + 1] ^ (i + n + 1)) | (gfn[n + 1] ^ (g + n + 1));
		differs |= (idx[n + 2] ^ (i + n + 2)) | (gfn[n + 2] ^ (g + n + 2));
		differs |= (idx[n + 3] ^ (i + n + 3)) | (gfn[n + 3] ^ (g + n + 3));
		if (differs)
			break;
	}
	while (n < count && idx[n] == i + n && gfn[n] == g + n)
		n++;
	return n;
}

/*
 * Puts frames idx[] of the target in the place of the foreign pages at gfn[], with one flush. Each
 * gets its result; idx is used up.
 */
static void exchange(struct domain *d, struct domain *target, uint64_t *idx, const uint64_t *gfn,
		     int32_t *errs, unsigned count)
{
	struct p2m_batch b;
	mfn_t frame, old;

	lock_acquire(&d->lock);
	p2m_batch_begin(&b, &d->p2m);
	for (unsigned i = 0; i < count; i++) {
		errs[i] = take_frame(target, idx[i], &frame);
		if (errs[i])
			continue;
		errs[i] = p2m_batch_exchange(&b, make_gfn(gfn[i]), P2M_FOREIGN, frame, &old);
		if (errs[i])
			frame_put(frame);
		else
			foreign_count(d, target->id, 1);
		idx[i] = mfn_raw(old);
	}
	p2m_batch_end(&b);
	lock_release(&d->lock);
	for (unsigned i = 0; i < count; i++)
		if (!errs[i])
			foreign_put_run(d, make_mfn(idx[i]), 1);
}

/* Maps pages that were read from a batch; false if some could not be. */
static bool map_pages(struct domain *d, struct domain *target, const uint64_t *idx,
		      const uint64_t *gfn, int32_t *errs, unsigned count)
{
	bool runs = true, failed = false;

	for (unsigned i = 0, done; i < count; i += done) {
		struct foreign_run r = {d, target, idx[i], gfn[i], 1};

		if (runs)
			r.frame_count = run_length(&idx[i], &gfn[i], count - i);
		done = r.frame_count > 1 ? (unsigned)map_run(&r) : 0;
		if (done)
			continue;
		/* One of them cannot be mapped: from here on each is tried by itself, so that the
		 * work stays linear. */
		runs &= r.frame_count == 1;
		errs[i] = foreign_map_one(d, target, idx[i], make_gfn(gfn[i]));
		failed |= errs[i] != 0;
		done = 1;
	}
	return !failed;
}

/*
 * The pages of a batch from first on, at most FOREIGN_BATCH, mapped or exchanged. Returns how many
 * are done, each with its result in the caller's array; 0 if the arrays cannot be reached as a
 * whole, and nothing was done; -XEN_EFAULT: results that were not to be expected could not be
 * written any more.
 */
int foreign_map_batch(struct hypercall *c, const struct xen_add_to_physmap_batch *op,
		      struct domain *target, uint64_t first, bool exchanged)
{
	uint64_t idx[FOREIGN_BATCH], gfn[FOREIGN_BATCH];
	int32_t errs[FOREIGN_BATCH] = {0};
	unsigned count =
	    op->size - first < FOREIGN_BATCH ? (unsigned)(op->size - first) : FOREIGN_BATCH;
	gva_t at, last;

	/* The place of the results is tried before anything is done. */
	if (!count || hypercall_words_in(c, make_gva(op->idxs), first, count, idx) ||
	    hypercall_words_in(c, make_gva(op->gpfns), first, count, gfn) ||
	    hypercall_element(c, make_gva(op->errs), first, sizeof(*errs), &at) ||
	    hypercall_element(c, make_gva(op->errs), first + count - 1, sizeof(*errs), &last) ||
	    guest_copy_out(&c->access, at, errs, count * sizeof(*errs)))
		return 0;
	if (exchanged)
		exchange(c->domain, target, idx, gfn, errs, count);
	else if (map_pages(c->domain, target, idx, gfn, errs, count))
		return (int)count;
	if (guest_copy_out(&c->access, at, errs, count * sizeof(*errs)))
		return -XEN_EFAULT;
	return (int)count;
}

/*
 * Maps part of a range, up to the next boundary of 2 MiB. Returns how many frames, from the first;
 * *rc: why not all that were tried.
 */
uint64_t foreign_map_range(struct domain *d, struct domain *target, uint64_t idx, uint64_t gfn,
			   uint64_t count, int *rc)
{
	uint64_t done = 0, end = RANGE_FRAMES - (gfn & (RANGE_FRAMES - 1));
	bool runs = true;

	*rc = 0;
	if (end > count)
		end = count;
	for (unsigned pieces = 0; done < end && pieces < RANGE_PIECES; pieces++) {
		struct foreign_run r = {d, target, idx + done, gfn + done, end - done};
		uint64_t n = runs && r.frame_count > 1 ? map_run(&r) : 0;

		if (!n) {
			runs = false; /* as in map_pages() */
			*rc = foreign_map_one(d, target, idx + done, make_gfn(gfn + done));
			if (*rc)
				break;
			n = 1;
		}
		done += n;
	}
	return done;
}

/* How many frames from gfn on are foreign ones or holes. */
static uint64_t removable(const struct domain *d, uint64_t gfn, uint64_t count)
{
	struct p2m_entry e;
	uint64_t n = 0;

	while (n < count) {
		if (!p2m_lookup(&d->p2m, make_gfn(gfn + n), &e))
			n++;
		else if (e.type == P2M_FOREIGN)
			n = ((gfn + n) | ((1ull << e.order) - 1)) + 1 - gfn; /* behind its leaf */
		else
			break;
	}
	return n < count ? n : count;
}

/*
 * Removes foreign pages of a range, up to the next boundary of 2 MiB, with one flush. Returns how
 * many frames, holes among them; *rc: -XEN_EINVAL: something else is in the range, or it ends
 * beyond all addresses; -XEN_ENOMEM: a large leaf could not be split.
 */
uint64_t foreign_remove_range(struct domain *d, uint64_t gfn, uint64_t count, int *rc)
{
	uint64_t done = 0, end = RANGE_FRAMES - (gfn & (RANGE_FRAMES - 1));

	if (end > count)
		end = count;
	*rc = gfn < d->p2m.max_gfn ? 0 : -XEN_EINVAL;
	lock_acquire(&d->lock);
	if (!*rc) {
		done = removable(d, gfn, end);
		*rc = done ? p2m_unmap(&d->p2m, make_gfn(gfn), done, memory_put_removed, d) : 0;
	}
	lock_release(&d->lock);
	if (*rc)
		return 0;
	if (done < end)
		*rc = -XEN_EINVAL;
	return done;
}
