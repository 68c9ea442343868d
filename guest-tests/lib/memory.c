/*
 * Pages, page tables, and what the compiler expects of a C library.
 * State: how many of the spare pages are given out; the page tables.
 */
#include "guest.h"

#define SPARE_PAGES 192

static uint8_t spare[SPARE_PAGES][PAGE_SIZE] __attribute__((aligned(4096)));
static unsigned spare_used;

void *page_alloc(void)
{
	if (spare_used == SPARE_PAGES)
		tap_bail_out("all %u spare pages are used", SPARE_PAGES);
	return spare[spare_used++];
}

#ifdef __x86_64__
uint64_t *paging_entry(uint64_t address, unsigned level)
{
	uint64_t *table = page_table_root;

	for (unsigned at = 4; at > level; at--) {
		uint64_t *entry = &table[address >> (12 + 9 * (at - 1)) & 511];

		if (!(*entry & PTE_P))
			*entry = (uintptr_t)page_alloc() | PTE_P | PTE_W | PTE_U;
		table = (uint64_t *)(*entry & PTE_ADDRESS);
	}
	return &table[address >> (12 + 9 * (level - 1)) & 511];
}

void paging_map(uint64_t address, uint64_t physical, uint64_t flags)
{
	*paging_entry(address, 1) = physical | flags | PTE_P;
	invlpg((void *)address);
}

void paging_unmap(uint64_t address)
{
	*paging_entry(address, 1) = 0;
	invlpg((void *)address);
}
#endif

void *memset(void *to, int byte, size_t length)
{
	void *p = to;

	__asm__ volatile("rep stosb" : "+D"(p), "+c"(length) : "a"(byte) : "memory");
	return to;
}

void *memcpy(void *to, const void *from, size_t length)
{
	void *p = to;

	__asm__ volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(length) : : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t length)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < length; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

size_t strlen(const char *text)
{
	size_t n = 0;

	while (text[n] != '\0')
		n++;
	return n;
}
