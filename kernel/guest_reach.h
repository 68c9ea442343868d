/*
 * Where a guest's memory is: the leaves of its p2m that copies used last, and a walk of a 64-bit
 * kernel's page tables. Neither is believed: a leaf holds for a generation of the p2m; of the walk
 * every entry is read again, and saves its evaluation if it is the same. A part of
 * kernel/guest_copy.c, which says how they are used; state is in struct guest_access, and lives as
 * long as that.
 */
#ifndef KEYHOLE_KERNEL_GUEST_REACH_H
#define KEYHOLE_KERNEL_GUEST_REACH_H

#include "guest_again.h"
#include "guest_copy.h"
#include "guest_walk_fast.h"
#include "mm/window.h"
#include "mm/window_peek.h"
#include "public/errno.h"

/* What a guest names as its memory may be any of these; whose frame it is does not matter here. */
#define COPYABLE_TYPES                                                                 \
	(1u << P2M_RAM | 1u << P2M_GRANT_RW | 1u << P2M_GRANT_RO | 1u << P2M_FOREIGN | \
	 1u << P2M_SHARED | 1u << P2M_DEMAND)

/*
 * The leaves of the p2m used last, for page tables and for data, are kept from one call of a vCPU
 * to its next. The generation that was read before they were looked up tells whether they still
 * are what the p2m says: it moves before anything that was taken out is given up, and what is given
 * up after this look waits for this CPU's next quiescent point, which no call passes.
 */
static inline void reach_begin(struct guest_access *ga)
{
	uint64_t generation = atomic_load_explicit(&ga->p2m->generation, memory_order_acquire);

	if (unlikely(ga->generation != generation)) {
		ga->tables.length = ga->data.length = 0;
		ga->generation = generation;
	}
}

/* RAM that has no frame yet may get one now (populate=lazy). Out of the way of the copies that need
 * none. */
static __attribute__((noinline)) bool find_filled(struct p2m *p2m, gfn_t gfn, struct p2m_entry *e)
{
	return p2m->fill && p2m->fill(p2m, gfn) && p2m_lookup(p2m, gfn, e);
}

static __attribute__((noinline)) bool reach_find(struct p2m *p2m, struct guest_reach *r, gpa_t gpa,
						 unsigned rights)
{
	gfn_t gfn = gpa_to_gfn(gpa);
	struct p2m_entry e;

	r->length = 0;
	if ((unlikely(!p2m_lookup(p2m, gfn, &e)) && !find_filled(p2m, gfn, &e)) ||
	    !(e.access & P2M_R && COPYABLE_TYPES >> e.type & 1))
		return false;
	r->length = (uint64_t)PAGE_SIZE << e.order;
	r->first = gpa_raw(gpa) & ~(r->length - 1);
	r->bias = paddr_raw(mfn_to_paddr(e.frame)) - gpa_raw(gfn_to_gpa(gfn));
	r->access = e.access;
	return (e.access & rights) == rights;
}

/* Where gpa is, if the guest has memory there with all of the rights P2M_*. */
static inline bool reach_byte(struct p2m *p2m, struct guest_reach *r, gpa_t gpa, unsigned rights,
			      paddr_t *at)
{
	/* Rights that are added move no generation. */
	if (unlikely(gpa_raw(gpa) - r->first >= r->length ||
		     (rights != P2M_R && (r->access & rights) != rights)) &&
	    !reach_find(p2m, r, gpa, rights))
		return false;
	*at = make_paddr(gpa_raw(gpa) + r->bias);
	return true;
}

/* --- the short way ---------------------------------------------------------------------------- */

/* Whether the caller is a 64-bit kernel. */
static inline bool is_short(const struct guest_access *ga)
{
	return likely(ga->state == GUEST_ACCESS_SHORT) ||
	       (ga->paging.cpl != 3 && !ga->paging.compatibility);
}

static inline uint64_t gva_page(gva_t va)
{
	return gva_raw(va) & ~(uint64_t)(PAGE_SIZE - 1);
}

struct short_walk {
	struct guest_access *ga;
	const struct window_peek *window;
};

static inline int read_entry_shortly(void *ctx, gpa_t table, uint64_t offset, uint64_t *entry)
{
	const struct short_walk *w = ctx;
	paddr_t at;

	if (unlikely(!reach_byte(w->ga->p2m, &w->ga->tables, table, P2M_R, &at)))
		return -XEN_EFAULT;
	const char *page = window_peek_open(w->window, window_view(at));
	*entry = *(const volatile uint64_t *)(page + offset);
	window_peek_close(w->window);
	return 0;
}

/* Finds one byte, and with it the rest of its page, for a 64-bit kernel (is_short()). False: it is
 * not there, or not so, or something is unusual. */
static inline __attribute__((always_inline)) bool short_walk(struct guest_access *ga, gva_t va,
							     unsigned right,
							     const struct window_peek *w,
							     paddr_t *at)
{
	struct short_walk walk = {ga, w};
	gpa_t gpa;

	reach_begin(ga);
	return guest_walk_fast(&ga->paging, va, right == P2M_R ? GUEST_WALK_READ : GUEST_WALK_WRITE,
			       read_entry_shortly, &walk, &gpa) &&
	       reach_byte(ga->p2m, &ga->data, gpa, right, at);
}

static int read_entry_to_keep(void *ctx, gpa_t table, uint64_t offset, uint64_t *entry)
{
	const struct short_walk *w = ctx;
	struct guest_walk_kept *k = &w->ga->kept;
	paddr_t at;

	if (!reach_byte(w->ga->p2m, &w->ga->tables, table, P2M_R, &at) ||
	    read_entry_shortly(ctx, table, offset, entry))
		return -XEN_EFAULT;
	k->levels[k->count].table = window_view(at);
	k->levels[k->count].offset = offset;
	k->levels[k->count++].entry = *entry;
	return 0;
}

/* A short walk to this page has been done twice in a row: it is done once more, and kept. */
static __attribute__((noinline)) void short_walk_keep(struct guest_access *ga, gva_t va,
						      unsigned right)
{
	struct window_peek w = window_peek_begin(WINDOW_WALK);
	struct short_walk walk = {ga, &w};
	struct guest_walk_kept *k = &ga->kept;
	gpa_t gpa;

	reach_begin(ga);
	*k = (struct guest_walk_kept){.page = gva_page(va),
				      .cr3 = ga->paging.cr3,
				      .efer = ga->paging.efer,
				      .writable = right != P2M_R};
	if (guest_walk_fast(&ga->paging, va, right == P2M_R ? GUEST_WALK_READ : GUEST_WALK_WRITE,
			    read_entry_to_keep, &walk, &gpa) &&
	    reach_byte(ga->p2m, &ga->data, gpa, right, &k->at)) {
		k->at = mfn_to_paddr(paddr_to_mfn(k->at));
		k->view = window_view(k->at);
		k->generation = ga->generation;
	}
	window_peek_end(&w);
}

/* After a short walk. */
static inline void short_walk_note(struct guest_access *ga, gva_t va, unsigned right)
{
	if (gva_page(va) == ga->kept.missed)
		short_walk_keep(ga, va, right);
	else
		ga->kept.missed = gva_page(va);
}

#endif
