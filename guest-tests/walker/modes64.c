/*
 * walker: 4-level paging, with pages of 4K, 2M and 1G.
 */
#include "walker.h"

#ifdef __x86_64__
#define RESERVED_LARGE (1ull << 13) /* between the PAT bit and the address of a large page */

/* An address bit that the CPU does not have, or 0. */
static uint64_t beyond_physical(void)
{
	unsigned bits = cpuid(0x80000008, 0).eax & 0xff;

	return bits < 52 ? 1ull << 51 : 0;
}

static void place_64(struct place *p, const char *name, unsigned long address, unsigned leaf_level)
{
	uint64_t size = 1ull << (12 + 9 * (leaf_level - 1));
	uint64_t base = (TARGET_BASE + TARGET_OFFSET) & ~(size - 1);

	*p = (struct place){.name = name, .wide = true, .has_nx = true};
	p->address = address + (TARGET_BASE + TARGET_OFFSET - base);
	p->physical = TARGET_BASE + TARGET_OFFSET;
	p->count = 5 - leaf_level;
	/* The entry of the leaf's level makes the tables above it. */
	*paging_entry(p->address, leaf_level) = base | (leaf_level > 1 ? FLAG_PS : 0);
	for (unsigned i = 0; i < p->count; i++) {
		uint64_t *entry = paging_entry(p->address, 4 - i);

		p->entry[i] = entry;
		p->value[i] = *entry & (PTE_ADDRESS | FLAG_PS);
	}
	p->reserved_leaf = leaf_level > 1 ? RESERVED_LARGE : beyond_physical();
	p->reserved_parent = beyond_physical();
}

unsigned long user_code_address(void)
{
	return USER_CODE_64;
}

const char *mode_enter(unsigned n, const void *user_code, struct place *places, unsigned *count)
{
	if (n > 0)
		return NULL;
	paging_map(USER_CODE_64, (uintptr_t)user_code, PTE_U);
	place_64(&places[0], "4K page", PAGING_FREE + 0x123456000ull, 1);
	place_64(&places[1], "2M page", PAGING_FREE + 0x240000000ull, 2);
	*count = 2;
	if (cpuid(0x80000001, 0).edx >> 26 & 1)
		place_64(&places[(*count)++], "1G page", PAGING_FREE + 0x380000000ull, 3);
	return "4-level";
}
#endif
