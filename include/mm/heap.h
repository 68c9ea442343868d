/* The heap: objects in size classes on the vmap area. The interface of mm/heap.c. */
#ifndef KEYHOLE_MM_HEAP_H
#define KEYHOLE_MM_HEAP_H

#include "types.h"

int heap_init(void) must_use;
/* A zeroed object, aligned to 16 bytes (a whole page or more: to a page). Objects of different
 * owners never share a page. */
int heap_alloc(size_t size, domid_t owner, void **out) must_use;
void heap_free(void *object);
/* Whether the heap has begun something in the page at this address, and for whom. */
bool heap_find_page(const void *page, size_t *page_count, domid_t *owner);

#endif
