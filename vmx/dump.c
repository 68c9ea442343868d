/*
 * The register dump of a guest: to the serial ports, stored nowhere; registers=off on the command
 * line leaves it out. State: none. The vCPU is current on this CPU.
 */
#include "cpu.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

static void dump_segment(const char *name, vmcs16_t selector, vmcsn_t base, vmcs32_t limit,
			 vmcs32_t rights)
{
	print_guest_state(LOG_WARN, "  %s %04x base %016lx limit %08x rights %05x", name,
			  vmcs_read16(selector), vmcs_readn(base), vmcs_read32(limit),
			  vmcs_read32(rights));
}

#define DUMP_SEGMENT(text, name)                                                   \
	dump_segment(text, VMCS_GUEST_##name##_SELECTOR, VMCS_GUEST_##name##_BASE, \
		     VMCS_GUEST_##name##_LIMIT, VMCS_GUEST_##name##_AR)

bool vcpu_dump_enabled = true;

void vcpu_print_rip(const struct vcpu_shared *v)
{
	print_guest_state(LOG_WARN, "d%uv%u: rip %016lx", v->domain->id, v->id,
			  vmcs_readn(VMCS_GUEST_RIP));
}

void vcpu_dump(struct vcpu_shared *v)
{
	const struct vcpu_regs *r = vcpu_registers();

	if (!vcpu_dump_enabled)
		return;
	print_guest_state(LOG_WARN, "d%uv%u registers:", v->domain->id, v->id);
	print_guest_state(
	    LOG_WARN,
	    "  rip %016lx rflags %08lx cr0 %08lx cr2 %016lx cr3 %016lx cr4 %08lx efer %04lx",
	    vmcs_readn(VMCS_GUEST_RIP), vmcs_readn(VMCS_GUEST_RFLAGS), vmcs_readn(VMCS_GUEST_CR0),
	    read_cr2(), vmcs_readn(VMCS_GUEST_CR3), vmcs_readn(VMCS_GUEST_CR4),
	    vmcs_read64(VMCS_GUEST_EFER));
	print_guest_state(LOG_WARN, "  rax %016lx rbx %016lx rcx %016lx rdx %016lx", r->rax, r->rbx,
			  r->rcx, r->rdx);
	print_guest_state(LOG_WARN, "  rsi %016lx rdi %016lx rbp %016lx rsp %016lx", r->rsi, r->rdi,
			  r->rbp, vmcs_readn(VMCS_GUEST_RSP));
	print_guest_state(LOG_WARN, "  r8  %016lx r9  %016lx r10 %016lx r11 %016lx", r->r8, r->r9,
			  r->r10, r->r11);
	print_guest_state(LOG_WARN, "  r12 %016lx r13 %016lx r14 %016lx r15 %016lx", r->r12, r->r13,
			  r->r14, r->r15);
	DUMP_SEGMENT("cs ", CS);
	DUMP_SEGMENT("ss ", SS);
	DUMP_SEGMENT("ds ", DS);
	DUMP_SEGMENT("tr ", TR);
}
