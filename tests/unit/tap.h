/*
 * A minimal TAP ("Test Anything Protocol") producer for the unit tests, which run on the host.
 *
 * Each tests/unit/test_*.c is one program:
 *
 *	// sources: mm/frame.c mm/pool.c	(as a comment) the real files it is linked with
 *	// flags: -pthread			(as a comment) optional compiler flags
 *
 *	int main(void)
 *	{
 *		plan(2);			or tap_no_plan(): the plan is printed at the end
 *		ok(x > 0, "x is positive");
 *		is(x, 3, "x is three");
 *		return tap_end();
 *	}
 *
 * A program that stops before tap_end(), or runs another number of tests than planned, fails.
 * State: three counters in the translation unit that includes this file; one thread only may
 *report.
 */
#ifndef KEYHOLE_TEST_TAP_H
#define KEYHOLE_TEST_TAP_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_planned = -1;
static int tap_run;
static int tap_failed;

/* Announces the number of tests that follow. Call it first, once. */
static inline void plan(int test_count)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	tap_planned = test_count;
	printf("1..%d\n", test_count);
}

/* For programs that do not know their number of tests beforehand: tap_end() prints the plan. */
static inline void tap_no_plan(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	tap_planned = -1;
}

/* A remark, shown with the test's log. */
#define diag(...) (printf("# "), printf(__VA_ARGS__), printf("\n"))

/* Reports one test; the description is a printf format. Returns the condition. */
#define ok(cond, ...)                                                                 \
	__extension__({                                                               \
		bool tap_cond_ = (cond);                                              \
		tap_run++;                                                            \
		if (!tap_cond_)                                                       \
			tap_failed++;                                                 \
		printf("%sok %d - ", tap_cond_ ? "" : "not ", tap_run);               \
		printf(__VA_ARGS__);                                                  \
		printf("\n");                                                         \
		if (!tap_cond_)                                                       \
			printf("# failed at %s:%d: %s\n", __FILE__, __LINE__, #cond); \
		tap_cond_;                                                            \
	})

/* Reports whether two integers (or characters, or bools) are equal, and prints both if not. */
#define is(got, expected, ...)                                                                  \
	__extension__({                                                                         \
		int64_t tap_got_ = (int64_t)(got);                                              \
		int64_t tap_exp_ = (int64_t)(expected);                                         \
		bool tap_same_ = ok(tap_got_ == tap_exp_, __VA_ARGS__);                         \
		if (!tap_same_)                                                                 \
			printf("# got %s = %" PRId64 " (0x%" PRIx64 "), expected %s = %" PRId64 \
			       " (0x%" PRIx64 ")\n",                                            \
			       #got, tap_got_, (uint64_t)tap_got_, #expected, tap_exp_,         \
			       (uint64_t)tap_exp_);                                             \
		tap_same_;                                                                      \
	})

/* Reports whether two strings are equal, and prints both if not. */
#define is_str(got, expected, ...)                                                       \
	__extension__({                                                                  \
		const char *tap_sgot_ = (got);                                           \
		const char *tap_sexp_ = (expected);                                      \
		bool tap_same_ = ok(strcmp(tap_sgot_, tap_sexp_) == 0, __VA_ARGS__);     \
		if (!tap_same_)                                                          \
			printf("# got \"%s\", expected \"%s\"\n", tap_sgot_, tap_sexp_); \
		tap_same_;                                                               \
	})

#define pass(...) ok(true, __VA_ARGS__)
#define fail(...) ok(false, __VA_ARGS__)

/* Reports a test that could not run here, and why. A skip counts as neither passed nor failed. */
static inline void tap_skip(const char *what, const char *why)
{
	tap_run++;
	printf("ok %d - %s # SKIP %s\n", tap_run, what, why);
}

/* Nothing further can be tested: ends the program as failed. */
static inline _Noreturn void bail_out(const char *why)
{
	printf("Bail out! %s\n", why);
	exit(EXIT_FAILURE);
}

/* Prints the plan if it is still missing. Returns the exit status for main(). */
static inline int tap_end(void)
{
	if (tap_planned < 0)
		printf("1..%d\n", tap_run);
	else if (tap_run != tap_planned)
		printf("# planned %d tests, ran %d\n", tap_planned, tap_run);
	fflush(stdout);
	return tap_failed == 0 && tap_run > 0 && (tap_planned < 0 || tap_run == tap_planned)
		   ? EXIT_SUCCESS
		   : EXIT_FAILURE;
}

#endif
