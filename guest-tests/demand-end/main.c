/*
 * demand-end: two vCPUs look into their child's memory through a window, all the time, while the
 * child gives memory back and is destroyed; then into that of the next one with its number. What
 * they see of a page is what a child wrote there, or nothing. That all frames come back the
 * hypervisor itself checks.
 */
#include "apic.h"
#include "public/keyhole.h"

#define SPAN_AT	   0x400000ul /* of the child's RAM */
#define SPAN	   512u	      /* pages */
#define BUDGET	   256u	      /* two shares */
#define MAGIC(i)   (0x64656d616e64ull << 16 | (i))
#define ABSENT	   ~0ull
#define CYCLES	   6u
#define SEEN_LEAST 300u

static uint32_t child;
static unsigned long low;
static volatile uint64_t wrong[2], seen[2], nothing[2];
static volatile bool over, done;

static volatile uint64_t *page(unsigned long base, unsigned i)
{
	return (volatile uint64_t *)(base + i * PAGE_SIZE);
}

/* Gives a part of it back and takes it again, for ever. */
static _Noreturn void be_child(void)
{
	native_ulong_t gfns[32];
	memory_reservation_t r = {
	    .extent_start = handle(gfns), .nr_extents = array_size(gfns), .domid = DOMID_SELF};

	for (unsigned turn = 0;; turn++) {
		for (unsigned i = 0; i < SPAN; i++)
			*page(SPAN_AT, i) = MAGIC(i);
		for (unsigned i = 0; i < array_size(gfns); i++)
			gfns[i] = (native_ulong_t)(SPAN_AT / PAGE_SIZE +
						   (turn * array_size(gfns) + i) % SPAN);
		memory_op(XENMEM_decrease_reservation, &r);
		yield();
		while (memory_op(XENMEM_populate_physmap, &r) != (long)r.nr_extents)
			yield();
	}
}

static long foreign(unsigned command, unsigned long a, unsigned long b, unsigned long c,
		    unsigned long d)
{
	return hypercall5(__HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN(command, child), a, b, c,
			  d);
}

static long control(unsigned command)
{
	return hypercall(__HYPERVISOR_keyhole_control, command, child, 0);
}

static void look(unsigned id)
{
	static unsigned next[2];
	unsigned i = (next[id] = next[id] * 5 + 2 * id + 1) / 8 % SPAN;
	uint64_t value = *page(low, i);

	seen[id] += value == MAGIC(i);
	nothing[id] += value == ABSENT;
	/* Between its coming and its being written a page is clear. */
	wrong[id] += value != MAGIC(i) && value != ABSENT && value != 0;
}

static void looks(unsigned id)
{
	while (!over)
		look(id);
	done = true;
	for (;;)
		__asm__ volatile("hlt");
}

static bool is_absent(void)
{
	look(0);
	return control(KEYHOLE_CONTROL_STATE) == KEYHOLE_DOMAIN_ABSENT;
}

static bool sees(uint64_t least)
{
	look(0);
	return seen[0] > least;
}

int main(void)
{
	struct keyhole_window_stats stats = {.open = 1};
	unsigned cycle = 0, open = 0;

	if (option("child"))
		be_child();
	apic_enable();
	child = self_domain() + 1;
	low = (unsigned long)cpuid(KEYHOLE_CPUID_LEAF(2), 0).eax * PAGE_SIZE;
	tap_ok(cpu_start(1, looks), "two vCPUs look");
	for (; cycle < CYCLES; cycle++) {
		uint64_t before = nothing[0], target = seen[0] + SEEN_LEAST;
		long window = -1;

		if (control(KEYHOLE_CONTROL_CREATE) ||
		    !WAIT_UNTIL((window = foreign(KEYHOLE_WINDOW_OPEN, SPAN_AT / PAGE_SIZE,
						  low / PAGE_SIZE, SPAN, BUDGET)) >= 0) ||
		    !WAIT_UNTIL(sees(target)) || control(KEYHOLE_CONTROL_DESTROY) ||
		    !WAIT_UNTIL(is_absent()) || !WAIT_UNTIL((look(0), nothing[0] > before)))
			break;
		open += foreign(KEYHOLE_WINDOW_STATS, (unsigned long)window, (unsigned long)&stats,
				0, 0) != 0 ||
			stats.open;
		if (foreign(KEYHOLE_WINDOW_CLOSE, (unsigned long)window, 0, 0, 0))
			break;
	}
	over = true;
	tap_is(cycle, CYCLES, "the owner is destroyed while it is looked at, again and again");
	tap_is(open, 0, "its end closes the window");
	tap_ok(WAIT_UNTIL(done), "the other vCPU is well");
	for (unsigned id = 0; id < 2; id++)
		tap_is(wrong[id], 0, "vCPU %u saw %lu pages, %lu times nothing, and nothing else",
		       id, (unsigned long)seen[id], (unsigned long)nothing[id]);
	tap_done();
}
