/*
 * GNTTABOP_copy and GNTTABOP_cache_flush: what is done with pages without mapping them.
 *
 * State: none; a batch keeps the session with the granter that it looked at last. No lock but BUSY
 * of one active word at a time. What is behind a reference is pinned, marked and referenced during
 * its copy; what is behind a frame of the caller's own stays that until this CPU's next quiescent
 * point.
 *
 * Uses the window's slots WINDOW_GRANT, WINDOW_SOURCE and WINDOW_TARGET.
 *
 * Source: Xen, public/grant_table.h.
 */
#include "grant_copy.h"
#include "cpu.h"
#include "grant_pin.h"
#include "mem.h"
#include "mm/window.h"
#include "p2m.h"
#include "public/errno.h"
#include "public/xen.h"

/* One side of a copy. */
struct side {
	mfn_t frame;
	uint32_t ref;
	domid_t granter;
	bool pinned; /* it is a reference, and held */
};

void grant_copies_begin(struct grant_copies *c, struct domain *d)
{
	c->domain = d;
	grant_session_begin(&c->session, d->id);
}

void grant_copies_end(struct grant_copies *c)
{
	grant_session_end(&c->session);
}

/* RAM of the caller that has no frame yet may get one now. */
noinline_fn static bool own_filled(struct p2m *p2m, uint64_t gfn, struct p2m_entry *e)
{
	return gfn < p2m->max_gfn && p2m->fill && p2m->fill(p2m, make_gfn(gfn)) &&
	       p2m_lookup(p2m, make_gfn(gfn), e);
}

/* The frame of the caller's own address space at gfn, if it has these rights (P2M_*) there. */
static inline bool own_frame(struct domain *d, uint64_t gfn, unsigned rights, struct p2m_entry *e)
{
	if (unlikely(!p2m_lookup(&d->p2m, make_gfn(gfn), e)) && !own_filled(&d->p2m, gfn, e))
		return false;
	return (e->access & rights) == rights;
}

always_inline_fn static inline int16_t side_open(struct grant_copies *c,
						 const struct gnttab_copy_ptr *p, bool is_ref,
						 bool write, struct side *out)
{
	struct p2m_entry e;

	out->pinned = is_ref;
	if (!is_ref) {
		if (p->domid != DOMID_SELF)
			return GNTST_permission_denied;
		if (!own_frame(c->domain, p->ref_or_gmfn, write ? P2M_RW : P2M_R, &e))
			return GNTST_bad_page;
		out->frame = e.frame;
		return GNTST_okay;
	}
	out->ref = (uint32_t)p->ref_or_gmfn;
	out->granter = p->domid == DOMID_SELF ? c->domain->id : p->domid;
	if (unlikely(c->session.granter_id != out->granter) &&
	    !grant_session_switch(&c->session, out->granter))
		return GNTST_bad_domain;
	return grant_entry_pin(&c->session, out->ref, c->domain->id, !write, &out->frame);
}

always_inline_fn static inline void side_close(struct grant_copies *c, const struct side *side,
					       bool write)
{
	if (!side->pinned)
		return;
	if (unlikely(c->session.granter_id != side->granter))
		grant_session_return(&c->session, side->granter);
	grant_entry_unpin(&c->session, side->ref, c->domain->id, !write, side->frame);
	frame_put(side->frame);
}

/*
 * One copy; op is a copy itself. Where source and target overlap, what is in the target then is
 * undefined. Statuses (GNTST_), with nothing changed: bad_copy_arg: beyond a page, or unknown
 * flags; permission_denied: a frame of another domain without a reference; bad_domain; bad_page: no
 * memory, or not with these rights; and those of grant_entry_pin().
 */
int16_t grant_copy_one(struct grant_copies *c, const struct gnttab_copy *op)
{
	bool from_ref = op->flags & GNTCOPY_source_gref, to_ref = op->flags & GNTCOPY_dest_gref;
	struct side from, to;

	if (unlikely(op->flags & ~(GNTCOPY_source_gref | GNTCOPY_dest_gref) ||
		     (uint32_t)op->source.offset + op->len > PAGE_SIZE ||
		     (uint32_t)op->dest.offset + op->len > PAGE_SIZE))
		return GNTST_bad_copy_arg;
	int16_t status = side_open(c, &op->source, from_ref, false, &from);
	if (unlikely(status != GNTST_okay))
		return status;
	status = side_open(c, &op->dest, to_ref, true, &to);
	if (likely(status == GNTST_okay)) {
		const char *source = window_open_readonly(WINDOW_SOURCE, from.frame);
		char *target = window_open(WINDOW_TARGET, to.frame);

		copy_words(target + op->dest.offset, source + op->source.offset, op->len);
		window_close(WINDOW_TARGET);
		window_close(WINDOW_SOURCE);
		side_close(c, &to, true);
	}
	side_close(c, &from, false);
	return status;
}

/* --- caches ----------------------------------------------------------------------------------- */

#define CACHE_LINE 64u /* of every processor with VT-x; a smaller step would do no harm */

/*
 * Writes the lines of a piece of memory back and drops them. The address is a guest-physical one of
 * the caller's: machine addresses are never told. 0, or -XEN_EINVAL: beyond a page, or unknown
 * operations; -XEN_EOPNOTSUPP: by reference, or dropping without writing back; -XEN_EPERM: neither
 * RAM of the caller's own nor a writable grant.
 */
int grant_cache_flush(struct domain *d, const struct gnttab_cache_flush *op)
{
	uint32_t known = GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_INVAL | GNTTAB_CACHE_SOURCE_GREF;
	uint32_t end = (uint32_t)op->offset + op->length;
	struct p2m_entry e;

	if (op->offset >= PAGE_SIZE || end > PAGE_SIZE || op->op & ~known)
		return -XEN_EINVAL;
	if (!op->length || !op->op)
		return 0;
	if (op->op & GNTTAB_CACHE_SOURCE_GREF || !(op->op & GNTTAB_CACHE_CLEAN))
		return -XEN_EOPNOTSUPP;
	if (!own_frame(d, op->dev_bus_addr >> PAGE_SHIFT, P2M_RW, &e) ||
	    (e.type != P2M_RAM && e.type != P2M_GRANT_RW))
		return -XEN_EPERM;
	const char *page = window_open_readonly(WINDOW_SOURCE, e.frame);
	for (uint32_t at = op->offset & ~(CACHE_LINE - 1); at < end; at += CACHE_LINE)
		clflush(page + at);
	window_close(WINDOW_SOURCE);
	return 0;
}
