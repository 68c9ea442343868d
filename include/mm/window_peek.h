/*
 * Short looks through one slot of the map window, inlined where a walk takes several in a row: the
 * slot is claimed once, and each look is a store, the read, and an INVLPG, after a store of zero or
 * of the next page. What is looked at often can be kept as the slot will show it. The rules are
 * those of window.h; so is the state (mm/window.c).
 */
#ifndef KEYHOLE_MM_WINDOW_PEEK_H
#define KEYHOLE_MM_WINDOW_PEEK_H

#include "mm/window.h"

#ifdef KEYHOLE_HOST_TEST
/* Against a fake window: through its functions. */
struct window_peek {
	enum window_slot slot;
};
struct window_view {
	mfn_t frame;
	bool writable;
};
static inline struct window_view window_view(paddr_t page)
{
	return (struct window_view){paddr_to_mfn(page), false};
}
static inline struct window_view window_view_writable(mfn_t frame)
{
	return (struct window_view){frame, true};
}
static inline struct window_peek window_peek_begin(enum window_slot slot)
{
	return (struct window_peek){slot};
}
static inline char *window_peek_open(const struct window_peek *w, struct window_view view)
{
	return view.writable ? window_open(w->slot, view.frame)
			     : (char *)(uintptr_t)window_open_readonly(w->slot, view.frame);
}
static inline void window_peek_close(const struct window_peek *w)
{
	window_close(w->slot);
}
static inline char *window_peek_turn(const struct window_peek *w, struct window_view view)
{
	window_peek_close(w);
	return window_peek_open(w, view);
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

/* A frame as a slot is to show it: the slot's entry, or, with a direct map, an address. */
struct window_view {
	uint64_t pte;
};

/* Read-only, at a page-aligned address: it has none of these bits, so that the caller may have it
 * as a sum too. */
static inline struct window_view window_view(paddr_t page)
{
	return (struct window_view){DIRECT_MAP ? (uint64_t)direct_map_at(paddr_to_mfn(page))
					       : paddr_raw(page) + WINDOW_FLAGS};
}

static inline struct window_view window_view_writable(mfn_t frame)
{
	return (struct window_view){DIRECT_MAP ? (uint64_t)direct_map_at(frame)
					       : pte_make(frame, WINDOW_FLAGS_RW)};
}

/* Claims a slot, which is closed now. */
static inline struct window_peek window_peek_begin(enum window_slot slot)
{
	struct cpu_private *cpu = this_cpu();
	uint64_t va = cpu->window_base + (uint64_t)slot * PAGE_SIZE;

	window_claim(cpu, slot);
	__asm__("" : "+r"(va)); /* in one register, not in two and a sum */
	return (struct window_peek){cpu, &cpu->window_ptes[slot], va, slot};
}

/* Opens it; good until window_peek_close() or window_peek_turn(). */
static inline char *window_peek_open(const struct window_peek *w, struct window_view view)
{
	if (DIRECT_MAP)
		return (char *)view.pte;
	pte_store(w->pte, view.pte);
	__asm__ volatile("" ::: "memory");
	return (char *)w->va;
}

/* Closes what is open, and opens it on another frame. */
static inline char *window_peek_turn(const struct window_peek *w, struct window_view view)
{
	__asm__ volatile("" ::: "memory");
	if (DIRECT_MAP)
		return (char *)view.pte;
	pte_store(w->pte, view.pte);
	if (!MUTANT(NO_INVLPG))
		invlpg(w->va);
	return (char *)w->va;
}

static inline void window_peek_close(const struct window_peek *w)
{
	(void)window_peek_turn(w, (struct window_view){0});
}

/* Gives the slot back, closed. */
static inline void window_peek_end(const struct window_peek *w)
{
	window_release(w->cpu, w->slot);
}
#endif

#endif
