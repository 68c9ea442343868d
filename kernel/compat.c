/*
 * Argument structures of 32-bit callers, by tables: handlers know the 64-bit layout only, and what
 * differs for a 32-bit caller is a row per member here. Pure and constant: no lock, ready for any
 * number of CPUs.
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

#define LAYOUT(wide, narrow, table)                                                         \
	{                                                                                   \
#wide, sizeof(struct wide), sizeof(struct narrow), array_size(table), table \
	}

#define LAYOUT_ALIKE(type)                                               \
	{                                                                \
#type, sizeof(struct type), sizeof(struct type), 0, NULL \
	}

static const struct compat_field fields_setup_table[] = {
    FIELD(gnttab_setup_table, compat_gnttab_setup_table, dom),
    FIELD(gnttab_setup_table, compat_gnttab_setup_table, nr_frames),
    FIELD(gnttab_setup_table, compat_gnttab_setup_table, status),
    FIELD(gnttab_setup_table, compat_gnttab_setup_table, frame_list),
};

static const struct compat_field fields_copy[] = {
    FIELD(gnttab_copy, compat_gnttab_copy, source.ref_or_gmfn),
    FIELD(gnttab_copy, compat_gnttab_copy, source.domid),
    FIELD(gnttab_copy, compat_gnttab_copy, source.offset),
    FIELD(gnttab_copy, compat_gnttab_copy, dest.ref_or_gmfn),
    FIELD(gnttab_copy, compat_gnttab_copy, dest.domid),
    FIELD(gnttab_copy, compat_gnttab_copy, dest.offset),
    FIELD(gnttab_copy, compat_gnttab_copy, len),
    FIELD(gnttab_copy, compat_gnttab_copy, flags),
    FIELD(gnttab_copy, compat_gnttab_copy, status),
    FIELD(gnttab_copy, compat_gnttab_copy, pad),
};

static const struct compat_field fields_add_to_physmap[] = {
    FIELD(xen_add_to_physmap, compat_add_to_physmap, domid),
    FIELD(xen_add_to_physmap, compat_add_to_physmap, size),
    FIELD(xen_add_to_physmap, compat_add_to_physmap, space),
    FIELD(xen_add_to_physmap, compat_add_to_physmap, idx),
    FIELD(xen_add_to_physmap, compat_add_to_physmap, gpfn),
};

static const struct compat_field fields_add_to_physmap_batch[] = {
    FIELD(xen_add_to_physmap_batch, compat_add_to_physmap_batch, domid),
    FIELD(xen_add_to_physmap_batch, compat_add_to_physmap_batch, space),
    FIELD(xen_add_to_physmap_batch, compat_add_to_physmap_batch, size),
    FIELD(xen_add_to_physmap_batch, compat_add_to_physmap_batch, foreign_domid),
    FIELD(xen_add_to_physmap_batch, compat_add_to_physmap_batch, idxs),
    FIELD(xen_add_to_physmap_batch, compat_add_to_physmap_batch, gpfns),
    FIELD(xen_add_to_physmap_batch, compat_add_to_physmap_batch, errs),
};

static const struct compat_field fields_remove_from_physmap[] = {
    FIELD(xen_remove_from_physmap, compat_remove_from_physmap, domid),
    FIELD(xen_remove_from_physmap, compat_remove_from_physmap, gpfn),
};

static const struct compat_field fields_memory_map[] = {
    FIELD(xen_memory_map, compat_memory_map, nr_entries),
    FIELD(xen_memory_map, compat_memory_map, buffer),
};

static const struct compat_field fields_memory_reservation[] = {
    FIELD(xen_memory_reservation, compat_memory_reservation, extent_start),
    FIELD(xen_memory_reservation, compat_memory_reservation, nr_extents),
    FIELD(xen_memory_reservation, compat_memory_reservation, extent_order),
    FIELD(xen_memory_reservation, compat_memory_reservation, mem_flags),
    FIELD(xen_memory_reservation, compat_memory_reservation, domid),
};

static const struct compat_field fields_acquire_resource[] = {
    FIELD(xen_mem_acquire_resource, compat_mem_acquire_resource, domid),
    FIELD(xen_mem_acquire_resource, compat_mem_acquire_resource, type),
    FIELD(xen_mem_acquire_resource, compat_mem_acquire_resource, id),
    FIELD(xen_mem_acquire_resource, compat_mem_acquire_resource, nr_frames),
    FIELD(xen_mem_acquire_resource, compat_mem_acquire_resource, pad),
    FIELD(xen_mem_acquire_resource, compat_mem_acquire_resource, frame),
    FIELD(xen_mem_acquire_resource, compat_mem_acquire_resource, frame_list),
};

static const struct compat_field fields_platform_parameters[] = {
    FIELD(xen_platform_parameters, compat_platform_parameters, virt_start),
};

static const struct compat_field fields_sched_poll[] = {
    FIELD(sched_poll, compat_sched_poll, ports),
    FIELD(sched_poll, compat_sched_poll, nr_ports),
    FIELD(sched_poll, compat_sched_poll, timeout),
};

static const struct compat_field fields_set_singleshot_timer[] = {
    FIELD(vcpu_set_singleshot_timer, compat_vcpu_set_singleshot_timer, timeout_abs_ns),
    FIELD(vcpu_set_singleshot_timer, compat_vcpu_set_singleshot_timer, flags),
};

static const struct compat_field fields_runstate_info[] = {
    FIELD(vcpu_runstate_info, compat_vcpu_runstate_info, state),
    FIELD(vcpu_runstate_info, compat_vcpu_runstate_info, state_entry_time),
    FIELD(vcpu_runstate_info, compat_vcpu_runstate_info, time[0]),
    FIELD(vcpu_runstate_info, compat_vcpu_runstate_info, time[1]),
    FIELD(vcpu_runstate_info, compat_vcpu_runstate_info, time[2]),
    FIELD(vcpu_runstate_info, compat_vcpu_runstate_info, time[3]),
};

const struct compat_layout layout_gnttab_map_grant_ref = LAYOUT_ALIKE(gnttab_map_grant_ref);
const struct compat_layout layout_gnttab_unmap_grant_ref = LAYOUT_ALIKE(gnttab_unmap_grant_ref);
const struct compat_layout layout_gnttab_query_size = LAYOUT_ALIKE(gnttab_query_size);
const struct compat_layout layout_sched_shutdown = LAYOUT_ALIKE(sched_shutdown);
const struct compat_layout layout_feature_info = LAYOUT_ALIKE(xen_feature_info);
const struct compat_layout layout_gnttab_setup_table =
    LAYOUT(gnttab_setup_table, compat_gnttab_setup_table, fields_setup_table);
const struct compat_layout layout_gnttab_copy =
    LAYOUT(gnttab_copy, compat_gnttab_copy, fields_copy);
const struct compat_layout layout_add_to_physmap =
    LAYOUT(xen_add_to_physmap, compat_add_to_physmap, fields_add_to_physmap);
const struct compat_layout layout_add_to_physmap_batch =
    LAYOUT(xen_add_to_physmap_batch, compat_add_to_physmap_batch, fields_add_to_physmap_batch);
const struct compat_layout layout_remove_from_physmap =
    LAYOUT(xen_remove_from_physmap, compat_remove_from_physmap, fields_remove_from_physmap);
const struct compat_layout layout_memory_map =
    LAYOUT(xen_memory_map, compat_memory_map, fields_memory_map);
const struct compat_layout layout_memory_reservation =
    LAYOUT(xen_memory_reservation, compat_memory_reservation, fields_memory_reservation);
const struct compat_layout layout_acquire_resource =
    LAYOUT(xen_mem_acquire_resource, compat_mem_acquire_resource, fields_acquire_resource);
const struct compat_layout layout_platform_parameters =
    LAYOUT(xen_platform_parameters, compat_platform_parameters, fields_platform_parameters);

const struct compat_layout layout_sched_poll =
    LAYOUT(sched_poll, compat_sched_poll, fields_sched_poll);
const struct compat_layout layout_set_singleshot_timer = LAYOUT(
    vcpu_set_singleshot_timer, compat_vcpu_set_singleshot_timer, fields_set_singleshot_timer);
const struct compat_layout layout_runstate_info =
    LAYOUT(vcpu_runstate_info, compat_vcpu_runstate_info, fields_runstate_info);

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
	if (!layout->field_count) {
		__builtin_memcpy(wide, narrow, layout->wide_size);
		return;
	}
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
	if (!layout->field_count) {
		__builtin_memcpy(narrow, wide, layout->narrow_size);
		return true;
	}
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
