/* The scheduler. kernel/sched.c, kernel/pause.c. */
#ifndef KEYHOLE_KERNEL_SCHED_H
#define KEYHOLE_KERNEL_SCHED_H

#include "types.h"

struct vcpu_shared;

/* A new vCPU: on the queue of a CPU from now on if it is runnable. Boot CPU. */
void sched_add(struct vcpu_shared *v);
/* v runs again if it waits for its domain's cap. From any CPU; as vcpu_kick(). */
void sched_uncap(struct vcpu_shared *v);
/* How v has spent its time, in ticks; state_entry_time by the host's time-stamp counter. */
struct vcpu_runstate_info;
void sched_runstate(struct vcpu_shared *v, struct vcpu_runstate_info *out);
/* Runs guests on this CPU, as long as there are any for it. False: there was nothing to do, and no
 * vCPU is loaded any more. */
bool sched_turn(void);
/*
 * The monitor wants v to be loaded nowhere, and to stay so until sched_inspect_end(). Whether it
 * is; else its CPU has been told, and the caller asks again at a later turn. Boot CPU; v's domain
 * was found in this turn.
 */
bool sched_inspect(struct vcpu_shared *v) must_use;
void sched_inspect_end(struct vcpu_shared *v);
/* Boot CPU: runs all guests, with the other CPUs, until the last has ended and is gone. */
void sched_run(void);

#endif
