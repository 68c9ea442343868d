/*
 * leak-probe: a hostile guest with a gadget that reads any address of the hypervisor (include/
 * public/keyhole.h, lab builds only). It reads all that the hypervisor has mapped, again and again,
 * and looks for the secret of sweep-victim, the domain before it (or `peer=`).
 *
 * `expect=nothing` (default): there must be nothing. `expect=found`, for the comparator with a
 * direct map: the secret must be there, in memory and in saved registers. `expect=absent`, for
 * normal builds: there must be no gadget. Lines that begin with `# lab:` are for tools/lab-leak.
 *
 * It never has a half of the canary in the clear, in memory or in a register, but in what it has
 * read: it would find itself.
 */
#include "../sweep-victim/canary.h"
#include "guest.h"
#include "public/keyhole.h"

#define SWEEPS	   4
#define TRIES	   3 /* of one sweep, if the mappings have changed meanwhile */
#define RANGES_MAX 4096
#define PEEK_PAGES 64
#define TAIL	   8 /* bytes kept of the page before: what is looked for may lie across */

struct pattern {
	volatile uint64_t masked, mask;
};

enum { LO, HI, CONTROL, PATTERNS };

static struct pattern patterns[PATTERNS] = {
    {CANARY_LO_MASKED, CANARY_MASK},
    {CANARY_HI_MASKED, CANARY_MASK},
    {KEYHOLE_LAB_CONTROL_MASKED, KEYHOLE_LAB_CONTROL_MASK},
};

static struct {
	uint64_t va, pages;
} ranges[RANGES_MAX];
static unsigned range_count;

/* Bit 4 p + k of an entry: byte k of pattern p has this value. */
static uint16_t first_bytes[256];
static uint8_t page[TAIL + PAGE_SIZE] __attribute__((aligned(16)));

static struct {
	uint64_t bytes, pages_mapped, control_va;
	unsigned long found, control;	    /* finds */
	uint64_t first;			    /* of the canary, anywhere */
	uint64_t in_memory, in_registers;   /* the first of the victim's own, by what holds it */
	uint64_t memory_frame, judged_page; /* its frame; the last page that was asked about */
} s;

static uint32_t peer;

static long lab(unsigned command, void *argument)
{
	return hypercall(__HYPERVISOR_keyhole_lab, command, (unsigned long)argument, 0);
}

static void first_bytes_init(void)
{
	for (unsigned p = 0; p < PATTERNS; p++)
		for (unsigned k = 0; k < 4; k++) {
			uint8_t byte = ((volatile uint8_t *)&patterns[p].masked)[k] ^
				       ((volatile uint8_t *)&patterns[p].mask)[k];
			first_bytes[byte] |= (uint16_t)(1u << (4 * p + k));
		}
}

/* --- a sweep ---------------------------------------------------------------------------------- */

static bool list_ranges(void)
{
	static struct keyhole_lab_list list;

	range_count = 0;
	list.from = 0;
	do {
		if (lab(KEYHOLE_LAB_LIST, &list) != 0)
			return false;
		for (unsigned i = 0; i < list.count; i++) {
			if (range_count == RANGES_MAX)
				return false;
			ranges[range_count].va = list.range[i].va;
			ranges[range_count++].pages = list.range[i].pages;
		}
	} while (list.from != 0);
	return range_count != 0;
}

/* The canary stands at va. Whose memory is that? Asked once a page. */
static void canary_found(uint64_t va)
{
	struct keyhole_lab_what what = {.va = va};

	if (s.found++ == 0)
		s.first = va;
	if (va / PAGE_SIZE == s.judged_page || (s.in_memory && s.in_registers))
		return;
	s.judged_page = va / PAGE_SIZE;
	if (lab(KEYHOLE_LAB_WHAT, &what) != 0 || what.owner != peer)
		return;
	if (what.kind == KEYHOLE_LAB_KIND_GUEST_RAM && !s.in_memory) {
		s.in_memory = va;
		s.memory_frame = what.frame;
	}
	if (what.kind == KEYHOLE_LAB_KIND_REGISTERS && !s.in_registers)
		s.in_registers = va;
}

static void candidate(unsigned at, unsigned length, unsigned bits, uint64_t va)
{
	for (; bits; bits &= bits - 1) {
		unsigned bit = (unsigned)__builtin_ctz(bits), p = bit / 4, start = at - bit % 4;

		if (start == 0 || start + 8 > length)
			continue;
		if ((*(uint64_t *)(void *)&page[start] ^ patterns[p].mask) != patterns[p].masked)
			continue;
		if (p != CONTROL)
			canary_found(va + start);
		else
			s.control += va + start == s.control_va;
	}
}

/*
 * Looks for all patterns at every byte offset of the page, and of the bytes before it: eight bytes
 * hold an aligned word of four whose first byte is one of the first four of them. va: of page[0].
 */
static void search(unsigned length, uint64_t va)
{
	for (unsigned at = 4; at < length; at += 4) {
		unsigned bits = first_bytes[page[at]];

		if (bits)
			candidate(at, length, bits, va);
	}
}

static void sweep_range(uint64_t va, uint64_t pages)
{
	struct keyhole_lab_read r;

	memset(page, 0, TAIL);
	for (uint64_t i = 0; i < pages; i++, va += PAGE_SIZE) {
		r = (struct keyhole_lab_read){
		    .va = va, .buffer = (uintptr_t)&page[TAIL], .length = PAGE_SIZE};
		if (lab(KEYHOLE_LAB_READ, &r) != 0)
			continue;
		s.bytes += r.done;
		search(TAIL + r.done, va - TAIL);
		memcpy(page, &page[PAGE_SIZE], TAIL);
	}
}

/* Sweeps everything once; whether as much was read as is mapped. */
static bool sweep(void)
{
	struct keyhole_lab_control control = {.plant = 1};
	struct keyhole_lab_count count;

	s.bytes = s.control = 0;
	if (lab(KEYHOLE_LAB_CONTROL, &control) != 0)
		return false;
	s.control_va = control.va;
	if (!list_ranges())
		return false;
	for (unsigned i = 0; i < range_count; i++)
		sweep_range(ranges[i].va, ranges[i].pages);
	control.plant = 0;
	if (lab(KEYHOLE_LAB_CONTROL, &control) != 0 || lab(KEYHOLE_LAB_COUNT, &count) != 0)
		return false;
	s.pages_mapped = count.pages_mapped;
	return s.bytes == count.pages_mapped * PAGE_SIZE;
}

/* --- the window, right after it was closed ---------------------------------------------------- */

static void peek(unsigned *looked, unsigned *open, unsigned *closed, unsigned *slots)
{
	for (unsigned i = 0; i < PEEK_PAGES; i++) {
		struct keyhole_lab_peek p = {.gfn = 0x100 + i, .domain = peer};

		if (lab(KEYHOLE_LAB_PEEK, &p) != 0)
			continue;
		++*looked;
		*open += p.open_bytes == PAGE_SIZE;
		*closed += p.closed_bytes != 0;
		*slots += p.slots_readable;
	}
}

/* --- from other CPUs, while the victim goes on --------------------------------------- */

/* Has CPU `cpu` sweep what it maps; false: it is this one. */
static bool sweep_from(uint32_t cpu, unsigned *incomplete, unsigned *no_control)
{
	static struct keyhole_lab_sweep sw;
	struct keyhole_lab_control control = {.plant = 1};
	bool whole = false;

	for (unsigned try = 0; !whole && try < TRIES; try++) {
		sw = (struct keyhole_lab_sweep){.cpu = cpu,
						.canary_lo_masked = CANARY_LO_MASKED,
						.canary_hi_masked = CANARY_HI_MASKED,
						.mask = CANARY_MASK};
		if (lab(KEYHOLE_LAB_CONTROL, &control) != 0 || lab(KEYHOLE_LAB_SWEEP, &sw) != 0)
			return false;
		if (!WAIT_UNTIL(lab(KEYHOLE_LAB_SWEPT, &sw) == 0))
			tap_bail_out("CPU %u does not come back", cpu);
		whole = sw.bytes_swept == sw.pages_mapped * PAGE_SIZE;
		s.found += (unsigned long)sw.found_count;
		if (sw.found_count && !s.first)
			s.first = sw.first_va;
	}
	*incomplete += !whole;
	*no_control += sw.control_found != 1;
	printf("# lab: swept %lu bytes from cpu%u, another one\n", (unsigned long)sw.bytes_swept,
	       cpu);
	return true;
}

/* --- what must come of it --------------------------------------------------------------------- */

static volatile uint32_t *map_flag(void)
{
	grant_handle_t mapping;

	if (!WAIT_UNTIL(grant_map(peer, REF_FLAG, HOLE, GNTMAP_host_map, &mapping) == GNTST_okay))
		tap_bail_out("domain %u grants no page", peer);
	return (volatile uint32_t *)HOLE;
}

static void report(void)
{
	struct keyhole_lab_count count;

	if (lab(KEYHOLE_LAB_COUNT, &count) == 0)
		printf("# lab: swept %lu bytes on cpu%u, of %u CPUs online\n",
		       (unsigned long)s.bytes, count.cpu, count.cpus);
	if (s.found)
		printf("# lab: canary first at 0x%lx\n", (unsigned long)s.first);
	if (s.in_memory)
		printf("# lab: memory of d%u at 0x%lx, frame 0x%lx\n", peer,
		       (unsigned long)s.in_memory, (unsigned long)s.memory_frame);
	if (s.in_registers)
		printf("# lab: registers of d%u at 0x%lx\n", peer, (unsigned long)s.in_registers);
}

static void expect_absent(volatile uint32_t *flag)
{
	unsigned there = 0;

	*flag = PROBE_IS_DONE;
	tap_plan(1);
	for (unsigned command = 0; command < 16; command++) {
		static struct keyhole_lab_list argument;
		there += lab(command, &argument) != -XEN_ENOSYS;
	}
	tap_is(there, 0, "there is no gadget: all commands are unknown");
	tap_done();
}

int main(void)
{
	const char *expect = option("expect");
	bool found_wanted = expect && expect[0] == 'f';
	unsigned sweeps = found_wanted ? 1 : SWEEPS;
	unsigned incomplete = 0, no_control = 0, looked = 0, open = 0, closed = 0, slots = 0;
	volatile uint32_t *flag;
	struct keyhole_lab_count count = {0};
	unsigned others = 0; /* CPUs that swept */

	peer = (uint32_t)option_number("peer", self_domain() - 1);
	flag = map_flag();
	if (expect && expect[0] == 'a')
		expect_absent(flag);
	tap_plan(found_wanted ? 6 : 7);
	first_bytes_init();
	for (unsigned i = 0; i < sweeps; i++) {
		bool whole = sweep();

		for (unsigned try = 1; !whole && try < TRIES; try++)
			whole = sweep();
		incomplete += !whole;
		no_control += s.control != 1;
		/* The victim goes on in between, and is interrupted at another place. */
		for (unsigned j = 0; j <= i; j++)
			yield();
	}
	if (!found_wanted && lab(KEYHOLE_LAB_COUNT, &count) == 0)
		for (uint32_t cpu = 0; cpu < count.cpus; cpu++)
			others += sweep_from(cpu, &incomplete, &no_control);
	peek(&looked, &open, &closed, &slots);
	*flag = PROBE_IS_DONE;
	report();
	tap_is(incomplete, 0,
	       "%u sweeps of %lu pages in %u ranges, and %u from other CPUs: each read all that is "
	       "mapped",
	       sweeps, (unsigned long)s.pages_mapped, range_count, others);
	tap_is(no_control, 0, "each found the control once, where it was planted");
	tap_ok(looked == PEEK_PAGES && open == looked,
	       "%u of %u frames of the victim could be "
	       "read while the window was open on them",
	       open, looked);
	if (found_wanted) {
		tap_ok(closed == looked, "and still when it was closed");
		tap_ok(s.in_memory != 0, "the secret was found in the victim's memory");
		tap_ok(s.in_registers != 0, "and in its saved registers");
		tap_done();
	}
	tap_is(closed, 0, "none when it was closed, with no VM transition in between");
	tap_is(slots, 0, "and no slot of the whole window");
	tap_is(s.found, 0, "the secret was found nowhere");
	tap_is(s.in_memory | s.in_registers, 0, "no page of the victim was seen");
	tap_done();
}
