/*
 * Entries of grant tables: what their owners write, and what is mapped through them.
 *
 * State and its protection:
 * - The shared table (frames of the guest's own, FRAME_GUEST_SHARED) is the guest's to write at any
 *   time. It is opened in the window for as long as a session looks at it; flags and grantee are
 *   read and changed as one 32-bit word by compare-and-swap, and only what was so read is believed.
 * - An active word (heap, one per reference) says what is mapped through a reference now:
 *
 *	63    62    56 55    48 47      46    32 31          0
 *	+----+--------+--------+-------+--------+-------------+
 *	|BUSY| writers| readers|REVOKED| mapper | frame       |
 *	+----+--------+--------+-------+--------+-------------+
 *
 *   It is changed by compare-and-swap; BUSY makes it a lock for as long as the shared entry's flags
 *   are changed with it, so that GTF_reading and GTF_writing always agree with the counts.
 *   REVOKED: no more pins until all have gone. All zero: not mapped.
 *
 * BUSY is the innermost lock, waited for with no other word's BUSY held, and kept for a handful of
 * instructions in which nothing is waited for.
 *
 * The usual cases are inline, in kernel/grant_pin.h; these are the general ones.
 *
 * Source: Xen, public/grant_table.h.
 */
#include "barriers.h"
#include "grant_pin.h"
#include "mm/window.h"
#include "p2m.h"
#include "print.h"

/* How often an entry that its owner keeps changing is looked at again. */
#define CLAIM_ATTEMPTS 5

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
	return (domid_t)(a >> ACTIVE_MAPPER_SHIFT & ACTIVE_MAPPER_MASK);
}

/* --- sessions --------------------------------------------------------------------------------- */

/* Of no granter yet, and with no slot open. */
void grant_session_begin(struct grant_session *s, domid_t mapper)
{
	s->granter_id = GRANT_SESSION_NONE;
	s->first_ref = GRANT_SESSION_NONE;
	s->mapper = mapper;
	s->mapped = 0;
}

static void close_frame(struct grant_session *s)
{
	if (s->first_ref != GRANT_SESSION_NONE)
		window_close(WINDOW_GRANT);
	s->first_ref = GRANT_SESSION_NONE;
}

/* When the count comes to 0 the granter may go, though not before this CPU's quiescent point. */
void grant_session_end(struct grant_session *s)
{
	close_frame(s);
	if (s->mapped)
		atomic_fetch_add(&s->granter->granted_to[s->mapper], s->mapped);
	s->mapped = 0;
}

static bool go_on_with(struct grant_session *s, domid_t id, struct domain *granter)
{
	grant_session_end(s);
	s->granter = granter;
	s->granter_id = granter ? id : GRANT_SESSION_NONE;
	s->frame_count = 0;
	return granter;
}

/* Goes on with the table of another domain. False: there is no such live one. */
bool grant_session_switch(struct grant_session *s, domid_t granter)
{
	return go_on_with(s, granter, domain_find(granter));
}

/* The same, to give up a pin: its granter is still there, whatever its state. */
void grant_session_return(struct grant_session *s, domid_t granter)
{
	assert_always(go_on_with(s, granter, domain_owning(granter)));
}

/* Opens the table frame with a reference. False: the table is not that large. */
bool grant_session_take_frame(struct grant_session *s, uint32_t ref)
{
	struct grant_table *t = s->granter->grants;
	uint32_t frame = ref / GRANT_ENTRIES_PER_FRAME;

	if (frame >= atomic_load_explicit(&t->frame_count, memory_order_acquire))
		return false;
	close_frame(s);
	barrier_memory_of(s->granter);
	s->entries = window_open(WINDOW_GRANT, t->frames[frame]);
	s->active = t->active[frame];
	s->first_ref = frame * GRANT_ENTRIES_PER_FRAME;
	return true;
}

/*
 * Looks up the leaf of the granter's p2m in which gfn lies. The generation is read first, so that
 * one that has not moved later says that nothing has been taken out since.
 */
static bool take_leaf(struct grant_session *s, uint64_t gfn)
{
	struct p2m *p2m = &s->granter->p2m;
	struct p2m_entry e;

	s->generation = atomic_load(&p2m->generation);
	s->frame_count = 0;
	/* Only its own RAM: what it has mapped of others is not its to give. */
	if (!p2m_lookup(p2m, make_gfn(gfn), &e) || e.type != P2M_RAM)
		return false;
	uint64_t within = gfn & ((1ull << e.order) - 1);
	s->first_gfn = gfn - within;
	s->first_frame = make_mfn(mfn_raw(e.frame) - within);
	s->frame_count = 1ull << e.order;
	return true;
}

/* --- pins ------------------------------------------------------------------------------------- */

/* Another CPU holds BUSY for a handful of instructions, without waiting for anything. */
static uint64_t active_lock(_Atomic uint64_t *word)
{
	for (;;) {
		uint64_t a = atomic_load_explicit(word, memory_order_relaxed);
		if (!(a & ACTIVE_BUSY) && active_take(word, a))
			return a;
		__builtin_ia32_pause();
	}
}

/*
 * Checks that a shared entry lets the mapper do it, and marks it as in use. *frame is the gfn it
 * grants, read after the mark.
 */
static int16_t entry_claim(struct grant_entry_v1 *entry, domid_t mapper, bool readonly,
			   uint64_t *gfn)
{
	_Atomic uint32_t *word = entry_word(entry);

	for (unsigned i = 0; i < CLAIM_ATTEMPTS; i++) {
		uint32_t seen = atomic_load_explicit(word, memory_order_acquire);
		if (!entry_permits(seen, mapper, readonly))
			return GNTST_general_error;
		if (atomic_compare_exchange_strong(word, &seen, seen | entry_marks(readonly))) {
			*gfn = *(volatile uint32_t *)&entry->frame;
			return GNTST_okay;
		}
	}
	return GNTST_eagain;
}

/* The marks that no longer hold when the counts are these. */
static uint32_t stale_marks(uint64_t readers, uint64_t writers)
{
	if (MUTANT(GRANT_FLAGS_KEPT))
		return 0;
	return (writers ? 0 : GTF_writing) | (readers || writers ? 0 : GTF_reading);
}

/* Finds the frame behind a gfn that a granter wrote into its entry. */
static int16_t granted_frame(struct grant_session *s, uint64_t gfn, mfn_t *frame)
{
	if ((gfn - s->first_gfn >= s->frame_count ||
	     s->generation != atomic_load(&s->granter->p2m.generation)) &&
	    !take_leaf(s, gfn))
		return GNTST_bad_page;
	*frame = mfn_add(s->first_frame, gfn - s->first_gfn);
	return GNTST_okay;
}

/*
 * grant_entry_pin() of an entry at hand, from the beginning, whatever the case. a: its active word,
 * whose lock is held, without BUSY; or BUSY alone: it is to be taken.
 */
int16_t grant_entry_pin_again(struct grant_session *s, uint32_t ref, uint64_t a, domid_t mapper,
			      bool readonly, mfn_t *frame)
{
	_Atomic uint64_t *word = &s->active[ref % GRANT_ENTRIES_PER_FRAME];
	struct grant_entry_v1 *entry = &s->entries[ref % GRANT_ENTRIES_PER_FRAME];
	int16_t status = GNTST_okay;
	uint64_t gfn = 0;

	if (a == ACTIVE_BUSY)
		a = active_lock(word);
	uint64_t readers = readers_of(a), writers = writers_of(a);
	bool pinned = readers || writers;
	bool claim = !pinned || (!readonly && !writers);

	if (pinned && (mapper_of(a) != mapper || a & ACTIVE_REVOKED))
		status = GNTST_general_error;
	else if (readonly ? readers == ACTIVE_READERS_MAX : writers == ACTIVE_WRITERS_MAX)
		status = GNTST_no_space;
	else if (claim)
		status = entry_claim(entry, mapper, readonly, &gfn);
	if (status == GNTST_okay) {
		/* As long as it is in use, what it meant at first stays. */
		if (pinned)
			*frame = make_mfn(a & ACTIVE_FRAME_MASK);
		else
			status = granted_frame(s, gfn, frame);
		if (status == GNTST_okay &&
		    frame_get_present(*frame, (domid_t)s->granter_id, FRAME_GUEST_RAM))
			status = GNTST_bad_page;
		if (status == GNTST_okay)
			a = (a & ~ACTIVE_FRAME_MASK) +
			    active_single(pinned ? 0 : mapper, readonly, *frame);
	}
	/* Also what the short way left behind, when the entry was not to be had after all. */
	if (status != GNTST_okay && (claim || !pinned) && stale_marks(readers, writers))
		atomic_fetch_and(entry_word(entry), ~stale_marks(readers, writers));
	active_set(word, a);
	return status;
}

/* grant_entry_unpin() of an entry at hand, whatever else is mapped through it. */
void grant_entry_unpin_again(struct grant_session *s, uint32_t ref, bool readonly)
{
	_Atomic uint64_t *word = &s->active[ref % GRANT_ENTRIES_PER_FRAME];
	uint64_t a = active_lock(word);

	assert_always(readonly ? readers_of(a) : writers_of(a));
	a -= 1ull << (readonly ? ACTIVE_READERS_SHIFT : ACTIVE_WRITERS_SHIFT);
	uint32_t marks = stale_marks(readers_of(a), writers_of(a));
	if (marks)
		atomic_fetch_and(entry_word(&s->entries[ref % GRANT_ENTRIES_PER_FRAME]), ~marks);
	if (!readers_of(a) && !writers_of(a))
		a = 0;
	active_set(word, a);
}

/* What is mapped through a reference of a domain's own now: its active word, without BUSY; 0 beyond
 * the table. */
uint64_t grant_entry_active(const struct domain *d, uint32_t ref)
{
	const struct grant_table *t = d->grants;

	if (ref / GRANT_ENTRIES_PER_FRAME >=
	    atomic_load_explicit(&t->frame_count, memory_order_acquire))
		return 0;
	return atomic_load(
		   &t->active[ref / GRANT_ENTRIES_PER_FRAME][ref % GRANT_ENTRIES_PER_FRAME]) &
	       ~ACTIVE_BUSY;
}

uint32_t grant_active_pins(uint64_t a)
{
	return (uint32_t)(readers_of(a) + writers_of(a));
}

mfn_t grant_active_frame(uint64_t a)
{
	return make_mfn(a & ACTIVE_FRAME_MASK);
}

domid_t grant_active_mapper(uint64_t a)
{
	return mapper_of(a);
}

/*
 * Ends what an entry of the session's own domain grants: nothing is pinned through it from now on,
 * until what is has gone and the owner grants it anew. Returns its active word: 0 when nothing is
 * pinned; ACTIVE_BUSY alone: it is beyond the table.
 */
uint64_t grant_entry_revoke(struct grant_session *s, uint32_t ref)
{
	if (ref - s->first_ref >= GRANT_ENTRIES_PER_FRAME && !grant_session_take_frame(s, ref))
		return ACTIVE_BUSY;
	_Atomic uint64_t *word = &s->active[ref % GRANT_ENTRIES_PER_FRAME];
	uint64_t a = active_lock(word);

	atomic_fetch_and(entry_word(&s->entries[ref % GRANT_ENTRIES_PER_FRAME]),
			 ~(uint32_t)GTF_type_mask);
	if (a)
		a |= ACTIVE_REVOKED;
	active_set(word, a);
	return a;
}

/* --- swapping --------------------------------------------------------------------------------- */

/* Puts a value into an entry of the domain's own table that is known to be there; returns the old
 * one. */
static uint64_t entry_exchange(struct grant_session *s, uint32_t ref, uint64_t value)
{
	if (ref - s->first_ref >= GRANT_ENTRIES_PER_FRAME)
		(void)grant_session_take_frame(s, ref);
	return atomic_exchange(
	    (_Atomic uint64_t *)(void *)&s->entries[ref % GRANT_ENTRIES_PER_FRAME], value);
}

/*
 * Exchanges two entries of a domain's own table, neither of which is in use. Statuses (GNTST_),
 * with nothing changed: bad_gntref: beyond the table; eagain: in use. Whoever finds the second
 * active word taken gives up the first: nothing is waited for.
 */
int16_t grant_entries_swap(struct domain *d, uint32_t a, uint32_t b)
{
	struct grant_table *t = d->grants;
	uint32_t count = atomic_load_explicit(&t->frame_count, memory_order_acquire);
	struct grant_session s;

	if (a / GRANT_ENTRIES_PER_FRAME >= count || b / GRANT_ENTRIES_PER_FRAME >= count)
		return GNTST_bad_gntref;
	if (a == b)
		return GNTST_okay;
	_Atomic uint64_t *first =
	    &t->active[a / GRANT_ENTRIES_PER_FRAME][a % GRANT_ENTRIES_PER_FRAME];
	_Atomic uint64_t *second =
	    &t->active[b / GRANT_ENTRIES_PER_FRAME][b % GRANT_ENTRIES_PER_FRAME];
	if (!active_take(first, 0))
		return GNTST_eagain;
	if (!active_take(second, 0)) {
		active_set(first, 0);
		return GNTST_eagain;
	}
	grant_session_begin(&s, d->id);
	s.granter = d;
	uint64_t value = entry_exchange(&s, a, 0);
	value = entry_exchange(&s, b, value);
	entry_exchange(&s, a, value);
	grant_session_end(&s);
	active_set(second, 0);
	active_set(first, 0);
	return GNTST_okay;
}
