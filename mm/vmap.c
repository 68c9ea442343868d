/*
 * The vmap area: virtually contiguous memory made of single frames.
 *
 * State: a tag of 16 bytes per page of the area, in an array of its own that grows with the highest
 * page ever used; free lists by size; counters: vmap_lock. Ready for many CPUs: mapping and
 * unmapping happen without the lock, on pages that are marked as in the making or on their way out.
 *
 * The area is cut into ranges. Only the tags of a range's first and last page mean anything; both
 * know its length and state, so that neighbours find each other by arithmetic (boundary tags) and
 * free ranges join in constant time. A range in use is the pages and one guard page behind them;
 * the guard before them is the last page of the range below, or the area's first page, or free:
 *
 *    | guard |  page  page  page | guard |  page | guard |  free ...  |
 *    |       |<------ range, length 4 -->|<- length 2 -->|<- range -->|
 *
 * Giving back a part needs no other record: the first page of what goes away becomes the guard of
 * what stays below it, the rest becomes a range by itself.
 *
 * No recursion: tags lie in pages of their own (mm/meta.h), page tables come from the pool, and
 * neither calls back here. The heap sits on top.
 *
 * A range that is given up is first PENDING: other CPUs may have translations of it until they pass
 * a quiescent point. Such ranges form two lists: one that waits for the epoch, one that collects
 * what comes meanwhile; so a single epoch_deferred serves them all and freeing never fails.
 */
#include "mm/vmap.h"
#include "layout.h"
#include "lock.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/hostpt.h"
#include "mm/meta.h"
#include "mm/pahash.h"
#include "mm/section.h"
#include "print.h"
#include "public/errno.h"

enum tag_state {
	TAG_NONE, /* the page begins or ends no range */
	TAG_FREE,
	TAG_BUSY, /* being mapped, or unmapped */
	TAG_MEMORY,
	TAG_DEVICE,
	TAG_PENDING /* unmapped; other CPUs may still have translations */
};

#define TAG_FIRST 1u
#define TAG_LAST  2u

#define PAGE_LIMIT	   (LAYOUT_VMAP_AREAS_SIZE / PAGE_SIZE)
#define NO_PAGE		   0u /* the area's first page is a guard for ever */
#define CLASS_COUNT	   27u
#define CLASS_SEARCH_LIMIT 8u  /* ranges looked at where not every one is long enough */
#define PENDING_BATCH	   64u /* ranges freed at one quiescent point */

_Static_assert(PAGE_LIMIT == 1ull << (CLASS_COUNT - 1), "the largest class holds the whole area");

struct tag {
	uint32_t length; /* pages of the range */
	uint8_t state;	 /* enum tag_state */
	uint8_t ends;	 /* TAG_FIRST, TAG_LAST */
	uint16_t padding;
	uint32_t next; /* in the first tag: of a list of ranges; in use: the user's mark */
	uint32_t prev;
};
static_assert_size(struct tag, 16);

static struct lock vmap_lock = LOCK_INIT;

/* All under vmap_lock. */
static struct meta_array tag_pages = {.base = LAYOUT_META_VMAP};
static uint32_t top = 1;		 /* pages from here on have never been used */
static uint32_t free_lists[CLASS_COUNT]; /* class c: lengths from 2^c to 2^(c+1) - 1 */
static uint32_t free_classes;		 /* bit c: list c is not empty */
static uint32_t collecting, waiting;	 /* lists of pending ranges */
static struct epoch_deferred pending_deferred;
static struct vmap_stats stats;

static struct tag *tag_of(uint64_t page)
{
	return (struct tag *)LAYOUT_META_VMAP + page;
}

static uint64_t page_va(uint64_t page)
{
	return LAYOUT_VMAP + page * PAGE_SIZE;
}

static unsigned class_of(uint32_t length)
{
	return 31u - (unsigned)__builtin_clz(length);
}

/* --- ranges and their tags: vmap_lock held --- */

static void range_set(uint32_t first, uint32_t length, enum tag_state state)
{
	uint32_t last = first + length - 1;

	*tag_of(last) = (struct tag){.length = length, .state = (uint8_t)state, .ends = TAG_LAST};
	*tag_of(first) = (struct tag){.length = length,
				      .state = (uint8_t)state,
				      .ends = first == last ? TAG_FIRST | TAG_LAST : TAG_FIRST};
}

static void range_set_state(uint32_t first, enum tag_state state)
{
	tag_of(first)->state = (uint8_t)state;
	tag_of(first + tag_of(first)->length - 1)->state = (uint8_t)state;
}

/* Makes the tags of a range's ends mean nothing, before it becomes part of a larger one. */
static void range_clear(uint32_t first, uint32_t length)
{
	*tag_of(first) = (struct tag){0};
	*tag_of(first + length - 1) = (struct tag){0};
}

static void list_insert(uint32_t first)
{
	struct tag *tag = tag_of(first);
	unsigned bin = class_of(tag->length);

	tag->prev = NO_PAGE;
	tag->next = free_lists[bin];
	if (tag->next != NO_PAGE)
		tag_of(tag->next)->prev = first;
	free_lists[bin] = first;
	free_classes |= 1u << bin;
}

static void list_remove(uint32_t first)
{
	struct tag *tag = tag_of(first);
	unsigned bin = class_of(tag->length);

	if (tag->prev != NO_PAGE)
		tag_of(tag->prev)->next = tag->next;
	else
		free_lists[bin] = tag->next;
	if (tag->next != NO_PAGE)
		tag_of(tag->next)->prev = tag->prev;
	if (free_lists[bin] == NO_PAGE)
		free_classes &= ~(1u << bin);
}

/* Frees a range, joined with free neighbours. */
static void range_free(uint32_t first, uint32_t length)
{
	struct tag *below = tag_of(first - 1), *above = tag_of(first + length);

	range_clear(first, length);
	if (first > 1 && below->state == TAG_FREE && below->ends & TAG_LAST) {
		uint32_t below_length = below->length;

		list_remove(first - below_length);
		range_clear(first - below_length, below_length);
		first -= below_length;
		length += below_length;
	}
	if (first + length < top && above->state == TAG_FREE && above->ends & TAG_FIRST) {
		uint32_t above_first = first + length, above_length = above->length;

		list_remove(above_first);
		range_clear(above_first, above_length);
		length += above_length;
	}
	range_set(first, length, TAG_FREE);
	list_insert(first);
}

/* A free range of at least length pages, or NO_PAGE. Looks at a bounded number of them. */
static uint32_t range_find(uint32_t length)
{
	unsigned bin = class_of(length);
	unsigned enough = bin + ((length & (length - 1)) != 0);
	uint32_t candidate = free_lists[bin];

	for (unsigned n = 0; enough > bin && n < CLASS_SEARCH_LIMIT && candidate; n++) {
		if (tag_of(candidate)->length >= length)
			return candidate;
		candidate = tag_of(candidate)->next;
	}
	uint32_t classes = enough < CLASS_COUNT ? free_classes >> enough << enough : 0;
	return classes ? free_lists[__builtin_ctz(classes)] : NO_PAGE;
}

/* Takes a range of length pages, new ones at the top if no free range is long enough. */
static int range_take(uint32_t length, uint32_t *out)
{
	uint32_t first = range_find(length);

	assert_locked(&vmap_lock);
	if (first != NO_PAGE) {
		uint32_t rest = tag_of(first)->length - length;

		list_remove(first);
		range_clear(first, length + rest);
		if (rest) {
			range_set(first + length, rest, TAG_FREE);
			list_insert(first + length);
		}
	} else {
		/* One tag more than pages in use, so that the neighbour above can be looked at. */
		if (length > PAGE_LIMIT - top)
			return -XEN_ENOMEM;
		int rc =
		    meta_reserve(&tag_pages, ((uint64_t)top + length + 1) * sizeof(struct tag));
		if (rc)
			return rc;
		first = top;
		top += length;
	}
	range_set(first, length, TAG_BUSY);
	*out = first;
	return 0;
}

/* --- pending ranges --- */

static void pending_run(struct epoch_deferred *d);

/* Starts the wait for what has been collected, unless a wait is going on. vmap_lock held. */
static void pending_start(void)
{
	if (waiting != NO_PAGE || collecting == NO_PAGE)
		return;
	waiting = collecting;
	collecting = NO_PAGE;
	epoch_defer(&pending_deferred, pending_run);
}

/* The epoch of the waiting ranges has passed: frees them, a batch at a time. */
static void pending_run(struct epoch_deferred *d)
{
	lock_acquire(&vmap_lock);
	for (unsigned n = 0; n < PENDING_BATCH && waiting != NO_PAGE; n++) {
		uint32_t first = waiting;

		waiting = tag_of(first)->next;
		range_free(first, tag_of(first)->length);
	}
	if (waiting != NO_PAGE)
		epoch_defer(d, pending_run);
	else
		pending_start();
	lock_release(&vmap_lock);
}

/* vmap_lock held. */
static void range_give_up(uint32_t first, uint32_t length)
{
	range_set(first, length, TAG_PENDING);
	tag_of(first)->next = collecting;
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
	if (page_count >= PAGE_LIMIT)
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
		range_set_state(first, device ? TAG_DEVICE : TAG_MEMORY);
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
	int rc = meta_reserve(&tag_pages, (top + 1) * sizeof(struct tag));
	lock_release(&vmap_lock);
	return rc;
}

/*
 * Maps page_count pages of zeroed memory of the hypervisor's own, with a guard page on either side.
 * -XEN_ENOMEM: no frames, page tables or addresses; nothing has changed, though frames already
 * taken are free only after an epoch. -XEN_EINVAL: no pages.
 */
int vmap_alloc(size_t page_count, void **out)
{
	uint32_t first;
	int rc = area_create(page_count, NULL, &first);

	if (!rc)
		*out = (void *)page_va(first);
	return rc;
}

/*
 * Maps length_bytes of device registers from a physical address on, uncached; *out points to the
 * first of them. -XEN_EINVAL: no length, beyond the physical address space, or RAM, which must
 * never be reachable here.
 */
int vmap_map_device(paddr_t start, size_t length_bytes, void **out)
{
	uint64_t end = paddr_raw(start) + length_bytes, address_limit = 1ull << 52;
	uint32_t first_page;

	if (!length_bytes || end < paddr_raw(start) || end > address_limit)
		return -XEN_EINVAL;
	mfn_t first = paddr_to_mfn(start);
	uint64_t count = ((end - 1) >> PAGE_SHIFT) - mfn_raw(first) + 1;
	if (count >= PAGE_LIMIT)
		return -XEN_ENOMEM;
	for (uint64_t i = 0; i < count; i++)
		if (frame_is_ram(mfn_add(first, i)))
			return -XEN_EINVAL;
	int rc = area_create(count, &first, &first_page);
	if (!rc)
		*out = (void *)(page_va(first_page) + paddr_offset(start));
	return rc;
}

/* The page of an address that may be in an area, or NO_PAGE. vmap_lock held. */
static uint32_t page_of(const void *address)
{
	uint64_t offset = (uint64_t)address - LAYOUT_VMAP;

	return offset < LAYOUT_VMAP_AREAS_SIZE && offset / PAGE_SIZE < top
		   ? (uint32_t)(offset / PAGE_SIZE)
		   : NO_PAGE;
}

static bool begins_area(uint32_t page)
{
	const struct tag *tag = tag_of(page);

	return page != NO_PAGE && tag->ends & TAG_FIRST &&
	       (tag->state == TAG_MEMORY || tag->state == TAG_DEVICE);
}

/*
 * Whether an area begins in the page of address; if so, its size in pages without guards, and its
 * mark. Takes any address.
 */
bool vmap_find(const void *address, size_t *page_count, uint32_t *mark)
{
	lock_acquire(&vmap_lock);
	uint32_t page = page_of(address);
	bool found = begins_area(page);
	if (found) {
		*page_count = tag_of(page)->length - 1;
		*mark = tag_of(page)->next;
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
	tag_of(page)->next = mark;
	lock_release(&vmap_lock);
}

/* First page of the range that a page lies in. By the tags next to it, else by looking backwards.
 */
static uint32_t range_of(uint32_t page, uint32_t end)
{
	if (end < top && tag_of(end)->ends & TAG_LAST && tag_of(end)->length <= end)
		return end + 1 - tag_of(end)->length;
	while (page && !(tag_of(page)->ends & TAG_FIRST))
		page--;
	return page;
}

/* What of an area is cut out; both sides stay areas if they have pages. */
struct cut {
	uint32_t first, length; /* the area's range, guard included */
	uint32_t from, to;	/* the pages that go, to exclusive */
	uint32_t mark;
	enum tag_state state;
};

static int cut_begin(void *start, size_t page_count, struct cut *cut)
{
	int rc = -XEN_EINVAL;

	lock_acquire(&vmap_lock);
	uint32_t page = page_of(start);
	if (page != NO_PAGE && page_count && page_count < top - page &&
	    !((uint64_t)start & (PAGE_SIZE - 1))) {
		uint32_t to = page + (uint32_t)page_count, first = range_of(page, to);
		if (begins_area(first) && first <= page && to < first + tag_of(first)->length) {
			const struct tag *tag = tag_of(first);

			*cut = (struct cut){first, tag->length, page,
					    to,	   tag->next,	(enum tag_state)tag->state};
			range_set_state(first, TAG_BUSY);
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
		tag_of(cut->first)->next = cut->mark;
		from++; /* now the guard of what stays below */
		stats.areas++;
	}
	stats.areas--;
	if (cut->to + 1 < end) {
		range_set(cut->to, end - cut->to, cut->state);
		tag_of(cut->to)->next = cut->from > cut->first ? 0 : cut->mark;
		end = cut->to;
		stats.areas++;
	}
	if (from < end)
		range_give_up(from, end - from);
	stats.pages -= cut->to - cut->from;
	lock_release(&vmap_lock);
}

/*
 * Gives back page_count pages of an area, from start on: its head, its tail, its middle, which
 * makes two areas of it, or all. The frames are free and the addresses usable again after an epoch.
 * The caller has no pointer there any more. -XEN_EINVAL: the pages do not lie within one area.
 */
int vmap_free_part(void *start, size_t page_count)
{
	struct cut cut;
	int rc = cut_begin(start, page_count, &cut);

	if (rc)
		return rc;
	unmap_pages(cut.from, cut.to - cut.from, cut.state == TAG_DEVICE);
	cut_end(&cut);
	return 0;
}

/*
 * Gives back the whole area that begins in the page of start. Panics if there is none, or if it is
 * given back already.
 */
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
