/* The other processors of the machine. kernel/smp.c. */
#ifndef KEYHOLE_KERNEL_SMP_H
#define KEYHOLE_KERNEL_SMP_H

#include "types.h"

/* NX, write protection, SMEP, SMAP and the like on this CPU. kernel/cpu_setup.c. */
void cpu_enable_protections(void);

/* Starts up to max_cpus processors, the boot CPU among them; returns how many run. */
uint32_t smp_start(uint32_t max_cpus, bool smt);
uint32_t smp_cpu_count(void);
int smp_enable_vmx(void) must_use;
/* One round of a CPU's life: guests, calls, sleep. */
void smp_turn(void);
/* Has fn(arg) called on another CPU, in its idle loop. arg lies in shared memory. */
void smp_call(uint32_t cpu, void (*fn)(void *arg), void *arg);
/* Whether the last one there has been carried out. */
bool smp_called(uint32_t cpu);
/* Waits until every call has been carried out; this CPU passes quiescent points meanwhile. */
void smp_wait(void);

#endif
