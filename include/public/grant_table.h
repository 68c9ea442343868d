/*
 * grant_table_op(cmd, args, count): args is an array of count structures; the call returns 0 when
 * all were looked at, each with its own status, or a negative error number. Source: Xen,
 * public/grant_table.h.
 */
#ifndef KEYHOLE_PUBLIC_GRANT_TABLE_H
#define KEYHOLE_PUBLIC_GRANT_TABLE_H

#include "base.h"

/* grant_entry_v1.flags */
#define GTF_invalid	    0x0000u
#define GTF_permit_access   0x0001u
#define GTF_accept_transfer 0x0002u
#define GTF_transitive	    0x0003u
#define GTF_type_mask	    0x0003u
#define GTF_readonly	    0x0004u /* the grantee may only read */
#define GTF_reading	    0x0008u /* set by the hypervisor: mapped for reading */
#define GTF_writing	    0x0010u /* set by the hypervisor: mapped for writing */
#define GTF_PWT		    0x0020u
#define GTF_PCD		    0x0040u
#define GTF_PAT		    0x0080u
#define GTF_sub_page	    0x0100u

/* References below this one are set up by toolstacks. */
#define GNTTAB_NR_RESERVED_ENTRIES 8u

#define GNTTABOP_map_grant_ref	   0
#define GNTTABOP_unmap_grant_ref   1
#define GNTTABOP_setup_table	   2
#define GNTTABOP_dump_table	   3
#define GNTTABOP_transfer	   4
#define GNTTABOP_copy		   5
#define GNTTABOP_query_size	   6
#define GNTTABOP_unmap_and_replace 7
#define GNTTABOP_set_version	   8
#define GNTTABOP_get_status_frames 9
#define GNTTABOP_get_version	   10
#define GNTTABOP_swap_grant_ref	   11
#define GNTTABOP_cache_flush	   12

/* gnttab_map_grant_ref.flags */
#define GNTMAP_device_map	0x01u
#define GNTMAP_host_map		0x02u
#define GNTMAP_readonly		0x04u
#define GNTMAP_application_map	0x08u	/* paravirtualised guests only */
#define GNTMAP_contains_pte	0x10u	/* paravirtualised guests only */
#define GNTMAP_keyhole_fault	0x8000u /* Keyhole's own: when it is revoked, its use faults */
#define GNTMAP_guest_avail_mask 0xffff0000u

/* gnttab_copy.flags */
#define GNTCOPY_source_gref 0x1u
#define GNTCOPY_dest_gref   0x2u

/* gnttab_cache_flush.op */
#define GNTTAB_CACHE_CLEAN	 (1u << 0) /* write back */
#define GNTTAB_CACHE_INVAL	 (1u << 1) /* drop */
#define GNTTAB_CACHE_SOURCE_GREF (1u << 31)

/* Values of the status members. */
#define GNTST_okay		0
#define GNTST_general_error	(-1)
#define GNTST_bad_domain	(-2)
#define GNTST_bad_gntref	(-3)
#define GNTST_bad_handle	(-4)
#define GNTST_bad_virt_addr	(-5)
#define GNTST_bad_dev_addr	(-6)
#define GNTST_no_device_space	(-7)
#define GNTST_permission_denied (-8)
#define GNTST_bad_page		(-9)
#define GNTST_bad_copy_arg	(-10)
#define GNTST_address_too_big	(-11)
#define GNTST_eagain		(-12)
#define GNTST_no_space		(-13)

#ifndef __ASSEMBLER__
typedef uint32_t grant_ref_t;
typedef uint32_t grant_handle_t;

/* One entry of a version 1 table; write frame and domid first, then flags, with a barrier between.
 */
struct grant_entry_v1 {
	uint16_t flags; /* GTF_ */
	domid_t domid;	/* the grantee */
	uint32_t frame; /* the granter's gfn */
};
XEN_CHECK_SIZE(struct grant_entry_v1, 8);
XEN_CHECK_OFFSET(struct grant_entry_v1, domid, 2);
XEN_CHECK_OFFSET(struct grant_entry_v1, frame, 4);

struct gnttab_map_grant_ref {
	compat_uint64_t host_addr;    /* in: guest-physical, page aligned (GNTMAP_host_map) */
	uint32_t flags;		      /* in: GNTMAP_ */
	grant_ref_t ref;	      /* in */
	domid_t dom;		      /* in: the granter */
	int16_t status;		      /* out: GNTST_ */
	grant_handle_t handle;	      /* out: for the unmapping */
	compat_uint64_t dev_bus_addr; /* out: always 0 */
};
XEN_CHECK_SIZE(struct gnttab_map_grant_ref, 32);
XEN_CHECK_OFFSET(struct gnttab_map_grant_ref, flags, 8);
XEN_CHECK_OFFSET(struct gnttab_map_grant_ref, ref, 12);
XEN_CHECK_OFFSET(struct gnttab_map_grant_ref, dom, 16);
XEN_CHECK_OFFSET(struct gnttab_map_grant_ref, status, 18);
XEN_CHECK_OFFSET(struct gnttab_map_grant_ref, handle, 20);
XEN_CHECK_OFFSET(struct gnttab_map_grant_ref, dev_bus_addr, 24);

struct gnttab_unmap_grant_ref {
	compat_uint64_t host_addr;    /* in: where it is mapped */
	compat_uint64_t dev_bus_addr; /* in: 0 */
	grant_handle_t handle;	      /* in */
	int16_t status;		      /* out */
	uint16_t pad;
};
XEN_CHECK_SIZE(struct gnttab_unmap_grant_ref, 24);
XEN_CHECK_OFFSET(struct gnttab_unmap_grant_ref, handle, 16);
XEN_CHECK_OFFSET(struct gnttab_unmap_grant_ref, status, 20);

struct gnttab_unmap_and_replace {
	compat_uint64_t host_addr; /* in: where it is mapped */
	compat_uint64_t new_addr;  /* in: 0 */
	grant_handle_t handle;	   /* in */
	int16_t status;		   /* out */
	uint16_t pad;
};
XEN_CHECK_SIZE(struct gnttab_unmap_and_replace, 24);
XEN_CHECK_OFFSET(struct gnttab_unmap_and_replace, handle, 16);
XEN_CHECK_OFFSET(struct gnttab_unmap_and_replace, status, 20);

struct gnttab_setup_table {
	domid_t dom;		 /* in */
	uint32_t nr_frames;	 /* in: the table is grown to this many frames */
	int16_t status;		 /* out */
	xen_handle_t frame_list; /* out: xen_pfn_t[nr_frames] */
};
struct compat_gnttab_setup_table {
	domid_t dom;
	uint32_t nr_frames;
	int16_t status;
	compat_handle_t frame_list; /* out: compat_pfn_t[nr_frames] */
};
XEN_CHECK_SIZE(struct gnttab_setup_table, 24);
XEN_CHECK_OFFSET(struct gnttab_setup_table, nr_frames, 4);
XEN_CHECK_OFFSET(struct gnttab_setup_table, status, 8);
XEN_CHECK_OFFSET(struct gnttab_setup_table, frame_list, 16);
XEN_CHECK_SIZE(struct compat_gnttab_setup_table, 16);
XEN_CHECK_OFFSET(struct compat_gnttab_setup_table, frame_list, 12);

struct gnttab_query_size {
	domid_t dom;		/* in */
	uint32_t nr_frames;	/* out: frames of the table now */
	uint32_t max_nr_frames; /* out: and at most */
	int16_t status;		/* out */
	uint16_t pad;
};
XEN_CHECK_SIZE(struct gnttab_query_size, 16);
XEN_CHECK_OFFSET(struct gnttab_query_size, nr_frames, 4);
XEN_CHECK_OFFSET(struct gnttab_query_size, max_nr_frames, 8);
XEN_CHECK_OFFSET(struct gnttab_query_size, status, 12);

struct gnttab_copy_ptr {
	xen_pfn_t ref_or_gmfn; /* a grant_ref_t in its low half, if the flag says so */
	domid_t domid;
	uint16_t offset;
};
struct gnttab_copy {
	struct gnttab_copy_ptr source, dest;
	uint16_t len;
	uint16_t flags; /* GNTCOPY_ */
	int16_t status;
	uint16_t pad;
};
struct compat_gnttab_copy_ptr {
	compat_pfn_t ref_or_gmfn;
	domid_t domid;
	uint16_t offset;
};
struct compat_gnttab_copy {
	struct compat_gnttab_copy_ptr source, dest;
	uint16_t len;
	uint16_t flags;
	int16_t status;
	uint16_t pad;
};
XEN_CHECK_SIZE(struct gnttab_copy_ptr, 16);
XEN_CHECK_SIZE(struct gnttab_copy, 40);
XEN_CHECK_OFFSET(struct gnttab_copy, len, 32);
XEN_CHECK_OFFSET(struct gnttab_copy, status, 36);
XEN_CHECK_SIZE(struct compat_gnttab_copy_ptr, 8);
XEN_CHECK_SIZE(struct compat_gnttab_copy, 24);
XEN_CHECK_OFFSET(struct compat_gnttab_copy, len, 16);
XEN_CHECK_OFFSET(struct compat_gnttab_copy, status, 20);

struct gnttab_get_version {
	domid_t dom; /* in */
	uint16_t pad;
	uint32_t version; /* out */
};
struct gnttab_set_version {
	uint32_t version; /* in, out */
};
XEN_CHECK_SIZE(struct gnttab_get_version, 8);
XEN_CHECK_SIZE(struct gnttab_set_version, 4);

struct gnttab_swap_grant_ref {
	grant_ref_t ref_a, ref_b; /* in: of the caller's own table */
	int16_t status;		  /* out */
	uint16_t pad;
};
XEN_CHECK_SIZE(struct gnttab_swap_grant_ref, 12);
XEN_CHECK_OFFSET(struct gnttab_swap_grant_ref, status, 8);

struct gnttab_cache_flush {
	compat_uint64_t dev_bus_addr; /* in: guest-physical here; of a reference, its low half */
	uint16_t offset, length;      /* in: bytes, within that page */
	uint32_t op;		      /* in: GNTTAB_CACHE_ */
};
XEN_CHECK_SIZE(struct gnttab_cache_flush, 16);
XEN_CHECK_OFFSET(struct gnttab_cache_flush, offset, 8);
XEN_CHECK_OFFSET(struct gnttab_cache_flush, op, 12);
#endif

#endif
