/*
 * Entries of grant tables: what their owners write, and what is mapped through them.
 *
 * State and its protection:
 * - The shared table (frames of the guest's own, FRAME_GUEST_SHARED) is the guest's to write at any
 *   time. It is opened in the window for as long as a session looks at it; flags and grantee are
 *read and changed as one 32-bit word by compare-and-swap, and only what was so read is believed.
 * - An active word (heap, one per reference) says what is mapped through a reference now:
 *
 *	63    62    56 55    48 47    32 31          0
 *	+----+--------+--------+--------+-------------+
 *	|BUSY| writers| readers| mapper | frame       |
 *	+----+--------+--------+--------+-------------+
 *
 *   It is changed by compare-and-swap; BUSY makes it a lock for as long as the shared entry's flags
 *   are changed with it, so that GTF_reading and GTF_writing always agree with the counts. All
 *   zero: not mapped.
 *
 * Ready for many CPUs. BUSY is the innermost lock, taken for one word at a time.
 *
 * Source: Xen, public/grant_table.h.
 */
#include "grant_internal.h"
#include "mm/frame.h"
#include "mm/window.h"
#include "mutant.h"
#include "p2m.h"
#include "print.h"
#include "public/grant_table.h"

#define ACTIVE_BUSY	     (1ull << 63)
#define ACTIVE_WRITERS_SHIFT 56
#define ACTIVE_WRITERS_MAX   0x7full
#define ACTIVE_READERS_SHIFT 48
#define ACTIVE_READERS_MAX   0xffull
#define ACTIVE_MAPPER_SHIFT  32
#define ACTIVE_FRAME_MASK    0xffffffffull

/* How often an entry that its owner keeps changing is looked at again. */
#define CLAIM_ATTEMPTS 5

#define ENTRY_GRANTEE_SHIFT 16
_Static_assert(offsetof(struct grant_entry_v1, flags) == 0 &&
		   offsetof(struct grant_entry_v1, domid) == 2,
	       "flags and grantee are read as one word");
_Static_assert(GRANT_ENTRIES_PER_FRAME * sizeof(struct grant_entry_v1) == PAGE_SIZE, "entries");
_Static_assert(LAYOUT_PHYS_LIMIT >> PAGE_SHIFT <= ACTIVE_FRAME_MASK + 1, "frame in active word");

static uint64_t readers_of(uint64_t a)
{
	return a >> ACTIVE_READERS_SHIFT & ACTIVE_READERS_MAX;
}

static uint64_t writers_of(uint64_t a)
{
	return a >> ACTIVE_WRITERS_SHIFT & ACTIVE_WRITERS_MAX;
}

static domid_t mapper_of(uint64_t a)
{
	return (domid_t)(a >> ACTIVE_MAPPER_SHIFT);
}

static mfn_t frame_of(uint64_t a)
{
	return make_mfn(a & ACTIVE_FRAME_MASK);
}

/* Another CPU holds BUSY for a handful of instructions, without waiting for anything. */
static uint64_t active_lock(_Atomic uint64_t *word)
{
	for (;;) {
		uint64_t a = atomic_load_explicit(word, memory_order_relaxed);
		if (!(a & ACTIVE_BUSY) &&
		    atomic_compare_exchange_weak_explicit(
			word, &a, a | ACTIVE_BUSY, memory_order_acquire, memory_order_relaxed))
			return a;
		__builtin_ia32_pause();
	}
}

static void active_unlock(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

/* The active word of a reference, or NULL if the table is not that large. */
static _Atomic uint64_t *active_word(struct grant_table *t, uint32_t ref)
{
	uint32_t count = atomic_load_explicit(&t->frame_count, memory_order_acquire);

	if (ref / GRANT_ENTRIES_PER_FRAME >= count)
		return NULL;
	return &t->active[ref / GRANT_ENTRIES_PER_FRAME][ref % GRANT_ENTRIES_PER_FRAME];
}

#define NO_FRAME UINT32_MAX

/* Begins to look at the table of granter, or, with NULL, does not yet. */
void grant_session_begin(struct grant_session *s, struct domain *granter)
{
	s->granter = granter;
	s->table = granter ? granter->grants : NULL;
	s->frame = NO_FRAME;
	s->frame_count = 0;
}

void grant_session_end(struct grant_session *s)
{
	if (s->frame != NO_FRAME)
		window_close(WINDOW_GRANT);
	s->frame = NO_FRAME;
}

static struct grant_entry_v1 *entry_open(struct grant_session *s, uint32_t ref)
{
	uint32_t frame = ref / GRANT_ENTRIES_PER_FRAME;

	if (unlikely(frame != s->frame)) {
		grant_session_end(s);
		s->entries = window_open(WINDOW_GRANT, s->table->frames[frame]);
		s->frame = frame;
	}
	return (struct grant_entry_v1 *)s->entries + ref % GRANT_ENTRIES_PER_FRAME;
}

/*
 * Checks that a shared entry lets the mapper do it, and marks it as in use. *frame is the gfn it
 * grants, read after the mark.
 */
static int16_t entry_claim(struct grant_session *s, uint32_t ref, domid_t mapper, bool readonly,
			   gfn_t *frame)
{
	struct grant_entry_v1 *entry = entry_open(s, ref);
	_Atomic uint32_t *word = (_Atomic uint32_t *)(void *)entry;
	uint32_t mark = GTF_reading | (readonly ? 0 : GTF_writing);

	for (unsigned i = 0; i < CLAIM_ATTEMPTS; i++) {
		uint32_t seen = atomic_load_explicit(word, memory_order_acquire);
		if ((seen & (GTF_type_mask | GTF_sub_page)) != GTF_permit_access ||
		    seen >> ENTRY_GRANTEE_SHIFT != mapper || (!readonly && seen & GTF_readonly))
			return GNTST_general_error;
		if (atomic_compare_exchange_strong(word, &seen, seen | mark)) {
			*frame = make_gfn(*(volatile uint32_t *)&entry->frame);
			return GNTST_okay;
		}
	}
	return GNTST_eagain;
}

/* Takes marks away again. */
static void entry_unmark(struct grant_session *s, uint32_t ref, uint32_t marks)
{
	_Atomic uint32_t *word = (_Atomic uint32_t *)(void *)entry_open(s, ref);

	atomic_fetch_and(word, ~marks);
}

/* The marks that no longer hold when the counts are these. */
static uint32_t stale_marks(uint64_t readers, uint64_t writers)
{
	if (MUTANT(GRANT_FLAGS_KEPT))
		return 0;
	return (writers ? 0 : GTF_writing) | (readers || writers ? 0 : GTF_reading);
}

/*
 * Looks up the leaf of the granter's p2m in which gfn lies. The generation is read first, so that
 * one that has not moved later says that nothing has been taken out since.
 */
static __attribute__((noinline)) bool leaf_find(struct grant_session *s, gfn_t gfn)
{
	struct p2m *p2m = &s->granter->p2m;
	struct p2m_entry e;

	s->generation = atomic_load(&p2m->generation);
	s->frame_count = 0;
	/* Only its own RAM: what it has mapped of others is not its to give. */
	if (!p2m_lookup(p2m, gfn, &e) || e.type != P2M_RAM)
		return false;
	uint64_t within = gfn_raw(gfn) & ((1ull << e.order) - 1);
	s->first_gfn = gfn_raw(gfn) - within;
	s->first_frame = make_mfn(mfn_raw(e.frame) - within);
	s->frame_count = 1ull << e.order;
	return true;
}

/* Finds the frame behind a gfn that a granter wrote into its entry, with a reference on it. */
static int16_t granted_frame(struct grant_session *s, gfn_t gfn, mfn_t *frame)
{
	if (unlikely(gfn_raw(gfn) - s->first_gfn >= s->frame_count ||
		     s->generation != atomic_load(&s->granter->p2m.generation)) &&
	    !leaf_find(s, gfn))
		return GNTST_bad_page;
	*frame = mfn_add(s->first_frame, gfn_raw(gfn) - s->first_gfn);
	return frame_get_present(*frame, s->granter->id, FRAME_GUEST_RAM) ? GNTST_bad_page
									  : GNTST_okay;
}

/*
 * One more mapping of a reference, by mapper; *frame gets what it leads to, with a reference.
 * Errors (GNTST_), with nothing changed: bad_gntref: beyond the table; general_error: another has
 * it mapped, or the entry does not permit it; no_space: mapped too often; bad_page: no RAM of the
 * granter's own; eagain: the granter keeps changing the entry.
 */
int16_t grant_entry_pin(struct grant_session *s, uint32_t ref, domid_t mapper, bool readonly,
			mfn_t *frame)
{
	_Atomic uint64_t *word = active_word(s->table, ref);
	gfn_t gfn = GFN_INVALID;
	int16_t status = GNTST_okay;

	if (!word)
		return GNTST_bad_gntref;
	uint64_t a = active_lock(word);
	uint64_t readers = readers_of(a), writers = writers_of(a);
	bool pinned = readers || writers;
	bool claim = !pinned || (!readonly && !writers);

	if (pinned && mapper_of(a) != mapper)
		status = GNTST_general_error;
	else if (readonly ? readers == ACTIVE_READERS_MAX : writers == ACTIVE_WRITERS_MAX)
		status = GNTST_no_space;
	else if (claim)
		status = entry_claim(s, ref, mapper, readonly, &gfn);
	if (status == GNTST_okay) {
		if (!pinned) {
			status = granted_frame(s, gfn, frame);
		} else {
			/* As long as it is in use, what it meant at first stays. */
			*frame = frame_of(a);
			if (frame_get_present(*frame, s->granter->id, FRAME_GUEST_RAM))
				status = GNTST_bad_page;
		}
		if (status == GNTST_okay) {
			readers += readonly;
			writers += !readonly;
			a = writers << ACTIVE_WRITERS_SHIFT | readers << ACTIVE_READERS_SHIFT |
			    (uint64_t)mapper << ACTIVE_MAPPER_SHIFT | mfn_raw(*frame);
		} else if (claim) {
			entry_unmark(s, ref, stale_marks(readers, writers));
		}
	}
	active_unlock(word, a);
	return status;
}

/* One mapping less. The granter has not been taken apart. */
void grant_entry_unpin(struct grant_session *s, uint32_t ref, bool readonly)
{
	_Atomic uint64_t *word = active_word(s->table, ref);
	uint64_t a = active_lock(word);
	uint64_t readers = readers_of(a), writers = writers_of(a);

	assert_always(readonly ? readers : writers);
	readers -= readonly;
	writers -= !readonly;
	uint32_t marks = stale_marks(readers, writers);
	if (marks)
		entry_unmark(s, ref, marks);
	a = readers || writers ? writers << ACTIVE_WRITERS_SHIFT | readers << ACTIVE_READERS_SHIFT |
				     (a & ((1ull << ACTIVE_READERS_SHIFT) - 1))
			       : 0;
	active_unlock(word, a);
}
