/*
 * What nearly every copy out of a guest is: again from where the last ones were. The walk of a
 * 64-bit kernel's tables that was kept, or the leaf of the p2m that was used last;
 * kernel/guest_reach.h has how they come, kernel/guest_copy.c all that is not so. Inline for
 * hypercalls with an argument of one word. No state but struct guest_access.
 */
#ifndef KEYHOLE_KERNEL_GUEST_AGAIN_H
#define KEYHOLE_KERNEL_GUEST_AGAIN_H

#include "guest_copy.h"
#include "mem.h"
#include "mm/window.h"
#include "mm/window_peek.h"
#include "vmx/guest_tables.h"

/* Reads an entry, in the slot's next view, and compares it. */
static inline bool short_walk_same(const struct guest_walk_kept *k, unsigned level,
				   const struct window_peek *w)
{
	const char *table = level ? window_peek_turn(w, k->levels[level].table)
				  : window_peek_open(w, k->levels[level].table);

	/* Between two barriers, so that it is read once, and not volatile: one instruction. */
	return likely(*(const uint64_t *)(const void *)(table + k->levels[level].offset) ==
		      k->levels[level].entry);
}

/*
 * Whether length bytes from within on, counted from the page to which the walk was that is kept,
 * lie in that page, and the vCPU has those tables now, that right, and what was found in the p2m
 * still holds: then it leads where it led, if short_walk_again(). A walk is kept by a 64-bit kernel
 * only, and by none but it while its struct guest_access lives.
 */
static inline __attribute__((always_inline)) bool
short_walk_is_of(const struct guest_access *ga, uint64_t within, size_t length, unsigned right)
{
	const struct guest_walk_kept *k = &ga->kept;
	bool inside = __builtin_constant_p(length)
			  ? within <= PAGE_SIZE - length
			  : likely(within < PAGE_SIZE) && length - 1 < PAGE_SIZE - within;

	return likely(inside) &&
	       likely(atomic_load_explicit(&ga->p2m->generation, memory_order_acquire) ==
		      k->generation) &&
	       likely(vmx_tables_are_of(k)) && (right == P2M_R || likely(k->writable));
}

/* Whether all entries are as they were. True: the slot, which has been claimed, is open. */
static inline __attribute__((always_inline)) bool short_walk_again(const struct guest_walk_kept *k,
								   const struct window_peek *w)
{
	if (short_walk_same(k, 0, w) && short_walk_same(k, 1, w) && short_walk_same(k, 2, w) &&
	    (k->count == 3 || short_walk_same(k, 3, w)))
		return true;
	window_peek_close(w);
	return false;
}

/*
 * A part of one page at a guest-physical address, in the leaf that was used last: where it is.
 * False: it is not all that.
 */
static inline bool physical_shortly(const struct guest_access *ga, gva_t va, size_t length,
				    unsigned right, paddr_t *at)
{
	uint64_t gpa = gva_raw(va);

	*at = make_paddr(gpa + ga->data.bias);
	return likely(atomic_load_explicit(&ga->p2m->generation, memory_order_acquire) ==
		      ga->generation) &&
	       likely(gpa - ga->data.first < ga->data.length) &&
	       likely(length - 1 <= (~gpa & (PAGE_SIZE - 1))) &&
	       (right == P2M_R || likely(ga->data.access & right));
}

/* Where a byte is, likewise. */
static inline __attribute__((always_inline)) bool
short_walk_once_more(const struct guest_access *ga, gva_t va, size_t length, unsigned right,
		     paddr_t *at)
{
	uint64_t within = gva_raw(va) - ga->kept.page;

	if (unlikely(!short_walk_is_of(ga, within, length, right)))
		return false;
	struct window_peek w = window_peek_begin(WINDOW_WALK);
	bool found = short_walk_again(&ga->kept, &w);
	if (likely(found))
		window_peek_close(&w);
	window_peek_end(&w);
	*at = make_paddr(paddr_raw(ga->kept.at) + within);
	return found;
}

/*
 * guest_copy_in() of what lies in the page of the walk that is kept, or, for a caller that passes
 * guest-physical addresses, in one page of the leaf that was used last. False: it is not all that,
 * and nothing was copied. Inline: then one call is left to make, for which nothing is saved on the
 * usual way.
 */
static inline __attribute__((always_inline)) bool reach_in(struct guest_access *ga, void *to,
							   gva_t from, size_t length)
{
	paddr_t at;

	if (ga->state != GUEST_ACCESS_PHYSICAL) {
		if (unlikely(!short_walk_is_of(ga, gva_raw(from) - ga->kept.page, length, P2M_R)))
			return false;
		struct window_peek w = window_peek_begin(WINDOW_WALK);
		bool found = short_walk_again(&ga->kept, &w);
		if (likely(found)) {
			copy_words(to,
				   window_peek_turn(&w, ga->kept.view) +
				       (gva_raw(from) - ga->kept.page),
				   length);
			window_peek_close(&w);
		}
		window_peek_end(&w);
		return found;
	}
	if (unlikely(!physical_shortly(ga, from, length, P2M_R, &at)))
		return false;
	struct window_peek w = window_peek_begin(WINDOW_SOURCE);
	copy_words(to,
		   window_peek_open(&w, window_view(mfn_to_paddr(paddr_to_mfn(at)))) +
		       paddr_offset(at),
		   length);
	window_peek_close(&w);
	window_peek_end(&w);
	return true;
}

#endif
