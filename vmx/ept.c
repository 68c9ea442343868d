/*
 * The p2m of VT-x: extended page tables (EPT), and the interface p2m.h on top of them.
 *
 * State: the tables below p2m->root, pages of the table pools, charged to the domain. They are
 * always mapped, so that going from an entry to the table it points to is arithmetic. Lock:
 * p2m->lock for all changes, but for single pages, which visitors change by locked operations while
 * nobody has it (vmx/ept_visit.c). Look-ups take no lock: entries are read and written whole, a
 * table is complete before it is linked, and one that was taken out lives until every CPU has
 * passed a quiescent point.
 *
 * Invariants, whenever the lock is free and no visitor is there:
 *  - an empty table does not stay in the tree (the root excepted). What an aligned mapping covers
 *    whole therefore either has no entry or has something mapped;
 *  - where the processor has the larger leaf, no table is full of RAM or foreign frames that such a
 *    leaf could map alike (ept_join), but for a moment if a visitor has filled it;
 *  - not-present entries are zero; within p2m_unmap() alone they may be tombstones, whose address
 *    is inverted, so that a speculative walk leads to no memory.
 *
 * Source: SDM Vol. 3, "The Extended Page Table Mechanism (EPT)", "Caching Translation Information".
 */
#include "vmx/ept.h"
#include "ept_tables.h"
#include "mm/epoch.h"
#include "mm/ledger.h"
#include "mutant.h"
#include "percpu.h"
#include "public/errno.h"

struct ept_config ept_config;

void ept_forget_leaves(struct p2m *p2m)
{
	static _Atomic uint64_t last;

	p2m->leaf_tables = atomic_fetch_add(&last, 1) + 1;
}

void ept_configure(bool has_1g, bool has_2m, bool has_accessed_dirty)
{
	ept_config.has_1g = has_1g;
	ept_config.has_2m = has_2m;
	ept_config.has_accessed_dirty = has_accessed_dirty;
}

bool p2m_tracks_access(void)
{
	return ept_config.has_accessed_dirty;
}

uint64_t ept_pointer(const struct p2m *p2m)
{
	return mfn_raw(p2m->root) << PAGE_SHIFT | MEMORY_TYPE_WB | EPTP_WALK_4 |
	       (ept_config.has_accessed_dirty ? EPTP_ACCESSED_DIRTY : 0);
}

/* --- tables taken ahead of a change ----------------------------------------------------------- */

mfn_t ept_spare_pop(struct ept_spare *spare)
{
	mfn_t table = spare->first;
	uint64_t *words = pool_table(table);

	assert_always(!mfn_equal(table, MFN_INVALID));
	spare->first = make_mfn(~words[0]);
	words[0] = 0;
	return table;
}

/* Takes count tables, or none. */
int ept_spare_fill(struct p2m *p2m, struct ept_spare *spare, uint64_t count)
{
	uint32_t used = atomic_load_explicit(&p2m->tables.used, memory_order_relaxed);

	spare->first = MFN_INVALID;
	if (used > p2m->tables.quota || count > p2m->tables.quota - used)
		return -XEN_ENOMEM;
	for (; count; count--) {
		mfn_t table;
		int rc = pool_table_alloc(&p2m->tables, &table);

		if (rc) {
			while (!mfn_equal(spare->first, MFN_INVALID))
				pool_table_free(&p2m->tables, ept_spare_pop(spare));
			return rc;
		}
		pool_table(table)[0] = ~mfn_raw(spare->first);
		spare->first = table;
	}
	return 0;
}

/*
 * The way goes on at next (or ends, at end): gives back the tables on the cursor's path that it
 * leaves for good, all of them or those that are dead.
 */
void ept_release_tables(struct ept_cursor *c, uint64_t next, uint64_t end, bool all)
{
	for (unsigned level = c->level; level && level < LEVEL_TOP; level++) {
		uint64_t *link = c->path[level + 1];
		uint64_t value = ept_load(link);

		if (next < end && next & (level_span(level + 1) - 1))
			return;
		if (!all && !(value & TOMBSTONE))
			return;
		ept_store(link, 0);
		c->level = 0;
		ept_forget_leaves(c->p2m);
		epoch_free_table(&c->p2m->tables,
				 entry_frame(value & TOMBSTONE ? tombstone_entry(value) : value));
	}
}

/* --- creation, destruction -------------------------------------------------------------------- */

int p2m_init(struct p2m *p2m, uint32_t table_quota, uint64_t max_gfn)
{
	if (max_gfn > P2M_GFN_LIMIT)
		return -XEN_EINVAL;
	*p2m = (struct p2m){
	    .lock = LOCK_INIT(LOCK_P2M), .root = MFN_INVALID, .tables = {.quota = table_quota}};
	int rc = pool_table_alloc(&p2m->tables, &p2m->root);
	if (rc)
		return rc;
	/* A CPU that runs the domain for the first time has seen no generation, and flushes: its
	 * root may have been another domain's. */
	atomic_store(&p2m->generation, 1);
	ept_forget_leaves(p2m);
	p2m->top = pool_table(p2m->root);
	p2m->max_gfn = max_gfn;
	return 0;
}

void p2m_destroy(struct p2m *p2m)
{
	struct ept_cursor c = {.p2m = p2m};
	mfn_t root = p2m->root;

	for (unsigned i = 0; i < P2M_CPU_WORDS; i++)
		assert_always(!atomic_load(&p2m->active_cpus[i]));
	if (mfn_equal(root, MFN_INVALID))
		return;
	p2m_lock(p2m);
	p2m->max_gfn = 0;
	for (uint64_t gfn = 0; gfn < P2M_GFN_LIMIT;) {
		ept_seek(&c, gfn, 1, false);
		gfn = c.level == 1 ? gfn + ENTRIES_PER_TABLE : ept_next(&c);
		ept_release_tables(&c, gfn, P2M_GFN_LIMIT, true);
	}
	epoch_free_table(&p2m->tables, root);
	lock_release(&p2m->lock);
}

/* --- flushing --------------------------------------------------------------------------------- */

/*
 * Who removes rights and who enters a guest must not miss each other:
 *
 *	removes					enters
 *	entries := not present			active_cpus |= this CPU		(locked)
 *	generation += 1		(locked)	reads generation; flushes if it has moved
 *	reads active_cpus; marks entry_work	reads entry_work; VM entry
 *
 * Each side writes, then reads what the other one writes. The locked operation between the two
 * drains the store buffer (docs/models/ept-flush.pml; tests/unit/test_flush_race.c), so that at
 * least one side sees the other: either the new generation is read, or the CPU is found active and
 * marked. With a plain store on either side both could read old values, and a guest would run on
 * translations of frames that are gone.
 *
 * A marked CPU that is in guest mode gets an IPI, one for all removals until it looks (cpu_kick());
 * one in root mode looks before it enters. Nobody waits here: what waits for the flush is the
 *freeing of the frames, through the epoch.
 */
void p2m_mark_flush(struct p2m *p2m)
{
	uint64_t removal = ledger_removal();

	for (unsigned i = 0; i < P2M_CPU_WORDS; i++)
		for (uint64_t word = atomic_load(&p2m->active_cpus[i]); word; word &= word - 1) {
			unsigned cpu = i * 64 + (unsigned)__builtin_ctzll(word);

			if (!MUTANT(NO_MARK) && !MUTANT(NO_MARK_SMP))
				cpu_kick(cpu, ENTRY_WORK_EPT_FLUSH);
			ledger_told(cpu, removal);
		}
}

uint64_t p2m_cpu_enter(struct p2m *p2m)
{
	uint32_t cpu = cpu_index();

	if (MUTANT(NO_FENCE_ENTER))
		atomic_store_explicit(&p2m->active_cpus[cpu / 64], 1ull << (cpu % 64),
				      memory_order_relaxed);
	else
		atomic_fetch_or(&p2m->active_cpus[cpu / 64], 1ull << (cpu % 64));
	return atomic_load(&p2m->generation);
}

/* Translations stay cached under the root's address, unused; p2m_cpu_enter() finds out whether they
 * are still good. */
void p2m_cpu_leave(struct p2m *p2m)
{
	uint32_t cpu = cpu_index();

	atomic_fetch_and(&p2m->active_cpus[cpu / 64], ~(1ull << (cpu % 64)));
	ledger_dropped(ledger_now());
}

/* --- look-up ---------------------------------------------------------------------------------- */

struct p2m_entry p2m_find(const struct p2m *p2m, gfn_t gfn)
{
	uint64_t g = gfn_raw(gfn), value;

	/* max_gfn <= P2M_GFN_LIMIT: the top index needs no mask. */
	if (unlikely(g >= p2m->max_gfn))
		goto nothing;
	value = ept_load_at(p2m->top, g >> 27);
	if (unlikely(!present(value)))
		goto nothing;
	value = ept_load_at(entry_table(value), level_index(g, 3));
	if (unlikely(!present(value)))
		goto nothing;
	if (unlikely(value & EPT_LEAF))
		return decode_leaf(value, g, 3);
	value = ept_load_at(entry_table(value), level_index(g, 2));
	if (unlikely(!present(value)))
		goto nothing;
	if (value & EPT_LEAF)
		return decode_leaf(value, g, 2);
	/* Not present, it has no rights, which is what nothing has. */
	return decode_leaf(ept_load_at(entry_table(value), level_index(g, 1)), g, 1);
nothing:
	return (struct p2m_entry){.access = 0};
}

void p2m_for_each_from(struct p2m *p2m, gfn_t from,
		       bool (*fn)(gfn_t gfn, const struct p2m_entry *entry, void *ctx), void *ctx)
{
	struct ept_cursor c = {.p2m = p2m};

	for (uint64_t gfn = gfn_raw(from); gfn < p2m->max_gfn; gfn = ept_next(&c)) {
		uint64_t value = ept_seek(&c, gfn, 1, false);

		if (!present(value))
			continue;
		struct p2m_entry entry = decode_leaf(value, gfn, c.level);
		if (!fn(make_gfn(gfn), &entry, ctx))
			return;
	}
}
