/* What a CPU does for domains that have no vCPU to do it. kernel/chores.c. */
#ifndef KEYHOLE_KERNEL_CHORES_H
#define KEYHOLE_KERNEL_CHORES_H

#include "run_queue.h"

/* At each turn of a CPU's loop, for its own queue, with no lock held: whether it is the turn of a
 * bounded step of its chores. If so, and then, whether there was one to take; returns that. */
bool chores_due(struct run_queue *q);
bool chores_done(struct run_queue *q, bool busy);

#endif
