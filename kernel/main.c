/*
 * From the first C code to the last line: the order in which the hypervisor comes up, runs its
 * guests and ends.
 *
 * State: none of its own. Runs on the boot CPU: first on the stack in the image, from
 * private_create() on in the CPU's private range.
 */
#include "barriers.h"
#include "boot_info.h"
#include "cpu.h"
#include "drivers/acpi.h"
#include "drivers/apic.h"
#include "drivers/power.h"
#include "drivers/rtc.h"
#include "drivers/tsc.h"
#include "image.h"
#include "kernel/cmdline.h"
#include "kernel/console.h"
#include "kernel/console_input.h"
#include "kernel/domain.h"
#include "kernel/lifecycle.h"
#include "kernel/print_later.h"
#include "kernel/sched.h"
#include "kernel/smp.h"
#include "kernel/timer.h"
#include "kernel/trace.h"
#include "kernel/traps.h"
#include "lock.h"
#include "mm/audit.h"
#include "mm/direct_map.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "mm/hostpt.h"
#include "mm/pahash.h"
#include "mm/pool.h"
#include "mm/private.h"
#include "mm/vmap.h"
#include "mm/window.h"
#include "mm/window_cache.h"
#include "print.h"
#include "public/errno.h"
#include "selftest/accounting.h"
#include "selftest/bench.h"
#include "selftest/explain_cases.h"
#include "selftest/selftest.h"
#include "vmx/barrier_counts.h"
#include "vmx/vmx.h"

#define VERSION "0.1"

void boot_main(uint64_t info);
noreturn_fn static void main_private(void);

/* RAM up to here is left alone: real-mode vectors, firmware data, the start page of other CPUs. */
#define LOW_MEMORY_END 0x100000ull

/* Hands the RAM that the loader reports to the frame allocator, but for what is in use. */
static void add_memory(void)
{
	uint64_t top = 0;

	for (uint32_t i = 0; i < boot_info.range_count; i++) {
		const struct boot_range *r = &boot_info.ranges[i];
		uint64_t start = paddr_raw(r->start), end = paddr_raw(r->end);

		if (!r->usable)
			continue;
		if (start < LOW_MEMORY_END)
			start = LOW_MEMORY_END;
		if (end > LAYOUT_PHYS_LIMIT) {
			print(LOG_WARN, "RAM above %llu TiB is not used", LAYOUT_PHYS_LIMIT >> 40);
			end = LAYOUT_PHYS_LIMIT;
		}
		if (start >= end)
			continue;
		frame_add_ram(make_paddr(start), make_paddr(end));
		if (end > top)
			top = end;
	}
	frame_reserve(make_paddr(IMAGE_PHYSICAL), image_paddr(image_end), FRAME_IMAGE);
	frame_reserve(boot_info.info_start, boot_info.info_end, FRAME_BOOT);
	for (uint32_t i = 0; i < boot_info.module_count; i++)
		frame_reserve(boot_info.modules[i].start, boot_info.modules[i].end, FRAME_BOOT);
}

static void need(int rc, const char *what)
{
	struct frame_stats stats;

	if (!rc)
		return;
	frame_get_stats(&stats);
	panic("%s: error %d: %s; %lu of %lu frames are free", what, -rc,
	      rc == -XEN_ENOMEM ? "not enough memory: give the machine more RAM" : "failed",
	      stats.free, stats.ram);
}

static uint64_t hash_key(void)
{
	uint64_t key;

	/* Guests influence frame numbers: the key keeps them from aiming at one bucket. */
#ifdef CONFIG_BENCH
	return 0x9e3779b97f4a7c15ull; /* what is measured is the same in every run */
#endif
	if (!random_u64(&key))
		key = rdtsc() * 0x9e3779b97f4a7c15ull;
	return key;
}

static void init_memory(void)
{
	add_memory();
	need(frame_init(), "frame table");
	need(hostpt_fill_top_level(LAYOUT_FRAME_TABLE, LAYOUT_FRAME_TABLE + LAYOUT_SLOT_SIZE),
	     "frame table");
	need(pool_init(), "table pool");
	need(hostpt_fill_top_level(LAYOUT_VMAP, LAYOUT_VMAP + LAYOUT_VMAP_SIZE), "vmap area");
	need(hostpt_fill_top_level(LAYOUT_POOL,
				   LAYOUT_POOL + (mfn_raw(frame_limit()) << PAGE_SHIFT)),
	     "table pool");
	need(pahash_init(hash_key()), "PA->VA hash");
	need(vmap_init(), "vmap area");
	need(heap_init(), "heap");
}

static void wipe_and_release(paddr_t start, paddr_t end)
{
	window_clear_phys(start, paddr_raw(end) - paddr_raw(start));
	frame_release_reserved(start, end);
}

/* The loader's information and the modules have been used: they may hold secrets of the guests'
 * owners. */
static void release_modules(void)
{
	for (uint32_t i = 0; i < boot_info.module_count; i++)
		wipe_and_release(boot_info.modules[i].start, boot_info.modules[i].end);
	boot_info.module_count = 0;
}

/* With restart=yes, guests are made again of the modules, which stay until the end. */
static void release_boot_memory(void)
{
	for (uint32_t i = 0; i < boot_info.module_count; i++)
		__builtin_memset(boot_info.modules[i].cmdline, 0, BOOT_CMDLINE_MAX);
	if (!cmdline_options.restart)
		release_modules();
	wipe_and_release(boot_info.info_start, boot_info.info_end);
}

/* Leaves the image's stack, tables and per-CPU data for the private range, and never returns there.
 */
static void move_to_private_range(void)
{
	mfn_t root;

	need(private_create(0, &root), "private range");
	private_enter(0, root, main_private);
}

/* Entered from boot/entry.S with the physical address of the loader's information. */
void boot_main(uint64_t info)
{
	direct_map_init();
	private_boot_init();
	print_init_early();
	traps_init_early();
	boot_info_read(make_paddr(info));
	cmdline_parse(boot_info.cmdline, &cmdline_options);
	print_init(&cmdline_options);
	print(LOG_INFO, "version " VERSION ", started by %s%s",
	      boot_info.loader[0] ? boot_info.loader : "an unnamed loader",
	      boot_info.efi ? " (UEFI)" : "");
	cpu_enable_protections();
	init_memory();
	move_to_private_range();
}

static void print_memory(void)
{
	struct frame_stats s;

	frame_get_stats(&s);
	print(LOG_INFO, "memory: %lu MiB of RAM, %lu MiB free; no direct map", s.ram >> 8,
	      s.free >> 8);
}

static void audit_here(void *arg)
{
	audit_run(arg, false);
}

/* Audits the tables of every CPU, each on that CPU; returns the number of errors. */
static uint64_t audit_all(void)
{
	static struct audit_result result;
	uint64_t errors = 0;

	for (uint32_t cpu = 0; cpu < smp_cpu_count(); cpu++) {
		if (cpu) {
			smp_call(cpu, audit_here, &result);
			smp_wait();
		} else {
			audit_here(&result);
			audit_print_table();
		}
		audit_report(cpu, &result);
		errors += result.errors;
	}
	return errors;
}

/* The last lines, the status and the end. */
noreturn_fn static void finish(uint32_t guests, uint32_t failed_guests, uint32_t failed_tests)
{
	unsigned status = audit_all() || failed_guests || failed_tests ? 1 : 0;

#ifdef CONFIG_TEST
	lock_print_times();
#endif

	print(LOG_RESULT, "end: %u guests, %u ok, %u failed, status %u", guests,
	      guests - failed_guests, failed_guests, status);
	if (!cmdline_options.poweroff) {
		print(LOG_RESULT, "poweroff=no: halted");
		cpu_halt();
	}
	power_off(status);
}

/* The rest of boot, on the private stack, with the boot mappings gone. */
noreturn_fn static void main_private(void)
{
	private_drop_boot_range();
	traps_init_cpu();
	atomic_store(&this_cpu_shared()->online, true);
	epoch_cpu_online(0);
	print_init_devices();
	acpi_init();
	apic_init();
	tsc_init();
	rtc_init();
	timers_cpu_init();
	smp_start(cmdline_options.cpus, cmdline_options.smt);
	console_input_init();
	print_memory();

	vcpu_dump_enabled = cmdline_options.dump_registers;
	vmx_apicv_enabled = cmdline_options.apicv;
	window_cache_enabled = cmdline_options.window_cached && !DIRECT_MAP;
	uint32_t failed_tests = 0;
	if (cmdline_options.selftest == SELFTEST_YES || cmdline_options.selftest == SELFTEST_ONLY)
		failed_tests = selftest_run();
	if (cmdline_options.selftest == SELFTEST_ONLY) {
		if (cmdline_options.map)
			audit_print_map();
		finish(0, 0, failed_tests);
	}

	int rc = vmx_init();
	vmx_barriers_init(cmdline_options.mitigations);
	if (!rc)
		rc = smp_enable_vmx();
	if (rc) {
		print(LOG_ERROR, "VT-x cannot be used: no guest can run here");
		finish(0, 0, 1);
	}
#ifdef CONFIG_TEST
	if (cmdline_options.selftest == SELFTEST_EXPLAIN)
		finish(0, 0, vmx_explain_selftest());
	if (cmdline_options.selftest == SELFTEST_FAIL)
		finish(0, 0, selftest_fail_run());
	struct accounting before;
	accounting_take(&before);
#endif
	domains_create_all();
	release_boot_memory();
#ifdef CONFIG_BENCH
	bench_run(cmdline_options.bench_load);
#endif
	if (cmdline_options.trace && trace_start())
		print(LOG_WARN, "trace: not enough memory");
	console_input_announce();
	domains_start_all();
	sched_run();
	smp_wait(); /* for what the monitor asked of others */
	while (print_later_drain())
		__builtin_ia32_pause();
	uint32_t guests, failed = domains_report(&guests);
	barriers_report();
	trace_stop();
	if (cmdline_options.trace)
		trace_dump();
	trace_free();
	release_modules();
	lifecycle_forget();
#ifdef CONFIG_TEST
	failed_tests += !accounting_equal(&before, false);
#endif
	finish(guests, failed, failed_tests);
}
