/* Layouts of argument structures for 32- and 64-bit callers. kernel/compat.c. */
#ifndef KEYHOLE_KERNEL_COMPAT_H
#define KEYHOLE_KERNEL_COMPAT_H

#include "../types.h"

/* The largest structure that goes through a table, either layout. */
#define COMPAT_SIZE_MAX 64u

/* One member: where it is and how wide, in bytes, for a 64-bit and for a 32-bit caller. */
struct compat_field {
	uint8_t wide_offset, wide_size;
	uint8_t narrow_offset, narrow_size;
};

/* A structure that is not alike for both. */
struct compat_layout {
	const char *name;
	uint8_t wide_size, narrow_size;
	uint8_t field_count;
	const struct compat_field *fields;
};

extern const struct compat_layout layout_gnttab_setup_table, layout_gnttab_copy,
    layout_add_to_physmap, layout_add_to_physmap_batch, layout_remove_from_physmap,
    layout_memory_map, layout_memory_reservation, layout_acquire_resource,
    layout_platform_parameters, layout_sched_poll, layout_set_singleshot_timer,
    layout_runstate_info;

void compat_widen(const struct compat_layout *layout, void *wide, const void *narrow);
bool compat_narrow(const struct compat_layout *layout, void *narrow, const void *wide) must_use;

#endif
