/* Timers of a vCPU of Xen's ABI. kernel/vcpu_op.c. */
#ifndef KEYHOLE_KERNEL_VCPU_OP_H
#define KEYHOLE_KERNEL_VCPU_OP_H

struct vcpu_shared;

void vcpu_op_timers_init(struct vcpu_shared *v);

#endif
