/* The vmap area: virtually contiguous memory of single frames. The interface of mm/vmap.c. */
#ifndef KEYHOLE_MM_VMAP_H
#define KEYHOLE_MM_VMAP_H

#include "types.h"

int vmap_init(void) must_use;
/* page_count zeroed pages, guard pages on both sides. */
int vmap_alloc(size_t page_count, void **out) must_use;
/* Device registers: length bytes from a physical address, uncached; *out has the same page offset.
 */
int vmap_map_device(paddr_t start, size_t length, void **out) must_use;
/* Gives back a whole area (its first address). */
void vmap_free(void *start);
/* Gives back page_count pages of an area from any page of it: head, tail or middle; the rest stays.
 */
int vmap_free_part(void *start, size_t page_count) must_use;

/* Whether an area begins in the page of address; its size, and the mark its user put on it (0 at
 * first). Safe for any address. */
bool vmap_find(const void *address, size_t *page_count, uint32_t *mark);
void vmap_set_mark(void *start, uint32_t mark);

struct vmap_stats {
	uint64_t areas, pages;
};
void vmap_get_stats(struct vmap_stats *out);

#endif
