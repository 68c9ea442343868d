/*
 * Test builds: the order in which a CPU takes locks (include/lock.h), and how long they are held.
 *
 * State: the locks that a CPU holds, in its private half, by rank; the longest time for each rank,
 * shared. No lock. A wrong order is a panic that names both ranks, whether or not another CPU was
 * there to make a deadlock of it.
 */
#include "lock.h"

#ifdef CONFIG_TEST
#include "cpu.h"

static const char *const names[LOCK_RANKS] = {
    [LOCK_UNRANKED] = "unranked",
    [LOCK_DOMAIN] = "domain",
    [LOCK_DEVICES] = "devices",
    [LOCK_GRANTS] = "grant table",
    [LOCK_EVTCHN] = "event channels",
    [LOCK_DEMAND] = "demand window",
    [LOCK_P2M] = "p2m",
    [LOCK_HEAP] = "heap",
    [LOCK_VMAP] = "vmap",
    [LOCK_PAHASH] = "PA->VA hash",
    [LOCK_HOSTPT] = "host page tables",
    [LOCK_POOL] = "pool",
    [LOCK_FRAME_CACHE] = "frame cache",
    [LOCK_FRAMES] = "frames",
    [LOCK_VPID] = "VPIDs",
    [LOCK_RUNSTATE] = "runstate",
    [LOCK_TIMERS] = "timers",
    [LOCK_RUN_QUEUE] = "run queue",
    [LOCK_CONSOLE] = "console",
};
static _Atomic uint64_t longest[LOCK_RANKS]; /* ticks */

/* l may be waited for now. */
void lock_check(const struct lock *l)
{
	const struct cpu_private *cpu = this_cpu();

	if (l->rank == LOCK_UNRANKED || l->rank >= LOCK_RANKS)
		panic("lock %p has no rank", (const void *)l);
	if (!cpu->locks_held_count)
		return;
	const struct lock *last = cpu->locks_held[cpu->locks_held_count - 1];
	if (l->rank < last->rank || (l->rank == last->rank && l->order <= last->order))
		panic("lock order: %s (%u) is taken while %s (%u) is held", names[l->rank],
		      l->order, names[last->rank], last->order);
}

/* This CPU has l. One that was taken without waiting may be out of order. */
void lock_taken(struct lock *l)
{
	struct cpu_private *cpu = this_cpu();
	uint32_t at = cpu->locks_held_count++;

	assert_always(at < LOCKS_HELD_MAX);
	for (; at && cpu->locks_held[at - 1]->rank > l->rank; at--)
		cpu->locks_held[at] = cpu->locks_held[at - 1];
	cpu->locks_held[at] = l;
	l->since = rdtsc();
}

/* This CPU is about to let go of l. */
void lock_given(struct lock *l)
{
	struct cpu_private *cpu = this_cpu();
	uint64_t ticks = rdtsc() - l->since, most = atomic_load(&longest[l->rank]);
	uint32_t at = 0;

	while (ticks > most && !atomic_compare_exchange_weak(&longest[l->rank], &most, ticks))
		;
	while (at < cpu->locks_held_count && cpu->locks_held[at] != l)
		at++;
	if (at == cpu->locks_held_count)
		panic("cpu%u lets go of a lock that it does not hold: %s", cpu->index,
		      names[l->rank]);
	for (cpu->locks_held_count--; at < cpu->locks_held_count; at++)
		cpu->locks_held[at] = cpu->locks_held[at + 1];
}

/* At the end of a run: the longest that a lock of each rank was held. */
void lock_print_times(void)
{
	for (unsigned rank = LOCK_UNRANKED + 1; rank < LOCK_RANKS; rank++)
		print(LOG_INFO, "lock: %s held for at most %lu ticks", names[rank],
		      atomic_load(&longest[rank]));
}
#endif
