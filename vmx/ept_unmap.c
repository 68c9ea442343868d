/*
 * EPT: taking a range out. State, lock and invariants: vmx/ept.c. Ready for many CPUs, but for the
 * kick named at p2m_mark_flush().
 */
#include "ept_tables.h"
#include "mm/epoch.h"
#include "mutant.h"
#include "public/errno.h"

/*
 * How many tables it takes until no leaf reaches across the edge between edge - 1 and edge; those
 * are not counted that splitting at the edge other, if that is in the same leaf, provides.
 */
static unsigned split_count(struct ept_cursor *c, uint64_t edge, uint64_t other)
{
	unsigned count = 0;

	if (!(edge & (FRAMES_PER_1G - 1)))
		return 0;
	if (!present(ept_seek(c, edge, 1, false)))
		return 0;
	for (unsigned level = c->level; level > 1; level--) {
		uint64_t within = level_span(level) - 1;

		if (!(edge & within))
			break;
		if (!(other & within) || (edge ^ other) & ~within)
			count++;
	}
	return count;
}

/*
 * Replaces leaves that reach across the edge by tables that say the same. Accessed and dirty are
 * set in the new leaves: the processor may be about to set them in the old one.
 */
static void split_at(struct ept_cursor *c, uint64_t edge, struct ept_spare *spare)
{
	while (edge & (FRAMES_PER_1G - 1)) {
		uint64_t value = ept_seek(c, edge, 1, false);
		unsigned level = c->level;

		if (!present(value) || level == 1 || !(edge & (level_span(level) - 1)))
			return;
		mfn_t table = ept_spare_pop(spare);
		uint64_t *entries = pool_table(table);
		if (ept_config.has_accessed_dirty)
			value |= EPT_ACCESSED | EPT_DIRTY;
		if (level == 2)
			value &= ~EPT_LEAF;
		for (uint64_t i = 0; i < ENTRIES_PER_TABLE; i++)
			ept_store(&entries[i], value + (i * level_span(level - 1) << PAGE_SHIFT));
		ept_store(c->path[level],
			  make_link(table) | (uint64_t)ENTRIES_PER_TABLE << IN_USE_SHIFT);
		c->level = 0;
	}
}

/* Splits at both edges of a range: all that can fail of taking it out. */
static int unmap_prepare(struct ept_cursor *c, uint64_t gfn, uint64_t end)
{
	struct ept_spare spare;

	ept_seek(c, gfn, 1, false);
	if (c->level == 1 && !((gfn ^ (end - 1)) >> 9))
		return 0; /* within one leaf table */
	unsigned tables = split_count(c, gfn, 0) + split_count(c, end, gfn);
	if (!tables)
		return 0;
	int rc = ept_spare_fill(c->p2m, &spare, tables);
	if (rc)
		return rc;
	split_at(c, gfn, &spare);
	split_at(c, end, &spare);
	return 0;
}

int ept_split(struct p2m *p2m, uint64_t gfn)
{
	struct ept_cursor c = {.p2m = p2m};

	return unmap_prepare(&c, gfn, gfn + 1);
}

/* An entry of the table of path[level] is gone: so are the tables that have none left. */
static void bury_empty_tables(struct ept_cursor *c, unsigned level)
{
	for (; level < LEVEL_TOP; level++) {
		uint64_t *link = c->path[level + 1];
		uint64_t value = ept_load(link);

		if (value & IN_USE_MASK)
			return;
		ept_store(link, make_tombstone(value));
		ept_count_entries(c, level + 1, -1);
	}
}

/* Makes all entries of the range, and tables left empty by that, not present. Returns whether there
 * was any. */
static bool unmap_bury(struct ept_cursor *c, uint64_t gfn, uint64_t end)
{
	bool any = false;

	while (gfn < end) {
		uint64_t value = ept_seek(c, gfn, 1, false);
		unsigned level = c->level;
		uint64_t run = level == 1 ? ept_run(c, end) : 1;
		int64_t buried = 0;

		for (uint64_t *entry = c->path[level];;) {
			if (present(value)) {
				ept_store(entry, make_tombstone(value));
				buried++;
			}
			if (!--run)
				break;
			value = ept_load(++entry);
		}
		gfn = level == 1 ? gfn + ept_run(c, end) : ept_next(c);
		if (!buried)
			continue;
		any = true;
		ept_count_entries(c, level, -buried);
		bury_empty_tables(c, level);
	}
	return any;
}

struct removed_run {
	uint64_t gfn, frame_count;
	struct p2m_entry entry;
	p2m_removed_fn fn;
	void *ctx;
};

static void run_end(struct removed_run *run)
{
	if (run->frame_count && run->fn)
		run->fn(make_gfn(run->gfn), &run->entry, run->frame_count, run->ctx);
	run->frame_count = 0;
}

static void run_add(struct removed_run *run, uint64_t gfn, uint64_t value, unsigned level)
{
	struct p2m_entry entry = decode_leaf(tombstone_entry(value), gfn, level);

	if (run->frame_count && run->gfn + run->frame_count == gfn &&
	    mfn_raw(run->entry.frame) + run->frame_count == mfn_raw(entry.frame) &&
	    run->entry.type == entry.type && run->entry.access == entry.access &&
	    run->entry.order == entry.order) {
		run->frame_count += level_span(level);
		return;
	}
	run_end(run);
	run->gfn = gfn;
	run->frame_count = level_span(level);
	run->entry = entry;
}

/* Clears the tombstones of the range, reports what they were, and gives the dead tables back. */
static void unmap_collect(struct ept_cursor *c, uint64_t gfn, uint64_t end, struct removed_run *run)
{
	while (gfn < end) {
		uint64_t value = ept_seek(c, gfn, 1, true);
		unsigned level = c->level;
		uint64_t left = level == 1 ? ept_run(c, end) : 1;
		uint64_t next = level == 1 ? gfn + left : ept_next(c);

		for (uint64_t *entry = c->path[level];;) {
			if (value & TOMBSTONE) {
				run_add(run, gfn, value, level);
				ept_store(entry, 0);
			}
			if (!--left)
				break;
			gfn++;
			value = ept_load(++entry);
		}
		gfn = next;
		ept_release_tables(c, gfn, end, false);
	}
	run_end(run);
}

/* A locked operation: see p2m_mark_flush(). */
void ept_move_generation(struct p2m *p2m)
{
	if (MUTANT(NO_FENCE_REMOVE))
		atomic_store_explicit(&p2m->generation,
				      atomic_load_explicit(&p2m->generation, memory_order_relaxed) +
					  1,
				      memory_order_relaxed);
	else
		atomic_fetch_add(&p2m->generation, !MUTANT(NO_GENERATION));
}

/*
 * The inside of p2m_unmap(). Time is linear in frame_count where something is mapped: callers bound
 * it.
 *
 * The order matters. First everything becomes not present, tables included; then the generation
 * moves and the CPUs are marked; only then are frames and tables handed on. If a table or frame
 * went to the epoch earlier, a CPU could pass its quiescent point unmarked in between, with a stale
 * translation, and the epoch would not wait for it again.
 */
int ept_unmap_locked(struct p2m *p2m, gfn_t gfn, uint64_t frame_count, p2m_removed_fn removed,
		     void *ctx)
{
	struct ept_cursor c = {.p2m = p2m};
	struct removed_run run = {.fn = removed, .ctx = ctx};
	uint64_t start = gfn_raw(gfn), end = start + frame_count;

	assert_locked(&p2m->lock);
	if (!ept_range_valid(p2m, start, frame_count))
		return -XEN_EINVAL;
	if (!frame_count)
		return 0;
	int rc = unmap_prepare(&c, start, end);
	if (!rc && unmap_bury(&c, start, end)) {
		ept_move_generation(p2m);
		p2m_mark_flush(p2m);
		unmap_collect(&c, start, end, &run);
		trace(TRACE_UNMAP, 0, (uint32_t)frame_count);
	}
	return rc;
}

int p2m_unmap(struct p2m *p2m, gfn_t gfn, uint64_t frame_count, p2m_removed_fn removed, void *ctx)
{
	p2m_lock(p2m);
	int rc = ept_unmap_locked(p2m, gfn, frame_count, removed, ctx);
	lock_release(&p2m->lock);
	return rc;
}
