/*
 * Frame allocator: allocated frames, and references to them.
 *
 * State: the frame table's entries of allocated frames (include/mm/frame.h), changed by atomic
 * operations only, by whoever has a reference; how many frames each domain owns. Free frames are
 * mm/frame_buddy.c's and mm/frame_cache.c's. No lock of its own. Ready for many CPUs.
 *
 * A free frame is mapped nowhere and is touched only to be scrubbed, before it gets a new owner; no
 * lock is held meanwhile.
 */
#include "mm/frame.h"
#include "domain.h"
#include "mm/epoch.h"
#include "mm/fail.h"
#include "mm/frame_free.h"
#include "mm/section.h"
#include "mm/window.h"
#include "mutant.h"
#include "print.h"
#include "public/errno.h"

/* Frames of guest RAM by owner, those on their way to be free left out; and these. */
static _Atomic uint64_t guest_frames[DOMAINS_MAX + 1], going_frames[DOMAINS_MAX + 1];

static uint64_t state_make(enum frame_type type, domid_t owner, uint32_t refs)
{
	return frame_unreferenced(owner, type) | refs;
}

static enum frame_type state_type(uint64_t state)
{
	return (enum frame_type)(state >> FRAME_TYPE_SHIFT);
}

static void count_as(_Atomic uint64_t counts[], uint64_t state, int64_t frames)
{
	domid_t owner = (domid_t)(state >> FRAME_OWNER_SHIFT);

	if (state_type(state) == FRAME_GUEST_RAM && owner <= DOMAINS_MAX)
		atomic_fetch_add_explicit(&counts[owner], (uint64_t)frames, memory_order_relaxed);
}

static void count_guest_ram(uint64_t state, int64_t frames)
{
	count_as(guest_frames, state, frames);
}

/* Frames have been given up. */
static void count_going(uint64_t state, int64_t frames)
{
	count_as(guest_frames, state, -frames);
	count_as(going_frames, state, frames);
}

/*
 * Makes the allocator ready from what frame_add_ram() and frame_reserve() declared. Needs the map
 * window and hostpt_map(). -XEN_ENOMEM: no RAM, or no page tables to map the first entries.
 */
int frame_init(void)
{
	buddy_init();
	return section_init();
}

/* A block is never known to be clean. It is in no list. */
static inline void hand_out(mfn_t first, unsigned order, uint64_t state)
{
	struct frame_info *info = section_entry(mfn_raw(first));

	if (atomic_load_explicit(&info->state, memory_order_relaxed) & FRAME_DIRTY &&
	    !MUTANT(NOT_SCRUBBED))
		window_scrub(first, order);
	for (uint64_t f = 0; f < 1ull << order; f++)
		frame_set_allocated(mfn_add(first, f), state);
}

/*
 * Takes up to count frames, all zero, each with one reference: the owner's. Returns how many: fewer
 * only when there is no memory. type is one to allocate.
 */
uint32_t frame_alloc_pages(uint32_t count, domid_t owner, enum frame_type type, mfn_t *out)
{
	uint32_t wanted = 0, n;
	uint64_t first;

	while (wanted < count && !fail_now())
		wanted++;
	for (n = frame_cache_take(wanted, type, out); n < wanted; n++) {
		if (buddy_take(0, &first))
			break;
		out[n] = make_mfn(first);
		frame_count_type(type, 1);
	}
	for (uint32_t i = 0; i < n; i++)
		hand_out(out[i], 0, state_make(type, owner, 1));
	count_guest_ram(state_make(type, owner, 1), n);
	return n;
}

/* Where the cache has none: another CPU's may, or a section that is untouched yet. Counted already.
 */
noinline_fn static mfn_t ram_from_buddy(uint64_t state)
{
	uint64_t first;

	if (buddy_take(0, &first)) {
		count_guest_ram(state, -1);
		return MFN_INVALID;
	}
	hand_out(make_mfn(first), 0, state);
	frame_count_type(FRAME_GUEST_RAM, 1);
	return make_mfn(first);
}

/*
 * One frame of guest RAM in the same way, for a domain that may own so many. MFN_INVALID: there is
 * no memory, or it owns them already.
 */
mfn_t frame_alloc_ram(domid_t owner, uint64_t most)
{
	uint64_t state = state_make(FRAME_GUEST_RAM, owner, 1);

	if (fail_now())
		return MFN_INVALID;
	if (unlikely(atomic_fetch_add_explicit(&guest_frames[owner], 1, memory_order_relaxed) >=
		     most)) {
		count_guest_ram(state, -1);
		return MFN_INVALID;
	}
	mfn_t frame = frame_cache_take_as(state);
	return likely(!mfn_equal(frame, MFN_INVALID)) ? frame : ram_from_buddy(state);
}

/*
 * Takes 2^order frames, aligned to their size, all zero, each with one reference: the owner's.
 * -XEN_ENOMEM: there is no such block, and nothing has changed. -XEN_EINVAL: order too large, or
 * no type to allocate.
 */
int frame_alloc(unsigned order, domid_t owner, enum frame_type type, mfn_t *out)
{
	uint64_t first;

	if (order > FRAME_ORDER_MAX || type <= FRAME_FREE || type >= FRAME_TYPE_COUNT)
		return -XEN_EINVAL;
	if (!order)
		return frame_alloc_pages(1, owner, type, out) ? 0 : -XEN_ENOMEM;
	if (fail_now())
		return -XEN_ENOMEM;
	int rc = buddy_take(order, &first);
	if (rc)
		return rc;
	*out = make_mfn(first);
	hand_out(*out, order, state_make(type, owner, 1));
	count_guest_ram(state_make(type, owner, 1), 1 << order);
	frame_count_type(type, 1 << order);
	return 0;
}

/* Changes the state of a frame that has the owner's reference only; panics if it has not. */
static void change_sole_reference(uint64_t frame, uint64_t like, uint64_t to, const char *what)
{
	struct frame_info *info = section_entry(frame); /* there: its block's first one is */
	uint64_t old = atomic_load_explicit(&info->state, memory_order_relaxed);
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
		change_sole_reference(f, like, FRAME_STATE_CLEAN | FRAME_DIRTY, "freed");
	frame_count_type(state_type(like), -(1 << order));
	if (order)
		buddy_give(mfn_raw(first), order);
	else
		frame_cache_put(&first, 1);
	count_as(like & FRAME_DIRTY ? going_frames : guest_frames, like, -(1 << order));
}

/* The same for single frames that were retired: nobody else can change their states. */
void frame_free_retired(const mfn_t *frames, uint32_t count)
{
	uint64_t like = 0;
	int64_t alike = 0; /* that state, not counted yet */

	for (uint32_t i = 0; i < count; i++, alike++) {
		uint64_t state = atomic_load_explicit(&section_entry(mfn_raw(frames[i]))->state,
						      memory_order_relaxed);

		if (likely(state == like))
			continue;
		if (!(state & FRAME_DIRTY) || (state & FRAME_REF_MASK) != 1 ||
		    state_type(state) <= FRAME_FREE)
			panic("frame %lx was not given up: state %lx", mfn_raw(frames[i]), state);
		frame_count_type(state_type(like), -alike);
		count_as(going_frames, like, -alike);
		like = state;
		alike = 0;
	}
	frame_count_type(state_type(like), -alike);
	frame_cache_put(frames, count);
	count_as(going_frames, like, -alike);
}

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
	count_going(like, 1 << order);
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
 * Frames of one owner and type, the last references to which have gone: in the largest aligned
 * blocks there are, up to 2 MiB. frame_get_present() has failed since, as there is no reference.
 */
noinline_fn static void retire_run(uint64_t first, uint64_t end, uint64_t like)
{
	count_going(like, (int64_t)(end - first));
	while (first < end) {
		unsigned order = (unsigned)__builtin_ctzll(first | 1ull << FRAME_ORDER_2M);

		while (first + (1ull << order) > end)
			order--;
		section_set_state(first, like | FRAME_DIRTY | (uint64_t)order << FRAME_ORDER_SHIFT);
		epoch_free_retired(make_mfn(first));
		first += 1ull << order;
	}
}

static uint64_t checked_last(uint64_t frame, uint64_t old)
{
	if (!(old & FRAME_REF_MASK) || state_type(old) <= FRAME_FREE || old & FRAME_DIRTY)
		panic("frame %lx has no reference to drop: state %lx", frame, old);
	return old;
}

/* Between the subtraction and here frame_get_present() fails, since there is no reference. */
void frame_put_last(mfn_t frame, uint64_t old)
{
	section_set_state(mfn_raw(frame), checked_last(mfn_raw(frame), old) | FRAME_DIRTY);
	count_going(old, 1);
	epoch_free_retired(frame);
}

/* frame_put() for each of a run of frames: what goes for good goes as a whole. */
void frame_put_run(mfn_t first, uint64_t count)
{
	uint64_t start = mfn_raw(first), frame = start, like = 0;

	for (; frame < mfn_raw(first) + count; frame++) {
		struct frame_info *info = section_entry(frame);
		uint64_t old = atomic_fetch_sub_explicit(&info->state, 1, memory_order_acq_rel);
		bool gone = (uint32_t)old <= 1;

		if (gone)
			section_set_state(frame, checked_last(frame, old) | FRAME_DIRTY);
		if (gone && (old == like || start == frame)) {
			like = old;
			continue;
		}
		retire_run(start, frame, like);
		start = gone ? frame : frame + 1;
		like = old;
	}
	retire_run(start, frame, like);
}

/* frame_put() for each of some frames, anywhere: what goes for good is handed on as a whole. */
void frame_put_pages(const mfn_t *frames, uint32_t count)
{
	struct frame_chain gone = {0};
	uint64_t like = 0;
	int64_t alike = 0; /* that state, not counted yet */

	for (uint32_t i = 0; i < count; i++) {
		uint32_t frame = (uint32_t)mfn_raw(frames[i]);
		struct frame_info *info = section_entry(frame);
		uint64_t old = atomic_fetch_sub_explicit(&info->state, 1, memory_order_acq_rel);

		if ((uint32_t)old > 1)
			continue;
		if (unlikely(old != like)) {
			count_going(like, alike);
			like = checked_last(frame, old);
			alike = 0;
		}
		alike++;
		section_set_state(frame, old | FRAME_DIRTY);
		if (gone.count++)
			section_entry(gone.last)->next = frame;
		else
			gone.first = frame;
		gone.last = frame;
	}
	count_going(like, alike);
	epoch_free_chain(&gone);
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

/* Frames of guest RAM that a domain, with an id that one can have, has given up, and that are not
 * free yet. */
uint64_t frame_going(domid_t owner)
{
	return atomic_load_explicit(&going_frames[owner], memory_order_relaxed);
}

/* The counters as they are, if no other CPU takes or gives frames meanwhile. */
void frame_get_stats(struct frame_stats *out)
{
	buddy_get_stats(out);
	frame_cache_get_stats(out);
	out->by_type[FRAME_FREE] = out->free;
	out->free += out->untouched;
}
