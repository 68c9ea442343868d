/*
 * Runstates: what a guest is told of how its vCPUs spend their time, and vm_assist, which says how.
 *
 * State: times in struct vcpu_shared, kept by kernel/sched.c under the lock of a run queue; in
 * struct vcpu_xen the area that the guest has registered: RAM of its own, which is pinned, reached
 * through the window. Lock: runstate_lock of the vCPU for the area. Nothing in it is believed.
 *
 * Source: Xen, public/vcpu.h, public/xen.h.
 */
#include "kernel/runstate.h"
#include "kernel/guest_time.h"
#include "kernel/sched.h"
#include "kernel/xen_state.h"
#include "mm/frame.h"
#include "mm/window.h"
#include "percpu.h"
#include "public/errno.h"
#include "public/vcpu.h"
#include "public/xen.h"

void runstate_get(struct vcpu_shared *v, struct vcpu_runstate_info *out)
{
	__builtin_memset(out, 0, sizeof(*out)); /* a guest sees what is between its members, too */
	sched_runstate(v, out);
	out->state_entry_time =
	    guest_time_ns((uint64_t)out->state_entry_time + v->domain->tsc_offset);
	for (unsigned i = 0; i < array_size(out->time); i++)
		out->time[i] = guest_time_ns(out->time[i]);
}

/* --- the area --------------------------------------------------------------------------------- */

static unsigned area_size(bool wide)
{
	return wide ? sizeof(struct vcpu_runstate_info) : sizeof(struct compat_vcpu_runstate_info);
}

static void area_write(const struct runstate_area *a, const struct vcpu_runstate_info *info)
{
	uint8_t narrow[COMPAT_SIZE_MAX];

	if (a->wide)
		guest_place_write(&a->place, info, sizeof(*info));
	else if (compat_narrow(&layout_runstate_info, narrow, info))
		guest_place_write(&a->place, narrow, area_size(false));
}

/* The byte that has XEN_RUNSTATE_UPDATE: by itself, before the rest changes and after it. */
static void mark_write(const struct runstate_area *a, const struct vcpu_runstate_info *info)
{
	uint32_t at = 7 + (a->wide ? offsetof(struct vcpu_runstate_info, state_entry_time)
				   : offsetof(struct compat_vcpu_runstate_info, state_entry_time));
	bool in_first = at < a->place.first_length;
	paddr_t byte =
	    make_paddr(in_first ? paddr_raw(a->place.first) + at
				: paddr_raw(a->place.second) + at - a->place.first_length);
	uint8_t value = (uint8_t)((uint64_t)info->state_entry_time >> 56);

	atomic_thread_fence(memory_order_release);
	window_write(paddr_to_mfn(byte), paddr_offset(byte), &value, 1);
	atomic_thread_fence(memory_order_release);
}

/* The lock of the area is held. A guest that asked for it sees XEN_RUNSTATE_UPDATE in the time of
 * entry while the rest changes. */
static void show_locked(struct vcpu_shared *v)
{
	const struct runstate_area *a = &v->xen->runstate;
	struct vcpu_runstate_info info;

	assert_locked(&v->xen->runstate_lock);
	if (!atomic_load(&a->present))
		return;
	runstate_get(v, &info);
	if (!(atomic_load(&v->domain->xen->assist) & 1u << VMASST_TYPE_runstate_update_flag)) {
		area_write(a, &info);
		return;
	}
	info.state_entry_time |= XEN_RUNSTATE_UPDATE;
	mark_write(a, &info);
	area_write(a, &info);
	info.state_entry_time &= ~XEN_RUNSTATE_UPDATE;
	mark_write(a, &info);
}

void runstate_show(struct vcpu_shared *v)
{
	if (!v->xen || !atomic_load_explicit(&v->xen->runstate.present, memory_order_relaxed))
		return;
	lock_acquire(&v->xen->runstate_lock);
	show_locked(v);
	lock_release(&v->xen->runstate_lock);
}

/* --- pinning ---------------------------------------------------------------------------------- */

static bool crosses(const struct runstate_area *a)
{
	return a->place.first_length < area_size(a->wide);
}

static void unpin(const struct runstate_area *a)
{
	if (!atomic_load(&a->present))
		return;
	frame_put(paddr_to_mfn(a->place.first));
	if (crosses(a))
		frame_put(paddr_to_mfn(a->place.second));
}

static int pin(const struct domain *d, const struct runstate_area *a)
{
	int rc = frame_get_present(paddr_to_mfn(a->place.first), d->id, FRAME_GUEST_RAM);

	if (rc || !crosses(a))
		return rc;
	rc = frame_get_present(paddr_to_mfn(a->place.second), d->id, FRAME_GUEST_RAM);
	if (rc)
		frame_put(paddr_to_mfn(a->place.first));
	return rc;
}

int runstate_register(struct hypercall *c, struct vcpu_shared *v, gva_t address)
{
	struct runstate_area area = {.wide = c->wide};

	if (gva_raw(address)) {
		int rc = guest_place_find(&c->access, address, area_size(c->wide), &area.place);

		if (rc)
			return rc;
		if (pin(c->domain, &area))
			return -XEN_EINVAL;
		atomic_store(&area.present, true);
	}
	lock_acquire(&v->xen->runstate_lock);
	struct runstate_area old = v->xen->runstate;
	v->xen->runstate = area;
	show_locked(v);
	lock_release(&v->xen->runstate_lock);
	unpin(&old);
	return 0;
}

void runstate_release(struct vcpu_shared *v)
{
	unpin(&v->xen->runstate);
	atomic_store(&v->xen->runstate.present, false);
}

/* --- vm_assist -------------------------------------------------------------------------------- */

/*
 * vm_assist(cmd, type): 0; -XEN_EINVAL: nothing that a guest with a p2m can have; -XEN_ENOSYS: no
 * such command.
 */
int64_t hypercall_vm_assist(struct hypercall *c)
{
	uint32_t type = (uint32_t)c->arg[1];

	if (type != VMASST_TYPE_runstate_update_flag)
		return -XEN_EINVAL;
	switch ((uint32_t)c->arg[0]) {
	case VMASST_CMD_enable:
		atomic_fetch_or(&c->domain->xen->assist, 1u << type);
		return 0;
	case VMASST_CMD_disable:
		atomic_fetch_and(&c->domain->xen->assist, ~(1u << type));
		return 0;
	default:
		return -XEN_ENOSYS;
	}
}
