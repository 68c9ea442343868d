/* The heap: objects in size classes on the vmap area. The interface of mm/heap.c. */
#ifndef KEYHOLE_MM_HEAP_H
#define KEYHOLE_MM_HEAP_H

#include "types.h"

int heap_init(void) must_use;
/* A zeroed object, aligned to 16 bytes (a whole page or more: to a page). Objects of different
 * owners never share a page. */
int heap_alloc(size_t size, domid_t owner, void **out) must_use;
void heap_free(void *object);

#endif
