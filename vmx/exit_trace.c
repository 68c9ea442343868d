/*
 * Exits while the trace is on.
 *
 * State: HOST_RIP of the current VMCS says which stub exits lead to; vcpu_shared.traced, of the
 * vCPU that is loaded here, says so, too. No lock. So an exit costs nothing more while the trace is
 * off.
 */
#include "trace.h"
#include "vmx/entry_offsets.h"
#include "vmx/exit_reasons.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/* Makes exits of the current vCPU lead where they should. */
void vmx_follow_trace(bool on)
{
	struct cpu_private *cpu = this_cpu();

	vmcs_writen(VMCS_HOST_RIP, (uint64_t)(on ? vmx_exit_stub_traced : vmx_exit_stub));
	cpu->current->traced = on;
	cpu->trace = cpu->shared->trace;
}

/* Called by the exit stub in the place of vmx_exit_quick() and vmx_exit(). False: leave. */
bool vmx_exit_traced(struct vcpu_regs *regs)
{
	uint32_t begin = trace_begin();
	uint32_t code = vmcs_read32(VMCS_EXIT_REASON) % TRACE_CODES;

	if (code == EXIT_REASON_VMCALL && (uint32_t)regs->rax < TRACE_HYPERCALLS)
		code = TRACE_CODE_HYPERCALL + (uint32_t)regs->rax;
	int64_t quick = vmx_exit_quick(regs);
	bool enter = quick == EXIT_ENTER || quick == EXIT_ENTER_RBX || vmx_exit(regs, quick);
	struct vcpu_shared *v = this_cpu_field(current);
	uint32_t ticks = trace_put(this_cpu_field(trace), v->trace_id | code << TRACE_CODE_SHIFT,
				   true, begin);

	trace_add(&v->exits.count[code], 1);
	trace_add(&v->exits.ticks[code], ticks);
	return enter;
}
