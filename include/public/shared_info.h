/*
 * The page that a domain shares with the hypervisor, and the records in it. The 64-bit layout and
 * the 32-bit one differ; which one a domain uses follows from the mode in which it maps the page.
 * Source: Xen, public/xen.h and public/arch-x86/xen.h.
 */
#ifndef KEYHOLE_PUBLIC_SHARED_INFO_H
#define KEYHOLE_PUBLIC_SHARED_INFO_H

#include "base.h"

#define XEN_LEGACY_MAX_VCPUS 32u /* vCPUs with a record in the page itself */

#ifndef __ASSEMBLER__
/*
 * Nanoseconds = system_time + scaled(TSC - tsc_timestamp), where scaled() is a shift, to the left
 * if tsc_shift is positive, and the upper part of a product with tsc_to_system_mul (a fraction of
 * 2^32). version is odd while the rest changes.
 */
struct vcpu_time_info {
	uint32_t version, pad0;
	uint64_t tsc_timestamp __attribute__((aligned(4)));
	uint64_t system_time __attribute__((aligned(4)));
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags, pad1[2];
};
#define XEN_PVCLOCK_TSC_STABLE_BIT (1u << 0)
XEN_CHECK_SIZE(struct vcpu_time_info, 32);

struct vcpu_info {
	uint8_t evtchn_upcall_pending, evtchn_upcall_mask, pad[6];
	uint64_t evtchn_pending_sel;
	uint64_t arch[2]; /* cr2, padding */
	struct vcpu_time_info time;
};
struct compat_vcpu_info {
	uint8_t evtchn_upcall_pending, evtchn_upcall_mask, pad[2];
	uint32_t evtchn_pending_sel;
	uint32_t arch[6];
	struct vcpu_time_info time;
};
XEN_CHECK_SIZE(struct vcpu_info, 64);
XEN_CHECK_SIZE(struct compat_vcpu_info, 64);
XEN_CHECK_OFFSET(struct vcpu_info, time, 32);
XEN_CHECK_OFFSET(struct compat_vcpu_info, time, 32);

struct shared_info {
	struct vcpu_info vcpu_info[XEN_LEGACY_MAX_VCPUS];
	uint64_t evtchn_pending[64];
	uint64_t evtchn_mask[64];
	uint32_t wc_version, wc_sec, wc_nsec, wc_sec_hi; /* time of day at system time 0 */
};
struct compat_shared_info {
	struct compat_vcpu_info vcpu_info[XEN_LEGACY_MAX_VCPUS];
	uint32_t evtchn_pending[32];
	uint32_t evtchn_mask[32];
	uint32_t wc_version, wc_sec, wc_nsec;
	uint32_t arch[7]; /* max_pfn, p2m list, nmi_reason, three of the p2m, wc_sec_hi */
};
XEN_CHECK_OFFSET(struct shared_info, evtchn_pending, 2048);
XEN_CHECK_OFFSET(struct shared_info, evtchn_mask, 2560);
XEN_CHECK_OFFSET(struct shared_info, wc_version, 3072);
XEN_CHECK_OFFSET(struct compat_shared_info, evtchn_pending, 2048);
XEN_CHECK_OFFSET(struct compat_shared_info, evtchn_mask, 2176);
XEN_CHECK_OFFSET(struct compat_shared_info, wc_version, 2304);
#endif

#endif
