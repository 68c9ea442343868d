/*
 * VM exits: one function a reason.
 *
 * State: the current VMCS and vCPU of this CPU. No lock. Whatever a guest does here ends at most
 * that guest. Values of its registers are used and forgotten; a report of them goes to the console
 * only.
 *
 * Sources: SDM Vol. 3, "Reasons for VM Exits", "Exit Qualification", "VM Exits Due to Vectored
 * Events".
 */
#include "cpu.h"
#include "vmx/advance.h"
#include "vmx/entry_offsets.h"
#include "vmx/exit_reasons.h"
#include "vmx/exit_trace.h"
#include "vmx/vlapic.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/* The slice is over, or a timer of this CPU is due. */
noinline_fn static void time_up(void)
{
	bool over = rdtsc() >= this_cpu()->slice_end;

	atomic_fetch_or(&this_cpu()->shared->entry_work,
			over ? ENTRY_WORK_RESCHEDULE : ENTRY_WORK_TIMER);
}

static void end_guest(enum domain_end why, uint64_t detail)
{
	struct vcpu_shared *v = this_cpu()->current;

	vcpu_dump(v);
	domain_end(v->domain, why, detail);
}

static void exit_unexpected(uint32_t reason)
{
	print_guest_state(LOG_WARN, "d%u: unexpected VM exit %u (%s), qualification 0x%lx",
			  this_cpu()->current->domain->id, reason & EXIT_REASON_BASIC_MASK,
			  vmx_exit_reason_name(reason), vmcs_readn(VMCS_EXIT_QUALIFICATION));
	end_guest(END_UNEXPECTED_EXIT, reason & EXIT_REASON_BASIC_MASK);
}

static void set_cpuid(struct vcpu_regs *regs, const uint32_t out[4])
{
	regs->rax = out[0];
	regs->rbx = out[1];
	regs->rcx = out[2];
	regs->rdx = out[3];
}

noinline_fn static void cpuid_varying(struct vcpu_regs *regs)
{
	struct guest_cpuid_state state = {.cr4 = vmcs_readn(VMCS_GUEST_CR4),
					  .xcr0 = vmx_machine.xsave ? read_xcr0() : XCR0_X87,
					  .apic = vlapic_current()->base & APIC_BASE_ENABLE};
	uint32_t out[4];

	guest_cpuid(&state, (uint32_t)regs->rax, (uint32_t)regs->rcx, out);
	set_cpuid(regs, out);
}

static inline void exit_cpuid(struct vcpu_regs *regs)
{
	uint32_t leaf = (uint32_t)regs->rax;

	if (leaf <= guest_cpuid_basic.max && !(GUEST_CPUID_VARYING >> leaf & 1))
		set_cpuid(regs, guest_cpuid_basic.leaves[leaf]);
	else
		cpuid_varying(regs);
}

/*
 * Whether the caller is a 64-bit kernel. In 64-bit code that is not conforming, the level of CS is
 * that of SS, which counts. Outside IA-32e mode, L is a reserved bit of the descriptor: a guest
 * that sets it there chooses the 64-bit convention for itself, and no more.
 */
static inline bool from_64bit_kernel(void)
{
	return (vmcs_read_sure(VMCS_GUEST_CS_AR.encoding) &
		(SEG_AR_L | SEG_AR_DC | SEG_AR_DPL_MASK)) == SEG_AR_L;
}

/* A call of a 64-bit kernel. False: it goes on. */
static inline bool vmcall_64(struct vcpu_regs *regs)
{
	struct vcpu_secret *s = container_of(regs, struct vcpu_secret, regs);
	int64_t result = hypercall_dispatch(&s->call, regs->eax);

	if (unlikely(result == HYPERCALL_CONTINUE))
		return false;
	vmx_secret()->regs.rax = (uint64_t)result; /* cheaper than to keep regs */
	return true;
}

static void set_nmi_blocking(bool blocked)
{
	uint32_t state = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY) & ~INTERRUPTIBILITY_NMI;

	vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, state | (blocked ? INTERRUPTIBILITY_NMI : 0));
}

/*
 * An IRET whose exception or EPT violation this exit is had ended the blocking of NMIs already. It
 * will be executed again (SDM Vol. 3, "Information About NMI Unblocking Due to IRET").
 */
static void restore_nmi_blocking(bool unblocked)
{
	if (unlikely(unblocked) && !(vmcs_read32(VMCS_IDT_VECTORING_INFO) & INTERRUPTION_VALID))
		set_nmi_blocking(true);
}

/*
 * An event whose delivery caused this exit is delivered again (SDM Vol. 3, "Information for VM
 * Exits That Occur During Event Delivery"). Only where the exit has been dealt with so that the
 * delivery can go on.
 */
noinline_fn static void redeliver(uint32_t info)
{
	info &= ~INTERRUPTION_NMI_UNBLOCKING;
	if (info & INTERRUPTION_ERROR_CODE)
		vmcs_write32(VMCS_ENTRY_EXCEPTION_ERROR_CODE,
			     vmcs_read32(VMCS_IDT_VECTORING_ERROR_CODE));
	if ((info & INTERRUPTION_TYPE_MASK) == INTERRUPTION_NMI)
		set_nmi_blocking(false); /* or it could not be injected */
	vmcs_write32(VMCS_ENTRY_INSTRUCTION_LENGTH, vmcs_read32(VMCS_EXIT_INSTRUCTION_LENGTH));
	vmcs_write32(VMCS_ENTRY_INTERRUPTION_INFO, info);
}

static inline void redeliver_event(void)
{
	uint32_t info = vmcs_read32(VMCS_IDT_VECTORING_INFO);

	if (unlikely(info & INTERRUPTION_VALID))
		redeliver(info);
}

/* Delivery of an event ends blocking by STI and MOV SS. Left to the entry, it would ask for a
 * pending single step if the guest's TF is set. */
static void unblock_interrupts(void)
{
	uint32_t state = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);

	vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY,
		     state & ~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
}

/*
 * #DB on its way to the guest: the processor has not put its causes into DR6 yet. INT1 and general
 * detect come instead of the end of an instruction, so that a single step is no cause of theirs:
 * one that MOV SS had held back is lost.
 */
static void forward_debug_exception(uint32_t type)
{
	uint64_t causes = vmcs_readn(VMCS_EXIT_QUALIFICATION);

	if (type == INTERRUPTION_PRIVILEGED_SOFTWARE || causes & DR6_BD)
		causes &= ~DR6_BS;
	write_dr(6, (read_dr(6) & ~(DR6_B0 | DR6_B1 | DR6_B2 | DR6_B3)) |
			(causes & (DR6_B0 | DR6_B1 | DR6_B2 | DR6_B3 | DR6_BD | DR6_BS)));
	/* Delivery clears general detect (SDM Vol. 3, "Debug Control Register (DR7)"). */
	vmcs_writen(VMCS_GUEST_DR7, vmcs_readn(VMCS_GUEST_DR7) & ~DR7_GD);
}

static void exit_exception(void)
{
	uint32_t info = vmcs_read32(VMCS_EXIT_INTERRUPTION_INFO);
	uint32_t vector = info & INTERRUPTION_VECTOR_MASK;
	uint32_t type = info & INTERRUPTION_TYPE_MASK;

	if (type == INTERRUPTION_NMI) {
		/* INT 2 runs the host's handler, whose IRET ends the blocking of NMIs. */
		__asm__ volatile("int $2");
		return;
	}
	if (vector == VECTOR_MC)
		panic("machine check while d%u was running", this_cpu()->current->domain->id);
	if (vector != VECTOR_DB && vector != VECTOR_AC) {
		exit_unexpected(EXIT_REASON_EXCEPTION_NMI);
		return;
	}
	restore_nmi_blocking(info & INTERRUPTION_NMI_UNBLOCKING);
	if (vector == VECTOR_DB)
		forward_debug_exception(type);
	unblock_interrupts();
	if (info & INTERRUPTION_ERROR_CODE)
		vmcs_write32(VMCS_ENTRY_EXCEPTION_ERROR_CODE,
			     vmcs_read32(VMCS_EXIT_INTERRUPTION_ERROR_CODE));
	/* INT1 has a length; for the others it is ignored. */
	vmcs_write32(VMCS_ENTRY_INSTRUCTION_LENGTH, vmcs_read32(VMCS_EXIT_INSTRUCTION_LENGTH));
	vmcs_write32(VMCS_ENTRY_INTERRUPTION_INFO, info & ~INTERRUPTION_NMI_UNBLOCKING);
}

/*
 * Memory that comes when it is touched: true when it has come, or the guest is to try again. No
 * register of the guest is looked at. False: exit_ept_violation() goes on.
 */
noinline_fn static bool fill_memory(void)
{
	uint64_t q = vmcs_read_sure(VMCS_EXIT_QUALIFICATION.encoding);

	restore_nmi_blocking(q & EPT_VIOLATION_NMI_UNBLOCKING);
	if (q & EPT_VIOLATION_WAS_ANY ||
	    !memory_fault(this_cpu_field(current)->domain,
			  make_gpa(vmcs_read_sure(VMCS_GUEST_PHYSICAL_ADDRESS.encoding))))
		return false;
	redeliver_event();
	return true;
}

/* Where fill_memory() has brought nothing. */
static void exit_ept_violation(struct vcpu_regs *regs)
{
	struct vcpu_shared *v = this_cpu()->current;
	gpa_t gpa = make_gpa(vmcs_read64(VMCS_GUEST_PHYSICAL_ADDRESS));
	uint64_t q = vmcs_readn(VMCS_EXIT_QUALIFICATION);
	unsigned wanted = (q & EPT_VIOLATION_READ ? P2M_R : 0) |
			  (q & EPT_VIOLATION_WRITE ? P2M_W : 0) |
			  (q & EPT_VIOLATION_FETCH ? P2M_X : 0);
	struct p2m_entry entry;

	bool present = p2m_lookup(&v->domain->p2m, gpa_to_gfn(gpa), &entry);

	if (present && (entry.access & wanted) == wanted) {
		/* Another CPU has mapped it meanwhile, or the translation was outdated. */
		redeliver_event();
		return;
	}
	if ((present ? entry.type == P2M_GRANT_RO : memory_revoked(v->domain, gpa)) &&
	    !(vmcs_read32(VMCS_IDT_VECTORING_INFO) & INTERRUPTION_VALID)) {
		vmx_inject_gp(); /* as on Xen a write to a read-only grant */
		return;
	}
	const char *why = present ? "which it may not access so" : vmx_exit_mmio(regs, gpa, q);
	if (!why)
		return;
	print_guest_state(LOG_WARN,
			  "d%u \"%s\": EPT violation: %s of guest-physical 0x%lx, %s, at RIP 0x%lx",
			  v->domain->id, v->domain->name,
			  wanted & P2M_X   ? "fetch"
			  : wanted & P2M_W ? "write"
					   : "read",
			  gpa_raw(gpa), why, vmcs_readn(VMCS_GUEST_RIP));
	end_guest(END_EPT_VIOLATION, 0);
}

noinline_fn static void dispatch(uint32_t reason, struct vcpu_regs *regs)
{
	switch (reason) {
	case EXIT_REASON_VMCALL:
		if (hypercall(regs, vcpu_cpl(), vmcs_read32(VMCS_GUEST_CS_AR) & SEG_AR_L))
			vmx_advance_rip();
		break;
	case EXIT_REASON_WRMSR:
		vmx_exit_msr_write(regs);
		break;
	case EXIT_REASON_IO:
		vmx_exit_io(regs);
		break;
	case EXIT_REASON_CR_ACCESS:
		vmx_exit_control_register(regs);
		break;
	case EXIT_REASON_EPT_VIOLATION:
		exit_ept_violation(regs);
		break;
	case EXIT_REASON_INTERRUPT_WINDOW:
	case EXIT_REASON_NMI_WINDOW:
	case EXIT_REASON_TPR_BELOW_THRESHOLD:
		vmx_exit_window();
		break;
	case EXIT_REASON_APIC_WRITE:
		vmx_exit_apic_write();
		break;
	case EXIT_REASON_HLT:
		vmx_exit_hlt();
		break;
	case EXIT_REASON_EXTERNAL_INTERRUPT:
		interrupt_dispatch(vmcs_read32(VMCS_EXIT_INTERRUPTION_INFO) &
				   INTERRUPTION_VECTOR_MASK);
		break;
	case EXIT_REASON_PREEMPTION_TIMER:
		time_up();
		break;
	case EXIT_REASON_EXCEPTION_NMI:
		exit_exception();
		break;
	case EXIT_REASON_XSETBV:
		vmx_exit_xsetbv(regs);
		break;
	case EXIT_REASON_INVD:
	case EXIT_REASON_WBINVD:
		/* All guest memory is write-back and coherent: there is nothing that a guest could
		 * need flushed. */
		vmx_advance_rip();
		break;
	case EXIT_REASON_RDPMC:
		vmx_inject_gp(); /* no counters are offered */
		break;
	case EXIT_REASON_MONITOR:
	case EXIT_REASON_MWAIT:
	case EXIT_REASON_VMCLEAR ... EXIT_REASON_VMXON: /* instructions of VMX, but for VMCALL */
	case EXIT_REASON_INVEPT:
	case EXIT_REASON_INVVPID:
	case EXIT_REASON_VMFUNC:
	case EXIT_REASON_GETSEC:
	case EXIT_REASON_ENCLS:
	case EXIT_REASON_ENCLV:
	case EXIT_REASON_PCONFIG:
	case EXIT_REASON_UMWAIT:
	case EXIT_REASON_TPAUSE:
	case EXIT_REASON_LOADIWKEY:
	case EXIT_REASON_XSAVES:
	case EXIT_REASON_XRSTORS:
		vmx_inject_ud(); /* not offered in CPUID */
		break;
	case EXIT_REASON_TRIPLE_FAULT:
		end_guest(END_TRIPLE_FAULT, 0);
		break;
	case EXIT_REASON_EPT_MISCONFIGURATION:
		print_guest_state(LOG_ERROR, "d%u: EPT misconfiguration at guest-physical 0x%lx",
				  this_cpu()->current->domain->id,
				  vmcs_read64(VMCS_GUEST_PHYSICAL_ADDRESS));
		end_guest(END_EPT_MISCONFIG, 0);
		break;
	default:
		if (!(reason & EXIT_REASON_ENTRY_FAILURE)) {
			exit_unexpected(reason);
			break;
		}
		vmx_explain_entry_failure(vmx_exit_reason_name(reason));
		end_guest(END_ENTRY_FAILURE, reason & EXIT_REASON_BASIC_MASK);
	}
}

/*
 * The preemption timer stands still in root mode, where a guest can have much more done than it
 * does itself: that counts as well. The half is enough: the timer ends what would wrap.
 */
static inline void look_at_clock(void)
{
	if (unlikely((int32_t)(rdtsc_low() - this_cpu_field(event_time)) >= 0))
		time_up();
}

/* After what did not even say that it had left guest mode: at worst it gets an IPI that was not
 * needed. */
always_inline_fn static inline int64_t enter_if_idle(int64_t how, bool traced, unsigned code)
{
	look_at_clock();
	if (traced)
		trace_exit(code);
	return likely(atomic_load_explicit(&this_cpu_field(shared)->entry_work,
					   memory_order_acquire) == ENTRY_IN_GUEST)
		   ? how
	       : how == EXIT_ENTER_RBX ? EXIT_WORK_RBX
				       : EXIT_WORK;
}

/* What guests do most often: it ends behind the instruction, or, for a call that goes on or a
 * fault, where it is. */
always_inline_fn static inline int64_t exit_quick(struct vcpu_regs *regs, bool traced)
{
	uint32_t reason = vmcs_read32(VMCS_EXIT_REASON), code = reason;

	switch (reason) {
	case EXIT_REASON_VMCALL:
		if (unlikely(!from_64bit_kernel()))
			return EXIT_REASON_VMCALL;
		if (traced)
			code = trace_hypercall_code(regs->eax);
		if (likely(vmcall_64(regs)))
			vmx_advance_rip_64();
		return enter_if_idle(EXIT_ENTER, traced, code);
	case EXIT_REASON_CPUID:
		exit_cpuid(regs);
		vmx_advance_rip();
		return enter_if_idle(EXIT_ENTER_RBX, traced, EXIT_REASON_CPUID);
	case EXIT_REASON_RDMSR:
		if (likely(vmx_exit_msr_read(regs)))
			vmx_advance_rip();
		return enter_if_idle(EXIT_ENTER, traced, EXIT_REASON_RDMSR);
	default:
		/* Not a case: the others would be told apart later. */
		if (reason != EXIT_REASON_EPT_VIOLATION)
			return reason;
		return likely(fill_memory())
			   ? enter_if_idle(EXIT_ENTER, traced, EXIT_REASON_EPT_VIOLATION)
			   : EXIT_REASON_EPT_VIOLATION;
	}
}

int64_t vmx_exit_quick(struct vcpu_regs *regs)
{
	return exit_quick(regs, false);
}

int64_t vmx_exit_quick_traced(struct vcpu_regs *regs)
{
	return exit_quick(regs, true);
}

bool vmx_exit(struct vcpu_regs *regs, int64_t reason)
{
	uint32_t none = 0;

	if (reason != EXIT_WORK) {
		vmx_left_guest_mode();
		dispatch((uint32_t)reason, regs);
		look_at_clock();
		if (likely(atomic_compare_exchange_strong(&this_cpu_field(shared)->entry_work,
							  &none, ENTRY_IN_GUEST)))
			return true;
	}
	return vmx_entry_work();
}
