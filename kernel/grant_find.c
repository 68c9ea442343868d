/*
 * The way back: from a page of a domain's own to the references through which others have it.
 *
 * State: none. No lock: each answer was true at some moment. Nothing is kept for it but a note at
 * the frame, of the reference through which it was mapped last: with a page that is mapped once it
 * leads to the answer. How many references a frame has says whether there are others to search for.
 */
#include "grant_internal.h"
#include "mm/frame.h"
#include "p2m.h"
#include "public/keyhole.h"

/* References that one step looks at. */
#define FIND_LOOKS 2048u

static bool leads_to(const struct domain *d, uint32_t ref, mfn_t frame, uint32_t *pins)
{
	uint64_t a = grant_entry_active(d, ref);

	*pins = grant_active_pins(a);
	return *pins && mfn_equal(grant_active_frame(a), frame);
}

/* The first reference from op->ref on. False: not found yet, op->ref has moved on. */
static bool search(const struct domain *d, mfn_t frame, uint32_t uses,
		   struct keyhole_grant_find *op)
{
	uint32_t end = grant_table_frames(d) * GRANT_ENTRIES_PER_FRAME;
	uint32_t noted, handle, pins;

	op->status = GNTST_bad_gntref;
	frame_note(frame, &noted, &handle);
	if (!uses || (leads_to(d, noted, frame, &pins) && pins == uses)) {
		if (uses && noted >= op->ref)
			op->ref = noted;
		else
			end = 0;
	}
	for (unsigned looks = 0; op->ref < end; op->ref++) {
		if (leads_to(d, op->ref, frame, &pins)) {
			op->mappings = pins;
			op->others = uses > pins ? uses - pins : 0;
			op->domid = grant_active_mapper(grant_entry_active(d, op->ref));
			op->status = GNTST_okay;
			return true;
		}
		if (++looks == FIND_LOOKS)
			return false;
	}
	return true;
}

/*
 * Finds a reference of a domain's own through which others have its page op->gfn. False: it is to
 * be called again, with op as it is now. Statuses (GNTST_): bad_page: no RAM of its own there;
 * bad_gntref: there is none from op->ref on.
 */
bool grant_find(struct domain *d, struct keyhole_grant_find *op)
{
	struct p2m_entry e;

	op->mappings = op->others = 0;
	op->domid = DOMID_HYPERVISOR;
	op->status = GNTST_bad_page;
	if (!p2m_lookup(&d->p2m, make_gfn(op->gfn), &e) || e.type != P2M_RAM)
		return true;
	return search(d, e.frame, frame_refs(e.frame) - 1, op);
}
