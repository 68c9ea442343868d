/*
 * Free frames: between mm/frame.c, which knows what allocated ones are, mm/frame_buddy.c (blocks)
 * and mm/frame_cache.c (single frames at hand on each CPU).
 */
#ifndef KEYHOLE_MM_FRAME_FREE_H
#define KEYHOLE_MM_FRAME_FREE_H

#include "mm/frame.h"
#include "mm/section.h"

/* In the order field of a free frame that does not begin a block on the buddy's lists. */
#define FRAME_NOT_A_HEAD FRAME_ORDER_MASK
/* A free frame on no list of the buddy's, known to be zero. */
#define FRAME_STATE_CLEAN ((uint64_t)FRAME_FREE << FRAME_TYPE_SHIFT | FRAME_NOT_A_HEAD)

/* The state of a frame that leaves the allocator, zero and in no list, or about to leave it. */
static inline void frame_set_allocated(mfn_t frame, uint64_t state)
{
	atomic_store_explicit(&section_entry(mfn_raw(frame))->state, state, memory_order_release);
}

void buddy_init(void);
/* The lowest frames of a block of 2^order, from new sections, touched as long as there is no such
 * block, and from the caches if need be. -XEN_ENOMEM: there is none anywhere. No lock is held. */
int buddy_take(unsigned order, uint64_t *first) must_use;
/* The smallest block that lies ready, or a part of 2^order_max frames of it; a single frame when
 * memory is short. No section is touched. */
bool buddy_take_ready(unsigned order_max, uint64_t *first, unsigned *order) must_use;
void buddy_give(uint64_t first, unsigned order);
void buddy_get_stats(struct frame_stats *out); /* ram, free, untouched */

/* Up to count frames, in FRAME_STATE_CLEAN or that with FRAME_DIRTY; returns how many. They are
 * counted as of this type. */
uint32_t frame_cache_take(uint32_t count, enum frame_type type, mfn_t *out);
/* One, all zero and in this state. MFN_INVALID: there is none. */
mfn_t frame_cache_take_as(uint64_t state);
/* Frames that are free now, contents unknown; their states are set here. */
void frame_cache_put(const mfn_t *frames, uint32_t count);
/* All frames of all caches go to the buddy. */
void frame_cache_drain(void);
bool frame_cache_for_each(bool (*fn)(mfn_t first, unsigned order, void *ctx), void *ctx);
void frame_cache_get_stats(struct frame_stats *out); /* free, by_type */
/* Frames of a type more, or fewer. */
void frame_count_type(enum frame_type type, int64_t frames);

#endif
