/*
 * multicall: lists of calls, in both widths: results, calls that continue within a list, interrupts
 * and waits between two entries, lists that are no lists.
 */
#ifdef __x86_64__
#include "apic.h"
#else
#include "guest.h"
#endif

#define ENTRIES	  3000u
#define VECTOR	  0x71u
#define UNTOUCHED 0x5555u

#ifdef __x86_64__
typedef struct multicall_entry multicall_entry_t;
#else
typedef struct compat_multicall_entry multicall_entry_t;
#endif

static multicall_entry_t list[ENTRIES] __attribute__((aligned(4096)));

static long multicall(void *at, unsigned long count)
{
	return hypercall(__HYPERVISOR_multicall, (unsigned long)at, count, 0);
}

static void set(unsigned i, unsigned long op, unsigned long a, unsigned long b, unsigned long c)
{
	list[i] = (multicall_entry_t){op, UNTOUCHED, {a, b, c, 0, 0, 0}};
}

static unsigned done(void)
{
	unsigned n = 0;

	while (n < ENTRIES && list[n].result != UNTOUCHED)
		n++;
	return n;
}

static void results(void)
{
	static struct xen_feature_info features;
	static char text[2000];

	memset(text, '.', sizeof(text));
	text[0] = '#';
	text[sizeof(text) - 1] = '\n';
	set(0, __HYPERVISOR_xen_version, XENVER_version, 0, 0);
	set(1, __HYPERVISOR_xen_version, XENVER_get_features, (unsigned long)&features, 0);
	set(2, 1000, 0, 0, 0);
	set(3, __HYPERVISOR_multicall, (unsigned long)list, 1, 0);
	set(4, __HYPERVISOR_console_io, CONSOLEIO_write, sizeof(text), (unsigned long)text);
	set(5, __HYPERVISOR_xen_version, XENVER_get_features, 0xd0000000ul, 0);
	set(6, __HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0);
	set(7, KEYHOLE_CALL_PHYSICAL | __HYPERVISOR_xen_version, XENVER_get_features,
	    (unsigned long)&features, 0);
	set(8, __HYPERVISOR_memory_op, XENMEM_current_reservation, (unsigned long)&features, 0);
	set(9, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
	set(10, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
	tap_is(multicall(list, 10), 0, "ten calls");
	tap_is(list[0].result, xen_version(XENVER_version, NULL), "a number");
	tap_ok(list[1].result == 0 && features.submap, "a structure");
	tap_is((long)list[2].result, -XEN_ENOSYS, "no such call");
	tap_is((long)list[3].result, -XEN_EINVAL, "no list in a list");
	tap_is((long)list[4].result, 0, "a long text");
	tap_is((long)list[5].result, -XEN_EFAULT, "an argument that is nowhere");
	tap_is((long)list[6].result, 0, "others may run meanwhile");
	tap_is((long)list[7].result, 0, "a guest-physical one");
	tap_is((long)list[8].result, -XEN_EPERM, "another domain's");
	tap_is((long)list[9].result, 4096, "the last one");
	tap_is(list[10].result, UNTOUCHED, "no more");
	tap_ok(list[0].op == __HYPERVISOR_xen_version && list[1].args[0] == XENVER_get_features,
	       "what was asked is as it was");
}

/* More than a slice of the processor's time: interrupts come, and the rest is done afterwards. */
static void long_lists(void)
{
	for (unsigned i = 0; i < ENTRIES; i++)
		set(i, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
	tap_is(multicall(list, ENTRIES), 0, "%u calls", ENTRIES);
	tap_is(done(), ENTRIES, "are all done");
}

#ifdef __x86_64__
static volatile unsigned seen_at;

INTERRUPT on_interrupt(struct interrupt_frame *frame)
{
	(void)frame;
	seen_at = done();
	apic_eoi();
}

static void between(void)
{
	apic_enable();
	interrupt_set(VECTOR, on_interrupt);
	for (unsigned i = 0; i < ENTRIES; i++)
		set(i, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
	wrmsr(X2_SELF_IPI, VECTOR); /* waits while interrupts are off */
	set(5, __HYPERVISOR_sched_op, SCHEDOP_block, 0, 0);
	__asm__ volatile("sti; nop" : : : "memory");
	tap_is(seen_at, 0, "an interrupt before the list");
	wrmsr(X2_LVT_TIMER, VECTOR);
	wrmsr(X2_DIVIDE, DIVIDE_BY_1);
	wrmsr(X2_INITIAL_COUNT, 20000);
	tap_is(multicall(list, ENTRIES), 0, "a list with a wait in it");
	__asm__ volatile("cli" : : : "memory");
	tap_ok(seen_at >= 6 && seen_at < ENTRIES,
	       "an interrupt ends the wait between two entries (after %u)", seen_at);
	tap_is(done(), ENTRIES, "all the rest is done");
}
#else
static void between(void) {}
#endif

static void hostile(void)
{
	char *nowhere = (char *)0xd0000000ul;

#ifdef __x86_64__
	/* A list of which the second page is missing, and one that can only be read. */
	paging_map(PAGING_FREE, (uintptr_t)list, PTE_W);
	set(63, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
	tap_is(multicall((void *)(PAGING_FREE + 63 * 64), 2), -XEN_EFAULT,
	       "a list whose second entry is not there");
	tap_is(list[63].result, 4096, "the first one is done");
	set(63, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
	tap_is(multicall((void *)(PAGING_FREE + 63 * 64 + 32), 1), -XEN_EFAULT,
	       "an entry of which a half is there");
	paging_map(PAGING_FREE, (uintptr_t)list, 0);
	set(0, __HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0);
	tap_is(multicall((void *)PAGING_FREE, 1), -XEN_EFAULT, "a list that cannot be written");
	tap_is(list[0].result, UNTOUCHED, "nothing of it is done");
	set(0, 1ul << 32 | __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
	tap_is(multicall(list, 1), 0, "a call number of more than 32 bits");
	tap_is((long)list[0].result, -XEN_ENOSYS, "is none");
#endif
	tap_is(multicall(nowhere, 1), -XEN_EFAULT, "a list nowhere");
	tap_is(multicall(nowhere, 0), 0, "an empty list nowhere");
	tap_is(multicall(nowhere, 0xffffffff), -XEN_EFAULT, "a long list nowhere");
	tap_is(multicall((void *)~0ul, 2), -XEN_EFAULT, "a list that wraps around");
	/* An entry across two pages, and one whose call overwrites it. */
	multicall_entry_t *across = (void *)((char *)list + 4096 - 12);
	*across = (multicall_entry_t){__HYPERVISOR_xen_version, UNTOUCHED, {XENVER_pagesize}};
	tap_is(multicall(across, 1), 0, "an entry across two pages");
	tap_is(across->result, 4096, "has its result");
	set(0, __HYPERVISOR_xen_version, XENVER_capabilities, (unsigned long)list, 0);
	set(1, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
	tap_is(multicall(list, 1), 0, "a call whose result overwrites its list");
	tap_is(list[0].result, 0, "the entry comes after it");
	tap_is(hypercall(KEYHOLE_CALL_PHYSICAL | __HYPERVISOR_multicall, 0xd0000000ul, 1, 0),
	       -XEN_EFAULT, "a guest-physical list nowhere");
	set(0, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
	tap_is(hypercall(KEYHOLE_CALL_PHYSICAL | __HYPERVISOR_multicall, (unsigned long)list, 1, 0),
	       0, "and one in memory");
	tap_is(list[0].result, 4096, "with its result");
}

int main(void)
{
	if (!xen_present)
		tap_bail_out("there is no hypervisor");
	results();
	long_lists();
	between();
	hostile();
	tap_done();
}
