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
#define PAHASH_WORD_BYTES 8u

struct pahash_table {
	uint64_t mask;	 /* of offsets of words, in bytes; their number is a power of two */
	uint64_t key[2]; /* random, odd */
	uint64_t base;	 /* LAYOUT_BASE: loaded with the rest rather than a constant in the code */
	uint64_t padding[4];
	_Atomic uint64_t words[]; /* in buckets of one cache line; what they hold: mm/pahash.c */
};
_Static_assert(offsetof(struct pahash_table, words) == 64, "buckets are cache lines");

extern _Atomic(struct pahash_table *) pahash_current;

/*
 * 32 bits: the CRC of the high half of a product. The product alone maps runs and strides of frames
 * to runs and strides of words, which under some keys pile up in a few buckets. The low halves of
 * both operands cancel out, since CRC32 adds them first. Source: SDM Vol. 2, "CRC32 - Accumulate
 * CRC32 Value".
 */
static inline uint64_t pahash_hash(const struct pahash_table *t, mfn_t frame)
{
	uint64_t product = mfn_raw(frame) * t->key[0];

	__asm__("crc32q %0, %0" : "+r"(product));
	return product;
}

static inline bool pahash_is_frame(uint64_t word, mfn_t frame)
{
	return (word & PAHASH_FRAME_MASK) == mfn_raw(frame);
}

/* 0 of an empty word, which looks as if it were of frame 0. */
static inline uint64_t pahash_word_va(const struct pahash_table *t, uint64_t word)
{
	uint64_t page = word >> PAHASH_FRAME_BITS;

	return likely(page) ? t->base + (page << PAGE_SHIFT) : 0;
}

/* The word at an offset in bytes. */
static inline uint64_t pahash_load(const struct pahash_table *t, uint64_t offset)
{
	return atomic_load_explicit((const _Atomic uint64_t *)((const char *)t->words + offset),
				    memory_order_acquire);
}

uint64_t pahash_lookup_further(const struct pahash_table *t, mfn_t frame, uint64_t home);

/*
 * The page-aligned address at which a frame was entered; 0 if it was not. Takes any number and no
 * lock: the answer stays true as long as the caller keeps the mapping, or until its next quiescent
 * point. Inline for its first two probes, with which it mostly ends.
 */
static inline uint64_t pahash_lookup(mfn_t frame)
{
	const struct pahash_table *t = atomic_load_explicit(&pahash_current, memory_order_acquire);
	uint64_t home = pahash_hash(t, frame) & t->mask, word = pahash_load(t, home);

	if (unlikely(!pahash_is_frame(word, frame))) {
		word = pahash_load(t, home ^ PAHASH_WORD_BYTES);
		if (!pahash_is_frame(word, frame))
			return pahash_lookup_further(t, frame, home);
	}
	return pahash_word_va(t, word);
}
uint64_t pahash_count(void);

#endif
