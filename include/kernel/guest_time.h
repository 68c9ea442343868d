/* System time as guests of Xen's ABI know it. kernel/guest_time.c. */
#ifndef KEYHOLE_KERNEL_GUEST_TIME_H
#define KEYHOLE_KERNEL_GUEST_TIME_H

#include "../domain.h"
#include "../public/shared_info.h"
#include "../types.h"

struct vcpu_time_info guest_time_record(const struct domain *d);
/* Nanoseconds of system time now; and the host's time-stamp counter when it will be so late. */
uint64_t guest_time_now(const struct domain *d);
uint64_t guest_time_to_tsc(const struct domain *d, uint64_t ns);
uint64_t guest_time_ticks(uint64_t ns);
uint64_t guest_time_ns(uint64_t ticks);
void guest_time_write_wall_clock(struct domain *d, uint32_t offset);

#endif
