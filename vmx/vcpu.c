/*
 * The VT-x half of a vCPU: creation, and moving its registers on and off a CPU.
 *
 * State: struct vcpu_shared on the heap (no register in it); struct vcpu_secret in two frames of
 * the domain, mapped at PRIVATE_VCPU of the CPU that runs the vCPU and nowhere else. The VMCS frame
 * is written once and never mapped again. Lock: a vCPU is touched by the CPU that runs it, or,
 * while it runs nowhere, by who holds its domain's lock. The hypervisor uses no vector, debug or
 * SYSCALL register itself, so that these stay in the processor from load to unload and cost nothing
 * at an exit.
 *
 * Sources: SDM Vol. 3, "Using VMCLEAR, VMPTRLD, VMPTRST...", SDM Vol. 1, "Managing State Using the
 * XSAVE Feature Set".
 */
#include "vcpu.h"
#include "barriers.h"
#include "cpu.h"
#include "lock.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "mm/private.h"
#include "mm/window.h"
#include "mm/window_cache.h"
#include "mutant.h"
#include "public/errno.h"
#include "vmx/cleared.h"
#include "vmx/vlapic.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/* Initial FPU state in the save area: control word and MXCSR as after reset, everything else in its
 * init state. */
#define FPU_CONTROL_RESET  0x037f
#define MXCSR_RESET	   0x1f80
#define XSAVE_FCW_OFFSET   0
#define XSAVE_MXCSR_OFFSET 24

static struct lock vpid_lock = LOCK_INIT(LOCK_VPID);
static uint64_t vpid_used[(DOMAINS_MAX * DOMAIN_VCPUS_MAX + 64) / 64] = {1}; /* 0 is the host's */

/* Tags count from 1; 0 if none is left (then the vCPU runs without one: flushed at every
 * transition). */
static uint16_t vpid_take(void)
{
	uint16_t vpid = 0;

	lock_acquire(&vpid_lock);
	for (unsigned i = 0; i < array_size(vpid_used) && !vpid; i++)
		if (~vpid_used[i]) {
			unsigned bit = (unsigned)__builtin_ctzll(~vpid_used[i]);
			vpid_used[i] |= 1ull << bit;
			vpid = (uint16_t)(i * 64 + bit);
		}
	lock_release(&vpid_lock);
	return vpid;
}

static void vpid_give(uint16_t vpid)
{
	lock_acquire(&vpid_lock);
	vpid_used[vpid / 64] &= ~(1ull << (vpid % 64));
	lock_release(&vpid_lock);
}

/*
 * A vCPU of domain d, not runnable before vcpu_set_entry(). -XEN_ENOMEM: nothing has changed.
 * Takes the locks of the frame allocator and the heap.
 */
int vcpu_create(struct domain *d, uint32_t id, struct vcpu_shared **out)
{
	void *object;
	mfn_t frames[PRIVATE_VCPU_PAGES + 1];
	unsigned taken = 0;

	int rc = heap_alloc(sizeof(struct vcpu_shared), d->id, &object);
	if (rc)
		return rc;
	for (; taken < array_size(frames); taken++) {
		bool secret = taken < PRIVATE_VCPU_PAGES;

		rc = frame_alloc(0, secret ? d->id : DOMID_HYPERVISOR,
				 secret ? FRAME_VCPU : FRAME_VMX, &frames[taken]);
		if (rc)
			goto undo;
	}
	uint16_t vpid = vpid_take();
	if (!vpid) {
		rc = -XEN_ENOSPC;
		goto undo;
	}

	uint32_t revision = (uint32_t)(vmx_machine.caps.basic & VMX_BASIC_REVISION_MASK);
	window_write(frames[PRIVATE_VCPU_PAGES], 0, &revision, sizeof(revision));
	if (vmclear(mfn_to_paddr(frames[PRIVATE_VCPU_PAGES])) != VMX_OK)
		panic("VMCLEAR of a new VMCS failed");

	uint16_t fcw = FPU_CONTROL_RESET;
	uint32_t mxcsr = MXCSR_RESET;
	window_write(frames[1], XSAVE_FCW_OFFSET, &fcw, sizeof(fcw));
	window_write(frames[1], XSAVE_MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
	struct vcpu_secret *secret = window_open(WINDOW_VCPU, frames[0]);
	secret->xcr0 = XCR0_X87;
	secret->lazy.dr6 = DR6_RESET;
	secret->misc_enable = MISC_ENABLE_FAST_STRINGS;
	/* As Xen starts a guest without firmware: while they are disabled all memory is
	 * uncacheable. */
	secret->mtrr.default_type = MTRR_DEF_TYPE_E | MEMORY_TYPE_WB;
	window_close(WINDOW_VCPU);

	struct vcpu_shared *v = object;
	v->domain = d;
	v->id = id;
	__builtin_memcpy(v->secret, frames, sizeof(v->secret));
	v->vmcs = frames[PRIVATE_VCPU_PAGES];
	v->vpid = vpid;
	v->host_cpu = VCPU_NO_CPU;
	atomic_store(&v->cpu, VCPU_NO_CPU);
	v->trace_id = (uint32_t)d->id << TRACE_DOMAIN_SHIFT | id << TRACE_VCPU_SHIFT;
	atomic_store(&v->state, VCPU_BLOCKED);
	*out = v;
	return 0;
undo:
	while (taken)
		frame_free(frames[--taken], 0);
	heap_free(object);
	return rc;
}

/* Gives everything back. The vCPU is loaded nowhere and on no run queue. */
void vcpu_destroy(struct vcpu_shared *v)
{
	if (vmclear(mfn_to_paddr(v->vmcs)) != VMX_OK)
		panic("VMCLEAR failed");
	vmx_flush_vpid(v); /* before the tag is used again */
	vpid_give(v->vpid);
	frame_free(v->vmcs, 0);
	for (unsigned i = 0; i < PRIVATE_VCPU_PAGES; i++)
		frame_free(v->secret[i], 0);
	heap_free(v);
}

static void save_extended_state(struct vcpu_secret *s)
{
	if (!vmx_machine.xsave) {
		__asm__ volatile("fxsave64 %0" : "=m"(s->xsave));
		return;
	}
	s->xcr0 = read_xcr0();
	write_xcr0(vmx_machine.xcr0_offered);
	__asm__ volatile("xsave64 %0"
			 : "+m"(s->xsave)
			 : "a"((uint32_t)vmx_machine.xcr0_offered), "d"(0)
			 : "memory");
}

/* xcr0: the guest's; NULL: it stays as it is. */
static inline void load_extended_state(const void *area, const uint64_t *xcr0)
{
	if (!vmx_machine.xsave) {
		__asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
		return;
	}
	if (xcr0)
		write_xcr0(vmx_machine.xcr0_offered);
	__asm__ volatile("xrstor64 (%0)"
			 :
			 : "r"(area), "a"((uint32_t)vmx_machine.xcr0_offered), "d"(0)
			 : "memory");
	if (xcr0)
		write_xcr0(*xcr0);
}

static void save_registers(struct vcpu_lazy *s)
{
	s->cr2 = read_cr2();
	for (unsigned i = 0; i < 4; i++)
		s->dr[i] = read_dr(i);
	s->dr6 = read_dr(6);
	s->star = rdmsr(MSR_IA32_STAR);
	s->lstar = rdmsr(MSR_IA32_LSTAR);
	s->cstar = rdmsr(MSR_IA32_CSTAR);
	s->fmask = rdmsr(MSR_IA32_FMASK);
	s->kernel_gs_base = rdmsr(MSR_IA32_KERNEL_GS_BASE);
	if (vmx_machine.rdtscp)
		s->tsc_aux = rdmsr(MSR_IA32_TSC_AUX);
}

static inline void load_registers(const struct vcpu_lazy *s)
{
	write_cr2(s->cr2);
	for (unsigned i = 0; i < 4; i++)
		write_dr(i, s->dr[i]);
	write_dr(6, s->dr6);
	wrmsr(MSR_IA32_STAR, s->star);
	wrmsr(MSR_IA32_LSTAR, s->lstar);
	wrmsr(MSR_IA32_CSTAR, s->cstar);
	wrmsr(MSR_IA32_FMASK, s->fmask);
	wrmsr(MSR_IA32_KERNEL_GS_BASE, s->kernel_gs_base);
	if (vmx_machine.rdtscp)
		wrmsr(MSR_IA32_TSC_AUX, s->tsc_aux);
}

/*
 * With no vCPU loaded, the registers that are switched lazily hold nothing of the last one: a
 * register dump, a panic or the leak test would find it.
 */
static void clear_state(void)
{
	static const struct vcpu_lazy registers = {.dr6 = DR6_RESET};
	static const uint8_t area[PAGE_SIZE] aligned_to(64) = {
	    [XSAVE_FCW_OFFSET] = FPU_CONTROL_RESET & 0xff,
	    [XSAVE_FCW_OFFSET + 1] = FPU_CONTROL_RESET >> 8,
	    [XSAVE_MXCSR_OFFSET] = MXCSR_RESET & 0xff,
	    [XSAVE_MXCSR_OFFSET + 1] = MXCSR_RESET >> 8};

	if (MUTANT(REGISTERS_NOT_CLEARED))
		return;
	load_registers(&registers);
	load_extended_state(area, NULL);
}

static void unload(struct cpu_private *cpu)
{
	struct vcpu_shared *old = cpu->current;
	struct vcpu_secret *s = vmx_secret();

	old->launched = cpu->vmcs_launched;
	save_registers(&s->lazy);
	save_extended_state(s);
	/* Another CPU may run it next: the processor's copy goes back to memory. */
	if (vmx_machine.many_cpus) {
		if (vmclear(mfn_to_paddr(old->vmcs)) != VMX_OK)
			panic("VMCLEAR failed");
		old->launched = false;
	}
	private_unmap_vcpu();
	window_cache_set_owner(DOMID_HYPERVISOR);
	p2m_cpu_leave(&old->domain->p2m);
	cpu->current = NULL;
	atomic_store(&old->loaded, false);
}

static void load(struct cpu_private *cpu, struct vcpu_shared *v)
{
	atomic_store(&v->loaded, true);
	private_map_vcpu(v->secret);
	if (vmptrld(mfn_to_paddr(v->vmcs)) != VMX_OK)
		panic("VMPTRLD failed for a vCPU of d%u", v->domain->id);
	cpu->vmcs_launched = v->launched;
	cpu->current = v;
	if (window_cache_enabled)
		window_cache_set_owner(v->domain->id);
	struct vcpu_secret *s = vmx_secret();
	load_registers(&s->lazy);
	load_extended_state(s->xsave, &s->xcr0);
	vmx_barrier_loaded(v->domain);

	bool arrives = v->host_cpu != cpu->index;
	vmx_flush_loaded(v, arrives);
	if (arrives) {
		s->call = (struct hypercall){.domain = v->domain,
					     .arg = &s->regs.rdi,
					     .sent = s->sent,
					     .wide = true,
					     .access = {.p2m = &v->domain->p2m}};
		vmcs_setup_host();
		v->host_cpu = cpu->index;
	}
}

void vcpu_load(struct vcpu_shared *v)
{
	struct cpu_private *cpu = this_cpu();

	if (cpu->current == v)
		return;
	if (cpu->current) {
		unload(cpu);
		private_clear_stack();
		if (!v) {
			cleared_check_stack();
			clear_state(); /* else the registers of v replace them all */
			cleared_check_registers();
		}
	}
	if (v)
		load(cpu, v);
	trace_vcpu(TRACE_LOAD, v, 0);
}

/* Loads a new vCPU and gives it what does not depend on how it starts. */
static void set_up(struct vcpu_shared *v)
{
	vcpu_load(v);
	vlapic_current()->tsc_offset = v->domain->tsc_offset;
	vlapic_reset(vlapic_current(), v->id);
	vmcs_setup_controls(v);
}

void vcpu_set_entry(struct vcpu_shared *v, gpa_t entry, uint32_t eax, gpa_t info, gpa_t gdt)
{
	set_up(v);
	vmcs_setup_guest_pvh(entry, gdt);
	vmx_secret()->regs.rax = eax;
	vmx_secret()->regs.rbx = gpa_raw(info);
	vcpu_load(NULL);
	atomic_store(&v->state, VCPU_RUNNABLE);
}

void vcpu_set_parked(struct vcpu_shared *v)
{
	set_up(v);
	vmcs_setup_guest_reset();
	vmx_secret()->regs.rdx = guest_cpuid_basic.leaves[1][0]; /* family, model, stepping */
	vcpu_load(NULL);
	v->waits_for_sipi = true;
	atomic_store(&v->state, VCPU_PARKED);
}

struct vcpu_regs *vcpu_registers(void)
{
	return &vmx_secret()->regs;
}

/* Current privilege level: that of SS (SDM Vol. 3, "Guest Segment Registers"). */
unsigned vcpu_cpl(void)
{
	return (vmcs_read32(VMCS_GUEST_SS_AR) & SEG_AR_DPL_MASK) >> SEG_AR_DPL_SHIFT;
}

bool vcpu_in_long_mode64(void)
{
	return vmcs_read64(VMCS_GUEST_EFER) & EFER_LMA && vmcs_read32(VMCS_GUEST_CS_AR) & SEG_AR_L;
}

void vcpu_guest_access(struct guest_access *out)
{
	struct guest_paging *p = &out->paging;
	const struct vmx_caps *caps = &vmx_machine.caps;

	*out = (struct guest_access){0};
	p->cr0 = vmcs_readn(VMCS_GUEST_CR0);
	p->cr3 = vmcs_readn(VMCS_GUEST_CR3);
	p->cr4 = vmcs_readn(VMCS_GUEST_CR4);
	p->efer = vmcs_read64(VMCS_GUEST_EFER);
	p->rflags = vmcs_readn(VMCS_GUEST_RFLAGS);
	p->cpl = vcpu_cpl();
	p->maxphyaddr = caps->physical_bits;
	p->compatibility = p->efer & EFER_LMA && !(vmcs_read32(VMCS_GUEST_CS_AR) & SEG_AR_L);
	p->no_1g_pages = !vmx_machine.pages_1g;
	p->no_pse36 = !vmx_machine.pse36;
	if (p->cr4 & CR4_PKE && vmx_machine.pku)
		p->pkru = read_pkru();
	if (p->cr0 & CR0_PG && p->cr4 & CR4_PAE && !(p->efer & EFER_LMA))
		for (unsigned i = 0; i < 4; i++)
			p->pdpte[i] = vmcs_read64((vmcs64_t){VMCS_ENC_GUEST_PDPTE0 + 2 * i});
	out->p2m = &this_cpu()->current->domain->p2m;
}

/*
 * What a copy that takes the short way looks at, for a caller at CPL 0 in 64-bit mode: where the
 * tables are, and the mode. The rest is not filled in. Any other caller's state is, as a whole.
 * In the handling of an exit, whose reason has been read from the VMCS.
 */
void vcpu_guest_access_short(struct guest_access *out)
{
	if (unlikely(!(vmcs_read_sure(VMCS_GUEST_CS_AR.encoding) & SEG_AR_L))) {
		vcpu_guest_access(out);
		return;
	}
	out->paging.cr3 = vmcs_read_sure(VMCS_GUEST_CR3.encoding);
	out->paging.efer = vmcs_read_sure(VMCS_GUEST_EFER.encoding);
	out->paging.maxphyaddr = vmx_machine.caps.physical_bits;
	out->state = GUEST_ACCESS_SHORT;
}
