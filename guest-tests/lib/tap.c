/*
 * TAP, the "Test Anything Protocol": one line per test, a plan, and the guest's end.
 * State: counters.
 */
#include "guest.h"

static unsigned planned, run, failed;

void tap_plan(unsigned count)
{
	planned = count;
	printf("1..%u\n", count);
}

static void report(bool good, const char *format, va_list arguments)
{
	run++;
	failed += !good;
	printf("%sok %u - ", good ? "" : "not ", run);
	print_list(format, arguments);
	printf("\n");
}

bool tap_report(bool good, const char *condition, const char *file, int line, const char *format,
		...)
{
	va_list arguments;

	va_start(arguments, format);
	report(good, format, arguments);
	va_end(arguments);
	if (!good)
		printf("# failed at %s:%d: %s\n", file, line, condition);
	return good;
}

bool tap_compare(long long got, long long wanted, const char *file, int line, const char *format,
		 ...)
{
	va_list arguments;

	va_start(arguments, format);
	report(got == wanted, format, arguments);
	va_end(arguments);
	if (got != wanted)
		printf("# failed at %s:%d: got %lld (0x%llx), wanted %lld (0x%llx)\n", file, line,
		       got, (unsigned long long)got, wanted, (unsigned long long)wanted);
	return got == wanted;
}

void tap_skip(const char *what, const char *why)
{
	run++;
	printf("ok %u - %s # SKIP %s\n", run, what, why);
}

_Noreturn void tap_bail_out(const char *format, ...)
{
	va_list arguments;

	printf("Bail out! ");
	va_start(arguments, format);
	print_list(format, arguments);
	va_end(arguments);
	printf("\n");
	shutdown(SHUTDOWN_crash);
}

_Noreturn void tap_done(void)
{
	if (planned == 0)
		printf("1..%u\n", run);
	else if (planned != run)
		printf("# planned %u tests, ran %u\n", planned, run);
	shutdown(run > 0 && failed == 0 && (planned == 0 || planned == run) ? SHUTDOWN_poweroff
									    : SHUTDOWN_crash);
}

_Noreturn void shutdown(unsigned reason)
{
	struct sched_shutdown argument = {reason};

	if (xen_present)
		sched_op(SCHEDOP_shutdown, &argument);
	else
		outl(0xf4, reason);
	for (;;)
		__asm__ volatile("cli; hlt");
}

#define WAIT_SECONDS 20u
#define TICKS_UNTOLD (1ull << 30) /* without Xen's leaves nobody else runs */

uint64_t wait_ticks(void)
{
	return xen_present ? cpuid(XEN_CPUID_LEAF(3), 0).ecx * 1000ull * WAIT_SECONDS
			   : TICKS_UNTOLD;
}

void yield(void)
{
	sched_op(SCHEDOP_yield, NULL);
}
