/*
 * Table pools: pages for page tables, host's and guests' (EPT), that are always mapped.
 *
 * State: the list of free tables, linked through the frame table, and the counters: pool_lock. An
 * account is changed by compare-and-swap.
 *
 * A pool is a chunk of contiguous frames, 2 MiB if there is such a block, mapped at LAYOUT_POOL +
 * its physical address. So the address of a child table is arithmetic on the entry that leads to
 * it, and a walk maps nothing. Chunks are never given back. A free table is all zero, wiped when it
 * was freed; of its frame the reference count is 0, of a table in use 1.
 *
 * The loop. To grow, the pool takes frames (frame_alloc) and maps them (hostpt_map); the first may
 * touch a section, which maps its part of the frame table; mapping needs page tables, and these
 * come from this pool. It ends, because
 *  - no lock is held across such a call: each step leaves its state whole and the next may
 * re-enter;
 *  - one CPU at a time grows the pool, noted in grower, and while it does, its own calls in here do
 *    not grow it but take from the last RESERVE tables, or fail;
 *  - so the deepest nesting is frame_alloc, section, hostpt_map, pool (grows), frame_alloc, another
 *    section, hostpt_map, pool (reserve);
 *  - RESERVE tables suffice for one growth: two levels for a section's part, two or three for the
 *    chunk; and the smallest chunk has more tables than that.
 * Before the first chunk exists, pool_table_alloc() fails, and hostpt_map() uses tables of the
 * image. A CPU that finds the pool down to its reserve while another one grows it gets -XEN_ENOMEM;
 * since growth begins LOW_WATER tables earlier, that means that memory is short anyhow.
 */
#include "mm/pool.h"
#include "lock.h"
#include "mm/fail.h"
#include "mm/frame.h"
#include "mm/hostpt.h"
#include "mm/section.h"
#include "print.h"
#include "public/errno.h"

#define RESERVE		 8u
#define LOW_WATER	 24u
#define CHUNK_ORDER_MAX	 FRAME_ORDER_2M
#define CHUNK_ORDER_MIN	 4u
#define NOBODY		 UINT32_MAX
#define STATE_FREE_TABLE ((uint64_t)FRAME_TABLE << FRAME_TYPE_SHIFT)
#define STATE_USED_TABLE (STATE_FREE_TABLE | 1)

_Static_assert(1u << CHUNK_ORDER_MIN > RESERVE, "a chunk pays for its own mapping");

struct table_account host_table_account = {.quota = UINT32_MAX};

static struct lock pool_lock = LOCK_INIT(LOCK_POOL);

/* All under pool_lock. */
static uint32_t free_head = FRAME_LINK_NONE;
static uint64_t free_count, total_count;
static uint32_t grower = NOBODY; /* the CPU that is growing the pool */

void pool_account_release(struct table_account *account)
{
	assert_always(atomic_load(&account->used));
	table_account_uncharge(account, 1);
}

static void push_free(uint64_t frame)
{
	section_set_state(frame, STATE_FREE_TABLE);
	section_entry(frame)->next = free_head;
	free_head = (uint32_t)frame;
	free_count++;
}

/*
 * Maps the frames of a chunk and returns how many it has mapped, from the first one on: all, or as
 * many as there were page tables for.
 */
static uint64_t map_chunk(mfn_t first, unsigned order)
{
	uint64_t va = (uint64_t)pool_table(first), count = 1ull << order, mapped = 0;

	if (order == FRAME_ORDER_2M) {
		int rc = hostpt_map_2m(va, first, HOST_RW);

		/* -XEN_EEXIST: there is a table of 4K entries, left by an attempt that failed. */
		if (rc != -XEN_EEXIST)
			return rc ? 0 : count;
	}
	while (mapped < count &&
	       !hostpt_map(va + mapped * PAGE_SIZE, mfn_add(first, mapped), HOST_RW))
		mapped++;
	return mapped;
}

/*
 * Adds a chunk, of the largest order to be had; what could be mapped of it stays. Holds no lock;
 * this CPU is the grower.
 */
static int add_chunk(void)
{
	unsigned order = CHUNK_ORDER_MAX;
	mfn_t first;
	int rc;

	while ((rc = frame_alloc(order, DOMID_HYPERVISOR, FRAME_TABLE, &first)))
		if (rc != -XEN_ENOMEM || order-- == CHUNK_ORDER_MIN)
			return rc;
	uint64_t mapped = map_chunk(first, order);
	for (uint64_t i = mapped; i < 1ull << order; i++)
		frame_free(mfn_add(first, i), 0);
	/* frame_alloc() has scrubbed the frames: the tables are zero. */
	lock_acquire(&pool_lock);
	for (uint64_t i = mapped; i--;)
		push_free(mfn_raw(first) + i);
	total_count += mapped;
	lock_release(&pool_lock);
	return mapped ? 0 : -XEN_ENOMEM;
}

/* Lets one CPU grow the pool, unless one is at it. pool_lock is held, but not in between. */
static int grow_locked(void)
{
	assert_locked(&pool_lock);
	if (grower != NOBODY)
		return -XEN_ENOMEM;
	grower = cpu_index();
	lock_release(&pool_lock);
	int rc = add_chunk();
	lock_acquire(&pool_lock);
	grower = NOBODY;
	return rc;
}

/* The first chunk. Needs frame_init(). -XEN_ENOMEM: no frames or no tables to map them. */
int pool_init(void)
{
	lock_acquire(&pool_lock);
	int rc = grow_locked();
	lock_release(&pool_lock);
	return rc;
}

/*
 * Takes a table, all zero, and charges it to an account. May grow the pool: no lock of a rank from
 * the host page tables on is held. -XEN_ENOMEM: over the account's quota, or no memory; nothing has
 * changed.
 */
int pool_table_alloc(struct table_account *account, mfn_t *out)
{
	int rc = fail_now() || !table_account_charge(account, 1) ? -XEN_ENOMEM : 0;

	if (rc)
		return rc;
	lock_acquire(&pool_lock);
	bool growing = grower == cpu_index() && account == &host_table_account;
	/* Not before pool_init(). That it fails matters only at the reserve. */
	if (!growing && total_count && free_count <= LOW_WATER)
		(void)grow_locked();
	if (free_count <= (growing ? 0 : RESERVE)) {
		lock_release(&pool_lock);
		pool_account_release(account);
		return -XEN_ENOMEM;
	}
	uint32_t frame = free_head;
	free_head = section_entry(frame)->next;
	free_count--;
	section_set_state(frame, STATE_USED_TABLE);
	lock_release(&pool_lock);
	*out = make_mfn(frame);
	return 0;
}

/*
 * Wipes a table and makes it available again. Nothing points to it, no CPU walks it any more
 * (epoch_free_table() waits for that), and its account has been credited.
 */
void pool_table_release(mfn_t table)
{
	struct frame_info *info = frame_info(table);
	uint64_t state = info ? atomic_load(&info->state) : 0;

	if ((state & ~(FRAME_DIRTY | FRAME_ORDER_MASK)) != STATE_USED_TABLE)
		panic("frame %lx is no table in use: state %lx", mfn_raw(table), state);
	__builtin_memset(pool_table(table), 0, PAGE_SIZE);
	lock_acquire(&pool_lock);
	push_free(mfn_raw(table));
	lock_release(&pool_lock);
}

/* Gives back a table that no CPU has ever been able to walk. */
void pool_table_free(struct table_account *account, mfn_t table)
{
	pool_table_release(table);
	pool_account_release(account);
}

/* Tables in all chunks, and those of them that are free. */
uint64_t pool_tables_total(void)
{
	lock_acquire(&pool_lock);
	uint64_t count = total_count;
	lock_release(&pool_lock);
	return count;
}

uint64_t pool_tables_free(void)
{
	lock_acquire(&pool_lock);
	uint64_t count = free_count;
	lock_release(&pool_lock);
	return count;
}
