/* The scheduler. kernel/sched.c. */
#ifndef KEYHOLE_KERNEL_SCHED_H
#define KEYHOLE_KERNEL_SCHED_H

struct vcpu_shared;

void sched_add(struct vcpu_shared *v);
/* Runs all guests until the last has ended. */
void sched_run(void);

#endif
