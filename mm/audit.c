/*
 * The audit: what is mapped, and whether it may be.
 *
 * Walks this CPU's page tables through the window, trusting no record of what was mapped, and
 * checks every page in two ways that do not depend on each other: against the owner and type in the
 * frame table, and against every domain's p2m. State: none but for the time of a run: a bitmap of
 * the frames found mapped. Locks: those of vmap, for the bitmap. Runs on any CPU, for that CPU; the
 * p2ms may change meanwhile on other CPUs, and then the answer is that of some moment during the
 * run.
 */
#include "mm/audit.h"
#include "domain.h"
#include "mm/direct_map.h"
#include "mm/frame.h"
#include "mm/hostpt.h"
#include "mm/private.h"
#include "mm/vmap.h"
#include "mutant.h"
#include "p2m.h"
#include "percpu.h"
#include "print.h"

struct audit {
	struct audit_result *result;
	bool quiet;
	uint64_t *mapped; /* a bit for each frame below limit; NULL in the run that only counts */
	uint64_t limit;
};

/* The regions of include/layout.h and the frames that may appear in each. */
static const struct region {
	const char *name;
	uint64_t start, size;
	uint32_t types; /* bit n: enum frame_type n */
} regions[] = {
    {"frame table", LAYOUT_FRAME_TABLE, LAYOUT_SLOT_SIZE, 1u << FRAME_FRAME_TABLE},
    {"vmap", LAYOUT_VMAP, LAYOUT_VMAP_SIZE, 1u << FRAME_VMAP},
    {"pool", LAYOUT_POOL, LAYOUT_PHYS_LIMIT, 1u << FRAME_TABLE},
    {"image", LAYOUT_IMAGE, 1ull << 30, 1u << FRAME_IMAGE},
    /* Of no size but in the comparator build, which breaks the rules on purpose. */
    {"direct map", LAYOUT_DIRECT_MAP, DIRECT_MAP_SIZE, ~0u},
};

static void complain(struct audit *a, const struct hostpt_leaf *leaf, const char *what)
{
	a->result->errors++;
	if (!a->quiet)
		print(LOG_ERROR, "audit: cpu%u: %p maps frame 0x%lx: %s", cpu_index(),
		      (void *)leaf->va, mfn_raw(leaf->frame), what);
}

/* The private range holds private frames, and at one place the secret half of the vCPU that runs
 * here. */
static const char *check_private(const struct hostpt_leaf *leaf)
{
	uint64_t offset = leaf->va - private_base_of(cpu_index());
	enum frame_type type = frame_type(leaf->frame);

	if (leaf->global)
		return "a global mapping in the private range";
	if (offset >= PRIVATE_WINDOW)
		return "an open slot of the window";
	if (offset >= PRIVATE_VCPU && offset < PRIVATE_VCPU + PRIVATE_VCPU_PAGES * PAGE_SIZE)
		return type == FRAME_VCPU ? NULL : "not a vCPU's, at the vCPU's place";
	return type == FRAME_PRIVATE ? NULL : "not a private frame, in the private range";
}

static const char *check(const struct hostpt_leaf *leaf)
{
	if (MUTANT(AUDIT_BLIND))
		return NULL;
	if (leaf->write_exec)
		return "writable and executable";
	if (leaf->user)
		return "accessible to user mode";
	uint64_t base = private_base_of(cpu_index());
	if (leaf->va >= base && leaf->va < base + LAYOUT_PRIVATE_SIZE)
		return check_private(leaf);
	for (unsigned i = 0; i < array_size(regions); i++) {
		const struct region *r = &regions[i];

		if (leaf->va < r->start || leaf->va - r->start >= r->size)
			continue;
		if (!leaf->global)
			return "not global, in a region of all CPUs";
		for (uint64_t f = 0; f < leaf->page_count; f++) {
			enum frame_type type = frame_type(mfn_add(leaf->frame, f));
			/* Device registers: no RAM, in the vmap area only, uncached. */
			if (type == FRAME_ABSENT && r->start == LAYOUT_VMAP &&
			    leaf->prot == HOST_RW_UC)
				continue;
			if (!(r->types & 1u << type))
				return type >= FRAME_GUEST_RAM
					   ? "a guest's frame"
					   : "a frame that does not belong there";
		}
		return NULL;
	}
	return "outside every region";
}

static bool visit_leaf(const struct hostpt_leaf *leaf, void *ctx)
{
	struct audit *a = ctx;
	const char *what = check(leaf);

	if (what)
		complain(a, leaf, what);
	for (uint64_t f = 0; f < leaf->page_count; f++) {
		mfn_t frame = mfn_add(leaf->frame, f);
		enum frame_type type = frame_type(frame);

		if (type == FRAME_ABSENT)
			a->result->device_pages++;
		else
			a->result->pages_mapped++;
		if (type == FRAME_GUEST_RAM || type == FRAME_GUEST_SHARED)
			a->result->guest_pages++;
		if (a->mapped && mfn_raw(frame) < a->limit && !direct_map_has(leaf->va))
			a->mapped[mfn_raw(frame) / 64] |= 1ull << (mfn_raw(frame) % 64);
	}
	return true;
}

static bool visit_p2m_entry(gfn_t gfn, const struct p2m_entry *entry, void *ctx)
{
	struct audit *a = ctx;

	for (uint64_t f = 0; f < 1ull << entry->order; f++) {
		uint64_t frame = mfn_raw(entry->frame) + f;

		if (frame < a->limit && !(a->mapped[frame / 64] & 1ull << (frame % 64)))
			continue;
		a->result->errors++;
		if (!a->quiet)
			print(LOG_ERROR, "audit: cpu%u: frame 0x%lx of guest frame 0x%lx %s",
			      cpu_index(), frame, gfn_raw(gfn) + f,
			      frame < a->limit ? "is mapped in the hypervisor"
					       : "is beyond all RAM");
	}
	return true;
}

static bool visit_domain(struct domain *d, void *ctx)
{
	p2m_for_each(&d->p2m, visit_p2m_entry, ctx);
	return true;
}

void audit_report(uint32_t cpu, const struct audit_result *a)
{
	print(LOG_RESULT, "audit: cpu%u %s, %lu pages mapped of %lu, %lu of any guest", cpu,
	      a->errors ? "FAILED" : "ok", a->pages_mapped, a->ram_pages, a->guest_pages);
	if (a->errors)
		print(LOG_ERROR, "audit: %lu mappings against the rules", a->errors);
}

void audit_run(struct audit_result *result, bool quiet)
{
	struct audit a = {.result = result, .quiet = quiet, .limit = mfn_raw(frame_limit())};
	struct frame_stats stats;
	void *bitmap;

	*result = (struct audit_result){0};
	frame_get_stats(&stats);
	result->ram_pages = stats.ram;
	if (vmap_alloc((a.limit / 8 + PAGE_SIZE) / PAGE_SIZE, &bitmap)) {
		print(LOG_ERROR, "audit: no memory for its bitmap of %lu frames", a.limit);
		result->errors++;
		return;
	}
	a.mapped = bitmap;
	hostpt_for_each(visit_leaf, &a);
	domain_for_each(visit_domain, &a);
	uint64_t own_pages = (a.limit / 8 + PAGE_SIZE) / PAGE_SIZE;
	vmap_free(bitmap);
	result->pages_mapped -= own_pages;
}
