/* sources: kernel/run_queue.c tests/unit/fake_cpu.c */
/*
 * The run queue: shares by weight, sleepers, vCPUs from another queue.
 */
#include "kernel/run_queue.h"
#include "tap.h"

#define SLICE 1000u

static bool not_this(const struct vcpu_shared *v, void *ctx)
{
	return v != ctx;
}

/* Each runs a slice when it is its turn; what each has used. */
static void run(struct run_queue *q, struct vcpu_shared *v, uint64_t *used, unsigned slices)
{
	for (unsigned n = 0; n < slices; n++) {
		struct vcpu_shared *next = run_queue_take(q, NULL, NULL);

		used[next - v] += SLICE;
		run_queue_charge(next, SLICE);
		run_queue_add(q, next);
	}
}

static bool about(uint64_t value, uint64_t wanted)
{
	return value * 100 >= wanted * 97 && value * 100 <= wanted * 103;
}

int main(void)
{
	struct run_queue q = {.virtual_time = UINT64_MAX - 10000}, other = {.virtual_time = 77};
	struct vcpu_shared v[4] = {
	    {.weight = 256}, {.weight = 768}, {.weight = 256}, {.weight = 1}};
	uint64_t used[4] = {0};

	tap_no_plan();
	ok(!run_queue_take(&q, NULL, NULL), "an empty queue");
	for (unsigned i = 0; i < 2; i++) {
		v[i].virtual_time = q.virtual_time;
		run_queue_add(&q, &v[i]);
	}
	is(q.waiting, 2, "two wait");
	run(&q, v, used, 1000);
	ok(about(used[1], 3 * used[0]), "shares 1:3 (%" PRIu64 ", %" PRIu64 "), over a wrap",
	   used[0], used[1]);

	/* It slept meanwhile, and gets no more than its credit before the others. */
	v[2].virtual_time = q.virtual_time - 1000000;
	run_queue_wake(&q, &v[2], SLICE);
	memset(used, 0, sizeof(used));
	ok(run_queue_take(&q, NULL, NULL) == &v[2], "who slept is next");
	run_queue_charge(&v[2], SLICE);
	run_queue_add(&q, &v[2]);
	run(&q, v, used, 1000);
	ok(about(used[2], used[0]) && about(used[1], 3 * used[0]),
	   "and has its share from then on");

	struct vcpu_shared *least = run_queue_take(&q, NULL, NULL), *next;
	run_queue_yield(&q, least);
	next = run_queue_take(&q, NULL, NULL);
	ok(next && next != least, "who yields is not next");
	run_queue_add(&q, next);
	ok(run_queue_take(&q, not_this, q.first) != q.first, "who may not be taken stays");
	is(q.waiting, 2, "the others too");

	v[3].virtual_time = q.virtual_time + 50;
	run_queue_arrive(&other, &v[3], q.virtual_time);
	is(v[3].virtual_time, 77 + 50, "who comes from another queue keeps its distance");
	run_queue_charge(&v[3], 10);
	is(v[3].virtual_time, 77 + 50 + 2560, "time counts by weight");
	return tap_end();
}
