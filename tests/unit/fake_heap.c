/* The heap, for unit tests, from the C library's. */
#include "fake_heap.h"
#include "public/errno.h"
#include <stdlib.h>
#include <string.h>

#define OBJECT_ALIGN 64ul

_Atomic int fake_heap_objects;

int heap_alloc(size_t size, domid_t owner, void **out)
{
	(void)owner;
	if (fake_heap_fails())
		return -XEN_ENOMEM;
	size = (size + OBJECT_ALIGN - 1) & ~(OBJECT_ALIGN - 1);
	*out = aligned_alloc(OBJECT_ALIGN, size);
	memset(*out, 0, size);
	fake_heap_objects++;
	return 0;
}

void heap_free(void *object)
{
	fake_heap_objects -= object != NULL;
	free(object);
}
