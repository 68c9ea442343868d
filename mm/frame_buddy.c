/*
 * Free memory: blocks in a buddy system whose links lie in the frame table.
 *
 * State: the free lists, the counters, which CPUs prepare a section. Lock: frame_lock; entries of
 * free frames that are in no CPU's cache belong to it.
 *
 * frame_lock is not held while a section is touched (mm/section.c), since that maps memory: taking
 * a page table for it may call frame_alloc() again. mm/pool.c says why that ends.
 */
#include "lock.h"
#include "mm/frame_free.h"
#include "mm/section.h"
#include "public/errno.h"

/* With fewer frames left than this, caches are not filled ahead: what one CPU gives back at
 * shortage is not to vanish in the cache of another. */
#define SHORTAGE 1024u

static struct lock frame_lock = LOCK_INIT(LOCK_FRAMES);

/* All under frame_lock. */
static uint32_t free_heads[FRAME_ORDER_MAX + 1];
static uint32_t free_orders; /* bit o: list o is not empty */
static uint64_t listed;	     /* frames on the lists */
static uint64_t ram_frames;  /* of all sections */
static uint64_t untouched;   /* free frames of sections without entries */
static uint32_t preparing;   /* CPUs that touch a section */
static bool is_preparing[LAYOUT_CPUS_MAX];

static uint64_t state_free(unsigned order)
{
	return (uint64_t)FRAME_FREE << FRAME_TYPE_SHIFT | FRAME_DIRTY |
	       (uint64_t)order << FRAME_ORDER_SHIFT;
}

/* --- free lists: frame_lock held, but by what only reads one entry --- */

static void list_insert(uint64_t first, unsigned order)
{
	struct frame_info *info = section_entry(first);

	section_set_state(first, state_free(order));
	info->prev = FRAME_LINK_NONE;
	info->next = free_heads[order];
	if (info->next != FRAME_LINK_NONE)
		section_entry(info->next)->prev = (uint32_t)first;
	free_heads[order] = (uint32_t)first;
	free_orders |= 1u << order;
	listed += 1ull << order;
}

static void list_remove(uint64_t first, unsigned order)
{
	struct frame_info *info = section_entry(first);

	if (info->prev != FRAME_LINK_NONE)
		section_entry(info->prev)->next = info->next;
	else
		free_heads[order] = info->next;
	if (info->next != FRAME_LINK_NONE)
		section_entry(info->next)->prev = info->prev;
	if (free_heads[order] == FRAME_LINK_NONE)
		free_orders &= ~(1u << order);
	listed -= 1ull << order;
	section_set_state(first, FRAME_STATE_CLEAN | FRAME_DIRTY);
}

/* Whether a free block of exactly this order begins at first. */
static bool is_free_block(uint64_t first, unsigned order)
{
	return section_entry(first)->state == state_free(order);
}

/* The lowest frames of the smallest block that is large enough; its rest goes back on the lists. */
static bool take_block(unsigned order, uint64_t *out)
{
	uint32_t fitting = free_orders >> order << order;

	if (!fitting)
		return false;
	unsigned found = (unsigned)__builtin_ctz(fitting);
	uint64_t first = free_heads[found];

	list_remove(first, found);
	while (found > order) {
		found--;
		list_insert(first + (1ull << found), found);
	}
	*out = first;
	return true;
}

/* A block's buddy lies in the same section, so that its entry is there whatever it says. */
static void merge_block(uint64_t first, unsigned order)
{
	while (order < FRAME_ORDER_MAX && is_free_block(first ^ (1ull << order), order)) {
		uint64_t buddy = first ^ (1ull << order);

		list_remove(buddy, order);
		if (buddy < first)
			first = buddy;
		order++;
	}
	list_insert(first, order);
}

/* Enters a run of free frames as the largest aligned blocks. */
static void add_run(uint64_t first, uint64_t end)
{
	while (first < end) {
		unsigned order = 0;

		while (order < FRAME_ORDER_MAX && !(first & ((2ull << order) - 1)) &&
		       first + (2ull << order) <= end)
			order++;
		list_insert(first, order);
		first += 1ull << order;
	}
}

static enum frame_type type_of(uint64_t frame)
{
	return (enum frame_type)(section_entry(frame)->state >> FRAME_TYPE_SHIFT);
}

/*
 * Counts the frames of a section that has just got its entries, and puts the free ones on the
 * lists, run by run, so that the lock is held for a few blocks at a time.
 */
void frame_adopt_section(uint64_t section)
{
	uint64_t frame = section * FRAME_SECTION_FRAMES, end = frame + FRAME_SECTION_FRAMES;

	lock_acquire(&frame_lock);
	untouched -= section_free_frames(section);
	lock_release(&frame_lock);
	while (frame < end) {
		enum frame_type type = type_of(frame);
		uint64_t first = frame;

		while (frame < end && type_of(frame) == type)
			frame++;
		if (type != FRAME_FREE) {
			frame_count_type(type, (int64_t)(frame - first));
			continue;
		}
		lock_acquire(&frame_lock);
		add_run(first, frame);
		lock_release(&frame_lock);
	}
}

/* The lists are empty. */
void buddy_init(void)
{
	for (unsigned order = 0; order <= FRAME_ORDER_MAX; order++)
		free_heads[order] = FRAME_LINK_NONE;
}

/* Called by section_init() when the extents are known, before the first section is touched. */
void frame_count_ram(uint64_t ram, uint64_t free)
{
	ram_frames = ram;
	untouched = free;
}

/* Touches a section that was claimed. frame_lock is held, but not meanwhile. */
static int prepare_section(uint64_t section)
{
	bool nested = is_preparing[cpu_index()];

	preparing++;
	is_preparing[cpu_index()] = true;
	lock_release(&frame_lock);
	int rc = section_touch(section);
	lock_acquire(&frame_lock);
	preparing--;
	is_preparing[cpu_index()] = nested;
	if (rc == -XEN_ENOSPC) {
		uint64_t scrap = section_free_frames(section);

		ram_frames -= scrap;
		untouched -= scrap;
		return 0;
	}
	if (rc)
		section_unclaim(section);
	return rc;
}

/*
 * Nothing satisfies the largest order but a section whose part of the table lies elsewhere, so none
 * is touched for it. While another CPU prepares a section, this one looks again until it is ready:
 * as with a lock, since who prepares waits for nobody.
 */
int buddy_take(unsigned order, uint64_t *first)
{
	bool failed = order == FRAME_ORDER_MAX, drained = false;
	uint64_t section;

	lock_acquire(&frame_lock);
	while (!take_block(order, first)) {
		if (!failed && section_claim(&section)) {
			failed = prepare_section(section);
			continue;
		}
		if (drained && (!preparing || is_preparing[cpu_index()])) {
			lock_release(&frame_lock);
			return -XEN_ENOMEM;
		}
		lock_release(&frame_lock);
		frame_cache_drain();
		drained = true;
		__builtin_ia32_pause();
		lock_acquire(&frame_lock);
	}
	lock_release(&frame_lock);
	return 0;
}

bool buddy_take_ready(unsigned order_max, uint64_t *first, unsigned *order)
{
	lock_acquire(&frame_lock);
	if (listed + untouched < SHORTAGE)
		order_max = 0;
	unsigned smallest = (unsigned)__builtin_ctz(free_orders | 1u << order_max);
	*order = smallest < order_max ? smallest : order_max;
	bool any = take_block(*order, first);
	lock_release(&frame_lock);
	return any;
}

/* Takes 2^order frames back, off every list, nobody's. */
void buddy_give(uint64_t first, unsigned order)
{
	lock_acquire(&frame_lock);
	merge_block(first, order);
	lock_release(&frame_lock);
}

void buddy_get_stats(struct frame_stats *out)
{
	lock_acquire(&frame_lock);
	*out = (struct frame_stats){.ram = ram_frames, .free = listed, .untouched = untouched};
	lock_release(&frame_lock);
}

bool frame_for_each_free_block(bool (*fn)(mfn_t first, unsigned order, void *ctx), void *ctx)
{
	bool all = frame_cache_for_each(fn, ctx);

	lock_acquire(&frame_lock);
	for (unsigned order = 0; all && order <= FRAME_ORDER_MAX; order++)
		for (uint32_t f = free_heads[order]; all && f != FRAME_LINK_NONE;
		     f = section_entry(f)->next)
			all = fn(make_mfn(f), order, ctx);
	lock_release(&frame_lock);
	return all;
}
