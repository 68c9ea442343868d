/*
 * The map window.
 *
 * State: one page-table page of this CPU and the entry of its 2 MiB slot, both reached through the
 * private range; this_cpu()->window_open_mask. No lock: no other CPU can reach it. NMI and
 * machine-check code has slots of its own, so that it may run between any two instructions here.
 *
 * Closing stores zero and executes INVLPG: without it the translation stays in the TLB, and what it
 * leads to stays readable, until something happens to flush it.
 */
#include "mm/window.h"
#include "cpu.h"
#include "mem.h"
#include "mm/direct_map.h"
#include "mm/private.h"
#include "mm/pte.h"
#include "mm/window_claim.h"
#include "mutant.h"
#include "percpu.h"
#include "print.h"

_Static_assert(WINDOW_SLOT_COUNT <= 63,
	       "window_open_mask has a bit for each slot and one for 2 MiB");
#define WINDOW_2M_BIT (1ull << 63)

/* Where a slot of this CPU appears; fixed for each CPU. */
uint64_t window_slot_address(enum window_slot slot)
{
	return this_cpu()->window_base + (uint64_t)slot * PAGE_SIZE;
}

#ifdef CONFIG_DIRECT_MAP
/* In the comparator an addition leads there. */
void *window_open(enum window_slot slot, mfn_t frame)
{
	(void)slot;
	return direct_map_at(frame);
}

const void *window_open_readonly(enum window_slot slot, mfn_t frame)
{
	(void)slot;
	return direct_map_at(frame);
}

void window_close(enum window_slot slot)
{
	(void)slot;
}
#endif

noreturn_fn void window_opened_twice(unsigned slot)
{
	panic("window slot %d opened twice", (int)slot);
}

/* Copies length bytes out of one frame from offset on. Uses WINDOW_SOURCE. */
void window_read(void *to, mfn_t from, uint32_t offset, size_t length)
{
	assert_always(offset + length <= PAGE_SIZE);
	const char *p = window_open_readonly(WINDOW_SOURCE, from);
	copy_words(to, p + offset, length);
	window_close(WINDOW_SOURCE);
}

/* Copies length bytes into one frame from offset on. Uses WINDOW_TARGET. */
void window_write(mfn_t to, uint32_t offset, const void *from, size_t length)
{
	assert_always(offset + length <= PAGE_SIZE);
	char *p = window_open(WINDOW_TARGET, to);
	copy_words(p + offset, from, length);
	window_close(WINDOW_TARGET);
}

/* Copies between two frames, or within one where the ranges do not overlap. Uses both copy slots.
 */
void window_copy(mfn_t to, uint32_t to_offset, mfn_t from, uint32_t from_offset, size_t length)
{
	assert_always(to_offset + length <= PAGE_SIZE);
	const char *source = window_open_readonly(WINDOW_SOURCE, from);
	window_write(to, to_offset, source + from_offset, length);
	window_close(WINDOW_SOURCE);
}

/* Clears 2^order frames, aligned to their size: 2 MiB at a time where that is the size, else by
 * page. */
void window_scrub(mfn_t first, unsigned order)
{
	struct cpu_private *cpu = this_cpu();

	if (DIRECT_MAP) {
		clear_qwords(direct_map_at(first), (PAGE_SIZE / 8) << order);
		return;
	}
	if (order < 9) {
		for (uint64_t i = 0; i < 1ull << order; i++) {
			void *p = window_open(WINDOW_SCRUB, mfn_add(first, i));
			clear_qwords(p, PAGE_SIZE / 8);
			window_close(WINDOW_SCRUB);
		}
		return;
	}
	assert_always(!(cpu->window_open_mask & WINDOW_2M_BIT));
	cpu->window_open_mask |= WINDOW_2M_BIT;
	for (uint64_t i = 0; i < 1ull << (order - 9); i++) {
		uint64_t va = private_base_of(cpu_index()) + PRIVATE_WINDOW_2M;

		pte_store(cpu->window_pd_2m,
			  pte_make(mfn_add(first, i * FRAMES_PER_2M), WINDOW_FLAGS_RW | PTE_PS));
		clear_qwords((void *)va, PAGE_2M_SIZE / 8);
		pte_store(cpu->window_pd_2m, 0);
		invlpg(va);
	}
	cpu->window_open_mask &= ~WINDOW_2M_BIT;
}

/* Copies physical memory of any length and alignment, page by page: firmware tables, the loader's
 * data. */
void window_read_phys(void *to, paddr_t from, size_t length)
{
	char *out = to;

	while (length) {
		size_t part = PAGE_SIZE - paddr_offset(from);
		if (part > length)
			part = length;
		window_read(out, paddr_to_mfn(from), paddr_offset(from), part);
		out += part;
		from = paddr_add(from, part);
		length -= part;
	}
}

/* Fills physical memory with zeros, exactly these bytes: what the loader left, before it is freed.
 */
void window_clear_phys(paddr_t start, size_t length)
{
	while (length) {
		size_t part = PAGE_SIZE - paddr_offset(start);
		if (part > length)
			part = length;
		char *p = window_open(WINDOW_TARGET, paddr_to_mfn(start));
		__builtin_memset(p + paddr_offset(start), 0, part);
		window_close(WINDOW_TARGET);
		start = paddr_add(start, part);
		length -= part;
	}
}
