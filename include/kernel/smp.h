/* The other processors of the machine. kernel/smp.c. */
#ifndef KEYHOLE_KERNEL_SMP_H
#define KEYHOLE_KERNEL_SMP_H

#include "types.h"

/* What protects the hypervisor from itself on this CPU: NX, write protection, SMEP, SMAP and the
 * like. On each, once, before it looks at any frame. kernel/cpu_setup.c. */
void cpu_enable_protections(void);

/*
 * Starts the processors that the MADT lists, up to max_cpus, the boot CPU among them; returns how
 * many run. Boot CPU, once, with the APIC and the TSC ready, no guest yet; without smt one thread
 * of each core. One that does not answer is reported, and no more are started after it, since it
 * might still read the mailbox.
 */
uint32_t smp_start(uint32_t max_cpus, bool smt);
uint32_t smp_cpu_count(void);
int smp_enable_vmx(void) must_use;
/* One round of a CPU's life: runs guests as long as there are any for it, and carries out calls;
 * then sleeps until there may be more to do. The callers call it for ever. */
void smp_turn(void);
/* Has fn(arg) called on another CPU, in its idle loop. arg lies in shared memory. One CPU at a time
 * uses the slots of calls: the boot CPU. */
void smp_call(uint32_t cpu, void (*fn)(void *arg), void *arg);
/* Whether the last one there has been carried out. */
bool smp_called(uint32_t cpu);
/*
 * Waits until every call has been carried out; this CPU passes quiescent points meanwhile, so that
 * those which it waits for can go on. Boot, self-tests and the end of a run only: a CPU that runs
 * guests never waits for another one.
 */
void smp_wait(void);

#endif
