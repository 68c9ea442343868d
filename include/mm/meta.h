/*
 * Arrays that grow at a fixed address: where allocators keep their own records, so that none of
 * them needs the allocator it implements. The interface of mm/meta.c.
 */
#ifndef KEYHOLE_MM_META_H
#define KEYHOLE_MM_META_H

#include "types.h"

/* Owner and lock: the module that has it. */
struct meta_array {
	uint64_t base; /* LAYOUT_META_... */
	uint64_t page_count;
};

int meta_reserve(struct meta_array *array, uint64_t length_bytes) must_use;

static inline uint64_t meta_length(const struct meta_array *array)
{
	return array->page_count * PAGE_SIZE;
}

#endif
