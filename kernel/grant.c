/*
 * Grant tables: which pages a domain lets which other domain map, and who has.
 *
 *	granter                                         mapper
 *	shared table (frames of the guest's own,        handles: one struct grant_track for each
 *	FRAME_GUEST_SHARED): one grant_entry_v1         mapping it holds
 *	per reference, written by the guest
 *	active words (heap): one per reference
 *
 * State and its protection:
 * - The shared table is the guest's to write at any time. It is opened in the window for each use;
 *   flags and grantee are read and changed as one 32-bit word by compare-and-swap, and only what
 *was so read is believed.
 * - An active word says what is mapped through a reference now:
 *
 *	63    62    56 55    48 47    32 31          0
 *	+----+--------+--------+--------+-------------+
 *	|BUSY| writers| readers| mapper | frame       |
 *	+----+--------+--------+--------+-------------+
 *
 *   It is changed by compare-and-swap; BUSY makes it a lock for as long as the shared entry's flags
 *are changed with it, so that GTF_reading and GTF_writing always agree with the counts. All zero:
 *not mapped.
 * - The rest of struct grant_table: its lock. Arrays only grow while the domain lives, so that
 *look-ups below the counts need no lock.
 *
 * Each mapping holds a reference on the frame of its own, so that the frame outlives the granter if
 *it must. When a mapping goes, other vCPUs of the mapper may still use its translation until every
 *CPU has passed a quiescent point. The granter must not be told before that nobody uses its page:
 *the pin is given up through the epoch, from an entry in the handle itself, so that unmapping
 *cannot fail for lack of memory.
 *
 * Ready for many CPUs. Lock order: grant table, then p2m; BUSY is innermost, taken for one word at
 *a time.
 *
 * Source: Xen, public/grant_table.h.
 */
#include "kernel/grant.h"
#include "lock.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "mm/window.h"
#include "p2m.h"
#include "print.h"
#include "public/errno.h"
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

enum track_state { TRACK_FREE, TRACK_RESERVED, TRACK_LIVE, TRACK_CLOSING, TRACK_RELEASING };

/* A mapping, behind its handle. */
struct grant_track {
	struct epoch_deferred deferred;
	struct grant_table *owner; /* of the mapper */
	mfn_t frame;
	gfn_t gfn; /* where it is mapped */
	uint32_t ref;
	uint32_t next_free; /* handle + 1, 0 at the end */
	domid_t granter;
	bool readonly;
	_Atomic uint8_t state; /* enum track_state */
};

#define TRACKS_PER_PAGE (PAGE_SIZE / sizeof(struct grant_track))
#define TRACKS_MAX	(GRANT_TRACK_PAGES_MAX * TRACKS_PER_PAGE)

struct grant_table {
	struct lock lock;
	struct domain *domain;
	_Atomic uint32_t frame_count;
	mfn_t frames[GRANT_FRAMES_MAX];
	gfn_t gfns[GRANT_FRAMES_MAX]; /* where the guest has them, or GFN_INVALID */
	_Atomic uint64_t *active[GRANT_FRAMES_MAX];
	struct grant_track *tracks[GRANT_TRACK_PAGES_MAX];
	_Atomic uint32_t track_pages;
	uint32_t free_head;	    /* handle + 1, 0: none */
	_Atomic uint32_t releasing; /* handles that wait for their epoch */
	uint32_t release_cursor;    /* grant_maps_release_step(): the next handle to look at */
};

/* --- active words and the shared entries ------------------------------------------------------ */

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

static struct grant_entry_v1 *entry_open(struct grant_table *t, uint32_t ref)
{
	struct grant_entry_v1 *entries =
	    window_open(WINDOW_GRANT, t->frames[ref / GRANT_ENTRIES_PER_FRAME]);

	return &entries[ref % GRANT_ENTRIES_PER_FRAME];
}

/*
 * Checks that a shared entry lets the mapper do it, and marks it as in use. *frame is the gfn it
 * grants, read after the mark.
 */
static int16_t entry_claim(struct grant_table *t, uint32_t ref, domid_t mapper, bool readonly,
			   gfn_t *frame)
{
	struct grant_entry_v1 *entry = entry_open(t, ref);
	_Atomic uint32_t *word = (_Atomic uint32_t *)(void *)entry;
	uint32_t mark = GTF_reading | (readonly ? 0 : GTF_writing);
	int16_t status = GNTST_eagain;

	for (unsigned i = 0; i < CLAIM_ATTEMPTS; i++) {
		uint32_t seen = atomic_load_explicit(word, memory_order_acquire);
		if ((seen & (GTF_type_mask | GTF_sub_page)) != GTF_permit_access ||
		    seen >> ENTRY_GRANTEE_SHIFT != mapper || (!readonly && seen & GTF_readonly)) {
			status = GNTST_general_error;
			break;
		}
		if (atomic_compare_exchange_strong(word, &seen, seen | mark)) {
			*frame = make_gfn(*(volatile uint32_t *)&entry->frame);
			status = GNTST_okay;
			break;
		}
	}
	window_close(WINDOW_GRANT);
	return status;
}

/* Takes marks away again. */
static void entry_unmark(struct grant_table *t, uint32_t ref, uint32_t marks)
{
	_Atomic uint32_t *word = (_Atomic uint32_t *)(void *)entry_open(t, ref);

	atomic_fetch_and(word, ~marks);
	window_close(WINDOW_GRANT);
}

/* The marks that no longer hold when the counts are these. */
static uint32_t stale_marks(uint64_t readers, uint64_t writers)
{
	return (writers ? 0 : GTF_writing) | (readers || writers ? 0 : GTF_reading);
}

/* Finds the frame behind a gfn that a granter wrote into its entry, with a reference on it. */
static int16_t granted_frame(struct domain *granter, gfn_t gfn, mfn_t *frame)
{
	struct p2m_entry e;

	/* Only its own RAM: what it has mapped of others is not its to give. */
	if (!p2m_lookup(&granter->p2m, gfn, &e) || e.type != P2M_RAM ||
	    frame_get(e.frame, granter->id, FRAME_GUEST_RAM))
		return GNTST_bad_page;
	*frame = e.frame;
	return GNTST_okay;
}

/* One more mapping of a reference, by mapper; *frame gets what it leads to, with a reference. */
static int16_t pin(struct domain *granter, uint32_t ref, domid_t mapper, bool readonly,
		   mfn_t *frame)
{
	struct grant_table *t = granter->grants;
	_Atomic uint64_t *word = active_word(t, ref);
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
		status = entry_claim(t, ref, mapper, readonly, &gfn);
	if (status == GNTST_okay) {
		if (!pinned) {
			status = granted_frame(granter, gfn, frame);
		} else {
			/* As long as it is in use, what it meant at first stays. */
			*frame = frame_of(a);
			if (frame_get(*frame, granter->id, FRAME_GUEST_RAM))
				status = GNTST_bad_page;
		}
		if (status == GNTST_okay) {
			readers += readonly;
			writers += !readonly;
			a = writers << ACTIVE_WRITERS_SHIFT | readers << ACTIVE_READERS_SHIFT |
			    (uint64_t)mapper << ACTIVE_MAPPER_SHIFT | mfn_raw(*frame);
		} else if (claim) {
			entry_unmark(t, ref, stale_marks(readers, writers));
		}
	}
	active_unlock(word, a);
	return status;
}

/* One mapping less. */
static void unpin(struct domain *granter, uint32_t ref, bool readonly)
{
	struct grant_table *t = granter->grants;
	_Atomic uint64_t *word = active_word(t, ref);
	uint64_t a = active_lock(word);
	uint64_t readers = readers_of(a), writers = writers_of(a);

	assert_always(readonly ? readers : writers);
	readers -= readonly;
	writers -= !readonly;
	uint32_t marks = stale_marks(readers, writers);
	if (marks)
		entry_unmark(t, ref, marks);
	a = readers || writers ? writers << ACTIVE_WRITERS_SHIFT | readers << ACTIVE_READERS_SHIFT |
				     (a & ((1ull << ACTIVE_READERS_SHIFT) - 1))
			       : 0;
	active_unlock(word, a);
}

/* --- handles ---------------------------------------------------------------------------------- */

static struct grant_track *track_at(struct grant_table *t, uint32_t handle)
{
	uint32_t pages = atomic_load_explicit(&t->track_pages, memory_order_acquire);

	if (handle / TRACKS_PER_PAGE >= pages)
		return NULL;
	return &t->tracks[handle / TRACKS_PER_PAGE][handle % TRACKS_PER_PAGE];
}

/* Takes a handle off the free list, which grows by a page when it is empty. */
static struct grant_track *track_reserve(struct grant_table *t, uint32_t *handle)
{
	struct grant_track *track = NULL;

	lock_acquire(&t->lock);
	uint32_t pages = atomic_load_explicit(&t->track_pages, memory_order_relaxed);
	if (!t->free_head && pages < GRANT_TRACK_PAGES_MAX) {
		void *page;
		if (heap_alloc(TRACKS_PER_PAGE * sizeof(struct grant_track), t->domain->id,
			       &page) == 0) {
			t->tracks[pages] = page;
			for (uint32_t i = 0; i < TRACKS_PER_PAGE; i++) {
				uint32_t next = pages * (uint32_t)TRACKS_PER_PAGE + i + 2;
				t->tracks[pages][i].owner = t;
				t->tracks[pages][i].next_free = i + 1 < TRACKS_PER_PAGE ? next : 0;
			}
			t->free_head = pages * (uint32_t)TRACKS_PER_PAGE + 1;
			atomic_store_explicit(&t->track_pages, pages + 1, memory_order_release);
		}
	}
	if (t->free_head) {
		*handle = t->free_head - 1;
		track = track_at(t, *handle);
		t->free_head = track->next_free;
		atomic_store_explicit(&track->state, TRACK_RESERVED, memory_order_relaxed);
	}
	lock_release(&t->lock);
	return track;
}

static uint32_t track_handle(const struct grant_table *t, const struct grant_track *track)
{
	uint32_t pages = atomic_load_explicit(&t->track_pages, memory_order_acquire);

	for (uint32_t p = 0; p < pages; p++)
		if (track >= t->tracks[p] && track < t->tracks[p] + TRACKS_PER_PAGE)
			return p * (uint32_t)TRACKS_PER_PAGE + (uint32_t)(track - t->tracks[p]);
	panic("grant handle of no page");
}

static void track_free(struct grant_track *track)
{
	struct grant_table *t = track->owner;

	lock_acquire(&t->lock);
	atomic_store_explicit(&track->state, TRACK_FREE, memory_order_relaxed);
	track->next_free = t->free_head;
	t->free_head = track_handle(t, track) + 1;
	lock_release(&t->lock);
}

/* Gives up what a mapping held: its pin, unless the granter is gone, and its frame. */
static void track_drop(struct grant_track *track)
{
	struct domain *granter = domain_find(track->granter);

	if (granter)
		unpin(granter, track->ref, track->readonly);
	frame_put(track->frame);
	track_free(track);
}

static void track_release(struct epoch_deferred *deferred)
{
	struct grant_track *track = container_of(deferred, struct grant_track, deferred);
	struct grant_table *t = track->owner;

	track_drop(track);
	atomic_fetch_sub_explicit(&t->releasing, 1, memory_order_release);
}

/* --- mapping ---------------------------------------------------------------------------------- */

/*
 * Everything about a mapping that can be refused, but for the p2m itself; reserves a handle, a pin
 * and a frame. Errors (GNTST_): bad_domain: no such live domain; bad_gntref: beyond its table;
 * general_error: the entry does not permit it, another has it mapped, or something is mapped at
 * gfn; address_too_big; bad_page: the granter's entry leads to no RAM of its own; eagain: the
 * granter keeps changing it; no_space: no handle, or mapped too often. Takes and releases the
 * mapper's grant table lock.
 */
int16_t grant_map_prepare(struct grant_map *m)
{
	struct domain *granter = domain_find(m->granter);
	struct p2m_entry e;

	if (!granter)
		return GNTST_bad_domain;
	if (gfn_raw(m->gfn) >= m->mapper->p2m.max_gfn)
		return GNTST_address_too_big;
	if (p2m_lookup(&m->mapper->p2m, m->gfn, &e))
		return GNTST_general_error;
	m->track = track_reserve(m->mapper->grants, &m->handle);
	if (!m->track)
		return GNTST_no_space;
	int16_t status = pin(granter, m->ref, m->mapper->id, m->readonly, &m->frame);
	if (status != GNTST_okay) {
		track_free(m->track);
		return status;
	}
	m->track->frame = m->frame;
	m->track->gfn = m->gfn;
	m->track->ref = m->ref;
	m->track->granter = m->granter;
	m->track->readonly = m->readonly;
	return GNTST_okay;
}

/* Undoes grant_map_prepare(). Nobody has had the translation, so that nothing is to be waited for.
 */
void grant_map_cancel(struct grant_map *m)
{
	track_drop(m->track);
}

/*
 * Makes the mapping. Errors (GNTST_), with everything undone: general_error: another vCPU has
 * mapped something there since; no_space: out of p2m tables. Takes the domain's lock.
 */
int16_t grant_map_commit(struct grant_map *m)
{
	struct domain *d = m->mapper;

	lock_acquire(&d->lock);
	int rc = p2m_map(&d->p2m, m->gfn, m->frame, 1, m->readonly ? P2M_GRANT_RO : P2M_GRANT_RW,
			 m->readonly ? P2M_R : P2M_RW);
	if (!rc)
		atomic_store_explicit(&m->track->state, TRACK_LIVE, memory_order_release);
	lock_release(&d->lock);
	if (!rc)
		return GNTST_okay;
	grant_map_cancel(m);
	return rc == -XEN_ENOMEM ? GNTST_no_space : GNTST_general_error;
}

/*
 * Looks a handle up and keeps others from closing it too. gfn: where the caller believes it mapped.
 * Errors (GNTST_): bad_handle: none of the caller's live mappings; bad_virt_addr: it is mapped
 * elsewhere.
 */
int16_t grant_unmap_prepare(struct domain *mapper, uint32_t handle, gfn_t gfn,
			    struct grant_track **out)
{
	struct grant_track *track = track_at(mapper->grants, handle);
	uint8_t live = TRACK_LIVE;

	if (!track ||
	    !atomic_compare_exchange_strong_explicit(&track->state, &live, TRACK_CLOSING,
						     memory_order_acquire, memory_order_relaxed))
		return GNTST_bad_handle;
	if (!gfn_equal(track->gfn, gfn)) {
		grant_unmap_cancel(track);
		return GNTST_bad_virt_addr;
	}
	*out = track;
	return GNTST_okay;
}

void grant_unmap_cancel(struct grant_track *track)
{
	atomic_store_explicit(&track->state, TRACK_LIVE, memory_order_release);
}

static void ignore_removed(gfn_t gfn, const struct p2m_entry *entry, uint64_t frame_count,
			   void *ctx)
{
	(void)gfn;
	(void)entry;
	(void)frame_count;
	(void)ctx;
}

/*
 * Takes the mapping away. The p2m's generation moves, so that this vCPU cannot use it any more once
 * it runs again; pin and frame follow after an epoch. Error: GNTST_no_space: out of p2m tables
 * (only where the mapping had become part of a larger leaf); it then stays. Takes the domain's
 * lock.
 */
int16_t grant_unmap_commit(struct domain *mapper, struct grant_track *track)
{
	lock_acquire(&mapper->lock);
	int rc = p2m_unmap(&mapper->p2m, track->gfn, 1, ignore_removed, NULL);
	lock_release(&mapper->lock);
	if (rc) {
		grant_unmap_cancel(track);
		return GNTST_no_space;
	}
	atomic_store_explicit(&track->state, TRACK_RELEASING, memory_order_relaxed);
	atomic_fetch_add_explicit(&track->owner->releasing, 1, memory_order_relaxed);
	epoch_defer(&track->deferred, track_release);
	return GNTST_okay;
}

/* --- tables ----------------------------------------------------------------------------------- */

/*
 * Gives a new domain its grant table, of one frame. -XEN_ENOMEM: nothing has changed but d->grants,
 * which grant_table_free() takes.
 */
int grant_table_create(struct domain *d)
{
	void *object;
	int rc = heap_alloc(sizeof(struct grant_table), d->id, &object);

	if (rc)
		return rc;
	d->grants = object;
	d->grants->domain = d;
	for (unsigned i = 0; i < GRANT_FRAMES_MAX; i++)
		d->grants->gfns[i] = GFN_INVALID;
	return grant_table_grow(d, 1);
}

/* Frames that a domain's table has now. */
uint32_t grant_table_frames(struct domain *d)
{
	return atomic_load_explicit(&d->grants->frame_count, memory_order_acquire);
}

static int grow_locked(struct grant_table *t, uint32_t wanted)
{
	uint32_t count = atomic_load_explicit(&t->frame_count, memory_order_relaxed);
	uint32_t done = count;
	int rc = 0;

	assert_locked(&t->lock);
	if (wanted > GRANT_FRAMES_MAX)
		return -XEN_EINVAL;
	for (; done < wanted; done++) {
		void *words;
		rc = heap_alloc(PAGE_SIZE, t->domain->id, &words);
		if (rc)
			break;
		rc = frame_alloc(0, t->domain->id, FRAME_GUEST_SHARED, &t->frames[done]);
		if (rc) {
			heap_free(words);
			break;
		}
		t->active[done] = words;
	}
	if (rc) {
		while (done > count) {
			frame_free(t->frames[--done], 0);
			heap_free((void *)t->active[done]);
			t->active[done] = NULL;
		}
		return rc;
	}
	if (done > count)
		atomic_store_explicit(&t->frame_count, done, memory_order_release);
	return 0;
}

/*
 * Makes the table at least frame_count frames large. -XEN_EINVAL: beyond GRANT_FRAMES_MAX;
 * -XEN_ENOMEM; nothing has changed then. Takes the grant table's lock.
 */
int grant_table_grow(struct domain *d, uint32_t frame_count)
{
	lock_acquire(&d->grants->lock);
	int rc = grow_locked(d->grants, frame_count);
	lock_release(&d->grants->lock);
	return rc;
}

/*
 * Shows frame index of the table at gfn, growing it if need be; where it was shown before, it no
 * longer is. -XEN_EINVAL: index or gfn out of range; -XEN_EEXIST: something is mapped at gfn;
 * -XEN_ENOMEM. On error nothing has changed, but the table may have grown. The caller holds the
 * domain's lock; takes the grant table's.
 */
int grant_table_map_frame(struct domain *d, uint32_t index, gfn_t gfn)
{
	struct grant_table *t = d->grants;
	int rc = -XEN_EINVAL;

	assert_locked(&d->lock);
	/* Also keeps GFN_INVALID, which stands for "nowhere" below, from being taken for a place. */
	if (gfn_raw(gfn) >= d->p2m.max_gfn)
		return -XEN_EINVAL;
	lock_acquire(&t->lock);
	if (index < GRANT_FRAMES_MAX)
		rc = grow_locked(t, index + 1);
	if (!rc && !gfn_equal(t->gfns[index], gfn)) {
		rc = p2m_map(&d->p2m, gfn, t->frames[index], 1, P2M_SHARED, P2M_RW);
		if (!rc) {
			gfn_t old = t->gfns[index];
			t->gfns[index] = gfn;
			/* Should this fail, the guest sees its own frame twice, which hurts nobody.
			 */
			if (!gfn_equal(old, GFN_INVALID) &&
			    p2m_unmap(&d->p2m, old, 1, ignore_removed, NULL))
				print(LOG_DEBUG, "d%u: grant table frame %u stays mapped twice",
				      d->id, index);
		}
	}
	lock_release(&t->lock);
	return rc;
}

/* Where the guest has frame index of its table, or GFN_INVALID. */
gfn_t grant_table_frame_gfn(struct domain *d, uint32_t index)
{
	gfn_t gfn = GFN_INVALID;

	lock_acquire(&d->grants->lock);
	if (index < GRANT_FRAMES_MAX)
		gfn = d->grants->gfns[index];
	lock_release(&d->grants->lock);
	return gfn;
}

/* The guest has taken the shared frame at gfn out of its address space. */
void grant_table_frame_unmapped(struct domain *d, gfn_t gfn)
{
	lock_acquire(&d->grants->lock);
	for (unsigned i = 0; i < GRANT_FRAMES_MAX; i++)
		if (gfn_equal(d->grants->gfns[i], gfn))
			d->grants->gfns[i] = GFN_INVALID;
	lock_release(&d->grants->lock);
}

/* --- the end ---------------------------------------------------------------------------------- */

/*
 * Gives up a page of handles of a domain that is being taken apart, after an epoch in which it did
 * not run; its p2m may still lead there, but nobody uses it. True when none is left.
 */
bool grant_maps_release_step(struct domain *d)
{
	struct grant_table *t = d->grants;
	uint32_t pages = atomic_load_explicit(&t->track_pages, memory_order_acquire);

	if (t->release_cursor < pages) {
		struct grant_track *page = t->tracks[t->release_cursor++];
		for (uint32_t i = 0; i < TRACKS_PER_PAGE; i++)
			if (atomic_load(&page[i].state) == TRACK_LIVE)
				track_drop(&page[i]);
		return false;
	}
	return atomic_load_explicit(&t->releasing, memory_order_acquire) == 0;
}

/*
 * Frees a domain's grant table: nobody can find the domain any more, it holds no mapping of others,
 * and its p2m does not lead to its shared frames. Others may still have its pages mapped: they hold
 * the frames, not this.
 */
void grant_table_free(struct domain *d)
{
	struct grant_table *t = d->grants;

	if (!t)
		return;
	d->grants = NULL;
	for (uint32_t i = 0; i < atomic_load(&t->frame_count); i++) {
		frame_free(t->frames[i], 0);
		heap_free((void *)t->active[i]);
	}
	for (uint32_t i = 0; i < atomic_load(&t->track_pages); i++)
		heap_free(t->tracks[i]);
	heap_free(t);
}
