/*
 * The vCPU: the small interface between kernel/ and the VT-x backend in vmx/.
 *
 * A vCPU is two objects. struct vcpu_shared, on the heap: state and requests, never a register.
 * struct vcpu_secret, three frames of type FRAME_VCPU owned by the domain: registers, extended
 * state, local APIC; mapped only while the vCPU is loaded on a CPU, at the fixed address
 * PRIVATE_VCPU of that CPU's private range.
 */
#ifndef KEYHOLE_VCPU_H
#define KEYHOLE_VCPU_H

#include "cpu_bits.h"
#include "domain.h"
#include "guest_call.h"
#include "layout.h"
#include "public/hvm/hvm_vcpu.h"
#include "trace.h"
#include "types.h"

/*
 * General registers in the order in which the exit stub pushes them (r15 last, at the lowest
 * address). The first four are preserved by every function; from rdi to r9 they are the arguments
 * of a 64-bit hypercall, in their order.
 */
struct vcpu_regs {
	uint64_t r15, r14, r13, r12, rbx, rbp, r11, rcx;
	uint64_t rdi, rsi, rdx, r10, r8, r9;
	union {
		uint64_t rax;
		uint32_t eax;
	};
};

/* Memory-type range registers: what the guest writes there is kept, and has no effect. */
#define VCPU_MTRR_VARIABLE 8u /* ranges, of two registers each */
#define VCPU_MTRR_FIXED	   11u
struct vcpu_mtrr {
	uint64_t default_type;
	uint64_t variable[2 * VCPU_MTRR_VARIABLE];
	uint64_t fixed[VCPU_MTRR_FIXED];
};

/* Registers that stay in the processor from load to unload, as those of XSAVE do. */
struct vcpu_lazy {
	uint64_t cr2, dr[4], dr6;
	uint64_t star, lstar, cstar, fmask, kernel_gs_base, tsc_aux;
};

struct vcpu_secret {
	struct vcpu_lazy lazy;
	uint64_t xcr0;
	uint64_t tsc_adjust, misc_enable;
	struct vcpu_mtrr mtrr;
	struct vcpu_hvm_context start; /* vmx/start.c: how it is to start */
	uint8_t spare[PAGE_SIZE - 8 * (1 + 2) - sizeof(struct vcpu_lazy) -
		      sizeof(struct vcpu_mtrr) - sizeof(struct vcpu_hvm_context) -
		      EVTCHN_SENT * sizeof(struct evtchn_sent) - sizeof(struct hypercall) -
		      sizeof(struct vcpu_regs)];
	struct evtchn_sent sent[EVTCHN_SENT];
	struct hypercall call; /* in progress */
	struct vcpu_regs regs; /* ends the first page: HOST_RSP points just behind it */
	uint8_t xsave[PAGE_SIZE] aligned_to(64);
	uint8_t apic[PAGE_SIZE]; /* struct vlapic (vmx/vlapic.h): the virtual-APIC page */
};
#define VCPU_APIC_PAGE 2u /* which of its frames */
static_assert_size(struct vcpu_secret, PRIVATE_VCPU_PAGES *PAGE_SIZE);

enum vcpu_state {
	VCPU_PARKED,   /* not started: waits for a start-up IPI */
	VCPU_RUNNABLE, /* on the run queue of its CPU */
	VCPU_RUNNING,  /* taken off the queue by its CPU */
	VCPU_BLOCKED,  /* waits for vcpu_kick() */
	VCPU_CAPPED,   /* waits for its timer: its domain has used what its cap allows */
	VCPU_DOWN,     /* taken down by its guest: VCPUOP_down */
	VCPU_PAUSED,   /* would be runnable, but its domain is paused; loaded nowhere */
	VCPU_ENDED     /* its domain has ended, and it is loaded nowhere */
};

/*
 * What is asked of a vCPU. Set by anyone (atomic OR), then vcpu_kick(); taken by the CPU that runs
 * it, in vmx/requests.c.
 */
enum vcpu_request {
	VCPU_REQUEST_PAUSE = 0x01, /* leave guest mode, to be stopped or destroyed */
	VCPU_REQUEST_INIT = 0x02,
	VCPU_REQUEST_SIPI = 0x04, /* start at the page in bits 31:24, if it waits for that */
	VCPU_REQUEST_NMI = 0x08,
	VCPU_REQUEST_TIMER = 0x10,	    /* its local APIC's timer has fired */
	VCPU_REQUEST_ILLEGAL_VECTOR = 0x20, /* an IPI that its local APIC reports as an error */
	VCPU_REQUEST_UPCALL = 0x40, /* its events, by the domain's callback vector: an interrupt */
	VCPU_REQUEST_WAKE = 0x80,   /* end its wait */
	VCPU_REQUEST_NMI_AGAIN = 0x100, /* a second one, before the first was taken */
	VCPU_REQUEST_START = 0x200,	/* start as vcpu_start_prepare() has said */
	VCPU_REQUEST_WATCHDOG = 0x400	/* its domain's has expired, which ends it */
};
#define VCPU_SIPI_VECTOR_SHIFT 24
#define VCPU_SIPI_VECTOR_MASK  0xff000000u

#define VCPU_POSTED_WORDS 4u /* 256 vectors */

struct timer;
struct vcpu_xen;

struct vcpu_shared {
	struct domain *domain;
	uint32_t id; /* within the domain */
	/* Changed under the lock of its CPU's run queue (kernel/sched.c), cpu with it. */
	_Atomic uint32_t state; /* enum vcpu_state */
	_Atomic uint32_t cpu; /* where it runs, is queued, or ran last; VCPU_NO_CPU: not started */
	_Atomic uint32_t requests;		    /* enum vcpu_request */
	_Atomic uint64_t posted[VCPU_POSTED_WORDS]; /* interrupt vectors that wait */
	_Atomic uint64_t apic_route;	 /* how its local APIC can be reached: vmx/vlapic_ipi.c */
	_Atomic bool wakes_on_interrupt; /* VCPU_BLOCKED: interrupts are on */
	bool blocking;			 /* will block when it has left guest mode; its CPU only */
	bool yields;			 /* gives way to others when it has; its CPU only */
	_Atomic bool waits_for_sipi;	 /* or to be started; changed by its CPU only */
	_Atomic bool starts;		 /* vcpu_start_prepare() was called meanwhile */
	_Atomic bool down;		 /* its guest has taken it down */
	_Atomic bool inspected;		 /* the monitor wants it: sched_inspect() */
	_Atomic bool loaded;  /* its VMCS is current somewhere: no other CPU may take it */
	struct timer *timers; /* those of this vCPU (kernel/timer.h) */
	struct vcpu_xen *xen; /* kernel/xen_state.h; NULL in built-in tests */
	mfn_t secret[PRIVATE_VCPU_PAGES];
	mfn_t vmcs;
	uint16_t vpid;
	bool launched;
	uint32_t host_cpu;	  /* whose host state the VMCS has; VCPU_NO_CPU: nobody's yet */
	uint64_t generation_seen; /* of the domain's p2m, at the last INVEPT for this vCPU there */
	/* Run queue (kernel/run_queue.h). */
	struct vcpu_shared *run_next;
	uint64_t virtual_time; /* ticks used, by weight */
	uint32_t weight;       /* constant */
	/* What the guest is told of that (kernel/runstate.c); as state. */
	struct {
		uint32_t state;	   /* RUNSTATE_ */
		uint64_t since;	   /* time-stamp counter of the host */
		uint64_t ticks[4]; /* in each state, before */
	} runstate;
	uint32_t trace_id; /* constant: the vCPU in struct trace_slot.what */
	bool traced;	   /* its exits are traced: vmx/exit_trace.c */
	struct trace_counts exits;
};

#define VCPU_NO_CPU	    UINT32_MAX
#define VCPU_WEIGHT_DEFAULT 256u
#define VCPU_WEIGHT_MAX	    65535u

/* Backend (vmx/), called by kernel/. */
int vcpu_create(struct domain *d, uint32_t id, struct vcpu_shared **out) must_use;
void vcpu_destroy(struct vcpu_shared *v);
/* The state that PVH (Xen's docs/misc/pvh) and multiboot ask for: 32-bit protected mode without
 * paging at entry, with EAX, and EBX = info. gdt: descriptors of nothing, the code and the data
 * segment, with the stack's end below; 0: neither. Makes the vCPU, which is loaded nowhere,
 * runnable. */
void vcpu_set_entry(struct vcpu_shared *v, gpa_t entry, uint32_t eax, gpa_t info, gpa_t gdt);
/* A further vCPU of a domain: as after INIT, waits for a start-up IPI. */
void vcpu_set_parked(struct vcpu_shared *v);
/* How a vCPU that waits to be started shall start, when VCPU_REQUEST_START is made. -XEN_EINVAL: no
 * processor could be in this state, or it has what is not offered. The domain's lock is held. */
int vcpu_start_prepare(struct vcpu_shared *v, const struct vcpu_hvm_context *context) must_use;
/* Makes v, which is loaded nowhere else, current on this CPU (maps its secret, loads its VMCS and
 * registers); NULL unloads. */
void vcpu_load(struct vcpu_shared *v);
/* Runs the current vCPU until its slice, in TSC ticks, is over or it yields, blocks or ends. Timers
 * of this CPU are run meanwhile. */
void vcpu_run(uint64_t slice_ticks);
/* Of the current vCPU, in root mode only: */
/* Whether there is an interrupt or NMI for it, delivered or not. */
bool vcpu_event_waits(void);
struct vcpu_regs *vcpu_registers(void);
/* Its paging state, for copies to and from it: all of it, or what the short way of a copy for CPL 0
 * looks at. */
void vcpu_guest_access(struct guest_access *out);
void vcpu_guest_access_short(struct guest_access *out);
unsigned vcpu_cpl(void);
bool vcpu_in_long_mode64(void); /* CS.L with EFER.LMA: the 64-bit hypercall ABI */
/* Prints its registers on the console (never kept elsewhere). */
void vcpu_dump(struct vcpu_shared *v);
void vcpu_print_rip(const struct vcpu_shared *v); /* likewise */
extern bool vcpu_dump_enabled;			  /* registers=off on the command line clears it */

/* Front (kernel/), called by vmx/. All for the current vCPU. */
/*
 * RAX = call number; runs the call of the current vCPU at that privilege level, in 64-bit mode if
 * wide, and leaves the result in RAX, for any caller; the backend's own way for 64-bit kernels is
 * the same without the copies. False: not finished, RIP stays at the call, whose arguments have
 * moved on.
 */
bool hypercall(struct vcpu_regs *regs, unsigned cpl, bool wide);
/*
 * The current vCPU waits (HLT, SCHEDOP_block) for vcpu_kick(): with interrupts on for a posted one
 * or a request, else for a request. If nothing is left that could wake any vCPU of its domain, that
 * ends.
 */
void vcpu_block(bool interrupts_on);
/* The vector by which the current domain's guest has itself called for events; 0: none. */
uint8_t vcpu_callback_vector(void);
/* If the record of v, of the current domain, says that an upcall is due, there is one: after what
 * may have kept it from v. No lock held. */
void vcpu_retell_upcall(struct vcpu_shared *v);
/*
 * Makes v look at its requests and posted interrupts, which the caller has set before: it leaves
 * guest mode if it is there, and runs again if it is blocked (or parked, for a SIPI); a runnable
 * one looks when it is loaded. From any CPU, v may be current; any lock but a run queue's may be
 * held. Waits for nobody.
 */
void vcpu_kick(struct vcpu_shared *v);
/* The timer of the current vCPU's local APIC: makes VCPU_REQUEST_TIMER at that time (of the host's
 * time-stamp counter), or never if it is 0. */
void vcpu_timer_set(uint64_t tsc);
/* Runs the timers of this CPU that are due; when the next one is, in TSC ticks (UINT64_MAX: none).
 * For the backend. */
uint64_t timers_run(void);
/* Has this CPU interrupted at that time, at the latest. For a backend without a timer of its own.
 */
void host_timer_arm(uint64_t tsc_deadline);
/* Whether something asks for this vCPU's attention. */
static inline bool vcpu_interrupt_posted(const struct vcpu_shared *v)
{
	uint64_t any = atomic_load(&v->requests) & VCPU_REQUEST_UPCALL;

	for (unsigned i = 0; i < VCPU_POSTED_WORDS; i++)
		any |= atomic_load(&v->posted[i]);
	return any;
}
static inline bool vcpu_pending(const struct vcpu_shared *v)
{
	return atomic_load(&v->requests) || vcpu_interrupt_posted(v);
}
/* CPUID as the guest sees it; some leaves mirror its CR4 and XCR0, and whether IA32_APIC_BASE
 * enables its local APIC. */
struct guest_cpuid_state {
	uint64_t cr4, xcr0;
	bool apic;
};
void guest_cpuid(const struct guest_cpuid_state *state, uint32_t leaf, uint32_t subleaf,
		 uint32_t out[4]);
/* The leaves from 0 to max, EAX EBX ECX EDX each; those of GUEST_CPUID_VARYING depend on the
 * sub-leaf or on the vCPU, and are guest_cpuid()'s. Constant after boot. */
#define GUEST_CPUID_LEAVES  0x17u
#define GUEST_CPUID_VARYING (BIT32(1) | BIT32(4) | BIT32(7) | BIT32(0xb) | BIT32(0xd))
extern struct guest_cpuid_basic {
	uint32_t max;
	uint32_t leaves[GUEST_CPUID_LEAVES][4];
} guest_cpuid_basic;
/* An interrupt of the host: arrived in idle, or acknowledged by a VM exit. Interrupts are off. One
 * that nobody registered is counted and otherwise ignored; the spurious vector gets no EOI. */
void interrupt_dispatch(unsigned vector);
/* The guest touched gpa, where its p2m has nothing. True: it has now, or the domain has been ended
 * for lack of memory; false: it shall have nothing there. */
bool memory_fault(struct domain *d, gpa_t gpa);
/*
 * Whether accesses to gpa, where the p2m has nothing, find no device: reads give ones, writes are
 * dropped. False: they end the domain. RAM that was given back is not absent: touching it is a
 * mistake, but where there is a demand window now.
 */
bool memory_absent(const struct domain *d, gpa_t gpa);
/* Whether a page of another domain was there, revoked by it, and shall fault when it is used.
 * Searches the domain's own handles, on its own time. */
bool memory_revoked(struct domain *d, gpa_t gpa);
/* The current vCPU gives up the rest of its slice. */
void vcpu_yield(void);
/* Fills the hypercall page of the current domain at gpa, page aligned, with an entry for each call
 * number; -XEN_EINVAL if that is not its own RAM. */
int hypercall_page_write(gpa_t where) must_use;
/* Port I/O of 1, 2 or 4 bytes: what the hypervisor itself answers (kernel/guest_io.c); absent ports
 * read as ones. A wide access is one of each port in turn. */
uint32_t guest_io_read(uint16_t port, unsigned size_bytes);
bool guest_io_write(uint16_t port, unsigned size_bytes, uint32_t value) must_use;
/* Characters of a guest for the console; how many of them there was room for, from the first on
 * (kernel/guest_console.c). */
size_t guest_console_write(struct domain *d, const char *text, size_t length) must_use;

#endif
