/*
 * The canary of the sweep tests: 16 bytes that the victim spreads and the probe has the hypervisor
 * look for. Nobody but the victim ever has them in the clear: here they stand XORed with a mask.
 *
 * The low half is a canonical address, so that it fits MSRs that hold addresses; the high half is
 * eight letters, so that it can stand in console text.
 */
#ifndef SWEEP_CANARY_H
#define SWEEP_CANARY_H

#define CANARY_MASK	 0xa5c3961e7b2d84f0ull
#define CANARY_LO	 0x00005be7c1f39a46ull
#define CANARY_HI	 0x516a7a5678574b71ull /* "qKWxVzjQ" */
#define CANARY_LO_MASKED (CANARY_LO ^ CANARY_MASK)
#define CANARY_HI_MASKED (CANARY_HI ^ CANARY_MASK)

/* The victim runs until the probe writes this into the page that it grants it. */
#define REF_FLAG      8u
#define PROBE_IS_DONE 0x646f6e65u

#endif
