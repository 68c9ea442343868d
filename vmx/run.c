/*
 * Running the current vCPU.
 *
 * State: the preemption timer in the current VMCS; this CPU's entry_work. No lock. Other CPUs set
 * bits of entry_work by cpu_kick(); interrupts are off from the test before entry on, so that an
 * IPI that arrives later is taken as an exit right after the entry.
 *
 * Source: SDM Vol. 3, "VMX-Preemption Timer".
 */
#include "cpu.h"
#include "vmx/entry_offsets.h"
#include "vmx/exit_reasons.h"
#include "vmx/explain.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

_Static_assert(offsetof(struct cpu_private, run_stack) == CPU_RUN_STACK, "entry.S");
_Static_assert(offsetof(struct cpu_private, vmcs_launched) == CPU_VMCS_LAUNCHED, "entry.S");
_Static_assert(offsetof(struct cpu_private, trace_begin) == CPU_TRACE_BEGIN, "entry.S");
_Static_assert(offsetof(struct vcpu_regs, rbx) == REGS_RBX, "entry.S");
_Static_assert(offsetof(struct vcpu_regs, rbp) == REGS_RBP, "entry.S");

/*
 * The preemption timer stands still in root mode, so that it may be late by the time spent there
 * since it was set; vmx_exit() compares the clock at every exit besides. Where there is none, the
 * host's timer interrupts the guest.
 */
void vmx_set_event(void)
{
	struct cpu_private *cpu = this_cpu();
	uint64_t event = timers_run();

	if (event > cpu->slice_end)
		event = cpu->slice_end;
	cpu->event_time = (uint32_t)event;
	if (!(vmx_machine.controls.value[VMX_PIN] & PIN_PREEMPTION_TIMER)) {
		host_timer_arm(event);
		return;
	}
	uint64_t now = rdtsc(), ticks = event > now ? event - now : 0;

	ticks >>= vmx_caps_timer_shift(&vmx_machine.caps);
	vmcs_write32(VMCS_PREEMPTION_TIMER, ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks);
}

static int read_field(void *ctx, uint32_t encoding, uint64_t *value)
{
	(void)ctx;
	/* A field of a feature that this processor lacks counts as 0. */
	return vmcs_try_read(encoding, value) != VMX_OK;
}

void vmx_explain_entry_failure(const char *what)
{
	struct vmcs_snapshot snapshot; /* holds guest registers: on this CPU's own stack only */

	print(LOG_ERROR, "VM entry of d%u failed: %s", this_cpu()->current->domain->id, what);
	vmcs_snapshot_fill(&snapshot, read_field, NULL);
	vmx_explain_print(&vmx_machine.caps, &snapshot);
}

void vcpu_run(uint64_t slice_ticks)
{
	struct vcpu_shared *v = this_cpu()->current;

	if (unlikely(v->traced != atomic_load_explicit(&trace_enabled, memory_order_acquire)))
		vmx_follow_trace(!v->traced);
	this_cpu()->slice_end = rdtsc() + slice_ticks;
	vmx_set_event();
	if (!vmx_entry_work())
		return;
	unsigned status = vmx_guest_loop(vcpu_registers());
	if (status == VMX_OK)
		return;
	vmx_left_guest_mode();
	this_cpu()->vmcs_launched = false;
	vmx_explain_entry_failure(
	    status == VMX_FAIL_INVALID
		? "no current VMCS"
		: vmx_instruction_error_name(vmcs_read32(VMCS_INSTRUCTION_ERROR)));
	domain_end(v->domain, END_ENTRY_FAILURE, status);
}
