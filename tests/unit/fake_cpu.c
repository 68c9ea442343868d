/*
 * What every module expects of the machine, for unit tests: per-CPU data, and a panic that ends
 * the test. The CPU is number test_cpu.index, which a test may change.
 */
#include "barriers.h"
#include "percpu.h"
#include "print.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct cpu_shared cpu_shared[LAYOUT_CPUS_MAX];
__attribute__((weak)) struct barriers barriers; /* none, without vmx/barriers.c */

/* No CPU is ever interrupted here: an IPI may take as long as it likes. */
void cpu_kick(uint32_t cpu, uint32_t work)
{
	atomic_fetch_or(&cpu_shared[cpu].entry_work, work);
}

_Thread_local struct cpu_private test_cpu;

noreturn_fn void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("Bail out! panic: ");
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
	abort();
}
