/*
 * The monitor's commands that look at the machine, or at all guests.
 *
 * State: the results of the audit, each written by the CPU that it is of. Boot CPU.
 */
#include "domain.h"
#include "kernel/domain.h"
#include "kernel/monitor_steps.h"
#include "kernel/smp.h"
#include "kernel/trace.h"
#include "mm/audit.h"
#include "mm/frame.h"
#include "percpu.h"
#include "print.h"
#include "vcpu.h"

#define EVENTS_AT_ONCE 12u
#define CODES_AT_ONCE  16u
#define TEXT_MAX       120u

/* A vCPU that runs on that CPU now. */
static const struct vcpu_shared *running_on(uint32_t cpu)
{
	for (struct domain *d = domain_next(0); d; d = domain_next(d->id))
		for (uint32_t i = 0; i < d->vcpu_count; i++) {
			const struct vcpu_shared *v = d->vcpus[i];
			if (v && atomic_load(&v->cpu) == cpu &&
			    atomic_load(&v->state) == VCPU_RUNNING)
				return v;
		}
	return NULL;
}

bool step_cpus(struct monitor_command *c)
{
	const struct cpu_shared *shared = &cpu_shared[c->at];
	const struct vcpu_shared *v = running_on(c->at);
	char text[TEXT_MAX] = "in root mode";

	if (v)
		format_string(text, sizeof(text), "runs d%uv%u", v->domain->id, v->id);
	print(LOG_RESULT, "cpu%u: APIC id %u, %s%s", c->at, shared->apic_id,
	      c->at == cpu_index()	   ? "runs the monitor"
	      : atomic_load(&shared->idle) ? "sleeps"
					   : text,
	      atomic_load(&shared->runs_guests) ? "" : ", runs no guests");
	return ++c->at < smp_cpu_count();
}

/* Of what is missing here, absent and free frames, the total tells. */
static const char *const what_for[FRAME_TYPE_COUNT] = {
    [FRAME_IMAGE] = "the image",
    [FRAME_FRAME_TABLE] = "the frame table",
    [FRAME_TABLE] = "pools of page tables",
    [FRAME_VMAP] = "heap and metadata",
    [FRAME_PRIVATE] = "private ranges of CPUs",
    [FRAME_VMX] = "VT-x",
    [FRAME_BOOT] = "files of guests",
    [FRAME_GUEST_RAM] = "RAM of guests",
    [FRAME_GUEST_SHARED] = "shared with guests",
    [FRAME_VCPU] = "vCPUs and devices of guests",
};

bool step_memory(struct monitor_command *c)
{
	struct frame_stats s;

	(void)c;
	frame_get_stats(&s);
	print(LOG_RESULT, "memory: %lu KiB of RAM, %lu free", s.ram << 2, s.free << 2);
	for (unsigned t = 0; t < FRAME_TYPE_COUNT; t++)
		if (what_for[t])
			print(LOG_RESULT, "%12lu KiB  %s", s.by_type[t] << 2, what_for[t]);
	return false;
}

/* --- the audit -------------------------------------------------------------------------------- */

static struct audit_result audits[LAYOUT_CPUS_MAX];

static void audit_there(void *arg)
{
	vcpu_load(NULL); /* slots of the window may stay open while one is loaded */
	audit_run(arg, false);
}

bool step_map(struct monitor_command *c)
{
	(void)c;
	audit_print_table();
	return false;
}

/* Even steps have a CPU do it, odd ones look whether it has. */
bool step_audit(struct monitor_command *c)
{
	uint32_t cpu = c->at / 2;

	if (c->at % 2 == 0) {
		if (cpu)
			smp_call(cpu, audit_there, &audits[cpu]);
		else
			audit_there(&audits[0]);
		return ++c->at;
	}
	if (cpu && !smp_called(cpu))
		return true;
	audit_report(cpu, &audits[cpu]);
	return ++c->at < 2 * smp_cpu_count();
}

/* --- the trace -------------------------------------------------------------------------------- */

bool step_trace(struct monitor_command *c)
{
	struct trace_event events[EVENTS_AT_ONCE];
	uint64_t lost, position = trace_last(c->at, EVENTS_AT_ONCE);
	char text[TEXT_MAX];

	if (c->given) {
		int rc = c->arg[0] ? trace_start() : 0;

		if (!c->arg[0])
			trace_stop();
		print(LOG_RESULT, "trace: %s", rc ? "not enough memory" : c->arg[0] ? "on" : "off");
		return false;
	}
	unsigned count = trace_read(c->at, &position, events, EVENTS_AT_ONCE, &lost);
	print(LOG_RESULT, "cpu%u: %s", c->at,
	      count			    ? "the last events"
	      : atomic_load(&trace_enabled) ? "no events"
					    : "no events: trace on has them recorded");
	for (unsigned i = 0; i < count; i++) {
		trace_format(&events[i], text, sizeof(text));
		print(LOG_RESULT, "  %lu %s", events[i].tsc, text);
	}
	return ++c->at < smp_cpu_count();
}

bool step_exits(struct monitor_command *c)
{
	unsigned printed = 0;

	if (c->given && (c->arg[0] > DOMAINS_MAX || !c->arg[0])) {
		print(LOG_RESULT, "there is no guest %lu", c->arg[0]);
		return false;
	}
	if (!c->at)
		c->at = c->given ? (uint32_t)c->arg[0] * TRACE_CODES : TRACE_CODES;
	uint32_t end =
	    c->given ? ((uint32_t)c->arg[0] + 1) * TRACE_CODES : (DOMAINS_MAX + 1) * TRACE_CODES;
	if (!atomic_load(&trace_enabled) && c->at % TRACE_CODES == 0 &&
	    (c->given || c->at == TRACE_CODES))
		print(LOG_RESULT, "exits are counted while the trace is on, and it is off");
	for (; c->at < end && printed < CODES_AT_ONCE; ++c->at) {
		struct trace_sum s =
		    trace_exits((domid_t)(c->at / TRACE_CODES), c->at % TRACE_CODES);
		char name[TEXT_MAX];

		if (!s.count)
			continue;
		trace_format_code(c->at % TRACE_CODES, name, sizeof(name));
		print(LOG_RESULT, "d%u %12lu  %s, %lu ticks each", c->at / TRACE_CODES, s.count,
		      name, s.ticks / s.count);
		printed++;
	}
	return c->at < end;
}
