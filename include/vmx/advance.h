/* Going on behind the instruction that caused an exit: inline, since every exit that a handler
 * completes does it. State: the current VMCS. */
#ifndef KEYHOLE_VMX_ADVANCE_H
#define KEYHOLE_VMX_ADVANCE_H

#include "cpu_bits.h"
#include "vmx/controls.h"
#include "vmx/vmcs.h"

/* Ends blocking by STI and MOV SS, and makes a single step pending: the rest of an instruction that
 * has been completed, after RIP was moved. */
always_inline_fn static inline void vmx_complete_instruction(void)
{
	uint32_t blocking = (uint32_t)vmcs_read_sure(VMCS_GUEST_INTERRUPTIBILITY.encoding);

	if (unlikely(blocking & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)))
		vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY,
			     blocking & ~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
	if (unlikely(vmcs_read_sure(VMCS_GUEST_RFLAGS.encoding) & RFLAGS_TF))
		vmcs_writen(VMCS_GUEST_PENDING_DEBUG,
			    vmcs_readn(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
}

/*
 * Completes an instruction of length bytes: RIP moves behind it, blocking by STI and MOV SS ends,
 * and a single step becomes pending (SDM Vol. 3, "Debug Exceptions", and "Guest Non-Register
 * State"). length 0: a repetition of a string instruction that is not the last.
 */
always_inline_fn static inline void vmx_advance_rip_by(uint64_t length)
{
	uint64_t rip = vmcs_readn(VMCS_GUEST_RIP) + length;

	/* Outside 64-bit code the instruction pointer has 32 bits. */
	if (unlikely(rip >> 32) && !(vmcs_read32(VMCS_GUEST_CS_AR) & SEG_AR_L))
		rip = (uint32_t)rip;
	vmcs_writen(VMCS_GUEST_RIP, rip);
	vmx_complete_instruction();
}

/* The length of the instruction that caused the exit, where the processor tells it: zeros are read
 * above the 32 bits of the field, and need not be cut off. After another access to the VMCS. */
static inline uint64_t vmx_exit_length(void)
{
	return vmcs_read_sure(VMCS_EXIT_INSTRUCTION_LENGTH.encoding);
}

/* The same for that instruction. */
always_inline_fn static inline void vmx_advance_rip(void)
{
	vmx_advance_rip_by(vmx_exit_length());
}

/* And from 64-bit code. */
always_inline_fn static inline void vmx_advance_rip_64(void)
{
	vmcs_writen(VMCS_GUEST_RIP, vmcs_readn(VMCS_GUEST_RIP) + vmx_exit_length());
	vmx_complete_instruction();
}

#endif
