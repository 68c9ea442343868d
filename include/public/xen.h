/*
 * Hypercall numbers and reserved domain ids. A call's number is in EAX; its arguments are in RDI,
 * RSI, RDX, R10, R8 (64-bit callers) or EBX, ECX, EDX, ESI, EDI (32-bit callers); the result is in
 * RAX. Only CPL 0 may call. Source: Xen, public/xen.h and public/arch-x86/xen-x86_64.h,
 * xen-x86_32.h.
 */
#ifndef KEYHOLE_PUBLIC_XEN_H
#define KEYHOLE_PUBLIC_XEN_H

#include "base.h"

#define __HYPERVISOR_set_trap_table		   0
#define __HYPERVISOR_mmu_update			   1
#define __HYPERVISOR_set_gdt			   2
#define __HYPERVISOR_stack_switch		   3
#define __HYPERVISOR_set_callbacks		   4
#define __HYPERVISOR_fpu_taskswitch		   5
#define __HYPERVISOR_sched_op_compat		   6
#define __HYPERVISOR_platform_op		   7
#define __HYPERVISOR_set_debugreg		   8
#define __HYPERVISOR_get_debugreg		   9
#define __HYPERVISOR_update_descriptor		   10
#define __HYPERVISOR_memory_op			   12
#define __HYPERVISOR_multicall			   13
#define __HYPERVISOR_update_va_mapping		   14
#define __HYPERVISOR_set_timer_op		   15
#define __HYPERVISOR_event_channel_op_compat	   16
#define __HYPERVISOR_xen_version		   17
#define __HYPERVISOR_console_io			   18
#define __HYPERVISOR_physdev_op_compat		   19
#define __HYPERVISOR_grant_table_op		   20
#define __HYPERVISOR_vm_assist			   21
#define __HYPERVISOR_update_va_mapping_otherdomain 22
#define __HYPERVISOR_iret			   23
#define __HYPERVISOR_vcpu_op			   24
#define __HYPERVISOR_set_segment_base		   25
#define __HYPERVISOR_mmuext_op			   26
#define __HYPERVISOR_xsm_op			   27
#define __HYPERVISOR_nmi_op			   28
#define __HYPERVISOR_sched_op			   29
#define __HYPERVISOR_callback_op		   30
#define __HYPERVISOR_xenoprof_op		   31
#define __HYPERVISOR_event_channel_op		   32
#define __HYPERVISOR_physdev_op			   33
#define __HYPERVISOR_hvm_op			   34
#define __HYPERVISOR_sysctl			   35
#define __HYPERVISOR_domctl			   36
#define __HYPERVISOR_kexec_op			   37
#define __HYPERVISOR_tmem_op			   38
#define __HYPERVISOR_argo_op			   39
#define __HYPERVISOR_xenpmu_op			   40
#define __HYPERVISOR_dm_op			   41
#define __HYPERVISOR_hypfs_op			   42
#define __HYPERVISOR_arch_0			   48 /* 48 to 55 are the architecture's own */
#define __HYPERVISOR_arch_7			   55

/* The hypercall page: entry n begins at byte n * 32. */
#define XEN_HYPERCALL_ENTRY_SIZE 32u
#define XEN_HYPERCALL_ENTRIES	 (4096u / XEN_HYPERCALL_ENTRY_SIZE)

/* vm_assist(cmd, type) */
#define VMASST_CMD_enable		 0
#define VMASST_CMD_disable		 1
#define VMASST_TYPE_runstate_update_flag 5

/* An element of multicall(list, count): a call, and its result when it is done. */
#ifndef __ASSEMBLER__
struct multicall_entry {
	xen_ulong_t op, result, args[6];
};
struct compat_multicall_entry {
	compat_ulong_t op, result, args[6];
};
XEN_CHECK_SIZE(struct multicall_entry, 64);
XEN_CHECK_SIZE(struct compat_multicall_entry, 32);
#endif

/* Domain ids from here on name no domain. */
#define DOMID_FIRST_RESERVED 0x7ff0u
#define DOMID_SELF	     0x7ff0u /* the caller */
#define DOMID_IO	     0x7ff1u
#define DOMID_XEN	     0x7ff2u
#define DOMID_COW	     0x7ff3u
#define DOMID_INVALID	     0x7ff4u
#define DOMID_ANY	     0x7ff5u
#define DOMID_IDLE	     0x7fffu
#define DOMID_MASK	     0x7fffu

#endif
