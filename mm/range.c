/*
 * Ranges of pages: which addresses of the vmap area are in use.
 *
 * State: a tag of 16 bytes per page, in an array of its own that grows with the highest page ever
 * used; free lists by size. All of it belongs to the lock of mm/vmap.c, which every function here
 * expects to be held.
 *
 * Only the tags of a range's first and last page mean anything; both know its length and state, so
 * that neighbours find each other by arithmetic (boundary tags) and free ranges join in constant
 * time. Finding a free range looks at a bounded number of them.
 */
#include "mm/range.h"
#include "mm/meta.h"
#include "public/errno.h"

#define CLASS_COUNT	   27u
#define CLASS_SEARCH_LIMIT 8u /* ranges looked at where not every one is long enough */

_Static_assert(RANGE_PAGE_LIMIT == 1ull << (CLASS_COUNT - 1),
	       "the largest class holds the whole area");

static struct meta_array tag_pages = {.base = LAYOUT_META_VMAP};
static uint32_t top = 1;		 /* pages from here on have never been used */
static uint32_t free_lists[CLASS_COUNT]; /* class c: lengths from 2^c to 2^(c+1) - 1 */
static uint32_t free_classes;		 /* bit c: list c is not empty */

/* Called once, at boot. -XEN_ENOMEM. */
int range_init(void)
{
	return meta_reserve(&tag_pages, (top + 1) * sizeof(struct tag));
}

/* Pages from here on are in no range. */
uint32_t range_top(void)
{
	return top;
}

static unsigned class_of(uint32_t length)
{
	return 31u - (unsigned)__builtin_clz(length);
}

/* Makes the pages from first on a range of their own. Its tags said nothing, or the same extent. */
void range_set(uint32_t first, uint32_t length, enum range_state state)
{
	uint32_t last = first + length - 1;

	*range_tag(last) =
	    (struct tag){.length = length, .state = (uint8_t)state, .ends = TAG_LAST};
	*range_tag(first) = (struct tag){.length = length,
					 .state = (uint8_t)state,
					 .ends = first == last ? TAG_FIRST | TAG_LAST : TAG_FIRST};
}

/* Changes the state of a range and nothing else. */
void range_set_state(uint32_t first, enum range_state state)
{
	range_tag(first)->state = (uint8_t)state;
	range_tag(first + range_tag(first)->length - 1)->state = (uint8_t)state;
}

/* Makes the tags of a range's ends mean nothing, before it becomes part of a larger one. */
void range_clear(uint32_t first, uint32_t length)
{
	*range_tag(first) = (struct tag){0};
	*range_tag(first + length - 1) = (struct tag){0};
}

static void list_insert(uint32_t first)
{
	struct tag *tag = range_tag(first);
	unsigned bin = class_of(tag->length);

	tag->prev = RANGE_NO_PAGE;
	tag->next = free_lists[bin];
	if (tag->next != RANGE_NO_PAGE)
		range_tag(tag->next)->prev = first;
	free_lists[bin] = first;
	free_classes |= 1u << bin;
}

static void list_remove(uint32_t first)
{
	struct tag *tag = range_tag(first);
	unsigned bin = class_of(tag->length);

	if (tag->prev != RANGE_NO_PAGE)
		range_tag(tag->prev)->next = tag->next;
	else
		free_lists[bin] = tag->next;
	if (tag->next != RANGE_NO_PAGE)
		range_tag(tag->next)->prev = tag->prev;
	if (free_lists[bin] == RANGE_NO_PAGE)
		free_classes &= ~(1u << bin);
}

/* Frees a range that is in no list, joined with free neighbours. */
void range_free(uint32_t first, uint32_t length)
{
	struct tag *below = range_tag(first - 1), *above = range_tag(first + length);

	range_clear(first, length);
	if (first > 1 && below->state == RANGE_FREE && below->ends & TAG_LAST) {
		uint32_t below_length = below->length;

		list_remove(first - below_length);
		range_clear(first - below_length, below_length);
		first -= below_length;
		length += below_length;
	}
	if (first + length < top && above->state == RANGE_FREE && above->ends & TAG_FIRST) {
		uint32_t above_first = first + length, above_length = above->length;

		list_remove(above_first);
		range_clear(above_first, above_length);
		length += above_length;
	}
	range_set(first, length, RANGE_FREE);
	list_insert(first);
}

/* A free range of at least length pages, or RANGE_NO_PAGE. Looks at a bounded number of them. */
static uint32_t range_find(uint32_t length)
{
	unsigned bin = class_of(length);
	unsigned enough = bin + ((length & (length - 1)) != 0);
	uint32_t candidate = free_lists[bin];

	for (unsigned n = 0; enough > bin && n < CLASS_SEARCH_LIMIT && candidate; n++) {
		if (range_tag(candidate)->length >= length)
			return candidate;
		candidate = range_tag(candidate)->next;
	}
	uint32_t classes = enough < CLASS_COUNT ? free_classes >> enough << enough : 0;
	return classes ? free_lists[__builtin_ctz(classes)] : RANGE_NO_PAGE;
}

/*
 * Takes a range of length pages, busy, new ones at the top if no free range is long enough.
 * -XEN_ENOMEM: no addresses, or no page for tags; nothing has changed.
 */
int range_take(uint32_t length, uint32_t *out)
{
	uint32_t first = range_find(length);

	if (first != RANGE_NO_PAGE) {
		uint32_t rest = range_tag(first)->length - length;

		list_remove(first);
		range_clear(first, length + rest);
		if (rest) {
			range_set(first + length, rest, RANGE_FREE);
			list_insert(first + length);
		}
	} else {
		/* One tag more than pages in use, so that the neighbour above can be looked at. */
		if (length > RANGE_PAGE_LIMIT - top)
			return -XEN_ENOMEM;
		int rc =
		    meta_reserve(&tag_pages, ((uint64_t)top + length + 1) * sizeof(struct tag));
		if (rc)
			return rc;
		first = top;
		top += length;
	}
	range_set(first, length, RANGE_BUSY);
	*out = first;
	return 0;
}

/* First page of the range that a page lies in. By the tags next to it, else by looking backwards.
 */
uint32_t range_of(uint32_t page, uint32_t end)
{
	if (end < top && range_tag(end)->ends & TAG_LAST && range_tag(end)->length <= end)
		return end + 1 - range_tag(end)->length;
	while (page && !(range_tag(page)->ends & TAG_FIRST))
		page--;
	return page;
}
