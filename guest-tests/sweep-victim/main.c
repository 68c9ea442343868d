/*
 * sweep-victim: a guest with a secret. It keeps its canary everywhere it can: memory, general,
 * vector and debug registers, MSRs, hypercall arguments and console text. It does so until
 * sweep-probe, the domain after it (or `peer=`), says that it has looked for it often enough.
 */
#include "canary.h"
#include "guest.h"

#define MEMORY_WORDS 16384

void victim_hold(uint64_t lo, uint64_t hi, unsigned long spins, bool yield_first);

static volatile uint64_t secret_memory[MEMORY_WORDS];
static volatile uint64_t lo_masked = CANARY_LO_MASKED, hi_masked = CANARY_HI_MASKED;

static void spread(uint64_t lo, uint64_t hi)
{
	for (unsigned i = 0; i < MEMORY_WORDS; i += 2) {
		secret_memory[i] = lo;
		secret_memory[i + 1] = hi;
	}
	write_dr0(lo);
	write_dr1(hi);
	write_dr2(lo);
	write_dr3(hi);
	write_cr2(hi);
	wrmsr(MSR_KERNEL_GS_BASE, lo);
	wrmsr(MSR_LSTAR, lo);
	wrmsr(MSR_CSTAR, lo);
	wrmsr(MSR_FS_BASE, lo);
	wrmsr(MSR_SYSENTER_ESP, lo);
}

/* Arguments that hold it: in the registers of a call, and in structures that calls copy in. */
static void pass_to_hypercalls(uint64_t lo, uint64_t hi)
{
	uint64_t features[1] = {hi};
	struct gnttab_map_grant_ref map[2] = {
	    {.host_addr = lo, .flags = 0, .ref = (uint32_t)hi, .dom = 0x7000, .dev_bus_addr = hi},
	    {.host_addr = hi, .flags = 0, .ref = (uint32_t)lo, .dom = 0x7000, .dev_bus_addr = lo}};
	native_ulong_t index[2] = {lo, hi}, place[2] = {hi, lo};
	int32_t errors[2];
	add_to_physmap_batch_t batch = {.domid = DOMID_SELF,
					.space = XENMAPSPACE_grant_table,
					.size = 2,
					.idxs = handle(index),
					.gpfns = handle(place),
					.errs = handle(errors)};
	char text[24] = "# ........\n";

	hypercall5(__HYPERVISOR_sched_op, SCHEDOP_yield, lo, hi, lo, hi);
	hypercall5(63, lo, hi, lo, hi, lo);
	xen_version(XENVER_get_features, features);
	grant_table_op(GNTTABOP_map_grant_ref, map, 2);
	memory_op(XENMEM_add_to_physmap_batch, &batch);
	memcpy(text + 2, &hi, sizeof(hi));
	console_io(CONSOLEIO_write, 11, text);
	/* A line that has not ended yet: somebody has to keep it. */
	console_io(CONSOLEIO_write, 10, text);
	yield();
	console_io(CONSOLEIO_write, 1, "\n");
}

int main(void)
{
	uint32_t peer = (uint32_t)option_number("peer", self_domain() + 1);
	uint64_t lo = lo_masked ^ CANARY_MASK, hi = hi_masked ^ CANARY_MASK;
	volatile struct grant_entry_v1 *table;
	volatile uint32_t *flag = page_alloc();
	unsigned rounds = 0;

	tap_plan(2);
	spread(lo, hi);
	table = grant_table_at(HOLE);
	grant_access(table, REF_FLAG, peer, (void *)flag, 0);
	while (*flag != PROBE_IS_DONE && rounds < 20000) {
		if (rounds % 8 == 0 && rounds < 200)
			pass_to_hypercalls(lo, hi);
		victim_hold(lo, hi, 20000, rounds & 1);
		rounds++;
	}
	tap_is(*flag, PROBE_IS_DONE, "the probe has ended its search in round %u", rounds);
	tap_ok(secret_memory[0] == lo && rdmsr(MSR_LSTAR) == lo && read_dr1() == hi,
	       "the secret is still where it was");
	tap_done();
}
