/*
 * Test builds: no frame is freed while a CPU may still use a translation of it.
 *
 * State, shared: a clock of removals from any p2m; for each CPU, the last removal that it was told
 * of, and the one up to which it has dropped its translations; for each CPU that frees, what the
 * others had been told of when its frames began to wait for their epoch. No lock: a removal is
 * entered after the CPU has been told, so that whoever reads it may rely on that.
 *
 * A CPU in root mode may be late: it drops before it enters a guest. What must not be is a CPU in
 * guest mode that has not dropped what it was told of before the frames began to wait
 * (docs/tlb-shootdown.md). That shows here even where the machine's TLB holds nothing stale.
 */
#include "mm/ledger.h"

#ifdef CONFIG_TEST
#include "percpu.h"
#include "print.h"

#define LEDGER_CPUS 16u /* others are not looked at */

static _Atomic uint64_t removals;
static struct ledger_cpu {
	_Atomic uint64_t told, dropped;
	uint64_t told_to_others[LEDGER_CPUS]; /* when this CPU's frames began to wait */
} aligned_to(64) cpus[LEDGER_CPUS];

static void raise(_Atomic uint64_t *value, uint64_t to)
{
	uint64_t old = atomic_load(value);

	while (old < to && !atomic_compare_exchange_weak(value, &old, to))
		;
}

uint64_t ledger_now(void)
{
	return atomic_load(&removals);
}

uint64_t ledger_removal(void)
{
	return atomic_fetch_add(&removals, 1) + 1;
}

void ledger_told(uint32_t cpu, uint64_t removal)
{
	if (cpu < LEDGER_CPUS)
		raise(&cpus[cpu].told, removal);
}

void ledger_dropped(uint64_t removal)
{
	if (cpu_index() < LEDGER_CPUS)
		raise(&cpus[cpu_index()].dropped, removal);
}

void ledger_frames_wait(void)
{
	for (uint32_t cpu = 0; cpu < LEDGER_CPUS && cpu_index() < LEDGER_CPUS; cpu++)
		cpus[cpu_index()].told_to_others[cpu] = atomic_load(&cpus[cpu].told);
}

void ledger_frames_go(void)
{
	uint32_t me = cpu_index();

	for (uint32_t cpu = 0; cpu < LEDGER_CPUS && me < LEDGER_CPUS; cpu++) {
		uint64_t told = cpus[me].told_to_others[cpu];
		/* In this order: it drops before it says that it is in guest mode. */
		bool in_guest = atomic_load(&cpu_shared[cpu].entry_work) & ENTRY_IN_GUEST;

		if (in_guest && atomic_load(&cpus[cpu].dropped) < told)
			panic("ledger: cpu%u runs a guest on translations of frames that are freed "
			      "(removal %lu, dropped up to %lu)",
			      cpu, told, atomic_load(&cpus[cpu].dropped));
	}
}
#endif
