/*
 * What this CPU drops from its TLB before it enters a guest.
 *
 * State: vcpu_shared.generation_seen, of the vCPU that is loaded here; this CPU's entry_work. No
 * lock. the protocol is described at p2m_mark_flush() (vmx/ept.c) and modelled in
 * docs/models/ept-flush.pml. tests/unit/test_tlb_model.c runs this file against a model of the TLB.
 *
 * Two reasons, and each has its own instruction, though INVEPT may drop more than it must:
 *  - rights were taken from the domain's EPT: INVEPT, when the generation has moved;
 *  - the vCPU comes from another CPU, or its tag is used again: what its tag left here was never
 *    told of what the guest changed elsewhere: INVVPID.
 *
 * Source: SDM Vol. 3, "Caching Translation Information", "Guidelines for Use of the INVVPID
 * Instruction", "Guidelines for Use of the INVEPT Instruction".
 */
#include "barriers.h"
#include "mm/epoch.h"
#include "mm/hostpt.h"
#include "mm/ledger.h"
#include "mm/window_cache.h"
#include "mutant.h"
#include "percpu.h"
#include "print.h"
#include "vmx/ept.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

void vmx_flush_vpid(const struct vcpu_shared *v)
{
	const struct vmx_caps *caps = &vmx_machine.caps;

	if (MUTANT(NO_INVVPID) || !(vmx_machine.controls.value[VMX_PROC2] & PROC2_VPID) ||
	    !vmx_caps_present(caps, VMX_EPT_VPID, VPID_CAP_INVVPID))
		return;
	uint64_t type = vmx_caps_present(caps, VMX_EPT_VPID, VPID_CAP_INVVPID_SINGLE)
			    ? INVVPID_SINGLE_CONTEXT
			    : INVVPID_ALL_CONTEXTS;
	if (invvpid(type, v->vpid, make_gva(0)) != VMX_OK)
		panic("INVVPID type %lu of tag %u failed", type, v->vpid);
	trace(TRACE_FLUSH, TRACE_FLUSH_VPID, 0);
}

/* Drops what the TLB holds of a domain's EPT on this CPU. */
static void flush_ept(const struct p2m *p2m)
{
	bool single = vmx_caps_present(&vmx_machine.caps, VMX_EPT_VPID, EPT_CAP_INVEPT_SINGLE);

	uint64_t removal = ledger_now();

	if (MUTANT(NO_INVEPT) || MUTANT(NO_INVEPT_SMP))
		return;
	if (invept(single ? INVEPT_SINGLE_CONTEXT : INVEPT_ALL_CONTEXTS,
		   single ? ept_pointer(p2m) : 0) != VMX_OK)
		panic("INVEPT failed");
	trace(TRACE_FLUSH, TRACE_FLUSH_EPT, 0);
	ledger_dropped(removal);
}

/*
 * A vCPU is loaded on this CPU. arrives: it ran elsewhere before, or nowhere. From here on a
 * removal of rights marks this CPU's entry_work; what went before shows in the generation.
 */
void vmx_flush_loaded(struct vcpu_shared *v, bool arrives)
{
	struct p2m *p2m = &v->domain->p2m;
	uint64_t generation = p2m_cpu_enter(p2m);

	if (arrives || v->generation_seen != generation) {
		flush_ept(p2m);
		v->generation_seen = generation;
	}
	if (arrives)
		vmx_flush_vpid(v);
}

/* Whether that is marked, which it is not any more. */
static inline bool take(struct cpu_private *cpu, uint32_t work, uint32_t mark)
{
	if (!(work & mark))
		return false;
	atomic_fetch_and(&cpu->shared->entry_work, ~mark);
	return true;
}

/* Does what is marked. False: the current vCPU must leave. */
static bool do_work(struct cpu_private *cpu, uint32_t work)
{
	/* From here on another kick is worth an IPI again. */
	(void)take(cpu, work, ENTRY_WORK_KICKED);
	/* Frames that left the p2m are not to be seen when they are free. */
	if (work & ENTRY_WORK_EPT_FLUSH)
		window_cache_drop();
	/*
	 * A quiescent point: no pointer into shared structures is held. What is marked is read
	 * again after it: a removal between the first look and the publishing of the epoch has
	 * marked this CPU, and its frames may be free from here on. The guest does not run before
	 * they are flushed (docs/models/ept-flush.pml, EPOCH_LAST).
	 */
	if (work & ENTRY_WORK_EPOCH)
		epoch_quiescent();
	if (take(cpu, work, ENTRY_WORK_HOST_FLUSH)) {
		hostpt_flush_all_local();
		trace(TRACE_FLUSH, TRACE_FLUSH_HOST, 0);
	}
	if (take(cpu, work, ENTRY_WORK_EPT_FLUSH)) {
		struct p2m *p2m = &cpu->current->domain->p2m;

		cpu->current->generation_seen = atomic_load(&p2m->generation);
		window_cache_drop();
		flush_ept(p2m);
	}
	if (take(cpu, work, ENTRY_WORK_TIMER))
		vmx_set_event();
	if (take(cpu, work, ENTRY_WORK_VCPU) && !vmx_requests())
		return false;
	if (take(cpu, work, ENTRY_WORK_RESCHEDULE))
		return false;
	if (take(cpu, work, ENTRY_WORK_L1D_FLUSH))
		vmx_barrier_l1d();
	return true;
}

bool vmx_entry_work(void)
{
	struct cpu_private *cpu = this_cpu();
	uint32_t allowed = 0;

	vmx_left_guest_mode();
	uint32_t work = atomic_load(&cpu->shared->entry_work);
	for (;;) {
		/* By one locked operation: whoever adds work from here on sends an IPI. What it has
		 * deferred itself may have to wait for others, and does not keep the guest. */
		if (!(work & ~allowed)) {
			if (atomic_compare_exchange_strong(&cpu->shared->entry_work, &work,
							   work | ENTRY_IN_GUEST))
				return true;
			continue;
		}
		if (!do_work(cpu, work))
			return false;
		if (MUTANT(EPOCH_LAST)) {
			atomic_fetch_or(&cpu->shared->entry_work, ENTRY_IN_GUEST);
			return true;
		}
		allowed = ENTRY_WORK_EPOCH;
		work = atomic_load(&cpu->shared->entry_work);
	}
}
