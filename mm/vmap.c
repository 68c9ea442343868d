/*
 * The vmap area: virtually contiguous memory made of single frames.
 *
 * State: the ranges of mm/range.c, the lists of pending ones, counters: vmap_lock. Mapping and
 * unmapping happen without the lock, on ranges that are marked busy.
 *
 * A range in use is an area's pages and one guard page behind them; the guard before them is the
 * last page of the range below, or the region's first page, or free:
 *
 *    | guard |  page  page  page | guard |  page | guard |  free ...  |
 *    |       |<------ range, length 4 -->|<- length 2 -->|<- range -->|
 *
 * Giving back a part needs no other record: the first page of what goes away becomes the guard of
 * what stays below it, the rest becomes a range by itself.
 *
 * No recursion: the ranges' records lie in pages of their own (mm/meta.h), page tables come from
 * the pool, and neither calls back here. The heap sits on top.
 *
 * A range that is given up is pending at first: other CPUs may have translations of it until they
 * pass a quiescent point. Such ranges form two lists: one that waits for the epoch, one that
 * collects what comes meanwhile; so a single epoch_deferred serves them all and freeing never
 * fails.
 */
#include "mm/vmap.h"
#include "layout.h"
#include "lock.h"
#include "mm/epoch.h"
#include "mm/fail.h"
#include "mm/frame.h"
#include "mm/hostpt.h"
#include "mm/pahash.h"
#include "mm/range.h"
#include "mm/section.h"
#include "print.h"
#include "public/errno.h"

#define PENDING_BATCH 64u /* ranges freed at one quiescent point */

static struct lock vmap_lock = LOCK_INIT(LOCK_VMAP);

/* All under vmap_lock. */
static uint32_t collecting, waiting; /* lists of pending ranges */
static struct epoch_deferred pending_deferred;
static struct vmap_stats stats;

static uint64_t page_va(uint64_t page)
{
	return LAYOUT_VMAP + page * PAGE_SIZE;
}

/* --- pending ranges --- */

static void pending_run(struct epoch_deferred *d);

/* Starts the wait for what has been collected, unless a wait is going on. vmap_lock held. */
static void pending_start(void)
{
	if (waiting != RANGE_NO_PAGE || collecting == RANGE_NO_PAGE)
		return;
	waiting = collecting;
	collecting = RANGE_NO_PAGE;
	epoch_defer(&pending_deferred, pending_run);
}

/* The epoch of the waiting ranges has passed: frees them, a batch at a time. */
static void pending_run(struct epoch_deferred *d)
{
	lock_acquire(&vmap_lock);
	for (unsigned n = 0; n < PENDING_BATCH && waiting != RANGE_NO_PAGE; n++) {
		uint32_t first = waiting;

		waiting = range_tag(first)->next;
		range_free(first, range_tag(first)->length);
	}
	if (waiting != RANGE_NO_PAGE)
		epoch_defer(d, pending_run);
	else
		pending_start();
	lock_release(&vmap_lock);
}

/* vmap_lock held. */
static void range_give_up(uint32_t first, uint32_t length)
{
	range_set(first, length, RANGE_PENDING);
	range_tag(first)->next = collecting;
	collecting = first;
	pending_start();
}

/* --- mapping: no lock, pages of a busy range --- */

static int map_new_frame(uint64_t va)
{
	mfn_t frame;
	int rc = frame_alloc(0, DOMID_HYPERVISOR, FRAME_VMAP, &frame);

	if (rc)
		return rc;
	rc = pahash_insert(frame, va);
	if (!rc) {
		rc = hostpt_map(va, frame, HOST_RW);
		if (rc)
			pahash_remove(frame);
	}
	if (rc)
		frame_free(frame, 0);
	return rc;
}

/*
 * Unmaps pages, flushes once, and lets the epoch free the frames behind them, unless they are a
 * device's. The frames hang together by their links until the flush is done.
 */
static void unmap_pages(uint32_t first, uint64_t count, bool device)
{
	uint32_t chain = FRAME_LINK_NONE;

	for (uint64_t i = 0; i < count; i++) {
		mfn_t frame = hostpt_unmap(page_va(first + i));

		if (device)
			continue;
		pahash_remove(frame);
		section_entry(mfn_raw(frame))->next = chain;
		chain = (uint32_t)mfn_raw(frame);
	}
	hostpt_flush(page_va(first), count);
	while (chain != FRAME_LINK_NONE) {
		mfn_t frame = make_mfn(chain);

		chain = section_entry(chain)->next;
		epoch_free_frames(frame, 0);
	}
}

/*
 * Takes an area of page_count pages and maps it: new frames, or a device's from *device on. On
 * error what was done is undone.
 */
static int area_create(size_t page_count, const mfn_t *device, uint32_t *out)
{
	uint32_t first;

	if (!page_count)
		return -XEN_EINVAL;
	if (page_count >= RANGE_PAGE_LIMIT)
		return -XEN_ENOMEM;
	uint32_t length = (uint32_t)page_count + 1;
	lock_acquire(&vmap_lock);
	int rc = range_take(length, &first);
	lock_release(&vmap_lock);
	if (rc)
		return rc;
	uint32_t mapped = 0;
	while (!rc && mapped < page_count) {
		uint64_t va = page_va(first + mapped);

		rc = device ? hostpt_map(va, mfn_add(*device, mapped), HOST_RW_UC)
			    : map_new_frame(va);
		mapped += !rc;
	}
	if (rc && mapped)
		unmap_pages(first, mapped, device);
	lock_acquire(&vmap_lock);
	if (!rc) {
		range_set_state(first, device ? RANGE_DEVICE : RANGE_MEMORY);
		stats.areas++;
		stats.pages += page_count;
	} else if (mapped) {
		range_give_up(first, length);
	} else {
		range_free(first, length);
	}
	lock_release(&vmap_lock);
	*out = first;
	return rc;
}

/* Called once, at boot, after frame_init(), pool_init() and pahash_init(). -XEN_ENOMEM. */
int vmap_init(void)
{
	lock_acquire(&vmap_lock);
	int rc = range_init();
	lock_release(&vmap_lock);
	return rc;
}

int vmap_alloc(size_t page_count, void **out)
{
	uint32_t first;
	int rc = fail_now() ? -XEN_ENOMEM : area_create(page_count, NULL, &first);

	if (!rc)
		*out = (void *)page_va(first);
	return rc;
}

int vmap_map_device(paddr_t start, size_t length_bytes, void **out)
{
	uint64_t end = paddr_raw(start) + length_bytes, address_limit = 1ull << 52;
	uint32_t first_page;

	if (!length_bytes || end < paddr_raw(start) || end > address_limit)
		return -XEN_EINVAL;
	mfn_t first = paddr_to_mfn(start);
	uint64_t count = ((end - 1) >> PAGE_SHIFT) - mfn_raw(first) + 1;
	if (count >= RANGE_PAGE_LIMIT)
		return -XEN_ENOMEM;
	for (uint64_t i = 0; i < count; i++)
		if (frame_is_ram(mfn_add(first, i)))
			return -XEN_EINVAL;
	int rc = area_create(count, &first, &first_page);
	if (!rc)
		*out = (void *)(page_va(first_page) + paddr_offset(start));
	return rc;
}

/* The page of an address that may be in an area, or RANGE_NO_PAGE. vmap_lock held. */
static uint32_t page_of(const void *address)
{
	uint64_t offset = (uint64_t)address - LAYOUT_VMAP;

	return offset < LAYOUT_VMAP_AREAS_SIZE && offset / PAGE_SIZE < range_top()
		   ? (uint32_t)(offset / PAGE_SIZE)
		   : RANGE_NO_PAGE;
}

static bool begins_area(uint32_t page)
{
	const struct tag *tag = range_tag(page);

	return page != RANGE_NO_PAGE && tag->ends & TAG_FIRST &&
	       (tag->state == RANGE_MEMORY || tag->state == RANGE_DEVICE);
}

bool vmap_find(const void *address, size_t *page_count, uint32_t *mark)
{
	lock_acquire(&vmap_lock);
	uint32_t page = page_of(address);
	bool found = begins_area(page);
	if (found) {
		*page_count = range_tag(page)->length - 1;
		*mark = range_tag(page)->next;
	}
	lock_release(&vmap_lock);
	return found;
}

/* Puts a mark, for its user's own purpose, on the area that begins at start. It is 0 at first. */
void vmap_set_mark(void *start, uint32_t mark)
{
	lock_acquire(&vmap_lock);
	uint32_t page = page_of(start);
	if (!begins_area(page))
		panic("no vmap area begins at %p", start);
	range_tag(page)->next = mark;
	lock_release(&vmap_lock);
}

/* What of an area is cut out; both sides stay areas if they have pages. */
struct cut {
	uint32_t first, length; /* the area's range, guard included */
	uint32_t from, to;	/* the pages that go, to exclusive */
	uint32_t mark;
	enum range_state state;
};

static int cut_begin(void *start, size_t page_count, struct cut *cut)
{
	int rc = -XEN_EINVAL;

	lock_acquire(&vmap_lock);
	uint32_t page = page_of(start);
	if (page != RANGE_NO_PAGE && page_count && page_count < range_top() - page &&
	    !((uint64_t)start & (PAGE_SIZE - 1))) {
		uint32_t to = page + (uint32_t)page_count, first = range_of(page, to);
		if (begins_area(first) && first <= page && to < first + range_tag(first)->length) {
			const struct tag *tag = range_tag(first);

			*cut = (struct cut){first, tag->length, page,
					    to,	   tag->next,	(enum range_state)tag->state};
			range_set_state(first, RANGE_BUSY);
			rc = 0;
		}
	}
	lock_release(&vmap_lock);
	return rc;
}

static void cut_end(const struct cut *cut)
{
	uint32_t from = cut->from, end = cut->first + cut->length;

	lock_acquire(&vmap_lock);
	range_clear(cut->first, cut->length);
	if (cut->from > cut->first) {
		range_set(cut->first, cut->from + 1 - cut->first, cut->state);
		range_tag(cut->first)->next = cut->mark;
		from++; /* now the guard of what stays below */
		stats.areas++;
	}
	stats.areas--;
	if (cut->to + 1 < end) {
		range_set(cut->to, end - cut->to, cut->state);
		range_tag(cut->to)->next = cut->from > cut->first ? 0 : cut->mark;
		end = cut->to;
		stats.areas++;
	}
	if (from < end)
		range_give_up(from, end - from);
	stats.pages -= cut->to - cut->from;
	lock_release(&vmap_lock);
}

int vmap_free_part(void *start, size_t page_count)
{
	struct cut cut;
	int rc = cut_begin(start, page_count, &cut);

	if (rc)
		return rc;
	unmap_pages(cut.from, cut.to - cut.from, cut.state == RANGE_DEVICE);
	cut_end(&cut);
	return 0;
}

void vmap_free(void *start)
{
	void *page = (void *)((uint64_t)start & PAGE_MASK);
	size_t page_count;
	uint32_t mark;

	if (!vmap_find(page, &page_count, &mark) || vmap_free_part(page, page_count))
		panic("no vmap area begins at %p", start);
}

/* Areas and pages in use, guards not counted. */
void vmap_get_stats(struct vmap_stats *out)
{
	lock_acquire(&vmap_lock);
	*out = stats;
	lock_release(&vmap_lock);
}
