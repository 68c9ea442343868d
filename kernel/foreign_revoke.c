/*
 * Foreign mappings of a domain that is destroyed are taken from those who have them, as grants are
 * (kernel/grant_revoke.c).
 *
 * State: none of its own. Lock: the mapper's, and its p2m's.
 */
#include "kernel/foreign_map.h"
#include "kernel/reservation.h"
#include "lock.h"
#include "mm/frame.h"
#include "p2m.h"
#include "print.h"

/* What one step looks at, leaves of a p2m or frames of a large one, and what it takes away. Entries
 * without a leaf are looked at, too: so many as one; of a hole not all, but as many as three levels
 * of tables have. */
#define REVOKE_LOOKS  1024u
#define REVOKE_FRAMES 64u
#define HOLES_A_LOOK  4u
#define HOLES_MAX     (3 * FRAMES_PER_2M)

/* Foreign frames of one owner. */
struct foreign_search {
	domid_t owner;
	bool stopped;  /* before the end, at: */
	uint64_t next; /* a gfn; what comes before has been looked at */
	unsigned looks, count;
	struct {
		uint64_t gfn;
		mfn_t frame;
		unsigned order; /* of its leaf */
	} found[REVOKE_FRAMES];
};

static bool collect_foreign(gfn_t gfn, const struct p2m_entry *entry, void *ctx)
{
	struct foreign_search *s = ctx;
	uint64_t first = gfn_raw(gfn), end = (first | ((1ull << entry->order) - 1)) + 1;
	uint64_t holes = first - s->next < HOLES_MAX ? first - s->next : HOLES_MAX;

	/* One leaf is looked at after whatever hole. */
	s->looks = s->looks > holes / HOLES_A_LOOK ? s->looks - (unsigned)(holes / HOLES_A_LOOK)
						   : s->looks > 0;
	s->next = end;
	for (uint64_t g = first; g < end; g++) {
		mfn_t frame = mfn_add(entry->frame, g - first);

		if (!s->looks || s->count == REVOKE_FRAMES) {
			s->stopped = true;
			s->next = g;
			return false;
		}
		s->looks--;
		if (entry->type != P2M_FOREIGN)
			break;
		if (frame_owner(frame) != s->owner)
			continue;
		s->found[s->count].gfn = g;
		s->found[s->count++].order = entry->order;
	}
	return true;
}

/* No table is left to split a leaf: all of it goes, whoever else's pages are in it. Returns the gfn
 * behind it. */
static uint64_t drop_leaf(struct domain *mapper, uint64_t gfn, unsigned order)
{
	uint64_t count = 1ull << order, first = gfn & ~(count - 1);

	if (p2m_unmap(&mapper->p2m, make_gfn(first), count, memory_put_removed, mapper))
		panic("d%u: a whole leaf of the p2m could not be taken out", mapper->id);
	return first + count;
}

/*
 * A bounded step in taking the pages of an owner, which nobody can map any more, out of the foreign
 * mappings of a domain, from *at on, which it moves. In their place comes its own poison frame, as
 * a foreign page of its own; where it has no table left to split a large leaf, a hole. False: there
 * is no more to do. Takes the mapper's lock and its p2m's.
 */
bool foreign_revoke_step(domid_t owner, struct domain *mapper, uint64_t *at)
{
	struct foreign_search s = {.owner = owner, .looks = REVOKE_LOOKS, .next = *at};
	struct p2m_batch batch;
	unsigned done = 0;
	int rc = 0;

	lock_acquire(&mapper->lock);
	if (!mapper->maps_closed) {
		p2m_for_each_from(&mapper->p2m, make_gfn(*at), collect_foreign, &s);
		*at = s.next;
		p2m_batch_begin(&batch, &mapper->p2m);
		for (; !rc && done < s.count; done += !rc) {
			rc = frame_get_present(mapper->poison, mapper->id, FRAME_GUEST_SHARED);
			if (rc)
				break;
			rc = p2m_batch_exchange(&batch, make_gfn(s.found[done].gfn), P2M_FOREIGN,
						mapper->poison, &s.found[done].frame);
			if (rc)
				frame_put(mapper->poison);
		}
		p2m_batch_end(&batch);
		foreign_count(mapper, mapper->id, done);
		for (unsigned i = 0; i < done; i++)
			foreign_put_run(mapper, s.found[i].frame, 1);
		if (rc)
			*at = drop_leaf(mapper, s.found[done].gfn, s.found[done].order);
	}
	lock_release(&mapper->lock);
	return s.stopped || rc;
}
