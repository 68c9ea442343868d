/* Going on behind the instruction that caused an exit: inline, since every exit that a handler
 * completes does it. State: the current VMCS. */
#ifndef KEYHOLE_VMX_ADVANCE_H
#define KEYHOLE_VMX_ADVANCE_H

#include "cpu_bits.h"
#include "vmx/controls.h"
#include "vmx/vmcs.h"

/*
 * Completes the instruction that caused the exit: RIP moves behind it, blocking by STI and MOV SS
 * ends, and a single step becomes pending (SDM Vol. 3, "Debug Exceptions", and "Guest Non-Register
 * State").
 */
static inline __attribute__((always_inline)) void vmx_advance_rip(void)
{
	uint64_t rip = vmcs_readn(VMCS_GUEST_RIP) + vmcs_read32(VMCS_EXIT_INSTRUCTION_LENGTH);

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

#endif
