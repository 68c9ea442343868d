/*
 * PA->VA hash: where a frame is mapped persistently.
 *
 * State: one table of words in pages of its own, the one that is current. Lock: pahash_lock for all
 * changes; look-ups take none. Ready for many CPUs.
 *
 * What arithmetic cannot tell is entered here: the frames behind the vmap area. (The image and the
 * pools are linear in the physical address.) Key and value share one 64-bit word, written by one
 * store, so that a reader sees an entry whole or not at all and needs no sequence count:
 *
 *    63                    32 31                     0
 *   +------------------------+------------------------+
 *   | (va - LAYOUT_BASE)>>12 | frame number           |   0: empty; in an entry neither is 0
 *   +------------------------+------------------------+
 *
 * The words form buckets of one cache line. A frame may stand in either of two buckets, chosen by
 * a hash of its number with random keys (guests influence frame numbers; without the keys they
 * cannot fill a bucket on purpose). A search starts at the home word within the first bucket, so
 * that it mostly ends with its first probe, and reads two lines at most. Entries never move within
 * a table, and nothing marks a removed one.
 *
 * Growth, at half full or when both buckets of a frame are: a table of twice the size is filled and
 * made current, under the lock; the old one is unmapped when no reader can have it any more. Each
 * size has an address of its own. If there is no memory to grow, the table fills further; insertion
 * fails only if both buckets of a frame are full. The tables' own frames are not entered here and
 * do not come through vmap: so growing calls nothing that calls back.
 */
#include "mm/pahash.h"
#include "layout.h"
#include "lock.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/hostpt.h"
#include "mm/section.h"
#include "public/errno.h"

#define BUCKET_WORDS  8u
#define FIRST_SIZE    9u  /* log2 of words */
#define LAST_SIZE     29u /* of the hash's 32 bits 3 lie within a word */
#define KEYS_TRIED    8u
#define REGION_LENGTH (1ull << (32 + PAGE_SHIFT))

/* Where the table of one size lies; page_count: what is mapped there, 0: nothing is. */
struct place {
	struct epoch_deferred deferred;
	uint64_t page_count;
};

static struct lock pahash_lock = LOCK_INIT(LOCK_PAHASH);
_Atomic(struct pahash_table *) pahash_current;
/* Under pahash_lock. */
static struct place places[LAST_SIZE + 1];
static unsigned current_size;
static uint64_t key_state; /* of the keys' sequence */
static _Atomic uint64_t entry_count;

/* With a gap as large as the table behind each. */
static struct pahash_table *table_at(unsigned size)
{
	return (struct pahash_table *)(LAYOUT_META_PAHASH + (4 * sizeof(uint64_t) << size));
}
_Static_assert(4 * sizeof(uint64_t) << LAST_SIZE <= 2 * LAYOUT_META_STRIDE, "tables' addresses");

static uint64_t table_pages(unsigned size)
{
	return (sizeof(struct pahash_table) + (sizeof(uint64_t) << size) + PAGE_SIZE - 1) /
	       PAGE_SIZE;
}

/* The offset of probe n of the bucket that home is in: home itself first, then the others. */
static inline uint64_t probe(uint64_t home, unsigned n)
{
	return home ^ n * PAHASH_WORD_BYTES;
}

/* The home in the other bucket: needed seldom. */
static uint64_t second_home(const struct pahash_table *t, mfn_t frame)
{
	return pahash_hash(t, frame) * t->key[1] >> 32 & t->mask;
}

/* Looks at the words from probe n on of the bucket that home is in. */
static inline uint64_t search(const struct pahash_table *t, mfn_t frame, uint64_t home, unsigned n)
{
#pragma GCC unroll 8
	for (; n < BUCKET_WORDS; n++) {
		uint64_t word = pahash_load(t, probe(home, n));

		if (pahash_is_frame(word, frame))
			return pahash_word_va(t, word);
	}
	return 0;
}

/* The rest of the search, from the third word of the first bucket on. */
uint64_t pahash_lookup_further(const struct pahash_table *t, mfn_t frame, uint64_t home)
{
	uint64_t va = search(t, frame, home, 2);

	return va ? va : search(t, frame, second_home(t, frame), 0);
}

/* Among the words where frame may stand, the one with key: its own number, or 0 for one that is
 * empty. */
static _Atomic uint64_t *find(struct pahash_table *t, mfn_t key, mfn_t frame)
{
	uint64_t home = pahash_hash(t, frame) & t->mask;

	for (unsigned n = 0; n < 2 * BUCKET_WORDS; n++) {
		if (n == BUCKET_WORDS)
			home = second_home(t, frame);
		uint64_t at = probe(home, n % BUCKET_WORDS);
		if (pahash_is_frame(pahash_load(t, at), key))
			return &t->words[at / PAHASH_WORD_BYTES];
	}
	return NULL;
}

static bool put(struct pahash_table *t, mfn_t frame, uint64_t word)
{
	_Atomic uint64_t *at = find(t, make_mfn(0), frame);

	if (at)
		atomic_store_explicit(at, word, memory_order_release);
	return at;
}

/* No CPU has translations of the place any more. */
static void place_is_free(struct epoch_deferred *d)
{
	lock_acquire(&pahash_lock);
	container_of(d, struct place, deferred)->page_count = 0;
	lock_release(&pahash_lock);
}

/*
 * Unmaps a table that no reader has, and lets the epoch free its frames, which hang together by
 * their links until the flush is done. The place is taken until then.
 */
static void drop_place(struct place *p)
{
	uint64_t base = (uint64_t)table_at((unsigned)(p - places));
	uint32_t chain = FRAME_LINK_NONE;

	for (uint64_t i = 0; i < p->page_count; i++) {
		mfn_t frame = hostpt_unmap(base + i * PAGE_SIZE);

		section_entry(mfn_raw(frame))->next = chain;
		chain = (uint32_t)mfn_raw(frame);
	}
	hostpt_flush(base, p->page_count);
	while (chain != FRAME_LINK_NONE) {
		mfn_t frame = make_mfn(chain);

		chain = section_entry(chain)->next;
		epoch_free_frames(frame, 0);
	}
	epoch_defer(&p->deferred, place_is_free);
}

static void place_is_unread(struct epoch_deferred *d)
{
	drop_place(container_of(d, struct place, deferred));
}

/* Maps an empty table of 2^size words. pahash_lock is held, or it is boot. */
static int build_table(unsigned size)
{
	struct place *p = &places[size];
	uint64_t base = (uint64_t)table_at(size);

	if (p->page_count)
		return -XEN_ENOMEM;
	while (p->page_count < table_pages(size)) {
		mfn_t frame;
		int rc = frame_alloc(0, DOMID_HYPERVISOR, FRAME_VMAP, &frame);

		if (!rc) {
			rc = hostpt_map(base + p->page_count * PAGE_SIZE, frame, HOST_RW);
			if (rc)
				frame_free(frame, 0);
		}
		if (rc) {
			if (p->page_count)
				drop_place(p);
			return rc;
		}
		p->page_count++;
	}
	table_at(size)->mask = ((1ull << size) - 1) * PAHASH_WORD_BYTES;
	table_at(size)->base = LAYOUT_BASE;
	return 0;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* The next number of a sequence that nobody can guess who does not know where it began. */
static uint64_t next_key(void)
{
	return mix(key_state += 0x9e3779b97f4a7c15ull) | 1;
}

static void set_keys(struct pahash_table *t)
{
	t->key[0] = next_key();
	t->key[1] = next_key();
}

/* Fills t, which no reader has yet, with what old holds, under new keys. */
static bool copy_table(struct pahash_table *t, const struct pahash_table *old)
{
	set_keys(t);
	for (uint64_t at = 0; at <= old->mask; at += PAHASH_WORD_BYTES) {
		uint64_t word = pahash_load(old, at);

		if (word && !put(t, make_mfn(word & PAHASH_FRAME_MASK), word))
			return false;
	}
	return true;
}

/* Doubles the table; on error the old one stays. */
static int grow_locked(void)
{
	struct pahash_table *old = atomic_load_explicit(&pahash_current, memory_order_relaxed);
	unsigned size = current_size + 1;
	struct pahash_table *t = table_at(size);

	assert_locked(&pahash_lock);
	int rc = size > LAST_SIZE ? -XEN_ENOMEM : build_table(size);
	if (rc)
		return rc;
	for (unsigned attempt = 0; !copy_table(t, old); attempt++) {
		if (attempt == KEYS_TRIED) {
			drop_place(&places[size]);
			return -XEN_ENOMEM;
		}
		for (uint64_t i = 0; i < 1ull << size; i++)
			atomic_store_explicit(&t->words[i], 0, memory_order_relaxed);
	}
	atomic_store_explicit(&pahash_current, t, memory_order_release);
	epoch_defer(&places[current_size].deferred, place_is_unread);
	current_size = size;
	return 0;
}

/* An empty hash. hash_key: a random number. Needs frame_init() and hostpt_map(). -XEN_ENOMEM. */
int pahash_init(uint64_t hash_key)
{
	int rc = build_table(FIRST_SIZE);
	if (rc)
		return rc;
	key_state = hash_key;
	set_keys(table_at(FIRST_SIZE));
	current_size = FIRST_SIZE;
	atomic_store_explicit(&pahash_current, table_at(FIRST_SIZE), memory_order_release);
	return 0;
}

/*
 * Notes that frame is mapped at va, page aligned, above LAYOUT_BASE and below it + 16 TiB.
 * -XEN_EEXIST: it is there already; -XEN_ENOMEM: no place was found; nothing has changed. Frame 0
 * cannot be entered (-XEN_EINVAL), nor what is no frame number of RAM.
 */
int pahash_insert(mfn_t frame, uint64_t va)
{
	uint64_t offset = va - LAYOUT_BASE;

	if (!mfn_raw(frame) || mfn_raw(frame) > PAHASH_FRAME_MASK || va & (PAGE_SIZE - 1) ||
	    !offset || offset >= REGION_LENGTH)
		return -XEN_EINVAL;
	uint64_t word = offset >> PAGE_SHIFT << PAHASH_FRAME_BITS | mfn_raw(frame);
	lock_acquire(&pahash_lock);
	struct pahash_table *t = atomic_load_explicit(&pahash_current, memory_order_relaxed);
	int rc = 0;
	if (find(t, frame, frame))
		rc = -XEN_EEXIST;
	else if (entry_count * 2 >= 1ull << current_size && !grow_locked())
		t = atomic_load_explicit(&pahash_current, memory_order_relaxed);
	if (!rc && !put(t, frame, word)) {
		/* Rare below half full, and not to be expected below an eighth. */
		rc = entry_count * 8 >= 1ull << current_size ? grow_locked() : -XEN_ENOMEM;
		t = atomic_load_explicit(&pahash_current, memory_order_relaxed);
		if (!rc && !put(t, frame, word))
			rc = -XEN_ENOMEM;
	}
	if (!rc)
		atomic_fetch_add_explicit(&entry_count, 1, memory_order_relaxed);
	lock_release(&pahash_lock);
	return rc;
}

/* Forgets a frame; one that is not there is none the less not there afterwards. */
void pahash_remove(mfn_t frame)
{
	lock_acquire(&pahash_lock);
	_Atomic uint64_t *at =
	    find(atomic_load_explicit(&pahash_current, memory_order_relaxed), frame, frame);
	if (at && mfn_raw(frame)) {
		atomic_store_explicit(at, 0, memory_order_release);
		atomic_fetch_sub_explicit(&entry_count, 1, memory_order_relaxed);
	}
	lock_release(&pahash_lock);
}

/* Frames entered. */
uint64_t pahash_count(void)
{
	return atomic_load_explicit(&entry_count, memory_order_relaxed);
}
