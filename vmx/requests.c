/*
 * What is asked of the current vCPU from outside: struct vcpu_shared's requests and posted
 * interrupts, which any CPU sets, and the CPU that runs it takes, here, before it enters the guest.
 *
 * State: the current VMCS and vCPU of this CPU. No lock.
 */
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

static void start(struct vcpu_shared *v)
{
	atomic_fetch_and(&v->requests, ~(uint32_t)VCPU_REQUEST_SIPI);
	if (!v->waits_for_sipi)
		return; /* ignored, as processors do */
	v->waits_for_sipi = false;
	vmcs_setup_guest_sipi(atomic_load(&v->sipi_vector));
}

bool vmx_requests(void)
{
	struct vcpu_shared *v = this_cpu()->current;
	uint32_t requests = atomic_load(&v->requests);

	if (atomic_load(&v->domain->end) != END_NONE)
		return false;
	if (requests & VCPU_REQUEST_SIPI)
		start(v);
	return true;
}
