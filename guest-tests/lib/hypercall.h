/*
 * Hypercalls from a guest, and the structures in the layout of the guest's own word size.
 */
#ifndef GUEST_HYPERCALL_H
#define GUEST_HYPERCALL_H

#include "public/console.h"
#include "public/cpuid.h"
#include "public/errno.h"
#include "public/grant_table.h"
#include "public/hvm/hvm_op.h"
#include "public/keyhole.h"
#include "public/memory.h"
#include "public/sched.h"
#include "public/version.h"
#include "public/xen.h"
#include <stdbool.h>

#ifdef __x86_64__
typedef xen_handle_t native_handle_t;
typedef xen_ulong_t native_ulong_t;
typedef struct gnttab_setup_table setup_table_t;
typedef struct xen_add_to_physmap add_to_physmap_t;
typedef struct xen_add_to_physmap_batch add_to_physmap_batch_t;
typedef struct xen_remove_from_physmap remove_from_physmap_t;
typedef struct xen_memory_map memory_map_t;
typedef struct xen_memory_reservation memory_reservation_t;
typedef struct xen_mem_acquire_resource mem_acquire_resource_t;
#else
typedef compat_handle_t native_handle_t;
typedef compat_ulong_t native_ulong_t;
typedef struct compat_gnttab_setup_table setup_table_t;
typedef struct compat_add_to_physmap add_to_physmap_t;
typedef struct compat_add_to_physmap_batch add_to_physmap_batch_t;
typedef struct compat_remove_from_physmap remove_from_physmap_t;
typedef struct compat_memory_map memory_map_t;
typedef struct compat_memory_reservation memory_reservation_t;
typedef struct compat_mem_acquire_resource mem_acquire_resource_t;
#endif

/* A pointer as a structure member. */
#define handle(pointer) ((native_handle_t)(uintptr_t)(pointer))

/* Is there a hypervisor that answers Xen's CPUID leaves? Without one every call below returns
 * -XEN_ENOSYS. */
extern bool xen_present;

/* Calls by VMCALL, or through the hypercall page once hypercall_page_install() succeeded. With
 * `physical` on the guest's command line all pass guest-physical pointers, by VMCALL. */
long hypercall(unsigned number, unsigned long a, unsigned long b, unsigned long c);
/* The same with all five arguments. */
long hypercall5(unsigned number, unsigned long a, unsigned long b, unsigned long c, unsigned long d,
		unsigned long e);
/* Has a page filled through the MSR that CPUID leaf 2 names; returns it, or NULL. */
void *hypercall_page_install(void);
/* From here on calls go through the page, or by VMCALL again. */
void hypercall_use_page(bool use);
void hypercall_init(void);

static inline long sched_op(unsigned command, void *argument)
{
	return hypercall(__HYPERVISOR_sched_op, command, (unsigned long)argument, 0);
}
static inline long memory_op(unsigned command, void *argument)
{
	return hypercall(__HYPERVISOR_memory_op, command, (unsigned long)argument, 0);
}
/* A batch that has another domain's frames appear; all three have as many as count. */
static inline add_to_physmap_batch_t foreign_batch(uint32_t domain, unsigned count,
						   const native_ulong_t *there,
						   const native_ulong_t *here, int32_t *errors)
{
	return (add_to_physmap_batch_t){.domid = DOMID_SELF,
					.space = XENMAPSPACE_gmfn_foreign,
					.size = (uint16_t)count,
					.foreign_domid = (domid_t)domain,
					.idxs = handle(there),
					.gpfns = handle(here),
					.errs = handle(errors)};
}
static inline long grant_table_op(unsigned command, void *arguments, unsigned long count)
{
	return hypercall(__HYPERVISOR_grant_table_op, command, (unsigned long)arguments, count);
}
static inline long xen_version(unsigned command, void *argument)
{
	return hypercall(__HYPERVISOR_xen_version, command, (unsigned long)argument, 0);
}
static inline long console_io(unsigned command, unsigned long count, const void *buffer)
{
	return hypercall(__HYPERVISOR_console_io, command, count, (unsigned long)buffer);
}

#endif
