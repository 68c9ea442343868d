/*
 * The trace's ring: wrapping, lost events, sums, text; and a reader on another thread while it is
 * written, under the thread sanitizer.
 */
/* sources: kernel/trace.c kernel/format.c vmx/exit_names.c tests/unit/fake_cpu.c tests/unit/fake_heap.c */
/* flags: -fno-sanitize=address,undefined -fsanitize=thread -no-pie -pthread */
#include "fake_heap.h"
#include "kernel/smp.h"
#include "kernel/trace.h"
#include "print.h"
#include "public/errno.h"
#include "tap.h"
#include "vcpu.h"
#include <pthread.h>

#define CPUS 2u

static int fail_at = -1;

bool fake_heap_fails(void)
{
	return fail_at >= 0 && fail_at-- == 0;
}

uint32_t smp_cpu_count(void)
{
	return CPUS;
}

static unsigned calls;
void smp_call(uint32_t cpu, void (*fn)(void *arg), void *arg)
{
	(void)cpu;
	fn(arg);
	calls++;
}

void smp_wait(void) {}

static struct domain guest = {.id = 3};
struct domain *_Atomic domain_table[DOMAINS_MAX + 1] = {[3] = &guest};

/* --- one thread ------------------------------------------------------------------------------- */

static void put(uint32_t value)
{
	trace_record(TRACE_KICK, false, value);
}

static void test_start(void)
{
	for (int i = 0; i < (int)CPUS + 1; i++) {
		fail_at = i;
		is(trace_start(), -XEN_ENOMEM, "without memory (%d) it does not start", i);
		ok(!fake_heap_objects && !atomic_load(&trace_enabled) && !cpu_shared[0].trace,
		   "and nothing has changed");
	}
	fail_at = -1;
	put(1); /* no ring: nothing happens */
	uint64_t lost, position = trace_last(0, 5);
	struct trace_event e;
	is(trace_read(0, &position, &e, 1, &lost), 0, "without a ring there is nothing to read");
	is(trace_start(), 0, "it starts");
	ok(atomic_load(&trace_enabled), "and is on");
	ok(atomic_load(&cpu_shared[1].entry_work) & ENTRY_WORK_RESCHEDULE,
	   "guests leave guest mode, so that their exits follow");
	is(trace_read(0, &position, &e, 1, &lost), 0, "the ring is empty");
}

static void test_order(void)
{
	struct trace_event e[8];
	uint64_t lost, position = trace_last(0, 100);
	uint32_t begin = trace_begin();

	put(10);
	trace_record(TRACE_SLEEP, true, begin);
	is(trace_read(0, &position, e, 8, &lost), 2, "two events are read");
	ok(e[0].kind == TRACE_KICK && e[0].value == 10 && !e[0].domain, "the first as written");
	ok(e[1].kind == TRACE_SLEEP && e[1].value >= e[1].tsc - e[0].tsc && e[1].value < 1u << 30,
	   "the second has the length of what ended");
	ok(e[0].tsc <= e[1].tsc, "in the order of time");
	is(trace_read(0, &position, e, 8, &lost), 0, "then there is none");
	put(11);
	is(trace_read(0, &position, e, 8, &lost), 1, "and a later one is found from there");
	is(lost, 0, "none was lost");
	position = trace_last(0, 2);
	is(trace_read(0, &position, e, 8, &lost), 2, "the last two");
	is(e[1].value, 11, "end with the newest");
}

static void test_wrap(void)
{
	struct trace_event e[16];
	uint64_t lost, all_lost = 0, position = trace_last(0, 1), seen = 0, wrong = 0;
	unsigned n;

	trace_read(0, &position, e, 1, &lost);
	for (uint32_t i = 0; i < 2 * TRACE_EVENTS + 100; i++)
		put(i);
	uint32_t expected = 2 * TRACE_EVENTS + 100 - (TRACE_EVENTS - 1);
	while ((n = trace_read(0, &position, e, 16, &lost))) {
		all_lost += lost;
		for (unsigned i = 0; i < n; i++)
			wrong += e[i].value != expected++;
		seen += n;
	}
	is(wrong, 0, "after two rounds the newest are read, in order");
	is(seen, TRACE_EVENTS - 1, "as many as the ring has, but the one that is written next");
	is(all_lost + seen, 2 * TRACE_EVENTS + 100, "and the others are counted as lost");
	ok(trace_last(0, ~0ull) > 0, "the oldest position is known");
}

static void test_sums(void)
{
	static struct vcpu_shared v;

	v.domain = &guest;
	v.exits.count[10] = 5;
	v.exits.ticks[10] = 500;
	guest.vcpus[0] = &v;
	guest.vcpu_count = 1;
	is(trace_exits(3, 10).count, 5, "exits of a vCPU that lives");
	trace_keep(&v);
	guest.vcpu_count = 0;
	is(trace_exits(3, 10).count, 5, "are kept when it goes");
	is(trace_exits(3, 10).ticks, 500, "with their time");
	v.exits.count[10] = 2;
	guest.vcpu_count = 1;
	is(trace_exits(3, 10).count, 7, "and those of a later one are added");
	is(trace_exits(4, 10).count, 0, "another domain has none");
}

static void test_text(void)
{
	char text[80], small[6];
	struct trace_event e = {
	    .kind = TRACE_EXIT, .code = 10, .value = 99, .domain = 2, .vcpu = 1};

	trace_format(&e, text, sizeof(text));
	is_str(text, "d2v1 exit CPUID, 99 ticks", "an exit as text");
	e.code = TRACE_CODE_HYPERCALL + 12;
	trace_format(&e, text, sizeof(text));
	is_str(text, "d2v1 exit hypercall 12, 99 ticks", "a hypercall");
	for (unsigned kind = 0; kind < 256; kind++)
		for (unsigned code = 0; code < 256; code++) {
			e = (struct trace_event){.kind = (uint8_t)kind, .code = (uint8_t)code};
			if (trace_format(&e, small, sizeof(small)) >= sizeof(small) ||
			    trace_format(&e, text, sizeof(text)) != strlen(text))
				bail_out("the text does not fit");
		}
	pass("no kind and no code is too much for the buffer");
}

/* --- a writer and readers --------------------------------------------------------------------- */

#define WRITES 400000u
static _Atomic bool stop;
static _Atomic uint64_t wrong, seen, lost_sum;

static void *reader(void *arg)
{
	uint64_t position = 0, lost, expected = 0;
	bool last;

	do {
		struct trace_event e[32];
		last = atomic_load(&stop);
		unsigned n = trace_read(1, &position, e, 32, &lost);

		expected += lost;
		if (arg)
			atomic_fetch_add(&lost_sum, lost);
		for (unsigned i = 0; i < n; i++, expected++)
			if (e[i].value != (uint32_t)expected || e[i].kind != TRACE_KICK ||
			    e[i].code != (uint8_t)expected)
				atomic_fetch_add(&wrong, 1);
		if (arg)
			atomic_fetch_add(&seen, n);
		if (!n && !last)
			sched_yield();
	} while (!last || trace_last(1, 0) != position);
	return NULL;
}

static void test_threads(void)
{
	pthread_t a, b;

	test_cpu.index = 1;
	pthread_create(&a, NULL, reader, (void *)1);
	pthread_create(&b, NULL, reader, NULL);
	for (uint32_t i = 0; i < WRITES; i++)
		trace_record(TRACE_KICK | (i & 0xff) << TRACE_CODE_SHIFT, false, i);
	atomic_store(&stop, true);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	test_cpu.index = 0;
	is(atomic_load(&wrong), 0, "readers see whole events, in order, while they are written");
	is(atomic_load(&seen) + atomic_load(&lost_sum), WRITES, "each event is read or lost");
}

int main(void)
{
	tap_no_plan();
	test_start();
	test_order();
	test_wrap();
	test_sums();
	test_text();
	test_threads();
	trace_stop();
	ok(!atomic_load(&trace_enabled), "it stops");
	trace_free();
	is(fake_heap_objects, 0, "all memory is given back");
	is(calls, CPUS - 1, "when all other CPUs have passed their loop");
	return tap_end();
}
