/*
 * The trace's reading side (the writing side: trace.h). kernel/trace.c, kernel/trace_dump.c.
 *
 * Any CPU may read while others write. Example, the last ten events of CPU 1:
 *
 *	struct trace_event e[10];
 *	uint64_t lost, position = trace_last(1, 10);
 *	unsigned n = trace_read(1, &position, e, 10, &lost);
 *	for (unsigned i = 0; i < n; i++)
 *		trace_format(&e[i], text, sizeof(text)), print(LOG_INFO, "%s", text);
 */
#ifndef KEYHOLE_KERNEL_TRACE_H
#define KEYHOLE_KERNEL_TRACE_H

#include "../trace.h" /* not this file again */

struct trace_event {
	uint64_t tsc; /* when it was written; what has a length ended then */
	uint32_t value;
	uint8_t kind; /* enum trace_kind */
	uint8_t code;
	uint8_t domain, vcpu; /* domain 0: none */
};

/*
 * Begins to trace, on all CPUs, and goes on where it was stopped. Rings and sums are allocated the
 * first time: -XEN_ENOMEM, and nothing has changed. One caller at a time; takes the heap's lock.
 */
int trace_start(void) must_use;
/* Stops; what was written stays readable. Each CPU follows when it runs a guest anew: soon. */
void trace_stop(void);
/* At the end of a run, no guest left: gives all memory back. A CPU that has come back to its loop
 * writes no event any more. */
void trace_free(void);

/* The position of the last n events of a CPU, or of the oldest there is. Without rings: 0. */
uint64_t trace_last(uint32_t cpu, uint64_t n);
/*
 * Copies at most max events of a CPU from *position on, moves that behind them, and returns how
 * many there were. Events that were overwritten before they could be read are counted in *lost. 0:
 * there are no newer ones. Waits for nobody.
 */
unsigned trace_read(uint32_t cpu, uint64_t *position, struct trace_event *out, unsigned max,
		    uint64_t *lost);

/*
 * Exits of a domain with a code (below TRACE_CODES), while tracing was on: those of its vCPUs and
 * of earlier ones with the same number. The ticks are those in C code: the stub's instructions come
 * on top.
 */
struct trace_sum {
	uint64_t count, ticks;
};
struct trace_sum trace_exits(domid_t domain, unsigned code);
/* vCPU v is about to go: keeps its exits. */
void trace_keep(const struct vcpu_shared *v);

/* "vmcall 12", or the name of the exit reason, into buf. */
size_t trace_format_code(unsigned code, char *buf, size_t size);
/* An event as a line: kind, vCPU, code, value; without its time. */
size_t trace_format(const struct trace_event *e, char *buf, size_t size);

/* With trace=on, at the end of a run: all of it as text on COM2, for tools/trace. */
void trace_dump(void);

#endif
