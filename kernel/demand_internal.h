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

/* Pages evicted with one flush, at most and as a part of the budget; slots looked at for each, and
 * at once. */
#define BATCH_MAX      64u
#define BATCH_PART     4u
#define LOOKS_PER_PAGE 4u
#define LOOKS_AT_ONCE  16u
_Static_assert(LOOKS_AT_ONCE <= DEMAND_BUDGET_MIN / BATCH_PART, "the hand skips no slots");
/* A slot: 1 + the page's offset in the window, or nothing; with SLOT_PENDING it is one CPU's
 * matter, and the page is not mapped, or not yet. */
#define SLOT_PENDING 0x80000000u
#define SLOT_FREE    0u
#define SLOT_NONE    UINT32_MAX /* no slot's number */
_Static_assert(GUEST_GFN_LIMIT < SLOT_PENDING, "a page's offset fits");

/* Parts of a window's state that its mapper's CPUs use side by side: CPU n the n-th, modulo. Small
 * windows have fewer, so that what all have at hand, and in samples, is at most half of the slots,
 * and no CPU waits for another's. */
#define SHARES_MAX	 4u
#define BUDGET_FOR_SHARE (2 * BATCH_MAX)

/* Under its lock. */
struct demand_share {
	struct lock lock;
	uint32_t free_count, sample_count;
	uint32_t free[BATCH_MAX], sample[BATCH_MAX]; /* slots */
	/* A leaf of the owner's RAM, as of a generation of its p2m; leaf_count 0: none. */
	uint64_t generation, leaf_first, leaf_count;
	mfn_t leaf_frame;
	uint64_t faults, evicted, flushes;
};

struct demand_window {
	struct demand_share shares[SHARES_MAX];
	/* Constant. */
	struct domain *mapper;
	struct domain *owner; /* there for as long as the window is open */
	domid_t owner_id;
	uint64_t gfn, page_count, index; /* index: the owner's frame of the first page */
	uint32_t budget, batch, charge;	 /* slots; pages a flush; pages charged */
	uint32_t share_mask;		 /* shares in use - 1; they are a power of two */
	bool samples;			 /* there are no accessed flags */
	_Atomic bool closed;		 /* no page comes any more */
	_Atomic uint32_t used, hand;	 /* slots below used have been used */
	uint32_t swept;			 /* those below are closed; under the first share's lock */
	struct epoch_deferred deferred;
	_Atomic uint32_t slots[];
};

/* --- taking pages away ------------------------------------------------------------------------ */

/* Pages taken out of a p2m, to be let go when it is flushed. */
struct removal {
	struct p2m_visit visit;
	uint32_t count;
	mfn_t frames[BATCH_MAX];
};

static inline void removal_begin(struct removal *r, struct domain *mapper)
{
	r->count = 0;
	p2m_visit_begin(&r->visit, &mapper->p2m);
}

/* Adds what it was to a share's sums, if there is one. */
static inline void removal_end(struct removal *r, struct demand_share *s)
{
	if (s) {
		s->evicted += r->count;
		s->flushes += r->count > 0;
	}
	p2m_visit_end(&r->visit);
	for (uint32_t left = r->count; left;)
		frame_put(r->frames[--left]);
}

/* Takes the page at gfn out if it is one of a window. */
static inline void remove_page(struct removal *r, uint64_t gfn)
{
	r->count += !p2m_visit_take(&r->visit, make_gfn(gfn), P2M_DEMAND, &r->frames[r->count]);
}

static inline bool covers(const struct demand_window *w, uint64_t gfn)
{
	return gfn - w->gfn < w->page_count;
}

#endif
