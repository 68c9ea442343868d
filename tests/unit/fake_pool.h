/*
 * A table pool in fake memory, and the part of the epoch that frees tables, for unit tests.
 *
 * A table that is free is not readable, so that a use after free, or of a table that is still
 * waiting for an epoch that has passed, ends the test.
 */
#ifndef KEYHOLE_TEST_FAKE_POOL_H
#define KEYHOLE_TEST_FAKE_POOL_H

#include "mm/epoch.h"
#include "mm/pool.h"

#define FAKE_POOL_FIRST 0x12340u /* frame number of the first table */
#define FAKE_POOL_COUNT 8192u

void fake_pool_init(void);
/* The next count allocations succeed, then all fail; -1: none fails. */
extern int64_t fake_pool_succeed;
/* Called, if not NULL, for each table handed to epoch_free_table(). */
extern void (*fake_epoch_hook)(mfn_t table);
/* Every CPU has passed a quiescent point: frees the tables that wait. */
void fake_epoch_pass(void);
/* Tables in use or waiting. */
unsigned fake_pool_in_use(void);

#endif
