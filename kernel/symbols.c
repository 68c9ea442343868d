/*
 * Names of functions, for backtraces.
 *
 * The table is read-only data that the second link adds (tools/symbols): in the first there is
 * none, so that its symbol is weak. No lock; usable in a panic.
 */
#include "kernel/symbols.h"
#include "layout.h"

/*
 * The function of the table that contains an address, and how far into it the address lies; NULL if
 * the address is in no function.
 */
const char *symbols_find(const struct symbol_table *table, uint64_t address, uint64_t *offset)
{
	if (!table || !table->count || address < LAYOUT_IMAGE)
		return NULL;
	uint64_t wanted = address - LAYOUT_IMAGE;
	if (wanted >= table->end || wanted < table->entries[0].offset)
		return NULL;
	/* Always entries[low].offset <= wanted < entries[high].offset. */
	uint32_t low = 0, high = table->count;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (table->entries[middle].offset <= wanted)
			low = middle;
		else
			high = middle;
	}
	*offset = wanted - table->entries[low].offset;
	return (const char *)&table->entries[table->count] + table->entries[low].name;
}

#ifndef KEYHOLE_HOST_TEST
extern const struct symbol_table symbol_table __attribute__((weak));

/* The same in the image's own table. */
const char *symbols_name(uint64_t address, uint64_t *offset)
{
	return symbols_find(&symbol_table, address, offset);
}
#endif
