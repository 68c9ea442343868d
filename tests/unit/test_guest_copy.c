/*
 * kernel/guest_copy.c: copies through a real p2m and a fake window, at every edge; and at random,
 * the short way through the tables against the long one.
 */
/* sources: kernel/guest_copy.c kernel/guest_walk.c vmx/ept.c vmx/ept_map.c vmx/ept_unmap.c */
/* sources: tests/unit/fake_pool.c tests/unit/fake_cpu.c */
#include "fake_pool.h"
#include "guest_copy.h"
#include "kernel/guest_again.h"
#include "mm/window.h"
#include "public/errno.h"
#include "random.h"
#include "tap.h"
#include "vcpu.h"
#include "vmx/ept.h"
#include "vmx/guest_tables.h"

/* --- machine memory, seen through the window alone ----------------------------------------------
 */

#define MACHINE_FIRST 0x40000u
#define MACHINE_COUNT 1024u

static uint8_t machine[MACHINE_COUNT][PAGE_SIZE];
static uint8_t shown[PAGE_SIZE]; /* what a read-only slot shows: a write there is lost */
static bool slot_open[WINDOW_SLOT_COUNT];
static unsigned opened, window_reads;

static uint8_t *frame_at(mfn_t frame)
{
	uint64_t i = mfn_raw(frame) - MACHINE_FIRST;

	if (i >= MACHINE_COUNT)
		bail_out("the window was opened on a frame that is nobody's");
	return machine[i];
}

/* The paging state that the next copies find when they ask for it, and how often they did. */
static struct guest_paging asked;
static unsigned asked_short, asked_full;

void vcpu_guest_access_short(struct guest_access *out)
{
	if (asked.cpl == 3 || asked.compatibility) {
		vcpu_guest_access(out);
		return;
	}
	asked_short++;
	out->paging.cr3 = asked.cr3;
	out->paging.efer = asked.efer;
	out->paging.maxphyaddr = asked.maxphyaddr;
	out->state = GUEST_ACCESS_SHORT;
}
void vcpu_guest_access(struct guest_access *out)
{
	asked_full++;
	out->paging = asked;
	out->state = GUEST_ACCESS_FULL;
}

bool vmx_tables_are_of(const struct guest_walk_kept *k)
{
	return asked.cr3 == k->cr3 && asked.efer == k->efer;
}

void *window_open(enum window_slot slot, mfn_t frame)
{
	if (slot_open[slot])
		bail_out("slot opened twice");
	slot_open[slot] = true;
	opened++;
	return frame_at(frame);
}

const void *window_open_readonly(enum window_slot slot, mfn_t frame)
{
	return memcpy(shown, window_open(slot, frame), PAGE_SIZE);
}

void window_close(enum window_slot slot)
{
	if (!slot_open[slot])
		bail_out("slot closed twice");
	slot_open[slot] = false;
}

void window_read(void *to, mfn_t from, uint32_t offset, size_t length)
{
	if (offset + length > PAGE_SIZE)
		bail_out("read across a frame");
	window_reads++;
	memcpy(to, frame_at(from) + offset, length);
}

void window_write(mfn_t to, uint32_t offset, const void *from, size_t length)
{
	if (offset + length > PAGE_SIZE)
		bail_out("write across a frame");
	memcpy(frame_at(to) + offset, from, length);
}

static bool all_closed(void)
{
	for (unsigned s = 0; s < WINDOW_SLOT_COUNT; s++)
		if (slot_open[s])
			return false;
	return true;
}

/* --- the guest ----------------------------------------------------------------------------------
 */

/*
 * gfn 0..511: RAM, a 2M leaf. 0x300..0x30f: RAM, frames in reverse order. 0x310: a read-only grant.
 * 0x311: a writable grant. 0x312: foreign, read-only. 0x313: foreign. 0x314: shared. 0x315: hole.
 */
#define SCATTERED 0x300u
#define GRANT_RO  0x310u
#define GRANT_RW  0x311u
#define FOREIGN_R 0x312u
#define FOREIGN	  0x313u
#define SHARED	  0x314u
#define HOLE	  0x315u

static struct p2m p2m;
static struct guest_access ga;

static void map(uint64_t gfn, uint64_t machine_index, uint64_t count, enum p2m_type type,
		unsigned access)
{
	if (p2m_map(&p2m, make_gfn(gfn), make_mfn(MACHINE_FIRST + machine_index), count, type,
		    access))
		bail_out("p2m_map");
}

static void make_guest(void)
{
	ept_configure(true, true, true);
	if (p2m_init(&p2m, 100, P2M_GFN_LIMIT))
		bail_out("p2m_init");
	map(0, 0, 512, P2M_RAM, P2M_RWX);
	for (unsigned i = 0; i < 16; i++)
		map(SCATTERED + i, 560 - i, 1, P2M_RAM, P2M_RWX);
	map(GRANT_RO, 600, 1, P2M_GRANT_RO, P2M_R);
	map(GRANT_RW, 602, 1, P2M_GRANT_RW, P2M_RW);
	map(FOREIGN_R, 604, 1, P2M_FOREIGN, P2M_R);
	map(FOREIGN, 606, 1, P2M_FOREIGN, P2M_RW);
	map(SHARED, 608, 1, P2M_SHARED, P2M_RW);
	map(P2M_GFN_LIMIT - 1, 610, 1, P2M_RAM, P2M_RWX);
}

/* A guest-physical byte, by a way of the test's own. */
static uint8_t *guest_byte(uint64_t gpa)
{
	struct p2m_entry e;

	if (!p2m_lookup(&p2m, gpa_to_gfn(make_gpa(gpa)), &e))
		bail_out("no such byte");
	return frame_at(e.frame) + (gpa & (PAGE_SIZE - 1));
}

static uint64_t *guest_entry(uint64_t gpa)
{
	return (uint64_t *)guest_byte(gpa);
}

#define P  1ull
#define W  2ull
#define U  4ull
#define A  0x20ull
#define D  0x40ull
#define PS 0x80ull
#define NX (1ull << 63)

#define ROOT 0x1000ull

/* Maps one page of linear addresses in long mode; tables are taken from gfn 2 on. */
static unsigned next_table = 2;
static uint64_t *guest_map(uint64_t va, uint64_t gpa, uint64_t flags)
{
	uint64_t table = ROOT;

	for (unsigned shift = 39; shift > 12; shift -= 9) {
		uint64_t *e = guest_entry(table + (va >> shift & 511) * 8);

		if (!*e)
			*e = (uint64_t)next_table++ << 12 | P | W | U;
		table = *e & 0xffffffffff000;
	}
	uint64_t *leaf = guest_entry(table + (va >> 12 & 511) * 8);
	*leaf = gpa | flags;
	return leaf;
}

static void fill(uint8_t *to, size_t length, unsigned seed)
{
	for (size_t i = 0; i < length; i++)
		to[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

static uint8_t buffer[3 * PAGE_SIZE], pattern[3 * PAGE_SIZE];

static bool guest_holds(uint64_t gpa, const uint8_t *what, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (*guest_byte(gpa + i) != what[i])
			return false;
	return true;
}

static int in_gpa(uint64_t gpa, size_t length)
{
	memset(buffer, 0xee, sizeof(buffer));
	return guest_copy_in_gpa(&p2m, buffer, make_gpa(gpa), length);
}

static int out_gpa(uint64_t gpa, size_t length)
{
	return guest_copy_out_gpa(&p2m, make_gpa(gpa), pattern, length);
}

static void test_physical(void)
{
	const uint64_t scattered = (uint64_t)SCATTERED << 12;

	fill(pattern, sizeof(pattern), 3);
	is(out_gpa(scattered + 100, 2 * PAGE_SIZE), 0, "two pages' worth, over three frames");
	ok(guest_holds(scattered + 100, pattern, 2 * PAGE_SIZE), "lie where they should");
	is(in_gpa(scattered + 100, 2 * PAGE_SIZE), 0, "and back");
	ok(!memcmp(buffer, pattern, 2 * PAGE_SIZE) && buffer[2 * PAGE_SIZE] == 0xee, "unchanged");
	is(out_gpa(0x1c0ffc, 8), 0, "across a frame of a large leaf");
	ok(guest_holds(0x1c0ffc, pattern, 8), "lies there");
	is(in_gpa((uint64_t)HOLE << 12, 1), -XEN_EFAULT, "a hole");
	is(in_gpa(((uint64_t)HOLE << 12) - 4, 8), -XEN_EFAULT, "into a hole");
	is(in_gpa(((uint64_t)HOLE << 12) - 4, 4), 0, "up to it");
	is(in_gpa((uint64_t)HOLE << 12, 0), 0, "nothing of it");
	is(in_gpa((uint64_t)GRANT_RO << 12, 8), 0, "a read-only grant can be read");
	is(out_gpa((uint64_t)GRANT_RO << 12, 8), -XEN_EFAULT, "not written");
	is(out_gpa((uint64_t)GRANT_RW << 12, 8), 0, "a writable one can");
	is(out_gpa((uint64_t)FOREIGN_R << 12, 8), -XEN_EFAULT, "a read-only foreign page cannot");
	is(in_gpa((uint64_t)FOREIGN_R << 12, 8), 0, "but read");
	is(out_gpa((uint64_t)FOREIGN << 12, 8), 0, "a foreign page can be written");
	is(out_gpa((uint64_t)SHARED << 12, 8), 0, "a shared one too");
	is(in_gpa((P2M_GFN_LIMIT << 12) - 8, 8), 0, "the last bytes of the address space");
	is(in_gpa((P2M_GFN_LIMIT << 12) - 8, 9), -XEN_EFAULT, "and one more");
	is(in_gpa(1ull << 60, 8), -XEN_EFAULT, "an address beyond all");
	is(in_gpa(~0ull - 3, 8), -XEN_EFAULT, "a range that wraps around");
	is(in_gpa(PAGE_SIZE, ~0ull), -XEN_EFAULT, "any length that wraps");
	ok(all_closed(), "the window is closed");
}

/* The same by a caller whose pointers are guest-physical: no paging state is asked for. */
static void test_physical_caller(void)
{
	const uint64_t scattered = (uint64_t)SCATTERED << 12;
	struct guest_access caller = {.p2m = &p2m, .state = GUEST_ACCESS_PHYSICAL};
	struct guest_place place;
	unsigned before = asked_short + asked_full;

	fill(pattern, sizeof(pattern), 4);
	is(guest_copy_out(&caller, make_gva(scattered + 4000), pattern, 200), 0, "written");
	ok(guest_holds(scattered + 4000, pattern, 200), "where the address says");
	is(guest_copy_in(&caller, buffer, make_gva(scattered + 4000), 200), 0, "read");
	ok(!memcmp(buffer, pattern, 200), "from there");
	is(guest_copy_in(&caller, buffer, make_gva((uint64_t)HOLE << 12), 1), -XEN_EFAULT,
	   "a hole");
	is(guest_place_find(&caller, make_gva(scattered + 4000), 200, &place), 0, "a place");
	guest_place_write(&place, pattern + 1, 200);
	ok(guest_holds(scattered + 4000, pattern + 1, 200), "written across pages");
	is(guest_place_find(&caller, make_gva(((uint64_t)HOLE << 12) - 4), 8, &place), -XEN_EFAULT,
	   "a place that ends in a hole");
	is(guest_place_find(&caller, make_gva((uint64_t)GRANT_RO << 12), 8, &place), -XEN_EFAULT,
	   "one that can only be read");
	is(guest_place_find(&caller, make_gva(~0ull - 3), 8, &place), -XEN_EFAULT,
	   "one that wraps around");
	is(guest_copy_in(&caller, buffer, make_gva(~0ull - 3), 8), -XEN_EFAULT, "a copy, too");
	is(asked_short + asked_full - before, 0, "and nobody asked how the guest pages");
}

/* What was found in one call is found no more in the next, once it was taken out. */
static void test_kept_leaves(void)
{
	struct guest_access caller = {.p2m = &p2m, .state = GUEST_ACCESS_PHYSICAL};
	const gva_t at = make_gva((uint64_t)SCATTERED << 12);

	fill(pattern, sizeof(pattern), 5);
	is(guest_copy_out(&caller, at, pattern, 8), 0, "written to a page");
	is(guest_copy_in(&caller, buffer, make_gva(gva_raw(at) + 8), ~0ull), -XEN_EFAULT,
	   "all lengths are looked at");
	if (p2m_unmap(&p2m, make_gfn(SCATTERED), 1, NULL, NULL))
		bail_out("p2m_unmap");
	is(guest_copy_in(&caller, buffer, at, 8), -XEN_EFAULT, "which is taken out");
	is(guest_copy_out(&caller, at, pattern, 8), -XEN_EFAULT, "for both directions");
	map(SCATTERED, 559 - 16, 1, P2M_RAM, P2M_R);
	is(guest_copy_in(&caller, buffer, at, 8), 0, "another page comes there");
	ok(memcmp(buffer, pattern, 8) != 0, "with its own contents");
	is(guest_copy_out(&caller, at, pattern, 8), -XEN_EFAULT, "and its own rights");
	if (p2m_unmap(&p2m, make_gfn(SCATTERED), 1, NULL, NULL))
		bail_out("p2m_unmap");
	map(SCATTERED, 560, 1, P2M_RAM, P2M_RWX);
	is(guest_copy_in(&caller, buffer, at, 8), 0, "the first comes back");
	ok(!memcmp(buffer, pattern, 8), "as it was");
}

static int in(uint64_t va, size_t length)
{
	memset(buffer, 0xee, sizeof(buffer));
	return guest_copy_in(&ga, buffer, make_gva(va), length);
}

static int out(uint64_t va, size_t length)
{
	return guest_copy_out(&ga, make_gva(va), pattern, length);
}

static void test_long_mode(void)
{
	const uint64_t va = 0xffff888000200000, scattered = (uint64_t)SCATTERED << 12;

	ga = (struct guest_access){.p2m = &p2m,
				   .paging = {.cr0 = CR0_PG | CR0_PE | CR0_WP,
					      .cr3 = ROOT,
					      .cr4 = CR4_PAE | CR4_SMEP | CR4_SMAP,
					      .efer = EFER_LME | EFER_LMA | EFER_NXE,
					      .maxphyaddr = 40}};
	uint64_t *leaf = guest_map(va, scattered, P | W | NX);
	uint64_t *second = guest_map(va + PAGE_SIZE, scattered + 5 * PAGE_SIZE, P | W);

	fill(pattern, sizeof(pattern), 9);
	is(out(va + 8, 24), 0, "24 bytes out, flags not set yet");
	ok(guest_holds(scattered + 8, pattern, 24), "lie where they should");
	ok((*leaf & (A | D)) == (A | D), "accessed and dirty are set");
	opened = window_reads = 0;
	is(in(va + 8, 24), 0, "24 bytes in, flags set");
	ok(!memcmp(buffer, pattern, 24), "are the same");
	ok(opened == 5 && window_reads == 0,
	   "the short way: each table was opened once, and the page");
	is(out(va + PAGE_SIZE - 10, 20), 0, "across two pages that lie apart");
	ok(guest_holds(scattered + PAGE_SIZE - 10, pattern, 10) &&
	       guest_holds(scattered + 5 * PAGE_SIZE, pattern + 10, 10),
	   "both parts lie where they should");
	is(in(va + PAGE_SIZE - 10, 20), 0, "and back");
	ok(!memcmp(buffer, pattern, 20), "whole");
	is(in(va + PAGE_SIZE, PAGE_SIZE), 0, "exactly a page");
	is(in(va + PAGE_SIZE, PAGE_SIZE + 1), -XEN_EFAULT,
	   "one byte more, where nothing is mapped");
	is(in(va + 2 * PAGE_SIZE, 0), 0, "nothing, from where nothing is mapped");
	is(in(va + 2 * PAGE_SIZE, 1), -XEN_EFAULT, "something");

	struct guest_place place;
	is(guest_place_find(&ga, make_gva(va + PAGE_SIZE - 10), 20, &place), 0,
	   "a place across two pages");
	guest_place_write(&place, pattern + 100, 20);
	ok(guest_holds(scattered + PAGE_SIZE - 10, pattern + 100, 10) &&
	       guest_holds(scattered + 5 * PAGE_SIZE, pattern + 110, 10),
	   "is written to in both");
	memset(buffer, 0xee, sizeof(buffer));
	guest_place_read(&place, buffer, 20);
	ok(!memcmp(buffer, pattern + 100, 20), "and read");
	is(guest_place_find(&ga, make_gva(va + 2 * PAGE_SIZE - 10), 20, &place), -XEN_EFAULT,
	   "none across into nothing");
	is(guest_place_find(&ga, make_gva(~0ull - 3), 8, &place), -XEN_EFAULT, "none that wraps");

	*second &= ~W;
	is(guest_place_find(&ga, make_gva(va + PAGE_SIZE), 4, &place), -XEN_EFAULT,
	   "none in a read-only page");
	is(out(va + PAGE_SIZE, 4), -XEN_EFAULT, "a read-only page is not written, WP");
	is(in(va + PAGE_SIZE, 4), 0, "but read");
	ga.paging.cr0 &= ~CR0_WP;
	is(out(va + PAGE_SIZE, 4), 0, "without WP it is written");
	ga.paging.cr0 |= CR0_WP;
	*second |= U;
	is(in(va + PAGE_SIZE, 4), -XEN_EFAULT, "SMAP keeps from a user page");
	ga.paging.rflags = RFLAGS_AC;
	is(in(va + PAGE_SIZE, 4), 0, "unless AC is set");
	ga.paging.rflags = 0;
	ga.paging.cpl = 3;
	is(in(va + PAGE_SIZE, 4), 0, "CPL 3 may read it");
	is(in(va, 4), -XEN_EFAULT, "but not a supervisor page");
	ga.paging.cpl = 0;
	*second = (uint64_t)HOLE << 12 | P | A;
	is(in(va + PAGE_SIZE, 4), -XEN_EFAULT, "a page that leads to a hole");
	is(in(va + PAGE_SIZE - 4, 8), -XEN_EFAULT, "across into it");
	*second = (uint64_t)GRANT_RO << 12 | P | W | A | D;
	is(in(va + PAGE_SIZE, 4), 0, "a page that leads to a read-only grant is read");
	is(out(va + PAGE_SIZE, 4), -XEN_EFAULT, "not written");
	is(guest_place_find(&ga, make_gva(va + PAGE_SIZE), 4, &place), -XEN_EFAULT, "no place");

	*second = (P2M_GFN_LIMIT - 1) << 12 | P | W | A | D;
	is(in(va + PAGE_SIZE, 4), -XEN_EFAULT, "an address beyond MAXPHYADDR is reserved bits");
	ga.paging.maxphyaddr = 48;
	is(in(va + PAGE_SIZE, 4), 0, "not if that is larger");
	ga.paging.maxphyaddr = 40;
	*second = scattered | P | A | NX;
	is(in(va + PAGE_SIZE, 4), 0, "NX is nothing to a read");
	ga.paging.efer &= ~EFER_NXE;
	is(in(va + PAGE_SIZE, 4), -XEN_EFAULT, "without NXE it is reserved");
	ga.paging.efer |= EFER_NXE;

	/* A table inside a read-only grant: walked, but no flag can be set there. */
	uint64_t other = 0xffff900000000000, *pde;
	guest_map(other, scattered, P | W);
	uint64_t table = ROOT;
	for (unsigned shift = 39; shift > 21; shift -= 9)
		table = *guest_entry(table + (other >> shift & 511) * 8) & 0xffffffffff000;
	pde = guest_entry(table + (other >> 21 & 511) * 8);
	*pde = (uint64_t)GRANT_RO << 12 | P | W;
	*guest_entry((uint64_t)GRANT_RO << 12) = scattered | P | W;
	is(in(other, 4), -XEN_EFAULT, "a table that cannot be written, accessed flag missing");
	*guest_entry((uint64_t)GRANT_RO << 12) |= A;
	is(in(other, 4), 0, "accessed flag there");
	*pde = (uint64_t)HOLE << 12 | P | W | A;
	is(in(other, 4), -XEN_EFAULT, "a table in a hole");

	is(in(va & 0xffffffffffff, 4), -XEN_EFAULT,
	   "not canonical, though the tables have its like");
	is(in(0x00007fffffffffff, 2), -XEN_EFAULT, "into what is not canonical");
	guest_map(0x00007ffffffff000, scattered, P | W);
	is(in(0x00007fffffffffff, 1), 0, "the last byte of the lower half");
	is(in(0x00007fffffffffff, 2), -XEN_EFAULT, "and one more");
	guest_map(0xfffffffffffff000, scattered, P | W);
	guest_map(0, scattered, P | W);
	is(in(0xfffffffffffffff8, 8), 0, "the last bytes of the upper half");
	is(in(0xfffffffffffffff8, 9), -XEN_EFAULT, "do not go on at 0");
	is(in(0xfffffffffffffff8, ~0ull), -XEN_EFAULT, "nor with any length");
	is(in(0, ~0ull), -XEN_EFAULT, "everything is not there");

	guest_map(0xfffff000, scattered, P | W);
	guest_map(0x100000000, scattered, P | W);
	is(in(0xfffffff8, 16), 0, "64-bit code passes 4G");
	ga.paging.compatibility = true;
	is(in(0xfffffff8, 16), -XEN_EFAULT, "compatibility mode does not");
	is(in(0xfffffff8, 8), 0, "it ends there");
	is(in(0x100000000, 8), -XEN_EFAULT, "beyond there is nothing");
	ga.paging.compatibility = false;

	/* 2M and 1G pages. */
	uint64_t *e = guest_entry(ROOT + 300 * 8), *one_g, *two_m;
	*e = (uint64_t)next_table++ << 12 | P | W;
	one_g = guest_entry((*e & 0xffffffffff000) + 8);
	*one_g = P | W | PS;
	uint64_t large = 0xffff000000000000 | 300ull << 39 | 1ull << 30;
	is(out(large + 0x1c3456, 16), 0, "a 1G page");
	ok(guest_holds(0x1c3456, pattern, 16), "lies there");
	*one_g = (uint64_t)next_table++ << 12 | P | W | A;
	two_m = guest_entry((*one_g & 0xffffffffff000) + 3 * 8);
	*two_m = P | W | PS;
	is(in(large + 3 * PAGE_2M_SIZE + 0x1c3456, 16), 0, "a 2M page");
	ok(!memcmp(buffer, pattern, 16), "the same");
	is(in(large + 3 * PAGE_2M_SIZE + 0x1c3456, 16), 0, "again, flags set");
	ok(!memcmp(buffer, pattern, 16), "the same");
	*two_m |= 1 << 13;
	is(in(large + 3 * PAGE_2M_SIZE + 0x1c3456, 16), -XEN_EFAULT, "a reserved bit in it");
	ok(all_closed(), "the window is closed");
}

static void test_old_modes(void)
{
	const uint64_t scattered = (uint64_t)SCATTERED << 12;

	ga.paging = (struct guest_paging){.maxphyaddr = 40};
	fill(pattern, sizeof(pattern), 77);
	is(out(scattered + PAGE_SIZE - 3, 6), 0, "real mode: two frames that lie apart");
	ok(guest_holds(scattered + PAGE_SIZE - 3, pattern, 6), "lie there");
	is(in(0xfffffffc, 8), -XEN_EFAULT, "the end of 32 bits");
	is(in(1ull << 32, 8), -XEN_EFAULT, "beyond");

	ga.paging.cr0 = CR0_PG | CR0_PE | CR0_WP;
	ga.paging.cr3 = 0x100000;
	uint32_t *pde = (uint32_t *)guest_byte(0x100000 + 4 * 0x3ff);
	uint32_t *pte = (uint32_t *)guest_byte(0x101000 + 4 * 0x3ff);
	*pde = 0x101000 | P | W;
	*pte = (uint32_t)(scattered | P | W);
	uint32_t neighbour = pte[-1] = 0x5a5a5a5a;
	is(out(0xfffff800, 0x800), 0, "32-bit paging, to the end");
	ok(guest_holds(scattered + 0x800, pattern, 0x800), "lies there");
	is(*pte, scattered | P | W | A | D, "flags are set in the four bytes of the entry");
	is(pte[-1], neighbour, "and nowhere else");
	is(in(0xfffff800, 0x801), -XEN_EFAULT, "the end does not go on at 0");

	ga.paging.cr4 = CR4_PAE;
	ga.paging.pdpte[3] = 0x102000 | P;
	*guest_entry(0x102000 + 8 * 511) = 0x103000 | P | W;
	*guest_entry(0x103000 + 8 * 511) = (scattered + PAGE_SIZE) | P | W;
	is(out(0xffffff00, 0x100), 0, "PAE, to the end");
	ok(guest_holds(scattered + PAGE_SIZE + 0xf00, pattern, 0x100), "lies there");
	is(in(0xffffff00, 0x101), -XEN_EFAULT, "the end does not go on at 0");
	ok(all_closed(), "the window is closed");
}

/* A call of a 64-bit kernel: 8 bytes, as they are or as they should become. */
static int call_in(uint64_t va)
{
	ga.state = GUEST_ACCESS_LATER;
	return in(va, 8);
}
static int call_out(uint64_t va)
{
	ga.state = GUEST_ACCESS_LATER;
	return out(va, 8);
}

/* The last walk is taken again only where it leads as before. */
static void test_kept_walk(void)
{
	const uint64_t va = 0xffffa00000000000, from = (uint64_t)SCATTERED << 12;
	const uint64_t to = from + 2 * PAGE_SIZE, rest = P | W | A | D;
	uint64_t *leaf = guest_map(va, from, rest), tables = next_table;

	asked = ga.paging;
	fill(pattern, sizeof(pattern), 77);
	is(call_out(va), 0, "written to a page");
	is(call_out(va + PAGE_SIZE - 8), 0, "and at its end");
	opened = 0;
	is(call_out(va), 0, "and once more, which keeps the walk");
	ok(opened > 5, "by doing it twice");
	unsigned full = asked_full;
	opened = 0;
	is(call_in(va), 0, "read");
	ok(opened == 5 && !memcmp(buffer, pattern, 8), "all tables are looked at again");
	is(asked_full - full, 0, "the short way");
	is(call_in(va + PAGE_SIZE - 7), -XEN_EFAULT, "not beyond its end");

	/* Each change finds a walk that is kept. */
#define KEEP(what) is(call_out(va) | call_out(va), 0, "twice, " what)
	KEEP("before another page is mapped there");
	*leaf = to | rest;
	is(call_in(va), 0, "the guest maps another page there");
	ok(memcmp(buffer, pattern, 8) != 0, "which is read");
	*leaf = from | (rest & ~W);
	is(call_in(va), 0, "and the first, read-only");
	ok(!memcmp(buffer, pattern, 8), "which is read too");
	is(call_out(va), -XEN_EFAULT, "not written");
	*leaf = from | (rest & ~D);
	is(call_out(va), 0, "written to without the dirty flag");
	ok(*leaf & D, "it is set");
	is(call_out(va), 0, "written to once more");
	KEEP("before it is taken out");
	*leaf = 0;
	is(call_in(va), -XEN_EFAULT, "it is not there");
	is(call_out(va), -XEN_EFAULT, "for both directions");
	*leaf = from | rest;
	is(call_out(va), 0, "and back in");

	KEEP("before the root changes");
	uint64_t *top = guest_entry(ROOT + (va >> 39 & 511) * 8), was = *top;
	*top = 0;
	is(call_in(va), -XEN_EFAULT, "an entry of the root goes");
	*top = was;
	is(call_in(va), 0, "and comes");
	KEEP("before the root is another");
	asked.cr3 = tables << 12;
	is(call_in(va), -XEN_EFAULT, "other tables");
	asked.cr3 = ROOT;
	is(call_in(va), 0, "the first again");
	*leaf |= NX;
	KEEP("with NX");
	asked.efer &= ~EFER_NXE;
	is(call_in(va), -XEN_EFAULT, "without NXE it is reserved");
	asked.efer |= EFER_NXE;
	is(call_in(va), 0, "it is not");
	struct guest_place place;
	ga.state = GUEST_ACCESS_LATER;
	is(guest_place_find(&ga, make_gva(va), 8, &place), 0, "a place");
	ga.state = GUEST_ACCESS_LATER;
	is(guest_place_find(&ga, make_gva(va + 16), 8, &place), 0, "another one in the page");
	guest_place_write(&place, pattern + 100, 8);
	ok(guest_holds(from + 16, pattern + 100, 8), "is where it should be");

	/* A word inline. */
	uint32_t word = 0;
#define WORD(va) reach_in(&ga, &word, make_gva(va), sizeof(word))
	KEEP("before words are read");
	is(out(va + PAGE_SIZE - 8, 8), 0, "at its end");
	ga.state = GUEST_ACCESS_LATER;
	ok(WORD(va + PAGE_SIZE - 4) && !memcmp(&word, pattern + 4, 4), "the last word of the page");
	ok(WORD(va) && !memcmp(&word, pattern, 4), "and the first");
	ok(!WORD(va + PAGE_SIZE - 3) && !WORD(va - 1) && !WORD(va + PAGE_SIZE),
	   "none that is not in the page as a whole");
	*leaf = to | rest;
	ok(!WORD(va) && all_closed(), "nor where another page is");
	*leaf = from | rest;
	asked.cr3 = tables << 12;
	ok(!WORD(va), "nor by other tables");
	asked.cr3 = ROOT;
	ga.state = GUEST_ACCESS_PHYSICAL;
	is(in(from, 4), 0, "by guest-physical address");
	ok(WORD(from) && !memcmp(&word, pattern, 4), "the same");
	ok(WORD(from + PAGE_SIZE - 4) && !memcmp(&word, pattern + 4, 4), "the last");
	ok(!WORD(from + PAGE_SIZE - 3) && !WORD(from - 1), "none across");
	ga.state = GUEST_ACCESS_LATER;

	KEEP("before the page goes");
	if (p2m_unmap(&p2m, make_gfn(SCATTERED), 1, NULL, NULL))
		bail_out("p2m_unmap");
	is(call_in(va), -XEN_EFAULT, "the page goes, though it is mapped");
	map(SCATTERED, 560, 1, P2M_RAM, P2M_RWX);
	is(call_in(va), 0, "another one comes");
	asked.cr3 = 0;
	ga = (struct guest_access){.p2m = &p2m};
	is(call_in(0), -XEN_EFAULT, "no walk was to page 0 by tables at 0");
	asked_short = asked_full = 0;
}

/* --- the short way against the long way ----------------------------------------------------------
 */

static int direct_read(void *ctx, gpa_t gpa, unsigned width, uint64_t *value)
{
	struct p2m_entry e;

	(void)ctx;
	if (!p2m_lookup(&p2m, gpa_to_gfn(gpa), &e) || width != 8)
		return -1;
	*value = *guest_entry(gpa_raw(gpa));
	return 0;
}

static int direct_cmpxchg(void *ctx, gpa_t gpa, unsigned width, uint64_t expected, uint64_t desired,
			  bool *swapped)
{
	(void)ctx;
	(void)width;
	uint64_t *e = guest_entry(gpa_raw(gpa));

	*swapped = *e == expected;
	if (*swapped)
		*e = desired;
	return 0;
}

static const struct guest_walk_ops direct = {direct_read, direct_cmpxchg};

static void test_random(void)
{
	unsigned wrong = 0, wrong_flags = 0, good = 0, bad = 0, short_way = 0, laters = 0;

	for (unsigned round = 0; round < 100000; round++) {
		struct guest_paging *p = &ga.paging;
		uint64_t va = (uint64_t)((int64_t)(random64() << 16) >> 16), at[4], before[4],
			 after[4];

		*p = (struct guest_paging){.cr0 = CR0_PG | CR0_PE | (one_in(2) ? CR0_WP : 0),
					   .cr3 = 0x80000,
					   .cr4 = CR4_PAE | (one_in(2) ? CR4_SMAP : 0) |
						  (one_in(2) ? CR4_PKE : 0),
					   .efer = EFER_LME | EFER_LMA | (one_in(4) ? 0 : EFER_NXE),
					   .rflags = one_in(2) ? RFLAGS_AC : 0,
					   .pkru = (uint32_t)random64(),
					   .cpl = one_in(4) ? 3 : 0,
					   .maxphyaddr = one_in(4) ? 46 : 40,
					   .no_1g_pages = one_in(2)};
		for (unsigned i = 0; i < 4; i++) {
			at[i] = 0x80000 + i * PAGE_SIZE + (va >> (39 - 9 * i) & 511) * 8;
			before[i] = (0x81000 + i * PAGE_SIZE) | P | W | A | D;
			if (i == 3 && one_in(4))
				before[i] =
				    (uint64_t)(SCATTERED + random64() % 24) << 12 | P | W | A | D;
			if (one_in(3) && i == 2)
				before[i] = P | W | A | D | PS;
			if (one_in(6))
				before[i] |= U;
			if (one_in(10))
				before[i] ^= 1ull << random64() % 64;
			if (one_in(10))
				before[i] &= ~(one_in(2) ? A : D);
			*guest_entry(at[i]) = before[i];
		}
		if (one_in(2))
			for (unsigned i = 0; i < 4; i++)
				*guest_entry(at[i]) = before[i] |= U;
		bool write = one_in(2);
		size_t length = 1 + random64() % 32;
		if ((va & 0xfff) + length > PAGE_SIZE)
			length = PAGE_SIZE - (va & 0xfff);

		struct guest_walk_result walk;
		int expected =
		    guest_walk(p, make_gva(va),
			       (write ? GUEST_WALK_WRITE : 0) | (p->cpl == 3 ? GUEST_WALK_USER : 0),
			       &direct, NULL, &walk);
		for (unsigned i = 0; i < 4; i++) {
			after[i] = *guest_entry(at[i]);
			*guest_entry(at[i]) = before[i];
		}
		struct p2m_entry e;
		if (!expected && (!p2m_lookup(&p2m, gpa_to_gfn(walk.gpa), &e) ||
				  !(e.access & (write ? P2M_W : P2M_R))))
			expected = -XEN_EFAULT;
		/* A write into the tables themselves would spoil the comparison of flags. */
		if (!expected && write && gpa_raw(walk.gpa) >> 12 >= 0x80 &&
		    gpa_raw(walk.gpa) >> 12 <= 0x83)
			continue;
		uint8_t *byte = expected ? NULL : guest_byte(gpa_raw(walk.gpa));
		fill(pattern, length, (unsigned)round);
		window_reads = 0;
		/* As a hypercall of CPL 0 does it: nothing has been read yet. */
		bool later = p->cpl == 0 && one_in(2);
		if (later) {
			asked = *p;
			memset(p, 0xee, sizeof(*p));
			ga.state = GUEST_ACCESS_LATER;
			laters++;
		}
		int rc = write ? out(va, length) : in(va, length);
		wrong += rc != expected;
		wrong += ga.state == GUEST_ACCESS_LATER;
		ga.state = GUEST_ACCESS_FULL;
		if (!rc && !expected)
			wrong += memcmp(write ? pattern : buffer, byte, length) != 0;
		for (unsigned i = 0; i < 4; i++)
			wrong_flags += *guest_entry(at[i]) != after[i];
		good += !expected;
		bad += expected != 0;
		short_way += !rc && !write && !window_reads;
	}
	diag("%u went, %u of them the short way; %u did not", good, short_way, bad);
	is(wrong, 0, "random: copies do what the walk says");
	is(wrong_flags, 0, "random: flags are what the walk leaves");
	ok(good > 20000 && bad > 20000 && short_way > 2000, "random: all kinds happened");
	ok(asked_short == laters && asked_full && asked_full < laters,
	   "random: the paging state is read once, all of it where it has to be");
	ok(all_closed(), "random: the window is closed");
}

int main(void)
{
	tap_no_plan();
	fake_pool_init();
	make_guest();
	test_physical();
	test_physical_caller();
	test_kept_leaves();
	test_long_mode();
	test_kept_walk();
	test_old_modes();
	test_random();
	p2m_destroy(&p2m);
	return tap_end();
}
