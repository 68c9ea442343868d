/*
 * The fields of a VMCS that do not change while the guest runs, and its state at first entry.
 *
 * State: the current VMCS of this CPU. No lock. Sources: SDM Vol. 3, "VM-Execution Control Fields",
 * "Host-State Area", "Guest-State Area"; Xen's docs/misc/pvh.pandoc for the state in which a PVH
 * guest starts.
 */
#include "cpu.h"
#include "vmx/ept.h"
#include "vmx/vlapic.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/*
 * Exceptions that do not go straight to the guest: #MC is the machine's; #DB and #AC can be made to
 * recur without end inside the processor, so that no timer would ever be served (CVE-2015-5307,
 * CVE-2015-8104).
 */
#define EXCEPTIONS_INTERCEPTED ((1u << VECTOR_MC) | (1u << VECTOR_DB) | (1u << VECTOR_AC))

/* CR0 bits that the guest may not change by itself: fixed by VT-x, or about the host's caches. */
#define CR0_OWNED (CR0_NE | CR0_CD | CR0_NW)

void vmcs_setup_controls(struct vcpu_shared *v)
{
	const struct vmx_machine *m = &vmx_machine;
	const uint32_t *controls = m->controls.value;
	uint32_t proc = controls[VMX_PROC];

	vmcs_write32(VMCS_PIN_CONTROLS, controls[VMX_PIN]);
	if (proc & PROC_IO_BITMAPS) {
		vmcs_write64(VMCS_IO_BITMAP_A, paddr_raw(mfn_to_paddr(m->io_bitmap[0])));
		vmcs_write64(VMCS_IO_BITMAP_B, paddr_raw(mfn_to_paddr(m->io_bitmap[1])));
	} else {
		proc |= PROC_UNCONDITIONAL_IO_EXITING;
	}
	vmcs_write32(VMCS_PROC_CONTROLS, proc);
	vmcs_write32(VMCS_PROC2_CONTROLS, controls[VMX_PROC2]);
	vmx_apicv_setup(v);
	vmcs_write32(VMCS_EXIT_CONTROLS, controls[VMX_EXIT]);
	vmcs_write32(VMCS_ENTRY_CONTROLS, controls[VMX_ENTRY]);
	vmcs_write64(VMCS_MSR_BITMAP, paddr_raw(mfn_to_paddr(m->msr_bitmap)));
	vmcs_write64(VMCS_EPT_POINTER, ept_pointer(&v->domain->p2m));
	if (controls[VMX_PROC2] & PROC2_VPID)
		vmcs_write16(VMCS_VPID, v->vpid);
	vmcs_write64(VMCS_TSC_OFFSET, vlapic_current()->tsc_offset);
	if (controls[VMX_PROC2] & PROC2_XSAVES)
		vmcs_write64(VMCS_XSS_EXITING_BITMAP, ~0ull);

	vmcs_write32(VMCS_EXCEPTION_BITMAP, EXCEPTIONS_INTERCEPTED);
	vmcs_write32(VMCS_PF_ERROR_CODE_MASK, 0);
	vmcs_write32(VMCS_PF_ERROR_CODE_MATCH, 0);
	vmcs_write32(VMCS_CR3_TARGET_COUNT, 0);
	vmcs_write32(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write32(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write32(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write32(VMCS_ENTRY_INTERRUPTION_INFO, 0);
	vmcs_write64(VMCS_VMCS_LINK_POINTER, ~0ull);
	/* What INIT leaves as it is. */
	vmcs_write64(VMCS_GUEST_PAT, PAT_RESET);
	vmcs_write32(VMCS_GUEST_SYSENTER_CS, 0);
	vmcs_writen(VMCS_GUEST_SYSENTER_ESP, 0);
	vmcs_writen(VMCS_GUEST_SYSENTER_EIP, 0);
	vmcs_writen(VMCS_CR0_MASK, CR0_OWNED);
	/* What is not offered exits, so that setting it can be refused. */
	vmcs_writen(VMCS_CR4_MASK, ~(m->cr4_offered & ~(CR4_VMXE | CR4_MCE)));
}

/* The host state of this CPU: again whenever a vCPU comes to another CPU. */
void vmcs_setup_host(void)
{
	struct cpu_private *cpu = this_cpu();
	struct descriptor_table gdt, idt;
	uint16_t tr;

	read_gdtr(&gdt);
	read_idtr(&idt);
	tr = read_tr();

	vmcs_writen(VMCS_HOST_CR0, read_cr0());
	vmcs_writen(VMCS_HOST_CR3, paddr_raw(mfn_to_paddr(cpu->root)));
	vmcs_writen(VMCS_HOST_CR4, read_cr4());
	vmcs_write16(VMCS_HOST_ES_SELECTOR, 0);
	vmcs_write16(VMCS_HOST_CS_SELECTOR, read_cs());
	vmcs_write16(VMCS_HOST_SS_SELECTOR, read_ss());
	vmcs_write16(VMCS_HOST_DS_SELECTOR, 0);
	vmcs_write16(VMCS_HOST_FS_SELECTOR, 0);
	vmcs_write16(VMCS_HOST_GS_SELECTOR, 0);
	vmcs_write16(VMCS_HOST_TR_SELECTOR, tr);
	vmcs_writen(VMCS_HOST_FS_BASE, 0);
	vmcs_writen(VMCS_HOST_GS_BASE, (uint64_t)cpu->self);
	vmcs_writen(VMCS_HOST_TR_BASE, descriptor_base(&gdt, tr));
	vmcs_writen(VMCS_HOST_GDTR_BASE, gdt.base);
	vmcs_writen(VMCS_HOST_IDTR_BASE, idt.base);
	vmcs_write32(VMCS_HOST_SYSENTER_CS, 0);
	vmcs_writen(VMCS_HOST_SYSENTER_ESP, 0);
	vmcs_writen(VMCS_HOST_SYSENTER_EIP, 0);
	vmcs_write64(VMCS_HOST_PAT, rdmsr(MSR_IA32_PAT));
	vmcs_write64(VMCS_HOST_EFER, rdmsr(MSR_IA32_EFER));
	vmx_follow_trace(false); /* vcpu_run() looks again */
	/* Constant: every vCPU's registers appear at the same private address. */
	vmcs_writen(VMCS_HOST_RSP, (uint64_t)(&vmx_secret()->regs + 1));
}

struct segment_fields {
	vmcs16_t selector;
	vmcsn_t base;
	vmcs32_t limit, rights;
};

static void set_segment(struct segment_fields f, uint16_t selector, uint32_t limit, uint32_t rights)
{
	vmcs_write16(f.selector, selector);
	vmcs_writen(f.base, 0);
	vmcs_write32(f.limit, limit);
	vmcs_write32(f.rights, rights);
}

#define SEGMENT(name)                                                                    \
	((struct segment_fields){VMCS_GUEST_##name##_SELECTOR, VMCS_GUEST_##name##_BASE, \
				 VMCS_GUEST_##name##_LIMIT, VMCS_GUEST_##name##_AR})

#define TSS_LIMIT	0x67u
#define FLAT_LIMIT	0xffffffffu
#define REAL_MODE_LIMIT 0xffffu
#define RESET_CS	0xf000u
#define RESET_CS_BASE	0xffff0000ull
#define GDT_LIMIT	(3 * 8 - 1)
#define RESET_IP	0xfff0u

/* What both ways to start have in common: no paging, interrupts off, everything else as after reset
 * or as good as that. */
static void setup_guest_common(void)
{
	set_segment(SEGMENT(TR), 0, TSS_LIMIT, SEG_AR_TSS_BUSY);
	set_segment(SEGMENT(LDTR), 0, 0, SEG_AR_UNUSABLE);
	vmcs_writen(VMCS_GUEST_GDTR_BASE, 0);
	vmcs_writen(VMCS_GUEST_IDTR_BASE, 0);
	vmcs_writen(VMCS_GUEST_CR3, 0);
	vmcs_writen(VMCS_GUEST_CR4, CR4_VMXE | CR4_MCE);
	vmcs_writen(VMCS_CR4_READ_SHADOW, 0);
	vmcs_write64(VMCS_GUEST_EFER, 0);
	vmcs_write32(VMCS_ENTRY_CONTROLS,
		     vmcs_read32(VMCS_ENTRY_CONTROLS) & ~ENTRY_IA32E_MODE_GUEST);
	vmcs_writen(VMCS_GUEST_RSP, 0);
	vmcs_writen(VMCS_GUEST_RFLAGS, RFLAGS_FIXED1);
	vmcs_writen(VMCS_GUEST_DR7, DR7_RESET);
	vmcs_write64(VMCS_GUEST_DEBUGCTL, 0);
	vmcs_writen(VMCS_GUEST_PENDING_DEBUG, 0);
	vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmcs_write32(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	for (unsigned i = 0; i < 4; i++)
		vmcs_write64((vmcs64_t){VMCS_ENC_GUEST_PDPTE0 + 2 * i}, 0);
}

/* 32-bit protected mode, flat segments. */
void vmcs_setup_guest_pvh(gpa_t entry, gpa_t gdt)
{
	setup_guest_common();
	set_segment(SEGMENT(CS), 0x08, FLAT_LIMIT, SEG_AR_FLAT_CODE32);
	set_segment(SEGMENT(SS), 0x10, FLAT_LIMIT, SEG_AR_FLAT_DATA);
	set_segment(SEGMENT(DS), 0x10, FLAT_LIMIT, SEG_AR_FLAT_DATA);
	set_segment(SEGMENT(ES), 0x10, FLAT_LIMIT, SEG_AR_FLAT_DATA);
	set_segment(SEGMENT(FS), 0, FLAT_LIMIT, SEG_AR_FLAT_DATA);
	set_segment(SEGMENT(GS), 0, FLAT_LIMIT, SEG_AR_FLAT_DATA);
	vmcs_writen(VMCS_GUEST_GDTR_BASE, gpa_raw(gdt));
	vmcs_write32(VMCS_GUEST_GDTR_LIMIT, gpa_raw(gdt) ? GDT_LIMIT : 0);
	vmcs_writen(VMCS_GUEST_RSP, gpa_raw(gdt));
	vmcs_write32(VMCS_GUEST_IDTR_LIMIT, 0);
	vmcs_writen(VMCS_GUEST_CR0, CR0_PE | CR0_ET | CR0_NE);
	vmcs_writen(VMCS_CR0_READ_SHADOW, CR0_PE | CR0_ET);
	vmcs_writen(VMCS_GUEST_RIP, gpa_raw(entry));
}

/*
 * As after reset or INIT: real mode at the reset vector. CD and NW are shown as set: caches are the
 * host's matter. Source: SDM Vol. 3, "Processor State After Reset".
 */
void vmcs_setup_guest_reset(void)
{
	const struct segment_fields data[] = {SEGMENT(SS), SEGMENT(DS), SEGMENT(ES), SEGMENT(FS),
					      SEGMENT(GS)};

	setup_guest_common();
	for (unsigned i = 0; i < array_size(data); i++)
		set_segment(data[i], 0, REAL_MODE_LIMIT, SEG_AR_REAL_DATA);
	set_segment(SEGMENT(CS), RESET_CS, REAL_MODE_LIMIT, SEG_AR_REAL_CODE);
	vmcs_writen(VMCS_GUEST_CS_BASE, RESET_CS_BASE);
	set_segment(SEGMENT(LDTR), 0, REAL_MODE_LIMIT, SEG_AR_LDT);
	vmcs_write32(VMCS_GUEST_TR_LIMIT, REAL_MODE_LIMIT);
	vmcs_write32(VMCS_GUEST_GDTR_LIMIT, REAL_MODE_LIMIT);
	vmcs_write32(VMCS_GUEST_IDTR_LIMIT, REAL_MODE_LIMIT);
	vmcs_writen(VMCS_GUEST_CR0, CR0_ET | CR0_NE);
	vmcs_writen(VMCS_CR0_READ_SHADOW, CR0_ET | CR0_CD | CR0_NW);
	vmcs_writen(VMCS_GUEST_RIP, RESET_IP);
}

/* A start-up IPI after INIT: CS:IP = vector << 8 : 0. Source: SDM Vol. 3, "MP Initialization
 * Protocol Algorithm for MP Systems". */
void vmcs_setup_guest_sipi(uint8_t vector)
{
	vmcs_write16(VMCS_GUEST_CS_SELECTOR, (uint16_t)(vector << 8));
	vmcs_writen(VMCS_GUEST_CS_BASE, (uint64_t)vector << 12);
	vmcs_writen(VMCS_GUEST_RIP, 0);
}

static void set_given(struct segment_fields f, const struct vmx_segment *s)
{
	set_segment(f, 0, s->limit, s->rights);
	vmcs_writen(f.base, s->base);
}

/* What a guest asked for, checked before; all else as after reset. */
void vmcs_setup_guest_segments(const struct vmx_segments *s)
{
	setup_guest_common();
	set_given(SEGMENT(CS), &s->cs);
	set_given(SEGMENT(SS), &s->ss);
	set_given(SEGMENT(DS), &s->ds);
	set_given(SEGMENT(ES), &s->es);
	set_given(SEGMENT(TR), &s->tr);
	set_segment(SEGMENT(FS), 0, 0, SEG_AR_UNUSABLE);
	set_segment(SEGMENT(GS), 0, 0, SEG_AR_UNUSABLE);
	vmcs_write32(VMCS_GUEST_GDTR_LIMIT, 0);
	vmcs_write32(VMCS_GUEST_IDTR_LIMIT, 0);
}

/* Control registers, in place of those after reset. CR3 is there already. Directory pointers that
 * cannot be loaded are not present. */
void vmcs_setup_guest_control(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	vmcs_writen(VMCS_GUEST_CR0, (cr0 & ~(CR0_CD | CR0_NW)) | CR0_ET | CR0_NE);
	vmcs_writen(VMCS_CR0_READ_SHADOW, cr0 | CR0_ET);
	vmcs_writen(VMCS_GUEST_CR4, cr4 | CR4_VMXE | CR4_MCE);
	vmcs_writen(VMCS_CR4_READ_SHADOW, cr4);
	vmcs_write64(VMCS_GUEST_EFER, efer);
	if (efer & EFER_LMA)
		vmcs_write32(VMCS_ENTRY_CONTROLS,
			     vmcs_read32(VMCS_ENTRY_CONTROLS) | ENTRY_IA32E_MODE_GUEST);
	else if (cr0 & CR0_PG && cr4 & CR4_PAE)
		(void)!vmx_load_pdptes();
}
