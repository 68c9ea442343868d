/*
 * One sample is the difference of two readings of the time-stamp counter around one operation;
 * where that counter counts instructions (Bochs), so does the sample. The same samples with the
 * operation left out are the overhead, which is taken off. A line per row:
 *
 *	bench: NAME samples=N mean=A.BCD max=M
 *
 * mean and max are per page for batches. Around one more run of each operation stand two magic
 * breakpoints (xchg bx, bx: does nothing), announced by `trace: NAME`, between which a debugger can
 * list every instruction executed.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "guest.h"

#define MAGIC_BREAK() __asm__ volatile("xchg %%bx, %%bx" : : : "memory")

struct row {
	uint64_t samples, sum, max;
};

void row_add(struct row *row, uint64_t cost);
/* pages: how many one sample stands for. */
void row_print(const char *name, const struct row *row, const struct row *empty, unsigned pages);
void touches(void); /* touch.c */

/* Of the latest ONE_CALL(). */
extern long last_result;

/* Takes so many samples of a statement. */
#define MEASURE(row, count, statement)                      \
	do {                                                \
		for (unsigned i_ = 0; i_ < (count); i_++) { \
			uint64_t begin_ = rdtsc();          \
			statement;                          \
			row_add(row, rdtsc() - begin_);     \
		}                                           \
	} while (0)

/* One more run of the statement, between the marks. */
#define TRACE(name, statement)               \
	do {                                 \
		printf("trace: %s\n", name); \
		MAGIC_BREAK();               \
		statement;                   \
		MAGIC_BREAK();               \
	} while (0)

/* A hypercall, or nothing with the same operands. */
#define ONE_CALL(instruction, number, a, b, c)                                       \
	do {                                                                         \
		unsigned long result_ = (number);                                    \
		__asm__ volatile(instruction                                         \
				 : "+a"(result_)                                     \
				 : "D"((unsigned long)(a)), "S"((unsigned long)(b)), \
				   "d"((unsigned long)(c))                           \
				 : "memory", "cc");                                  \
		last_result = (long)result_;                                         \
	} while (0)

#define TOUCH(address) \
	__asm__ volatile("movb $1, (%0)" : : "r"((unsigned long)(address)) : "memory")

#endif
