/*
 * Argument structures of 32-bit callers, by tables: handlers know the 64-bit layout only, and what
 * differs for a 32-bit caller is a row here. Pure and constant: no lock, ready for any number of
 * CPUs.
 *
 * The rows are made of the structures in include/public/ and so cannot disagree with them; that no
 * member is left out is tested (tests/unit/test_compat.c).
 */
#include "kernel/compat.h"
#include "public/grant_table.h"
#include "public/memory.h"
#include "public/sched.h"
#include "public/vcpu.h"
#include "public/version.h"

#define FIELD(wide, narrow, member)                                                       \
	{                                                                                 \
		offsetof(struct wide, member), sizeof(((struct wide *)0)->member),        \
		    offsetof(struct narrow, member), sizeof(((struct narrow *)0)->member) \
	}

/* FIELD() for each of up to ten members. */
#define FIELDS_1(w, n, m)	FIELD(w, n, m)
#define FIELDS_2(w, n, m, ...)	FIELD(w, n, m), FIELDS_1(w, n, __VA_ARGS__)
#define FIELDS_3(w, n, m, ...)	FIELD(w, n, m), FIELDS_2(w, n, __VA_ARGS__)
#define FIELDS_4(w, n, m, ...)	FIELD(w, n, m), FIELDS_3(w, n, __VA_ARGS__)
#define FIELDS_5(w, n, m, ...)	FIELD(w, n, m), FIELDS_4(w, n, __VA_ARGS__)
#define FIELDS_6(w, n, m, ...)	FIELD(w, n, m), FIELDS_5(w, n, __VA_ARGS__)
#define FIELDS_7(w, n, m, ...)	FIELD(w, n, m), FIELDS_6(w, n, __VA_ARGS__)
#define FIELDS_8(w, n, m, ...)	FIELD(w, n, m), FIELDS_7(w, n, __VA_ARGS__)
#define FIELDS_9(w, n, m, ...)	FIELD(w, n, m), FIELDS_8(w, n, __VA_ARGS__)
#define FIELDS_10(w, n, m, ...) FIELD(w, n, m), FIELDS_9(w, n, __VA_ARGS__)
/* The one for as many as there are. */
#define FIELDS_NAME(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, name, ...) name
#define FIELDS(w, n, ...)                                                                     \
	FIELDS_NAME(__VA_ARGS__, FIELDS_10, FIELDS_9, FIELDS_8, FIELDS_7, FIELDS_6, FIELDS_5, \
		    FIELDS_4, FIELDS_3, FIELDS_2, FIELDS_1, 0)                                \
	(w, n, __VA_ARGS__)

/* A layout: the structure of 64-bit callers, that of 32-bit ones, the members of both. */
#define LAYOUT(layout, wide, narrow, ...)                                                         \
	static const struct compat_field fields_##layout[] = {FIELDS(wide, narrow, __VA_ARGS__)}; \
	const struct compat_layout layout = {#wide, sizeof(struct wide), sizeof(struct narrow),   \
					     array_size(fields_##layout), fields_##layout}

LAYOUT(layout_gnttab_setup_table, gnttab_setup_table, compat_gnttab_setup_table, dom, nr_frames,
       status, frame_list);
LAYOUT(layout_gnttab_copy, gnttab_copy, compat_gnttab_copy, source.ref_or_gmfn, source.domid,
       source.offset, dest.ref_or_gmfn, dest.domid, dest.offset, len, flags, status, pad);
LAYOUT(layout_add_to_physmap, xen_add_to_physmap, compat_add_to_physmap, domid, size, space, idx,
       gpfn);
LAYOUT(layout_add_to_physmap_batch, xen_add_to_physmap_batch, compat_add_to_physmap_batch, domid,
       space, size, foreign_domid, idxs, gpfns, errs);
LAYOUT(layout_remove_from_physmap, xen_remove_from_physmap, compat_remove_from_physmap, domid,
       gpfn);
LAYOUT(layout_memory_map, xen_memory_map, compat_memory_map, nr_entries, buffer);
LAYOUT(layout_memory_reservation, xen_memory_reservation, compat_memory_reservation, extent_start,
       nr_extents, extent_order, mem_flags, domid);
LAYOUT(layout_acquire_resource, xen_mem_acquire_resource, compat_mem_acquire_resource, domid, type,
       id, nr_frames, pad, frame, frame_list);
LAYOUT(layout_platform_parameters, xen_platform_parameters, compat_platform_parameters, virt_start);
LAYOUT(layout_sched_poll, sched_poll, compat_sched_poll, ports, nr_ports, timeout);
LAYOUT(layout_set_singleshot_timer, vcpu_set_singleshot_timer, compat_vcpu_set_singleshot_timer,
       timeout_abs_ns, flags);
LAYOUT(layout_runstate_info, vcpu_runstate_info, compat_vcpu_runstate_info, state, state_entry_time,
       time[0], time[1], time[2], time[3]);

/* Every member is a little-endian unsigned number, or as wide in both layouts. */
static uint64_t load(const uint8_t *p, unsigned size)
{
	uint64_t value = 0;

	__builtin_memcpy(&value, p, size);
	return value;
}

/*
 * 32-bit to 64-bit layout: narrow_size bytes are read, wide_size written, padding as zero. Members
 * that are narrower for the 32-bit caller are addresses, frame numbers and counts: zero-extended.
 */
void compat_widen(const struct compat_layout *layout, void *wide, const void *narrow)
{
	__builtin_memset(wide, 0, layout->wide_size);
	for (unsigned i = 0; i < layout->field_count; i++) {
		const struct compat_field *f = &layout->fields[i];
		uint64_t value = load((const uint8_t *)narrow + f->narrow_offset, f->narrow_size);
		__builtin_memcpy((uint8_t *)wide + f->wide_offset, &value, f->wide_size);
	}
}

/*
 * 64-bit to 32-bit layout, for results. False if a value does not fit, other than all ones, which
 * means "none" in both widths; narrow is then not to be used.
 */
bool compat_narrow(const struct compat_layout *layout, void *narrow, const void *wide)
{
	__builtin_memset(narrow, 0, layout->narrow_size);
	for (unsigned i = 0; i < layout->field_count; i++) {
		const struct compat_field *f = &layout->fields[i];
		uint64_t value = load((const uint8_t *)wide + f->wide_offset, f->wide_size);
		if (f->narrow_size < 8 && value != ~0ull && value >> (8 * f->narrow_size))
			return false;
		__builtin_memcpy((uint8_t *)narrow + f->narrow_offset, &value, f->narrow_size);
	}
	return true;
}
