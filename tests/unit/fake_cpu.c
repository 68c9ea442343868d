/*
 * What every module expects of the machine, for unit tests: per-CPU data, and a panic that ends
 * the test. The CPU is number test_cpu.index, which a test may change.
 */
#include "percpu.h"
#include "print.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct cpu_shared cpu_shared[LAYOUT_CPUS_MAX];
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
