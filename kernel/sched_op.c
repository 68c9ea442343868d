/*
 * The hypercall sched_op: waiting, ending, watchdogs.
 *
 * State: in struct domain_xen the reason that a guest has named ahead, and its watchdogs. A
 * watchdog is a timer of the processor that armed it last; bits say which are in use. No lock: two
 * vCPUs that arm the same one at once have it at one of the two times.
 *
 * Source: Xen, public/sched.h.
 */
#include "kernel/sched_op.h"
#include "kernel/guest_time.h"
#include "kernel/hypercall.h"
#include "kernel/lifecycle.h"
#include "kernel/xen_state.h"
#include "public/errno.h"
#include "public/keyhole.h"
#include "public/sched.h"
#include "vcpu.h"

#define NS_PER_S 1000000000ull

/* --- ends ------------------------------------------------------------------------------------- */

void sched_op_shutdown(struct domain *d, uint32_t reason)
{
	static const enum domain_end ends[SHUTDOWN_MAX + 1] = {
	    [SHUTDOWN_poweroff] = END_POWEROFF, [SHUTDOWN_reboot] = END_REBOOT,
	    [SHUTDOWN_suspend] = END_SUSPEND,	[SHUTDOWN_crash] = END_CRASH,
	    [SHUTDOWN_watchdog] = END_WATCHDOG, [SHUTDOWN_soft_reset] = END_REBOOT,
	};
	uint32_t named = atomic_load(&d->xen->shutdown_code);

	if (named)
		reason = named - 1;
	if (reason <= SHUTDOWN_MAX)
		domain_end(d, ends[reason], reason);
	else
		domain_end(d, END_CRASH, SHUTDOWN_crash);
}

static int64_t shutdown(struct hypercall *c, bool later)
{
	struct sched_shutdown s;
	int rc = guest_copy_in(&c->access, &s, make_gva(c->arg[1]), sizeof(s));

	if (rc)
		return rc;
	if (later) /* eight bits of it, as on Xen */
		atomic_store(&c->domain->xen->shutdown_code, (uint8_t)s.reason + 1u);
	else
		sched_op_shutdown(c->domain, s.reason);
	return 0;
}

static int64_t remote_shutdown(struct hypercall *c)
{
	struct sched_remote_shutdown s;
	int rc = guest_copy_in(&c->access, &s, make_gva(c->arg[1]), sizeof(s));

	if (rc)
		return rc;
	if (c->domain->priv != DOMAIN_PRIV_ALL &&
	    (c->domain->priv != s.domain_id || s.domain_id > DOMAINS_MAX))
		return -XEN_EPERM;
	/* In this order. One that is being made is found before its vCPUs are on a queue, where the
	 * end would put them, too. */
	struct domain *d = domain_find(s.domain_id);
	if (!d || !d->xen || lifecycle_state(d->id) == KEYHOLE_DOMAIN_CREATING)
		return -XEN_ESRCH;
	sched_op_shutdown(d, s.reason);
	return 0;
}

/* --- watchdogs -------------------------------------------------------------------------------- */

/* Ending a domain takes locks that a timer may not take: a vCPU does it. */
static uint64_t watchdog_fires(struct timer *t)
{
	struct vcpu_shared *v = container_of(t, struct watchdog, timer)->domain->vcpus[0];

	atomic_fetch_or(&v->requests, VCPU_REQUEST_WATCHDOG);
	vcpu_kick(v);
	return 0;
}

void sched_op_init(struct domain *d)
{
	for (unsigned i = 0; i < WATCHDOGS; i++) {
		d->xen->watchdogs[i].domain = d;
		timer_init(&d->xen->watchdogs[i].timer, NULL, watchdog_fires);
	}
}

void sched_op_release(struct domain *d)
{
	for (unsigned i = 0; i < WATCHDOGS; i++)
		timer_cancel(&d->xen->watchdogs[i].timer);
}

static void watchdog_arm(struct domain *d, unsigned index, uint32_t timeout_s)
{
	timer_arm(&d->xen->watchdogs[index].timer,
		  guest_time_to_tsc(d, guest_time_now(d) + timeout_s * NS_PER_S));
}

/* A new one: its id. */
static int64_t watchdog_take(struct domain *d, uint32_t timeout_s)
{
	for (unsigned i = 0; i < WATCHDOGS; i++) {
		if (atomic_fetch_or(&d->xen->watchdogs_used, 1u << i) & 1u << i)
			continue;
		watchdog_arm(d, i, timeout_s);
		return i + 1;
	}
	return -XEN_ENOSPC;
}

static int64_t watchdog(struct hypercall *c)
{
	struct domain_xen *x = c->domain->xen;
	struct sched_watchdog w;
	int rc = guest_copy_in(&c->access, &w, make_gva(c->arg[1]), sizeof(w));

	if (rc)
		return rc;
	if (w.id == 0)
		return w.timeout ? watchdog_take(c->domain, w.timeout) : -XEN_EINVAL;
	if (w.id > WATCHDOGS || !(atomic_load(&x->watchdogs_used) & 1u << (w.id - 1)))
		return -XEN_EINVAL;
	if (w.timeout) {
		watchdog_arm(c->domain, w.id - 1, w.timeout);
		return 0;
	}
	timer_cancel(&x->watchdogs[w.id - 1].timer);
	atomic_fetch_and(&x->watchdogs_used, ~(1u << (w.id - 1)));
	return 0;
}

/* --- the call --------------------------------------------------------------------------------- */

/*
 * sched_op(cmd, arg): 0, or a watchdog's id; -XEN_EFAULT; -XEN_EINVAL: no such watchdog, or a
 * poll's errors (kernel/evtchn_op.c); -XEN_ENOSPC: no watchdog is left; -XEN_EPERM: another
 * domain's end without the right, or where a vCPU runs; -XEN_ESRCH: no such domain; -XEN_ENOSYS.
 */
int64_t hypercall_sched_op(struct hypercall *c)
{
	switch ((uint32_t)c->arg[0]) {
	case SCHEDOP_yield:
		vcpu_yield();
		return 0;
	case SCHEDOP_block:
		/* It enables event delivery: what can wake a vCPU can reach it. */
		if (!vcpu_event_waits())
			vcpu_block(true);
		return 0;
	case SCHEDOP_shutdown:
		return shutdown(c, false);
	case SCHEDOP_poll:
		return sched_op_poll(c);
	case SCHEDOP_remote_shutdown:
		return remote_shutdown(c);
	case SCHEDOP_shutdown_code:
		return shutdown(c, true);
	case SCHEDOP_watchdog:
		return watchdog(c);
	}
	/* Pinning is for who owns the hardware: nobody here. */
	return (uint32_t)c->arg[0] == SCHEDOP_pin_override ? -XEN_EPERM : -XEN_ENOSYS;
}
