/*
 * bench: what exits, hypercalls and shared pages cost, seen from the guest (measure.h says how).
 *
 * Its RAM comes when it is touched first (populate=lazy). Its peer is the domain before it
 * (guest-tests/bench-peer). `exits` on the command line: rows that any hypervisor has, nothing
 * else.
 */
#include "guest.h"
#include "measure.h"
#include "public/event_channel.h"
#include "public/keyhole.h"
#include "public/shared_info.h"
#include "shared.h"

#define SAMPLES	       1000u
#define BATCHES	       16u /* of 64 pages */
#define COPIES	       16u
#define FOREIGN_RUNS   2u
#define FOREIGN_TRACED 64u
#define DEMAND_SPAN    1536u /* of the peer's pages, from FOREIGN_START on */
#define DEMAND_BUDGET  512u
#define DEMAND_ROUNDS  2u

#define MSR_BIOS_SIGN_ID 0x8bu

#define OWN_START 0xa00000ul /* RAM of this guest's own that nothing else uses */

#define AT_CONTROL HOLE
#define AT_GRANTS  (HOLE + 0x200000ul)
#define AT_FOREIGN (HOLE + 0x400000ul)
#define AT_SHARED  (HOLE + 0x600000ul)
#define AT_DEMAND  (HOLE + 0x800000ul)

/* The instruction, or nothing with the same operands. */
#define ONE_CPUID(instruction)                                                          \
	do {                                                                            \
		uint32_t a_ = 0, b_, c_ = 0, d_;                                        \
		__asm__ volatile(instruction : "+a"(a_), "=b"(b_), "+c"(c_), "=d"(d_)); \
	} while (0)
#define ONE_RDMSR(instruction)                                                              \
	do {                                                                                \
		uint32_t a_ = 0, d_ = 0;                                                    \
		__asm__ volatile(instruction : "+a"(a_), "+d"(d_) : "c"(MSR_BIOS_SIGN_ID)); \
	} while (0)

long last_result;

static void exits(void)
{
	struct row row = {0}, empty = {0};

	MEASURE(&empty, SAMPLES, ONE_CPUID(""));
	MEASURE(&row, SAMPLES, ONE_CPUID("cpuid"));
	row_print("cpuid_exit", &row, &empty, 1);
	TRACE("cpuid_exit", ONE_CPUID("cpuid"));

	row = empty = (struct row){0};
	MEASURE(&empty, SAMPLES, ONE_RDMSR(""));
	MEASURE(&row, SAMPLES, ONE_RDMSR("rdmsr"));
	row_print("rdmsr_exit", &row, &empty, 1);
	TRACE("rdmsr_exit", ONE_RDMSR("rdmsr"));
}

/* Asks for the version's number; other hypervisors have no call of that number and say so. */
static void null_call(void)
{
	struct row row = {0}, empty = {0};

	MEASURE(&empty, SAMPLES, ONE_CALL("", __HYPERVISOR_xen_version, XENVER_version, 0, 0));
	MEASURE(&row, SAMPLES, ONE_CALL("vmcall", __HYPERVISOR_xen_version, XENVER_version, 0, 0));
	if (xen_present)
		tap_ok(last_result > 0x40000, "the null call answers (0x%lx)", last_result);
	row_print("hypercall_null", &row, &empty, 1);
	TRACE("hypercall_null", ONE_CALL("vmcall", __HYPERVISOR_xen_version, XENVER_version, 0, 0));
}

/*
 * The copy is of a struct xen_add_to_physmap, 24
 * bytes, that names another domain and is refused for it at once; compared with an unknown command
 * of the same call, which is refused without looking at its argument.
 */
static void copy_in(void)
{
	struct row row = {0}, physical = {0}, without = {0};
	static struct xen_add_to_physmap argument = {.domid = DOMID_FIRST_RESERVED - 1};

#define REFUSED(flag) \
	ONE_CALL("vmcall", __HYPERVISOR_memory_op | (flag), XENMEM_add_to_physmap, &argument, 0)
	MEASURE(&without, SAMPLES, ONE_CALL("vmcall", __HYPERVISOR_memory_op, 60, &argument, 0));
	tap_is(last_result, -XEN_ENOSYS, "an unknown command is refused");
	MEASURE(&row, SAMPLES, REFUSED(0));
	tap_is(last_result, -XEN_EPERM, "an argument that was read is refused");
	MEASURE(&physical, SAMPLES, REFUSED(KEYHOLE_CALL_PHYSICAL));
	tap_is(last_result, -XEN_EPERM, "and by its guest-physical address");
	row_print("copy_in", &row, &without, 1);
	row_print("copy_in_phys", &physical, &without, 1);
	TRACE("copy_in_without", ONE_CALL("vmcall", __HYPERVISOR_memory_op, 60, &argument, 0));
	TRACE("copy_in", REFUSED(0));
	TRACE("copy_in_phys", REFUSED(KEYHOLE_CALL_PHYSICAL));
}

/* Where arrays lie in their pages counts. */
#define IN_PAGES __attribute__((aligned(PAGE_SIZE)))

static struct gnttab_map_grant_ref maps[GRANTS] IN_PAGES;
static struct gnttab_unmap_grant_ref unmaps[GRANTS] IN_PAGES;

static void map_fill(uint32_t peer)
{
	for (unsigned i = 0; i < GRANTS; i++)
		maps[i] = (struct gnttab_map_grant_ref){.host_addr = AT_GRANTS + i * PAGE_SIZE,
							.flags = GNTMAP_host_map,
							.ref = REF_FIRST + i,
							.dom = (domid_t)peer,
							.status = 99};
}

static void unmap_fill(void)
{
	for (unsigned i = 0; i < GRANTS; i++)
		unmaps[i] = (struct gnttab_unmap_grant_ref){
		    .host_addr = maps[i].host_addr, .handle = maps[i].handle, .status = 99};
}

#define MAP_ALL() \
	ONE_CALL("vmcall", __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, maps, GRANTS)
#define UNMAP_ALL() \
	ONE_CALL("vmcall", __HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, unmaps, GRANTS)

static void grants(uint32_t peer)
{
	struct row map = {0}, unmap = {0}, empty = {0};
	unsigned wrong = 0;

	MEASURE(&empty, BATCHES,
		ONE_CALL("", __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, maps, GRANTS));
	/* The first round, in which memory for handles is taken, is not counted. */
	for (unsigned n = 0; n <= BATCHES; n++) {
		map_fill(peer);
		if (n == 0)
			MAP_ALL();
		else
			MEASURE(&map, 1, MAP_ALL());
		wrong += last_result != 0;
		for (unsigned i = 0; i < GRANTS; i++)
			wrong += maps[i].status != GNTST_okay;
		unmap_fill();
		if (n == 0)
			UNMAP_ALL();
		else
			MEASURE(&unmap, 1, UNMAP_ALL());
		wrong += last_result != 0;
		for (unsigned i = 0; i < GRANTS; i++)
			wrong += unmaps[i].status != GNTST_okay;
		yield();
	}
	tap_is(wrong, 0, "every grant was mapped and unmapped");
	row_print("grant_map_64", &map, &empty, GRANTS);
	row_print("grant_unmap_64", &unmap, &empty, GRANTS);
	map_fill(peer);
	TRACE("grant_map_64", MAP_ALL());
	unmap_fill();
	TRACE("grant_unmap_64", UNMAP_ALL());
}

/*
 * An event to a port of its own that it has masked: the whole way but for the upcall. The bit is
 * cleared again in between. Then the same with the argument's guest-physical address.
 */
static void events(void)
{
	volatile struct shared_info *shared = (volatile struct shared_info *)AT_SHARED;
	add_to_physmap_t map = {
	    .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = AT_SHARED / PAGE_SIZE};
	struct evtchn_alloc_unbound alloc = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
	struct evtchn_bind_interdomain bind = {.remote_dom = DOMID_SELF};
	static struct evtchn_send argument;
	struct row rows[2] = {{0}}, empty = {0};
	unsigned wrong = 0;

#define SEND(instruction, flag) \
	ONE_CALL(instruction, __HYPERVISOR_event_channel_op | (flag), EVTCHNOP_send, &argument, 0)
#define EVENT_OP(command, op) \
	hypercall(__HYPERVISOR_event_channel_op, command, (unsigned long)(op), 0)
	wrong += memory_op(XENMEM_add_to_physmap, &map) != 0;
	wrong += EVENT_OP(EVTCHNOP_alloc_unbound, &alloc) != 0;
	bind.remote_port = alloc.port;
	wrong += EVENT_OP(EVTCHNOP_bind_interdomain, &bind) != 0;
	argument.port = alloc.port;
	shared->evtchn_mask[0] = ~0ull;
	MEASURE(&empty, SAMPLES, SEND("", 0));
	for (unsigned n = 0; n < 2 * SAMPLES; n++) {
		unsigned flag = n < SAMPLES ? 0 : KEYHOLE_CALL_PHYSICAL;

		shared->evtchn_pending[0] = 0;
		MEASURE(&rows[n / SAMPLES], 1, SEND("vmcall", flag));
		wrong += last_result != 0 || shared->evtchn_pending[0] != 1ull << bind.local_port;
	}
	tap_is(wrong, 0, "every event arrived");
	row_print("evtchn_send", &rows[0], &empty, 1);
	row_print("evtchn_send_phys", &rows[1], &empty, 1);
	shared->evtchn_pending[0] = 0;
	TRACE("evtchn_send", SEND("vmcall", 0));
	shared->evtchn_pending[0] = 0;
	TRACE("evtchn_send_phys", SEND("vmcall", KEYHOLE_CALL_PHYSICAL));
}

/* Whole pages of the peer's, into pages of its own. */
static void copies(uint32_t peer)
{
	static struct gnttab_copy ops[COPIES];
	struct row row = {0}, first = {0}, empty = {0};
	unsigned wrong = 0;

	for (unsigned i = 0; i < COPIES; i++)
		ops[i] = (struct gnttab_copy){
		    .source = {.ref_or_gmfn = REF_FIRST + i, .domid = (domid_t)peer},
		    .dest = {.ref_or_gmfn = OWN_START / PAGE_SIZE + i, .domid = DOMID_SELF},
		    .len = PAGE_SIZE,
		    .flags = GNTCOPY_source_gref};
#define COPY_ALL(instruction) \
	ONE_CALL(instruction, __HYPERVISOR_grant_table_op, GNTTABOP_copy, ops, COPIES)
	MEASURE(&empty, BATCHES, COPY_ALL(""));
	/* In the first round its pages get their memory. */
	for (unsigned n = 0; n <= 4 * BATCHES; n++) {
		MEASURE(n ? &row : &first, 1, COPY_ALL("vmcall"));
		wrong += last_result != 0;
		for (unsigned i = 0; i < COPIES; i++)
			wrong += ops[i].status != GNTST_okay;
		yield();
	}
	tap_is(wrong, 0, "every page was copied");
	row_print("grant_copy_16", &row, &empty, COPIES);
	TRACE("grant_copy_16", COPY_ALL("vmcall"));
}

static xen_ulong_t indices[FOREIGN_PAGES] IN_PAGES, places[FOREIGN_PAGES] IN_PAGES;
static int32_t errors[FOREIGN_PAGES] IN_PAGES;

static void foreign_remove(void)
{
	for (unsigned i = 0; i < FOREIGN_PAGES; i++) {
		struct xen_remove_from_physmap argument = {.domid = DOMID_SELF, .gpfn = places[i]};

		memory_op(XENMEM_remove_from_physmap, &argument);
	}
}

static void foreign(uint32_t peer)
{
	struct row row = {0}, empty = {0};
	struct xen_add_to_physmap_batch batch = {.domid = DOMID_SELF,
						 .space = XENMAPSPACE_gmfn_foreign,
						 .size = FOREIGN_PAGES,
						 .foreign_domid = (domid_t)peer,
						 .idxs = handle(indices),
						 .gpfns = handle(places),
						 .errs = handle(errors)};
	unsigned wrong = 0;

	for (unsigned i = 0; i < FOREIGN_PAGES; i++) {
		indices[i] = FOREIGN_START / PAGE_SIZE + i;
		places[i] = AT_FOREIGN / PAGE_SIZE + i;
	}
	MEASURE(&empty, 1,
		ONE_CALL("", __HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, &batch, 0));
	for (unsigned n = 0; n < FOREIGN_RUNS; n++) {
		yield();
		MEASURE(&row, 1,
			ONE_CALL("vmcall", __HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch,
				 &batch, 0));
		wrong += last_result != 0;
		for (unsigned i = 0; i < FOREIGN_PAGES; i++)
			wrong += errors[i] != 0;
		foreign_remove();
	}
	tap_is(wrong, 0, "every foreign page was mapped");
	row_print("foreign_map_512", &row, &empty, FOREIGN_PAGES);
	batch.size = FOREIGN_TRACED; /* each page is like the others */
	TRACE("foreign_map_512",
	      ONE_CALL("vmcall", __HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, &batch, 0));
	foreign_remove();
}

/* Touches the peer's pages one after the other, through a window that has room for a few of them:
 * each is a fault, and every so many others make room. */
static void demand(uint32_t peer)
{
	struct row row = {0}, filling = {0}, empty = {0};
	volatile const char *page = NULL;
	unsigned wrong = 0;
	long window = hypercall5(
	    __HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN(KEYHOLE_WINDOW_OPEN, peer),
	    FOREIGN_START / PAGE_SIZE, AT_DEMAND / PAGE_SIZE, DEMAND_SPAN, DEMAND_BUDGET);
	struct keyhole_window_stats stats;

	tap_ok(window >= 0, "a window onto the peer's memory");
	MEASURE(&empty, SAMPLES, );
	for (unsigned n = 0; n < DEMAND_BUDGET + DEMAND_ROUNDS * DEMAND_SPAN; n++) {
		page = (const char *)(AT_DEMAND + n % DEMAND_SPAN * PAGE_SIZE);
		MEASURE(n < DEMAND_BUDGET ? &filling : &row, 1, TOUCH(page));
	}
	wrong += hypercall(__HYPERVISOR_keyhole_foreign, KEYHOLE_WINDOW_STATS,
			   (unsigned long)window, (unsigned long)&stats) != 0;
	tap_ok(!wrong && stats.faults == filling.samples + row.samples, "each touch was a fault");
	printf("# %lu flushes for 1,000 faults\n", (unsigned long)stats.flushes_per_1000_faults);
	row_print("demand_fault", &row, &empty, 1);
	TOUCH(page + PAGE_SIZE); /* evicts, and the next one does not */
	TRACE("demand_fault", TOUCH(page + 2 * PAGE_SIZE));
	hypercall(__HYPERVISOR_keyhole_foreign, KEYHOLE_WINDOW_CLOSE, (unsigned long)window, 0);
}

/* Gives 64 pages back and takes as many, at the same place. */
static void balloon(void)
{
	struct row take = {0}, give = {0}, empty = {0};
	static xen_ulong_t pages[GRANTS] IN_PAGES;
	struct xen_memory_reservation r = {
	    .extent_start = handle(pages), .nr_extents = GRANTS, .domid = DOMID_SELF};
	unsigned wrong = 0;

	for (unsigned i = 0; i < GRANTS; i++)
		pages[i] = OWN_START / PAGE_SIZE + i;
	MEASURE(&empty, 1, ONE_CALL("", __HYPERVISOR_memory_op, XENMEM_populate_physmap, &r, 0));
	/* In the first round a large leaf is split. */
	for (unsigned n = 0; n <= BATCHES; n++) {
		struct row first = {0};

		MEASURE(
		    n ? &take : &first, 1,
		    ONE_CALL("vmcall", __HYPERVISOR_memory_op, XENMEM_decrease_reservation, &r, 0));
		wrong += last_result != GRANTS;
		yield();
		MEASURE(n ? &give : &first, 1,
			ONE_CALL("vmcall", __HYPERVISOR_memory_op, XENMEM_populate_physmap, &r, 0));
		wrong += last_result != GRANTS;
	}
	tap_is(wrong, 0, "memory went and came");
	row_print("decrease_64", &take, &empty, GRANTS);
	row_print("populate_64", &give, &empty, GRANTS);
	TRACE("decrease_64",
	      ONE_CALL("vmcall", __HYPERVISOR_memory_op, XENMEM_decrease_reservation, &r, 0));
	yield();
	TRACE("populate_64",
	      ONE_CALL("vmcall", __HYPERVISOR_memory_op, XENMEM_populate_physmap, &r, 0));
}

int main(void)
{
	struct bench_control *control = (void *)AT_CONTROL;
	uint32_t peer = self_domain() - 1;
	grant_handle_t handle;

	if (option("touch")) {
		/* For as long as it takes: it measures too. */
		while (grant_map(peer, 0, AT_CONTROL, GNTMAP_host_map, &handle) != GNTST_bad_domain)
			yield();
		touches();
		tap_done();
	}
	exits();
	null_call();
	if (option("exits")) {
		touches();
		tap_done();
	}
	copy_in();
	events();
	tap_ok(WAIT_UNTIL(grant_map(peer, REF_CONTROL, AT_CONTROL, GNTMAP_host_map, &handle) ==
			  GNTST_okay),
	       "domain %u grants its pages", peer);
	grants(peer);
	copies(peer);
	foreign(peer);
	demand(peer);
	balloon();
	control->done = 1;
	tap_done();
}
