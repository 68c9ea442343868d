/*
 * EPT: single pages that come and go on several CPUs at once, without the p2m's lock. State and
 * invariants: vmx/ept.c; how visitors and lock keep apart: vmx/ept_tables.h.
 *
 * While visitors are there, tables neither come nor go, nor do entries change otherwise than by
 * them, the processor's flags excepted. A table's count is never more than what it has: a page is
 * counted after it came, and not any more before it goes. So the last one of a table is left to who
 * has the lock, and so is joining.
 */
#include "ept_tables.h"
#include "public/errno.h"

static inline void leave(struct p2m *p2m)
{
	lock_given(&p2m->lock);
	atomic_fetch_sub_explicit(&p2m->visitors, 1, memory_order_release);
}

noinline_fn static void visit_queue(struct p2m *p2m)
{
	leave(p2m);
	lock_acquire(&p2m->lock);
	atomic_fetch_add(&p2m->visitors, 1);
	lock_release(&p2m->lock);
	lock_taken(&p2m->lock);
}

/* It is there if the lock is not busy now, else it goes to the queue. */
static inline void come(struct p2m *p2m)
{
	lock_check(&p2m->lock);
	atomic_fetch_add(&p2m->visitors, 1);
	lock_taken(&p2m->lock);
}

static inline void visit(struct p2m *p2m)
{
	come(p2m);
	if (unlikely(lock_busy(&p2m->lock)))
		visit_queue(p2m);
}

void p2m_visit_begin(struct p2m_visit *v, struct p2m *p2m)
{
	v->p2m = p2m;
	v->leaf.count = 0;
	v->removed = false;
	visit(p2m);
}

bool p2m_visit_reach(struct p2m_visit *v, uint64_t gfn)
{
	struct p2m_leaf *l = ept_leaf_place(gfn);

	v->leaf.count = 0;
	if (ept_leaf_reach(v->p2m, gfn, l))
		return false;
	v->leaf = *l;
	return true;
}

int p2m_visit_take_last(struct p2m_visit *v, gfn_t gfn, enum p2m_type type, mfn_t *frame)
{
	struct p2m_batch b;

	leave(v->p2m);
	p2m_batch_begin(&b, v->p2m);
	int rc = p2m_batch_take_any(&b, gfn, type, frame);
	p2m_batch_end(&b);
	v->leaf.count = 0;
	visit(v->p2m);
	return rc;
}

void p2m_visit_yield(struct p2m_visit *v)
{
	leave(v->p2m);
	v->leaf.count = 0;
	visit(v->p2m);
}

/* The order is that of ept_unmap_locked(): entries, generation, marks; what was removed after. */
void p2m_visit_end(struct p2m_visit *v)
{
	if (v->removed) {
		ept_move_generation(v->p2m);
		p2m_mark_flush(v->p2m);
	}
	leave(v->p2m);
	trace(TRACE_BATCH, 0, v->removed);
}

/* Of what is rare when a page has been filled: its table has become full. */
noinline_fn static int fill_rest(struct p2m *p2m, uint64_t gfn, bool full)
{
	trace(TRACE_MAP, 0, 1);
	if (full) {
		p2m_lock(p2m);
		ept_join(p2m, gfn);
		lock_release(&p2m->lock);
	}
	return 0;
}

static inline int fill_entry(struct p2m *p2m, uint64_t gfn, const struct p2m_leaf *l, uint64_t leaf)
{
	uint64_t nothing = 0, *link = l->link;

	if (unlikely(!ept_change(&l->entries[gfn - l->first], &nothing, leaf))) {
		leave(p2m);
		return -XEN_EEXIST;
	}
	/* See ept_count_entries(). */
	__atomic_fetch_add(link, UINT64_C(1) << IN_USE_SHIFT, __ATOMIC_RELAXED);
	bool full = table_full(ept_load(link));
	leave(p2m);
	return unlikely(full || TRACE_ON) ? fill_rest(p2m, gfn, full) : 0;
}

noinline_fn static int fill_far(struct p2m *p2m, uint64_t gfn, struct p2m_leaf *l, uint64_t leaf)
{
	if (lock_busy(&p2m->lock))
		visit_queue(p2m);
	int rc = ept_leaf_reach(p2m, gfn, l);
	if (!rc)
		return fill_entry(p2m, gfn, l, leaf);
	leave(p2m);
	return rc;
}

/* Neighbours are touched one after the other: their table is kept at hand. */
int p2m_fill_page(struct p2m *p2m, gfn_t gfn, mfn_t frame, enum p2m_type type, unsigned access)
{
	uint64_t g = gfn_raw(gfn), leaf = make_leaf(frame, type, access, 1);
	struct p2m_leaf *l = ept_leaf_place(g);

	come(p2m);
	if (unlikely(lock_busy(&p2m->lock) || !ept_leaf_good(p2m, g, l)))
		return fill_far(p2m, g, l, leaf);
	return fill_entry(p2m, g, l, leaf);
}
