/*
 * vcpu_op(cmd, vcpu id, arg). Structures are alike for both widths of caller, but for those that
 * have a compat twin. Source: Xen, public/vcpu.h.
 */
#ifndef KEYHOLE_PUBLIC_VCPU_H
#define KEYHOLE_PUBLIC_VCPU_H

#include "base.h"

#define VCPUOP_initialise		      0
#define VCPUOP_up			      1
#define VCPUOP_down			      2
#define VCPUOP_is_up			      3
#define VCPUOP_get_runstate_info	      4
#define VCPUOP_register_runstate_memory_area  5
#define VCPUOP_set_periodic_timer	      6
#define VCPUOP_stop_periodic_timer	      7
#define VCPUOP_set_singleshot_timer	      8
#define VCPUOP_stop_singleshot_timer	      9
#define VCPUOP_register_vcpu_info	      10
#define VCPUOP_send_nmi			      11
#define VCPUOP_get_physid		      12
#define VCPUOP_register_vcpu_time_memory_area 13

#define RUNSTATE_running  0
#define RUNSTATE_runnable 1
#define RUNSTATE_blocked  2
#define RUNSTATE_offline  3

/* In state_entry_time while the record changes, if vm_assist asks for it. */
#define XEN_RUNSTATE_UPDATE (1ull << 63)

#define VCPU_SSHOTTMR_future (1u << 0) /* a time that has passed is an error */

#ifndef __ASSEMBLER__
struct vcpu_runstate_info {
	int32_t state;
	xen_uint64_t state_entry_time; /* all times: system time, ns */
	xen_uint64_t time[4];	       /* spent in each state */
};
struct compat_vcpu_runstate_info {
	int32_t state;
	compat_uint64_t state_entry_time;
	compat_uint64_t time[4];
};
XEN_CHECK_SIZE(struct vcpu_runstate_info, 48);
XEN_CHECK_SIZE(struct compat_vcpu_runstate_info, 44);

struct vcpu_register_runstate_memory_area {
	xen_uint64_t address; /* guest-linear */
};
struct vcpu_register_time_memory_area {
	xen_uint64_t address; /* guest-linear, of a struct vcpu_time_info */
};
struct vcpu_register_vcpu_info {
	xen_uint64_t mfn; /* the guest's frame number */
	uint32_t offset, reserved;
};
struct vcpu_set_periodic_timer {
	xen_uint64_t period_ns;
};
struct vcpu_set_singleshot_timer {
	xen_uint64_t timeout_abs_ns; /* system time */
	uint32_t flags;		     /* VCPU_SSHOTTMR_... */
};
struct compat_vcpu_set_singleshot_timer {
	compat_uint64_t timeout_abs_ns;
	uint32_t flags;
};
XEN_CHECK_SIZE(struct vcpu_register_vcpu_info, 16);
XEN_CHECK_SIZE(struct vcpu_set_singleshot_timer, 16);
XEN_CHECK_SIZE(struct compat_vcpu_set_singleshot_timer, 12);
XEN_CHECK_OFFSET(struct compat_vcpu_set_singleshot_timer, flags, 8);
#endif

#endif
