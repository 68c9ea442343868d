/*
 * Control registers of a guest: writes that exit because they touch a bit that the hypervisor owns.
 *
 * A guest changes most of CR0 and CR4 without an exit. What arrives here is checked as the
 * processor checks it, then takes effect as there, paging mode switches included. State: the
 * current VMCS. No lock.
 *
 * Sources: SDM Vol. 2, "MOV--Move to/from Control Registers", "XSETBV"; Vol. 3, "Paging-Mode
 * Modifiers", "PAE Paging", "Operations that Invalidate TLBs and Paging-Structure Caches".
 */
#include "cpu.h"
#include "mm/window.h"
#include "vmx/advance.h"
#include "vmx/exit_reasons.h"
#include "vmx/vlapic.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/* What never reaches the real register: caching stays on; NE is on always. */
#define CR0_HIDDEN (CR0_CD | CR0_NW)

/* PAE directory pointers are registers: loaded when a mode switch or CR3 says so. Reserved bits
 * fault. */
#define PDPTE_P	       BIT64(0)
#define PDPTE_RESERVED (BIT64(1) | BIT64(2) | (BIT64(5) | BIT64(6) | BIT64(7) | BIT64(8)))
#define CR3_PAE_MASK   0xffffffe0ull

bool vmx_load_pdptes(void)
{
	gpa_t where = make_gpa(vmcs_readn(VMCS_GUEST_CR3) & CR3_PAE_MASK);
	uint64_t reserved = PDPTE_RESERVED | ~((1ull << vmx_machine.caps.physical_bits) - 1);
	struct p2m_entry entry;
	uint64_t pdpte[4];

	if (!p2m_lookup(&this_cpu()->current->domain->p2m, gpa_to_gfn(where), &entry) ||
	    !(entry.access & P2M_R))
		return false;
	window_read(pdpte, entry.frame, gpa_offset(where), sizeof(pdpte));
	for (unsigned i = 0; i < 4; i++)
		if (pdpte[i] & PDPTE_P && pdpte[i] & reserved)
			return false;
	for (unsigned i = 0; i < 4; i++)
		vmcs_write64((vmcs64_t){VMCS_ENC_GUEST_PDPTE0 + 2 * i}, pdpte[i]);
	return true;
}

static bool uses_pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
}

/* False: #GP(0), nothing has changed. */
static bool write_guest_cr0(uint64_t value)
{
	uint64_t cr0 = vmcs_readn(VMCS_GUEST_CR0);
	uint64_t cr4 = vmcs_readn(VMCS_GUEST_CR4);
	uint64_t efer = vmcs_read64(VMCS_GUEST_EFER);
	bool code64 = efer & EFER_LMA && vmcs_read32(VMCS_GUEST_CS_AR) & SEG_AR_L;
	uint64_t changed;

	if (value >> 32)
		return false;
	value &= CR0_DEFINED; /* reserved bits of the lower half are ignored */
	value |= CR0_ET;
	changed = (cr0 ^ value) & ~(CR0_NE | CR0_HIDDEN);

	if ((value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD)))
		return false;
	if (changed & CR0_PG) {
		if (value & CR0_PG && efer & EFER_LME &&
		    (!(cr4 & CR4_PAE) || vmcs_read32(VMCS_GUEST_CS_AR) & SEG_AR_L ||
		     (vmcs_read32(VMCS_GUEST_TR_AR) & SEG_AR_TYPE_MASK) == SEG_TYPE_TSS16_BUSY))
			return false;
		if (!(value & CR0_PG) && (code64 || cr4 & CR4_PCIDE))
			return false;
		efer &= ~EFER_LMA;
		if (value & CR0_PG && efer & EFER_LME)
			efer |= EFER_LMA;
	}
	if (changed & CR0_PG && uses_pae_paging(value, cr4, efer) && !vmx_load_pdptes())
		return false;

	if (changed & CR0_PG) {
		uint32_t controls = vmcs_read32(VMCS_ENTRY_CONTROLS) & ~ENTRY_IA32E_MODE_GUEST;

		vmcs_write32(VMCS_ENTRY_CONTROLS,
			     controls | (efer & EFER_LMA ? ENTRY_IA32E_MODE_GUEST : 0));
		vmcs_write64(VMCS_GUEST_EFER, efer);
	}
	vmcs_writen(VMCS_GUEST_CR0, (value & ~CR0_HIDDEN) | CR0_NE);
	vmcs_writen(VMCS_CR0_READ_SHADOW, value);
	if (changed & (CR0_PG | CR0_WP | CR0_PE))
		vmx_flush_vpid(this_cpu()->current);
	return true;
}

static bool write_guest_cr4(uint64_t value)
{
	uint64_t cr0 = vmcs_readn(VMCS_GUEST_CR0);
	uint64_t cr4 = vmcs_readn(VMCS_GUEST_CR4);
	uint64_t efer = vmcs_read64(VMCS_GUEST_EFER);
	uint64_t changed = cr4 ^ value;

	if (value & ~vmx_machine.cr4_offered)
		return false;
	if (efer & EFER_LMA && !(value & CR4_PAE))
		return false;
	if (value & CR4_PCIDE && !(cr4 & CR4_PCIDE) &&
	    (!(efer & EFER_LMA) || vmcs_readn(VMCS_GUEST_CR3) & CR3_PCID_MASK))
		return false;
	if (uses_pae_paging(cr0, value, efer) &&
	    changed & (CR4_PGE | CR4_PSE | CR4_PAE | CR4_SMEP) && !vmx_load_pdptes())
		return false;
	/* VMX operation and machine checks need their bits whatever the guest wants to see. */
	vmcs_writen(VMCS_GUEST_CR4, value | CR4_VMXE | CR4_MCE);
	vmcs_writen(VMCS_CR4_READ_SHADOW, value);
	if (changed & (CR4_PGE | CR4_PAE | CR4_PSE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE))
		vmx_flush_vpid(this_cpu()->current);
	return true;
}

/* CR8 is bits 7:4 of the task-priority register. */
#define CR8_VALID     0xfull
#define CR8_TPR_SHIFT 4

static void finish(bool valid)
{
	if (valid)
		vmx_advance_rip();
	else
		vmx_inject_gp();
}

static void move_to(struct vcpu_regs *regs, unsigned number, unsigned gpr)
{
	uint64_t value = vmx_register_read(regs, gpr);

	if (!vcpu_in_long_mode64())
		value = (uint32_t)value;
	switch (number) {
	case 0:
		finish(write_guest_cr0(value));
		break;
	case 4:
		finish(write_guest_cr4(value));
		break;
	case 8:
		if (!(value & ~CR8_VALID)) {
			*vlapic_reg(vlapic_current(), APIC_TPR) = (uint32_t)value << CR8_TPR_SHIFT;
			vmx_events_changed();
		}
		finish(!(value & ~CR8_VALID));
		break;
	default:
		vmx_inject_ud();
	}
}

/* Exit for MOV to or from a control register, CLTS or LMSW. */
void vmx_exit_control_register(struct vcpu_regs *regs)
{
	uint64_t q = vmcs_readn(VMCS_EXIT_QUALIFICATION);
	unsigned number = (unsigned)(q & CR_ACCESS_NUMBER_MASK);
	unsigned gpr = (unsigned)(q >> CR_ACCESS_GPR_SHIFT & CR_ACCESS_GPR_MASK);
	uint64_t cr0 = vmcs_readn(VMCS_GUEST_CR0);
	/* As the guest sees it: owned bits come from the shadow. */
	uint64_t mask = vmcs_readn(VMCS_CR0_MASK);
	uint64_t seen = (cr0 & ~mask) | (vmcs_readn(VMCS_CR0_READ_SHADOW) & mask);

	switch (q >> CR_ACCESS_TYPE_SHIFT & CR_ACCESS_TYPE_MASK) {
	case CR_ACCESS_TYPE_MOV_TO:
		move_to(regs, number, gpr);
		break;
	case CR_ACCESS_TYPE_MOV_FROM:
		if (number == 8) {
			vmx_register_write(regs, gpr,
					   vlapic_get(vlapic_current(), APIC_TPR) >> CR8_TPR_SHIFT);
			vmx_advance_rip();
		} else {
			vmx_inject_ud();
		}
		break;
	case CR_ACCESS_TYPE_CLTS:
		finish(write_guest_cr0(seen & ~CR0_TS));
		break;
	case CR_ACCESS_TYPE_LMSW: {
		uint64_t low = CR0_PE | CR0_MP | CR0_EM | CR0_TS;
		uint64_t source = q >> CR_ACCESS_LMSW_SHIFT & low;

		/* LMSW can set PE but not clear it. */
		finish(write_guest_cr0((seen & ~(low & ~CR0_PE)) | source));
		break;
	}
	}
}

/* Exit for XSETBV, which the processor allows at CPL 0 only. */
void vmx_exit_xsetbv(struct vcpu_regs *regs)
{
	uint64_t value = (regs->rdx << 32) | (uint32_t)regs->rax;
	uint64_t avx512 = XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM;

	if ((uint32_t)regs->rcx != 0 || value & ~vmx_machine.xcr0_offered || !(value & XCR0_X87) ||
	    (value & XCR0_AVX && !(value & XCR0_SSE)) ||
	    (value & avx512 && ((value & avx512) != avx512 || !(value & XCR0_AVX)))) {
		vmx_inject_gp();
		return;
	}
	write_xcr0(value);
	vmx_advance_rip();
}
