/* The machine under mm/, for unit tests: see fake_mm.h. One thread at a time plays all CPUs. */
#include "fake_mm.h"
#include "barriers.h"
#include "mm/epoch.h"
#include "mm/pool.h"
#include "mm/window.h"
#include "print.h"
#include "public/errno.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct cpu_shared cpu_shared[LAYOUT_CPUS_MAX];
struct barriers barriers;

/* No CPU is ever interrupted here: an IPI may take as long as it likes. */
void cpu_kick(uint32_t cpu, uint32_t work)
{
	atomic_fetch_or(&cpu_shared[cpu].entry_work, work);
}

_Thread_local struct cpu_private test_cpu;

int64_t fake_map_fail_at = -1;
void (*fake_map_hook)(void);
unsigned fake_boot_tables = 16;
bool fake_uses_tables = true;
bool fake_models_tlb = true;
uint64_t fake_map_calls, fake_flush_calls, fake_scrubbed_frames;
jmp_buf fake_panic_jump;
bool fake_panic_expected;

static int ram = -1;

void panic(const char *fmt, ...)
{
	va_list args;

	if (fake_panic_expected)
		longjmp(fake_panic_jump, 1);
	va_start(args, fmt);
	printf("Bail out! panic: ");
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
	abort();
}

void print(enum log_level level, const char *fmt, ...)
{
	va_list args;

	(void)level;
	va_start(args, fmt);
	printf("# ");
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
}

static void check(bool cond, const char *what)
{
	if (!cond)
		panic("fake: %s", what);
}

/* --- a hash of addresses: what is mapped, tables that exist, stale translations --- */

struct entry {
	uint64_t key; /* address + 1; 0 empty, 1 removed */
	uint64_t frame;
	enum host_prot prot;
	uint64_t stale_cpus;
};

struct map {
	struct entry *entries;
	uint64_t size, used;
};

static struct map mapped, tables, stale;
/* How often a frame can be reached: mapped, or through stale translations. Key: frame + 2. */
static struct map reach;

static struct entry *map_find(struct map *m, uint64_t key)
{
	for (uint64_t i = key * 0x9e3779b97f4a7c15ull >> 20; m->size; i++) {
		struct entry *e = &m->entries[i % m->size];

		if (e->key == key)
			return e;
		if (!e->key)
			return NULL;
	}
	return NULL;
}

static struct entry *map_insert(struct map *m, uint64_t key);

static void map_grow(struct map *m)
{
	struct map old = *m;

	m->size = old.size ? old.size * 2 : 4096;
	m->used = 0;
	m->entries = calloc(m->size, sizeof(struct entry));
	for (uint64_t i = 0; i < old.size; i++)
		if (old.entries[i].key > 1)
			*map_insert(m, old.entries[i].key) = old.entries[i];
	free(old.entries);
}

static struct entry *map_insert(struct map *m, uint64_t key)
{
	if (m->used * 2 >= m->size)
		map_grow(m);
	for (uint64_t i = key * 0x9e3779b97f4a7c15ull >> 20;; i++) {
		struct entry *e = &m->entries[i % m->size];

		if (e->key > 1)
			continue;
		m->used += !e->key;
		*e = (struct entry){.key = key};
		return e;
	}
}

static void reach_add(uint64_t frame, int n)
{
	struct entry *e = map_find(&reach, frame + 2);

	if (!e)
		e = map_insert(&reach, frame + 2);
	e->frame += (uint64_t)(int64_t)n;
}

uint64_t fake_reachable(mfn_t frame)
{
	struct entry *e = map_find(&reach, frame.raw + 2);

	return e ? e->frame : 0;
}

static void stale_drop(struct entry *e, uint32_t cpu)
{
	uint64_t bit = 1ull << cpu;

	if (e->stale_cpus == bit)
		reach_add(e->frame, -1);
	e->stale_cpus &= ~bit;
}

/* --- RAM --- */

void fake_mm_init(void)
{
	ram = memfd_create("ram", 0);
	check(ram >= 0 && !ftruncate(ram, (off_t)LAYOUT_PHYS_LIMIT), "memfd");
	/* The regions, so that nothing else of this process comes to lie there. */
	struct {
		uint64_t start, size;
	} regions[] = {{LAYOUT_FRAME_TABLE, LAYOUT_SLOT_SIZE},
		       {LAYOUT_VMAP, LAYOUT_VMAP_SIZE},
		       {LAYOUT_POOL, LAYOUT_PHYS_LIMIT}};
	for (unsigned i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
		check(mmap((void *)regions[i].start, regions[i].size, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
			   0) != MAP_FAILED,
		      "regions");
}

void fake_ram_fill(mfn_t frame, uint8_t byte)
{
	char page[PAGE_SIZE];

	memset(page, byte, PAGE_SIZE);
	check(pwrite(ram, page, PAGE_SIZE, (off_t)(frame.raw << PAGE_SHIFT)) == PAGE_SIZE,
	      "pwrite");
}

bool fake_ram_is(mfn_t frame, uint8_t byte)
{
	uint8_t page[PAGE_SIZE];

	check(pread(ram, page, PAGE_SIZE, (off_t)(frame.raw << PAGE_SHIFT)) == PAGE_SIZE, "pread");
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		if (page[i] != byte)
			return false;
	return true;
}

void window_scrub(mfn_t first, unsigned order)
{
	uint64_t count = 1ull << order;

	check(!(first.raw & (count - 1)), "scrub: alignment");
	for (uint64_t i = 0; i < count; i++)
		check(!fake_reachable(mfn_add(first, i)), "scrub: the frame is mapped");
	fake_scrubbed_frames += count;
	check(!fallocate(ram, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)(first.raw << PAGE_SHIFT), (off_t)(count << PAGE_SHIFT)),
	      "fallocate");
}

/* --- page tables --- */

/* Key of the table that holds entries of a level for va. */
static uint64_t table_key(uint64_t va, unsigned level)
{
	return (va >> (PAGE_SHIFT + 9 * level)) * 8 + level + 8;
}

static int need_tables(uint64_t va, unsigned leaf_level)
{
	mfn_t spare[3];
	unsigned count = 0;
	int rc = 0;

	if (!fake_uses_tables)
		return 0;
	for (unsigned level = leaf_level; level <= 3; level++) {
		if (map_find(&tables, table_key(va, level)))
			continue;
		if (pool_table_alloc(&host_table_account, &spare[count])) {
			if (!fake_boot_tables) {
				rc = -XEN_ENOMEM;
				break;
			}
			fake_boot_tables--;
			spare[count] = MFN_INVALID;
		}
		count++;
	}
	if (!rc) {
		for (unsigned level = leaf_level; level <= 3; level++)
			if (!map_find(&tables, table_key(va, level)))
				map_insert(&tables, table_key(va, level));
		return 0;
	}
	while (count--) {
		if (mfn_equal(spare[count], MFN_INVALID))
			fake_boot_tables++;
		else
			pool_table_free(&host_table_account, spare[count]);
	}
	return rc;
}

static int map_pages(uint64_t va, mfn_t frame, enum host_prot prot, unsigned level)
{
	uint64_t length = PAGE_SIZE << (9 * (level - 1));

	check(!(va & (length - 1)) && !((frame.raw << PAGE_SHIFT) & (length - 1)),
	      "map: alignment");
	check(va >= LAYOUT_BASE && va < LAYOUT_POOL + LAYOUT_PHYS_LIMIT, "map: address");
	fake_map_calls++;
	if (fake_map_hook)
		fake_map_hook();
	if (fake_map_fail_at == -2 || (fake_map_fail_at >= 0 && fake_map_fail_at-- == 0))
		return -XEN_ENOMEM;
	int rc = need_tables(va, level);
	if (rc)
		return rc;
	if (level == 2 && map_find(&tables, table_key(va, 1)))
		return -XEN_EEXIST;
	for (uint64_t offset = 0; offset < length; offset += PAGE_SIZE)
		if (map_find(&mapped, va + offset + 1))
			return -XEN_EEXIST;
	for (uint64_t offset = 0; offset < length; offset += PAGE_SIZE) {
		struct entry *e = map_find(&stale, va + offset + 1);

		check(!e || !e->stale_cpus, "map: some CPU has a stale translation");
		e = map_insert(&mapped, va + offset + 1);
		e->frame = frame.raw + offset / PAGE_SIZE;
		e->prot = prot;
		reach_add(e->frame, 1);
	}
	/* A device is no RAM: what is there is not looked at. */
	if (prot != HOST_RW_UC)
		check(mmap((void *)va, length, prot == HOST_R ? PROT_READ : PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED, ram,
			   (off_t)(frame.raw << PAGE_SHIFT)) != MAP_FAILED,
		      "mmap");
	return 0;
}

int hostpt_map(uint64_t va, mfn_t frame, enum host_prot prot)
{
	return map_pages(va, frame, prot, 1);
}

int hostpt_map_2m(uint64_t va, mfn_t frame, enum host_prot prot)
{
	return map_pages(va, frame, prot, 2);
}

static uint64_t online_cpus(void)
{
	uint64_t cpus = 1ull << cpu_index();

	for (uint32_t cpu = 0; cpu < 64; cpu++)
		if (cpu_shared[cpu].online)
			cpus |= 1ull << cpu;
	return cpus;
}

static void remember_stale(uint64_t va, mfn_t frame)
{
	struct entry *e = map_find(&stale, va + 1);

	if (!e)
		e = map_insert(&stale, va + 1);
	e->frame = frame.raw;
	e->stale_cpus = online_cpus();
}

mfn_t hostpt_unmap(uint64_t va)
{
	struct entry *e = map_find(&mapped, va + 1);

	if (!e)
		return MFN_INVALID;
	mfn_t frame = make_mfn(e->frame);
	e->key = 1;
	if (!fake_models_tlb)
		reach_add(frame.raw, -1);
	else
		remember_stale(va, frame);
	check(mmap((void *)va, PAGE_SIZE, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED,
	      "munmap");
	return frame;
}

bool hostpt_lookup(uint64_t va, mfn_t *frame, enum host_prot *prot)
{
	struct entry *e = map_find(&mapped, (va & PAGE_MASK) + 1);

	if (e) {
		*frame = make_mfn(e->frame);
		*prot = e->prot;
	}
	return e;
}

void hostpt_flush(uint64_t va, size_t page_count)
{
	fake_flush_calls++;
	for (size_t i = 0; i < page_count; i++) {
		struct entry *e = map_find(&stale, va + i * PAGE_SIZE + 1);

		if (e)
			stale_drop(e, cpu_index());
	}
	for (uint32_t cpu = 0; cpu < 64; cpu++)
		if (cpu != cpu_index() && cpu_shared[cpu].online)
			cpu_shared[cpu].entry_work |= ENTRY_WORK_HOST_FLUSH;
}

void hostpt_flush_all_local(void)
{
	for (uint64_t i = 0; i < stale.size; i++)
		stale_drop(&stale.entries[i], cpu_index());
}

uint64_t fake_mapped_pages(uint64_t start, uint64_t end)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < mapped.size; i++)
		count += mapped.entries[i].key > start && mapped.entries[i].key <= end;
	return count;
}

/* --- CPUs --- */

void fake_cpu_be(uint32_t index)
{
	test_cpu.index = index;
	test_cpu.self = &test_cpu;
}

void fake_cpu_online(uint32_t index)
{
	uint32_t old = cpu_index();

	fake_cpu_be(index);
	epoch_cpu_online(index);
	fake_cpu_be(old);
}

void fake_quiesce(void)
{
	uint32_t old = cpu_index();
	bool pending = true;

	for (unsigned round = 0; pending; round++) {
		check(round < 1000000, "something stays deferred for ever");
		pending = false;
		for (uint32_t cpu = 0; cpu < 64; cpu++) {
			if (!cpu_shared[cpu].online)
				continue;
			fake_cpu_be(cpu);
			epoch_quiescent();
			pending |= epoch_pending();
		}
	}
	fake_cpu_be(old);
}

bool fake_in_child(bool (*scenario)(void))
{
	int status;

	fflush(stdout);
	pid_t child = fork();
	check(child >= 0, "fork");
	if (!child) {
		bool good = scenario();

		fflush(stdout);
		_exit(good ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	check(waitpid(child, &status, 0) == child, "waitpid");
	return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

/* --- random numbers --- */

static uint64_t random_state = 1;

void fake_random_seed(uint64_t seed)
{
	printf("# random seed %llu\n", (unsigned long long)seed);
	random_state = seed;
}

uint64_t fake_random(void)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}
