/*
 * kernel/guest_walk.c against the rules of the SDM, one by one, and at random against a second
 * walker written out here mode by mode.
 */
/* sources: kernel/guest_walk.c */
#include "guest_walk.h"
#include "public/errno.h"
#include "random.h"
#include "tap.h"

/* --- fake guest memory: some low frames, some beyond 4G -----------------------------------------
 */

#define LOW_FRAMES  16u
#define HIGH_FRAMES 8u
#define HIGH_FIRST  0x234567u
#define FRAMES	    (LOW_FRAMES + HIGH_FRAMES)

static uint8_t memory[FRAMES][PAGE_SIZE];
static bool read_only[FRAMES];
static unsigned reads, swaps;
static void (*before_swap)(uint64_t gpa, void *entry, unsigned width);

static uint64_t frame_gpa(unsigned f)
{
	return (uint64_t)(f < LOW_FRAMES ? f : HIGH_FIRST + f - LOW_FRAMES) << PAGE_SHIFT;
}

static int frame_of(uint64_t gpa)
{
	uint64_t gfn = gpa >> PAGE_SHIFT;

	if (gfn < LOW_FRAMES)
		return (int)gfn;
	return gfn >= HIGH_FIRST && gfn - HIGH_FIRST < HIGH_FRAMES
		   ? (int)(gfn - HIGH_FIRST + LOW_FRAMES)
		   : -1;
}

static void *at_gpa(uint64_t gpa)
{
	int f = frame_of(gpa);

	return f < 0 ? NULL : memory[f] + (gpa & (PAGE_SIZE - 1));
}

static uint64_t peek(uint64_t gpa, unsigned width)
{
	uint64_t value = 0;

	memcpy(&value, at_gpa(gpa), width);
	return value;
}

static void poke(uint64_t gpa, unsigned width, uint64_t value)
{
	memcpy(at_gpa(gpa), &value, width);
}

static int ram_read(void *ctx, gpa_t gpa, unsigned width, uint64_t *value)
{
	(void)ctx;
	reads++;
	if (!at_gpa(gpa_raw(gpa)) || gpa_raw(gpa) % width)
		return -1;
	*value = peek(gpa_raw(gpa), width);
	return 0;
}

static int ram_cmpxchg(void *ctx, gpa_t gpa, unsigned width, uint64_t expected, uint64_t desired,
		       bool *swapped)
{
	(void)ctx;
	swaps++;
	if (!at_gpa(gpa_raw(gpa)) || read_only[frame_of(gpa_raw(gpa))])
		return -1;
	if (before_swap)
		before_swap(gpa_raw(gpa), at_gpa(gpa_raw(gpa)), width);
	*swapped = peek(gpa_raw(gpa), width) == expected;
	if (*swapped)
		poke(gpa_raw(gpa), width, desired);
	return 0;
}

static const struct guest_walk_ops ops = {ram_read, ram_cmpxchg};

/* --- the second walker --------------------------------------------------------------------------
 */

struct answer {
	int cause;
	uint32_t error;
	uint64_t gpa;
	unsigned shift, entry_count, width;
	uint64_t where[4], after[4]; /* entries used, and what they hold afterwards */
};

static bool bit(uint64_t v, unsigned n)
{
	return v >> n & 1;
}

static bool any_bit(uint64_t v, unsigned high, unsigned low)
{
	for (unsigned n = low; n <= high; n++)
		if (bit(v, n))
			return true;
	return false;
}

static uint32_t base_error(const struct guest_paging *p, unsigned access)
{
	uint32_t e = 0;

	if (access & GUEST_WALK_WRITE)
		e |= 2;
	if (access & GUEST_WALK_USER)
		e |= 4;
	if (access & GUEST_WALK_FETCH && ((bit(p->cr4, 5) && bit(p->efer, 11)) || bit(p->cr4, 20)))
		e |= 16;
	return e;
}

/* "Determination of Access Rights", case by case. */
static bool allowed(const struct guest_paging *p, unsigned access, bool user_address, bool writable,
		    bool executable)
{
	bool wp = bit(p->cr0, 16), smep = bit(p->cr4, 20), smap = bit(p->cr4, 21);
	bool ac = bit(p->rflags, 18) && !(access & GUEST_WALK_IMPLICIT);

	if (!(access & GUEST_WALK_USER)) {
		if (access & GUEST_WALK_FETCH) {
			if (!user_address)
				return executable;
			return smep ? false : executable;
		}
		if (user_address && smap && !ac)
			return false;
		if (access & GUEST_WALK_WRITE)
			return wp ? writable : true;
		return true;
	}
	if (!user_address)
		return false;
	if (access & GUEST_WALK_FETCH)
		return executable;
	if (access & GUEST_WALK_WRITE)
		return writable;
	return true;
}

static bool key_allows(const struct guest_paging *p, unsigned access, uint64_t leaf)
{
	unsigned key = (unsigned)(leaf >> 59) & 15;

	if (!bit(p->cr4, 22) || !bit(p->efer, 10) || access & GUEST_WALK_FETCH)
		return true;
	if (bit(p->pkru, 2 * key))
		return false;
	if (bit(p->pkru, 2 * key + 1) && access & GUEST_WALK_WRITE &&
	    (access & GUEST_WALK_USER || bit(p->cr0, 16)))
		return false;
	return true;
}

enum step_result { STEP_TABLE, STEP_PAGE, STEP_END };

/* One level. "level": 4 PML4E, 3 PDPTE, 2 PDE, 1 PTE; mode: address width of an entry's mode. */
static enum step_result step(const struct guest_paging *p, uint64_t table, unsigned index,
			     unsigned level, int mode, unsigned access, uint64_t *entry,
			     struct answer *a)
{
	unsigned width = mode == 32 ? 4 : 8;
	uint64_t at = table + (uint64_t)index * width;

	a->width = width;
	if (!at_gpa(at)) {
		a->cause = GUEST_WALK_NO_RAM;
		return STEP_END;
	}
	*entry = peek(at, width);
	a->where[a->entry_count] = at;
	a->after[a->entry_count++] = *entry;
	a->cause = GUEST_WALK_PAGE_FAULT;
	a->error = base_error(p, access);
	if (!bit(*entry, 0))
		return STEP_END;
	a->error |= 1 | 8;
	bool page = level == 1, large = false;
	if (mode == 32) {
		if (level == 2 && bit(*entry, 7) && bit(p->cr4, 4))
			page = large = true;
		unsigned m = p->maxphyaddr < 40 ? p->maxphyaddr : 40;
		if (large && p->no_pse36 && any_bit(*entry, 21, 13))
			return STEP_END;
		if (large && !p->no_pse36 && any_bit(*entry, 21, m - 19))
			return STEP_END;
		return page ? STEP_PAGE : STEP_TABLE;
	}
	if (any_bit(*entry, mode == 36 ? 62 : 51, p->maxphyaddr))
		return STEP_END;
	if (bit(*entry, 63) && !bit(p->efer, 11))
		return STEP_END;
	if (bit(*entry, 7)) {
		if (level == 4 || (level == 3 && p->no_1g_pages))
			return STEP_END;
		if (level == 3 && any_bit(*entry, 29, 13))
			return STEP_END;
		if (level == 2 && any_bit(*entry, 20, 13))
			return STEP_END;
		page = true;
	}
	return page ? STEP_PAGE : STEP_TABLE;
}

static struct answer second_walk(const struct guest_paging *p, uint64_t va, unsigned access)
{
	struct answer a = {0};
	uint64_t entry = 0, table;
	bool user_address = true, writable = true, executable = true;
	unsigned level;
	int mode;

	if (!bit(p->cr0, 31) || !bit(p->efer, 10)) {
		if (va > 0xffffffff) {
			a.cause = GUEST_WALK_NOT_CANONICAL;
			return a;
		}
	}
	if (!bit(p->cr0, 31)) {
		a.gpa = va;
		a.shift = 12;
		return a;
	}
	if (bit(p->efer, 10)) {
		if (any_bit(va, 63, 47) && any_bit(~va, 63, 47)) {
			a.cause = GUEST_WALK_NOT_CANONICAL;
			return a;
		}
		mode = 48;
		level = 4;
		table = p->cr3 & 0x000ffffffffff000;
	} else if (bit(p->cr4, 5)) {
		uint64_t pdpte = p->pdpte[va >> 30];

		if (!bit(pdpte, 0)) {
			a.cause = GUEST_WALK_PAGE_FAULT;
			a.error = base_error(p, access);
			return a;
		}
		mode = 36;
		level = 2;
		table = pdpte & 0x000ffffffffff000;
	} else {
		mode = 32;
		level = 2;
		table = p->cr3 & 0xfffff000;
	}
	for (;; level--) {
		unsigned index;

		if (mode == 32)
			index =
			    level == 2 ? (unsigned)(va >> 22) & 1023 : (unsigned)(va >> 12) & 1023;
		else
			index = (unsigned)(va >> (level == 4   ? 39
						  : level == 3 ? 30
						  : level == 2 ? 21
							       : 12)) &
				511;
		enum step_result r = step(p, table, index, level, mode, access, &entry, &a);

		if (r == STEP_END)
			return a;
		user_address &= bit(entry, 2);
		writable &= bit(entry, 1);
		executable &= !(mode != 32 && bit(entry, 63));
		if (r == STEP_PAGE)
			break;
		table = mode == 32 ? entry & 0xfffff000 : entry & 0x000ffffffffff000;
	}
	bool key_ok = !user_address || key_allows(p, access, entry);
	if (!key_ok || !allowed(p, access, user_address, writable, executable)) {
		a.error = base_error(p, access) | 1 | (key_ok ? 0 : 32);
		return a;
	}
	a.error = 0;
	a.cause = GUEST_WALK_OK;
	if (mode == 32 && level == 2) {
		a.shift = 22;
		a.gpa = (entry & 0xffc00000) | (va & 0x3fffff);
		for (unsigned n = 13; n <= 20; n++)
			a.gpa |= (uint64_t)bit(entry, n) << (n + 19);
	} else {
		a.shift = level == 3 ? 30 : level == 2 ? 21 : 12;
		a.gpa = (mode == 32 ? entry & 0xfffff000 : entry & 0x000ffffffffff000) >>
			a.shift << a.shift;
		a.gpa |= va & ((1ull << a.shift) - 1);
	}
	for (unsigned i = 0; i < a.entry_count; i++)
		a.after[i] |= 0x20;
	if (access & GUEST_WALK_WRITE)
		a.after[a.entry_count - 1] |= 0x40;
	return a;
}

/* --- rule by rule -------------------------------------------------------------------------------
 */

#define P      1ull
#define W      2ull
#define U      4ull
#define A      0x20ull
#define D      0x40ull
#define PS     0x80ull
#define NX     (1ull << 63)
#define KEY(k) ((uint64_t)(k) << 59)

#define R_ GUEST_WALK_READ
#define W_ GUEST_WALK_WRITE
#define F_ GUEST_WALK_FETCH
#define U_ GUEST_WALK_USER
#define I_ GUEST_WALK_IMPLICIT

enum mode { BITS32, PAE, LONG };

#define OK_ 0xffffu /* no fault */

/*
 * Tables lie in frames 1.. from the top level on, the page in frame 9 (or at 0 for a large page).
 * flags: of the entries from the top on; the way ends at an entry with PS (where there may be
 * one), or at the last level.
 */
struct rule {
	const char *name;
	enum mode mode;
	uint64_t cr0, cr4, efer, rflags; /* beyond what the mode needs */
	uint32_t pkru;
	uint64_t flags[4];
	unsigned access;
	uint32_t error; /* or OK_ */
};

#define ALL2(f)          \
	{                \
		(f), (f) \
	}
#define ALL4(f)                    \
	{                          \
		(f), (f), (f), (f) \
	}
#define WP_ CR0_WP

/* clang-format off */
static const struct rule rules[] = {
	{"32-bit: supervisor read", BITS32, 0, 0, 0, 0, 0, ALL2(P), R_, OK_},
	{"32-bit: PDE not present", BITS32, 0, 0, 0, 0, 0, {0, P}, R_, 0},
	{"32-bit: PTE not present, write", BITS32, 0, 0, 0, 0, 0, {P, 0}, W_, 2},
	{"32-bit: not present, user write", BITS32, 0, 0, 0, 0, 0, {P | U, 0}, W_ | U_, 6},
	{"32-bit: supervisor write to read-only, WP 0", BITS32, 0, 0, 0, 0, 0, ALL2(P), W_, OK_},
	{"32-bit: supervisor write to read-only, WP 1", BITS32, WP_, 0, 0, 0, 0, {P | W, P}, W_, 3},
	{"32-bit: read-only in the PDE counts too", BITS32, WP_, 0, 0, 0, 0, {P, P | W}, W_, 3},
	{"32-bit: user write to read-only, WP 0", BITS32, 0, 0, 0, 0, 0, {P | U | W, P | U}, W_ | U_, 7},
	{"32-bit: user read of a supervisor page", BITS32, 0, 0, 0, 0, 0, {P | U, P}, U_, 5},
	{"32-bit: U/S is needed in the PDE too", BITS32, 0, 0, 0, 0, 0, {P, P | U}, U_, 5},
	{"32-bit: user read", BITS32, 0, 0, 0, 0, 0, ALL2(P | U), U_, OK_},
	{"32-bit: user fetch", BITS32, 0, 0, 0, 0, 0, ALL2(P | U), U_ | F_, OK_},
	{"32-bit: fetch fault, I/D not reported", BITS32, 0, 0, 0, 0, 0, {P | U, P}, U_ | F_, 5},
	{"32-bit: fetch fault, I/D reported with SMEP", BITS32, 0, CR4_SMEP, 0, 0, 0, {P | U, P}, U_ | F_, 0x15},
	{"32-bit: supervisor fetch from a user page, SMEP", BITS32, 0, CR4_SMEP, 0, 0, 0, ALL2(P | U), F_, 0x11},
	{"32-bit: the same without SMEP", BITS32, 0, 0, 0, 0, 0, ALL2(P | U), F_, OK_},
	{"32-bit: EFER.NXE means nothing for I/D without PAE", BITS32, 0, 0, EFER_NXE, 0, 0, {P, 0}, F_, 0},
	{"32-bit: SMAP", BITS32, 0, CR4_SMAP, 0, 0, 0, ALL2(P | U), R_, 1},
	{"32-bit: PS without PSE is ignored", BITS32, 0, 0, 0, 0, 0, {P | PS, P}, R_, OK_},
	{"32-bit: 4M page", BITS32, 0, CR4_PSE, 0, 0, 0, {P | PS, 0}, R_, OK_},
	{"32-bit: 4M page, bit 21", BITS32, 0, CR4_PSE, 0, 0, 0, {P | PS | 1 << 21, 0}, R_, 9},
	{"32-bit: 4M page, PAT", BITS32, 0, CR4_PSE, 0, 0, 0, {P | PS | 1 << 12, 0}, R_, OK_},
	{"32-bit: 4M page at 512 GiB", BITS32, 0, CR4_PSE, 0, 0, 0, {P | PS | 1 << 20, 0}, R_, OK_},
	{"32-bit: bit 7 of a PTE is PAT", BITS32, 0, CR4_PSE, 0, 0, 0, {P, P | PS}, R_, OK_},
	{"PAE: read", PAE, 0, 0, 0, 0, 0, ALL2(P), R_, OK_},
	{"PAE: PDE not present", PAE, 0, 0, 0, 0, 0, {0, P}, R_, 0},
	{"PAE: 2M page", PAE, 0, 0, 0, 0, 0, {P | PS, 0}, R_, OK_},
	{"PAE: 2M page, bit 13", PAE, 0, 0, 0, 0, 0, {P | PS | 1 << 13, 0}, R_, 9},
	{"PAE: 2M page, bit 20", PAE, 0, 0, 0, 0, 0, {P | PS | 1 << 20, 0}, R_, 9},
	{"PAE: NX without NXE", PAE, 0, 0, 0, 0, 0, {P, P | NX}, R_, 9},
	{"PAE: NX", PAE, 0, 0, EFER_NXE, 0, 0, {P, P | NX}, R_, OK_},
	{"PAE: fetch from NX", PAE, 0, 0, EFER_NXE, 0, 0, {P, P | NX}, F_, 0x11},
	{"PAE: fetch from NX in the PDE", PAE, 0, 0, EFER_NXE, 0, 0, {P | NX, P}, F_, 0x11},
	{"PAE: fetch not present, NXE", PAE, 0, 0, EFER_NXE, 0, 0, {P, 0}, F_, 0x10},
	{"PAE: fetch not present, no NXE", PAE, 0, 0, 0, 0, 0, {P, 0}, F_, 0},
	{"PAE: bit 52 is reserved", PAE, 0, 0, EFER_NXE, 0, 0, {P, P | 1ull << 52}, R_, 9},
	{"PAE: bit 62 is reserved", PAE, 0, 0, EFER_NXE, 0, 0, {P | 1ull << 62, P}, R_, 9},
	{"PAE: bit 40, one beyond MAXPHYADDR", PAE, 0, 0, 0, 0, 0, {P, P | 1ull << 40}, W_, 11},
	{"PAE: bit 39, the highest of an address", PAE, 0, 0, 0, 0, 0, {P, P | 1ull << 39}, W_, OK_},
	{"PAE: PKE means nothing", PAE, 0, CR4_PKE, 0, 0, ~0u, ALL2(P | U), U_, OK_},
	{"long: read", LONG, 0, 0, 0, 0, 0, ALL4(P), R_, OK_},
	{"long: PML4E not present", LONG, 0, 0, 0, 0, 0, {0}, R_, 0},
	{"long: PDPTE not present", LONG, 0, 0, 0, 0, 0, {P}, W_, 2},
	{"long: PDE not present", LONG, 0, 0, 0, 0, 0, {P, P}, U_, 4},
	{"long: PTE not present", LONG, 0, 0, 0, 0, 0, {P, P, P}, R_, 0},
	{"long: not present below a supervisor entry, user", LONG, 0, 0, 0, 0, 0, {P, P | U, P | U}, U_, 4},
	{"long: PS in a PML4E", LONG, 0, 0, 0, 0, 0, {P | PS, P, P, P}, R_, 9},
	{"long: 1G page", LONG, 0, 0, 0, 0, 0, {P, P | PS}, R_, OK_},
	{"long: 1G page, bit 13", LONG, 0, 0, 0, 0, 0, {P, P | PS | 1 << 13}, R_, 9},
	{"long: 1G page, bit 29", LONG, 0, 0, 0, 0, 0, {P, P | PS | 1 << 29}, R_, 9},
	{"long: 1G page, PAT", LONG, 0, 0, 0, 0, 0, {P, P | PS | 1 << 12}, R_, OK_},
	{"long: 2M page", LONG, 0, 0, 0, 0, 0, {P, P, P | PS}, R_, OK_},
	{"long: 2M page, bit 20", LONG, 0, 0, 0, 0, 0, {P, P, P | PS | 1 << 20}, R_, 9},
	{"long: bit 40, one beyond MAXPHYADDR, in the PML4E", LONG, 0, 0, 0, 0, 0, {P | 1ull << 40, P, P, P}, R_, 9},
	{"long: bit 51", LONG, 0, 0, 0, 0, 0, {P, P, P, P | 1ull << 51}, R_, 9},
	{"long: bits 62:52 are ignored", LONG, 0, 0, 0, 0, 0, ALL4(P | 0x7ffull << 52), R_, OK_},
	{"long: NX without NXE", LONG, 0, 0, 0, 0, 0, {P | NX, P, P, P}, R_, 9},
	{"long: reserved wins over rights", LONG, WP_, 0, 0, 0, 0, {P, P, P, P | NX}, W_ | U_, 15},
	{"long: fetch from NX", LONG, 0, 0, EFER_NXE, 0, 0, {P | NX, P, P, P}, F_, 0x11},
	{"long: supervisor fetch from a user page, SMEP", LONG, 0, CR4_SMEP, 0, 0, 0, ALL4(P | U), F_, 0x11},
	{"long: user fetch from a user page, SMEP", LONG, 0, CR4_SMEP, 0, 0, 0, ALL4(P | U), F_ | U_, OK_},
	{"long: supervisor fetch, one level supervisor, SMEP", LONG, 0, CR4_SMEP, 0, 0, 0, {P | U, P | U, P, P | U}, F_, OK_},
	{"SMAP: read", LONG, 0, CR4_SMAP, 0, 0, 0, ALL4(P | U), R_, 1},
	{"SMAP: read with AC", LONG, 0, CR4_SMAP, 0, RFLAGS_AC, 0, ALL4(P | U), R_, OK_},
	{"SMAP: implicit read with AC", LONG, 0, CR4_SMAP, 0, RFLAGS_AC, 0, ALL4(P | U), I_, 1},
	{"SMAP: write, WP 0", LONG, 0, CR4_SMAP, 0, 0, 0, ALL4(P | U | W), W_, 3},
	{"SMAP: write with AC", LONG, WP_, CR4_SMAP, 0, RFLAGS_AC, 0, ALL4(P | U | W), W_, OK_},
	{"SMAP: write with AC to read-only, WP 1", LONG, WP_, CR4_SMAP, 0, RFLAGS_AC, 0, ALL4(P | U), W_, 3},
	{"SMAP: write with AC to read-only, WP 0", LONG, 0, CR4_SMAP, 0, RFLAGS_AC, 0, ALL4(P | U), W_, OK_},
	{"SMAP: fetch is not its matter", LONG, 0, CR4_SMAP, 0, 0, 0, ALL4(P | U), F_, OK_},
	{"SMAP: supervisor page", LONG, 0, CR4_SMAP, 0, 0, 0, {P | U, P | U, P | U, P}, R_, OK_},
	{"SMAP: user access", LONG, 0, CR4_SMAP, 0, 0, 0, ALL4(P | U), U_, OK_},
	{"PKU: access disabled, user read", LONG, 0, CR4_PKE, 0, 0, 1u << 10, {P | U, P | U, P | U, P | U | KEY(5)}, U_, 0x25},
	{"PKU: another key", LONG, 0, CR4_PKE, 0, 0, 1u << 10, {P | U, P | U, P | U, P | U | KEY(4)}, U_, OK_},
	{"PKU: the key of upper levels does not count", LONG, 0, CR4_PKE, 0, 0, 1u << 10, {P | U, P | U, P | U | KEY(5), P | U}, U_, OK_},
	{"PKU: access disabled, supervisor read", LONG, 0, CR4_PKE, 0, 0, 1, ALL4(P | U), R_, 0x21},
	{"PKU: supervisor page", LONG, 0, CR4_PKE, 0, 0, ~0u, ALL4(P), R_, OK_},
	{"PKU: fetch", LONG, 0, CR4_PKE, 0, 0, ~0u, ALL4(P | U), U_ | F_, OK_},
	{"PKU: write disabled, user read", LONG, 0, CR4_PKE, 0, 0, 2, ALL4(P | U | W), U_, OK_},
	{"PKU: write disabled, user write", LONG, 0, CR4_PKE, 0, 0, 2, ALL4(P | U | W), U_ | W_, 0x27},
	{"PKU: write disabled, supervisor write, WP 0", LONG, 0, CR4_PKE, 0, 0, 2, ALL4(P | U | W), W_, OK_},
	{"PKU: write disabled, supervisor write, WP 1", LONG, WP_, CR4_PKE, 0, 0, 2, ALL4(P | U | W), W_, 0x23},
	{"PKU: key of a 2M page", LONG, 0, CR4_PKE, 0, 0, 1u << 30, {P | U, P | U, P | U | PS | KEY(15)}, U_, 0x25},
	{"PKU: not enabled", LONG, 0, 0, 0, 0, ~0u, ALL4(P | U), U_, OK_},
	{"PKU: reported besides read-only", LONG, 0, CR4_PKE, 0, 0, 1, ALL4(P | U), U_ | W_, 0x27},
	{"PKU: not reported when not present", LONG, 0, CR4_PKE, 0, 0, 1, {P | U, P | U, P | U}, U_, 4},
};
/* clang-format on */

static struct guest_paging paging_for(enum mode mode)
{
	struct guest_paging p = {.cr0 = CR0_PG | CR0_PE, .maxphyaddr = 40};

	if (mode != BITS32)
		p.cr4 = CR4_PAE;
	if (mode == LONG)
		p.efer = EFER_LME | EFER_LMA;
	p.cr3 = frame_gpa(1);
	if (mode == PAE)
		p.pdpte[2] = frame_gpa(1) | P;
	return p;
}

#define TEST_VA 0x8c345678ull /* in the third GiB: PDPTE 2 */

static unsigned index_of(enum mode mode, unsigned i)
{
	static const unsigned shifts[3][4] = {{22, 12}, {21, 12}, {39, 30, 21, 12}};

	return (unsigned)(TEST_VA >> shifts[mode][i]) & (mode == BITS32 ? 1023 : 511);
}

/* Writes the entries of a way; returns how many it has. */
static unsigned build(enum mode mode, uint64_t cr4, const uint64_t *flags, uint64_t where[4])
{
	unsigned width = mode == BITS32 ? 4 : 8, count = mode == LONG ? 4 : 2;

	memset(memory, 0, sizeof(memory));
	for (unsigned i = 0; i < count; i++) {
		bool last = i + 1 == count;
		bool large = !last && flags[i] & PS && (mode != BITS32 || cr4 & CR4_PSE);
		uint64_t target = last ? frame_gpa(9) : large ? 0 : frame_gpa(2 + i);

		where[i] = frame_gpa(1 + i) + index_of(mode, i) * width;
		poke(where[i], width, target | flags[i]);
		if (large)
			return i + 1;
	}
	return count;
}

static void test_rules(void)
{
	for (unsigned i = 0; i < array_size(rules); i++) {
		const struct rule *r = &rules[i];
		struct guest_paging p = paging_for(r->mode);
		struct guest_walk_result out;
		uint64_t where[4];

		p.cr0 |= r->cr0;
		p.cr4 |= r->cr4;
		p.efer |= r->efer;
		p.rflags |= r->rflags;
		p.pkru = r->pkru;
		build(r->mode, p.cr4, r->flags, where);
		swaps = 0;
		int rc = guest_walk(&p, make_gva(TEST_VA), r->access, &ops, NULL, &out);
		if (r->error == OK_)
			ok(rc == 0 && out.cause == GUEST_WALK_OK && out.error_code == 0, "%s: goes",
			   r->name);
		else
			ok(rc == -XEN_EFAULT && out.cause == GUEST_WALK_PAGE_FAULT &&
			       out.error_code == r->error && swaps == 0,
			   "%s: error code %#x, nothing written", r->name, r->error);
		if (rc && r->error != OK_ && out.error_code != r->error)
			diag("error code %#x", out.error_code);
		struct answer a = second_walk(&p, TEST_VA, r->access);
		if (swaps == 0 && rc && (a.cause != out.cause || a.error != out.error_code))
			fail("%s: the second walker disagrees", r->name);
	}
}

static void test_modes(void)
{
	struct guest_paging p = {.cr0 = CR0_PE, .maxphyaddr = 40};
	struct guest_walk_result out;
	uint64_t where[4];
	static const uint64_t wu[4] = {P | W | U, P | W | U, P | W | U, P | W | U};

	reads = 0;
	is(guest_walk(&p, make_gva(0xfffff123), W_ | U_, &ops, NULL, &out), 0,
	   "no paging: anything goes");
	ok(gpa_raw(out.gpa) == 0xfffff123 && out.page_shift == 12 && reads == 0, "one to one");
	is(guest_walk(&p, make_gva(1ull << 32), R_, &ops, NULL, &out), -XEN_EFAULT, "beyond 4G");
	is(out.cause, GUEST_WALK_NOT_CANONICAL, "is no address");
	p = paging_for(BITS32);
	is(guest_walk(&p, make_gva(1ull << 40), R_, &ops, NULL, &out), -XEN_EFAULT,
	   "nor in 32-bit paging");
	p = paging_for(LONG);
	ok(guest_walk(&p, make_gva(1ull << 47), R_, &ops, NULL, &out) &&
	       out.cause == GUEST_WALK_NOT_CANONICAL,
	   "long mode: bit 47 without the bits above");
	ok(guest_walk(&p, make_gva(~0ull >> 1), R_, &ops, NULL, &out) &&
	       out.cause == GUEST_WALK_NOT_CANONICAL,
	   "long mode: bit 63 clear, 62 set");
	ok(guest_walk(&p, make_gva(0xffff800000000000), R_, &ops, NULL, &out) &&
	       out.cause != GUEST_WALK_NOT_CANONICAL,
	   "long mode: the lowest address of the upper half");
	ok(!guest_address_canonical(make_gva(0x0000800000000000)) &&
	       guest_address_canonical(make_gva(0x00007fffffffffff)) &&
	       guest_address_canonical(make_gva(0xffff800000000000)) &&
	       !guest_address_canonical(make_gva(0xffff7fffffffffff)),
	   "canonical addresses");
	is(guest_paging_linear_mask(&p), -1, "linear addresses of 64-bit code");
	p.compatibility = true;
	is(guest_paging_linear_mask(&p), 0xffffffff, "of compatibility mode");

	static const unsigned counts[] = {[BITS32] = 2, [PAE] = 2, [LONG] = 4};
	for (enum mode m = BITS32; m <= LONG; m++) {
		p = paging_for(m);
		unsigned n = build(m, p.cr4, wu, where), width = m == BITS32 ? 4 : 8;
		is(n, counts[m], "mode %d: levels", m);
		is(guest_walk(&p, make_gva(TEST_VA), R_, &ops, NULL, &out), 0, "mode %d: read", m);
		is(gpa_raw(out.gpa), frame_gpa(9) | 0x678, "mode %d: address", m);
		bool flags = true;
		for (unsigned i = 0; i < n; i++)
			flags &= (peek(where[i], width) & (A | D)) == A;
		ok(flags, "mode %d: a read sets A at every level, D nowhere", m);
		swaps = 0;
		is(guest_walk(&p, make_gva(TEST_VA), R_, &ops, NULL, &out), 0, "mode %d: again", m);
		is(swaps, 0, "mode %d: flags that are set are not written", m);
		is(guest_walk(&p, make_gva(TEST_VA), W_, &ops, NULL, &out), 0, "mode %d: write", m);
		is(swaps, 1, "mode %d: one more flag", m);
		ok(peek(where[n - 1], width) & D && !(peek(where[0], width) & D),
		   "mode %d: D in the last entry alone", m);
	}

	p = paging_for(BITS32);
	p.cr4 |= CR4_PSE;
	uint64_t four_m[2] = {P | PS | 0xc0000000 | 0xfe << 13};
	build(BITS32, p.cr4, four_m, where);
	is(guest_walk(&p, make_gva(TEST_VA), R_, &ops, NULL, &out), 0, "PSE-36");
	ok(gpa_raw(out.gpa) == (0xfeull << 32 | 0xc0000000 | (TEST_VA & 0x3fffff)) &&
	       out.page_shift == 22,
	   "40 bits of address");
	p.maxphyaddr = 36;
	is(guest_walk(&p, make_gva(TEST_VA), R_, &ops, NULL, &out), -XEN_EFAULT,
	   "MAXPHYADDR 36: 36 bits");
	is(out.error_code, 9, "the others are reserved");
	p.maxphyaddr = 46;
	is(guest_walk(&p, make_gva(TEST_VA), R_, &ops, NULL, &out), 0, "MAXPHYADDR 46: still 40");
	p.no_pse36 = true;
	is(guest_walk(&p, make_gva(TEST_VA), R_, &ops, NULL, &out), -XEN_EFAULT,
	   "none without PSE-36");

	p = paging_for(PAE);
	p.pdpte[2] &= ~P;
	is(guest_walk(&p, make_gva(TEST_VA), W_, &ops, NULL, &out), -XEN_EFAULT,
	   "PAE: PDPTE not present");
	is(out.error_code, 2, "is a page fault");
	p.pdpte[2] = frame_gpa(LOW_FRAMES) | P; /* beyond 4G */
	build(PAE, p.cr4, wu, where);
	memcpy(memory[LOW_FRAMES], memory[1], PAGE_SIZE);
	is(guest_walk(&p, make_gva(TEST_VA), W_, &ops, NULL, &out), 0, "PAE: tables beyond 4G");

	p = paging_for(LONG);
	p.no_1g_pages = true;
	uint64_t one_g[4] = {P, P | PS};
	build(LONG, 0, one_g, where);
	is(guest_walk(&p, make_gva(TEST_VA), R_, &ops, NULL, &out), -XEN_EFAULT,
	   "a 1G page where there is none");
	is(out.error_code, 9, "is a reserved bit");
	p.cr3 |= 0xfff | 1ull << 63;
	p.no_1g_pages = false;
	is(guest_walk(&p, make_gva(TEST_VA), R_, &ops, NULL, &out), 0,
	   "low bits of CR3 are not the table's");
	is(out.page_shift, 30, "1G");

	p = paging_for(LONG);
	p.cr3 = 0x7777000;
	ok(guest_walk(&p, make_gva(TEST_VA), R_, &ops, NULL, &out) == -XEN_EFAULT &&
	       out.cause == GUEST_WALK_NO_RAM,
	   "a table where there is no RAM");
	p = paging_for(LONG);
	build(LONG, 0, wu, where);
	read_only[3] = true;
	ok(guest_walk(&p, make_gva(TEST_VA), R_, &ops, NULL, &out) == -XEN_EFAULT &&
	       out.cause == GUEST_WALK_NO_RAM,
	   "flags to be set in a table that cannot be written");
	for (unsigned i = 0; i < 4; i++)
		poke(where[i], 8, peek(where[i], 8) | A);
	is(guest_walk(&p, make_gva(TEST_VA), R_, &ops, NULL, &out), 0, "flags set already");
	read_only[3] = false;
}

/* --- a guest that changes its tables meanwhile --------------------------------------------------
 */

static unsigned race_at;     /* which swap is raced, from 0 */
static uint64_t race_toggle; /* what the guest changes in the entry */
static bool race_always;

static void race(uint64_t gpa, void *entry, unsigned width)
{
	(void)gpa;
	if (race_always || race_at-- == 0) {
		uint64_t value = 0;
		memcpy(&value, entry, width);
		value ^= race_toggle;
		memcpy(entry, &value, width);
	}
}

static void test_races(void)
{
	static const uint64_t wu[4] = {P | W | U, P | W | U, P | W | U, P | W | U};
	struct guest_walk_result out;
	uint64_t where[4];

	before_swap = race;
	for (enum mode m = BITS32; m <= LONG; m++) {
		struct guest_paging p = paging_for(m);
		unsigned n = build(m, p.cr4, wu, where), width = m == BITS32 ? 4 : 8;

		for (unsigned at = 0; at < n; at++) {
			build(m, p.cr4, wu, where);
			race_at = at;
			race_toggle = 0x200; /* a bit for software */
			ok(guest_walk(&p, make_gva(TEST_VA), W_, &ops, NULL, &out) == 0 &&
			       peek(where[at], width) & 0x200 && peek(where[at], width) & A,
			   "mode %d: entry %u changed: the change and the flag are there", m, at);
			build(m, p.cr4, wu, where);
			race_at = at;
			race_toggle = P;
			ok(guest_walk(&p, make_gva(TEST_VA), W_, &ops, NULL, &out) == -XEN_EFAULT &&
			       out.cause == GUEST_WALK_PAGE_FAULT && out.error_code == 2 &&
			       !(peek(where[at], width) & (A | D | P)),
			   "mode %d: entry %u taken away: a page fault, and it stays untouched", m,
			   at);
		}
		build(m, p.cr4, wu, where);
		race_always = true;
		race_toggle = 0x200;
		reads = swaps = 0;
		ok(guest_walk(&p, make_gva(TEST_VA), W_, &ops, NULL, &out) == -XEN_EFAULT &&
		       out.cause == GUEST_WALK_RACED,
		   "mode %d: a guest that never stops is given up", m);
		ok(reads <= 64 && swaps <= 64, "mode %d: soon: %u reads, %u swaps", m, reads,
		   swaps);
		race_always = false;
	}
	before_swap = NULL;
}

/* --- at random ----------------------------------------------------------------------------------
 */

static bool coin(void)
{
	return random64() >> 63;
}

static uint64_t random_entry(enum mode mode, unsigned table_frame, bool rare)
{
	uint64_t e = frame_gpa(table_frame);

	e |= !one_in(20) ? P : 0;
	e |= !one_in(4) ? W : 0;
	e |= !one_in(3) ? U : 0;
	e |= random64() & (A | D | 0xe18); /* PWT, PCD, G (or ignored), software bits */
	e |= one_in(6) ? PS : 0;
	if (mode != BITS32) {
		e |= one_in(8) ? NX : 0;
		if (mode == LONG)
			e |= (random64() & 0x7ff) << 52;
		if (rare)
			e ^= 1ull << random64() % 64;
	} else if (rare) {
		e ^= 1u << random64() % 32;
	}
	if (e & PS && !one_in(4)) /* mostly aligned */
		e &= ~(mode == BITS32		? 0x3fe000ull
		       : mode == LONG && coin() ? 0x3fffe000ull
						: 0x1fe000ull);
	return e;
}

static void random_case(struct guest_paging *p, uint64_t *va, unsigned *access, enum mode mode)
{
	static const unsigned shifts[3][4] = {{22, 12}, {21, 12}, {39, 30, 21, 12}};
	static const unsigned bits[] = {32, 36, 39, 40, 46, 52};
	unsigned width = mode == BITS32 ? 4 : 8, count = mode == LONG ? 4 : 2;

	*p = paging_for(mode);
	p->maxphyaddr = bits[random64() % array_size(bits)];
	if (p->maxphyaddr < 36 && !one_in(4))
		p->maxphyaddr = 40;
	p->cr0 |= coin() ? CR0_WP : 0;
	p->cr4 |= random64() & (CR4_PSE | CR4_SMEP | CR4_SMAP | CR4_PGE);
	if (mode == LONG)
		p->cr4 |= coin() ? CR4_PKE : 0;
	p->efer |= !one_in(4) ? EFER_NXE : 0;
	p->rflags = coin() ? RFLAGS_AC : 0;
	p->pkru = (uint32_t)(random64() & random64());
	p->no_1g_pages = one_in(4);
	p->no_pse36 = one_in(4);
	*va = random64();
	if (mode == LONG) {
		if (!one_in(20))
			*va = (uint64_t)((int64_t)(*va << 16) >> 16);
	} else if (!one_in(50)) {
		*va = (uint32_t)*va;
	}
	unsigned frame = mode == BITS32 ? 1 : 1 + (unsigned)(random64() % (FRAMES - 6));
	p->cr3 = frame_gpa(frame) | (random64() & 0x18);
	for (unsigned i = 0; i < 4; i++)
		p->pdpte[i] = mode == PAE ? frame_gpa(frame) | (one_in(20) ? 0 : P) : 0;
	for (unsigned i = 0; i < count; i++) {
		unsigned index = (unsigned)(*va >> shifts[mode][i]) & (mode == BITS32 ? 1023 : 511);
		/* 32-bit tables cannot lie beyond 4G. */
		poke(frame_gpa(frame) + index * width, width,
		     random_entry(mode, frame + 1, one_in(12)));
		frame++;
	}
	static const unsigned kinds[] = {R_, W_, F_, I_, W_ | I_};
	*access = kinds[random64() % array_size(kinds)] | (coin() ? U_ : 0);
	if (*access & I_)
		*access &= ~U_;
}

static uint8_t expected_memory[FRAMES][PAGE_SIZE];

static void put(uint8_t image[FRAMES][PAGE_SIZE], uint64_t gpa, unsigned width, uint64_t value)
{
	memcpy(image[frame_of(gpa)] + (gpa & (PAGE_SIZE - 1)), &value, width);
}

static void test_random(bool racing)
{
	unsigned wrong = 0, wrong_memory = 0, went = 0, faulted = 0, reserved = 0, key = 0,
		 raced = 0;
	unsigned rounds = racing ? 20000 : 200000;

	for (unsigned round = 0; round < rounds; round++) {
		enum mode mode = (enum mode)(random64() % 3);
		struct guest_paging p;
		struct guest_walk_result out;
		unsigned access;
		uint64_t va;

		if (round % 16 == 0)
			memset(memory, 0, sizeof(memory));
		random_case(&p, &va, &access, mode);
		struct answer a = second_walk(&p, va, access);
		bool check_memory = racing || round % 16 == 0;
		if (check_memory)
			memcpy(expected_memory, memory, sizeof(memory));
		if (racing) {
			/* The guest changes the entry that a swap is about to hit, once. */
			unsigned written = 0;
			race_toggle = 1ull << random64() % (mode == BITS32 ? 32 : 64);
			if (race_toggle & A) /* then the swap has nothing left to do */
				race_toggle = P;
			race_at = (unsigned)(random64() % 4);
			if (a.cause == GUEST_WALK_OK) {
				for (unsigned i = 0; i < a.entry_count; i++) {
					uint64_t old = peek(a.where[i], a.width);
					if (old == a.after[i])
						continue;
					if (written++ < race_at) {
						put(expected_memory, a.where[i], a.width,
						    a.after[i]);
						continue;
					}
					/* What it should do now is what it should do from the start
					 * on the tables as they are then. */
					put(expected_memory, a.where[i], a.width,
					    old ^ race_toggle);
					uint8_t(*keep)[PAGE_SIZE] = malloc(sizeof(memory));
					memcpy(keep, memory, sizeof(memory));
					memcpy(memory, expected_memory, sizeof(memory));
					a = second_walk(&p, va, access);
					memcpy(memory, keep, sizeof(memory));
					free(keep);
					raced++;
					break;
				}
			}
			before_swap = race;
		}
		int rc = guest_walk(&p, make_gva(va), access, &ops, NULL, &out);
		before_swap = NULL;

		bool same = out.cause == a.cause && rc == (a.cause ? -XEN_EFAULT : 0);
		if (same && a.cause == GUEST_WALK_PAGE_FAULT)
			same = out.error_code == a.error;
		if (same && a.cause == GUEST_WALK_OK)
			same = gpa_raw(out.gpa) == a.gpa && out.page_shift == a.shift;
		if (!same && !wrong++)
			diag("mode %d va %#" PRIx64 " access %#x: cause %u error %#x gpa %#" PRIx64
			     ", expected cause %d error %#x gpa %#" PRIx64,
			     mode, va, access, out.cause, out.error_code, gpa_raw(out.gpa), a.cause,
			     a.error, a.gpa);
		for (unsigned i = 0; i < a.entry_count; i++) {
			uint64_t value = a.after[i];
			if (!racing && peek(a.where[i], a.width) != value)
				wrong_memory++;
			if (check_memory)
				put(expected_memory, a.where[i], a.width, value);
		}
		if (check_memory && memcmp(memory, expected_memory, sizeof(memory)))
			wrong_memory++;
		went += a.cause == GUEST_WALK_OK;
		faulted += a.cause == GUEST_WALK_PAGE_FAULT;
		reserved += a.error >> 3 & 1;
		key += a.error >> 5 & 1;
	}
	diag("%u went, %u page faults, %u of them reserved bits, %u keys, %u raced", went, faulted,
	     reserved, key, raced);
	is(wrong, 0, "%s: both walkers give the same answer", racing ? "racing" : "random");
	is(wrong_memory, 0, "%s: and leave the same memory", racing ? "racing" : "random");
	ok(went > rounds / 10 && faulted > rounds / 10 && reserved > rounds / 100 &&
	       key > rounds / 500,
	   "%s: all kinds happened", racing ? "racing" : "random");
	if (racing)
		ok(raced > rounds / 20, "racing: and so did races");
}

int main(void)
{
	tap_no_plan();
	test_rules();
	test_modes();
	test_races();
	test_random(false);
	test_random(true);
	return tap_end();
}
