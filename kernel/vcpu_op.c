/*
 * The hypercall vcpu_op: starting and stopping, records and timers of a domain's own vCPUs.
 *
 * State: struct vcpu_xen. Timers are the CPU's (kernel/timer.h); a vCPU arms its own only.
 *
 * Source: Xen, public/vcpu.h.
 */
#include "kernel/vcpu_op.h"
#include "cpu.h"
#include "kernel/evtchn.h"
#include "kernel/guest_time.h"
#include "kernel/hypercall.h"
#include "kernel/runstate.h"
#include "kernel/sched_op.h"
#include "kernel/shared_info.h"
#include "kernel/xen_state.h"
#include "mem.h"
#include "percpu.h"
#include "public/errno.h"
#include "public/event_channel.h"
#include "public/sched.h"
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

static int64_t copy_runstate(struct hypercall *c, struct vcpu_shared *v, gva_t to)
{
	struct vcpu_runstate_info info;

	runstate_get(v, &info);
	return hypercall_copy_out(c, &layout_runstate_info, to, &info);
}

static int64_t register_runstate(struct hypercall *c, struct vcpu_shared *v)
{
	struct vcpu_register_runstate_memory_area op;
	int rc = guest_copy_in(&c->access, &op, make_gva(c->arg[2]), sizeof(op));

	return rc ? rc
		  : runstate_register(c, v, make_gva(c->wide ? op.address : (uint32_t)op.address));
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

/* --- up and down ------------------------------------------------------------------------------ */

/* One that waits to be started, or was taken down. */
static bool is_down(const struct vcpu_shared *v)
{
	return atomic_load(&v->waits_for_sipi) || atomic_load(&v->down);
}

/* The state in which v will start. -XEN_EEXIST: it has started, or knows already. */
static int64_t initialise(struct hypercall *c, struct vcpu_shared *v)
{
	struct vcpu_hvm_context context;
	int rc = guest_copy_in(&c->access, &context, make_gva(c->arg[2]), sizeof(context));

	if (rc)
		return rc;
	lock_acquire(&c->domain->lock);
	/* In this order: who starts it changes the other one first. */
	if (atomic_load(&v->starts) || !atomic_load(&v->waits_for_sipi))
		rc = -XEN_EEXIST;
	else
		rc = vcpu_start_prepare(v, &context);
	if (!rc)
		atomic_store(&v->starts, true);
	lock_release(&c->domain->lock);
	mem_wipe(&context, sizeof(context)); /* the guest's registers */
	return rc;
}

/* -XEN_EINVAL: nothing says how it would start. */
static int64_t up(struct vcpu_shared *v)
{
	if (atomic_load(&v->waits_for_sipi)) {
		if (!atomic_load(&v->starts))
			return -XEN_EINVAL;
		atomic_fetch_or(&v->requests, VCPU_REQUEST_START);
	}
	atomic_store(&v->down, false);
	vcpu_kick(v);
	return 0;
}

/* The last one's end is the domain's. */
static int64_t down(struct domain *d, struct vcpu_shared *v)
{
	bool last = true;

	lock_acquire(&d->lock);
	for (uint32_t i = 0; i < d->vcpu_count; i++)
		last &= d->vcpus[i] == v || is_down(d->vcpus[i]);
	if (!last)
		atomic_store(&v->down, true);
	lock_release(&d->lock);
	if (last)
		sched_op_shutdown(d, SHUTDOWN_poweroff);
	else
		vcpu_kick(v);
	return 0;
}

/* --- the call --------------------------------------------------------------------------------- */

/* Commands for the caller's own vCPU. */
static int64_t timer_op(struct hypercall *c, struct vcpu_shared *v, uint32_t cmd)
{
	if (v != this_cpu_field(current))
		return -XEN_EINVAL;
	switch (cmd) {
	case VCPUOP_set_periodic_timer:
		return set_periodic(c, v);
	case VCPUOP_set_singleshot_timer:
		return set_singleshot(c, v);
	default:
		timer_cancel(&v->xen->singleshot);
		return 0;
	}
}

/*
 * vcpu_op(cmd, vcpu, arg): 0, or what the command answers; -XEN_ENOENT: no such vCPU; -XEN_EINVAL:
 * a timer of another vCPU, or what the command's function says; -XEN_EEXIST: it has started;
 * -XEN_ETIME; -XEN_EFAULT; -XEN_ENOSYS.
 */
int64_t hypercall_vcpu_op(struct hypercall *c)
{
	uint32_t cmd = (uint32_t)c->arg[0];

	if ((uint32_t)c->arg[1] >= c->domain->vcpu_count)
		return -XEN_ENOENT;
	struct vcpu_shared *v = c->domain->vcpus[(uint32_t)c->arg[1]];
	switch (cmd) {
	case VCPUOP_initialise:
		return initialise(c, v);
	case VCPUOP_up:
		return up(v);
	case VCPUOP_down:
		return down(c->domain, v);
	case VCPUOP_is_up:
		return !is_down(v);
	case VCPUOP_get_runstate_info:
		return copy_runstate(c, v, make_gva(c->arg[2]));
	case VCPUOP_register_vcpu_info:
		return register_info(c, v);
	case VCPUOP_register_runstate_memory_area:
		return register_runstate(c, v);
	case VCPUOP_register_vcpu_time_memory_area:
		return register_time(c);
	case VCPUOP_send_nmi:
		if (c->wide ? c->arg[2] : (uint32_t)c->arg[2])
			return -XEN_EINVAL;
		atomic_fetch_or(&v->requests, VCPU_REQUEST_NMI);
		vcpu_kick(v);
		return 0;
	case VCPUOP_get_physid: /* for who is bound to one processor for good */
		return -XEN_EINVAL;
	case VCPUOP_stop_periodic_timer: /* as on Xen, any vCPU's */
		timer_cancel(&v->xen->periodic);
		return 0;
	case VCPUOP_set_periodic_timer:
	case VCPUOP_set_singleshot_timer:
	case VCPUOP_stop_singleshot_timer:
		return timer_op(c, v, cmd);
	default:
		return -XEN_ENOSYS;
	}
}
