/* Test builds: what is left of a vCPU that was unloaded. selftest/cleared.c. */
#ifndef KEYHOLE_VMX_CLEARED_H
#define KEYHOLE_VMX_CLEARED_H

#ifdef CONFIG_TEST
/* The stack that the exits used holds nothing at all. */
void cleared_check_stack(void);
/* Registers that are switched lazily hold nothing of any vCPU. */
void cleared_check_registers(void);
#else
static inline void cleared_check_stack(void) {}
static inline void cleared_check_registers(void) {}
#endif

#endif
