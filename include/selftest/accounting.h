/* Whether all memory came back: selftest/accounting.c. */
#ifndef KEYHOLE_SELFTEST_ACCOUNTING_H
#define KEYHOLE_SELFTEST_ACCOUNTING_H

#include "../types.h"

struct accounting {
	uint64_t free; /* frames, and those that mm/ keeps for itself */
	uint64_t used; /* all others */
	uint64_t of_guests;
	uint64_t vmap_pages;
	uint64_t ept_tables;
};

void accounting_take(struct accounting *out);
bool accounting_equal(const struct accounting *before, bool quiet);

#endif
