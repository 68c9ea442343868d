/*
 * Epochs and deferred freeing.
 *
 * State: the global epoch; each CPU's epoch in cpu_shared, written by that CPU; each CPU's lists of
 * what it has deferred, which no other CPU touches. No lock.
 *
 * Why it is right. The deferring CPU first makes a thing unreachable (and asks the other CPUs to
 * drop translations of it, hostpt_flush()), then adds one to the global epoch by a locked
 * operation: the result E is the thing's epoch. A CPU at a quiescent point holds no pointer; it
 * reads the global epoch as e, does the flush it was asked for, and publishes e as its own. If e >=
 * E, its read synchronises with the deferring CPU's addition (each addition continues the release
 * sequence of those before), so that all it does from there on sees the thing unreachable, and it
 * has seen the request to flush. So when every online CPU's epoch is at least E, nobody can reach
 * the thing.
 *
 * That every CPU will publish: after the addition the deferring CPU sets ENTRY_WORK_EPOCH for all
 * online CPUs. A CPU clears that bit before it reads the global epoch: if it missed the addition,
 * the bit is set after it was cleared, and brings it here again.
 */
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/hostpt.h"
#include "mm/ledger.h"
#include "mm/pool.h"
#include "mm/section.h"
#include "mutant.h"
#include "percpu.h"
#include "print.h"

/* Things freed at one quiescent point, so that a VM entry is not delayed for long. */
#define BATCH 64

/*
 * What one CPU has deferred, oldest first. Frames become fresh; at a quiescent point all fresh ones
 * get one epoch and wait for it together, as soon as no others wait.
 */
struct epoch_cpu {
	struct epoch_deferred *first, *last;
	struct frame_chain fresh, waiting;
	uint64_t waiting_epoch;
} aligned_to(64);

static struct epoch_cpu cpus[LAYOUT_CPUS_MAX];
static _Atomic uint64_t global_epoch = 1;
static _Atomic uint32_t cpu_limit; /* one past the highest CPU that was ever online */

static void want_quiescent(struct cpu_shared *shared)
{
	if (!(atomic_load(&shared->entry_work) & ENTRY_WORK_EPOCH))
		atomic_fetch_or(&shared->entry_work, ENTRY_WORK_EPOCH);
}

/*
 * An epoch for something just made unreachable. All CPUs will be brought to a quiescent point; this
 * one also if it is not online yet, at boot, or what it defers then would be forgotten.
 */
static uint64_t advance(void)
{
	uint64_t epoch = atomic_fetch_add(&global_epoch, 1) + 1;

	for (uint32_t cpu = 0; cpu < atomic_load(&cpu_limit); cpu++)
		if (atomic_load(&cpu_shared[cpu].online))
			want_quiescent(&cpu_shared[cpu]);
	want_quiescent(this_cpu_shared());
	return epoch;
}

/* The epoch that every online CPU has reached. */
static uint64_t reached(void)
{
	uint64_t oldest = UINT64_MAX;

	for (uint32_t cpu = 0; cpu < atomic_load(&cpu_limit); cpu++) {
		uint64_t epoch = atomic_load(&cpu_shared[cpu].epoch);

		/* One that sleeps holds nothing, and flushes before it looks at anything again. */
		if (atomic_load(&cpu_shared[cpu].online) && !atomic_load(&cpu_shared[cpu].idle) &&
		    epoch < oldest)
			oldest = epoch;
	}
	return oldest == UINT64_MAX ? atomic_load(&global_epoch) : oldest;
}

void epoch_defer_work(struct epoch_deferred *d, void (*run)(struct epoch_deferred *d),
		      uint32_t work)
{
	struct epoch_cpu *own = &cpus[cpu_index()];

	d->run = run;
	d->work = work;
	d->next = NULL;
	if (own->first)
		own->last->next = d;
	else
		own->first = d;
	own->last = d;
	d->epoch = advance();
}

void epoch_defer(struct epoch_deferred *d, void (*run)(struct epoch_deferred *d))
{
	epoch_defer_work(d, run, 1);
}

/* Frees blocks marked by frame_retire(), when it is safe. Never fails. */
void epoch_free_chain(const struct frame_chain *blocks)
{
	struct frame_chain *fresh = &cpus[cpu_index()].fresh;

	if (!blocks->count)
		return;
	if (fresh->count) {
		section_entry(fresh->last)->next = blocks->first;
	} else {
		fresh->first = blocks->first;
		want_quiescent(this_cpu_shared());
	}
	fresh->last = blocks->last;
	fresh->count += blocks->count;
}

void epoch_free_retired(mfn_t first)
{
	uint32_t frame = (uint32_t)mfn_raw(first);

	epoch_free_chain(&(struct frame_chain){frame, frame, 1});
}

void epoch_free_frames(mfn_t first, unsigned order)
{
	frame_retire(first, order);
	epoch_free_retired(first);
}

/* The same for a table of a pool that nothing points to any more. */
void epoch_free_table(struct table_account *account, mfn_t table)
{
	pool_account_release(account);
	epoch_free_frames(table, 0);
}

uint32_t epoch_ticket(void)
{
	uint32_t ticket;

	do {
		ticket = (uint32_t)advance();
	} while (!ticket);
	return ticket;
}

bool epoch_over(uint32_t ticket)
{
	return (int32_t)((uint32_t)reached() - ticket) >= 0 ||
	       (int32_t)((uint32_t)atomic_load(&global_epoch) - ticket) < 0;
}

static void run_deferred(struct epoch_cpu *own, uint64_t epoch)
{
	for (uint32_t n = 0; n < BATCH && own->first && own->first->epoch <= epoch;) {
		struct epoch_deferred *d = own->first;

		own->first = d->next;
		n += d->work;
		d->run(d);
	}
}

/* All that became fresh was made unreachable before. */
static void let_wait(struct epoch_cpu *own)
{
	if (own->waiting.count || !own->fresh.count)
		return;
	own->waiting = own->fresh;
	own->fresh.count = 0;
	ledger_frames_wait();
	own->waiting_epoch = advance();
}

static void free_frames(struct epoch_cpu *own, uint64_t epoch)
{
	mfn_t pages[BATCH];
	uint32_t page_count = 0;

	if (own->waiting_epoch > epoch && !MUTANT(EARLY_FREE))
		return;
	if (own->waiting.count)
		ledger_frames_go();
	for (uint64_t n = 0, size; n < BATCH && own->waiting.count; n += size) {
		mfn_t frame = make_mfn(own->waiting.first);
		struct frame_info *info = section_entry(own->waiting.first);
		uint64_t state = atomic_load_explicit(&info->state, memory_order_relaxed);
		unsigned order = (state & FRAME_ORDER_MASK) >> FRAME_ORDER_SHIFT;

		size = 1ull << order;
		own->waiting.first = info->next;
		own->waiting.count--;
		if (state >> FRAME_TYPE_SHIFT == FRAME_TABLE)
			pool_table_release(frame);
		else if (order)
			frame_free(frame, order);
		else
			pages[page_count++] = frame;
	}
	frame_free_retired(pages, page_count);
}

bool epoch_pending(void)
{
	struct epoch_cpu *own = &cpus[cpu_index()];

	return own->first || own->fresh.count || own->waiting.count;
}

void epoch_quiescent(void)
{
	struct cpu_shared *shared = this_cpu_shared();
	struct epoch_cpu *own = &cpus[cpu_index()];

	let_wait(own);
	atomic_fetch_and(&shared->entry_work, ~ENTRY_WORK_EPOCH);
	uint64_t epoch = atomic_load(&global_epoch);
	if (atomic_load(&shared->entry_work) & ENTRY_WORK_HOST_FLUSH) {
		atomic_fetch_and(&shared->entry_work, ~ENTRY_WORK_HOST_FLUSH);
		hostpt_flush_all_local();
	}
	atomic_store(&shared->epoch, epoch);
	if (!epoch_pending())
		return;
	epoch = reached();
	run_deferred(own, epoch);
	free_frames(own, epoch);
	if (epoch_pending())
		atomic_fetch_or(&shared->entry_work, ENTRY_WORK_EPOCH);
}

/*
 * CPU cpu takes part from now on. Called before it follows its first shared pointer. Being online
 * with an old epoch holds everything up, so that it can catch up in between without missing a
 * thing.
 */
void epoch_cpu_online(uint32_t cpu)
{
	uint32_t limit = atomic_load(&cpu_limit);

	assert_always(cpu < LAYOUT_CPUS_MAX);
	atomic_store(&cpu_shared[cpu].epoch, 0);
	while (limit <= cpu && !atomic_compare_exchange_weak(&cpu_limit, &limit, cpu + 1))
		;
	atomic_store(&cpu_shared[cpu].online, true);
	atomic_store(&cpu_shared[cpu].epoch, atomic_load(&global_epoch));
}
