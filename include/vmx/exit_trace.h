/* The end of an exit while the trace is on. vmx/exit_trace.c. */
#ifndef KEYHOLE_VMX_EXIT_TRACE_H
#define KEYHOLE_VMX_EXIT_TRACE_H

#include "public/keyhole.h"
#include "trace.h"
#include "vcpu.h"
#include "vmx/exit_reasons.h"

/* The code of a hypercall by its number, which the guest chose. */
static inline unsigned trace_hypercall_code(uint32_t number)
{
	number &= ~KEYHOLE_CALL_PHYSICAL;
	return number < TRACE_HYPERCALLS ? TRACE_CODE_HYPERCALL + number : EXIT_REASON_VMCALL;
}

/* An event, and the sums. */
always_inline_fn static inline void trace_exit(unsigned code)
{
	struct vcpu_shared *v = this_cpu_field(current);
	uint32_t ticks = trace_put(this_cpu_field(trace), v->trace_id | code << TRACE_CODE_SHIFT,
				   true, this_cpu_field(trace_begin));

	trace_add(&v->exits.count[code], 1);
	trace_add(&v->exits.ticks[code], ticks);
}

#endif
