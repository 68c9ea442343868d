/*
 * memory_op(cmd, arg). Source: Xen, public/memory.h; the entries of XENMEM_memory_map are those of
 * a BIOS's E820 call.
 */
#ifndef KEYHOLE_PUBLIC_MEMORY_H
#define KEYHOLE_PUBLIC_MEMORY_H

#include "base.h"

#define XENMEM_increase_reservation 0
#define XENMEM_decrease_reservation 1 /* struct xen_memory_reservation */
#define XENMEM_maximum_ram_page	    2
#define XENMEM_current_reservation  3 /* domid_t */
#define XENMEM_maximum_reservation  4 /* domid_t */
#define XENMEM_machphys_mfn_list    5
#define XENMEM_populate_physmap	    6 /* struct xen_memory_reservation */
#define XENMEM_add_to_physmap	    7 /* struct xen_add_to_physmap */
#define XENMEM_memory_map	    9 /* struct xen_memory_map */
#define XENMEM_machine_memory_map   10
#define XENMEM_exchange		    11
#define XENMEM_machphys_mapping	    12
#define XENMEM_set_memory_map	    13
#define XENMEM_maximum_gpfn	    14
#define XENMEM_remove_from_physmap  15 /* struct xen_remove_from_physmap */
#define XENMEM_add_to_physmap_batch 23 /* struct xen_add_to_physmap_batch */
#define XENMEM_acquire_resource	    28 /* struct xen_mem_acquire_resource */

/* The space member of the calls below. */
#define XENMAPSPACE_shared_info	 0u
#define XENMAPSPACE_grant_table	 1u /* idx: frame of the grant table */
#define XENMAPSPACE_gmfn	 2u
#define XENMAPSPACE_gmfn_range	 3u
#define XENMAPSPACE_gmfn_foreign 4u /* idx: gfn of another domain; only in batches */
#define XENMAPSPACE_dev_mmio	 5u

#define XENMAPIDX_grant_table_status 0x80000000u

/* xen_mem_acquire_resource.type, and .id of a grant table */
#define XENMEM_resource_ioreq_server	      0u
#define XENMEM_resource_grant_table	      1u
#define XENMEM_resource_vmtrace_buf	      2u
#define XENMEM_resource_grant_table_id_shared 0u
#define XENMEM_resource_grant_table_id_status 1u

/* e820_entry.type */
#define E820_RAM      1u
#define E820_RESERVED 2u
#define E820_ACPI     3u
#define E820_NVS      4u
#define E820_UNUSABLE 5u

#ifndef __ASSEMBLER__
struct xen_add_to_physmap {
	domid_t domid;
	uint16_t size; /* for gmfn_range only */
	uint32_t space;
	xen_ulong_t idx;
	xen_pfn_t gpfn; /* where it shall appear */
};
struct compat_add_to_physmap {
	domid_t domid;
	uint16_t size;
	uint32_t space;
	compat_ulong_t idx;
	compat_pfn_t gpfn;
};
XEN_CHECK_SIZE(struct xen_add_to_physmap, 24);
XEN_CHECK_OFFSET(struct xen_add_to_physmap, space, 4);
XEN_CHECK_OFFSET(struct xen_add_to_physmap, idx, 8);
XEN_CHECK_OFFSET(struct xen_add_to_physmap, gpfn, 16);
XEN_CHECK_SIZE(struct compat_add_to_physmap, 16);
XEN_CHECK_OFFSET(struct compat_add_to_physmap, gpfn, 12);

struct xen_add_to_physmap_batch {
	domid_t domid; /* the one whose address space changes */
	uint16_t space;
	uint16_t size;	       /* number of entries in the arrays */
	domid_t foreign_domid; /* whose pages, for gmfn_foreign */
	xen_handle_t idxs;     /* in: xen_ulong_t[size] */
	xen_handle_t gpfns;    /* in: xen_pfn_t[size] */
	xen_handle_t errs;     /* out: int32_t[size] */
};
struct compat_add_to_physmap_batch {
	domid_t domid;
	uint16_t space;
	uint16_t size;
	domid_t foreign_domid;
	compat_handle_t idxs;  /* compat_ulong_t[size] */
	compat_handle_t gpfns; /* compat_pfn_t[size] */
	compat_handle_t errs;  /* int32_t[size] */
};
XEN_CHECK_SIZE(struct xen_add_to_physmap_batch, 32);
XEN_CHECK_OFFSET(struct xen_add_to_physmap_batch, foreign_domid, 6);
XEN_CHECK_OFFSET(struct xen_add_to_physmap_batch, idxs, 8);
XEN_CHECK_OFFSET(struct xen_add_to_physmap_batch, errs, 24);
XEN_CHECK_SIZE(struct compat_add_to_physmap_batch, 20);
XEN_CHECK_OFFSET(struct compat_add_to_physmap_batch, idxs, 8);
XEN_CHECK_OFFSET(struct compat_add_to_physmap_batch, errs, 16);

struct xen_remove_from_physmap {
	domid_t domid;
	xen_pfn_t gpfn;
};
struct compat_remove_from_physmap {
	domid_t domid;
	compat_pfn_t gpfn;
};
XEN_CHECK_SIZE(struct xen_remove_from_physmap, 16);
XEN_CHECK_OFFSET(struct xen_remove_from_physmap, gpfn, 8);
XEN_CHECK_SIZE(struct compat_remove_from_physmap, 8);
XEN_CHECK_OFFSET(struct compat_remove_from_physmap, gpfn, 4);

struct xen_mem_acquire_resource {
	domid_t domid; /* whose */
	uint16_t type;
	uint32_t id;
	uint32_t nr_frames; /* in; out without a frame_list: how many there can be */
	uint32_t pad;
	uint64_t frame;		 /* in: the first one */
	xen_handle_t frame_list; /* in: xen_pfn_t[nr_frames], where they shall appear */
};
struct compat_mem_acquire_resource {
	domid_t domid;
	uint16_t type;
	uint32_t id;
	uint32_t nr_frames;
	uint32_t pad;
	compat_uint64_t frame;
	compat_handle_t frame_list;
};
XEN_CHECK_SIZE(struct xen_mem_acquire_resource, 32);
XEN_CHECK_OFFSET(struct xen_mem_acquire_resource, frame, 16);
XEN_CHECK_SIZE(struct compat_mem_acquire_resource, 28);
XEN_CHECK_OFFSET(struct compat_mem_acquire_resource, frame_list, 24);

struct xen_memory_reservation {
	xen_handle_t extent_start; /* in: xen_pfn_t[nr_extents], each extent's first gfn */
	xen_ulong_t nr_extents;
	uint32_t extent_order; /* frames in an extent: 2^extent_order */
	uint32_t mem_flags;
	domid_t domid;
};
struct compat_memory_reservation {
	compat_handle_t extent_start;
	compat_ulong_t nr_extents;
	uint32_t extent_order;
	uint32_t mem_flags;
	domid_t domid;
};
XEN_CHECK_SIZE(struct xen_memory_reservation, 32);
XEN_CHECK_OFFSET(struct xen_memory_reservation, extent_order, 16);
XEN_CHECK_OFFSET(struct xen_memory_reservation, domid, 24);
XEN_CHECK_SIZE(struct compat_memory_reservation, 20);
XEN_CHECK_OFFSET(struct compat_memory_reservation, extent_order, 8);
XEN_CHECK_OFFSET(struct compat_memory_reservation, domid, 16);

struct xen_memory_map {
	uint32_t nr_entries; /* in: room in buffer; out: entries written */
	xen_handle_t buffer; /* struct e820_entry[nr_entries] */
};
struct compat_memory_map {
	uint32_t nr_entries;
	compat_handle_t buffer;
};
XEN_CHECK_SIZE(struct xen_memory_map, 16);
XEN_CHECK_OFFSET(struct xen_memory_map, buffer, 8);
XEN_CHECK_SIZE(struct compat_memory_map, 8);
XEN_CHECK_OFFSET(struct compat_memory_map, buffer, 4);

struct __attribute__((packed)) e820_entry {
	uint64_t addr; /* bytes */
	uint64_t size; /* bytes */
	uint32_t type; /* E820_ */
};
XEN_CHECK_SIZE(struct e820_entry, 20);
#endif

#endif
