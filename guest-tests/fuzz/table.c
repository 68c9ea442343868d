/*
 * fuzz: the grant table in its place again, whatever calls with mistakes have put there.
 */
#include "fuzz.h"

#define HANDLES_MAX 16384u
#define BATCH	    64u

/* A grant whose handle nobody has noted; with any other handle the call is refused. */
static void unmap_home(void)
{
	static struct gnttab_unmap_grant_ref ops[WORKERS_MAX][BATCH];
	struct gnttab_unmap_grant_ref *op = ops[cpu_id() % WORKERS_MAX];

	for (unsigned handle = 0; handle < HANDLES_MAX; handle += BATCH) {
		for (unsigned i = 0; i < BATCH; i++)
			op[i] = (struct gnttab_unmap_grant_ref){.host_addr = HOLE,
								.handle = handle + i};
		grant_table_op(GNTTABOP_unmap_grant_ref, op, BATCH);
	}
}

volatile struct grant_entry_v1 *table_home(void)
{
	add_to_physmap_t argument = {.domid = DOMID_SELF,
				     .space = XENMAPSPACE_grant_table,
				     .gpfn = (native_ulong_t)(HOLE / PAGE_SIZE)};

	for (unsigned n = 0; n < 8; n++) {
		long result = memory_op(XENMEM_add_to_physmap, &argument);

		if (!result)
			break;
		if (result == -XEN_EBUSY)
			unmap_home();
	}
	return grant_table_at(HOLE);
}
