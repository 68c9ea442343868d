/*
 * Host page tables of the shared regions.
 *
 * State: the tables below the shared top-level entries; every CPU's top level points to the same
 * ones. Lock: hostpt_lock for all changes; look-ups that only follow entries take none, since a
 * table that was once linked stays (an empty table is kept for the next mapping of its range).
 * Other CPUs drop stale translations at their next quiescent point, told by ENTRY_WORK_HOST_FLUSH.
 *
 * A table lies in a pool, or, until the first pool exists, in the reserve inside the image. Both
 * are always mapped, so that following an entry is arithmetic. New tables are taken before the
 * lock, because taking one may make the pool grow, and that maps memory: hostpt_map() is entered
 * again, without the lock held.
 */
#include "mm/hostpt.h"
#include "cpu.h"
#include "image.h"
#include "lock.h"
#include "mm/pool.h"
#include "mm/pte.h"
#include "mm/window.h"
#include "public/errno.h"

#define RESERVE_TABLES	16
#define FLUSH_ALL_ABOVE 64 /* pages: beyond, dropping every global translation is cheaper */

static uint64_t reserve[RESERVE_TABLES][PTE_PER_TABLE] aligned_to(PAGE_SIZE);
static uint32_t reserve_used;
static struct lock hostpt_lock = LOCK_INIT(LOCK_HOSTPT);

extern uint64_t boot_root[];

static bool in_image(mfn_t frame)
{
	return mfn_raw(frame) >= IMAGE_PHYSICAL >> PAGE_SHIFT &&
	       mfn_raw(frame) < paddr_raw(image_paddr(image_end)) >> PAGE_SHIFT;
}

static uint64_t *table_of(uint64_t entry)
{
	mfn_t frame = pte_frame(entry);

	if (in_image(frame))
		return (uint64_t *)(LAYOUT_IMAGE + (mfn_raw(frame) << PAGE_SHIFT));
	return pool_table(frame);
}

static uint64_t prot_flags(enum host_prot prot)
{
	switch (prot) {
	case HOST_RX:
		return PTE_P | PTE_A | PTE_G;
	case HOST_R:
		return PTE_P | PTE_A | PTE_G | PTE_NX;
	case HOST_RW_UC:
		return PTE_P | PTE_RW | PTE_A | PTE_D | PTE_G | PTE_NX | PTE_PCD | PTE_PWT;
	case HOST_RW:
		break;
	}
	return PTE_P | PTE_RW | PTE_A | PTE_D | PTE_G | PTE_NX;
}

/* Tables taken ahead of a change. The path below the top level needs at most three. */
struct spare_tables {
	unsigned count;
	mfn_t tables[3];
};

static int spare_fill(struct spare_tables *spare, unsigned wanted)
{
	while (spare->count < wanted) {
		mfn_t table;
		int rc = pool_table_alloc(&host_table_account, &table);

		if (rc && reserve_used < RESERVE_TABLES) {
			table = paddr_to_mfn(image_paddr(reserve[reserve_used++]));
			rc = 0;
		}
		if (rc)
			return rc;
		spare->tables[spare->count++] = table;
	}
	return 0;
}

static void spare_drop(struct spare_tables *spare)
{
	while (spare->count) {
		mfn_t table = spare->tables[--spare->count];

		/* A table of the reserve is simply the next one to be used again. */
		if (in_image(table))
			reserve_used--;
		else
			pool_table_free(&host_table_account, table);
	}
}

/* The shared top level as every CPU has it: the boot CPU's first root, copied by mm/private.c. */
static uint64_t *walk(uint64_t va, unsigned leaf_level, struct spare_tables *spare,
		      unsigned *missing)
{
	uint64_t *entry = &boot_root[pte_index(va, 4)];

	for (unsigned level = 3; level >= leaf_level; level--) {
		if (!(*entry & PTE_P)) {
			if (!spare || !spare->count) {
				*missing = level - leaf_level + 1;
				return NULL;
			}
			pte_store(entry, pte_make(spare->tables[--spare->count], PTE_TABLE));
		} else if (*entry & PTE_PS) {
			*missing = 0;
			return NULL;
		}
		entry = &table_of(*entry)[pte_index(va, level)];
	}
	return entry;
}

static int map(uint64_t va, mfn_t frame, enum host_prot prot, unsigned leaf_level,
	       uint64_t leaf_flags)
{
	struct spare_tables spare = {0};
	unsigned missing = 0;

	for (;;) {
		lock_acquire(&hostpt_lock);
		uint64_t *entry = walk(va, leaf_level, NULL, &missing);
		if (!entry && missing && spare.count >= missing)
			entry = walk(va, leaf_level, &spare, &missing);
		int rc = -XEN_EEXIST;
		if (entry && !(*entry & PTE_P)) {
			pte_store(entry, pte_make(frame, prot_flags(prot) | leaf_flags));
			rc = 0;
		}
		lock_release(&hostpt_lock);
		if (!entry && missing && !spare_fill(&spare, missing))
			continue;
		spare_drop(&spare);
		return !entry && missing ? -XEN_ENOMEM : rc;
	}
}

int hostpt_map(uint64_t va, mfn_t frame, enum host_prot prot)
{
	return map(va, frame, prot, 1, 0);
}

int hostpt_map_2m(uint64_t va, mfn_t frame, enum host_prot prot)
{
	assert_always(!(va & (PAGE_2M_SIZE - 1)) && !(mfn_raw(frame) & (FRAMES_PER_2M - 1)));
	return map(va, frame, prot, 2, PTE_PS);
}

mfn_t hostpt_unmap(uint64_t va)
{
	mfn_t frame = MFN_INVALID;
	unsigned missing;

	lock_acquire(&hostpt_lock);
	uint64_t *entry = walk(va, 1, NULL, &missing);
	if (entry && *entry & PTE_P) {
		frame = pte_frame(*entry);
		pte_store(entry, 0);
	}
	lock_release(&hostpt_lock);
	return frame;
}

void hostpt_flush(uint64_t va, size_t page_count)
{
	for (uint32_t cpu = 0; cpu < LAYOUT_CPUS_MAX; cpu++)
		if (cpu != cpu_index() && atomic_load(&cpu_shared[cpu].online))
			atomic_fetch_or(&cpu_shared[cpu].entry_work, ENTRY_WORK_HOST_FLUSH);
	if (page_count > FLUSH_ALL_ABOVE) {
		hostpt_flush_all_local();
		return;
	}
	for (size_t i = 0; i < page_count; i++)
		invlpg(va + i * PAGE_SIZE);
}

/* Drops every translation of this CPU, global ones included (SDM Vol. 3, "Operations that
 * Invalidate TLBs"). */
void hostpt_flush_all_local(void)
{
	uint64_t cr4 = read_cr4();

	write_cr4(cr4 & ~CR4_PGE);
	write_cr4(cr4);
}

static enum host_prot entry_prot(uint64_t entry)
{
	if (!(entry & PTE_NX))
		return HOST_RX;
	if (!(entry & PTE_RW))
		return HOST_R;
	return entry & PTE_PCD ? HOST_RW_UC : HOST_RW;
}

bool hostpt_lookup(uint64_t va, mfn_t *frame, enum host_prot *prot)
{
	uint64_t entry = boot_root[pte_index(va, 4)];

	for (unsigned level = 3;; level--) {
		if (!(entry & PTE_P))
			return false;
		uint64_t *table = table_of(entry);
		entry = *(volatile uint64_t *)&table[pte_index(va, level)];
		if (level == 1 || entry & PTE_PS) {
			uint64_t within = va & ((1ull << (PAGE_SHIFT + 9 * (level - 1))) - 1);
			*frame = mfn_add(pte_frame(entry), within >> PAGE_SHIFT);
			*prot = entry_prot(entry);
			return entry & PTE_P;
		}
	}
}

/*
 * Fills the shared top-level entries that lie in [start, end), so that every top level copied from
 * now on has them and none ever changes. At boot only, before the first copy.
 */
int hostpt_fill_top_level(uint64_t start, uint64_t end)
{
	for (uint64_t va = start; va < end; va += LAYOUT_SLOT_SIZE) {
		struct spare_tables spare = {0};
		uint64_t *entry = &boot_root[pte_index(va, 4)];

		if (*entry & PTE_P)
			continue;
		int rc = spare_fill(&spare, 1);
		if (rc)
			return rc;
		pte_store(entry, pte_make(spare.tables[0], PTE_TABLE));
	}
	return 0;
}

/* One entry of any table of this CPU, private ones included, read through the window. */
static uint64_t read_entry(mfn_t table, uint32_t index)
{
	const uint64_t *entries = window_open_readonly(WINDOW_AUDIT, table);
	uint64_t entry = entries[index];

	window_close(WINDOW_AUDIT);
	return entry;
}

struct walk_state {
	bool (*fn)(const struct hostpt_leaf *leaf, void *ctx);
	void *ctx;
	uint64_t rights; /* RW and US of the levels above, NX inverted: rights only ever shrink */
};

static bool walk_level(struct walk_state *s, mfn_t table, unsigned level, uint64_t base,
		       uint64_t above)
{
	unsigned shift = PAGE_SHIFT + 9 * (level - 1);
	uint64_t own_slot = window_slot_address(WINDOW_AUDIT);

	for (uint32_t i = 0; i < PTE_PER_TABLE; i++) {
		uint64_t va = base + ((uint64_t)i << shift);
		if (level == 4 && i >= PTE_PER_TABLE / 2)
			va |= 0xffff000000000000ull;
		uint64_t entry = read_entry(table, i);

		if (!(entry & PTE_P) || (level == 1 && va == own_slot))
			continue;
		uint64_t rights = above & (entry ^ PTE_NX);
		if (level > 1 && !(entry & PTE_PS)) {
			if (!walk_level(s, pte_frame(entry), level - 1, va, rights))
				return false;
			continue;
		}
		struct hostpt_leaf leaf = {
		    .va = va,
		    .frame = pte_frame(entry),
		    .page_count = 1ull << (shift - PAGE_SHIFT),
		    .prot = entry_prot((entry & ~(PTE_RW | PTE_NX)) | (rights & PTE_RW) |
				       (~rights & PTE_NX)),
		    .user = rights & PTE_US,
		    .global = entry & PTE_G,
		    .write_exec = (rights & PTE_RW) && (rights & PTE_NX),
		};
		if (!s->fn(&leaf, s->ctx))
			return false;
	}
	return true;
}

void hostpt_for_each(bool (*fn)(const struct hostpt_leaf *leaf, void *ctx), void *ctx)
{
	struct walk_state s = {.fn = fn, .ctx = ctx};

	walk_level(&s, this_cpu()->root, 4, 0, PTE_RW | PTE_US | PTE_NX);
}
