/*
 * Allocations that fail on purpose: test builds only.
 *
 * frame_alloc(), pool_table_alloc(), vmap_alloc() and heap_alloc() ask here first, each call that
 * one of them makes of another included. Armed with n, the n-th to ask fails, and no other. Only
 * what is done for the vCPU that armed it counts (or what the CPU does, if it had none loaded), so
 * that a guest can choose among its own calls while others run. Or what makes domains at run time
 * counts, which is nobody's.
 *
 * State: all that is below, used by who armed it and whom it counts; armed_cpu itself is atomic.
 * No lock.
 */
#ifdef CONFIG_TEST
#include "mm/fail.h"
#include "percpu.h"

#define NOBODY UINT32_MAX
#define MAKING (UINT32_MAX - 1)

static _Atomic uint32_t armed_cpu = NOBODY;
static const struct vcpu_shared *armed_vcpu;
static uint64_t left;
static bool fired;
static bool is_making; /* the boot CPU's */

/* From now on the n-th allocation fails; 1 is the next. */
void fail_arm(uint64_t nth)
{
	armed_vcpu = this_cpu()->current;
	left = nth;
	fired = false;
	atomic_store(&armed_cpu, cpu_index());
}

/* The same for the allocations of those domains that are made at run time. */
void fail_arm_making(uint64_t nth)
{
	left = nth;
	fired = false;
	atomic_store(&armed_cpu, MAKING);
}

void fail_making(bool making)
{
	is_making = making;
}

/* No allocation fails any more; whether one did. */
bool fail_disarm(void)
{
	atomic_store(&armed_cpu, NOBODY);
	return fired;
}

bool fail_now(void)
{
	uint32_t cpu = atomic_load(&armed_cpu);

	/* A vCPU may have come to another CPU meanwhile. */
	bool counts = cpu == MAKING
			  ? is_making && !cpu_index()
			  : this_cpu()->current == armed_vcpu && (armed_vcpu || cpu == cpu_index());

	if (cpu == NOBODY || !counts || fired || --left)
		return false;
	fired = true;
	return true;
}
#endif
