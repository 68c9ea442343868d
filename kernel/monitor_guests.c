/*
 * The monitor's commands that look at one guest, or change what it does.
 *
 * State: none. Boot CPU. A domain that is found stays until this CPU's next quiescent point, which
 * is between two steps: each finds it anew. Registers of a vCPU are read where nobody runs it: its
 * CPU has let go of it, and none takes it until that is done (sched_inspect()); then it is loaded
 * here. What is printed of them waits in private data, goes to the serial ports only, and is left
 * out with registers=off.
 */
#include "domain.h"
#include "drivers/tsc.h"
#include "kernel/console_input.h"
#include "kernel/domain.h"
#include "kernel/lifecycle.h"
#include "kernel/monitor_steps.h"
#include "kernel/sched.h"
#include "kernel/smp.h"
#include "p2m.h"
#include "percpu.h"
#include "print.h"
#include "public/errno.h"
#include "public/keyhole.h"
#include "vcpu.h"

#define FRAMES_MAX 24u
#define LINE_MAX   256u

/* The live guest that an argument names; NULL, and that was said. */
static struct domain *guest(const struct monitor_command *c)
{
	struct domain *d =
	    c->arg[0] && c->arg[0] <= DOMAINS_MAX ? domain_find((domid_t)c->arg[0]) : NULL;

	if (!d)
		print(LOG_RESULT, "there is no guest %lu", c->arg[0]);
	return d;
}

/* --- list ------------------------------------------------------------------------------------- */

static uint64_t ms_run(const struct domain *d)
{
	uint64_t ticks = 0;

	for (uint32_t cpu = 0; cpu < smp_cpu_count(); cpu++)
		ticks += atomic_load(&d->cpu_ticks[cpu]);
	return ticks / tsc_khz();
}

static const char *const what_it_does[] = {
    [VCPU_PARKED] = "not started,",   [VCPU_RUNNABLE] = "waits for",
    [VCPU_RUNNING] = "runs on",	      [VCPU_BLOCKED] = "sleeps, was on",
    [VCPU_CAPPED] = "capped, was on", [VCPU_DOWN] = "down, was on",
    [VCPU_PAUSED] = "paused, was on", [VCPU_ENDED] = "ended on",
};

static void list_live(const struct domain *d)
{
	static const char *const domain_states[] = {
	    [KEYHOLE_DOMAIN_ABSENT] = "gone",	   [KEYHOLE_DOMAIN_CREATING] = "being made",
	    [KEYHOLE_DOMAIN_RUNNING] = "running",  [KEYHOLE_DOMAIN_PAUSED] = "paused",
	    [KEYHOLE_DOMAIN_ENDING] = "has ended",
	};
	char text[LINE_MAX];
	size_t length = 0;

	for (uint32_t i = 0; i < d->vcpu_count; i++) {
		const struct vcpu_shared *v = d->vcpus[i];
		length +=
		    format_string(text + length, sizeof(text) - length, "%s %s cpu%u", i ? "," : "",
				  what_it_does[atomic_load(&v->state)], atomic_load(&v->cpu));
	}
	print(LOG_RESULT, "d%u \"%s\" %s, %lu KiB, weight %u, cap %u %%, %lu ms;%s", d->id, d->name,
	      domain_states[lifecycle_state(d->id)], d->ram_bytes >> 10, d->vcpus[0]->weight,
	      d->cap_percent, ms_run(d), text);
}

bool step_list(struct monitor_command *c)
{
	while (++c->at <= DOMAINS_MAX) {
		domid_t id = (domid_t)c->at;
		const struct domain *d = lifecycle_state(id) == KEYHOLE_DOMAIN_CREATING
					     ? NULL
					     : domain_next((domid_t)(id - 1));
		const struct domain_result *r = domain_result(id);

		if (d && d->id == id)
			list_live(d);
		else if (domain_marked(id))
			print(LOG_RESULT, "d%u comes or goes", id);
		else if (r)
			print(LOG_RESULT, "d%u \"%s\" %s", id, r->name, domain_end_text(r->end));
		else
			continue;
		return true;
	}
	return false;
}

/* --- changes ---------------------------------------------------------------------------------- */

bool step_request(struct monitor_command *c)
{
	static const unsigned controls[] = {[MONITOR_pause] = KEYHOLE_CONTROL_PAUSE,
					    [MONITOR_resume] = KEYHOLE_CONTROL_RESUME,
					    [MONITOR_destroy] = KEYHOLE_CONTROL_DESTROY,
					    [MONITOR_restart] = KEYHOLE_CONTROL_RESTART};
	bool possible = c->arg[0] && c->arg[0] <= DOMAINS_MAX;
	domid_t id = (domid_t)c->arg[0];
	unsigned control = controls[c->verb];
	int rc = -XEN_ESRCH;

	if (possible && c->verb == MONITOR_restart && !domain_marked(id))
		control = KEYHOLE_CONTROL_CREATE;
	if (possible)
		rc = lifecycle_request(id, control);
	print(LOG_RESULT, "%s %lu: %s", monitor_words[c->verb].name, c->arg[0],
	      rc == 0		      ? "yes"
	      : rc == -XEN_ESRCH      ? "there is no such guest"
	      : rc == -XEN_EOPNOTSUPP ? "only with restart=yes on the command line"
	      : rc == -XEN_EBUSY      ? "it comes or goes already"
				      : "there is one already");
	return false;
}

bool step_console(struct monitor_command *c)
{
	const struct domain *d = guest(c);

	if (d)
		console_input_to(d->id);
	return false;
}

/* --- what it is ------------------------------------------------------------------------------- */

static const char *const what_it_is[P2M_TYPE_COUNT] = {
    [P2M_NONE] = "nothing",
    [P2M_RAM] = "RAM",
    [P2M_GRANT_RW] = "grant",
    [P2M_GRANT_RO] = "grant, read-only",
    [P2M_FOREIGN] = "foreign frame",
    [P2M_SHARED] = "shared with the hypervisor",
    [P2M_DEMAND] = "foreign frame of a demand window",
};

bool step_p2m(struct monitor_command *c)
{
	const struct domain *d = guest(c);
	struct p2m_entry e;

	if (!d)
		return false;
	if (c->arg[1] >= P2M_GFN_LIMIT || !p2m_lookup(&d->p2m, make_gfn(c->arg[1]), &e)) {
		print(LOG_RESULT, "d%u gfn 0x%lx: nothing", d->id, c->arg[1]);
		return false;
	}
	print(LOG_RESULT, "d%u gfn 0x%lx: mfn 0x%lx, %s%s%s, %s, in a leaf of %lu KiB", d->id,
	      c->arg[1], mfn_raw(e.frame), e.access & P2M_R ? "r" : "", e.access & P2M_W ? "w" : "",
	      e.access & P2M_X ? "x" : "", what_it_is[e.type], 4ul << e.order);
	return false;
}

noinline_fn static void print_backtrace(const struct vcpu_shared *v)
{
	struct guest_access ga;

	vcpu_guest_access(&ga);
	bool wide = ga.paging.efer & EFER_LMA;
	unsigned size = wide ? 8 : 4;
	uint64_t frame = vcpu_registers()->rbp & (wide ? UINT64_MAX : UINT32_MAX);

	vcpu_print_rip(v);
	for (unsigned n = 1; n < FRAMES_MAX; n++) {
		uint64_t saved = 0, from = 0;

		if (guest_copy_in(&ga, &saved, make_gva(frame), size) ||
		    guest_copy_in(&ga, &from, make_gva(frame + size), size))
			break;
		print_guest_state(LOG_RESULT, "  #%u %016lx", n, from);
		if (saved <= frame) /* the outermost, or made up */
			break;
		frame = saved;
	}
}

/* Step 0, until its CPU has let go of it: what is asked for. Step 1, unloaded: it may run again. */
bool step_inspect(struct monitor_command *c)
{
	struct domain *d = guest(c);
	uint64_t which = c->given > 1 ? c->arg[1] : 0;

	if (!d)
		return false;
	if (which >= d->vcpu_count || lifecycle_state(d->id) == KEYHOLE_DOMAIN_CREATING) {
		print(LOG_RESULT, "d%u has no vCPU %lu", d->id, which);
		return false;
	}
	struct vcpu_shared *v = d->vcpus[which];
	if (c->at) {
		sched_inspect_end(v);
		return false;
	}
	if (!vcpu_dump_enabled) {
		print(LOG_RESULT, "registers=off on the command line");
		return false;
	}
	if (!sched_inspect(v))
		return true;
	vcpu_load(v);
	if (c->verb == MONITOR_regs)
		vcpu_dump(v);
	else
		print_backtrace(v);
	c->at = 1;
	return true;
}
