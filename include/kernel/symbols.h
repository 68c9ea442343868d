/* Names of functions, for backtraces: a table made by tools/symbols. kernel/symbols.c. */
#ifndef KEYHOLE_KERNEL_SYMBOLS_H
#define KEYHOLE_KERNEL_SYMBOLS_H

#include "types.h"

/* In address order. A function ends where the next one begins. */
struct symbol_entry {
	uint32_t offset; /* of its address, from LAYOUT_IMAGE */
	uint32_t name;	 /* of its name, from the end of the entries */
};

struct symbol_table {
	uint32_t count;
	uint32_t end; /* of the text, from LAYOUT_IMAGE */
	struct symbol_entry entries[];
};
static_assert_size(struct symbol_table, 8);

const char *symbols_find(const struct symbol_table *table, uint64_t address, uint64_t *offset);
const char *symbols_name(uint64_t address, uint64_t *offset);

#endif
