/* Built-in measurements of a bench build (CONFIG_BENCH). selftest/bench.c. */
#ifndef KEYHOLE_SELFTEST_BENCH_H
#define KEYHOLE_SELFTEST_BENCH_H

#include "types.h"

#ifdef CONFIG_BENCH
/* Prints a line for each operation; with load, also its cost against what is there already. */
void bench_run(bool load);
#endif

#endif
