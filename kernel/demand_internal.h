/*
 * The inside of demand windows, shared by kernel/demand.c (pages that come and go) and
 * kernel/demand_window.c (windows that do). State and locks are described in the former.
 */
#ifndef KEYHOLE_KERNEL_DEMAND_INTERNAL_H
#define KEYHOLE_KERNEL_DEMAND_INTERNAL_H

#include "kernel/demand.h"
#include "kernel/domain.h"
#include "lock.h"
#include "mm/frame.h"
#include "public/errno.h"
#include "vmx/ept_batch.h"

/* Pages evicted with one flush, at most and as a part of the budget; slots looked at for each. */
#define BATCH_MAX      64u
#define BATCH_PART     4u
#define LOOKS_PER_PAGE 4u
#define LOOKS_AT_ONCE  8u /* before others that wait for the p2m go first */
/* A slot: the page's offset in the window; with SLOT_PENDING its CPU has not mapped it yet. */
#define SLOT_PENDING 0x80000000u
#define SLOT_FREE    UINT32_MAX
#define SLOT_NONE    UINT32_MAX
_Static_assert(GUEST_GFN_LIMIT <= SLOT_PENDING, "a page's offset fits");

/* Parts of a window's state that its mapper's CPUs use side by side: CPU n the n-th, modulo. Free
 * slots that each has at hand: so many at most, and this part of the budget in all of them. */
#define SHARES	    4u
#define SHARE_MAX   32u
#define SHARES_PART 4u

/* Under its lock. */
struct demand_share {
	struct lock lock;
	uint32_t free_count, free[SHARE_MAX];
	/* A leaf of the owner's RAM, as of a generation of its p2m; leaf_count 0: none. */
	uint64_t generation, leaf_first, leaf_count;
	mfn_t leaf_frame;
	uint64_t faults;
};

struct demand_window {
	struct demand_share shares[SHARES];
	struct lock lock;
	/* Constant. */
	struct domain *mapper;
	struct domain *owner; /* there for as long as the window is open */
	domid_t owner_id;
	uint64_t gfn, page_count, index; /* index: the owner's frame of the first page */
	uint32_t budget, batch, charge;	 /* slots; pages a flush; pages charged */
	uint32_t share_max;		 /* slots at hand in a share */
	bool samples;			 /* there are no accessed flags */
	_Atomic bool closed;		 /* no page comes any more */
	/* Under the lock. */
	uint32_t hand, used,
	    swept; /* slots below used have been used; those below swept are closed */
	uint32_t free_count, sample_count;
	uint32_t free[BATCH_MAX], sample[BATCH_MAX]; /* slots */
	uint64_t evicted, flushes;
	struct epoch_deferred deferred;
	_Atomic uint32_t slots[];
};

/* --- taking pages away ------------------------------------------------------------------------ */

/* Pages taken out of a p2m, to be let go when it is flushed. */
struct removal {
	struct p2m_batch batch;
	uint32_t count;
	mfn_t frames[BATCH_MAX];
};

static inline void removal_begin(struct removal *r, struct domain *mapper)
{
	r->count = 0;
	p2m_batch_begin(&r->batch, &mapper->p2m);
}

static inline void removal_end(struct removal *r)
{
	p2m_batch_end(&r->batch);
	while (r->count)
		frame_put(r->frames[--r->count]);
}

/* Takes the page at gfn out if it is one of a window. False: it was used lately (if that counts),
 * and stays. */
static inline bool remove_page(struct removal *r, uint64_t gfn, bool even_used)
{
	int rc =
	    p2m_batch_evict(&r->batch, make_gfn(gfn), P2M_DEMAND, even_used, &r->frames[r->count]);

	r->count += !rc;
	return rc != -XEN_EAGAIN;
}

static inline bool covers(const struct demand_window *w, uint64_t gfn)
{
	return gfn - w->gfn < w->page_count;
}

#endif
