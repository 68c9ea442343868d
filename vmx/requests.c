/*
 * What is asked of the current vCPU from outside: struct vcpu_shared's requests and posted
 * interrupts, which any CPU sets, and the CPU that runs it takes, here, before it enters the guest.
 *
 * State: the current VMCS and vCPU of this CPU. No lock. A request that comes later is followed by
 * a kick, and seen at the next look.
 *
 * Source: SDM Vol. 3, "Processor State After Reset", "MP Initialization Protocol Algorithm for MP
 * Systems", "Local APIC State After It Receives an INIT-Deassert IPI" for what INIT keeps.
 */
#include "cpu.h"
#include "vmx/vlapic.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/* INIT changes all but the extended state, the MSRs outside the VMCS, PAT, SYSENTER and the TSC. */
static void reset(struct vcpu_shared *v)
{
	struct vcpu_regs *regs = vcpu_registers();
	struct vlapic *a = vlapic_current();

	__builtin_memset(regs, 0, sizeof(*regs));
	regs->rdx = guest_cpuid_basic.leaves[1][0]; /* family, model, stepping */
	write_cr2(0);
	for (unsigned i = 0; i < 4; i++)
		write_dr(i, 0);
	write_dr(6, DR6_RESET);
	vmcs_write32(VMCS_ENTRY_INTERRUPTION_INFO, 0);
	vlapic_init(a);
	vmx_apicv_update(a);
	a->nmis = 0;
	a->upcall = false;
	a->halted = false;
	vmcs_setup_guest_reset();
	vmx_flush_vpid(v);
	/* The bootstrap processor goes on at the reset vector; others wait for a start-up. */
	v->waits_for_sipi = !(a->base & APIC_BASE_BSP);
}

static void started(struct vcpu_shared *v)
{
	atomic_store(&v->waits_for_sipi, false);
	atomic_store(&v->starts, false); /* in this order: VCPUOP_initialise looks the other way */
	atomic_store(&v->down, false);
}

/* Another processor's NMI or start-up is ignored in a state that does not take it. */
static void take(struct vcpu_shared *v, uint32_t requests)
{
	struct vlapic *a = vlapic_current();

	if (requests & VCPU_REQUEST_INIT && !v->waits_for_sipi)
		reset(v);
	if (requests & VCPU_REQUEST_SIPI && v->waits_for_sipi) {
		vmcs_setup_guest_sipi((uint8_t)(requests >> VCPU_SIPI_VECTOR_SHIFT));
		started(v);
	} else if (requests & VCPU_REQUEST_START && v->waits_for_sipi) {
		vmx_start(v);
		started(v);
	} else if (requests & VCPU_REQUEST_NMI && !v->waits_for_sipi) {
		vlapic_nmi(a);
		if (requests & VCPU_REQUEST_NMI_AGAIN)
			vlapic_nmi(a);
	}
	if (requests & VCPU_REQUEST_TIMER) {
		vlapic_timer_poll(a);
		vlapic_timer_arm(a); /* if by this CPU's clock it is not due yet */
	}
	if (requests & VCPU_REQUEST_UPCALL)
		a->upcall = true;
	if (requests & VCPU_REQUEST_WATCHDOG)
		domain_end(v->domain, END_WATCHDOG, 0);
	if (requests & VCPU_REQUEST_ILLEGAL_VECTOR)
		vlapic_error(a, APIC_ESR_RECEIVE_ILLEGAL_VECTOR);
}

bool vmx_requests(void)
{
	struct vcpu_shared *v = this_cpu()->current;

	if (atomic_load(&v->domain->end) != END_NONE)
		return false;
	if (atomic_load(&v->requests) & ~(uint32_t)VCPU_REQUEST_PAUSE)
		take(v, atomic_fetch_and(&v->requests, VCPU_REQUEST_PAUSE));
	vlapic_collect(vlapic_current(), v);
	return !v->waits_for_sipi && !atomic_load(&v->down) && vmx_deliver_events();
}
