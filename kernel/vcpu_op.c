/*
 * The hypercall vcpu_op: records, timers and state of a domain's own vCPUs.
 *
 * State: struct vcpu_xen. Timers are the CPU's (kernel/timer.h); a vCPU arms its own only. Ready
 * for many CPUs.
 *
 * Source: Xen, public/vcpu.h.
 */
#include "kernel/vcpu_op.h"
#include "cpu.h"
#include "kernel/domain.h"
#include "kernel/evtchn.h"
#include "kernel/guest_time.h"
#include "kernel/hypercall.h"
#include "kernel/shared_info.h"
#include "kernel/xen_state.h"
#include "percpu.h"
#include "public/errno.h"
#include "public/event_channel.h"
#include "public/vcpu.h"

#define PERIOD_MIN_NS 1000000ull /* both as on Xen */
#define PERIOD_MAX_NS (UINT64_MAX / 4)

/* --- timers ----------------------------------------------------------------------------------- */

static uint64_t singleshot_fires(struct timer *t)
{
	evtchn_raise_virq(container_of(t, struct vcpu_xen, singleshot)->vcpu, VIRQ_TIMER);
	return 0;
}

static uint64_t periodic_fires(struct timer *t)
{
	struct vcpu_xen *x = container_of(t, struct vcpu_xen, periodic);

	evtchn_raise_virq(x->vcpu, VIRQ_TIMER);
	return rdtsc() + atomic_load(&x->period);
}

static uint64_t poll_fires(struct timer *t)
{
	struct vcpu_shared *v = container_of(t, struct vcpu_xen, poll)->vcpu;

	atomic_fetch_or(&v->requests, VCPU_REQUEST_WAKE);
	vcpu_kick(v);
	return 0;
}

void vcpu_op_timers_init(struct vcpu_shared *v)
{
	timer_init(&v->xen->singleshot, v, singleshot_fires);
	timer_init(&v->xen->periodic, v, periodic_fires);
	timer_init(&v->xen->poll, v, poll_fires);
}

static int64_t set_singleshot(struct hypercall *c, struct vcpu_shared *v)
{
	struct vcpu_set_singleshot_timer op;
	int rc = hypercall_copy_in(c, &layout_set_singleshot_timer, &op, make_gva(c->arg[2]));

	if (rc)
		return rc;
	if (op.flags & VCPU_SSHOTTMR_future && op.timeout_abs_ns < guest_time_now(c->domain))
		return -XEN_ETIME;
	timer_arm(&v->xen->singleshot, guest_time_to_tsc(c->domain, op.timeout_abs_ns));
	return 0;
}

static int64_t set_periodic(struct hypercall *c, struct vcpu_shared *v)
{
	struct vcpu_set_periodic_timer op;
	int rc = guest_copy_in(&c->access, &op, make_gva(c->arg[2]), sizeof(op));

	if (rc)
		return rc;
	if (op.period_ns < PERIOD_MIN_NS || op.period_ns > PERIOD_MAX_NS)
		return -XEN_EINVAL;
	uint64_t ticks = guest_time_ticks(op.period_ns);
	if (ticks > INT64_MAX / 2)
		return -XEN_EINVAL;
	atomic_store(&v->xen->period, ticks);
	timer_arm(&v->xen->periodic, rdtsc() + ticks);
	return 0;
}

/* --- records ---------------------------------------------------------------------------------- */

static int64_t register_info(struct hypercall *c, struct vcpu_shared *v)
{
	struct vcpu_register_vcpu_info op;
	int rc = guest_copy_in(&c->access, &op, make_gva(c->arg[2]), sizeof(op));

	if (rc)
		return rc;
	rc = vcpu_info_register(v, make_gfn(op.mfn), op.offset);
	if (!rc)
		vcpu_retell_upcall(v);
	return rc;
}

/* What is known of v now: it runs, if it is the caller. */
static void fill_runstate(struct hypercall *c, const struct vcpu_shared *v,
			  struct vcpu_runstate_info *out)
{
	static const uint8_t states[] = {
	    [VCPU_PARKED] = RUNSTATE_offline,  [VCPU_RUNNABLE] = RUNSTATE_runnable,
	    [VCPU_RUNNING] = RUNSTATE_running, [VCPU_BLOCKED] = RUNSTATE_blocked,
	    [VCPU_PAUSED] = RUNSTATE_offline,  [VCPU_ENDED] = RUNSTATE_offline};

	*out = (struct vcpu_runstate_info){.state = states[atomic_load(&v->state)],
					   .state_entry_time = guest_time_now(c->domain)};
	out->time[out->state] = out->state_entry_time;
}

static int64_t copy_runstate(struct hypercall *c, const struct vcpu_shared *v, gva_t to)
{
	struct vcpu_runstate_info info;

	fill_runstate(c, v, &info);
	return hypercall_copy_out(c, &layout_runstate_info, to, &info);
}

/* The area is written once: it says that the vCPU runs, as it does whenever it looks. */
static int64_t register_runstate(struct hypercall *c, struct vcpu_shared *v)
{
	struct vcpu_register_runstate_memory_area op;
	int rc = guest_copy_in(&c->access, &op, make_gva(c->arg[2]), sizeof(op));

	if (rc || !op.address)
		return rc;
	return copy_runstate(c, v, make_gva(op.address));
}

static int64_t register_time(struct hypercall *c)
{
	struct vcpu_register_time_memory_area op;
	struct vcpu_time_info time = guest_time_record(c->domain);
	int rc = guest_copy_in(&c->access, &op, make_gva(c->arg[2]), sizeof(op));

	if (rc || !op.address)
		return rc;
	return guest_copy_out(&c->access, make_gva(op.address), &time, sizeof(time));
}

/* --- the call --------------------------------------------------------------------------------- */

/*
 * vcpu_op(cmd, vcpu, arg): 0, or what the command answers; -XEN_ENOENT: no such vCPU; -XEN_EINVAL:
 * the command is for the caller's own vCPU; -XEN_EFAULT; -XEN_ENOSYS.
 */
int64_t hypercall_vcpu_op(struct hypercall *c)
{
	uint32_t cmd = (uint32_t)c->arg[0];
	struct vcpu_shared *self = this_cpu_field(current);

	if ((uint32_t)c->arg[1] >= c->domain->vcpu_count)
		return -XEN_ENOENT;
	struct vcpu_shared *v = c->domain->vcpus[(uint32_t)c->arg[1]];
	switch (cmd) {
	case VCPUOP_is_up: {
		uint32_t state = atomic_load(&v->state);

		return state != VCPU_PARKED && state != VCPU_ENDED;
	}
	case VCPUOP_get_runstate_info:
		return copy_runstate(c, v, make_gva(c->arg[2]));
	case VCPUOP_register_vcpu_info:
		return register_info(c, v);
	case VCPUOP_register_runstate_memory_area:
		return register_runstate(c, v);
	case VCPUOP_register_vcpu_time_memory_area:
		return register_time(c);
	case VCPUOP_send_nmi:
		atomic_fetch_or(&v->requests, VCPU_REQUEST_NMI);
		vcpu_kick(v);
		return 0;
	}
	/* The others are about timers. */
	if (cmd < VCPUOP_set_periodic_timer || cmd > VCPUOP_stop_singleshot_timer)
		return -XEN_ENOSYS;
	if (v != self)
		return -XEN_EINVAL;
	switch (cmd) {
	case VCPUOP_set_periodic_timer:
		return set_periodic(c, v);
	case VCPUOP_stop_periodic_timer:
		timer_cancel(&v->xen->periodic);
		return 0;
	case VCPUOP_set_singleshot_timer:
		return set_singleshot(c, v);
	default:
		timer_cancel(&v->xen->singleshot);
		return 0;
	}
}
