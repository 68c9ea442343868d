/* The heap: objects in size classes on the vmap area. The interface of mm/heap.c. */
#ifndef KEYHOLE_MM_HEAP_H
#define KEYHOLE_MM_HEAP_H

#include "types.h"

int heap_init(void) must_use;
/* Zeros of size_bytes, aligned to 16 bytes, above 2048 bytes to a page. Objects of different owners
 * never share a page. -XEN_EINVAL: no size; -XEN_ENOMEM: no memory, nothing has changed. */
int heap_alloc(size_t size, domid_t owner, void **out) must_use;
void heap_free(void *object);
/*
 * Whether a slab or an object of whole pages begins in the page at this address, which may be any;
 * how many pages it has, and its owner (DOMID_HYPERVISOR for whole pages, of which none is
 * recorded).
 */
bool heap_find_page(const void *page, size_t *page_count, domid_t *owner);

#endif
