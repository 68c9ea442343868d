/*
 * vcpus: vcpu_op for the vCPUs of one guest: started in a state that is described, taken down and
 * up, how their time is spent, and each command in a way that must fail. Then sched_op's ends:
 * `last` has all vCPUs taken down, `watchdog` lets a watchdog expire, `halt` halts what is left;
 * `target` waits to be ended by a privileged one.
 */
#include "guest.h"
#include "hvm_vcpu.h"
#include "public/shared_info.h"
#include "public/vcpu.h"

#ifdef __x86_64__
typedef struct vcpu_runstate_info runstate_t;
typedef struct vcpu_set_singleshot_timer singleshot_t;
#else
typedef struct compat_vcpu_runstate_info runstate_t;
typedef struct compat_vcpu_set_singleshot_timer singleshot_t;
#endif

#define VCPUS	   3u
#define MS	   1000000ull /* ns */
#define STACK_SIZE 4096ul

static volatile unsigned counts[VCPUS], arrived[VCPUS];
static volatile bool goes_down[VCPUS];

static long vcpu_op(unsigned command, unsigned vcpu, void *argument)
{
	return hypercall(__HYPERVISOR_vcpu_op, command, vcpu, (unsigned long)argument);
}

/* Between the state and the first time: nothing that the hypervisor had there. */
static bool padding_is_zero(const volatile runstate_t *info)
{
	const volatile uint8_t *bytes = (const volatile uint8_t *)info;
	bool zero = true;

	for (size_t i = sizeof(info->state); i < offsetof(runstate_t, state_entry_time); i++)
		zero &= !bytes[i];
	return zero;
}

static uint64_t state_time(unsigned vcpu, runstate_t *info)
{
	uint64_t all = 0;

	if (vcpu_op(VCPUOP_get_runstate_info, vcpu, info))
		tap_bail_out("no runstate of vCPU %u", vcpu);
	for (unsigned i = 0; i < 4; i++)
		all += info->time[i];
	return all;
}

/* --- starting --------------------------------------------------------------------------------- */

/* What a further vCPU does: it has a stack, and no descriptor tables. */
static void secondary(void)
{
	unsigned id = cpuid(XEN_CPUID_LEAF(4), 0).ebx;

	for (;;) {
		arrived[id]++;
		while (!goes_down[id]) {
			counts[id]++;
			yield(); /* or others would wait for its slices */
		}
		goes_down[id] = false;
		vcpu_op(VCPUOP_down, id, NULL);
	}
}

static struct vcpu_hvm_context context(void)
{
	struct vcpu_hvm_context c = {0};
	unsigned long stack = (unsigned long)page_alloc() + STACK_SIZE - sizeof(long);

#ifdef __x86_64__
	c.mode = VCPU_HVM_MODE_64B;
	c.cpu_regs.x86_64 = (struct vcpu_hvm_x86_64){.rsp = stack,
						     .rip = (unsigned long)secondary,
						     .rflags = 2,
						     .cr0 = read_cr0(),
						     .cr3 = read_cr3(),
						     .cr4 = read_cr4(),
						     .efer = rdmsr(MSR_EFER)};
#else
	c.mode = VCPU_HVM_MODE_32B;
	c.cpu_regs.x86_32 = (struct vcpu_hvm_x86_32){.esp = stack,
						     .eip = (unsigned long)secondary,
						     .eflags = 2,
						     .cr0 = read_cr0(),
						     .cr4 = read_cr4(),
						     HVM_VCPU_FLAT_32};
#endif
	return c;
}

/* Each of them would not pass a VM entry, or is not offered. */
static void bad_contexts(void)
{
	struct vcpu_hvm_context good = context(), c;
	unsigned wrong = 0;

#define TRY(change)                                                     \
	do {                                                            \
		c = good;                                               \
		change;                                                 \
		if (vcpu_op(VCPUOP_initialise, 1, &c) != -XEN_EINVAL) { \
			printf("# not refused: %s\n", #change);         \
			wrong++;                                        \
		}                                                       \
	} while (0)
	TRY(c.mode = 2);
	TRY(c.mode = ~0u);
	TRY(c.pad = 1);
#ifdef __x86_64__
#define REGS c.cpu_regs.x86_64
	TRY(REGS.rip = 0x800000000000ul);
	TRY(REGS.cr3 |= 1ul << 52);
	TRY(REGS.cr0 |= 1ul << 32);
	TRY(REGS.efer &= ~(uint64_t)EFER_LMA);
	TRY(REGS.efer &= ~(uint64_t)EFER_LME);
	TRY(REGS.cr4 &= ~(1ul << 5)); /* PAE */
	TRY(REGS.rflags |= 1ul << 17);
	TRY(REGS.rflags |= 1ul << 22);
#else
#define REGS c.cpu_regs.x86_32
	TRY(REGS.pad1 = 1);
	TRY(REGS.pad2[2] = 1);
	TRY(REGS.cs_ar = 0x1c9b);
	TRY(REGS.cs_ar = 0xc93);
	TRY(REGS.cs_ar = 0xc1b);
	TRY(REGS.cs_ar = 0xe9b); /* long and 32 bits */
	TRY(REGS.cs_limit = 0xffff0);
	TRY(REGS.ss_ar = 0xc9b);
	TRY(REGS.ss_ar = 0xc91);
	TRY(REGS.ss_ar = 0xcf3);
	TRY(REGS.ds_ar = 0xcf3);
	TRY(REGS.es_ar = 0xc99);
	TRY(REGS.tr_ar = 0x9b);
	TRY(REGS.tr_ar = 0x82);
	TRY(REGS.tr_ar = 0);
	TRY(REGS.tr_limit = 0x167fff);
	TRY((REGS.cs_limit = 0xfff, REGS.eip = 0x1000));
	TRY(REGS.efer = EFER_LMA);
	TRY(REGS.eflags |= 1u << 17);
#endif
	TRY(REGS.cr0 |= 1u << 31 | 1u << 29); /* NW without CD */
	TRY(REGS.cr0 |= 1u << 6);
	TRY((REGS.cr0 |= 1u << 31, REGS.cr0 &= ~1u));
	TRY(REGS.cr4 |= 1u << 13); /* VMXE */
	TRY(REGS.cr4 |= 1u << 31);
	TRY(REGS.efer |= 2);
	tap_is(wrong, 0, "no state that a processor could not have");
}

static void starting(void)
{
	struct vcpu_hvm_context c = context();

	tap_is(vcpu_op(VCPUOP_is_up, 0, NULL), 1, "this vCPU is up");
	tap_is(vcpu_op(VCPUOP_is_up, 1, NULL), 0, "the others are not");
	tap_is(vcpu_op(VCPUOP_up, 1, NULL), -XEN_EINVAL, "up: nothing says how it starts");
	tap_is(vcpu_op(VCPUOP_down, 1, NULL), 0, "down: it is");
	tap_is(vcpu_op(VCPUOP_initialise, 0, &c), -XEN_EEXIST, "this one has started");
	tap_is(vcpu_op(VCPUOP_initialise, VCPUS, &c), -XEN_ENOENT, "no such vCPU");
	tap_is(vcpu_op(VCPUOP_initialise, 1, (void *)0xd0000000ul), -XEN_EFAULT, "from nowhere");
	bad_contexts();
	tap_is(vcpu_op(VCPUOP_initialise, 1, &c), 0, "the state of vCPU 1");
	tap_is(vcpu_op(VCPUOP_initialise, 1, &c), -XEN_EEXIST, "once");
	tap_is(vcpu_op(VCPUOP_is_up, 1, NULL), 0, "it does not run yet");
	tap_is(arrived[1], 0, "not at all");
	tap_is(vcpu_op(VCPUOP_up, 1, NULL), 0, "it starts");
	tap_ok(WAIT_UNTIL(arrived[1] == 1), "and arrives");
	tap_is(vcpu_op(VCPUOP_is_up, 1, NULL), 1, "it is up");
	tap_is(vcpu_op(VCPUOP_initialise, 1, &c), -XEN_EEXIST, "it has started");
	tap_is(vcpu_op(VCPUOP_up, 1, NULL), 0, "up: it is");
}

static void down_and_up(void)
{
	runstate_t info;
	unsigned seen;

	tap_is(vcpu_op(VCPUOP_down, 1, NULL), 0, "another vCPU is taken down");
	tap_ok(WAIT_UNTIL((state_time(1, &info), info.state == RUNSTATE_offline)), "it is offline");
	seen = counts[1];
	yield();
	yield();
	tap_is(counts[1], seen, "it does nothing");
	tap_is(vcpu_op(VCPUOP_is_up, 1, NULL), 0, "nor is it up");
	tap_is(vcpu_op(VCPUOP_up, 1, NULL), 0, "up again");
	tap_ok(WAIT_UNTIL(counts[1] != seen), "it goes on");
	tap_is(arrived[1], 1, "where it was");
	goes_down[1] = true;
	tap_ok(WAIT_UNTIL(!vcpu_op(VCPUOP_is_up, 1, NULL)), "it takes itself down");
	tap_is(vcpu_op(VCPUOP_up, 1, NULL), 0, "up again");
	tap_ok(WAIT_UNTIL(arrived[1] == 2), "behind its call");
}

/* --- time ------------------------------------------------------------------------------------- */

static void runstates(void)
{
	static runstate_t area[2] __attribute__((aligned(64)));
	struct vcpu_register_runstate_memory_area op = {(unsigned long)&area[0]};
	volatile runstate_t *seen = &area[0];
	runstate_t info;
	uint64_t all = state_time(0, &info), later;

	tap_is(info.state, RUNSTATE_running, "this vCPU runs");
	tap_ok(padding_is_zero(&info), "and nothing else is told");
	tap_ok(info.time[RUNSTATE_running] && info.state_entry_time <= all,
	       "it has run, and known since when");
	later = state_time(0, &info);
	tap_ok(later > all, "its time goes on (%lu ns)", (unsigned long)(later - all));
	state_time(2, &info);
	tap_is(info.state, RUNSTATE_offline, "vCPU 2 is offline");
	tap_ok(info.time[RUNSTATE_offline] > 0 && !info.time[RUNSTATE_running],
	       "and never was anything else");

	tap_is(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &op), 0, "an area for it");
	tap_is(seen->state, RUNSTATE_running, "is filled at once");
	tap_ok(padding_is_zero(seen), "with nothing else");
	uint64_t entry = seen->state_entry_time;
	tap_ok(WAIT_UNTIL(seen->state_entry_time != entry), "and at every switch");
	tap_is(seen->state, RUNSTATE_running, "whoever looks, runs");
	tap_ok(padding_is_zero(seen), "nothing else is told then");
	tap_ok(seen->time[RUNSTATE_runnable], "others ran, while it was to");
	/* Across a page; the first one stays as it is from now on. */
	runstate_t *across = (void *)((char *)page_alloc() + PAGE_SIZE - 20);
	page_alloc();
	op.address = (unsigned long)across;
	tap_is(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &op), 0, "one across two pages");
	entry = seen->state_entry_time;
	uint64_t there = across->state_entry_time;
	tap_ok(WAIT_UNTIL(*(volatile uint64_t *)&across->state_entry_time != there),
	       "which is written to");
	tap_ok(seen->state_entry_time == entry, "in place of the first");
	tap_ok(!(across->state_entry_time >> 63), "the mark of changes is not asked for");
	tap_is(hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_enable,
			 VMASST_TYPE_runstate_update_flag, 0),
	       0, "now it is");
	tap_ok(WAIT_UNTIL(across->state_entry_time != there) && !(across->state_entry_time >> 63),
	       "a vCPU does not see its own");
	tap_is(hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_disable,
			 VMASST_TYPE_runstate_update_flag, 0),
	       0, "and no more");
	tap_is(hypercall(__HYPERVISOR_vm_assist, 2, VMASST_TYPE_runstate_update_flag, 0),
	       -XEN_ENOSYS, "no such command");
	tap_is(hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_enable, 2, 0), -XEN_EINVAL,
	       "writable page tables: not for such a guest");
	tap_is(hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_enable, ~0ul, 0), -XEN_EINVAL,
	       "nothing");
	op.address = 0xd0000000;
	tap_is(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &op), -XEN_EFAULT, "nowhere");
	op.address = (unsigned long)across;
	tap_is(vcpu_op(VCPUOP_register_runstate_memory_area, 1, &op), 0, "another vCPU's area");
	op.address = 0;
	tap_is(vcpu_op(VCPUOP_register_runstate_memory_area, 1, &op), 0, "and none");
	tap_is(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &op), 0, "nor for this one");
	tap_is(vcpu_op(VCPUOP_get_runstate_info, 0, (void *)0xd0000000ul), -XEN_EFAULT,
	       "a time written nowhere");
	tap_is(vcpu_op(VCPUOP_get_runstate_info, 9, &info), -XEN_ENOENT, "of no vCPU");
}

static void timers(void)
{
	struct vcpu_set_periodic_timer period = {.period_ns = 5 * MS};
	singleshot_t once = {.timeout_abs_ns = 1, .flags = VCPU_SSHOTTMR_future};

	tap_is(vcpu_op(VCPUOP_set_periodic_timer, 0, &period), 0, "a periodic timer");
	tap_is(vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL), 0, "stopped");
	tap_is(vcpu_op(VCPUOP_set_periodic_timer, 1, &period), -XEN_EINVAL, "another vCPU's");
	tap_is(vcpu_op(VCPUOP_stop_periodic_timer, 1, NULL), 0, "which can be stopped");
	period.period_ns = MS - 1;
	tap_is(vcpu_op(VCPUOP_set_periodic_timer, 0, &period), -XEN_EINVAL, "too short a period");
	period.period_ns = MS;
	tap_is(vcpu_op(VCPUOP_set_periodic_timer, 0, &period), 0, "the shortest");
	tap_is(vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL), 0, "stopped");
	tap_is(vcpu_op(VCPUOP_set_singleshot_timer, 0, &once), -XEN_ETIME, "a time long past");
	once.flags = 0;
	tap_is(vcpu_op(VCPUOP_set_singleshot_timer, 0, &once), 0, "or now, if nobody minds");
	once.timeout_abs_ns = ~0ull;
	tap_is(vcpu_op(VCPUOP_set_singleshot_timer, 0, &once), 0, "or never");
	tap_is(vcpu_op(VCPUOP_set_singleshot_timer, 1, &once), -XEN_EINVAL, "another vCPU's");
	tap_is(vcpu_op(VCPUOP_stop_singleshot_timer, 1, NULL), -XEN_EINVAL, "nor to stop it");
	tap_is(vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL), 0, "stopped");
	tap_is(vcpu_op(VCPUOP_get_physid, 0, NULL), -XEN_EINVAL, "no processor is its own");
	tap_is(vcpu_op(VCPUOP_send_nmi, 0, &once), -XEN_EINVAL, "an NMI has no argument");
	tap_is(vcpu_op(14, 0, &once), -XEN_ENOSYS, "no such command");
}

/* --- ends ------------------------------------------------------------------------------------- */

static void watchdogs(bool expires)
{
	struct sched_watchdog w = {.id = 0, .timeout = 3600};
	struct sched_remote_shutdown other = {(domid_t)self_domain(), SHUTDOWN_crash};

	tap_is(sched_op(SCHEDOP_watchdog, &w), 1, "a watchdog");
	tap_is(sched_op(SCHEDOP_watchdog, &w), 2, "and another");
	tap_is(sched_op(SCHEDOP_watchdog, &w), -XEN_ENOSPC, "but no third");
	w = (struct sched_watchdog){.id = 2, .timeout = 0};
	tap_is(sched_op(SCHEDOP_watchdog, &w), 0, "one goes");
	tap_is(sched_op(SCHEDOP_watchdog, &w), -XEN_EINVAL, "once");
	w = (struct sched_watchdog){.id = 1, .timeout = expires ? 1 : 7200};
	tap_is(sched_op(SCHEDOP_watchdog, &w), 0, "the other is armed again");
	tap_is(sched_op(SCHEDOP_watchdog, (void *)0xd0000000ul), -XEN_EFAULT, "from nowhere");
	tap_is(sched_op(SCHEDOP_remote_shutdown, &other), -XEN_EPERM, "an end without the right");
	tap_is(sched_op(SCHEDOP_pin_override, &w), -XEN_EPERM, "no pinning");
	tap_is(sched_op(99, &w), -XEN_ENOSYS, "no such command");
}

_Noreturn static void halt(void)
{
	print_flush();
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* Ends another domain, once it is there. */
static void end_other(uint32_t domain)
{
	struct sched_remote_shutdown op = {(domid_t)domain, SHUTDOWN_reboot};

	tap_ok(WAIT_UNTIL(sched_op(SCHEDOP_remote_shutdown, &op) == 0), "domain %u is ended",
	       domain);
	tap_ok(WAIT_UNTIL(sched_op(SCHEDOP_remote_shutdown, &op) == -XEN_ESRCH), "and gone");
	op.domain_id = 0;
	tap_is(sched_op(SCHEDOP_remote_shutdown, &op), -XEN_EPERM, "nobody else's end");
	op.domain_id = DOMID_SELF;
	tap_is(sched_op(SCHEDOP_remote_shutdown, &op), -XEN_EPERM, "nor one's own");
	op.domain_id = 0xffff;
	tap_is(sched_op(SCHEDOP_remote_shutdown, &op), -XEN_EPERM, "nor nobody's");
}

int main(void)
{
	if (!xen_present)
		tap_bail_out("there is no hypervisor");
	if (option("target")) {
		for (;;)
			yield();
	}
	if (option("ends")) {
		end_other(self_domain() - 1);
		tap_done();
	}
	if (option("plan"))
		tap_plan((unsigned)option_number("plan", 0));
	starting();
	down_and_up();
	runstates();
	timers();
	watchdogs(option("watchdog"));
	print_flush();
	if (option("watchdog")) {
		vcpu_op(VCPUOP_down, 1, NULL);
		for (;;)
			sched_op(SCHEDOP_block, NULL);
	}
	if (option("halt"))
		halt();
	if (option("last")) {
		vcpu_op(VCPUOP_down, 1, NULL);
		for (;;)
			vcpu_op(VCPUOP_down, 0, NULL);
	}
	tap_done();
}
