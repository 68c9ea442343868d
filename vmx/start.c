/*
 * Starting a vCPU in a state that its guest describes (VCPUOP_initialise).
 *
 * State: the description, checked, lies in the vCPU's secret frame, until the CPU that runs it
 * makes registers of it (vmx/requests.c). Written through the window, under the domain's lock,
 * while the vCPU waits to be started; the place in the frame serves nothing else.
 *
 * Sources: Xen, public/hvm/hvm_vcpu.h; SDM Vol. 3, "Checks on the Guest State Area".
 */
#include "mm/window.h"
#include "public/errno.h"
#include "vcpu.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

#define AR_TYPE_TSS_BUSY 0x2u /* what makes an available TSS a busy one */
#define AR_P		 0x80u
#define AR_HIGH		 0xf00u /* these lie four bits higher in the VMCS */
#define AR_HIGH_SHIFT	 4

/* A segment of the description in the VMCS's terms; those that are there count as accessed. */
static struct vmx_segment segment_of(uint32_t base, uint32_t limit, uint16_t ar, bool tss)
{
	uint32_t rights = (ar & ~AR_HIGH) | (ar & AR_HIGH) << AR_HIGH_SHIFT;

	if (!(ar & AR_P))
		return (struct vmx_segment){base, limit, SEG_AR_UNUSABLE};
	return (struct vmx_segment){base, limit,
				    rights | (tss ? AR_TYPE_TSS_BUSY : SEG_AR_ACCESSED)};
}

static struct vmx_segments segments_of(const struct vcpu_hvm_x86_32 *r)
{
	return (struct vmx_segments){.cs = segment_of(r->cs_base, r->cs_limit, r->cs_ar, false),
				     .ss = segment_of(r->ss_base, r->ss_limit, r->ss_ar, false),
				     .ds = segment_of(r->ds_base, r->ds_limit, r->ds_ar, false),
				     .es = segment_of(r->es_base, r->es_limit, r->es_ar, false),
				     .tr = segment_of(r->tr_base, r->tr_limit, r->tr_ar, true)};
}

static const struct vmx_segments segments_64 = {
    .cs = {0, UINT32_MAX, SEG_AR_FLAT_CODE64},
    .ss = {0, UINT32_MAX, SEG_AR_FLAT_DATA},
    .ds = {0, UINT32_MAX, SEG_AR_FLAT_DATA},
    .es = {0, UINT32_MAX, SEG_AR_FLAT_DATA},
    .tr = {0, 0x67, SEG_AR_P | SEG_TYPE_TSS_BUSY},
};

/* --- checks ----------------------------------------------------------------------------------- */

static unsigned dpl(uint32_t rights)
{
	return (rights & SEG_AR_DPL_MASK) >> SEG_AR_DPL_SHIFT;
}

/* Granularity must be what the limit, in bytes, can be told in. */
static bool limit_fits(const struct vmx_segment *s)
{
	return s->rights & SEG_AR_G ? (s->limit & 0xfff) == 0xfff : !(s->limit >> 20);
}

/* A segment that is there, of which these bits of the type are as they should be. */
static bool segment_is(const struct vmx_segment *s, uint32_t mask, uint32_t wanted)
{
	return !(s->rights & SEG_AR_UNUSABLE) && (s->rights & mask) == wanted && limit_fits(s);
}

/* Of DS or ES: not there, or readable. */
static bool data_is_valid(const struct vmx_segment *s, unsigned cpl)
{
	bool code = s->rights & SEG_AR_CODE;

	return s->rights & SEG_AR_UNUSABLE ||
	       (segment_is(s, SEG_AR_S, SEG_AR_S) && dpl(s->rights) <= cpl &&
		(!code || s->rights & SEG_AR_RW));
}

static bool segments_are_valid(const struct vcpu_hvm_x86_32 *r)
{
	const struct vmx_segments s = segments_of(r);
	uint32_t code = SEG_AR_S | SEG_AR_CODE;
	uint32_t all = (uint32_t)r->cs_ar | r->ss_ar | r->ds_ar | r->es_ar | r->tr_ar;
	unsigned cpl = dpl(s.cs.rights);

	return !(all & ~VCPU_HVM_AR_DEFINED) && segment_is(&s.cs, code, code) &&
	       !(s.cs.rights & SEG_AR_L && s.cs.rights & SEG_AR_DB) &&
	       segment_is(&s.ss, code | SEG_AR_RW, SEG_AR_S | SEG_AR_RW) &&
	       dpl(s.ss.rights) == cpl && (r->cr0 & CR0_PE || !cpl) && data_is_valid(&s.ds, cpl) &&
	       data_is_valid(&s.es, cpl) &&
	       segment_is(&s.tr, SEG_AR_TYPE_MASK | SEG_AR_S, SEG_TYPE_TSS_BUSY) &&
	       r->eip <= s.cs.limit;
}

static bool registers_are_valid(uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer,
				uint64_t rflags)
{
	bool paging = cr0 & CR0_PG, long_mode = paging && efer & EFER_LME;

	if (cr0 & ~CR0_DEFINED || (paging && !(cr0 & CR0_PE)) || (cr0 & CR0_NW && !(cr0 & CR0_CD)))
		return false;
	if (cr4 & ~vmx_machine.cr4_offered || cr3 >> vmx_machine.caps.physical_bits)
		return false;
	if (efer & EFER_RESERVED || !!(efer & EFER_LMA) != long_mode)
		return false;
	if ((long_mode && !(cr4 & CR4_PAE)) || (cr4 & CR4_PCIDE && !long_mode))
		return false;
	return !(rflags & (RFLAGS_RESERVED | RFLAGS_VM));
}

static bool context_is_valid(const struct vcpu_hvm_context *c)
{
	const struct vcpu_hvm_x86_32 *n = &c->cpu_regs.x86_32;
	const struct vcpu_hvm_x86_64 *w = &c->cpu_regs.x86_64;

	if (c->pad)
		return false;
	if (c->mode == VCPU_HVM_MODE_32B)
		return !n->pad1 && !n->pad2[0] && !n->pad2[1] && !n->pad2[2] &&
		       registers_are_valid(n->cr0, n->cr3, n->cr4, n->efer, n->eflags) &&
		       segments_are_valid(n);
	return c->mode == VCPU_HVM_MODE_64B && w->efer & EFER_LMA &&
	       registers_are_valid(w->cr0, w->cr3, w->cr4, w->efer, w->rflags) &&
	       guest_address_canonical(make_gva(w->rip));
}

/* --- in two steps ----------------------------------------------------------------------------- */

int vcpu_start_prepare(struct vcpu_shared *v, const struct vcpu_hvm_context *context)
{
	if (!context_is_valid(context))
		return -XEN_EINVAL;
	struct vcpu_secret *secret = window_open(WINDOW_VCPU, v->secret[0]);
	secret->start = *context;
	window_close(WINDOW_VCPU);
	return 0;
}

static void set_registers(const struct vcpu_hvm_x86_64 *r)
{
	struct vcpu_regs *regs = vcpu_registers();

	*regs = (struct vcpu_regs){.rax = r->rax,
				   .rcx = r->rcx,
				   .rdx = r->rdx,
				   .rbx = r->rbx,
				   .rbp = r->rbp,
				   .rsi = r->rsi,
				   .rdi = r->rdi};
	vmcs_writen(VMCS_GUEST_RSP, r->rsp);
	vmcs_writen(VMCS_GUEST_RIP, r->rip);
	vmcs_writen(VMCS_GUEST_RFLAGS, r->rflags | RFLAGS_FIXED1);
	vmcs_writen(VMCS_GUEST_CR3, r->cr3);
	vmcs_setup_guest_control(r->cr0, r->cr4, r->efer);
}

/* The current vCPU, which waits to be started, has the state that was prepared for it. */
void vmx_start(struct vcpu_shared *v)
{
	const struct vcpu_hvm_context *c = &vmx_secret()->start;
	const struct vcpu_hvm_x86_32 *n = &c->cpu_regs.x86_32;
	struct vcpu_hvm_x86_64 r = c->cpu_regs.x86_64;
	struct vmx_segments s = segments_64;

	if (c->mode == VCPU_HVM_MODE_32B) {
		r = (struct vcpu_hvm_x86_64){n->eax, n->ecx, n->edx, n->ebx, n->esp,
					     n->ebp, n->esi, n->edi, n->eip, n->eflags,
					     n->cr0, n->cr3, n->cr4, n->efer};
		s = segments_of(n);
	}
	vmcs_setup_guest_segments(&s);
	set_registers(&r);
	vmx_flush_vpid(v);
}
