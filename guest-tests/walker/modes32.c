/*
 * walker: 32-bit paging with pages of 4K and 4M, and PAE paging with pages of 4K and 2M. The
 * kernel's own memory, the first 8 MiB, is mapped one to one by large pages for supervisors.
 */
#include "walker.h"

#ifdef __i386__
#define PLACE_4K    0xc0000000ul
#define PLACE_LARGE 0xc0800000ul
#define SUPERVISOR  (FLAG_P | FLAG_W)
#define ALL	    (FLAG_P | FLAG_W | FLAG_U)
#define RESERVED_4M (1ull << 21) /* of an entry for a 4M page: above the address bits 39 to 32 */
#define RESERVED_2M (1ull << 13)

unsigned long user_code_address(void)
{
	return USER_CODE_32;
}

static void enable_paging(unsigned long root, unsigned long cr4_bits)
{
	write_cr0(read_cr0() & ~CR0_PG);
	write_cr4((read_cr4() & ~(CR4_PAE | CR4_PSE)) | cr4_bits);
	write_cr3(root);
	write_cr0(read_cr0() | CR0_PG | CR0_WP);
}

static uint32_t address_of(const void *table)
{
	return (uint32_t)(uintptr_t)table;
}

static const char *enter_32bit(const void *user_code, struct place *places, unsigned *count)
{
	uint32_t *directory = page_alloc(), *table = page_alloc(), *user_table = page_alloc();

	for (uint32_t i = 0; i < 2; i++)
		directory[i] = i << 22 | (uint32_t)(FLAG_PS | SUPERVISOR);
	directory[PLACE_4K >> 22] = address_of(table) | (uint32_t)ALL;
	directory[USER_CODE_32 >> 22] = address_of(user_table) | (uint32_t)ALL;
	user_table[0] = address_of(user_code) | (uint32_t)(FLAG_P | FLAG_U);

	places[0] = (struct place){
	    .name = "4K page",
	    .address = PLACE_4K + 0x7000,
	    .physical = TARGET_BASE + TARGET_OFFSET,
	    .count = 2,
	    .entry = {&directory[PLACE_4K >> 22], &table[7]},
	    .value = {address_of(table), TARGET_BASE + TARGET_OFFSET},
	};
	places[1] = (struct place){
	    .name = "4M page",
	    .address = PLACE_LARGE + (uint32_t)TARGET_OFFSET,
	    .physical = TARGET_BASE + TARGET_OFFSET,
	    .count = 1,
	    .entry = {&directory[PLACE_LARGE >> 22]},
	    .value = {TARGET_BASE | FLAG_PS},
	    .reserved_leaf = RESERVED_4M,
	};
	*count = 2;
	enable_paging(address_of(directory), CR4_PSE);
	return "32-bit";
}

static const char *enter_pae(const void *user_code, struct place *places, unsigned *count)
{
	uint64_t *pointers = page_alloc(), *low = page_alloc(), *high = page_alloc();
	uint64_t *table = page_alloc(), *user_table = page_alloc();
	unsigned at_4k = PLACE_4K >> 21 & 511, at_large = PLACE_LARGE >> 21 & 511;
	uint64_t beyond = (cpuid(0x80000008, 0).eax & 0xff) < 52 ? 1ull << 51 : 0;

	pointers[0] = address_of(low) | FLAG_P;
	pointers[3] = address_of(high) | FLAG_P;
	for (uint32_t i = 0; i < 4; i++)
		low[i] = i << 21 | FLAG_PS | SUPERVISOR;
	high[at_4k] = address_of(table) | ALL;
	high[USER_CODE_32 >> 21 & 511] = address_of(user_table) | ALL;
	user_table[0] = address_of(user_code) | FLAG_P | FLAG_U;

	places[0] = (struct place){
	    .name = "4K page",
	    .address = PLACE_4K + 0x7000,
	    .physical = TARGET_BASE + TARGET_OFFSET,
	    .count = 2,
	    .wide = true,
	    .has_nx = true,
	    .entry = {&high[at_4k], &table[7]},
	    .value = {address_of(table), TARGET_BASE + TARGET_OFFSET},
	    .reserved_leaf = beyond,
	    .reserved_parent = beyond,
	};
	places[1] = (struct place){
	    .name = "2M page",
	    .address = PLACE_LARGE + (uint32_t)TARGET_OFFSET,
	    .physical = TARGET_BASE + TARGET_OFFSET,
	    .count = 1,
	    .wide = true,
	    .has_nx = true,
	    .entry = {&high[at_large]},
	    .value = {TARGET_BASE | FLAG_PS},
	    .reserved_leaf = RESERVED_2M,
	};
	*count = 2;
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	enable_paging(address_of(pointers), CR4_PAE);
	return "PAE";
}

const char *mode_enter(unsigned n, const void *user_code, struct place *places, unsigned *count)
{
	switch (n) {
	case 0:
		return enter_32bit(user_code, places, count);
	case 1:
		return enter_pae(user_code, places, count);
	}
	return NULL;
}
#endif
