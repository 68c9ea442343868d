/*
 * Bringing up the other processors, what every processor does with its time, and how one makes
 * another look at its work.
 *
 * State: the mailbox, which one starting processor reads while the boot CPU waits for it; per-CPU
 * call slots in shared memory; the number of CPUs, constant after smp_start(). No lock: processors
 * are started one at a time, and a call slot is handed over by its function pointer (released by
 * the caller, taken by exchange).
 *
 * An idle CPU waits in HLT with interrupts on. There it holds no pointer to anything shared and
 * counts as quiescent (cpu_shared.idle); before it does anything else after waking it looks at its
 * entry_work, and so drops translations that went away while it slept.
 *
 * Source: SDM Vol. 3, "MP Initialization Protocol Algorithm for MP Systems".
 */
#include "kernel/smp.h"
#include "boot_info.h"
#include "cpu.h"
#include "drivers/acpi.h"
#include "drivers/apic.h"
#include "drivers/tsc.h"
#include "kernel/ap_mailbox.h"
#include "kernel/console_input.h"
#include "kernel/guest_devices.h"
#include "kernel/sched.h"
#include "kernel/timer.h"
#include "kernel/traps.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/private.h"
#include "mm/window.h"
#include "percpu.h"
#include "print.h"
#include "vmx/vmx.h"

#define VECTOR_WAKE	 0xf0u
#define TRAMPOLINE_LIMIT 0x9f000u /* below the EBDA */
#define INIT_WAIT_US	 200u	  /* 10 ms were for processors long before VT-x */
#define SIPI_WAIT_US	 200u
#define ONLINE_WAIT_US	 200000u

struct ap_mailbox {
	uint64_t root; /* physical address of its top-level table */
	uint64_t stack;
	uint64_t cpu; /* its struct cpu_private */
};
_Static_assert(offsetof(struct ap_mailbox, root) == AP_MAILBOX_ROOT &&
		   offsetof(struct ap_mailbox, stack) == AP_MAILBOX_STACK &&
		   offsetof(struct ap_mailbox, cpu) == AP_MAILBOX_CPU,
	       "boot/ap_trampoline.S");

struct ap_mailbox ap_mailbox;

static struct call {
	_Atomic(void (*)(void *)) fn; /* NULL: free */
	void *arg;
	_Atomic bool busy; /* until fn has returned */
} aligned_to(64) calls[LAYOUT_CPUS_MAX];

static uint32_t cpu_count = 1;

extern const char ap_trampoline[], ap_trampoline_end[];
extern const char ap_gdt_base[], ap_far32[], ap_far64[], ap_gdt[], ap_start32[], ap_start64[];

noreturn_fn void smp_ap_main(void);

uint32_t smp_cpu_count(void)
{
	return cpu_count;
}

static void run_call(void)
{
	struct call *call = &calls[cpu_index()];
	void (*fn)(void *) = atomic_exchange(&call->fn, NULL);

	if (!fn)
		return;
	fn(call->arg);
	atomic_store(&call->busy, false);
}

/* What a CPU that sleeps need not wake up for: it is done first when it does. */
#define WORK_OF_SLEEPERS (ENTRY_WORK_EPOCH | ENTRY_WORK_HOST_FLUSH)

/* While guests' text waits for the line, one of the CPUs that have nothing else to do stays awake.
 */
static bool stays_for_text(bool waits)
{
	static _Atomic uint32_t who; /* CPU index + 1 */
	uint32_t me = cpu_index() + 1, nobody = 0;

	if (waits)
		return atomic_compare_exchange_strong(&who, &nobody, me) || nobody == me;
	if (atomic_load_explicit(&who, memory_order_relaxed) == me)
		atomic_store(&who, 0);
	return false;
}

void smp_turn(void)
{
	struct cpu_shared *shared = this_cpu_shared();
	bool loaded = this_cpu()->current;

	/* A vCPU that is loaded keeps its flush, and passes its quiescent points before entry,
	 * which drops first what it must; without one, translations that went away while the CPU
	 * slept come first of all. */
	if (!loaded)
		epoch_quiescent();
	/* Each time: the CPU may not come to sleep for long. */
	(void)timers_run();
	/* What comes from here on is looked for below, or found before HLT. What the timers asked
	 * for is seen below too; left marked, it would have the vCPU that is chosen leave at once,
	 * which under a cap waits for its timer then, and never comes to run. */
	atomic_fetch_and(&shared->entry_work,
			 WORK_OF_SLEEPERS | (loaded ? ENTRY_WORK_EPT_FLUSH : 0));
	run_call();
	cpu_take_interrupts(); /* or one that has no guest and does not come to sleep took none */
	console_input_turn();
	console_later_turn();
	bool text = guest_console_drain();
	bool busy = sched_turn() || epoch_pending() || frame_scrub_ahead();

	if (stays_for_text(text && !busy) || busy || !timers_before_sleep(UINT64_MAX))
		return;
	/* A wake-up that comes after this look finds interrupts off, and ends the HLT. */
	atomic_store(&shared->idle, true);
	uint32_t asleep = trace_begin();
	if (!(atomic_load(&shared->entry_work) & ~WORK_OF_SLEEPERS) &&
	    !atomic_load(&calls[cpu_index()].fn))
		cpu_sleep();
	atomic_store(&shared->idle, false);
	trace_since(TRACE_SLEEP, asleep);
}

void cpu_kick(uint32_t cpu, uint32_t work)
{
	struct cpu_shared *shared = &cpu_shared[cpu];
	uint32_t old = atomic_fetch_or(&shared->entry_work, work | ENTRY_WORK_KICKED);

	if (cpu == cpu_index() || old & ENTRY_WORK_KICKED)
		return;
	if (!(old & ENTRY_IN_GUEST) && !atomic_load(&shared->idle))
		return;
	apic_send_ipi(shared->apic_id, VECTOR_WAKE);
	trace(TRACE_KICK, 0, cpu);
}

/* A started processor, on its own tables and stack. */
void smp_ap_main(void)
{
	traps_init_cpu();
	cpu_enable_protections();
	apic_init();
	timers_cpu_init();
	epoch_cpu_online(cpu_index());
	for (;;)
		smp_turn();
}

static _Atomic uint32_t without_guests;

static void enable_vmx(void *arg)
{
	(void)arg;
	if (vmx_cpu_enable())
		atomic_fetch_add(&without_guests, 1);
	else
		atomic_store(&this_cpu_shared()->runs_guests, true);
}

/*
 * VMX operation on every CPU. One where it fails, or which differs from the boot CPU, says so and
 * is left out of guest running; the boot CPU's own failure is returned (-XEN_EOPNOTSUPP, -XEN_EIO,
 * -XEN_ENOMEM). Boot CPU, once, after vmx_init().
 */
int smp_enable_vmx(void)
{
	int rc = vmx_cpu_enable();

	if (rc)
		return rc;
	atomic_store(&this_cpu_shared()->runs_guests, true);
	for (uint32_t cpu = 1; cpu < cpu_count; cpu++)
		smp_call(cpu, enable_vmx, NULL);
	smp_wait();
	if (atomic_load(&without_guests))
		print(LOG_WARN, "%u of %u processors run no guests", atomic_load(&without_guests),
		      cpu_count);
	return 0;
}

static void wake(unsigned vector)
{
	(void)vector; /* HLT has ended: that is all */
}

void smp_call(uint32_t cpu, void (*fn)(void *arg), void *arg)
{
	struct call *call = &calls[cpu];

	assert_always(cpu < cpu_count && cpu != cpu_index() && !atomic_load(&call->busy));
	call->arg = arg;
	atomic_store(&call->busy, true);
	atomic_store(&call->fn, fn);
	apic_send_ipi(cpu_shared[cpu].apic_id, VECTOR_WAKE);
}

bool smp_called(uint32_t cpu)
{
	return !atomic_load(&calls[cpu].busy);
}

void smp_wait(void)
{
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
		while (atomic_load(&calls[cpu].busy)) {
			epoch_quiescent();
			__builtin_ia32_pause();
		}
}

/* A page of usable RAM below 640 KiB for the start code: the highest that the loader does not use.
 */
static bool find_page(mfn_t *out)
{
	uint64_t best = 0;

	for (uint32_t i = 0; i < boot_info.range_count; i++) {
		const struct boot_range *r = &boot_info.ranges[i];
		uint64_t end =
		    paddr_raw(r->end) < TRAMPOLINE_LIMIT ? paddr_raw(r->end) : TRAMPOLINE_LIMIT;
		uint64_t page = (end & PAGE_MASK) - PAGE_SIZE;

		if (r->usable && end >= 2 * PAGE_SIZE && page >= paddr_raw(r->start) && page > best)
			best = page;
	}
	*out = make_mfn(best >> PAGE_SHIFT);
	return best != 0;
}

static void patch(uint8_t *page, const char *where, uint64_t value)
{
	uint32_t low = (uint32_t)value;

	__builtin_memcpy(page + (where - ap_trampoline), &low, sizeof(low));
}

static void write_trampoline(mfn_t frame)
{
	uint64_t base = mfn_raw(frame) << PAGE_SHIFT;
	uint8_t *page = window_open(WINDOW_BUILD, frame);

	__builtin_memcpy(page, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	patch(page, ap_gdt_base, base + (uint64_t)(ap_gdt - ap_trampoline));
	patch(page, ap_far32, base + (uint64_t)(ap_start32 - ap_trampoline));
	patch(page, ap_far64, base + (uint64_t)(ap_start64 - ap_trampoline));
	window_close(WINDOW_BUILD);
}

static bool wait_online(uint32_t cpu, uint64_t us)
{
	uint64_t end = rdtsc() + us * tsc_khz() / 1000;

	while (!atomic_load(&cpu_shared[cpu].online)) {
		if (rdtsc() > end)
			return false;
		__builtin_ia32_pause();
	}
	return true;
}

static bool start_one(uint32_t cpu, uint32_t apic, mfn_t trampoline)
{
	mfn_t root;
	int rc = private_create(cpu, &root);

	if (rc) {
		print(LOG_WARN, "cpu%u: not enough memory for its private range", cpu);
		return false;
	}
	uint64_t base = private_base_of(cpu);
	ap_mailbox = (struct ap_mailbox){
	    .root = paddr_raw(mfn_to_paddr(root)),
	    .stack = base + PRIVATE_STACK_START,
	    .cpu = base + PRIVATE_CPU,
	};
	atomic_thread_fence(memory_order_seq_cst);
	apic_send_init(apic);
	tsc_delay_us(INIT_WAIT_US);
	for (unsigned attempt = 0; attempt < 2; attempt++) {
		apic_send_startup(apic, (uint8_t)mfn_raw(trampoline));
		if (wait_online(cpu, attempt ? ONLINE_WAIT_US : SIPI_WAIT_US))
			return true;
	}
	/* It may still come to life later: its memory stays with it, and its range stays reserved.
	 */
	print(LOG_WARN, "cpu%u: the processor with APIC id %u does not answer and is left out", cpu,
	      apic);
	return false;
}

/* The bits of an APIC id that tell threads of one core apart. SDM Vol. 3, "Hierarchical Mapping of
 * Shared Resources". */
static uint32_t apic_thread_mask(void)
{
	const struct cpuid topology = cpuid_basic(CPUID_TOPOLOGY);

	return (topology.ecx & CPUID_TOPOLOGY_LEVEL_MASK) == CPUID_TOPOLOGY_THREADS
		   ? (1u << (topology.eax & CPUID_TOPOLOGY_SHIFT_MASK)) - 1
		   : 0;
}

uint32_t smp_start(uint32_t max_cpus, bool smt)
{
	uint32_t own = apic_id(), thread_mask = apic_thread_mask(), left_out = 0, siblings = 0;
	mfn_t trampoline;

	traps_set_interrupt(VECTOR_WAKE, wake);
	if (acpi_info.cpu_count < 2 || max_cpus < 2)
		return cpu_count;
	if (!find_page(&trampoline)) {
		print(LOG_WARN, "no usable page below 640 KiB: other processors are not started");
		return cpu_count;
	}
	write_trampoline(trampoline);
	private_map_trampoline(trampoline);
	for (uint32_t i = 0; i < acpi_info.cpu_count && cpu_count < max_cpus; i++) {
		uint32_t id = acpi_info.apic_ids[i];
		bool sibling = id & thread_mask || (id ^ own) <= thread_mask;

		if (id == own)
			continue;
		if (sibling && !smt) {
			left_out++;
			continue;
		}
		if (!start_one(cpu_count, id, trampoline))
			break;
		cpu_count++;
		siblings += sibling;
	}
	private_unmap_trampoline();
	window_scrub(trampoline, 0);
	print(LOG_INFO, "%u of %u processors run", cpu_count, acpi_info.cpu_count);
	if (left_out)
		print(LOG_INFO, "smt=off: %u second threads of cores are left out", left_out);
	if (siblings)
		print(LOG_WARN,
		      "guests on two threads of one core can observe each other; smt=off uses one "
		      "thread of each core");
	return cpu_count;
}
