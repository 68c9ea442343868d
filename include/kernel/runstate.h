/* What a guest is told of its vCPUs' time. kernel/runstate.c. */
#ifndef KEYHOLE_KERNEL_RUNSTATE_H
#define KEYHOLE_KERNEL_RUNSTATE_H

#include "../types.h"
#include "hypercall.h"

struct vcpu_shared;
struct vcpu_runstate_info;

/* In system time, for its guest. No run queue's lock is held. */
void runstate_get(struct vcpu_shared *v, struct vcpu_runstate_info *out);
/* Writes it to the area that the guest has registered for v, if there is one: at every switch, by
 * the CPU that switches. */
void runstate_show(struct vcpu_shared *v);
/* VCPUOP_register_runstate_memory_area: address 0 takes the area away. -XEN_EFAULT; -XEN_EINVAL:
 * not RAM of the domain's own. */
int runstate_register(struct hypercall *c, struct vcpu_shared *v, gva_t address) must_use;
/* Of a dying vCPU. */
void runstate_release(struct vcpu_shared *v);

#endif
