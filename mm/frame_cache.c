/*
 * Single free frames at hand on each CPU, scrubbed ones apart, and how many frames there are of
 * each type.
 *
 * State: a cache for each CPU, in shared memory: lists through the frame table, frame numbers only.
 * Lock: its own, before that of the buddy (mm/frame_buddy.c). The CPU itself takes it, and at
 * shortage anybody for a moment, so that no allocation fails while frames lie in a cache. Counts
 * by type are differences: written by their CPU alone, meaningful in sum.
 *
 * Frames come and go in batches. What was freed lies here unscrubbed; it is scrubbed when it is
 * allocated, or before, by its CPU when that has nothing to do.
 */
#include "lock.h"
#include "mm/frame_free.h"
#include "mm/section.h"
#include "mm/window.h"
#include "mutant.h"

#define BATCH_ORDER 5u
#define BATCH	    (1u << BATCH_ORDER)
#define CACHE_MAX   (4 * BATCH)

struct frame_list {
	uint32_t first; /* valid if count */
	uint32_t count;
};

static struct frame_cache {
	struct lock lock;
	struct frame_list clean, dirty;
	_Atomic uint64_t by_type[FRAME_TYPE_COUNT];
} aligned_to(64) caches[LAYOUT_CPUS_MAX] = {
    [0 ... LAYOUT_CPUS_MAX - 1] = {.lock = LOCK_INIT(LOCK_FRAME_CACHE)}};

static inline void push(struct frame_list *list, uint64_t frame, uint64_t state)
{
	section_set_state(frame, state);
	section_entry(frame)->next = list->first;
	list->first = (uint32_t)frame;
	list->count++;
}

static inline uint64_t pop(struct frame_list *list)
{
	uint32_t frame = list->first;

	list->first = section_entry(frame)->next;
	list->count--;
	return frame;
}

/* The smallest blocks that the buddy has: large ones stay whole. Lowest frames are taken first. */
noinline_fn static bool refill(struct frame_cache *c)
{
	uint64_t first;
	unsigned order;

	for (uint32_t n = 0; n < BATCH && buddy_take_ready(BATCH_ORDER, &first, &order);) {
		n += 1u << order;
		for (uint64_t f = first + (1ull << order); f-- > first;)
			push(&c->dirty, f, FRAME_STATE_CLEAN | FRAME_DIRTY);
	}
	return c->dirty.count;
}

static inline void count_type(struct frame_cache *c, uint64_t type, int64_t frames)
{
	_Atomic uint64_t *count = &c->by_type[type];

	atomic_store_explicit(count,
			      atomic_load_explicit(count, memory_order_relaxed) + (uint64_t)frames,
			      memory_order_relaxed);
}

uint32_t frame_cache_take(uint32_t count, enum frame_type type, mfn_t *out)
{
	struct frame_cache *c = &caches[cpu_index()];
	uint32_t n = 0;

	lock_acquire(&c->lock);
	while (n < count && (c->clean.count || likely(c->dirty.count) || refill(c)))
		out[n++] = make_mfn(pop(c->clean.count ? &c->clean : &c->dirty));
	count_type(c, type, n);
	lock_release(&c->lock);
	return n;
}

/* Where none is clean. */
noinline_fn static mfn_t take_dirty(struct frame_cache *c, uint64_t state)
{
	bool any = c->dirty.count || refill(c);
	mfn_t frame = any ? make_mfn(pop(&c->dirty)) : MFN_INVALID;

	count_type(c, state >> FRAME_TYPE_SHIFT, any);
	lock_release(&c->lock);
	if (!any)
		return frame;
	if (!MUTANT(NOT_SCRUBBED))
		window_scrub(frame, 0);
	frame_set_allocated(frame, state);
	return frame;
}

mfn_t frame_cache_take_as(uint64_t state)
{
	struct frame_cache *c = &caches[cpu_index()];

	lock_acquire(&c->lock);
	if (unlikely(!c->clean.count))
		return take_dirty(c, state);
	mfn_t frame = make_mfn(pop(&c->clean));
	count_type(c, state >> FRAME_TYPE_SHIFT, 1);
	frame_set_allocated(frame, state);
	lock_release(&c->lock);
	return frame;
}

noinline_fn static void drain(struct frame_cache *c, uint32_t count)
{
	while (count-- && (c->dirty.count || c->clean.count))
		buddy_give(pop(c->dirty.count ? &c->dirty : &c->clean), 0);
}

void frame_cache_put(const mfn_t *frames, uint32_t count)
{
	struct frame_cache *c = &caches[cpu_index()];

	lock_acquire(&c->lock);
	for (uint32_t i = 0; i < count; i++)
		push(&c->dirty, mfn_raw(frames[i]), FRAME_STATE_CLEAN | FRAME_DIRTY);
	while (c->clean.count + c->dirty.count > CACHE_MAX)
		drain(c, BATCH);
	lock_release(&c->lock);
}

void frame_cache_drain(void)
{
	for (uint32_t cpu = 0; cpu < LAYOUT_CPUS_MAX; cpu++) {
		lock_acquire(&caches[cpu].lock);
		drain(&caches[cpu], UINT32_MAX);
		lock_release(&caches[cpu].lock);
	}
}

/*
 * Scrubs one frame of this CPU's cache, for when it has nothing better to do. Whether there was
 * one. The lock is held meanwhile: a frame that is in no list would be
 * missed at shortage.
 */
bool frame_scrub_ahead(void)
{
	struct frame_cache *c = &caches[cpu_index()];

	lock_acquire(&c->lock);
	bool any = c->dirty.count;
	if (any) {
		uint64_t frame = pop(&c->dirty);

		if (!MUTANT(NOT_SCRUBBED))
			window_scrub(make_mfn(frame), 0);
		push(&c->clean, frame, FRAME_STATE_CLEAN);
	}
	lock_release(&c->lock);
	return any;
}

void frame_count_type(enum frame_type type, int64_t frames)
{
	count_type(&caches[cpu_index()], type, frames);
}

void frame_cache_get_stats(struct frame_stats *out)
{
	for (uint32_t cpu = 0; cpu < LAYOUT_CPUS_MAX; cpu++) {
		struct frame_cache *c = &caches[cpu];

		lock_acquire(&c->lock);
		out->free += c->clean.count + c->dirty.count;
		lock_release(&c->lock);
		for (unsigned type = 0; type < FRAME_TYPE_COUNT; type++)
			out->by_type[type] +=
			    atomic_load_explicit(&c->by_type[type], memory_order_relaxed);
	}
}

static bool visit_list(const struct frame_list *list,
		       bool (*fn)(mfn_t first, unsigned order, void *ctx), void *ctx)
{
	uint64_t frame = list->first;

	for (uint32_t n = 0; n < list->count; n++, frame = section_entry(frame)->next)
		if (!fn(make_mfn(frame), 0, ctx))
			return false;
	return true;
}

/* Calls fn for every frame of the caches, under their locks; see frame_for_each_free_block(). */
bool frame_cache_for_each(bool (*fn)(mfn_t first, unsigned order, void *ctx), void *ctx)
{
	bool all = true;

	for (uint32_t cpu = 0; all && cpu < LAYOUT_CPUS_MAX; cpu++) {
		lock_acquire(&caches[cpu].lock);
		all = visit_list(&caches[cpu].clean, fn, ctx) &&
		      visit_list(&caches[cpu].dirty, fn, ctx);
		lock_release(&caches[cpu].lock);
	}
	return all;
}
