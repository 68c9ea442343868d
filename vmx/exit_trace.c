/*
 * Exits while the trace is on.
 *
 * State: HOST_RIP of the current VMCS says which stub exits lead to; vcpu_shared.traced, of the
 * vCPU that is loaded here, says so, too. No lock. So an exit costs nothing more while the trace is
 * off, and the other stub calls functions that are compiled once more for it.
 */
#include "vmx/exit_trace.h"
#include "barriers.h"
#include "vmx/entry_offsets.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

void vmx_follow_trace(bool on)
{
	struct cpu_private *cpu = this_cpu();
	void (*stub)(void) = on ? vmx_exit_stub_traced : vmx_exit_stub;

	if (barriers.verw)
		stub = on ? vmx_exit_stub_verw_traced : vmx_exit_stub_verw;
	vmcs_writen(VMCS_HOST_RIP, (uint64_t)stub);
	cpu->current->traced = on;
	cpu->trace = cpu->shared->trace;
}

/* What vmx_exit_quick_traced() has left. What waited before the entry is an event of its own. */
bool vmx_exit_traced(struct vcpu_regs *regs, int64_t reason)
{
	unsigned code = (unsigned)reason % TRACE_CODES;
	uint32_t begin = trace_begin();

	if (reason == EXIT_REASON_VMCALL)
		code = trace_hypercall_code(regs->eax);
	bool enter = vmx_exit(regs, reason);
	if (reason == EXIT_WORK)
		trace_since(TRACE_WORK, begin);
	else
		trace_exit(code);
	return enter;
}
