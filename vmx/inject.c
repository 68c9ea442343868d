/*
 * Events for the current guest, and its instruction pointer. State: the current VMCS of this CPU.
 * No lock. Source: SDM Vol. 3, "VM-Entry Controls for Event Injection".
 */
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/*
 * A fault is delivered at the next entry, RIP as it is now. An error code is delivered in protected
 * mode only: the validity bit must match vector and mode. The flags that the guest's handler finds
 * have RF set, as those of any fault (SDM Vol. 3, "Resume Flag (RF)"): the processor takes them as
 * they are here.
 */
void vmx_inject_exception(unsigned vector, bool has_error_code, uint32_t error_code)
{
	uint32_t info = vector | INTERRUPTION_HARDWARE_EXCEPTION | INTERRUPTION_VALID;

	if (has_error_code && vmcs_readn(VMCS_GUEST_CR0) & CR0_PE) {
		info |= INTERRUPTION_ERROR_CODE;
		vmcs_write32(VMCS_ENTRY_EXCEPTION_ERROR_CODE, error_code);
	}
	vmcs_write32(VMCS_ENTRY_INTERRUPTION_INFO, info);
	trace(TRACE_INJECT, INTERRUPTION_HARDWARE_EXCEPTION >> INTERRUPTION_TYPE_SHIFT, 0);
	vmcs_writen(VMCS_GUEST_RFLAGS, vmcs_readn(VMCS_GUEST_RFLAGS) | RFLAGS_RF);
}

void vmx_inject_gp(void)
{
	vmx_inject_exception(VECTOR_GP, true, 0);
}

void vmx_inject_ud(void)
{
	vmx_inject_exception(VECTOR_UD, false, 0);
}

/* Base of a segment register by its number in encodings, ES to GS. */
uint64_t vmx_segment_base(unsigned number)
{
	static const vmcsn_t bases[] = {{VMCS_ENC_GUEST_ES_BASE}, {VMCS_ENC_GUEST_CS_BASE},
					{VMCS_ENC_GUEST_SS_BASE}, {VMCS_ENC_GUEST_DS_BASE},
					{VMCS_ENC_GUEST_FS_BASE}, {VMCS_ENC_GUEST_GS_BASE}};

	return number < array_size(bases) ? vmcs_readn(bases[number]) : 0;
}

/* Position in struct vcpu_regs by the processor's register number; 4 is RSP. */
#define R(name) offsetof(struct vcpu_regs, name)
#define NO_REG	0xff
static const uint8_t register_offset[16] = {R(rax), R(rcx), R(rdx), R(rbx), NO_REG, R(rbp),
					    R(rsi), R(rdi), R(r8),  R(r9),  R(r10), R(r11),
					    R(r12), R(r13), R(r14), R(r15)};
#undef R

uint64_t vmx_register_read(const struct vcpu_regs *regs, unsigned number)
{
	uint8_t offset = register_offset[number & 15];

	if (offset == NO_REG)
		return vmcs_readn(VMCS_GUEST_RSP);
	return *(const uint64_t *)((const char *)regs + offset);
}

void vmx_register_write(struct vcpu_regs *regs, unsigned number, uint64_t value)
{
	uint8_t offset = register_offset[number & 15];

	if (offset == NO_REG)
		vmcs_writen(VMCS_GUEST_RSP, value);
	else
		*(uint64_t *)((char *)regs + offset) = value;
}
