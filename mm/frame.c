/*
 * Frame allocator: a buddy system whose links lie in the frame table, and references to frames.
 *
 * State: the frame table (include/mm/frame.h). Entries of free frames, the free lists and the
 * counters belong to frame_lock; the state word of an allocated frame is changed by atomic
 * operations only, by whoever has a reference. Ready for many CPUs.
 *
 * A free frame is mapped nowhere and is touched only to be scrubbed, before it gets a new owner.
 * frame_lock is never held while scrubbing, nor while a section is touched (mm/section.c), since
 * that maps memory: taking a page table for it may call frame_alloc() again. mm/pool.c says why
 * that ends.
 */
#include "mm/frame.h"
#include "domain.h"
#include "lock.h"
#include "mm/epoch.h"
#include "mm/fail.h"
#include "mm/section.h"
#include "mm/window.h"
#include "mutant.h"
#include "print.h"
#include "public/errno.h"

/* In the order field of a free frame that does not begin a free block. */
#define NOT_A_HEAD FRAME_ORDER_MASK

static struct lock frame_lock = LOCK_INIT;

/* All under frame_lock. */
static uint32_t free_heads[FRAME_ORDER_MAX + 1];
static uint32_t free_orders; /* bit o: list o is not empty */
static struct frame_stats stats;

/* Frames of guest RAM by owner, those on their way to be free left out. */
static _Atomic uint64_t guest_frames[DOMAINS_MAX + 1];

static uint64_t state_make(enum frame_type type, domid_t owner, uint32_t refs)
{
	return (uint64_t)type << FRAME_TYPE_SHIFT | (uint64_t)owner << FRAME_OWNER_SHIFT | refs;
}

static enum frame_type state_type(uint64_t state)
{
	return (enum frame_type)(state >> FRAME_TYPE_SHIFT);
}

static uint64_t state_free(unsigned order)
{
	return state_make(FRAME_FREE, 0, 0) | FRAME_DIRTY | (uint64_t)order << FRAME_ORDER_SHIFT;
}

static void count_guest_ram(uint64_t state, int64_t frames)
{
	domid_t owner = (domid_t)(state >> FRAME_OWNER_SHIFT);

	if (state_type(state) == FRAME_GUEST_RAM && owner <= DOMAINS_MAX)
		atomic_fetch_add_explicit(&guest_frames[owner], (uint64_t)frames,
					  memory_order_relaxed);
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
	section_set_state(first, state_free(0) | NOT_A_HEAD);
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

/*
 * Counts the frames of a section that has just got its entries, and puts the free ones on the
 * lists, run by run, so that the lock is held for a few blocks at a time.
 */
void frame_adopt_section(uint64_t section)
{
	uint64_t frame = section * FRAME_SECTION_FRAMES, end = frame + FRAME_SECTION_FRAMES;

	lock_acquire(&frame_lock);
	stats.untouched -= section_free_frames(section);
	stats.free -= section_free_frames(section);
	lock_release(&frame_lock);
	while (frame < end) {
		enum frame_type type = state_type(section_entry(frame)->state);
		uint64_t first = frame;

		while (frame < end && state_type(section_entry(frame)->state) == type)
			frame++;
		lock_acquire(&frame_lock);
		stats.by_type[type] += frame - first;
		if (type == FRAME_FREE) {
			stats.free += frame - first;
			add_run(first, frame);
		}
		lock_release(&frame_lock);
	}
}

/*
 * Makes the allocator ready from what frame_add_ram() and frame_reserve() declared. Needs the map
 * window and hostpt_map(). -XEN_ENOMEM: no RAM, or no page tables to map the first entries.
 */
int frame_init(void)
{
	for (unsigned order = 0; order <= FRAME_ORDER_MAX; order++)
		free_heads[order] = FRAME_LINK_NONE;
	return section_init();
}

/* Called by section_init() when the extents are known, before the first section is touched. */
void frame_count_ram(uint64_t ram, uint64_t free)
{
	stats.ram = ram;
	stats.untouched = free;
	stats.free = free;
}

/*
 * Finds a block, touching sections as long as there is none. Nothing satisfies the largest order
 * but a section whose part of the table lies elsewhere, so none is touched for it.
 */
static int find_block(unsigned order, enum frame_type type, uint64_t *first)
{
	lock_acquire(&frame_lock);
	while (!take_block(order, first)) {
		uint64_t section;

		if (order == FRAME_ORDER_MAX || !section_claim(&section)) {
			lock_release(&frame_lock);
			return -XEN_ENOMEM;
		}
		lock_release(&frame_lock);
		int rc = section_touch(section);
		lock_acquire(&frame_lock);
		if (rc == -XEN_ENOSPC) {
			uint64_t scrap = section_free_frames(section);
			stats.ram -= scrap;
			stats.untouched -= scrap;
			stats.free -= scrap;
		} else if (rc) {
			section_unclaim(section);
			lock_release(&frame_lock);
			return rc;
		}
	}
	stats.by_type[type] += 1ull << order;
	stats.by_type[FRAME_FREE] -= 1ull << order;
	stats.free -= 1ull << order;
	lock_release(&frame_lock);
	return 0;
}

/*
 * Takes 2^order frames, aligned to their size, all zero, each with one reference: the owner's.
 * -XEN_ENOMEM: there is no such block, and nothing has changed. It may also be returned while
 * another CPU is just touching the last section. -XEN_EINVAL: order too large, or no type to
 * allocate.
 */
int frame_alloc(unsigned order, domid_t owner, enum frame_type type, mfn_t *out)
{
	uint64_t first;

	if (order > FRAME_ORDER_MAX || type <= FRAME_FREE || type >= FRAME_TYPE_COUNT)
		return -XEN_EINVAL;
	if (fail_now())
		return -XEN_ENOMEM;
	int rc = find_block(order, type, &first);
	if (rc)
		return rc;
	/* Off the lists and not yet allocated: nobody else looks at these frames. */
	if (!MUTANT(NOT_SCRUBBED))
		window_scrub(make_mfn(first), order);
	for (uint64_t f = first; f < first + (1ull << order); f++)
		atomic_store_explicit(&section_entry(f)->state, state_make(type, owner, 1),
				      memory_order_release);
	count_guest_ram(state_make(type, owner, 1), 1 << order);
	*out = make_mfn(first);
	return 0;
}

/* Changes the state of a frame that has the owner's reference only; panics if it has not. */
static void change_sole_reference(uint64_t frame, uint64_t like, uint64_t to, const char *what)
{
	struct frame_info *info = frame_info(make_mfn(frame));
	uint64_t old = info ? atomic_load_explicit(&info->state, memory_order_relaxed) : 0;
	uint64_t differs = (old ^ like) & (FRAME_TYPE_MASK | FRAME_OWNER_MASK | FRAME_DIRTY);

	if (state_type(old) <= FRAME_FREE || (old & FRAME_REF_MASK) != 1 || differs ||
	    !atomic_compare_exchange_strong_explicit(&info->state, &old, to, memory_order_acq_rel,
						     memory_order_relaxed))
		panic("frame %lx cannot be %s: state %lx, first frame's %lx", frame, what, old,
		      like);
}

static uint64_t checked_first(mfn_t first, unsigned order)
{
	struct frame_info *info = frame_info(first);

	if (!info || order > FRAME_ORDER_MAX || mfn_raw(first) & ((1ull << order) - 1))
		panic("no block of order %u begins at frame %lx", order, mfn_raw(first));
	return atomic_load_explicit(&info->state, memory_order_relaxed);
}

/*
 * Gives 2^order frames back that nobody can reach any more: unmapped, flushed, and without a
 * reference but the owner's. A block may be freed in parts. Anything else is our own bug: panic.
 */
void frame_free(mfn_t first, unsigned order)
{
	uint64_t like = checked_first(first, order), count = 1ull << order;

	for (uint64_t f = mfn_raw(first); f < mfn_raw(first) + count; f++)
		change_sole_reference(f, like, state_free(0) | NOT_A_HEAD, "freed");
	if (!(like & FRAME_DIRTY))
		count_guest_ram(like, -(1 << order));
	lock_acquire(&frame_lock);
	stats.by_type[state_type(like)] -= count;
	stats.by_type[FRAME_FREE] += count;
	stats.free += count;
	merge_block(mfn_raw(first), order);
	lock_release(&frame_lock);
}

/*
 * Marks 2^order frames, which have the owner's reference only, as given up: frame_get() refuses
 * them from now on. The order is kept in the first one. For epoch_free_frames().
 */
void frame_retire(mfn_t first, unsigned order)
{
	uint64_t like = checked_first(first, order);
	uint64_t to = (like & ~FRAME_ORDER_MASK) | FRAME_DIRTY;

	if (like & FRAME_DIRTY)
		panic("frame %lx is given up twice", mfn_raw(first));
	for (uint64_t f = mfn_raw(first) + (1ull << order) - 1; f > mfn_raw(first); f--)
		change_sole_reference(f, like, to, "given up");
	change_sole_reference(mfn_raw(first), like, to | (uint64_t)order << FRAME_ORDER_SHIFT,
			      "given up");
	count_guest_ram(like, -(1 << order));
}

/*
 * Gives what boot reserved as FRAME_BOOT in [start, end), bytes, back to the allocator, once for
 * each time it was reserved. The caller has dropped every mapping of it.
 */
void frame_release_reserved(paddr_t start, paddr_t end)
{
	uint64_t last = (paddr_raw(end) + PAGE_SIZE - 1) >> PAGE_SHIFT;

	for (uint64_t f = paddr_raw(start) >> PAGE_SHIFT; f < last; f++) {
		struct frame_info *info = frame_info(make_mfn(f));

		if (!info) {
			assert_always(f < SECTION_LOW_FRAMES);
			continue;
		}
		assert_always(state_type(info->state) == FRAME_BOOT);
		if ((info->state & FRAME_REF_MASK) > 1)
			atomic_fetch_sub(&info->state, 1);
		else
			frame_free(make_mfn(f), 0);
	}
}

/*
 * Takes a reference to a frame if it has this owner and type. -XEN_EINVAL: it has not (any number
 * may be asked for); -XEN_EBUSY: it has too many references.
 */
int frame_get(mfn_t frame, domid_t owner, enum frame_type type)
{
	if (unlikely(!section_has_entry(frame)))
		return -XEN_EINVAL;
	return frame_get_present(frame, owner, type);
}

/* Between the subtraction and here frame_get() fails, since there is no reference. */
void frame_put_last(mfn_t frame, uint64_t old)
{
	if (!(old & FRAME_REF_MASK) || state_type(old) <= FRAME_FREE || old & FRAME_DIRTY)
		panic("frame %lx has no reference to drop: state %lx", mfn_raw(frame), old);
	atomic_store_explicit(&section_entry(mfn_raw(frame))->state, old | FRAME_DIRTY,
			      memory_order_relaxed);
	count_guest_ram(old, -1);
	epoch_free_retired(frame);
}

/* The entry of a frame; NULL where there is no RAM or no entry yet. Takes any number. */
struct frame_info *frame_info(mfn_t frame)
{
	if (unlikely(!section_has_entry(frame)))
		return NULL;
	struct frame_info *info = section_entry(mfn_raw(frame));
	uint64_t state = atomic_load_explicit(&info->state, memory_order_relaxed);
	return likely(state >> FRAME_TYPE_SHIFT) ? info : NULL;
}

static uint64_t state_of(mfn_t frame)
{
	struct frame_info *info = frame_info(frame);

	return info ? atomic_load_explicit(&info->state, memory_order_acquire) : 0;
}

/* What a frame is used for; FRAME_ABSENT also where there is no entry yet. Takes any number. */
enum frame_type frame_type(mfn_t frame)
{
	return state_type(state_of(frame));
}

/* Whose a frame is; DOMID_HYPERVISOR also for free and absent ones. Takes any number. */
domid_t frame_owner(mfn_t frame)
{
	return (domid_t)(state_of(frame) >> FRAME_OWNER_SHIFT);
}

/* References to a frame, the owner's included; 0 for free and absent ones. Takes any number. */
uint32_t frame_refs(mfn_t frame)
{
	return (uint32_t)state_of(frame);
}

/*
 * Frames of guest RAM that a domain owns: those that only others still have mapped are among them,
 * those that wait for their epoch are not. 0 for an id that no domain has.
 */
uint64_t frame_owned(domid_t owner)
{
	if (owner > DOMAINS_MAX)
		return 0;
	return atomic_load_explicit(&guest_frames[owner], memory_order_relaxed);
}

/* A snapshot of the counters. */
void frame_get_stats(struct frame_stats *out)
{
	lock_acquire(&frame_lock);
	*out = stats;
	lock_release(&frame_lock);
}

/*
 * Calls fn for every block on the free lists until it returns false; returns whether it came to
 * the end. fn runs under frame_lock and may only look at frames.
 */
bool frame_for_each_free_block(bool (*fn)(mfn_t first, unsigned order, void *ctx), void *ctx)
{
	bool all = true;

	lock_acquire(&frame_lock);
	for (unsigned order = 0; all && order <= FRAME_ORDER_MAX; order++)
		for (uint32_t f = free_heads[order]; all && f != FRAME_LINK_NONE;
		     f = section_entry(f)->next)
			all = fn(make_mfn(f), order, ctx);
	lock_release(&frame_lock);
	return all;
}
