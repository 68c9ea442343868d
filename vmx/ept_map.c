/*
 * EPT: mapping a range, and joining. State, lock and invariants: vmx/ept.c. Ready for many CPUs,
 * but for the kick named at p2m_mark_flush().
 *
 * First everything that can fail (p2m_map checks the whole range and takes the tables it needs),
 * then the change. A processor or a look-up may see a part of the range mapped meanwhile.
 */
#include "ept_tables.h"
#include "mm/epoch.h"
#include "public/errno.h"

/* --- joining ---------------------------------------------------------------------------------- */

/*
 * The larger leaf that says what the entries of a full table of a level say; 0 if none does. RAM
 * and foreign frames only: a grant is unmapped by its handle, which may not fail for want of the
 * table that splitting takes. Accessed and dirty are set, as they are by split_at(): a processor
 * may be about to set them in the table.
 */
static uint64_t joined_leaf(const uint64_t *entries, unsigned level)
{
	const uint64_t flags = EPT_ACCESSED | EPT_DIRTY, step = level_span(level) << PAGE_SHIFT;
	uint64_t first = ept_load(&entries[0]) & ~flags, wanted = first;
	uint64_t last = ept_load(&entries[ENTRIES_PER_TABLE - 1]) & ~flags;
	uint64_t type = (first & EPT_TYPE_MASK) >> EPT_TYPE_SHIFT;

	if ((level > 1 && !(first & EPT_LEAF)) || (type != P2M_RAM && type != P2M_FOREIGN) ||
	    mfn_raw(entry_frame(first)) & (level_span(level + 1) - 1) ||
	    last != first + (ENTRIES_PER_TABLE - 1) * step)
		return 0;
	for (unsigned i = 0; i < ENTRIES_PER_TABLE; i += 4, wanted += 4 * step) {
		uint64_t differs = ept_load(&entries[i]) ^ wanted;

		differs |= ept_load(&entries[i + 1]) ^ (wanted + step);
		differs |= ept_load(&entries[i + 2]) ^ (wanted + 2 * step);
		differs |= ept_load(&entries[i + 3]) ^ (wanted + 3 * step);
		if (differs & ~flags)
			return 0;
	}
	return first | EPT_LEAF | (ept_config.has_accessed_dirty ? flags : 0);
}

/*
 * The table in which gfn's leaf lies has been filled: puts one leaf in the place of a table that
 * says the same, and so upwards. Cannot fail; looks at 512 entries a level at most.
 *
 * The table is not written any more, so that whoever still holds the old way to it, a processor or
 * a look-up, reads the same as before. It waits for the flush like a frame that was taken out: the
 * entry leads elsewhere, then the generation moves, then the table goes to the epoch. INVEPT is
 * due, although no translation changes, because the address in the entry does. Source: SDM Vol. 3,
 * "Guidelines for Use of the INVEPT Instruction".
 */
void ept_join(struct p2m *p2m, uint64_t gfn)
{
	struct ept_cursor c = {.p2m = p2m};

	ept_seek(&c, gfn, 1, false);
	for (unsigned level = c.level;
	     level == 1 ? ept_config.has_2m : level == 2 && ept_config.has_1g; level++) {
		uint64_t link = ept_load(c.path[level + 1]);
		uint64_t leaf = table_full(link) ? joined_leaf(entry_table(link), level) : 0;

		if (!leaf)
			return;
		ept_store(c.path[level + 1], leaf);
		ept_forget_leaves(p2m);
		ept_move_generation(p2m);
		p2m_mark_flush(p2m);
		epoch_free_table(&p2m->tables, entry_frame(link));
	}
}

/* --- mapping ---------------------------------------------------------------------------------- */

struct map_range {
	uint64_t gfn, end;
	mfn_t frame; /* of gfn */
};

/* The level of the next leaf, and how many frames are then done at once. */
static inline unsigned map_step(const struct map_range *r, uint64_t *frame_count)
{
	uint64_t place = r->gfn | mfn_raw(r->frame), left = r->end - r->gfn;

	*frame_count = FRAMES_PER_1G;
	if (ept_config.has_1g && left >= FRAMES_PER_1G && !(place & (FRAMES_PER_1G - 1)))
		return 3;
	*frame_count = FRAMES_PER_2M;
	if (ept_config.has_2m && left >= FRAMES_PER_2M && !(place & (FRAMES_PER_2M - 1)))
		return 2;
	*frame_count = FRAMES_PER_2M - (r->gfn & (FRAMES_PER_2M - 1));
	if (*frame_count > left)
		*frame_count = left;
	return 1;
}

/* Entries of one table go four at a time: this is most of a long run. */
static bool any_present(const uint64_t *entries, uint64_t count)
{
	uint64_t any = 0;

	for (; count >= 4; count -= 4, entries += 4) {
		any |= ept_load(&entries[0]) | ept_load(&entries[1]);
		any |= ept_load(&entries[2]) | ept_load(&entries[3]);
	}
	while (count)
		any |= ept_load(&entries[--count]);
	return present(any);
}

static void store_run(uint64_t *entries, uint64_t count, uint64_t value)
{
	for (; count >= 4; count -= 4, entries += 4, value += 4 * PAGE_SIZE) {
		ept_store(&entries[0], value);
		ept_store(&entries[1], value + PAGE_SIZE);
		ept_store(&entries[2], value + 2 * PAGE_SIZE);
		ept_store(&entries[3], value + 3 * PAGE_SIZE);
	}
	for (; count; count--, entries++, value += PAGE_SIZE)
		ept_store(entries, value);
}

/* Checks that nothing is mapped in the range, and takes the tables that mapping it needs. */
static int map_prepare(struct ept_cursor *c, struct map_range r, struct ept_spare *spare)
{
	uint64_t start = r.gfn, tables = 0, frame_count;

	for (; r.gfn < r.end; r.gfn += frame_count, r.frame = mfn_add(r.frame, frame_count)) {
		unsigned leaf_level = map_step(&r, &frame_count);
		uint64_t value = ept_seek(c, r.gfn, leaf_level, false);

		if (present(value))
			return -XEN_EEXIST;
		if (c->level == 1 && any_present(c->path[1] + 1, frame_count - 1))
			return -XEN_EEXIST;
		/* A missing table is counted where the range first comes into its reach. */
		for (unsigned level = leaf_level; level < c->level; level++)
			tables += r.gfn == start || !(r.gfn & (level_span(level + 1) - 1));
	}
	return ept_spare_fill(c->p2m, spare, tables);
}

static void map_commit(struct ept_cursor *c, struct map_range r, enum p2m_type type,
		       unsigned access, struct ept_spare *spare)
{
	uint64_t frame_count;

	for (; r.gfn < r.end; r.gfn += frame_count, r.frame = mfn_add(r.frame, frame_count)) {
		unsigned leaf_level = map_step(&r, &frame_count);
		uint64_t value = make_leaf(r.frame, type, access, leaf_level);

		ept_seek(c, r.gfn, leaf_level, false);
		while (c->level > leaf_level) {
			mfn_t table = ept_spare_pop(spare);

			ept_store(c->path[c->level], make_link(table));
			ept_count_entries(c, c->level, 1);
			c->level--;
			c->path[c->level] = &pool_table(table)[level_index(r.gfn, c->level)];
		}
		uint64_t entries = leaf_level > 1 ? 1 : frame_count;
		store_run(c->path[leaf_level], entries, value);
		ept_count_entries(c, leaf_level, (int64_t)entries);
		if (table_full(ept_load(c->path[leaf_level + 1]))) {
			ept_join(c->p2m, r.gfn);
			c->level = 0;
		}
	}
}

int ept_map_locked(struct p2m *p2m, gfn_t gfn, mfn_t frame, uint64_t frame_count,
		   enum p2m_type type, unsigned access)
{
	struct ept_cursor c = {.p2m = p2m};
	struct ept_spare spare;

	assert_locked(&p2m->lock);
	if (!ept_range_valid(p2m, gfn_raw(gfn), frame_count) || !ept_access_valid(type, access) ||
	    mfn_raw(frame) > MFN_LIMIT || frame_count > MFN_LIMIT - mfn_raw(frame))
		return -XEN_EINVAL;
	struct map_range range = {gfn_raw(gfn), gfn_raw(gfn) + frame_count, frame};
	int rc = map_prepare(&c, range, &spare);
	if (!rc) {
		map_commit(&c, range, type, access, &spare);
		trace(TRACE_MAP, 0, (uint32_t)frame_count);
	}
	return rc;
}

int p2m_map(struct p2m *p2m, gfn_t gfn, mfn_t frame, uint64_t frame_count, enum p2m_type type,
	    unsigned access)
{
	p2m_lock(p2m);
	int rc = ept_map_locked(p2m, gfn, frame, frame_count, type, access);
	lock_release(&p2m->lock);
	return rc;
}
