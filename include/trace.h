/*
 * Trace: what each CPU did last, for reading later. This is the writing side, for every layer; the
 * reading side is kernel/trace.h.
 *
 * A ring of TRACE_EVENTS events for each CPU, which only that CPU writes and any CPU may read. An
 * event says what happened, when, and to which vCPU. It holds no guest data: no register, no
 * address, no interrupt vector; of what a guest chooses only the number of a hypercall that exists.
 * So the rings lie in memory that is mapped everywhere.
 *
 * While it is off, an exit pays nothing for it: the VMCS leads exits to another stub while it is on
 * (vmx/exit_trace.c). Elsewhere it costs one test of trace_enabled.
 */
#ifndef KEYHOLE_TRACE_H
#define KEYHOLE_TRACE_H

#include "percpu.h"
#include "types.h"
#include <stdatomic.h>

struct vcpu_shared;

/* What is in the value of an event is said behind it. */
enum trace_kind {
	TRACE_EXIT,   /* ticks from the exit to now; the code: TRACE_CODES */
	TRACE_LOAD,   /* a vCPU was loaded on the CPU; none: number 0 of domain 0 */
	TRACE_SLEEP,  /* ticks for which the CPU slept until now */
	TRACE_KICK,   /* an IPI was sent to that CPU */
	TRACE_WAKE,   /* this vCPU can run again, on that CPU */
	TRACE_INJECT, /* an event was injected; the code: its type, bits 10:8 of the VMCS's field */
	TRACE_FLUSH,  /* translations dropped; the code: enum trace_flush */
	TRACE_MAP,    /* so many frames came into a p2m */
	TRACE_UNMAP,  /* so many were taken out */
	TRACE_BATCH,  /* a batch of single frames was mapped (0) or, also, taken out (1) */
	TRACE_WORK,   /* ticks for what waited before an entry, after an exit that was done with */
	TRACE_KINDS
};

enum trace_flush { TRACE_FLUSH_EPT, TRACE_FLUSH_VPID, TRACE_FLUSH_HOST };

/*
 * Codes of exits: the basic exit reason, and for a hypercall that may exist, its number from
 * TRACE_CODE_HYPERCALL on. No exit is asked for whose reason is larger.
 */
#define TRACE_CODE_HYPERCALL 72u
#define TRACE_CODES	     128u
#define TRACE_HYPERCALLS     (TRACE_CODES - TRACE_CODE_HYPERCALL)

#define TRACE_EVENTS 4096u

/* An event as it is written: time and value, and kind | code << 8 | vCPU << 16 | domain << 24. */
struct trace_slot {
	_Atomic uint32_t time_low, time_high, value, what;
};
#define TRACE_CODE_SHIFT   8
#define TRACE_VCPU_SHIFT   16
#define TRACE_DOMAIN_SHIFT 24

struct trace_ring {
	_Atomic uint64_t head; /* bytes ever written: its low 16 bits are the place of the next */
	struct trace_slot slots[TRACE_EVENTS];
};
static_assert_size(((struct trace_ring *)0)->slots, UINT16_MAX + 1);

/* Exits by code: how many, and for how many ticks. Written by one CPU at a time, read by any. */
struct trace_counts {
	_Atomic uint64_t count[TRACE_CODES], ticks[TRACE_CODES];
};

extern _Atomic bool trace_enabled;

static inline void trace_add(_Atomic uint64_t *sum, uint64_t n)
{
#ifdef KEYHOLE_HOST_TEST
	atomic_store_explicit(sum, atomic_load_explicit(sum, memory_order_relaxed) + n,
			      memory_order_relaxed);
#else
	__asm__ volatile("addq %1, %0" : "+m"(*sum) : "er"(n)); /* not locked: one writer */
#endif
}

/* The low half of the time of an event that has a length, at its beginning. */
static inline uint32_t trace_begin(void)
{
	return __builtin_ia32_rdtsc() & UINT32_MAX;
}

/*
 * Writes an event and returns its value: if measured, the time since value. Each store is a
 * release, so that who reads a slot that is written again finds the head moved, too
 * (kernel/trace.c).
 */
always_inline_fn static inline uint32_t trace_put(struct trace_ring *r, uint32_t what,
						  bool measured, uint32_t value)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	struct trace_slot *slot = (struct trace_slot *)((char *)r->slots + (uint16_t)head);
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	atomic_store_explicit(&slot->time_low, low, memory_order_release);
	atomic_store_explicit(&slot->time_high, high, memory_order_release);
	if (measured)
		value = low - value;
	atomic_store_explicit(&slot->value, value, memory_order_release);
	atomic_store_explicit(&slot->what, what, memory_order_release);
	atomic_store_explicit(&r->head, head + sizeof(*slot), memory_order_release);
	return value;
}

/* Of no vCPU, of the current one, and of another; kernel/trace.c. */
void trace_record(uint32_t what, bool measured, uint32_t value);
void trace_record_current(uint32_t what, uint32_t value);
void trace_record_vcpu(uint32_t what, const struct vcpu_shared *v, uint32_t value);

/* The pure logic of the layers is tested on the host without it. */
#ifdef KEYHOLE_HOST_TEST
#define TRACE_ON false
#else
#define TRACE_ON unlikely(atomic_load_explicit(&trace_enabled, memory_order_relaxed))
#endif

/* An event of the current vCPU, if there is one. */
static inline void trace(enum trace_kind kind, unsigned code, uint32_t value)
{
	if (TRACE_ON)
		trace_record_current(kind | code << TRACE_CODE_SHIFT, value);
}

/* An event of that vCPU; NULL: of none. */
static inline void trace_vcpu(enum trace_kind kind, const struct vcpu_shared *v, uint32_t value)
{
	if (TRACE_ON)
		trace_record_vcpu(kind, v, value);
}

/* What began then has ended. */
static inline void trace_since(enum trace_kind kind, uint32_t begin)
{
	if (TRACE_ON)
		trace_record(kind, true, begin);
}

#endif
