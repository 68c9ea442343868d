/*
 * xen_version(cmd, arg). XENVER_version and XENVER_pagesize return a number; the others fill *arg.
 * Source: Xen, public/version.h and public/features.h.
 */
#ifndef KEYHOLE_PUBLIC_VERSION_H
#define KEYHOLE_PUBLIC_VERSION_H

#include "base.h"

#define XENVER_version		   0 /* returns major << 16 | minor */
#define XENVER_extraversion	   1 /* struct xen_extraversion */
#define XENVER_compile_info	   2 /* struct xen_compile_info */
#define XENVER_capabilities	   3 /* struct xen_capabilities_info */
#define XENVER_changeset	   4 /* struct xen_changeset_info */
#define XENVER_platform_parameters 5 /* struct xen_platform_parameters */
#define XENVER_get_features	   6 /* struct xen_feature_info, submap_idx is given */
#define XENVER_pagesize		   7 /* returns 4096 */
#define XENVER_guest_handle	   8 /* struct xen_domain_handle */
#define XENVER_commandline	   9 /* struct xen_commandline */
#define XENVER_build_id		   10

/* Bit numbers of xen_feature_info.submap for submap_idx 0. */
#define XENFEAT_writable_page_tables	   0
#define XENFEAT_writable_descriptor_tables 1
#define XENFEAT_auto_translated_physmap	   2
#define XENFEAT_supervisor_mode_kernel	   3
#define XENFEAT_pae_pgdir_above_4gb	   4
#define XENFEAT_mmu_pt_update_preserve_ad  5
#define XENFEAT_highmem_assist		   6
#define XENFEAT_gnttab_map_avail_bits	   7
#define XENFEAT_hvm_callback_vector	   8
#define XENFEAT_hvm_safe_pvclock	   9
#define XENFEAT_hvm_pirqs		   10
#define XENFEAT_dom0			   11
#define XENFEAT_memory_op_vnode_supported  13
#define XENFEAT_linux_rsdp_unrestricted	   15
#define XENFEAT_not_direct_mapped	   16
#define XENFEAT_direct_mapped		   17
#define XENFEAT_NR_SUBMAPS		   1

#ifndef __ASSEMBLER__
struct xen_extraversion {
	char text[16];
};
struct xen_compile_info {
	char compiler[64];
	char compile_by[16];
	char compile_domain[32];
	char compile_date[32];
};
struct xen_capabilities_info {
	char text[1024];
};
struct xen_changeset_info {
	char text[64];
};
struct xen_feature_info {
	uint32_t submap_idx; /* in */
	uint32_t submap;     /* out */
};
struct xen_domain_handle {
	uint8_t bytes[16];
};
struct xen_commandline {
	char text[1024];
};
struct xen_platform_parameters {
	xen_ulong_t virt_start;
};
struct compat_platform_parameters {
	compat_ulong_t virt_start;
};
XEN_CHECK_SIZE(struct xen_compile_info, 144);
XEN_CHECK_OFFSET(struct xen_compile_info, compile_by, 64);
XEN_CHECK_OFFSET(struct xen_compile_info, compile_domain, 80);
XEN_CHECK_OFFSET(struct xen_compile_info, compile_date, 112);
XEN_CHECK_SIZE(struct xen_feature_info, 8);
XEN_CHECK_SIZE(struct xen_platform_parameters, 8);
XEN_CHECK_SIZE(struct compat_platform_parameters, 4);
#endif

#endif
