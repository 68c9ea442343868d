/* Table pools: growth, quotas, the loop of allocators. */
/* sources: mm/frame.c mm/frame_buddy.c mm/frame_cache.c */
/* sources: mm/pool.c mm/section.c mm/epoch.c tests/unit/fake_mm.c */
#include "fake_mm.h"
#include "mm/epoch.h"
#include "mm/pool.h"
#include "public/errno.h"
#include "tap.h"

#define MIB 0x100000ull

static struct table_account plenty = {.quota = UINT32_MAX};

static bool boot(uint64_t ram_mib)
{
	fake_mm_init();
	frame_add_ram(make_paddr(MIB), make_paddr(ram_mib * MIB));
	must(!frame_init());
	must(pool_table_alloc(&plenty, &(mfn_t){0}) == -XEN_ENOMEM && !plenty.used);
	must(!pool_init());
	fake_cpu_online(0);
	return true;
}

static bool is_zero(mfn_t table)
{
	for (unsigned i = 0; i < 512; i++)
		if (pool_table(table)[i])
			return false;
	return true;
}

static bool basics(void)
{
	mfn_t table;

	must(boot(256));
	must(pool_tables_total() == 512 && pool_tables_free() == 512);
	must(!pool_table_alloc(&plenty, &table));
	must(frame_type(table) == FRAME_TABLE && is_zero(table) && plenty.used == 1);
	must((uint64_t)pool_table(table) == LAYOUT_POOL + (mfn_raw(table) << PAGE_SHIFT));
	memset(pool_table(table), 0xff, PAGE_SIZE);
	pool_table_free(&plenty, table);
	must(plenty.used == 0 && is_zero(table) && pool_tables_free() == 512);
	must(panics(pool_table_free(&plenty, table)));
	must(panics(pool_table_release(make_mfn(0x100))) &&
	     panics(pool_table_release(MFN_INVALID)));
	return true;
}

static bool quota(void)
{
	struct table_account small = {.quota = 3}, none = {.quota = 0};
	mfn_t t[4];

	must(boot(256));
	must(pool_table_alloc(&none, &t[0]) == -XEN_ENOMEM);
	for (unsigned i = 0; i < 3; i++)
		must(!pool_table_alloc(&small, &t[i]));
	uint64_t left = pool_tables_free();
	must(pool_table_alloc(&small, &t[3]) == -XEN_ENOMEM && small.used == 3);
	must(pool_tables_free() == left);
	pool_table_free(&small, t[1]);
	must(!pool_table_alloc(&small, &t[1]));
	must(panics(pool_account_release(&none)));
	return true;
}

/* Takes tables until there are none, with nothing but the pool to serve page tables. */
static uint64_t take_all(uint32_t *list)
{
	uint64_t count = 0;
	mfn_t table;

	while (!pool_table_alloc(&plenty, &table)) {
		if (!is_zero(table))
			return 0;
		memset(pool_table(table), 0x5a, PAGE_SIZE);
		list[count++] = (uint32_t)mfn_raw(table);
	}
	return count;
}

static bool growth_to_the_end(void)
{
	static uint32_t list[0x20000];
	uint8_t *seen = calloc(1, 0x20000);

	must(boot(300));
	fake_boot_tables = 0;
	uint64_t count = take_all(list);
	diag("%" PRIu64 " tables of %u frames", count, 300 * 256);
	struct frame_stats s;
	frame_get_stats(&s);
	must(count > 0.99 * 300 * 256 && s.free < 16 + 16 && !s.untouched);
	must(pool_tables_free() <= 8 && plenty.used == count);
	for (uint64_t i = 0; i < count; i++)
		must(!seen[list[i]]++);
	for (uint64_t i = 0; i < count; i++)
		pool_table_free(&plenty, make_mfn(list[i]));
	must(plenty.used == 0);
	must(pool_tables_free() + host_table_account.used == pool_tables_total());
	must(take_all(list) == count);
	return true;
}

/* Fragmented memory: no 2 MiB block. Chunks are smaller, and mapped by pages. */
static bool fragmented(void)
{
	static uint32_t list[0x20000];
	static mfn_t frames[0x8000];
	uint64_t n = 0;

	must(boot(100));
	fake_boot_tables = 0;
	while (!frame_alloc(6, 1, FRAME_GUEST_RAM, &frames[n]))
		n++;
	/* Every second block of 64 frames comes back. */
	for (uint64_t i = 0; i < n; i += 2)
		frame_free(frames[i], 6);
	uint64_t count = take_all(list);
	diag("%" PRIu64 " tables", count);
	must(count > 512 + n / 2 * 64 * 95 / 100);
	return true;
}

/* Each call of hostpt_map during growth fails in turn: an error or a table, never a loss. */
static bool growth_fails(void)
{
	must(boot(130));
	fake_boot_tables = 0;
	uint64_t count = 0;
	int64_t step = 0;
	unsigned failures = 0;
	for (;; step++) {
		mfn_t table;

		fake_map_fail_at = step % 70;
		if (!pool_table_alloc(&plenty, &table)) {
			must(is_zero(table));
			count++;
			continue;
		}
		if (++failures > 500)
			break;
	}
	fake_map_fail_at = -1;
	struct frame_stats s;
	frame_get_stats(&s);
	must(s.by_type[FRAME_TABLE] == pool_tables_total());
	must(pool_tables_total() == pool_tables_free() + plenty.used + host_table_account.used);
	must(count > 0.9 * 130 * 256);
	for (uint64_t f = 0; f < mfn_raw(frame_limit()); f++) {
		mfn_t at;
		enum host_prot prot;
		bool mapped = hostpt_lookup(LAYOUT_POOL + (f << PAGE_SHIFT), &at, &prot);
		must(mapped == (frame_type(make_mfn(f)) == FRAME_TABLE));
		must(!mapped || mfn_raw(at) == f);
	}
	return true;
}

/* The last tables are kept for growing: others do not get them. */
static bool reserve(void)
{
	static uint32_t list[0x20000];
	mfn_t table;

	must(boot(66));
	take_all(list);
	uint64_t left = pool_tables_free();
	must(left == 8);
	must(pool_table_alloc(&host_table_account, &table) == -XEN_ENOMEM);
	must(pool_tables_free() == left);
	return true;
}

static bool no_memory_at_boot(void)
{
	fake_mm_init();
	frame_add_ram(make_paddr(MIB), make_paddr(MIB + 20 * PAGE_SIZE));
	must(!frame_init());
	mfn_t f;
	for (unsigned i = 0; i < 10; i++)
		must(!frame_alloc(0, 1, FRAME_GUEST_RAM, &f));
	must(pool_init() == -XEN_ENOMEM);
	must(pool_tables_total() == 0);
	return true;
}

int main(void)
{
	plan(7);
	ok(fake_in_child(basics), "a table is zero, and wiped when freed");
	ok(fake_in_child(quota), "a quota holds");
	ok(fake_in_child(growth_to_the_end), "the pool grows until memory ends, on its own tables");
	ok(fake_in_child(fragmented), "without 2 MiB blocks it grows by smaller chunks");
	ok(fake_in_child(growth_fails), "growth that fails at any step loses nothing");
	ok(fake_in_child(reserve), "the last tables are kept for growing");
	ok(fake_in_child(no_memory_at_boot), "no memory for a first chunk is an error");
	return tap_end();
}
