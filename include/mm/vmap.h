/* The vmap area: virtually contiguous memory of single frames. The interface of mm/vmap.c. */
#ifndef KEYHOLE_MM_VMAP_H
#define KEYHOLE_MM_VMAP_H

#include "types.h"

int vmap_init(void) must_use;
/*
 * Maps page_count zeroed pages of the hypervisor's own, with a guard page on either side.
 * -XEN_ENOMEM: no frames, page tables or addresses; nothing has changed, though frames already
 * taken are free only after an epoch. -XEN_EINVAL: no pages.
 */
int vmap_alloc(size_t page_count, void **out) must_use;
/*
 * Device registers: length bytes from a physical address on, uncached; *out points to the first of
 * them. -XEN_EINVAL: no length, beyond the physical address space, or RAM, which must never be
 * reachable here.
 */
int vmap_map_device(paddr_t start, size_t length, void **out) must_use;
/* Gives back the whole area that begins in the page of start. Panics if there is none, or if it is
 * given back already. */
void vmap_free(void *start);
/*
 * Gives back page_count pages of an area, from start on: its head, its tail, its middle, which
 * makes two areas of it, or all. The frames are free and the addresses usable again after an epoch.
 * The caller has no pointer there any more. -XEN_EINVAL: the pages do not lie within one area.
 */
int vmap_free_part(void *start, size_t page_count) must_use;

/* Whether an area begins in the page of address, which may be any; if so, its size in pages without
 * guards, and the mark its user put on it (0 at first). */
bool vmap_find(const void *address, size_t *page_count, uint32_t *mark);
void vmap_set_mark(void *start, uint32_t mark);

struct vmap_stats {
	uint64_t areas, pages;
};
void vmap_get_stats(struct vmap_stats *out);

#endif
