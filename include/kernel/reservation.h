/* RAM that a domain takes and gives back while it runs. kernel/reservation.c. */
#ifndef KEYHOLE_KERNEL_RESERVATION_H
#define KEYHOLE_KERNEL_RESERVATION_H

#include "../domain.h"
#include "hypercall.h"

int reservation_vacate(struct domain *d, gfn_t gfn) must_use;
void memory_put_removed(gfn_t gfn, const struct p2m_entry *entry, uint64_t frame_count, void *ctx);
bool memory_fill(struct p2m *p2m, gfn_t gfn);
/* Commands of memory_op; first: the extent where a batch goes on. */
int64_t memory_op_reservation(struct hypercall *c, uint32_t cmd, uint64_t first);
int64_t memory_op_reservation_size(struct hypercall *c, uint32_t cmd);

#endif
