/* Epochs: what is deferred runs when every online CPU has passed a quiescent point, not before. */
/* sources: mm/frame.c mm/frame_buddy.c mm/frame_cache.c */
/* sources: mm/epoch.c mm/section.c mm/pool.c tests/unit/fake_mm.c */
#include "fake_mm.h"
#include "mm/epoch.h"
#include "mm/pool.h"
#include "tap.h"

#define MIB 0x100000ull

static bool boot(uint32_t cpus)
{
	fake_mm_init();
	frame_add_ram(make_paddr(MIB), make_paddr(200 * MIB));
	must(!frame_init());
	must(!pool_init());
	for (uint32_t cpu = 0; cpu < cpus; cpu++)
		fake_cpu_online(cpu);
	return true;
}

static unsigned ran;
static uint32_t ran_on;

static void count_run(struct epoch_deferred *d)
{
	(void)d;
	ran++;
	ran_on = cpu_index();
}

static void quiesce_on(uint32_t cpu)
{
	fake_cpu_be(cpu);
	epoch_quiescent();
}

static bool work_wanted(uint32_t cpu)
{
	return cpu_shared[cpu].entry_work & ENTRY_WORK_EPOCH;
}

static bool one_cpu(void)
{
	struct epoch_deferred d;

	must(boot(1));
	must(!epoch_pending() && !work_wanted(0));
	epoch_defer(&d, count_run);
	must(!ran && epoch_pending() && work_wanted(0));
	epoch_quiescent();
	must(ran == 1 && !epoch_pending() && !work_wanted(0));
	epoch_quiescent();
	must(ran == 1);
	return true;
}

static bool waits_for_all(void)
{
	struct epoch_deferred d;

	must(boot(3));
	fake_cpu_be(1);
	epoch_defer(&d, count_run);
	must(work_wanted(0) && work_wanted(1) && work_wanted(2));
	quiesce_on(1);
	must(!ran && work_wanted(1));
	quiesce_on(0);
	must(!work_wanted(0));
	quiesce_on(1);
	must(!ran);
	quiesce_on(2);
	must(!ran);
	quiesce_on(1);
	must(ran == 1 && ran_on == 1 && !work_wanted(1));
	return true;
}

/* A quiescent point passed before the deferral does not count. */
static bool earlier_does_not_count(void)
{
	struct epoch_deferred d, e;

	must(boot(2));
	fake_cpu_be(0);
	epoch_defer(&d, count_run);
	quiesce_on(1);
	fake_cpu_be(0);
	epoch_defer(&e, count_run);
	quiesce_on(0);
	must(ran == 1);
	quiesce_on(0);
	must(ran == 1);
	quiesce_on(1);
	quiesce_on(0);
	must(ran == 2);
	return true;
}

static bool offline_cpus(void)
{
	struct epoch_deferred d;

	must(boot(2));
	fake_cpu_be(0);
	epoch_defer(&d, count_run);
	atomic_store(&cpu_shared[1].online, false);
	quiesce_on(0);
	must(ran == 1);
	/* One that comes online has no old pointer, but holds up what is deferred from now on. */
	epoch_defer(&d, count_run);
	fake_cpu_online(5);
	quiesce_on(0);
	must(ran == 2);
	epoch_defer(&d, count_run);
	quiesce_on(0);
	must(ran == 2 && work_wanted(5));
	quiesce_on(5);
	quiesce_on(0);
	must(ran == 3);
	return true;
}

/* What one quiescent point frees is bounded by things, not by entries of the list: 64 or, so that
 * it goes on, one entry. */
static bool bounded_work(void)
{
	struct epoch_deferred small[100], large[3];

	must(boot(1));
	ran = 0;
	for (unsigned i = 0; i < array_size(large); i++)
		epoch_defer_work(&large[i], count_run, i ? 64 : 1000);
	for (unsigned i = 0; i < array_size(small); i++)
		epoch_defer(&small[i], count_run);
	for (unsigned i = 1; i <= array_size(large); i++) {
		epoch_quiescent();
		must(ran == i && work_wanted(0));
	}
	epoch_quiescent();
	must(ran == array_size(large) + 64 && work_wanted(0));
	epoch_quiescent();
	must(ran == array_size(large) + array_size(small) && !work_wanted(0));
	return true;
}

/* What the boot CPU defers before it is online runs once it is. */
static bool before_online(void)
{
	struct epoch_deferred d;

	must(boot(0));
	epoch_defer(&d, count_run);
	fake_cpu_online(0);
	must(work_wanted(0) && !ran);
	epoch_quiescent();
	must(ran == 1);
	return true;
}

/* A CPU flushes before it says that it has passed. */
static bool flush_first(void)
{
	mfn_t frame;
	uint64_t va = LAYOUT_VMAP;

	must(boot(2));
	must(!frame_alloc(0, 0, FRAME_VMAP, &frame));
	must(!hostpt_map(va, frame, HOST_RW));
	must(mfn_equal(hostpt_unmap(va), frame));
	hostpt_flush(va, 1);
	epoch_free_frames(frame, 0);
	quiesce_on(0);
	must(frame_type(frame) == FRAME_VMAP && fake_reachable(frame));
	must(frame_get(frame, 0, FRAME_VMAP));
	quiesce_on(1);
	must(!fake_reachable(frame) && !(cpu_shared[1].entry_work & ENTRY_WORK_HOST_FLUSH));
	must(frame_type(frame) == FRAME_VMAP);
	quiesce_on(0);
	must(frame_type(frame) == FRAME_FREE);
	return true;
}

/* Not more than a batch at each quiescent point. */
static bool bounded(void)
{
	enum { COUNT = 300 };
	static struct epoch_deferred d[COUNT];
	static mfn_t frames[COUNT];
	struct frame_stats before, after;

	must(boot(1));
	frame_get_stats(&before);
	for (unsigned i = 0; i < COUNT; i++) {
		must(!frame_alloc(0, 3, FRAME_GUEST_RAM, &frames[i]));
		epoch_free_frames(frames[i], 0);
		epoch_defer(&d[i], count_run);
	}
	must(panics(epoch_free_frames(frames[0], 0)));
	epoch_quiescent();
	must(ran == 64 && work_wanted(0));
	frame_get_stats(&after);
	must(after.by_type[FRAME_GUEST_RAM] == COUNT - 64);
	for (unsigned i = 0; i < 4; i++)
		epoch_quiescent();
	must(ran == COUNT && !work_wanted(0));
	frame_get_stats(&after);
	must(!memcmp(&before, &after, sizeof(before)));
	return true;
}

static bool blocks(void)
{
	mfn_t f;
	struct frame_stats before, after;

	must(boot(1));
	frame_get_stats(&before);
	for (unsigned order = 0; order < 13; order++) {
		must(!frame_alloc(order, 3, FRAME_GUEST_RAM, &f));
		epoch_free_frames(f, order);
		must(frame_get(mfn_add(f, (1ull << order) - 1), 3, FRAME_GUEST_RAM));
		must(panics(epoch_free_frames(f, order)));
	}
	/* A block with a reference on one of its frames is not to be freed. */
	must(!frame_alloc(3, 3, FRAME_GUEST_RAM, &f));
	must(!frame_get(mfn_add(f, 5), 3, FRAME_GUEST_RAM));
	must(panics(epoch_free_frames(f, 3)));
	frame_info(mfn_add(f, 5))->state--;
	for (unsigned i = 0; i < 8; i++)
		frame_info(mfn_add(f, i))->state &= ~FRAME_DIRTY;
	frame_free(f, 3);
	fake_quiesce();
	frame_get_stats(&after);
	must(!memcmp(&before, &after, sizeof(before)));
	return true;
}

static bool tables(void)
{
	struct table_account account = {.quota = 3};
	mfn_t table;
	uint64_t free_tables = pool_tables_free();

	must(boot(2));
	free_tables = pool_tables_free();
	must(!pool_table_alloc(&account, &table));
	pool_table(table)[17] = 42;
	epoch_free_table(&account, table);
	must(account.used == 0 && pool_tables_free() == free_tables - 1);
	must(pool_table(table)[17] == 42);
	must(panics(epoch_free_frames(table, 0)));
	quiesce_on(0);
	must(pool_table(table)[17] == 42);
	quiesce_on(1);
	quiesce_on(0);
	must(pool_tables_free() == free_tables && pool_table(table)[17] == 0);
	return true;
}

static unsigned chain_left = 5;

static void defer_again(struct epoch_deferred *d)
{
	if (--chain_left)
		epoch_defer(d, defer_again);
}

static bool again(void)
{
	struct epoch_deferred d;

	must(boot(1));
	epoch_defer(&d, defer_again);
	for (unsigned left = 5; left; left--) {
		must(chain_left == left);
		epoch_quiescent();
	}
	must(!chain_left && !epoch_pending());
	return true;
}

/* Random: each CPU reads a cell, others replace it; an old value may not be reused too soon. */
static bool random_readers(void)
{
	enum { CPUS = 4, CELLS = 64 };
	static struct cell {
		struct epoch_deferred d;
		bool in_use;
	} cells[CELLS];
	static struct cell *held[CPUS];
	struct cell *published = &cells[0];

	fake_random_seed(2);
	must(boot(CPUS));
	published->in_use = true;
	for (unsigned step = 0; step < 200000; step++) {
		uint32_t cpu = fake_random() % CPUS;

		fake_cpu_be(cpu);
		switch (fake_random() % 3) {
		case 0:
			if (!held[cpu])
				held[cpu] = published;
			must(held[cpu]->in_use);
			break;
		case 1: {
			struct cell *fresh = &cells[fake_random() % CELLS], *old = published;
			if (fresh->in_use || fresh->d.run)
				break;
			fresh->in_use = true;
			published = fresh;
			void retire(struct epoch_deferred * d);
			epoch_defer(&old->d, retire);
			break;
		}
		case 2:
			held[cpu] = NULL;
			epoch_quiescent();
			break;
		}
		for (uint32_t i = 0; i < CPUS; i++)
			must(!held[i] || held[i]->in_use);
	}
	must(ran > 1000);
	return true;
}

void retire(struct epoch_deferred *d);
void retire(struct epoch_deferred *d)
{
	struct cell {
		struct epoch_deferred d;
		bool in_use;
	} *c = (struct cell *)d;

	c->in_use = false;
	c->d.run = NULL;
	ran++;
}

int main(void)
{
	plan(12);
	ok(fake_in_child(one_cpu), "one CPU");
	ok(fake_in_child(waits_for_all), "every online CPU must have passed");
	ok(fake_in_child(earlier_does_not_count),
	   "a quiescent point before the deferral is no use");
	ok(fake_in_child(offline_cpus), "CPUs that go offline and come online");
	ok(fake_in_child(before_online),
	   "what is deferred before a CPU is online is not forgotten");
	ok(fake_in_child(flush_first), "a CPU flushes before it is counted; frames wait for that");
	ok(fake_in_child(bounded), "the work at one quiescent point is bounded");
	ok(fake_in_child(bounded_work), "and so is that of entries that stand for many things");
	ok(fake_in_child(blocks), "blocks of any order");
	ok(fake_in_child(tables), "tables are wiped and free only after the epoch");
	ok(fake_in_child(again), "what runs may defer itself again");
	ok(fake_in_child(random_readers), "random readers and writers on four CPUs");
	return tap_end();
}
