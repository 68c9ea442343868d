/* Where real.S runs, and what it reports. */
#ifndef REALMODE_REAL_H
#define REALMODE_REAL_H

#define REAL_BASE    0x8000
#define REAL_STACK   0x7000
#define REAL_RESULTS 0x7800
#define REAL_PATTERN 0x6b657968

/* Offsets of the 32-bit results. */
#define RESULT_SEGMENTS	  0
#define RESULT_STRING	  4
#define RESULT_CPUID	  8
#define RESULT_IN	  12
#define RESULT_INTERRUPTS 16
#define RESULT_HYPERCALL  20
#define RESULT_CR0	  24
#define RESULTS_SIZE	  28

#endif
