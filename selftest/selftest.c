/*
 * Built-in tests: what can be proved only on the real page tables, without a guest. `selftest` on
 * the command line runs them, `selftest=only` needs no VT-x. Prints TAP.
 *
 * State: the running test number. Boot CPU, before any guest exists; each test gives back all that
 * it took, and the last one counts.
 */
#include "selftest/selftest.h"
#include "cpu.h"
#include "image.h"
#include "mm/audit.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "mm/hostpt.h"
#include "mm/pahash.h"
#include "mm/private.h"
#include "mm/vmap.h"
#include "mm/window.h"
#include "percpu.h"
#include "print.h"
#include "selftest/accounting.h"

static uint32_t number, failures;

void selftest_ok(bool passed, const char *what)
{
	number++;
	failures += !passed;
	print(LOG_RESULT, "%s %u - %s", passed ? "ok" : "not ok", number, what);
}

/* Ends the list of results. */
uint32_t selftest_finish(void)
{
	print(LOG_RESULT, "1..%u", number);
	return failures;
}

static bool readable(uint64_t va)
{
	uint64_t value;

	return read_safe((const uint64_t *)va, &value);
}

static void test_window(void)
{
	mfn_t frame;

	if (frame_alloc(0, DOMID_HYPERVISOR, FRAME_BOOT, &frame)) {
		selftest_ok(false, "window: a frame to look at");
		return;
	}
	uint64_t *p = window_open(WINDOW_TEST, frame);
	bool zero = true;
	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		zero &= p[i] == 0;
	selftest_ok(zero, "window: a new frame reads as zeros");
	p[5] = 0x4b6579686f6c65;
	window_close(WINDOW_TEST);
	selftest_ok(!readable((uint64_t)p), "window: a closed slot faults at once");
	uint64_t value = 0;
	window_read(&value, frame, 40, 8);
	selftest_ok(value == 0x4b6579686f6c65, "window: what was written is in the frame");
	const uint64_t *r = window_open_readonly(WINDOW_TEST, frame);
	selftest_ok(readable((uint64_t)r) && !write_safe((uint64_t *)(uint64_t)r, 1),
		    "window: a read-only slot refuses a write");
	window_close(WINDOW_TEST);
	window_scrub(frame, 0);
	window_read(&value, frame, 40, 8);
	selftest_ok(value == 0, "window: a scrubbed frame reads as zeros");
	frame_free(frame, 0);

	if (!frame_alloc(FRAME_ORDER_2M, DOMID_HYPERVISOR, FRAME_BOOT, &frame)) {
		value = 1;
		window_write(mfn_add(frame, 511), PAGE_SIZE - 8, &value, 8);
		window_scrub(frame, FRAME_ORDER_2M);
		window_read(&value, mfn_add(frame, 511), PAGE_SIZE - 8, 8);
		selftest_ok(value == 0 &&
				!readable(private_base_of(cpu_index()) + PRIVATE_WINDOW_2M),
			    "window: the 2 MiB slot scrubs and closes");
		frame_free(frame, FRAME_ORDER_2M);
	}
}

/* What the loader left is wiped byte for byte, across a page boundary, and nothing beside it. */
static void test_wipe(void)
{
	const uint64_t pattern = 0x2e2e2e2e2e2e2e2e;
	uint64_t before, first, last, behind;
	mfn_t frames;

	if (frame_alloc(1, DOMID_HYPERVISOR, FRAME_BOOT, &frames))
		return;
	for (uint32_t at = 0; at < 2 * PAGE_SIZE; at += sizeof(pattern))
		window_write(mfn_add(frames, at / PAGE_SIZE), at % PAGE_SIZE, &pattern,
			     sizeof(pattern));
	window_clear_phys(paddr_add(mfn_to_paddr(frames), 16), PAGE_SIZE);
	window_read(&before, frames, 8, 8);
	window_read(&first, frames, 16, 8);
	window_read(&last, mfn_add(frames, 1), 8, 8);
	window_read(&behind, mfn_add(frames, 1), 16, 8);
	selftest_ok(before == pattern && !first && !last && behind == pattern,
		    "window: a range is wiped, and only that");
	frame_free(frames, 1);
}

static void test_layout(void)
{
	uint64_t base = private_base_of(cpu_index());

	selftest_ok(!readable(0) && !readable(IMAGE_PHYSICAL),
		    "layout: nothing is mapped one to one");
	selftest_ok(!readable(LAYOUT_DIRECT_MAP + IMAGE_PHYSICAL),
		    "layout: there is no direct map");
	selftest_ok(!readable(base + PRIVATE_STACK - 8) &&
			!readable(base + PRIVATE_STACK + PRIVATE_STACK_PAGES * PAGE_SIZE),
		    "layout: guard pages around the stack");
	selftest_ok(!readable(private_base_of(cpu_index() + 1) + PRIVATE_CPU),
		    "layout: another CPU's private range faults");
	selftest_ok(!write_safe((uint64_t *)(uint64_t)image_start, 0),
		    "layout: text cannot be written");
	selftest_ok(!write_safe((uint64_t *)(uint64_t)image_text_end, 0),
		    "layout: read-only data cannot be written");
}

/*
 * Faults with a pattern in all registers that a call preserves, as if a guest's were there, and
 * returns how many interrupt stack words hold it then. XORed with the mask it is in no memory.
 */
#define TRAP_PATTERN 0x7d42c61f083b95eaull
#define TRAP_MASK    0x5aa55aa55aa55aa5ull
#define TRAP_WORDS   (PRIVATE_IST_PAGES * PAGE_SIZE / 8)

static unsigned trap_leftovers(void)
{
	uint64_t stacks = private_base_of(cpu_index()) + PRIVATE_IST, pattern = TRAP_PATTERN;
	unsigned found = 0;

	__asm__ volatile("mov %[pattern], %%rbx\n\t"
			 "mov %%rbx, %%r12\n\t"
			 "mov %%rbx, %%r13\n\t"
			 "mov %%rbx, %%r14\n\t"
			 "mov %%rbx, %%r15\n\t"
			 "1: movb 0, %%cl\n\t"
			 "2:\n\t"
			 ".pushsection .extable, \"a\"\n\t"
			 ".quad 1b, 2b\n\t"
			 ".popsection"
			 :
			 : [pattern] "r"(pattern)
			 : "rbx", "rcx", "r12", "r13", "r14", "r15", "memory");
	for (unsigned s = 0; s < PRIVATE_IST_COUNT; s++)
		for (unsigned i = 0; i < TRAP_WORDS; i++) {
			uint64_t word =
			    ((const volatile uint64_t *)(stacks + s * PRIVATE_IST_STRIDE))[i];
			found += (word ^ TRAP_MASK) == (TRAP_PATTERN ^ TRAP_MASK);
		}
	return found;
}

static void test_traps(void)
{
	selftest_ok(trap_leftovers() == 0,
		    "traps: an exception leaves no register of what it came upon behind");
}

static void test_vmap(void)
{
	char *area;

	if (vmap_alloc(8, (void **)&area)) {
		selftest_ok(false, "vmap: eight pages");
		return;
	}
	for (unsigned i = 0; i < 8; i++)
		area[i * PAGE_SIZE] = (char)i;
	uint64_t va = (uint64_t)area;
	selftest_ok(!readable(va - 8) && !readable(va + 8 * PAGE_SIZE),
		    "vmap: guard pages on both sides");

	mfn_t frame;
	enum host_prot prot;
	selftest_ok(hostpt_lookup(va + 3 * PAGE_SIZE, &frame, &prot) && prot == HOST_RW &&
			pahash_lookup(frame) == va + 3 * PAGE_SIZE,
		    "vmap: the PA->VA hash agrees with the page tables");
	selftest_ok(!vmap_free_part(area + 3 * PAGE_SIZE, 2) && !readable(va + 3 * PAGE_SIZE) &&
			!readable(va + 4 * PAGE_SIZE) && area[2 * PAGE_SIZE] == 2 &&
			area[5 * PAGE_SIZE] == 5,
		    "vmap: the middle goes, head and tail stay");
	selftest_ok(pahash_lookup(frame) == 0, "vmap: the hash forgets what was unmapped");
	selftest_ok(!vmap_free_part(area, 1) && !vmap_free_part(area + 7 * PAGE_SIZE, 1) &&
			area[PAGE_SIZE] == 1 && area[6 * PAGE_SIZE] == 6 && !readable(va) &&
			!readable(va + 7 * PAGE_SIZE),
		    "vmap: first and last page go");
	vmap_free(area + PAGE_SIZE);
	vmap_free(area + 5 * PAGE_SIZE);
	selftest_ok(!readable(va + PAGE_SIZE) && !readable(va + 6 * PAGE_SIZE),
		    "vmap: nothing is left");
}

static void test_heap(void)
{
	void *a, *b, *c;
	bool got =
	    !heap_alloc(48, 1, &a) && !heap_alloc(48, 2, &b) && !heap_alloc(3 * PAGE_SIZE, 1, &c);

	selftest_ok(got, "heap: objects of two owners and a large one");
	if (!got)
		return;
	selftest_ok((uint64_t)a / PAGE_SIZE != (uint64_t)b / PAGE_SIZE,
		    "heap: two owners share no page");
	heap_free(a);
	heap_free(b);
	heap_free(c);
}

static void test_audit(void)
{
	struct audit_result result;
	mfn_t frame;
	/* Nobody maps the last page of the vmap area: its own guard. */
	uint64_t va = LAYOUT_VMAP + LAYOUT_VMAP_SIZE - PAGE_SIZE;

	audit_run(&result, false);
	selftest_ok(result.errors == 0 && result.guest_pages == 0, "audit: finds nothing wrong");
	if (frame_alloc(0, DOMID_HYPERVISOR, FRAME_GUEST_RAM, &frame))
		return;
	uint64_t before = result.errors;
	bool mapped = !hostpt_map(va, frame, HOST_R);
	audit_run(&result, true);
	selftest_ok(mapped && result.errors == before + 1 && result.guest_pages == 1,
		    "audit: finds a guest's frame that is mapped against the rules");
	hostpt_unmap(va);
	hostpt_flush(va, 1);
	audit_run(&result, true);
	selftest_ok(result.errors == 0, "audit: and nothing when it is gone");
	frame_free(frame, 0);
}

static bool print_free(mfn_t first, unsigned order, void *ctx)
{
	(void)ctx;
	print(LOG_RESULT, "free: mfn 0x%lx-0x%lx", mfn_raw(first),
	      mfn_raw(first) + (1ul << order) - 1);
	return true;
}

/* Boot CPU, before guests. The ranges of free frames at the end are for a look from outside (QEMU's
 * monitor). */
uint32_t selftest_run(void)
{
	/* What pools, slabs and page tables keep for later is taken in a first round. */
	void *warm[2];
	if (!vmap_alloc(64, &warm[0]))
		vmap_free(warm[0]);
	for (domid_t owner = 1; owner <= 2; owner++)
		if (!heap_alloc(48, owner, &warm[0]))
			heap_free(warm[0]);
	struct accounting before;
	accounting_take(&before);

	test_layout();
	test_window();
	test_wipe();
	test_traps();
	test_vmap();
	test_heap();
	test_audit();
	selftest_smp();
	selftest_ok(accounting_equal(&before, true), "all frames came back");
	uint32_t failed = selftest_finish();
	frame_for_each_free_block(print_free, NULL);
	return failed;
}
