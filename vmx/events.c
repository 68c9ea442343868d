/*
 * Interrupts and NMIs of the current vCPU: what can be delivered is injected, and for what cannot
 * yet, an exit is asked for at the moment at which it can.
 *
 * State: the current VMCS; struct vlapic of the current vCPU. No lock. All of it is entry work
 * (vmx/requests.c): nothing here is on the way of an exit that has no event to deal with.
 *
 * Sources: SDM Vol. 3, "VM-Entry Controls for Event Injection", "Interruptibility State",
 * "Interrupt-Window Exiting and Virtual-Interrupt Delivery"; Vol. 2, "HLT".
 */
#include "cpu.h"
#include "vmx/advance.h"
#include "vmx/exit_reasons.h"
#include "vmx/vlapic.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/* struct vlapic.windows */
#define WINDOW_INTERRUPT 1u
#define WINDOW_NMI	 2u

uint64_t vlapic_now(void)
{
	return rdtsc();
}

unsigned vlapic_physical_bits(void)
{
	return vmx_machine.caps.physical_bits;
}

void vlapic_timer_set(uint64_t tsc)
{
	vcpu_timer_set(tsc);
}

/* The state of the current vCPU's local APIC has changed: if there is something to deliver, that is
 * seen before the next entry. */
void vmx_events_changed(void)
{
	const struct vlapic *a = vlapic_current();

	vmx_apicv_changed(a);
	if (a->nmis || a->upcall || (!a->virtualized && vlapic_pending(a) != VLAPIC_NO_VECTOR))
		atomic_fetch_or(&this_cpu()->shared->entry_work, ENTRY_WORK_VCPU);
}

bool vlapic_is_at(gpa_t gpa)
{
	const struct vlapic *a = vlapic_current();

	return vlapic_is_xapic(a) &&
	       gpa_raw(gpa) >> PAGE_SHIFT == (a->base & APIC_BASE_ADDRESS_MASK) >> PAGE_SHIFT;
}

void vlapic_mmio_read(uint32_t offset, unsigned size_bytes, uint32_t *out)
{
	vlapic_registers_read(vlapic_current(), offset, size_bytes, out);
	vmx_events_changed();
}

void vlapic_mmio_write(uint32_t offset, unsigned size_bytes, uint32_t value)
{
	vlapic_registers_write(vlapic_current(), offset, size_bytes, value);
	vmx_apicv_update(vlapic_current());
	vmx_events_changed();
}

/* --- delivery --------------------------------------------------------------------------------- */

static void set_windows(struct vlapic *a, uint8_t windows)
{
	if (a->windows == windows)
		return;
	uint32_t proc = vmcs_read32(VMCS_PROC_CONTROLS) &
			~(PROC_INTERRUPT_WINDOW_EXITING | PROC_NMI_WINDOW_EXITING);

	proc |= (windows & WINDOW_INTERRUPT ? PROC_INTERRUPT_WINDOW_EXITING : 0) |
		(windows & WINDOW_NMI ? PROC_NMI_WINDOW_EXITING : 0);
	vmcs_write32(VMCS_PROC_CONTROLS, proc);
	a->windows = windows;
}

static bool interrupts_open(uint32_t blocking)
{
	return vmcs_readn(VMCS_GUEST_RFLAGS) & RFLAGS_IF &&
	       !(blocking & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
}

static void inject(uint32_t type, uint32_t vector)
{
	vmcs_write32(VMCS_ENTRY_INTERRUPTION_INFO, INTERRUPTION_VALID | type | vector);
	trace(TRACE_INJECT, type >> INTERRUPTION_TYPE_SHIFT, 0);
}

/* Injects the most important event that the guest can take now, if none is being injected, and asks
 * for an exit when it can take what is left. */
static void deliver(struct vlapic *a)
{
	int vector = a->virtualized ? VLAPIC_NO_VECTOR : vlapic_pending(a);
	uint8_t windows = 0;

	vmx_apicv_changed(a);
	if (!a->nmis && !a->upcall && vector == VLAPIC_NO_VECTOR) {
		set_windows(a, 0);
		return;
	}
	/* A debug exception comes before interrupts, and one injected would drop it. */
	uint32_t info = vmcs_read32(VMCS_ENTRY_INTERRUPTION_INFO);
	bool busy = info & INTERRUPTION_VALID || vmcs_readn(VMCS_GUEST_PENDING_DEBUG);
	uint32_t blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);

	/* While one is dealt with, one more waits; of two that came before, the first would have
	 * been taken at once on a processor that is always there. */
	if (blocking & INTERRUPTIBILITY_NMI ||
	    (info & (INTERRUPTION_VALID | INTERRUPTION_TYPE_MASK)) ==
		(INTERRUPTION_VALID | INTERRUPTION_NMI))
		a->nmis = a->nmis != 0;
	if (a->nmis && !busy &&
	    !(blocking & (INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_MOV_SS | INTERRUPTIBILITY_STI))) {
		inject(INTERRUPTION_NMI, VECTOR_NMI);
		a->nmis--;
		busy = true;
	}
	if (a->nmis) {
		/* Blocking by STI, which excludes NMIs on some processors, ends after one
		 * instruction, and interrupts are on: only the other window waits for that. */
		windows |= blocking & INTERRUPTIBILITY_STI ? WINDOW_INTERRUPT : WINDOW_NMI;
	}
	/* Past the local APIC, as from a line for external interrupts: no EOI. */
	if (a->upcall && !busy && interrupts_open(blocking)) {
		a->upcall = false;
		if (vcpu_callback_vector()) {
			inject(INTERRUPTION_EXTERNAL, vcpu_callback_vector());
			busy = true;
		}
	}
	if (vector != VLAPIC_NO_VECTOR && !busy && interrupts_open(blocking)) {
		vlapic_accept(a, (unsigned)vector);
		inject(INTERRUPTION_EXTERNAL, (uint32_t)vector);
		vector = vlapic_pending(a);
	}
	if (a->upcall || vector != VLAPIC_NO_VECTOR)
		windows |= WINDOW_INTERRUPT;
	set_windows(a, windows);
}

/* An interrupt or NMI window has opened: entry work does the rest. */
void vmx_exit_window(void)
{
	set_windows(vlapic_current(), 0);
	vmx_events_changed();
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* A debug exception, as a single step's, ends it at once. */
void vmx_exit_hlt(void)
{
	vmx_advance_rip();
	vlapic_current()->halted = !vmcs_readn(VMCS_GUEST_PENDING_DEBUG);
	atomic_fetch_or(&this_cpu()->shared->entry_work, ENTRY_WORK_VCPU);
}

/* Whether HLT ends: by what the guest can take. */
static bool awake(const struct vlapic *a)
{
	if (a->nmis && !(vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_NMI))
		return true;
	return (a->upcall || vlapic_pending(a) != VLAPIC_NO_VECTOR) &&
	       vmcs_readn(VMCS_GUEST_RFLAGS) & RFLAGS_IF;
}

bool vcpu_event_waits(void)
{
	const struct vlapic *a = vlapic_current();

	return a->nmis || a->upcall || vlapic_pending(a) != VLAPIC_NO_VECTOR;
}

/*
 * The last part of vmx_requests(), when all that was asked has been taken over. False: the vCPU
 * leaves, to wait or for what came while it was about to.
 */
bool vmx_deliver_events(void)
{
	struct vlapic *a = vlapic_current();

	if (a->halted && !awake(a)) {
		vcpu_block(vmcs_readn(VMCS_GUEST_RFLAGS) & RFLAGS_IF);
		return false;
	}
	a->halted = false;
	deliver(a);
	return true;
}
