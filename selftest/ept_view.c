/*
 * A linear view of a p2m, for comparison with the walk (docs/performance.md). Bench builds only.
 *
 * The leaf tables lie one behind the other in the order of their gfns, so that the entry of a gfn
 * is an array's element; so do the tables of level 2, for 2M leaves. Where there is no table, one
 * that is all zero stands for it. What neither shows is left to the walk: 1G leaves, and what came
 * since the view was told last.
 *
 * State: host mappings in [LAYOUT_P2M_VIEW, ...), one view at a time; the caller keeps others from
 * changing the p2m. A table that went is shown until every CPU has flushed (hostpt_flush).
 */
#ifdef CONFIG_BENCH
#include "selftest/ept_view.h"
#include "layout.h"
#include "mm/hostpt.h"
#include "vmx/ept_entry.h"

#define LEAVES ((const uint64_t *)LAYOUT_P2M_VIEW)
#define BLOCKS ((const uint64_t *)(LAYOUT_P2M_VIEW + LAYOUT_P2M_VIEW_SIZE / 2))

/* The table of a level in which the entry for gfn lies; that of zeros where there is none. */
static mfn_t table_of(const struct ept_view *v, uint64_t gfn, unsigned level)
{
	mfn_t table = v->p2m->root;

	for (unsigned above = LEVEL_TOP; above > level; above--) {
		uint64_t value = ept_load_at(pool_table(table), level_index(gfn, above));

		if (!present(value) || value & EPT_LEAF)
			return v->zero;
		table = entry_frame(value);
	}
	return table;
}

/*
 * The table of a level (1 or 2) that holds the entry for gfn has come or gone: shows what is there
 * now. What was shown before is flushed. -XEN_ENOMEM: the view has a hole there.
 */
int ept_view_change(const struct ept_view *v, gfn_t gfn, unsigned level)
{
	const uint64_t *entry = level == 1 ? &LEAVES[gfn_raw(gfn)] : &BLOCKS[gfn_raw(gfn) >> 9];
	uint64_t va = (uint64_t)entry & ~(uint64_t)(PAGE_SIZE - 1);

	if (!mfn_equal(hostpt_unmap(va), MFN_INVALID))
		hostpt_flush(va, 1);
	return hostpt_map(va, table_of(v, gfn_raw(gfn), level), HOST_R);
}

/* -XEN_ENOMEM: no tables; ept_view_destroy() is due all the same. */
int ept_view_init(struct ept_view *v, struct p2m *p2m)
{
	v->p2m = p2m;
	int rc = pool_table_alloc(&host_table_account, &v->zero);

	for (uint64_t gfn = 0; !rc && gfn < p2m->max_gfn; gfn += ENTRIES_PER_TABLE) {
		rc = ept_view_change(v, make_gfn(gfn), 1);
		if (!rc && !(gfn & (FRAMES_PER_1G - 1)))
			rc = ept_view_change(v, make_gfn(gfn), 2);
	}
	return rc;
}

void ept_view_destroy(struct ept_view *v)
{
	for (uint64_t gfn = 0; gfn < v->p2m->max_gfn; gfn += ENTRIES_PER_TABLE) {
		hostpt_unmap((uint64_t)&LEAVES[gfn]);
		hostpt_unmap((uint64_t)&BLOCKS[gfn >> 9] & ~(uint64_t)(PAGE_SIZE - 1));
	}
	hostpt_flush(LAYOUT_P2M_VIEW, LAYOUT_P2M_VIEW_SIZE >> PAGE_SHIFT);
	pool_table_free(&host_table_account, v->zero);
}

/* p2m_find(), by the view. */
struct p2m_entry ept_view_find(const struct ept_view *v, gfn_t gfn)
{
	uint64_t g = gfn_raw(gfn), value;

	if (unlikely(g >= v->p2m->max_gfn))
		return (struct p2m_entry){.type = P2M_NONE};
	value = ept_load_at(LEAVES, g);
	if (likely(present(value)))
		return decode_leaf(value, g, 1);
	value = ept_load_at(BLOCKS, g >> 9);
	if (likely(present(value) && value & EPT_LEAF))
		return decode_leaf(value, g, 2);
	return p2m_find(v->p2m, gfn);
}
#endif
