/*
 * Making domains: the memory they get, and the order in which their parts are made.
 *
 * State: the new domain, which nobody finds before domain_create_end() is done with it. No lock.
 */
#include "cpu.h"
#include "kernel/domain.h"
#include "kernel/grant.h"
#include "kernel/guest_build.h"
#include "kernel/guest_devices.h"
#include "kernel/reservation.h"
#include "kernel/smp.h"
#include "kernel/timer.h"
#include "kernel/xen_state.h"
#include "lock.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "p2m.h"
#include "percpu.h"
#include "print.h"
#include "public/errno.h"
#include "public/memory.h"

/* Tables beyond those for RAM that a domain's p2m may use: for what it maps of others. */
#define TABLES_FOR_MAPPINGS 256u

/* Where a guest's RAM is: below the hole, and what is left from 4 GiB on. Returns the number. */
unsigned domain_ram_ranges(uint64_t ram_bytes, struct domain_range out[DOMAIN_RANGES_MAX])
{
	out[0].start = 0;
	out[0].size = ram_bytes < GUEST_HOLE_START ? ram_bytes : GUEST_HOLE_START;
	out[1].start = GUEST_HOLE_END;
	out[1].size = ram_bytes - out[0].size;
	return out[1].size ? 2 : 1;
}

/* The same as the guest is told of it: the page of its ACPI tables makes three parts of one, and
 * behind each is what is set aside for foreign pages. Returns the number. */
unsigned domain_memory_map(const struct domain *d, struct domain_map_entry out[DOMAIN_MAP_MAX])
{
	struct domain_range ranges[DOMAIN_RANGES_MAX], foreign;
	unsigned n = 0;

	domain_ram_ranges(d->ram_bytes, ranges);
	for (unsigned r = 0; r < DOMAIN_RANGES_MAX; r++) {
		uint64_t start = ranges[r].start, end = start + ranges[r].size;

		if (d->acpi && d->acpi >= start && d->acpi < end) {
			out[n++] = (struct domain_map_entry){start, d->acpi - start, E820_RAM};
			out[n++] = (struct domain_map_entry){d->acpi, PAGE_SIZE, E820_ACPI};
			start = d->acpi + PAGE_SIZE;
		}
		if (start < end)
			out[n++] = (struct domain_map_entry){start, end - start, E820_RAM};
		/* The second one with all that is refused behind it: else Linux, which puts what it
		 * maps on the larger side of what is reserved, would choose just that. */
		foreign = domain_foreign_range(d, r);
		if (foreign.size)
			out[n++] = (struct domain_map_entry){
			    foreign.start, r ? GUEST_ADDRESS_LIMIT - foreign.start : foreign.size,
			    E820_RESERVED};
	}
	return n;
}

/* Allocates and maps 2^order frames at gfn; on error nothing has changed. */
static int add_ram(struct domain *d, gfn_t gfn, unsigned order)
{
	mfn_t frame;
	int rc = frame_alloc(order, d->id, FRAME_GUEST_RAM, &frame);

	if (rc)
		return rc;
	rc = p2m_map(&d->p2m, gfn, frame, 1ull << order, P2M_RAM, P2M_RWX);
	if (rc)
		frame_free(frame, order);
	return rc;
}

/* A step in giving the guest its RAM: up to the next boundary of 2 MiB, by one block if there is
 * such a block. -XEN_ENOMEM. */
static int populate_step(struct domain *d)
{
	uint64_t at = d->populated >> PAGE_SHIFT, end = d->ram_bytes >> PAGE_SHIFT;
	uint64_t hole = GUEST_HOLE_START >> PAGE_SHIFT;
	uint64_t moved = at < hole ? 0 : (GUEST_HOLE_END - GUEST_HOLE_START) >> PAGE_SHIFT;

	if (at < hole && end > hole)
		end = hole;
	if (at % FRAMES_PER_2M == 0 && end - at >= FRAMES_PER_2M &&
	    add_ram(d, make_gfn(at + moved), FRAME_ORDER_2M) == 0) {
		d->populated += PAGE_2M_SIZE;
		return 0;
	}
	do {
		int rc = add_ram(d, make_gfn(at + moved), 0);
		if (rc)
			return rc;
		d->populated += PAGE_SIZE;
	} while (++at < end && at % FRAMES_PER_2M);
	return 0;
}

static uint32_t table_quota(uint64_t ram_bytes)
{
	/* At worst RAM is all single frames; each level above needs 1/512 of the one below. */
	uint64_t leaf_tables = ram_bytes / PAGE_2M_SIZE + 2;
	return (uint32_t)(leaf_tables + leaf_tables / 512 + 8 + TABLES_FOR_MAPPINGS);
}

/* Which CPUs may run d: those of the list, if it is not empty. False: none of them can. */
static bool set_pin(struct domain *d, const struct cpu_set *list)
{
	bool all = cpu_set_empty(list), possible = all;

	for (uint32_t cpu = 0; cpu < smp_cpu_count(); cpu++) {
		if (!all && !cpu_set_has(list, cpu))
			continue;
		cpu_set_add(&d->pin, cpu);
		possible |= atomic_load(&cpu_shared[cpu].runs_guests);
	}
	return possible;
}

static int create_parts(struct domain *d, const struct guest_config *config, struct refusal *why)
{
	int rc = grant_table_create(d);

	if (!rc)
		rc = guest_devices_create(d);
	if (rc)
		return REFUSE_AS(why, rc, "no memory for its grant table and devices");
	for (uint32_t i = 0; i < config->vcpus; i++) {
		rc = vcpu_create(d, i, &d->vcpus[i]);
		if (rc)
			return REFUSE_AS(why, rc, "vCPU %u could not be made (error %d)", i, rc);
		d->vcpu_count++;
		d->vcpus[i]->weight = config->weight;
		rc = vcpu_timer_create(d->vcpus[i]);
		if (rc)
			return REFUSE_AS(why, rc, "no memory for the timer of vCPU %u", i);
		if (i)
			vcpu_set_parked(d->vcpus[i]);
	}
	rc = xen_state_create(d);
	return rc ? REFUSE_AS(why, rc, "no memory for its event channels") : 0;
}

/*
 * Begins to build the guest of modules[which], whose configuration has been resolved: all but its
 * RAM, which domain_create_ram() gives it, and what is in it (domain_create_end()). Boot CPU.
 * Errors, with a text and nothing changed: -XEN_ENOMEM, -XEN_EINVAL (no CPU of pin= runs
 * guests), -XEN_EEXIST (the id is taken).
 */
int domain_create_begin(const struct guest_module *modules, uint32_t module_count, uint32_t which,
			struct domain **out, struct refusal *why)
{
	const struct guest_config *config = &modules[which].config;
	struct frame_stats stats;
	void *object;
	int rc;

	assert_always(which < module_count && config->valid && !config->is_data);
	if (config->id == 0 || config->id > DOMAINS_MAX)
		return REFUSE(why, "at most %u guests are possible", DOMAINS_MAX);
	if (domain_listed(config->id))
		return REFUSE_AS(why, -XEN_EEXIST, "domain id %u is taken", config->id);
	frame_get_stats(&stats);
	if (config->mem_bytes >> PAGE_SHIFT > stats.free)
		return REFUSE_AS(why, -XEN_ENOMEM, "mem=%lu KiB wanted, %lu KiB are free",
				 config->mem_bytes >> 10, stats.free << (PAGE_SHIFT - 10));
	rc = heap_alloc(sizeof(struct domain) + smp_cpu_count() * sizeof(uint64_t), config->id,
			&object);
	if (rc)
		return REFUSE_AS(why, rc, "no memory for its description");
	struct domain *d = object;
	d->id = config->id;
	d->lock = (struct lock)LOCK_INIT(LOCK_DOMAIN);
	d->devices_lock = (struct lock)LOCK_INIT(LOCK_DEVICES);
	__builtin_memcpy(d->name, config->name, sizeof(d->name));
	d->priv = config->priv_domain;
	d->ram_bytes = config->mem_bytes;
	d->tsc_offset = -rdtsc();
	d->lazy = config->lazy;
	d->mmio_strict = config->mmio_strict;
	d->cap_percent = config->cap_percent;
	d->cpu_ticks = (_Atomic uint64_t *)(d + 1);
	if (!set_pin(d, &config->pin)) {
		heap_free(d);
		return REFUSE(why, "pin= names no processor that runs guests");
	}
	rc = p2m_init(&d->p2m, table_quota(d->ram_bytes), GUEST_GFN_LIMIT);
	if (rc) {
		heap_free(d);
		return REFUSE_AS(why, rc, "no memory for its p2m");
	}
	if (d->lazy || d->priv != DOMAIN_PRIV_NONE)
		d->p2m.fill = memory_fill;
	if (d->lazy)
		d->populated = d->ram_bytes;
	rc = create_parts(d, config, why);
	if (rc)
		domain_create_undo(d);
	*out = d;
	return rc;
}

/* Gives it more of its RAM, a bounded step. 1: it has all; 0: call again; -XEN_ENOMEM with a text:
 * to be undone. */
int domain_create_ram(struct domain *d, struct refusal *why)
{
	int rc = d->populated < d->ram_bytes ? populate_step(d) : 0;

	if (rc)
		return REFUSE_AS(why, rc, "not enough memory for mem=%lu KiB", d->ram_bytes >> 10);
	return d->populated == d->ram_bytes;
}

/*
 * The rest: contents, and the first vCPU's state. The vCPUs are on no run queue yet; the domain can
 * be found from now on. As long as its image and modules take to be copied. -XEN_ENOMEM,
 * -XEN_EINVAL (the file) with a text: to be undone.
 */
int domain_create_end(struct domain *d, const struct guest_module *modules, uint32_t which,
		      struct refusal *why)
{
	struct guest_entry entry;

	atomic_store(&d->vcpus_alive, d->vcpu_count);
	int rc = guest_build(d, modules, which, &entry, why);
	if (rc)
		return rc;
	vcpu_set_entry(d->vcpus[0], entry.entry, entry.eax, entry.info, entry.gdt);
	domain_list(d);
	return 0;
}

/* All of that at once: the boot CPU, before any guest runs, so that its work needs no bound. */
int domain_create(const struct guest_module *modules, uint32_t module_count, uint32_t which,
		  struct domain **out, struct refusal *why)
{
	int rc = domain_create_begin(modules, module_count, which, out, why);

	if (rc)
		return rc;
	while (!(rc = domain_create_ram(*out, why)))
		;
	if (rc > 0)
		rc = domain_create_end(*out, modules, which, why);
	if (rc)
		domain_create_undo(*out);
	return rc;
}
