/*
 * Cached slots of the map window.
 *
 * State: entries WINDOW_CACHE_FIRST and up of this CPU's window table, and in its private data the
 * frame that each shows. No lock: no other CPU can reach it. Each frame has one slot where it can
 * stand, chosen by a hash: a look-up is one comparison, and a collision replaces. No slot is
 * referenced across a look, so that there is nothing to count.
 *
 * What may stay open, and until when. Only RAM of the domain whose vCPU is loaded here: nothing of
 * another domain, not even through a grant, for a slot's class is the frame's owner. A frame leaves
 * a domain only through its p2m, and that marks ENTRY_WORK_EPT_FLUSH on each CPU where the domain
 * is loaded; the slots are dropped there before the CPU passes the quiescent point for which the
 * frame's freeing waits. Unloading the vCPU drops them too.
 *
 * Whether it pays: docs/performance.md. A look through a fixed slot costs an INVLPG, one through a
 * cached slot costs none; what is open can be read by a stray pointer as long as that guest runs,
 * which is its own memory.
 */
#include "mm/window_cache.h"
#include "cpu.h"
#include "mm/pte.h"
#include "mm/window_claim.h"

#define CACHE_FLAGS (PTE_P | PTE_A | PTE_NX)

bool window_cache_enabled;

static uint64_t slot_address(const struct cpu_private *cpu, uint32_t slot)
{
	return cpu->window_base + (WINDOW_CACHE_FIRST + slot) * (uint64_t)PAGE_SIZE;
}

const char *window_cache_fill(struct cpu_private *cpu, mfn_t frame, uint32_t slot)
{
	uint64_t page = slot_address(cpu, slot);

	if (unlikely(!frame_is_present(frame, cpu->window_cache_state)))
		return NULL;
	pte_store(&cpu->window_ptes[WINDOW_CACHE_FIRST + slot], pte_make(frame, CACHE_FLAGS));
	if (window_set_bit(&cpu->window_cache_filled, slot))
		invlpg(page);
	cpu->window_cache_frame[slot] = mfn_raw(frame);
	__asm__ volatile("" ::: "memory");
	return (const char *)page;
}

void window_cache_drop(void)
{
	struct cpu_private *cpu = this_cpu();
	uint64_t filled = cpu->window_cache_filled;
	/* One CR3 reload is cheaper than several INVLPGs. */
	bool reload = filled & (filled - 1);

	__asm__ volatile("" ::: "memory");
	for (uint64_t left = filled; left; left &= left - 1) {
		uint32_t slot = (uint32_t)__builtin_ctzll(left);

		pte_store(&cpu->window_ptes[WINDOW_CACHE_FIRST + slot], 0);
		/* 0 is no frame of RAM that a domain can own. */
		cpu->window_cache_frame[slot] = 0;
		if (!reload)
			invlpg(slot_address(cpu, slot));
	}
	/* The private range's translations are not global: this drops them all. */
	if (reload)
		write_cr3(read_cr3());
	cpu->window_cache_filled = 0;
}

void window_cache_set_state(uint64_t state)
{
	window_cache_drop();
	this_cpu()->window_cache_state = state;
}

uint32_t window_cache_errors(void)
{
	struct cpu_private *cpu = this_cpu();
	uint32_t errors = 0;

	for (uint64_t left = cpu->window_cache_filled; left; left &= left - 1) {
		mfn_t frame = make_mfn(cpu->window_cache_frame[__builtin_ctzll(left)]);

		errors += !window_cache_on() || !frame_info(frame) ||
			  !frame_is_present(frame, cpu->window_cache_state);
	}
	return errors;
}
