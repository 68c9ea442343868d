/*
 * The life of domains: making, finding, ending, taking apart.
 *
 * State: the table of live domains and the results of those that have ended, both here. Entries of
 * the table are changed under domain_list_lock and read without a lock: who reads one in root mode
 * may use the domain until its CPU's next quiescent point, and domain_destroy() waits for all of
 * these before it frees anything (mm/epoch.h). An end reaches vCPUs on other CPUs by vcpu_kick().
 *
 * Locks: domain_list_lock, then the domain's, then a run queue's.
 */
#include "kernel/domain.h"
#include "cpu.h"
#include "kernel/demand.h"
#include "kernel/evtchn.h"
#include "kernel/grant.h"
#include "kernel/guest_build.h"
#include "kernel/guest_devices.h"
#include "kernel/reservation.h"
#include "kernel/sched_op.h"
#include "kernel/smp.h"
#include "kernel/timer.h"
#include "kernel/trace.h"
#include "kernel/xen_state.h"
#include "lock.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "p2m.h"
#include "percpu.h"
#include "print.h"
#include "public/errno.h"
#include "public/memory.h"

static struct lock domain_list_lock = LOCK_INIT(LOCK_DOMAIN_LIST);
static struct domain *_Atomic domains[DOMAINS_MAX + 1]; /* by id; index 0 is not used */
static struct domain *_Atomic owners[DOMAINS_MAX + 1];	/* the same, and those being taken apart */
static struct domain_result results[DOMAINS_MAX + 1];	/* by id; domain_list_lock */

/* Tables beyond those for RAM that a domain's p2m may use: for what it maps of others. */
#define TABLES_FOR_MAPPINGS 256u
/* Leaves of a p2m that one step of domain_destroy() takes out. */
#define DESTROY_LEAVES 16u

/* Phases of domain_destroy(), in order. */
enum {
	DESTROY_NONE,
	DESTROY_WAIT,	/* until nobody can find it */
	DESTROY_MAPS,	/* what it has mapped of others through grants */
	DESTROY_MEMORY, /* its address space: its own RAM and foreign pages */
	DESTROY_REVOKE, /* what others have mapped of its pages */
	DESTROY_OWNER,	/* until nobody can find it as the owner of a page */
	DESTROY_TABLES
};

static const struct {
	const char *text;
	const char *detail; /* what the number kept with it is, if it says more than the text */
	bool ok;
} end_texts[] = {
    [END_NONE] = {"still running", NULL, false},
    [END_POWEROFF] = {"powered off", NULL, true},
    [END_REBOOT] = {"asked for a reboot", NULL, false},
    [END_SUSPEND] = {"asked to be suspended", NULL, false},
    [END_CRASH] = {"crashed by its own account", NULL, false},
    [END_HALTED] = {"halted with interrupts off", NULL, true},
    [END_BLOCKED] = {"waits, and nothing could ever wake it", NULL, false},
    [END_TRIPLE_FAULT] = {"triple fault", NULL, false},
    [END_EPT_VIOLATION] = {"touched memory that it does not have", NULL, false},
    [END_EPT_MISCONFIG] = {"EPT misconfiguration", NULL, false},
    [END_ENTRY_FAILURE] = {"VM entry refused its state", "error", false},
    [END_UNEXPECTED_EXIT] = {"unexpected VM exit", "reason", false},
    [END_DEBUG_EXIT] = {"wrote to the debug-exit port", "value", false},
    [END_OUT_OF_MEMORY] = {"out of memory", NULL, false},
    [END_DESTROYED] = {"destroyed", NULL, true},
    [END_WATCHDOG] = {"its watchdog has expired", NULL, false},
    [END_NOT_STARTED] = {"could not be started", NULL, false},
};

/* What the summary says of an end. */
const char *domain_end_text(enum domain_end why)
{
	if ((unsigned)why >= array_size(end_texts))
		return "unknown end";
	return end_texts[why].text;
}

/* What the number kept with an end is called; NULL if it says nothing more. */
const char *domain_end_detail(enum domain_end why)
{
	return (unsigned)why < array_size(end_texts) ? end_texts[why].detail : NULL;
}

/* A debug-exit value of 0 is success, as programs made for QEMU's port have it. */
static bool end_is_ok(enum domain_end why, uint64_t detail)
{
	if (why == END_DEBUG_EXIT)
		return detail == 0;
	return end_texts[why].ok;
}

/* The live domain with this id, or NULL. No lock; valid until this CPU's next quiescent point. */
struct domain *domain_find(domid_t id)
{
	if (id == 0 || id > DOMAINS_MAX)
		return NULL;
	struct domain *d = atomic_load_explicit(&domains[id], memory_order_acquire);
	if (!d || atomic_load_explicit(&d->end, memory_order_acquire) != END_NONE)
		return NULL;
	return d;
}

/* No lock; what is said in domain.h. */
struct domain *domain_owning(domid_t id)
{
	return id <= DOMAINS_MAX ? atomic_load_explicit(&owners[id], memory_order_acquire) : NULL;
}

/*
 * The domain with the next higher id that is not being taken apart (it may have ended), or NULL.
 * Start with 0. As valid as from domain_find().
 */
struct domain *domain_next(domid_t after)
{
	for (unsigned id = after + 1u; id <= DOMAINS_MAX; id++) {
		struct domain *d = atomic_load_explicit(&domains[id], memory_order_acquire);
		if (d)
			return d;
	}
	return NULL;
}

/*
 * Declares that a domain has ended; the first reason stays. All its vCPUs leave guest mode, or wake
 * up, and are retired by their CPUs (kernel/sched.c). detail is a small number that says more (a
 * shutdown or exit reason), never a guest's data. Takes the domain's lock.
 */
void domain_end(struct domain *d, enum domain_end why, uint64_t detail)
{
	lock_acquire(&d->lock);
	if (atomic_load_explicit(&d->end, memory_order_relaxed) == END_NONE) {
		d->end_detail = detail;
		atomic_store_explicit(&d->end, why, memory_order_release);
		for (uint32_t i = 0; i < d->vcpu_count; i++)
			vcpu_kick(d->vcpus[i]);
	}
	lock_release(&d->lock);
}

/* Whether anything can ever wake a vCPU that waits: with interrupts off, none that is there
 * already.
 */
static bool can_be_woken(const struct vcpu_shared *v)
{
	return atomic_load(&v->requests) & ~(uint32_t)VCPU_REQUEST_UPCALL ||
	       (atomic_load(&v->wakes_on_interrupt) &&
		(vcpu_pending(v) || timers_armed(v) || evtchn_from_others(v->domain) ||
		 sched_op_watches(v->domain)));
}

/*
 * One of the vCPUs of d waits: the domain ends if they all do, and nothing can wake them. With
 * interrupts off, or never started, that is a good end: kernels halt so when they have nothing more
 * to do. Two that begin to wait at once both come here, with their state set: the later one sees
 * both. Takes the domain's lock.
 */
void domain_check_blocked(struct domain *d)
{
	bool alive = false, interrupts_on = false;

	lock_acquire(&d->lock);
	for (uint32_t i = 0; i < d->vcpu_count && !alive; i++) {
		const struct vcpu_shared *v = d->vcpus[i];
		uint32_t state = atomic_load(&v->state);

		if (state != VCPU_PARKED && state != VCPU_DOWN && state != VCPU_BLOCKED) {
			alive = true;
		} else if (state == VCPU_BLOCKED && !atomic_load(&v->down)) {
			alive = can_be_woken(v);
			interrupts_on |= atomic_load(&v->wakes_on_interrupt);
		}
	}
	lock_release(&d->lock);
	if (!alive)
		domain_end(d, interrupts_on ? END_BLOCKED : END_HALTED, 0);
}

/* --- making ----------------------------------------------------------------------------------- */

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

struct leaves {
	unsigned count;
	struct {
		gfn_t gfn;
		uint64_t frame_count;
	} leaf[DESTROY_LEAVES];
};

static bool collect_leaf(gfn_t gfn, const struct p2m_entry *entry, void *ctx)
{
	struct leaves *l = ctx;

	l->leaf[l->count].gfn = gfn;
	l->leaf[l->count].frame_count = 1ull << entry->order;
	return ++l->count < DESTROY_LEAVES;
}

/*
 * Takes out a bounded number of mappings; true when none is left. References that grants hold by
 * their handles, and the domain's shared pages by themselves, go with the grant table. Nobody runs
 * on this p2m or looks into it any more, so that the frames may go at once.
 */
static bool release_memory_step(struct domain *d)
{
	struct leaves l = {.count = 0};

	p2m_for_each(&d->p2m, collect_leaf, &l);
	for (unsigned i = 0; i < l.count; i++) {
		uint64_t count = l.leaf[i].frame_count;

		/* 1 GiB in parts, so that a step is bounded, if there is a table to split it. */
		if (count > FRAMES_PER_2M &&
		    !p2m_unmap(&d->p2m, l.leaf[i].gfn, FRAMES_PER_2M, memory_put_removed, d))
			continue;
		if (p2m_unmap(&d->p2m, l.leaf[i].gfn, count, memory_put_removed, d))
			panic("d%u: a whole leaf of the p2m could not be taken out", d->id);
	}
	return l.count == 0;
}

static void destroy_vcpus(struct domain *d)
{
	while (d->vcpu_count) {
		struct vcpu_shared *v = d->vcpus[--d->vcpu_count];

		vcpu_timer_destroy(v);
		trace_keep(v);
		vcpu_destroy(v);
	}
}

/* Undoes domain_create() as far as it came; the domain was never found by anybody. */
static void discard(struct domain *d)
{
	while (!xen_state_release_step(d))
		;
	destroy_vcpus(d);
	guest_devices_free(d);
	while (!release_memory_step(d))
		;
	xen_state_free(d);
	grant_table_free(d);
	p2m_destroy(&d->p2m);
	/* Tables may still wait for their epoch and be given back to its account: its remains go
	 * the same way. */
	d->destroy_phase = DESTROY_TABLES;
}

static void free_remains(struct epoch_deferred *deferred)
{
	struct domain *d = container_of(deferred, struct domain, deferred);

	if (atomic_load(&d->p2m.tables.used)) {
		epoch_defer(&d->deferred, free_remains);
		return;
	}
	heap_free(d);
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

void domain_create_undo(struct domain *d)
{
	discard(d);
	epoch_defer(&d->deferred, free_remains);
}

static int create_parts(struct domain *d, const struct guest_config *config, char *error,
			size_t error_size)
{
	int rc = grant_table_create(d);

	if (!rc)
		rc = guest_devices_create(d);
	if (rc) {
		format_string(error, error_size, "no memory for its grant table and devices");
		return rc;
	}
	for (uint32_t i = 0; i < config->vcpus; i++) {
		rc = vcpu_create(d, i, &d->vcpus[i]);
		if (rc) {
			format_string(error, error_size, "vCPU %u could not be made (error %d)", i,
				      rc);
			return rc;
		}
		d->vcpu_count++;
		d->vcpus[i]->weight = config->weight;
		rc = vcpu_timer_create(d->vcpus[i]);
		if (rc) {
			format_string(error, error_size, "no memory for the timer of vCPU %u", i);
			return rc;
		}
		if (i)
			vcpu_set_parked(d->vcpus[i]);
	}
	rc = xen_state_create(d);
	if (rc)
		format_string(error, error_size, "no memory for its event channels");
	return rc;
}

/*
 * Begins to build the guest of modules[which], whose configuration has been resolved: all but its
 * RAM, which domain_create_ram() gives it, and what is in it (domain_create_end()). Boot CPU.
 * Errors, with a text and nothing changed: -XEN_ENOMEM, -XEN_EINVAL (no CPU of pin= runs
 * guests), -XEN_EEXIST (the id is taken).
 */
int domain_create_begin(const struct guest_module *modules, uint32_t module_count, uint32_t which,
			struct domain **out, char *error, size_t error_size)
{
	const struct guest_config *config = &modules[which].config;
	struct frame_stats stats;
	void *object;
	int rc;

	assert_always(which < module_count && config->valid && !config->is_data);
	if (config->id == 0 || config->id > DOMAINS_MAX) {
		format_string(error, error_size, "at most %u guests are possible", DOMAINS_MAX);
		return -XEN_EINVAL;
	}
	if (atomic_load_explicit(&domains[config->id], memory_order_relaxed)) {
		format_string(error, error_size, "domain id %u is taken", config->id);
		return -XEN_EEXIST;
	}
	frame_get_stats(&stats);
	if (config->mem_bytes >> PAGE_SHIFT > stats.free) {
		format_string(error, error_size, "mem=%lu KiB wanted, %lu KiB are free",
			      config->mem_bytes >> 10, stats.free << (PAGE_SHIFT - 10));
		return -XEN_ENOMEM;
	}
	rc = heap_alloc(sizeof(struct domain) + smp_cpu_count() * sizeof(uint64_t), config->id,
			&object);
	if (rc) {
		format_string(error, error_size, "no memory for its description");
		return rc;
	}
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
		format_string(error, error_size, "pin= names no processor that runs guests");
		heap_free(d);
		return -XEN_EINVAL;
	}
	rc = p2m_init(&d->p2m, table_quota(d->ram_bytes), GUEST_GFN_LIMIT);
	if (rc) {
		format_string(error, error_size, "no memory for its p2m");
		heap_free(d);
		return rc;
	}
	if (d->lazy || d->priv != DOMAIN_PRIV_NONE)
		d->p2m.fill = memory_fill;
	if (d->lazy)
		d->populated = d->ram_bytes;
	rc = create_parts(d, config, error, error_size);
	if (rc)
		domain_create_undo(d);
	*out = d;
	return rc;
}

/* Gives it more of its RAM, a bounded step. 1: it has all; 0: call again; -XEN_ENOMEM with a text:
 * to be undone. */
int domain_create_ram(struct domain *d, char *error, size_t error_size)
{
	int rc = d->populated < d->ram_bytes ? populate_step(d) : 0;

	if (rc)
		format_string(error, error_size, "not enough memory for mem=%lu KiB",
			      d->ram_bytes >> 10);
	return rc ? rc : d->populated == d->ram_bytes;
}

/*
 * The rest: contents, and the first vCPU's state. The vCPUs are on no run queue yet; the domain can
 * be found from now on. As long as its image and modules take to be copied. -XEN_ENOMEM,
 * -XEN_EINVAL (the file) with a text: to be undone.
 */
int domain_create_end(struct domain *d, const struct guest_module *modules, uint32_t which,
		      char *error, size_t error_size)
{
	struct guest_entry entry;

	atomic_store(&d->vcpus_alive, d->vcpu_count);
	int rc = guest_build(d, modules, which, &entry, error, error_size);
	if (rc)
		return rc;
	vcpu_set_entry(d->vcpus[0], entry.entry, entry.eax, entry.info);
	lock_acquire(&domain_list_lock);
	atomic_store_explicit(&owners[d->id], d, memory_order_release);
	atomic_store_explicit(&domains[d->id], d, memory_order_release);
	lock_release(&domain_list_lock);
	return 0;
}

/* All of that at once: the boot CPU, before any guest runs, so that its work needs no bound. */
int domain_create(const struct guest_module *modules, uint32_t module_count, uint32_t which,
		  struct domain **out, char *error, size_t error_size)
{
	int rc = domain_create_begin(modules, module_count, which, out, error, error_size);

	if (rc)
		return rc;
	while (!(rc = domain_create_ram(*out, error, error_size)))
		;
	if (rc > 0)
		rc = domain_create_end(*out, modules, which, error, error_size);
	if (rc)
		domain_create_undo(*out);
	return rc;
}

/* --- taking apart ----------------------------------------------------------------------------- */

static void mark_unreachable(struct epoch_deferred *deferred)
{
	struct domain *d = container_of(deferred, struct domain, deferred);

	atomic_store_explicit(&d->unreachable, true, memory_order_release);
}

/*
 * Takes one bounded step in taking apart a domain that has ended. False: call again, after this CPU
 * has passed a quiescent point; true: it is gone, and d with it. None of its vCPUs is loaded or on
 * a run queue. To be called from one CPU at a time.
 *
 * Its pages that others have mapped are revoked (kernel/grant_revoke.c): nobody has to let go of
 * them. Two that have mapped pages of each other do not wait for each other: each gives up what it
 * has of others before it waits for its own.
 */
bool domain_destroy(struct domain *d)
{
	assert_always(atomic_load(&d->end) != END_NONE);
	switch (d->destroy_phase) {
	case DESTROY_NONE:
		if (!demand_detach_step(d))
			return false;
		lock_acquire(&domain_list_lock);
		atomic_store_explicit(&domains[d->id], NULL, memory_order_release);
		lock_release(&domain_list_lock);
		d->destroy_phase = DESTROY_WAIT;
		epoch_defer(&d->deferred, mark_unreachable);
		return false;
	case DESTROY_WAIT:
		if (!atomic_load_explicit(&d->unreachable, memory_order_acquire))
			return false;
		if (!xen_state_release_step(d))
			return false;
		destroy_vcpus(d);
		guest_devices_free(d);
		demand_free_all(d);
		lock_acquire(&d->lock);
		d->maps_closed = true;
		lock_release(&d->lock);
		d->destroy_phase = DESTROY_MAPS;
		return false;
	case DESTROY_MAPS:
		if (grant_maps_release_step(d))
			d->destroy_phase = DESTROY_MEMORY;
		return false;
	case DESTROY_MEMORY:
		if (release_memory_step(d))
			d->destroy_phase = DESTROY_REVOKE;
		return false;
	case DESTROY_REVOKE:
		if (!grant_revoke_step(d))
			return false;
		atomic_store_explicit(&owners[d->id], NULL, memory_order_release);
		atomic_store_explicit(&d->unreachable, false, memory_order_relaxed);
		d->destroy_phase = DESTROY_OWNER;
		epoch_defer(&d->deferred, mark_unreachable);
		return false;
	case DESTROY_OWNER:
		if (!atomic_load_explicit(&d->unreachable, memory_order_acquire))
			return false;
		xen_state_free(d);
		grant_table_free(d);
		p2m_destroy(&d->p2m);
		d->destroy_phase = DESTROY_TABLES;
		return false;
	case DESTROY_TABLES:
		/* Tables that wait for their epoch are given back to the account in *d. */
		if (atomic_load(&d->p2m.tables.used))
			return false;
		heap_free(d);
		return true;
	default:
		panic("d%u: unknown phase of destruction", d->id);
	}
}

/* --- how they ended --------------------------------------------------------------------------- */

static void add_result(domid_t id, const char *name, enum domain_end end, uint64_t detail)
{
	if (id == 0 || id > DOMAINS_MAX)
		return;
	struct domain_result *r = &results[id];
	lock_acquire(&domain_list_lock);
	r->id = id;
	format_string(r->name, sizeof(r->name), "%s", name);
	r->end = end;
	r->detail = detail;
	r->ok = end_is_ok(end, detail);
	lock_release(&domain_list_lock);
}

/* Keeps for the summary how a domain that has ended did so; before its destruction. */
void domain_report(const struct domain *d)
{
	add_result(d->id, d->name, (enum domain_end)atomic_load(&d->end), d->end_detail);
}

/* The same for one that domain_create() refused, or whose configuration was wrong. */
void domain_report_not_started(domid_t id, const char *name)
{
	add_result(id, name, END_NOT_STARTED, 0);
}

/* How the guest with this id ended; NULL if it has not. Constant from then on. */
const struct domain_result *domain_result(domid_t id)
{
	return id <= DOMAINS_MAX && results[id].id ? &results[id] : NULL;
}

/* Calls fn for every live domain, by id, until it returns false. fn may not end a domain. */
void domain_for_each(bool (*fn)(struct domain *d, void *ctx), void *ctx)
{
	for (struct domain *d = domain_next(0); d; d = domain_next(d->id))
		if (!fn(d, ctx))
			return;
}
