/*
 * walker: the hypervisor's walk of a guest's page tables must agree with the CPU's. For each paging
 * mode, page size and set of rights, under each setting of WP, SMEP, SMAP, AC, NX and protection
 * keys, each kind of access is made by the guest and asked of the hypervisor (test hypercall WALK):
 * both must succeed and set the same accessed and dirty bits, or both fail with the same error
 * code. Needs a test build.
 */
#include "public/keyhole.h"
#include "walker.h"

/* Data is accessed behind the instruction that fetches find. */
#define DATA_OFFSET 8

enum kind { READ, WRITE, FETCH, KINDS };
static const char *const kind_names[KINDS] = {"read", "write", "fetch"};

struct access {
	enum kind kind;
	bool user;
	bool ac; /* supervisor with EFLAGS.AC */
};

struct outcome {
	bool done;
	uint32_t error;		       /* of the page fault */
	uint64_t marks[PLACE_ENTRIES]; /* accessed and dirty bits afterwards */
};

/* mov (%esp), %eax; ud2 -- and the other way round; the same bytes do for 64 bits, with RSP. */
static const uint8_t user_read[] = {0x8b, 0x04, 0x24, 0x0f, 0x0b};
static const uint8_t user_write[] = {0x89, 0x04, 0x24, 0x0f, 0x0b};
#define USER_WRITE_OFFSET 16
#define USER_ACCESS_SIZE  3 /* bytes before the UD2 */

static bool has_test_call;
static unsigned long compared, succeeded;
static unsigned mismatches;

/* --- page-table entries --------------------------------------------------------------------------
 */

static void entry_write(const struct place *p, unsigned i, uint64_t value)
{
	if (p->wide)
		*(volatile uint64_t *)p->entry[i] = value;
	else
		*(volatile uint32_t *)p->entry[i] = (uint32_t)value;
}

static uint64_t entry_read(const struct place *p, unsigned i)
{
	return p->wide ? *(volatile uint64_t *)p->entry[i] : *(volatile uint32_t *)p->entry[i];
}

/* Sets all entries anew, without accessed and dirty bits, and drops what the CPU has cached of
 * them. */
static void place_set(const struct place *p, uint64_t leaf_flags, uint64_t parent_flags)
{
	for (unsigned i = 0; i < p->count; i++) {
		uint64_t flags = FLAG_P | FLAG_W | FLAG_U;

		if (i == p->count - 1)
			flags = leaf_flags;
		else if (i == p->count - 2)
			flags = parent_flags;
		entry_write(p, i, p->value[i] | flags);
	}
	write_cr3(read_cr3());
}

static void read_marks(const struct place *p, struct outcome *o)
{
	for (unsigned i = 0; i < PLACE_ENTRIES; i++)
		o->marks[i] = i < p->count ? entry_read(p, i) & (FLAG_A | FLAG_D) : 0;
}

/* --- the two ways of an access -------------------------------------------------------------------
 */

static void supervisor_access(unsigned long address, struct access a)
{
	if (a.ac)
		__asm__ volatile("stac" : : : "memory");
	switch (a.kind) {
	case READ:
		(void)*(volatile uint32_t *)address;
		break;
	case WRITE:
		*(volatile uint32_t *)address = 1;
		break;
	default:
		((void (*)(void))address)();
	}
	if (a.ac)
		__asm__ volatile("clac" : : : "memory");
}

static void user_access(unsigned long address, struct access a)
{
	if (a.kind == FETCH)
		user_enter(address, 0);
	user_enter(user_code_address() + (a.kind == WRITE ? USER_WRITE_OFFSET : 0), address);
}

static struct outcome by_cpu(const struct place *p, unsigned long address, struct access a)
{
	struct trap t = TRAP(a.user ? user_access(address, a) : supervisor_access(address, a));
	struct outcome o = {.done = false};
	unsigned long user_end =
	    user_code_address() + USER_ACCESS_SIZE + (a.kind == WRITE ? USER_WRITE_OFFSET : 0);

	read_marks(p, &o);
	if (t.vector == -1 && !a.user && a.kind != FETCH)
		o.done = true;
	else if (t.vector == VECTOR_UD && t.ip == (a.kind == FETCH ? address : user_end))
		o.done = true;
	else if (t.vector == VECTOR_PF && t.address == address)
		o.error = (uint32_t)t.error;
	else
		tap_bail_out("%s at 0x%lx ended in exception %d at 0x%lx, CR2 0x%lx",
			     kind_names[a.kind], address, t.vector, t.ip, t.address);
	return o;
}

static struct outcome by_hypervisor(const struct place *p, unsigned long address, struct access a,
				    uint64_t *gpa)
{
	struct keyhole_test_walk walk = {.gva = address};
	struct outcome o = {.done = false};
	long result;

	walk.access = (a.kind == WRITE ? KEYHOLE_WALK_WRITE : 0) |
		      (a.kind == FETCH ? KEYHOLE_WALK_FETCH : 0) | (a.user ? KEYHOLE_WALK_USER : 0);
	if (a.ac)
		__asm__ volatile("stac" : : : "memory");
	result = hypercall(__HYPERVISOR_keyhole_test, KEYHOLE_TEST_WALK, (unsigned long)&walk, 0);
	if (a.ac)
		__asm__ volatile("clac" : : : "memory");
	if (result != 0)
		tap_bail_out("KEYHOLE_TEST_WALK: %ld", result);
	read_marks(p, &o);
	o.done = walk.status == 0;
	o.error = o.done ? 0 : walk.error_code;
	*gpa = walk.gpa;
	return o;
}

static void compare(const struct place *p, struct access a, uint64_t leaf_flags,
		    uint64_t parent_flags)
{
	unsigned long address = p->address + (a.kind == FETCH ? 0 : DATA_OFFSET);
	uint64_t expected = p->physical + (address - p->address), gpa = expected;
	struct outcome cpu, hypervisor;
	bool same;

	place_set(p, leaf_flags, parent_flags);
	cpu = by_cpu(p, address, a);
	place_set(p, leaf_flags, parent_flags);
	hypervisor = has_test_call ? by_hypervisor(p, address, a, &gpa) : cpu;
	compared++;
	succeeded += cpu.done;
	same = cpu.done == hypervisor.done && cpu.error == hypervisor.error;
	if (same && cpu.done)
		same =
		    gpa == expected && memcmp(cpu.marks, hypervisor.marks, sizeof(cpu.marks)) == 0;
	/* A failed access dirties nothing. */
	if (same && !cpu.done)
		same = !(hypervisor.marks[p->count - 1] & FLAG_D);
	if (same || mismatches++ >= 5)
		return;
	printf("# %s %s%s of a %s, leaf 0x%llx, parent 0x%llx, CR0 0x%lx, CR4 0x%lx: CPU %s 0x%x, "
	       "hypervisor "
	       "%s 0x%x, gpa 0x%llx\n",
	       a.user ? "user" : "supervisor", kind_names[a.kind], a.ac ? " (AC)" : "", p->name,
	       (unsigned long long)leaf_flags, (unsigned long long)parent_flags, read_cr0(),
	       read_cr4(), cpu.done ? "ok" : "fault", cpu.error, hypervisor.done ? "ok" : "fault",
	       hypervisor.error, (unsigned long long)gpa);
	for (unsigned i = 0; i < p->count && cpu.done; i++)
		printf("#   entry %u: marks 0x%llx, 0x%llx\n", i, (unsigned long long)cpu.marks[i],
		       (unsigned long long)hypervisor.marks[i]);
}

/* --- what is varied ------------------------------------------------------------------------------
 */

static uint64_t rights(unsigned bits, bool nx)
{
	return (bits & 1 ? FLAG_W : 0) | (bits & 2 ? FLAG_U : 0) | (bits & 4 && nx ? FLAG_NX : 0);
}

static void all_kinds(const struct place *p, bool ac, uint64_t leaf_flags, uint64_t parent_flags)
{
	for (unsigned kind = 0; kind < KINDS; kind++) {
		compare(p, (struct access){(enum kind)kind, false, ac}, leaf_flags, parent_flags);
		if (!ac)
			compare(p, (struct access){(enum kind)kind, true, false}, leaf_flags,
				parent_flags);
	}
}

static void all_rights(const struct place *p, bool ac, bool nx)
{
	const uint64_t all = FLAG_P | FLAG_W | FLAG_U;
	unsigned sets = nx ? 8 : 4;

	for (unsigned leaf = 0; leaf < sets; leaf++)
		for (unsigned parent = 0; parent < (p->count > 1 ? sets : 1); parent++)
			all_kinds(p, ac, FLAG_P | rights(leaf, nx),
				  p->count > 1 ? FLAG_P | rights(parent, nx) : all);
	/* Not present, whatever else is set; reserved bits, on either level and on both. */
	all_kinds(p, ac, 0, all);
	all_kinds(p, ac, all & ~FLAG_P, all);
	all_kinds(p, ac, p->reserved_leaf, all);
	if (p->reserved_leaf) {
		all_kinds(p, ac, all | p->reserved_leaf, all);
		all_kinds(p, ac, FLAG_P | p->reserved_leaf, all);
	}
	if (p->count > 1) {
		all_kinds(p, ac, all, 0);
		all_kinds(p, ac, all, all & ~FLAG_P);
		if (p->reserved_parent) {
			all_kinds(p, ac, all, all | p->reserved_parent);
			all_kinds(p, ac, all | p->reserved_leaf, FLAG_P | p->reserved_parent);
		}
	}
}

static void report(const char *mode, const struct place *p, const char *what)
{
	tap_ok(compared > 0 && succeeded > 0 && succeeded < compared && mismatches == 0,
	       "%s, %s, %s: %lu accesses, %lu of them allowed, %u differ", mode, p->name, what,
	       compared, succeeded, mismatches);
	compared = succeeded = 0;
	mismatches = 0;
}

static void with_protections(const char *mode, const struct place *p)
{
	uint32_t features = cpuid(7, 0).ebx;
	bool smep = features >> 7 & 1, smap = features >> 20 & 1;
	unsigned long cr0 = read_cr0(), cr4 = read_cr4();

	for (unsigned set = 0; set < 8; set++) {
		if ((set & 2 && !smep) || (set & 4 && !smap))
			continue;
		write_cr0(set & 1 ? cr0 | CR0_WP : cr0 & ~CR0_WP);
		write_cr4(cr4 | (set & 2 ? CR4_SMEP : 0) | (set & 4 ? CR4_SMAP : 0));
		all_rights(p, false, p->has_nx);
		if (set & 4)
			all_rights(p, true, p->has_nx);
	}
	write_cr0(cr0);
	write_cr4(cr4);
	report(mode, p, "WP, SMEP, SMAP");
}

#ifdef __x86_64__
static void write_pkru(uint32_t value)
{
	__asm__ volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory");
}

/*
 * Does the CPU apply PKRU.AD to supervisor accesses too, as the SDM has it (Vol. 3, "Protection
 * Keys")? Bochs 2.7 does not, and applies keys to supervisor pages, for which it looks at the upper
 * entries' U bits only.
 */
static bool keys_as_in_the_manual(const struct place *p)
{
	struct outcome o;

	write_pkru(1 << 2);
	place_set(p, FLAG_P | FLAG_U | PTE_PKEY(1), FLAG_P | FLAG_W | FLAG_U);
	o = by_cpu(p, p->address + DATA_OFFSET, (struct access){READ, false, false});
	write_pkru(0);
	return !o.done;
}

static void with_protection_keys(const char *mode, const struct place *p)
{
	const uint64_t key = PTE_PKEY(1), parent = FLAG_P | FLAG_W | FLAG_U;
	unsigned long cr0 = read_cr0(), cr4 = read_cr4();
	bool exact;

	if (!(cpuid(7, 0).ecx >> 3 & 1)) {
		tap_skip("protection keys", "the CPU has none");
		return;
	}
	write_cr4(cr4 | CR4_PKE);
	exact = keys_as_in_the_manual(p);
	for (uint32_t set = 0; set < 8; set++) {
		write_cr0(set & 1 ? cr0 | CR0_WP : cr0 & ~CR0_WP);
		/* Key 1: bit 2 forbids access, bit 3 writing. Key 0, all else, stays free. */
		write_pkru(set >> 1 << 2);
		for (unsigned leaf = 0; leaf < 8; leaf++) {
			uint64_t flags = FLAG_P | key | rights(leaf, true);

			if (exact)
				all_kinds(p, false, flags, parent);
			else if (flags & FLAG_U)
				for (unsigned kind = 0; kind < KINDS; kind++)
					compare(p, (struct access){(enum kind)kind, true, false},
						flags, parent);
		}
		all_kinds(p, false, key, parent);
	}
	write_pkru(0);
	write_cr0(cr0);
	write_cr4(cr4);
	report(mode, p,
	       exact ? "protection keys"
		     : "protection keys (by users only: the CPU differs from the manual)");
}

/* Without EFER.NXE bit 63 is reserved. */
static void without_nx(const char *mode, const struct place *p)
{
	uint64_t efer = rdmsr(MSR_EFER);

	wrmsr(MSR_EFER, efer & ~(uint64_t)EFER_NXE);
	all_rights(p, false, true);
	wrmsr(MSR_EFER, efer);
	report(mode, p, "without EFER.NXE");
}

static void non_canonical(void)
{
	static const uint64_t addresses[] = {0x0000800000000000ull, 0xffff7fffffffffffull,
					     0x8000000000000000ull};
	unsigned reached = 0;

	for (unsigned i = 0; i < array_size(addresses); i++) {
		struct keyhole_test_walk walk = {.gva = addresses[i]};

		hypercall(__HYPERVISOR_keyhole_test, KEYHOLE_TEST_WALK, (unsigned long)&walk, 0);
		reached += walk.status == 0;
	}
	tap_is(reached, 0, "no walk leads through a non-canonical address");
}
#else
static void without_paging(void)
{
	struct keyhole_test_walk walk = {.gva = 0x12345, .access = KEYHOLE_WALK_WRITE};

	hypercall(__HYPERVISOR_keyhole_test, KEYHOLE_TEST_WALK, (unsigned long)&walk, 0);
	tap_ok(walk.status == 0 && walk.gpa == 0x12345, "without paging an address is itself");
}
#endif

int main(void)
{
	uint8_t *user_code = page_alloc(),
		*target = (uint8_t *)(uintptr_t)(TARGET_BASE + TARGET_OFFSET);
	const char *mode;
	struct place places[4];
	unsigned count = 0;

	has_test_call =
	    hypercall(__HYPERVISOR_keyhole_test, KEYHOLE_TEST_AUDIT, 0, 0) != -XEN_ENOSYS;
	if (!has_test_call && xen_present) {
		printf("1..0 # SKIP the hypervisor is no test build\n");
		shutdown(SHUTDOWN_poweroff);
	}
	memcpy(user_code, user_read, sizeof(user_read));
	memcpy(user_code + USER_WRITE_OFFSET, user_write, sizeof(user_write));
	/* UD2 at the target, for fetches. */
	target[0] = 0x0f;
	target[1] = 0x0b;
#ifdef __i386__
	without_paging();
#else
	non_canonical();
#endif
	for (unsigned n = 0; (mode = mode_enter(n, user_code, places, &count)) != NULL; n++) {
		for (unsigned i = 0; i < count; i++) {
			with_protections(mode, &places[i]);
#ifdef __x86_64__
			without_nx(mode, &places[i]);
			with_protection_keys(mode, &places[i]);
#endif
		}
	}
	tap_done();
}
