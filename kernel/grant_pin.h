/*
 * Pinning and unpinning a reference, the short ways, inlined into the loops over a batch: nothing
 * else is mapped through it, its owner leaves it alone meanwhile, and it leads into the leaf of the
 * owner's RAM that was used last. Everything else is in kernel/grant_entry.c, which also says what
 * an active word is.
 */
#ifndef KEYHOLE_KERNEL_GRANT_PIN_H
#define KEYHOLE_KERNEL_GRANT_PIN_H

#include "grant_internal.h"
#include "mm/frame.h"
#include "mutant.h"

#define ACTIVE_BUSY	     (1ull << 63)
#define ACTIVE_WRITERS_SHIFT 56
#define ACTIVE_WRITERS_MAX   0x7full
#define ACTIVE_READERS_SHIFT 48
#define ACTIVE_READERS_MAX   0xffull
#define ACTIVE_REVOKED	     (1ull << 47)
#define ACTIVE_MAPPER_SHIFT  32
#define ACTIVE_MAPPER_MASK   0x7fffull
#define ACTIVE_FRAME_MASK    0xffffffffull

_Static_assert(DOMAINS_MAX <= ACTIVE_MAPPER_MASK, "a mapper fits an active word");

#define ENTRY_GRANTEE_SHIFT 16
#define ENTRY_GRANTEE_MASK  0xffff0000u
_Static_assert(offsetof(struct grant_entry_v1, flags) == 0 &&
		   offsetof(struct grant_entry_v1, domid) == 2,
	       "flags and grantee are read as one word");

/* The active word of a reference with one mapping. */
static inline uint64_t active_single(domid_t mapper, bool readonly, mfn_t frame)
{
	return 1ull << (readonly ? ACTIVE_READERS_SHIFT : ACTIVE_WRITERS_SHIFT) |
	       (uint64_t)mapper << ACTIVE_MAPPER_SHIFT | mfn_raw(frame);
}

/* Takes the lock in an active word, if it is what is expected. */
static inline bool active_take(_Atomic uint64_t *word, uint64_t expected)
{
	return atomic_compare_exchange_strong_explicit(word, &expected, expected | ACTIVE_BUSY,
						       memory_order_acquire, memory_order_relaxed);
}

/* Gives it back, with a new state. */
static inline void active_set(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

/* Flags and grantee of an entry. */
static inline _Atomic uint32_t *entry_word(struct grant_entry_v1 *entry)
{
	return (_Atomic uint32_t *)(void *)entry;
}

/* What GTF_reading and GTF_writing a mapping stands for. */
static inline uint32_t entry_marks(bool readonly)
{
	return GTF_reading | (readonly ? 0 : GTF_writing);
}

/* Whether an entry, as it was seen, lets the mapper do it. */
static inline bool entry_permits(uint32_t seen, domid_t mapper, bool readonly)
{
	uint32_t matters =
	    ENTRY_GRANTEE_MASK | GTF_type_mask | GTF_sub_page | (readonly ? 0 : GTF_readonly);

	return ((seen ^ ((uint32_t)mapper << ENTRY_GRANTEE_SHIFT | GTF_permit_access)) & matters) ==
	       0;
}

/*
 * One more mapping of a reference, by mapper; *frame gets what it leads to, with a reference. The
 * session is that of a live granter. Errors (GNTST_), with nothing changed: bad_gntref: beyond the
 * table; general_error: another has it mapped, or the entry does not permit it; no_space: mapped
 * too often; bad_page: no RAM of the granter's own; eagain: the granter keeps changing the entry.
 */
always_inline_fn static inline int16_t grant_entry_pin(struct grant_session *s, uint32_t ref,
						       domid_t mapper, bool readonly, mfn_t *frame)
{
	uint64_t i = ref - s->first_ref;

	if (unlikely(i >= GRANT_ENTRIES_PER_FRAME)) {
		if (!grant_session_take_frame(s, ref))
			return GNTST_bad_gntref;
		i = ref % GRANT_ENTRIES_PER_FRAME;
	}
	_Atomic uint64_t *active = &s->active[i];
	if (unlikely(!active_take(active, 0)))
		return grant_entry_pin_again(s, ref, ACTIVE_BUSY, mapper, readonly, frame);

	struct grant_entry_v1 *entry = &s->entries[i];
	_Atomic uint32_t *word = entry_word(entry);
	uint32_t seen = atomic_load_explicit(word, memory_order_acquire);
	if (unlikely(!entry_permits(seen, mapper, readonly)) ||
	    unlikely(!atomic_compare_exchange_strong(word, &seen, seen | entry_marks(readonly))))
		return grant_entry_pin_again(s, ref, 0, mapper, readonly, frame);
	/* Read after the marks are there. */
	uint64_t offset = *(volatile uint32_t *)&entry->frame - s->first_gfn;
	if (unlikely(offset >= s->frame_count ||
		     s->generation != atomic_load(&s->granter->p2m.generation)))
		return grant_entry_pin_again(s, ref, 0, mapper, readonly, frame);
	*frame = mfn_add(s->first_frame, offset);
	if (unlikely(frame_get_present(*frame, (domid_t)s->granter_id, FRAME_GUEST_RAM)))
		return grant_entry_pin_again(s, ref, 0, mapper, readonly, frame);
	active_set(active, active_single(mapper, readonly, *frame));
	return GNTST_okay;
}

/* One mapping less, which was of mapper and frame. */
always_inline_fn static inline void grant_entry_unpin(struct grant_session *s, uint32_t ref,
						      domid_t mapper, bool readonly, mfn_t frame)
{
	uint64_t i = ref - s->first_ref;

	if (unlikely(i >= GRANT_ENTRIES_PER_FRAME)) {
		(void)grant_session_take_frame(s, ref); /* tables do not shrink */
		i = ref % GRANT_ENTRIES_PER_FRAME;
	}
	if (unlikely(!active_take(&s->active[i], active_single(mapper, readonly, frame)))) {
		grant_entry_unpin_again(s, ref, readonly);
		return;
	}
	if (!MUTANT(GRANT_FLAGS_KEPT))
		atomic_fetch_and(entry_word(&s->entries[i]),
				 ~(uint32_t)(GTF_reading | GTF_writing));
	active_set(&s->active[i], 0);
}

#endif
