/* sources: kernel/compat.c */
/*
 * The layout tables: no member left out, no overlap, and values that arrive as the other layout's
 * structure says.
 */
#include "kernel/compat.h"
#include "public/grant_table.h"
#include "public/memory.h"
#include "public/sched.h"
#include "public/version.h"
#include "tap.h"

static void check_table(const struct compat_layout *l, unsigned wide_size, unsigned narrow_size,
			unsigned members)
{
	unsigned wide_used = 0, narrow_used = 0;
	bool fine = true;

	is(l->wide_size, wide_size, "%s: size for 64-bit callers", l->name);
	is(l->narrow_size, narrow_size, "%s: size for 32-bit callers", l->name);
	is(l->field_count, members, "%s: every member is in the table", l->name);
	ok(l->wide_size <= COMPAT_SIZE_MAX, "%s: fits the buffers", l->name);
	for (unsigned i = 0; i < l->field_count; i++) {
		const struct compat_field *f = &l->fields[i];
		fine &= f->wide_offset >= wide_used && f->narrow_offset >= narrow_used;
		fine &= f->wide_size >= f->narrow_size && f->wide_size <= 8;
		/* Natural alignment for 64-bit callers; at most 4 for 32-bit ones. */
		fine &= f->wide_offset % f->wide_size == 0;
		fine &= f->narrow_offset % (f->narrow_size > 4 ? 4 : f->narrow_size) == 0;
		wide_used = f->wide_offset + f->wide_size;
		narrow_used = f->narrow_offset + f->narrow_size;
	}
	fine &= wide_used <= l->wide_size && narrow_used <= l->narrow_size;
	ok(fine, "%s: members in order, apart, aligned and inside", l->name);
}

static void values(void)
{
	struct compat_add_to_physmap_batch n = {
	    .domid = 0x7ff0,
	    .space = 4,
	    .size = 0xffff,
	    .foreign_domid = 0x1234,
	    .idxs = 0xfedcba98,
	    .gpfns = 0x80000000,
	    .errs = 3,
	};
	struct compat_add_to_physmap_batch back;
	struct xen_add_to_physmap_batch w;

	memset(&w, 0xaa, sizeof(w));
	compat_widen(&layout_add_to_physmap_batch, &w, &n);
	ok(w.domid == 0x7ff0 && w.space == 4 && w.size == 0xffff && w.foreign_domid == 0x1234,
	   "widen: 16-bit members");
	ok(w.idxs == 0xfedcba98ull && w.gpfns == 0x80000000ull && w.errs == 3,
	   "widen: addresses are zero-extended");
	ok(compat_narrow(&layout_add_to_physmap_batch, &back, &w), "narrow: fits");
	ok(memcmp(&back, &n, sizeof(n)) == 0, "and gives the same back");
	w.errs = 0x100000000ull;
	ok(!compat_narrow(&layout_add_to_physmap_batch, &back, &w), "narrow: 33 bits do not fit");
	w.errs = ~0ull;
	ok(compat_narrow(&layout_add_to_physmap_batch, &back, &w) && back.errs == ~0u,
	   "narrow: all ones stay all ones");

	struct compat_gnttab_setup_table s = {
	    .dom = 7, .nr_frames = 9, .status = -3, .frame_list = 5};
	struct gnttab_setup_table sw;
	compat_widen(&layout_gnttab_setup_table, &sw, &s);
	ok(sw.dom == 7 && sw.nr_frames == 9 && sw.status == -3 && sw.frame_list == 5,
	   "widen: a negative status");
	memset(&s, 0, sizeof(s));
	ok(compat_narrow(&layout_gnttab_setup_table, &s, &sw) && s.status == -3,
	   "narrow: a negative status");

	/* Not a byte beyond either structure is touched. */
	struct {
		struct compat_memory_map map;
		uint8_t guard[8];
	} g = {.map = {1, 2}};
	struct xen_memory_map wide = {.nr_entries = 5, .buffer = 6};
	memset(g.guard, 0x5a, sizeof(g.guard));
	ok(compat_narrow(&layout_memory_map, &g.map, &wide) && g.map.nr_entries == 5 &&
	       g.map.buffer == 6 && g.guard[0] == 0x5a,
	   "narrow: stays inside");
}

int main(void)
{
	tap_no_plan();
	check_table(&layout_gnttab_setup_table, 24, 16, 4);
	check_table(&layout_gnttab_copy, 40, 24, 10);
	check_table(&layout_add_to_physmap, 24, 16, 5);
	check_table(&layout_add_to_physmap_batch, 32, 20, 7);
	check_table(&layout_remove_from_physmap, 16, 8, 2);
	check_table(&layout_memory_map, 16, 8, 2);
	check_table(&layout_memory_reservation, 32, 20, 5);
	check_table(&layout_acquire_resource, 32, 28, 7);
	check_table(&layout_platform_parameters, 8, 4, 1);
	check_table(&layout_sched_poll, 24, 16, 3);
	check_table(&layout_set_singleshot_timer, 16, 12, 2);
	check_table(&layout_runstate_info, 48, 44, 6);
	values();
	return tap_end();
}
