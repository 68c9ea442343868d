/*
 * All guests of a run: from the loader's modules to the lines of the summary.
 *
 * State: which domains there are; for each CPU, those that it takes apart, which no other CPU
 * touches. The configurations live on the heap while the guests are built, by the boot CPU, and are
 * wiped. No lock. A domain is taken apart by the CPU that stopped its last vCPU, a
 * step at each turn of its loop: between two slices, or when it has nothing to run. Waits for
 * nobody.
 */
#include "boot_info.h"
#include "drivers/tsc.h"
#include "kernel/cmdline.h"
#include "kernel/domain.h"
#include "kernel/domain_set.h"
#include "kernel/guest_cpuid.h"
#include "kernel/guest_devices.h"
#include "kernel/lifecycle.h"
#include "kernel/sched.h"
#include "kernel/smp.h"
#include "mm/heap.h"
#include "percpu.h"
#include "print.h"

static struct domain_set present;
static struct domain *dying[LAYOUT_CPUS_MAX];

static void describe(const struct domain *d, const struct guest_config *config)
{
	print(LOG_INFO, "guest d%u \"%s\": %lu KiB, %u vCPU%s%s%s", d->id, d->name,
	      d->ram_bytes >> 10, d->vcpu_count, d->vcpu_count > 1 ? "s" : "",
	      d->priv == DOMAIN_PRIV_NONE ? "" : ", may map memory of ",
	      d->priv == DOMAIN_PRIV_NONE  ? ""
	      : d->priv == DOMAIN_PRIV_ALL ? "all others"
					   : config->priv);
}

static void start_guest(struct guest_module *modules, uint32_t count, uint32_t which)
{
	struct guest_config *config = &modules[which].config;
	struct refusal why;
	struct domain *d;

	if (config->start_later)
		return;
	if (!domain_mark(config->id) || domain_create(modules, count, which, &d, &why)) {
		print(LOG_ERROR, "guest d%u \"%s\": not started: %s", config->id, config->name,
		      why.text);
		domain_report_not_started(config->id, config->name);
		domain_unmark(config->id);
		return;
	}
	describe(d, config);
}

void domains_create_all(void)
{
	uint32_t count = boot_info.module_count;
	struct refusal why;
	void *object;

	if (!count)
		return;
	guest_cpuid_init();
	if (heap_alloc(count * (sizeof(struct guest_module) + sizeof(struct guest_config)),
		       DOMID_HYPERVISOR, &object))
		panic("no memory for the configurations of %u modules", count);
	struct guest_module *modules = object;
	struct guest_config *configs = (struct guest_config *)(modules + count);

	for (uint32_t i = 0; i < count; i++) {
		const struct boot_module *m = &boot_info.modules[i];
		if (guest_config_parse(m->cmdline, &configs[i], &why))
			print(LOG_ERROR, "module %u: %s", i + 1, why.text);
	}
	guest_config_number(configs, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct boot_module *m = &boot_info.modules[i];
		bool parsed = configs[i].valid;
		if (parsed && guest_config_resolve(configs, count, i, &why))
			print(LOG_ERROR, "module %u \"%s\": %s", i + 1, configs[i].name, why.text);
		modules[i].start = m->start;
		modules[i].size = paddr_raw(m->end) - paddr_raw(m->start);
	}
	for (uint32_t i = 0; i < count; i++)
		modules[i].config = configs[i];
	if (cmdline_options.restart)
		lifecycle_keep(modules, count);
	for (uint32_t i = 0; i < count; i++) {
		if (configs[i].is_data)
			continue;
		if (configs[i].valid)
			start_guest(modules, count, i);
		else
			domain_report_not_started(configs[i].id, configs[i].name);
	}
	__builtin_memset(object, 0,
			 count * (sizeof(struct guest_module) + sizeof(struct guest_config)));
	heap_free(object);
}

void domain_start(struct domain *d)
{
	for (uint32_t i = d->vcpu_count; i-- > 0;)
		sched_add(d->vcpus[i]);
}

/* The configurations have been wiped. */
void domains_start_all(void)
{
	for (struct domain *d = domain_next(0); d; d = domain_next(d->id))
		domain_start(d);
}

bool domain_mark(domid_t id)
{
	return domain_set_add(&present, id);
}

bool domain_marked(domid_t id)
{
	return domain_set_has(&present, id);
}

void domain_unmark(domid_t id)
{
	domain_set_remove(&present, id);
	if (domains_gone())
		cpu_kick(0, ENTRY_WORK_RESCHEDULE);
}

/* How d ended, for how long it ran, and on which CPUs. */
static void print_end(const struct domain *d)
{
	char text[160];
	size_t length = 0;
	uint64_t total = 0;

	text[0] = 0;
	for (uint32_t cpu = 0; cpu < smp_cpu_count(); cpu++) {
		uint64_t ticks = atomic_load(&d->cpu_ticks[cpu]);

		total += ticks;
		if (ticks)
			length +=
			    format_string(text + length, sizeof(text) - length, "%s cpu%u %lu",
					  length ? "," : "", cpu, ticks * 1000 / tsc_khz());
	}
	print(LOG_INFO, "guest d%u \"%s\" has ended: %s; ran for %lu us:%s", d->id, d->name,
	      domain_end_text((enum domain_end)atomic_load(&d->end)), total * 1000 / tsc_khz(),
	      text);
}

/* A domain has ended and none of its vCPUs is loaded or queued: has it taken apart, by
 * domain_finish_step() on this CPU, once its last text is out. */
void domain_finish(struct domain *d)
{
	guest_screen_show(d);
	/* Before guest_console_drained() is asked: either that sees the text gone, or who drains it
	 * sees this. */
	atomic_store(&d->finish_cpu, cpu_index() + 1);
	d->dying_next = dying[cpu_index()];
	dying[cpu_index()] = d;
}

static void report_end(struct domain *d)
{
	print_end(d);
	domain_report(d);
	d->reported = true;
	guest_console_go_on(cpu_index() + 1);
}

/*
 * One bounded step for one of the domains that this CPU takes apart. Whether there are more,
 * for which it shall come back after a quiescent point; when the last text of one is out, it is
 * kicked.
 */
bool domain_finish_step(void)
{
	struct domain **first = &dying[cpu_index()], *d = *first;

	if (!d)
		return false;
	*first = d->dying_next;
	bool more = true;
	if (!d->reported) {
		if (!guest_console_drained(d))
			more = *first; /* who drains it kicks this CPU */
		else if (guest_console_hold(cpu_index() + 1))
			report_end(d);
	} else {
		domid_t id = d->id;
		bool restarts = atomic_load(&d->restarts);
		if (domain_destroy(d)) {
			if (!restarts || lifecycle_create(id))
				domain_unmark(id);
			return *first != NULL;
		}
	}
	/* In turn, so that one that waits for an epoch keeps no other from going on. */
	d->dying_next = NULL;
	while (*first)
		first = &(*first)->dying_next;
	*first = d;
	return more;
}

/* Whether the last domain has been taken apart. */
bool domains_gone(void)
{
	return domain_set_empty(&present, memory_order_seq_cst);
}
