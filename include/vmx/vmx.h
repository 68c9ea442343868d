/* VT-x on this machine: the interface inside vmx/, and what kernel/ calls at boot. */
#ifndef KEYHOLE_VMX_VMX_H
#define KEYHOLE_VMX_VMX_H

#include "types.h"
#include "vcpu.h"
#include "vmx/caps.h"

/* Constant after vmx_init(): the boot CPU's capabilities, the controls chosen, shared bitmaps. */
struct vmx_machine {
	struct vmx_caps caps;
	struct vmx_controls controls;
	mfn_t msr_bitmap;
	mfn_t msr_bitmap_apicv; /* for vCPUs whose local APIC the processor virtualizes */
	mfn_t io_bitmap[2];
	uint64_t xcr0_offered; /* state components that guests may enable */
	uint64_t cr4_offered;  /* CR4 bits that guests may set */
	bool xsave;	       /* XSAVE, else FXSAVE */
	bool rdtscp;
	bool pku;
	bool pages_1g; /* for guests' page tables */
	bool pse36;
	bool many_cpus; /* more than one runs guests */
};
extern struct vmx_machine vmx_machine;

/* Looks at the processor, prints the capability table; -XEN_EOPNOTSUPP with the reasons printed. */
extern bool vmx_apicv_enabled; /* apicv=off on the command line clears it */
int vmx_init(void) must_use;
/* VMX operation on this CPU. Its capabilities must be those of the boot CPU. */
int vmx_cpu_enable(void) must_use;

/* vmx/vmcs_setup.c */
void vmcs_setup_controls(struct vcpu_shared *v);
void vmcs_setup_host(void);
void vmcs_setup_guest_pvh(gpa_t entry, gpa_t gdt);
void vmcs_setup_guest_reset(void);
void vmcs_setup_guest_sipi(uint8_t vector); /* after that */
struct vmx_segment {
	uint64_t base;
	uint32_t limit, rights; /* SEG_AR_ */
};
struct vmx_segments {
	struct vmx_segment cs, ss, ds, es, tr;
};
void vmcs_setup_guest_segments(const struct vmx_segments *s);
void vmcs_setup_guest_control(uint64_t cr0, uint64_t cr4, uint64_t efer); /* after that */

/* vmx/entry.S: runs the guest until vmx_exit() says to leave. 0, or the VMX status of a failed
 * entry. */
unsigned vmx_guest_loop(struct vcpu_regs *regs);
void vmx_exit_stub(void);
void vmx_exit_stub_traced(void);
void vmx_exit_stub_verw(void);
void vmx_exit_stub_verw_traced(void);
/* vmx/exit_trace.c: which of them exits of the current vCPU lead to. */
void vmx_follow_trace(bool on);

/* vmx/exit.c: called from the stub. What guests do most often, with RBX and R12 to R15 still in the
 * processor: EXIT_... of entry_offsets.h, or the exit's reason, for vmx_exit(). */
int64_t vmx_exit_quick(struct vcpu_regs *regs);
/* The rest, with all registers in regs; what vmx_exit_quick() has returned. What is marked for this
 * CPU comes before the entry. False: leave. */
bool vmx_exit(struct vcpu_regs *regs, int64_t reason);
/* The same for exits that are traced; vmx/exit_trace.c. */
int64_t vmx_exit_quick_traced(struct vcpu_regs *regs);
bool vmx_exit_traced(struct vcpu_regs *regs, int64_t reason);
/* vmx/flush.c: looks at whatever is marked in this CPU's entry_work, until nothing is. True: it
 * counts as being in guest mode from now on, and may enter. False: the current vCPU must leave. */
bool vmx_entry_work(void);
/* vmx/requests.c: what is asked of the current vCPU. False: it must leave. */
bool vmx_requests(void);
/* vmx/run.c: timers that are due are run; guest mode ends when the slice does, or for the next one.
 */
void vmx_set_event(void);

/* Handlers; each either completes the instruction (advances RIP) or injects a fault. */
void vmx_exit_control_register(struct vcpu_regs *regs);
bool vmx_exit_msr_read(struct vcpu_regs *regs); /* vmx_exit() advances RIP if it is true */
void vmx_exit_msr_write(struct vcpu_regs *regs);
void vmx_exit_io(struct vcpu_regs *regs);
void vmx_exit_xsetbv(struct vcpu_regs *regs);
/* An access to gpa, where there is no memory. NULL: it is dealt with; else why it was not. */
const char *vmx_exit_mmio(struct vcpu_regs *regs, gpa_t gpa, uint64_t qualification);
void vmx_exit_hlt(void);
void vmx_exit_window(void);

/* vmx/events.c: delivers what the current vCPU can take; false: it must leave, to wait. Something
 * to deliver may have come into its local APIC: looks before the next entry. */
bool vmx_deliver_events(void);
void vmx_events_changed(void);
/* vmx/apicv.c */
struct vlapic;
bool vmx_apicv_present(void);
void vmx_apicv_fill_bitmap(uint8_t *bitmap);
void vmx_apicv_setup(const struct vcpu_shared *v);
void vmx_apicv_update(struct vlapic *a);
void vmx_apicv_changed(const struct vlapic *a);
void vmx_exit_apic_write(void);
/* vmx/vmx.c: that MSR can be read, or written, without an exit. */
void vmx_msr_allow(uint8_t *bitmap, uint32_t msr, bool write);
/* vmx/mtrr.c: false is #GP(0). */
bool mtrr_read(struct vcpu_mtrr *m, uint32_t msr, uint64_t *value);
bool mtrr_write(struct vcpu_mtrr *m, uint32_t msr, uint64_t value, unsigned physical_bits);

/* vmx/exit_cr.c: from the table that CR3 names, for PAE paging. False: that is not possible. */
bool vmx_load_pdptes(void);
/* vmx/start.c */
void vmx_start(struct vcpu_shared *v);

/* vmx/flush.c: drop what the TLB of this CPU holds of a vCPU's tag; what must go when a vCPU is
 * loaded. */
void vmx_flush_vpid(const struct vcpu_shared *v);
void vmx_flush_loaded(struct vcpu_shared *v, bool arrives);
/* vmx/run.c: prints which rule of VM entry the current VMCS breaks, by doing the processor's checks
 * again in software. */
void vmx_explain_entry_failure(const char *what);

/* vmx/inject.c */
void vmx_inject_exception(unsigned vector, bool has_error_code, uint32_t error_code);
void vmx_inject_gp(void);
void vmx_inject_ud(void);

/* General register number as in instruction encodings and exit qualifications (4 = RSP, in the
 * VMCS). */
uint64_t vmx_register_read(const struct vcpu_regs *regs, unsigned number);
void vmx_register_write(struct vcpu_regs *regs, unsigned number, uint64_t value);
uint64_t vmx_segment_base(unsigned number);

/* This CPU is in root mode: no IPI is needed. Late is no harm, so that a plain store will do. */
static inline void vmx_left_guest_mode(void)
{
	atomic_store_explicit(&this_cpu()->shared->entry_work_bytes[ENTRY_IN_GUEST_BYTE], 0,
			      memory_order_relaxed);
}

static inline struct vcpu_secret *vmx_secret(void)
{
	return (struct vcpu_secret *)((uint64_t)this_cpu_field(self) - PRIVATE_CPU + PRIVATE_VCPU);
}

#endif
