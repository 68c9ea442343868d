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
#include "mm/direct_map.h"
#include "mm/pte.h"
#include "mutant.h"
#include "percpu.h"
#include "print.h"

#define WINDOW_FLAGS	(PTE_P | PTE_A | PTE_NX)
#define WINDOW_FLAGS_RW (WINDOW_FLAGS | PTE_RW | PTE_D)

_Static_assert(WINDOW_SLOT_COUNT <= 63,
	       "window_open_mask has a bit for each slot and one for 2 MiB");
#define WINDOW_2M_BIT (1ull << 63)

static uint64_t private_base(void)
{
	return LAYOUT_PRIVATE + cpu_index() * LAYOUT_PRIVATE_SIZE;
}

/* Where a slot of this CPU appears; fixed for each CPU. */
uint64_t window_slot_address(enum window_slot slot)
{
	return this_cpu()->window_base + (uint64_t)slot * PAGE_SIZE;
}

static void *open_slot(enum window_slot slot, mfn_t frame, uint64_t flags)
{
	struct cpu_private *cpu = this_cpu();
	uint64_t bit = 1ull << slot;

	if (DIRECT_MAP)
		return direct_map_at(frame);
	if (unlikely(cpu->window_open_mask & bit))
		panic("window slot %d opened twice", (int)slot);
	cpu->window_open_mask |= bit;
	pte_store(&cpu->window_ptes[slot], pte_make(frame, flags));
	/* The entry was not present: no stale translation, nothing to flush; keep the compiler's
	 * order. */
	__asm__ volatile("" ::: "memory");
	return (void *)(cpu->window_base + (uint64_t)slot * PAGE_SIZE);
}

/* Opens a slot on a frame, writable. The pointer is valid on this CPU until window_close(). */
void *window_open(enum window_slot slot, mfn_t frame)
{
	return open_slot(slot, frame, WINDOW_FLAGS_RW);
}

/* The same, read-only: a write through it is a fault. */
const void *window_open_readonly(enum window_slot slot, mfn_t frame)
{
	return open_slot(slot, frame, WINDOW_FLAGS);
}

/* Closes a slot; the address faults from here on. */
void window_close(enum window_slot slot)
{
	struct cpu_private *cpu = this_cpu();

	if (DIRECT_MAP)
		return;
	__asm__ volatile("" ::: "memory");
	pte_store(&cpu->window_ptes[slot], 0);
	if (!MUTANT(NO_INVLPG) && !(MUTANT(NO_INVLPG_ONCE) && slot == WINDOW_TEST))
		invlpg(cpu->window_base + (uint64_t)slot * PAGE_SIZE);
	cpu->window_open_mask &= ~(1ull << slot);
}

/* Copies length bytes out of one frame from offset on. Uses WINDOW_SOURCE. */
void window_read(void *to, mfn_t from, uint32_t offset, size_t length)
{
	assert_always(offset + length <= PAGE_SIZE);
	const char *p = window_open_readonly(WINDOW_SOURCE, from);
	__builtin_memcpy(to, p + offset, length);
	window_close(WINDOW_SOURCE);
}

/* Copies length bytes into one frame from offset on. Uses WINDOW_TARGET. */
void window_write(mfn_t to, uint32_t offset, const void *from, size_t length)
{
	assert_always(offset + length <= PAGE_SIZE);
	char *p = window_open(WINDOW_TARGET, to);
	__builtin_memcpy(p + offset, from, length);
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
		uint64_t va = private_base() + PRIVATE_WINDOW_2M;

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
