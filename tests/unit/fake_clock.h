/* Instead of the processor's clock and HLT, those of a test. For `flags: -include`. */
#ifndef TEST_FAKE_CLOCK_H
#define TEST_FAKE_CLOCK_H

#include "cpu.h"

uint64_t fake_rdtsc(void);
void fake_sleep(void);
#define rdtsc()		      fake_rdtsc()
#define cpu_sleep()	      fake_sleep()
#define cpu_take_interrupts() ((void)0)

#endif
