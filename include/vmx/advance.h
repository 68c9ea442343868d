/* Going on behind the instruction that caused an exit: inline, since every exit that a handler
 * completes does it. State: the current VMCS. */
#ifndef KEYHOLE_VMX_ADVANCE_H
#define KEYHOLE_VMX_ADVANCE_H

#include "cpu_bits.h"
#include "vmx/controls.h"
#include "vmx/vmcs.h"

/*
 * Completes an instruction of length bytes: RIP moves behind it, blocking by STI and MOV SS ends,
 * and a single step becomes pending (SDM Vol. 3, "Debug Exceptions", and "Guest Non-Register
 * State"). length 0: a repetition of a string instruction that is not the last.
 */
static inline __attribute__((always_inline)) void vmx_advance_rip_by(uint64_t length)
{
	uint64_t rip = vmcs_readn(VMCS_GUEST_RIP) + length;

	/* Outside 64-bit code the instruction pointer has 32 bits. */
	if (unlikely(rip >> 32) && !(vmcs_read32(VMCS_GUEST_CS_AR) & SEG_AR_L))
		rip = (uint32_t)rip;
	vmcs_writen(VMCS_GUEST_RIP, rip);

	uint32_t blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);
	if (unlikely(blocking & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)))
		vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY,
			     blocking & ~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
	if (unlikely(vmcs_readn(VMCS_GUEST_RFLAGS) & RFLAGS_TF))
		vmcs_writen(VMCS_GUEST_PENDING_DEBUG,
			    vmcs_readn(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
}

/* The same for the instruction that caused the exit, where the processor tells its length. */
static inline __attribute__((always_inline)) void vmx_advance_rip(void)
{
	/* Raw: zeros are read above the 32 bits of the field, and need not be cut off. */
	vmx_advance_rip_by(vmcs_read_raw(VMCS_EXIT_INSTRUCTION_LENGTH.encoding));
}

#endif
