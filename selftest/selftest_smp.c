/*
 * Built-in tests that need several processors: what one may see of another, shared mappings that go
 * away under running CPUs, and everything of mm/ used by all CPUs at once.
 *
 * State: argument and result of each CPU in shared memory. Run by the boot CPU in
 * selftest/selftest.c.
 */
#include "cpu.h"
#include "kernel/smp.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "mm/private.h"
#include "mm/vmap.h"
#include "mm/window.h"
#include "percpu.h"
#include "selftest/selftest.h"

#define STRESS_ROUNDS 1600u /* of all CPUs together */
#define STRESS_KEPT   8u

struct look {
	uint64_t va;
	bool readable;
	uint64_t value;
};
static struct look look;

static void read_there(void *arg)
{
	struct look *l = arg;

	l->readable = read_safe((const uint64_t *)l->va, &l->value);
}

static void ask(uint32_t cpu, uint64_t va)
{
	look = (struct look){.va = va};
	smp_call(cpu, read_there, &look);
	smp_wait();
}

static void test_private(void)
{
	ask(1, private_base_of(0) + PRIVATE_CPU);
	selftest_ok(!look.readable, "smp: cpu1 faults on cpu0's private data");
	ask(1, private_base_of(1) + PRIVATE_CPU);
	selftest_ok(look.readable && look.value == private_base_of(1) + PRIVATE_CPU,
		    "smp: and reads its own");
	uint64_t value;
	selftest_ok(!read_safe((const uint64_t *)(private_base_of(1) + PRIVATE_CPU), &value),
		    "smp: cpu0 faults on cpu1's");
}

/* The other CPU has the translation in its TLB; the frame is taken again when the epoch has passed.
 */
static void test_unmap(void)
{
	uint64_t *page;

	if (vmap_alloc(1, (void **)&page)) {
		selftest_ok(false, "smp: a page to share");
		return;
	}
	*page = 0x7368617265642121;
	ask(1, (uint64_t)page);
	selftest_ok(look.readable && look.value == 0x7368617265642121,
		    "smp: cpu1 reads a shared page");
	vmap_free(page);
	ask(1, (uint64_t)page);
	selftest_ok(!look.readable, "smp: and faults there when it was unmapped");
}

static struct stress {
	uint64_t seed;
	uint32_t errors, failures;
} aligned_to(64) stress[LAYOUT_CPUS_MAX];

static uint32_t next_random(struct stress *s)
{
	s->seed = s->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(s->seed >> 33);
}

/* Something that was allocated carries its owner's mark until it is given back. */
static void stress_round(struct stress *s, uint64_t **kept, uint32_t *pages)
{
	uint32_t slot = next_random(s) % STRESS_KEPT;
	uint64_t mark = (uint64_t)cpu_index() << 32 | slot;

	if (kept[slot]) {
		s->errors += kept[slot][0] != mark;
		s->errors += kept[slot][pages[slot] * (PAGE_SIZE / 8) - 1] != mark;
		vmap_free(kept[slot]);
		kept[slot] = NULL;
		return;
	}
	pages[slot] = 1 + next_random(s) % 4;
	if (vmap_alloc(pages[slot], (void **)&kept[slot])) {
		s->failures++;
		kept[slot] = NULL;
		return;
	}
	for (uint32_t i = 0; i < pages[slot] * (PAGE_SIZE / 8); i += 64)
		s->errors += kept[slot][i] != 0;
	kept[slot][0] = mark;
	kept[slot][pages[slot] * (PAGE_SIZE / 8) - 1] = mark;

	mfn_t frame;
	uint64_t value;
	if (!frame_alloc(0, DOMID_HYPERVISOR, FRAME_BOOT, &frame)) {
		window_read(&value, frame, 8, 8);
		s->errors += value != 0;
		window_write(frame, 8, &mark, 8);
		window_read(&value, frame, 8, 8);
		s->errors += value != mark;
		frame_free(frame, 0);
	}
	void *object;
	if (!heap_alloc(16u << next_random(s) % 6, (domid_t)(1 + cpu_index() % 3), &object)) {
		s->errors += *(uint64_t *)object != 0;
		*(uint64_t *)object = mark;
		heap_free(object);
	}
}

static void run_stress(void *arg)
{
	struct stress *s = arg;
	uint64_t *kept[STRESS_KEPT] = {0};
	uint32_t pages[STRESS_KEPT];

	for (unsigned round = 0; round < STRESS_ROUNDS / smp_cpu_count(); round++) {
		stress_round(s, kept, pages);
		epoch_quiescent();
	}
	for (unsigned i = 0; i < STRESS_KEPT; i++)
		if (kept[i])
			vmap_free(kept[i]);
}

static void test_stress(void)
{
	uint32_t errors = 0, failures = 0;

	for (uint32_t cpu = smp_cpu_count(); cpu-- > 0;) {
		stress[cpu] = (struct stress){.seed = cpu + 1};
		if (cpu)
			smp_call(cpu, run_stress, &stress[cpu]);
		else
			run_stress(&stress[0]);
	}
	smp_wait();
	for (uint32_t cpu = 0; cpu < smp_cpu_count(); cpu++) {
		errors += stress[cpu].errors;
		failures += stress[cpu].failures;
	}
	selftest_ok(!errors, "smp: all CPUs use vmap, heap, frames and windows at once");
	selftest_ok(!failures, "smp: none of them ran out of memory");
}

static void drain(void *arg)
{
	(void)arg;
	/* Each quiescent point works off a bounded number. */
	while (epoch_pending())
		epoch_quiescent();
}

/* Waits until everything that was deferred on any CPU has been freed. */
void selftest_drain(void)
{
	for (uint32_t cpu = 1; cpu < smp_cpu_count(); cpu++)
		smp_call(cpu, drain, NULL);
	drain(NULL);
	smp_wait();
}

/* With one processor there is nothing to test, and no line is printed. */
void selftest_smp(void)
{
	if (smp_cpu_count() < 2)
		return;
	test_private();
	test_unmap();
	test_stress();
}
