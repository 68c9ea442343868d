/*
 * Grants, in the form that the tests need. No state.
 */
#include "guest.h"

volatile struct grant_entry_v1 *grant_table_at(unsigned long address)
{
	add_to_physmap_t argument = {.domid = DOMID_SELF,
				     .space = XENMAPSPACE_grant_table,
				     .idx = 0,
				     .gpfn = (native_ulong_t)(address / PAGE_SIZE)};
	long result = memory_op(XENMEM_add_to_physmap, &argument);

	if (result != 0)
		tap_bail_out("the grant table does not come to 0x%lx: %ld", address, result);
	return (volatile struct grant_entry_v1 *)address;
}

void grant_access(volatile struct grant_entry_v1 *table, grant_ref_t ref, uint32_t domain,
		  const void *page, unsigned flags)
{
	table[ref].domid = (domid_t)domain;
	table[ref].frame = (uint32_t)((uintptr_t)page / PAGE_SIZE);
	barrier();
	table[ref].flags = (uint16_t)(GTF_permit_access | flags);
}

int grant_map(uint32_t domain, grant_ref_t ref, unsigned long address, unsigned flags,
	      grant_handle_t *handle_out)
{
	struct gnttab_map_grant_ref argument = {
	    .host_addr = address, .flags = flags, .ref = ref, .dom = (domid_t)domain, .status = 99};
	long result = grant_table_op(GNTTABOP_map_grant_ref, &argument, 1);

	if (result != 0)
		tap_bail_out("GNTTABOP_map_grant_ref: %ld", result);
	*handle_out = argument.handle;
	return argument.status;
}

int grant_unmap(unsigned long address, grant_handle_t mapping)
{
	struct gnttab_unmap_grant_ref argument = {
	    .host_addr = address, .handle = mapping, .status = 99};
	long result = grant_table_op(GNTTABOP_unmap_grant_ref, &argument, 1);

	if (result != 0)
		tap_bail_out("GNTTABOP_unmap_grant_ref: %ld", result);
	return argument.status;
}

long foreign_map(uint32_t domain, uint64_t gfn, unsigned long address)
{
	native_ulong_t there = (native_ulong_t)gfn, here = (native_ulong_t)(address / PAGE_SIZE);
	int32_t error = 0;
	add_to_physmap_batch_t batch = foreign_batch(domain, 1, &there, &here, &error);
	long result = memory_op(XENMEM_add_to_physmap_batch, &batch);

	return result != 0 ? result : error;
}

long page_remove(uint64_t address)
{
	remove_from_physmap_t argument = {.domid = DOMID_SELF,
					  .gpfn = (native_ulong_t)(address / PAGE_SIZE)};

	return memory_op(XENMEM_remove_from_physmap, &argument);
}
