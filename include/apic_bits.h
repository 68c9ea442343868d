/*
 * Registers of the local APIC, by their offset in its page; the x2APIC's MSR is found from it.
 * Constants only. Source: SDM Vol. 3, "Local APIC Register Address Map", "x2APIC Register Address
 * Space", and the figures of the single registers.
 */
#ifndef KEYHOLE_APIC_BITS_H
#define KEYHOLE_APIC_BITS_H

#define APIC_ID		   0x020u
#define APIC_VERSION	   0x030u
#define APIC_TPR	   0x080u
#define APIC_APR	   0x090u /* xAPIC only */
#define APIC_PPR	   0x0a0u
#define APIC_EOI	   0x0b0u
#define APIC_RRD	   0x0c0u /* xAPIC only */
#define APIC_LDR	   0x0d0u
#define APIC_DFR	   0x0e0u /* xAPIC only */
#define APIC_SIVR	   0x0f0u
#define APIC_ISR	   0x100u /* eight registers of 32 bits */
#define APIC_TMR	   0x180u /* eight */
#define APIC_IRR	   0x200u /* eight */
#define APIC_ESR	   0x280u
#define APIC_LVT_CMCI	   0x2f0u
#define APIC_ICR	   0x300u
#define APIC_ICR_HIGH	   0x310u /* xAPIC only */
#define APIC_LVT_TIMER	   0x320u
#define APIC_LVT_THERMAL   0x330u
#define APIC_LVT_PMI	   0x340u
#define APIC_LVT_LINT0	   0x350u
#define APIC_LVT_LINT1	   0x360u
#define APIC_LVT_ERROR	   0x370u
#define APIC_INITIAL_COUNT 0x380u
#define APIC_CURRENT_COUNT 0x390u
#define APIC_DIVIDE	   0x3e0u
#define APIC_SELF_IPI	   0x3f0u /* x2APIC only */
#define APIC_PAGE_END	   0x400u

#define APIC_VERSION_MAX_LVT_SHIFT 16
#define APIC_XAPIC_ID_SHIFT	   24
#define APIC_VECTOR_FIRST	   16u /* lower ones are illegal */

#define APIC_SIVR_ENABLE 0x100u
#define APIC_SIVR_VALID	 0x3ffu /* focus-processor checking off, too */
#define APIC_SIVR_RESET	 0xffu

#define APIC_DFR_FLAT	 0xfu /* bits 31:28; the rest are ones */
#define APIC_DFR_CLUSTER 0x0u
#define APIC_DFR_SHIFT	 28
#define APIC_DFR_ONES	 0x0fffffffu

/* x2APIC logical id: cluster in the upper half, one bit in the lower. */
#define APIC_X2_CLUSTER_SHIFT 16
#define APIC_X2_CLUSTER_SIZE  16u

#define APIC_ESR_SEND_ILLEGAL_VECTOR	0x20u
#define APIC_ESR_RECEIVE_ILLEGAL_VECTOR 0x40u
#define APIC_ESR_ILLEGAL_REGISTER	0x80u

#define APIC_LVT_VECTOR		    0x000ffu
#define APIC_LVT_MODE		    0x00700u
#define APIC_LVT_STATUS		    0x01000u /* read-only */
#define APIC_LVT_POLARITY	    0x02000u
#define APIC_LVT_REMOTE_IRR	    0x04000u /* read-only */
#define APIC_LVT_TRIGGER	    0x08000u
#define APIC_LVT_MASKED		    0x10000u
#define APIC_LVT_TIMER_MODE	    0x60000u
#define APIC_LVT_TIMER_PERIODIC	    0x20000u
#define APIC_LVT_TIMER_TSC_DEADLINE 0x40000u

#define APIC_DIVIDE_VALID 0xbu

#define APIC_ICR_VECTOR		   0x000ffu
#define APIC_ICR_MODE		   0x00700u
#define APIC_ICR_FIXED		   0x00000u
#define APIC_ICR_LOWEST		   0x00100u
#define APIC_ICR_SMI		   0x00200u
#define APIC_ICR_NMI		   0x00400u
#define APIC_ICR_INIT		   0x00500u
#define APIC_ICR_STARTUP	   0x00600u
#define APIC_ICR_LOGICAL	   0x00800u
#define APIC_ICR_PENDING	   0x01000u /* xAPIC only, read-only */
#define APIC_ICR_ASSERT		   0x04000u
#define APIC_ICR_LEVEL		   0x08000u /* trigger mode */
#define APIC_ICR_SHORTHAND	   0xc0000u
#define APIC_ICR_SELF		   0x40000u
#define APIC_ICR_ALL		   0x80000u
#define APIC_ICR_OTHERS		   0xc0000u
#define APIC_ICR_VALID		   0xccfffu
#define APIC_ICR_DESTINATION_SHIFT 32 /* x2APIC */
#define APIC_XAPIC_BROADCAST	   0xffu
#define APIC_X2APIC_BROADCAST	   0xffffffffu

#endif
