/* Ranges of pages of the vmap area: between mm/range.c and mm/vmap.c. */
#ifndef KEYHOLE_MM_RANGE_H
#define KEYHOLE_MM_RANGE_H

#include "layout.h"
#include "types.h"

#define RANGE_PAGE_LIMIT (LAYOUT_VMAP_AREAS_SIZE / PAGE_SIZE)
#define RANGE_NO_PAGE	 0u /* the area's first page is a guard for ever */

enum range_state {
	RANGE_NONE, /* the page begins or ends no range */
	RANGE_FREE,
	RANGE_BUSY, /* being mapped, or unmapped */
	RANGE_MEMORY,
	RANGE_DEVICE,
	RANGE_PENDING /* unmapped; other CPUs may still have translations */
};

#define TAG_FIRST 1u
#define TAG_LAST  2u

/* Of a page: it says something only where a range begins or ends. */
struct tag {
	uint32_t length; /* pages of the range */
	uint8_t state;	 /* enum range_state */
	uint8_t ends;	 /* TAG_FIRST, TAG_LAST */
	uint16_t padding;
	uint32_t next; /* in the first tag: of a list of ranges; in use: the user's mark */
	uint32_t prev;
};
static_assert_size(struct tag, 16);

/* Of a page below range_top(). */
static inline struct tag *range_tag(uint64_t page)
{
	return (struct tag *)LAYOUT_META_VMAP + page;
}

int range_init(void) must_use;
uint32_t range_top(void);
void range_set(uint32_t first, uint32_t length, enum range_state state);
void range_set_state(uint32_t first, enum range_state state);
void range_clear(uint32_t first, uint32_t length);
int range_take(uint32_t length, uint32_t *out) must_use;
void range_free(uint32_t first, uint32_t length);
uint32_t range_of(uint32_t page, uint32_t end);

#endif
