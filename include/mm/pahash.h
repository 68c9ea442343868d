/* PA->VA hash: where a persistently mapped frame is mapped. The interface of mm/pahash.c. */
#ifndef KEYHOLE_MM_PAHASH_H
#define KEYHOLE_MM_PAHASH_H

#include "layout.h"
#include "types.h"
#include <stdatomic.h>

int pahash_init(uint64_t hash_key) must_use;
/* va is page aligned; -XEN_ENOMEM when no place is found, -XEN_EEXIST when the frame is there. */
int pahash_insert(mfn_t frame, uint64_t va) must_use;
void pahash_remove(mfn_t frame);
#define PAHASH_FRAME_BITS 32
#define PAHASH_FRAME_MASK 0xffffffffull

struct pahash_table {
	uint64_t mask;	 /* words - 1; words is a power of two */
	uint64_t key[2]; /* random, odd */
	uint64_t padding[5];
	_Atomic uint64_t words[]; /* in buckets of one cache line; what they hold: mm/pahash.c */
};
_Static_assert(offsetof(struct pahash_table, words) == 64, "buckets are cache lines");

extern _Atomic(struct pahash_table *) pahash_current;

/*
 * Two independent halves, 32 bits each. One product alone would not do: it maps runs and strides of
 * frames to runs and strides of words, which under some keys pile up in a few buckets; nor would
 * both halves of one product folded together (one key of a hundred).
 */
static inline uint64_t pahash_hash(const struct pahash_table *t, mfn_t frame)
{
	uint64_t product = mfn_raw(frame) * t->key[0];

	return (product ^ product >> 32) * t->key[1];
}

static inline bool pahash_is_frame(uint64_t word, mfn_t frame)
{
	return (word & PAHASH_FRAME_MASK) == mfn_raw(frame) && word;
}

static inline uint64_t pahash_word_va(uint64_t word)
{
	return LAYOUT_BASE + (word >> PAHASH_FRAME_BITS << PAGE_SHIFT);
}

uint64_t pahash_lookup_further(const struct pahash_table *t, mfn_t frame);

/*
 * The page-aligned address at which a frame was entered; 0 if it was not. Takes any number and no
 * lock: the answer stays true as long as the caller keeps the mapping, or until its next quiescent
 * point. Inline for its first probe, with which it mostly ends.
 */
static inline uint64_t pahash_lookup(mfn_t frame)
{
	const struct pahash_table *t = atomic_load_explicit(&pahash_current, memory_order_acquire);
	uint64_t word = atomic_load_explicit(&t->words[pahash_hash(t, frame) >> 32 & t->mask],
					     memory_order_acquire);

	if (likely(pahash_is_frame(word, frame)))
		return pahash_word_va(word);
	return pahash_lookup_further(t, frame);
}
uint64_t pahash_count(void);

#endif
