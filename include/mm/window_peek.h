/*
 * Short looks through one slot of the map window, inlined where a walk takes several in a row: the
 * slot is claimed once, and each look is a store, the read, a store of zero and an INVLPG. The
 * rules are those of window.h; so is the state (mm/window.c).
 */
#ifndef KEYHOLE_MM_WINDOW_PEEK_H
#define KEYHOLE_MM_WINDOW_PEEK_H

#include "mm/window.h"

#ifdef KEYHOLE_HOST_TEST
/* Against a fake window: through its functions. */
struct window_peek {
	enum window_slot slot;
};
static inline struct window_peek window_peek_begin(enum window_slot slot)
{
	return (struct window_peek){slot};
}
static inline const char *window_peek_open(const struct window_peek *w, paddr_t frame)
{
	return window_open_readonly(w->slot, paddr_to_mfn(frame));
}
static inline void window_peek_close(const struct window_peek *w)
{
	window_close(w->slot);
}
static inline void window_peek_end(const struct window_peek *w)
{
	(void)w;
}
#else
#include "cpu.h"
#include "mm/direct_map.h"
#include "mm/pte.h"
#include "mm/window_claim.h"
#include "mutant.h"
#include "percpu.h"

struct window_peek {
	struct cpu_private *cpu; /* this one */
	uint64_t *pte;
	uint64_t va;
	enum window_slot slot;
};

/* Claims a slot, which is closed now. */
static inline struct window_peek window_peek_begin(enum window_slot slot)
{
	struct cpu_private *cpu = this_cpu();

	window_claim(cpu, slot);
	return (struct window_peek){cpu, &cpu->window_ptes[slot],
				    cpu->window_base + (uint64_t)slot * PAGE_SIZE, slot};
}

/* Opens it, read-only, on the frame at a page-aligned address; good until window_peek_close(). */
static inline const char *window_peek_open(const struct window_peek *w, paddr_t frame)
{
	if (DIRECT_MAP)
		return direct_map_at(paddr_to_mfn(frame));
	/* A sum, since the address has none of these bits: the caller may have it as one too. */
	pte_store(w->pte, paddr_raw(frame) + (PTE_P | PTE_A | PTE_NX));
	__asm__ volatile("" ::: "memory");
	return (const char *)w->va;
}

static inline void window_peek_close(const struct window_peek *w)
{
	if (DIRECT_MAP)
		return;
	__asm__ volatile("" ::: "memory");
	pte_store(w->pte, 0);
	if (!MUTANT(NO_INVLPG))
		invlpg(w->va);
}

/* Gives the slot back, closed. */
static inline void window_peek_end(const struct window_peek *w)
{
	window_release(w->cpu, w->slot);
}
#endif

#endif
