/*
 * No guest uses a translation of a frame that has been given back: vmx/flush.c, vmx/ept*.c and
 * mm/epoch.c against a model of every CPU's TLB, at random.
 *
 * Three CPUs run vCPUs of two domains: load, enter, access memory, exit, unload, move on to other
 * CPUs. From root mode they take pages out of either domain, give them others, and end domains
 * whose tags and tables are used again. INVEPT and INVVPID act on the model. A CPU in guest mode is
 * not kicked: it keeps its translations until it exits, and frames must wait for that.
 *
 * The model keeps what the SDM allows a processor to keep (Vol. 3, "Caching Translation
 * Information"): guest-physical mappings under the EPT's root, combined mappings under root and
 * tag.
 */
/* sources: mm/frame.c mm/frame_buddy.c mm/frame_cache.c */
/* sources: vmx/flush.c vmx/ept.c vmx/ept_map.c vmx/ept_unmap.c mm/epoch.c */
/* sources: mm/section.c mm/pool.c tests/unit/fake_mm.c */
#include "barriers.h"
#include "fake_mm.h"
#include "mm/epoch.h"
#include "mm/pool.h"
#include "tap.h"
#include "vmx/ept.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

#define CPUS	3u
#define DOMAINS 2u
#define PAGES	6u /* guest frames of a domain that are used */
#define STEPS	300000u

struct vmx_machine vmx_machine;

/* --- the TLB ---------------------------------------------------------------------------------- */

/* Frames are known by how often they were given out: a reused one is another. */
static uint32_t serial_of[1u << 16];

struct translation {
	bool valid;
	uint64_t root;
	uint16_t tag; /* 0: guest-physical */
	uint64_t gfn; /* or guest-linear page, which is the same number here */
	mfn_t frame;
	uint32_t serial;
};

#define TLB_SIZE 64u
static struct tlb {
	struct translation entries[TLB_SIZE];
	unsigned next;
} tlbs[CPUS];

static uint64_t invepts, invvpids;
static uint16_t last_tag;

static bool ours(uint64_t type, uint64_t all, bool match)
{
	return type == all || match;
}

enum vmx_status invept(uint64_t type, uint64_t eptp)
{
	struct tlb *tlb = &tlbs[cpu_index()];

	invepts++;
	for (unsigned i = 0; i < TLB_SIZE; i++)
		if (ours(type, INVEPT_ALL_CONTEXTS, tlb->entries[i].root == eptp >> PAGE_SHIFT))
			tlb->entries[i].valid = false;
	return VMX_OK;
}

enum vmx_status invvpid(uint64_t type, uint16_t tag, gva_t address)
{
	struct tlb *tlb = &tlbs[cpu_index()];

	(void)address;
	invvpids++;
	last_tag = tag;
	for (unsigned i = 0; i < TLB_SIZE; i++)
		if (tlb->entries[i].tag &&
		    ours(type, INVVPID_ALL_CONTEXTS, tlb->entries[i].tag == tag))
			tlb->entries[i].valid = false;
	return VMX_OK;
}

static struct translation *tlb_find(struct tlb *tlb, uint64_t root, uint16_t tag, uint64_t gfn)
{
	for (unsigned i = 0; i < TLB_SIZE; i++) {
		struct translation *t = &tlb->entries[i];

		if (t->valid && t->root == root && t->tag == tag && t->gfn == gfn)
			return t;
	}
	return NULL;
}

static void tlb_fill(struct tlb *tlb, uint64_t root, uint16_t tag, uint64_t gfn, mfn_t frame,
		     uint32_t serial)
{
	tlb->entries[tlb->next++ % TLB_SIZE] =
	    (struct translation){true, root, tag, gfn, frame, serial};
}

/* --- domains ---------------------------------------------------------------------------------- */

static struct guest {
	struct domain domain;
	struct vcpu_shared vcpu;
	int runs_on; /* CPU, or -1 */
} guests[DOMAINS];

static struct {
	struct guest *guest;
	bool in_guest;
} cpus[CPUS];

static uint64_t accesses, stale_accesses, reused, restarts;

static void be(uint32_t cpu)
{
	fake_cpu_be(cpu);
	test_cpu.shared = &cpu_shared[cpu];
	test_cpu.current = cpus[cpu].guest ? &cpus[cpu].guest->vcpu : NULL;
}

static bool guest_start(struct guest *g, uint16_t tag)
{
	memset(&g->domain, 0, sizeof(g->domain));
	memset(&g->vcpu, 0, sizeof(g->vcpu));
	g->domain.id = (domid_t)tag;
	g->vcpu.domain = &g->domain;
	g->vcpu.vpid = tag;
	g->vcpu.host_cpu = VCPU_NO_CPU;
	g->runs_on = -1;
	return p2m_init(&g->domain.p2m, 64, 1u << 20) == 0;
}

static void frame_removed(gfn_t gfn, const struct p2m_entry *entry, uint64_t count, void *ctx)
{
	(void)gfn;
	(void)ctx;
	for (uint64_t i = 0; i < count; i++)
		epoch_free_frames(mfn_add(entry->frame, i), 0);
}

static void change_memory(struct guest *g)
{
	uint64_t gfn = fake_random() % PAGES;
	struct p2m_entry entry;
	mfn_t frame;

	if (p2m_lookup(&g->domain.p2m, make_gfn(gfn), &entry)) {
		if (p2m_unmap(&g->domain.p2m, make_gfn(gfn), 1 + fake_random() % 2, frame_removed,
			      NULL))
			abort();
		return;
	}
	if (frame_alloc(0, g->domain.id, FRAME_GUEST_RAM, &frame))
		return;
	reused += serial_of[mfn_raw(frame)]++ != 0;
	if (p2m_map(&g->domain.p2m, make_gfn(gfn), frame, 1, P2M_RAM, P2M_RWX))
		abort();
}

static void access_memory(struct tlb *tlb, struct guest *g)
{
	uint64_t gfn = fake_random() % PAGES, root = mfn_raw(g->domain.p2m.root);
	struct translation *t = tlb_find(tlb, root, g->vcpu.vpid, gfn);
	struct p2m_entry entry;

	if (!t)
		t = tlb_find(tlb, root, 0, gfn);
	if (t) {
		accesses++;
		if (t->serial != serial_of[mfn_raw(t->frame)] || frame_type(t->frame) == FRAME_FREE)
			stale_accesses++;
		return;
	}
	if (!p2m_lookup(&g->domain.p2m, make_gfn(gfn), &entry))
		return;
	tlb_fill(tlb, root, 0, gfn, entry.frame, serial_of[mfn_raw(entry.frame)]);
	tlb_fill(tlb, root, g->vcpu.vpid, gfn, entry.frame, serial_of[mfn_raw(entry.frame)]);
}

/* --- what CPUs do, as vmx/vcpu.c and vmx/run.c do it --------------------------------------------
 */

static void load(uint32_t cpu, struct guest *g)
{
	bool arrives = g->vcpu.host_cpu != cpu;

	g->runs_on = (int)cpu;
	cpus[cpu].guest = g;
	be(cpu);
	vmx_flush_loaded(&g->vcpu, arrives);
	g->vcpu.host_cpu = cpu;
}

static void unload(uint32_t cpu)
{
	struct guest *g = cpus[cpu].guest;

	p2m_cpu_leave(&g->domain.p2m);
	g->runs_on = -1;
	cpus[cpu].guest = NULL;
	be(cpu);
}

/* A domain ends and another takes its number and tag, and perhaps its tables. */
static void restart(struct guest *g)
{
	uint16_t tag = g->vcpu.vpid;

	if (p2m_unmap(&g->domain.p2m, make_gfn(0), PAGES + 2, frame_removed, NULL))
		abort();
	p2m_destroy(&g->domain.p2m);
	vmx_flush_vpid(&g->vcpu);
	fake_quiesce(); /* nobody is in guest mode then: see step() */
	restarts++;
	if (!guest_start(g, tag))
		abort();
}

/* A VM exit. */
static void leave_guest(uint32_t cpu)
{
	cpus[cpu].in_guest = false;
	cpu_shared[cpu].entry_work_bytes[ENTRY_IN_GUEST_BYTE] = 0;
}

void vmx_set_event(void) {}
void vmx_barrier_l1d(void) {}
bool vmx_requests(void)
{
	return true;
}

static bool nobody_in_guest(void)
{
	for (unsigned i = 0; i < CPUS; i++)
		if (cpus[i].in_guest)
			return false;
	return true;
}

static void step(void)
{
	uint32_t cpu = (uint32_t)(fake_random() % CPUS);
	struct guest *g = &guests[fake_random() % DOMAINS];
	unsigned dice = (unsigned)(fake_random() % 100);

	be(cpu);
	if (cpus[cpu].in_guest) {
		if (dice < 80)
			access_memory(&tlbs[cpu], cpus[cpu].guest);
		else
			leave_guest(cpu);
	} else if (dice < 25) {
		change_memory(g);
	} else if (dice < 26 && g->runs_on < 0 && nobody_in_guest()) {
		restart(g);
	} else if (cpus[cpu].guest) {
		if (dice < 80)
			cpus[cpu].in_guest = vmx_entry_work();
		else
			unload(cpu);
	} else if (g->runs_on < 0 && dice < 80) {
		load(cpu, g);
	} else {
		epoch_quiescent();
	}
}

static bool boot(void)
{
	fake_mm_init();
	frame_add_ram(make_paddr(0x100000), make_paddr(0x1000000));
	must(!frame_init() && !pool_init());
	ept_configure(true, true, true);
	vmx_machine.controls.value[VMX_PROC2] = PROC2_VPID;
	vmx_machine.caps.ept_vpid =
	    EPT_CAP_INVEPT_SINGLE | VPID_CAP_INVVPID | VPID_CAP_INVVPID_SINGLE;
	for (uint32_t cpu = 0; cpu < CPUS; cpu++)
		fake_cpu_online(cpu);
	be(0);
	for (unsigned i = 0; i < DOMAINS; i++)
		must(guest_start(&guests[i], (uint16_t)(i + 1)));
	return true;
}

static bool at_random(void)
{
	must(boot());
	fake_random_seed(0x6b657968);
	for (unsigned i = 0; i < STEPS; i++)
		step();
	diag("%" PRIu64 " accesses by the TLB, %" PRIu64 " frames used again, %" PRIu64
	     " domains ended, %" PRIu64 " INVEPT, %" PRIu64 " INVVPID",
	     accesses, reused, restarts, invepts, invvpids);
	must(accesses > 10000 && reused > STEPS / 100 && restarts > 20);
	if (stale_accesses)
		diag("%" PRIu64 " accesses to frames that were given back", stale_accesses);
	return stale_accesses == 0;
}

/* INVEPT drops these too, on processors that follow the SDM to the letter: it is no reason to rely
 * on it. What the guest itself changed elsewhere is the tag's matter. */
static bool arrival(void)
{
	struct guest *g = &guests[1];

	must(boot());
	for (uint32_t cpu = 0; cpu < CPUS; cpu++) {
		uint64_t before = invvpids;

		be(cpu);
		load(cpu, g);
		must(invvpids == before + 1 && last_tag == g->vcpu.vpid);
		unload(cpu);
		load(cpu, g);
		must(invvpids == before + 1);
		unload(cpu);
	}
	return true;
}

static bool removal(void)
{
	struct guest *g = &guests[0];
	struct tlb *tlb = &tlbs[1];

	must(boot());
	change_memory(g);
	change_memory(g);
	be(1);
	load(1, g);
	must(vmx_entry_work());
	for (unsigned i = 0; i < 200; i++)
		access_memory(tlb, g);
	must(accesses);
	be(0);
	must(!p2m_unmap(&g->domain.p2m, make_gfn(0), PAGES, frame_removed, NULL));
	epoch_quiescent(); /* here what was given up gets its epoch, and others are asked */
	be(1);
	must(cpu_shared[1].entry_work ==
	     (ENTRY_IN_GUEST | ENTRY_WORK_EPT_FLUSH | ENTRY_WORK_EPOCH));
	leave_guest(1);
	must(vmx_entry_work());
	for (unsigned i = 0; i < TLB_SIZE; i++)
		must(!tlb->entries[i].valid);
	return true;
}

int main(void)
{
	plan(3);
	ok(fake_in_child(at_random), "no guest uses a frame that was given back");
	ok(fake_in_child(removal), "a CPU that was marked enters with an empty TLB");
	ok(fake_in_child(arrival), "a vCPU that arrives on a CPU has its tag dropped there");
	return tap_end();
}
