/*
 * vcpu-storm: vCPUs that are started, taken down, reset and woken in any order, by each other and
 * while they wait in every way there is. Whatever comes of it, calls give what they may give, the
 * domain lives, and each vCPU can be started afresh in the end.
 */
#include "apic.h"
#include "public/event_channel.h"
#include "public/hvm/hvm_vcpu.h"
#include "public/vcpu.h"

#define VCPUS	      4u
#define STACK_SIZE    4096u
#define REAL_PAGE     0x9000ul
#define VECTOR_CALL   0x40u
#define VECTOR_TIMER  0x41u
#define VECTOR_UPCALL 0x42u
#define NS_PER_MS     1000000ull

/* Where a start-up IPI leads: cli; hlt; and once more. */
static const uint8_t real_code[] = {0xfa, 0xf4, 0xeb, 0xfd};

static uint8_t stacks[VCPUS][STACK_SIZE] __attribute__((aligned(16)));
static struct vcpu_runstate_info areas[VCPUS] __attribute__((aligned(64)));
static evtchn_port_t ports[VCPUS];
static volatile uint64_t turns[VCPUS];
static volatile unsigned wrong, taken;
static volatile bool calm;
static uint64_t khz;

INTERRUPT interrupted(struct interrupt_frame *frame)
{
	(void)frame;
	taken++;
	apic_eoi();
}

INTERRUPT nmi(struct interrupt_frame *frame)
{
	(void)frame;
	taken++;
}

static long vcpu_op(unsigned command, unsigned vcpu, void *argument)
{
	return hypercall(__HYPERVISOR_vcpu_op, command, vcpu, (unsigned long)argument);
}

/* A result that a call may not give, whatever the others do meanwhile. */
static void only(long result, long first, long second)
{
	if (result != first && result != second && !wrong++)
		printf("# %ld, neither %ld nor %ld\n", result, first, second);
}

static unsigned chance(uint64_t *state, unsigned below)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(*state >> 33) % below;
}

static uint64_t now_ns(void)
{
	uint64_t tsc = rdtsc();

	return tsc / khz * NS_PER_MS + tsc % khz * NS_PER_MS / khz;
}

/* --- what is done to others ------------------------------------------------------------------- */

/* Takes the segments of the first vCPU, without which no interrupt can return, and goes on in
 * worker() with its argument. */
extern const char worker_entry[];
static struct __attribute__((packed)) {
	uint16_t limit;
	uint64_t base;
} worker_gdt __attribute__((used));
__asm__(".pushsection .text\n"
	"worker_entry: lgdt worker_gdt(%rip)\n"
	"	mov $0x10, %eax\n" /* SEL_DATA */
	"	mov %eax, %ss\n"
	"	push $0x18\n" /* SEL_CODE64 */
	"	lea 1f(%rip), %rax\n"
	"	push %rax\n"
	"	lretq\n"
	"1:	call worker\n"
	"	ud2\n"
	".popsection\n");
void worker(unsigned id);

static void describe(unsigned id)
{
	struct vcpu_hvm_context c = {.mode = VCPU_HVM_MODE_64B};

	c.cpu_regs.x86_64 = (struct vcpu_hvm_x86_64){.rsp = (unsigned long)stacks[id] + STACK_SIZE,
						     .rip = (unsigned long)worker_entry,
						     .rflags = 2,
						     .cr0 = read_cr0(),
						     .cr3 = read_cr3(),
						     .cr4 = read_cr4(),
						     .efer = rdmsr(MSR_EFER),
						     .rdi = id};
	only(vcpu_op(VCPUOP_initialise, id, &c), 0, -XEN_EEXIST);
}

static void disturb(uint64_t *state, unsigned self)
{
	unsigned id = 1 + chance(state, VCPUS - 1), any = chance(state, VCPUS);
	struct vcpu_register_runstate_memory_area area = {(unsigned long)&areas[id]};
	struct xen_hvm_evtchn_upcall_vector upcall = {.vcpu = any, .vector = VECTOR_UPCALL};
	struct evtchn_send send = {ports[any]};

	switch (chance(state, 12)) {
	case 0:
		only(vcpu_op(VCPUOP_down, id, NULL), 0, 0);
		break;
	case 1:
	case 2:
		only(vcpu_op(VCPUOP_up, id, NULL), 0, -XEN_EINVAL);
		break;
	case 3:
	case 4:
		describe(id);
		break;
	case 5:
		wrmsr(X2_ICR, ICR_TO(id) | ICR_INIT);
		break;
	case 6:
		if (!chance(state, 4))
			wrmsr(X2_ICR, ICR_TO(id) | ICR_STARTUP | REAL_PAGE >> 12);
		break;
	case 7:
		wrmsr(X2_ICR, ICR_TO(any) | VECTOR_CALL);
		break;
	case 8:
		only(hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (unsigned long)&send,
			       0),
		     0, 0);
		break;
	case 9:
		area.address = chance(state, 2) ? area.address : 0;
		only(vcpu_op(VCPUOP_register_runstate_memory_area, id, &area), 0, 0);
		break;
	case 10:
		only(hypercall(__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector,
			       (unsigned long)&upcall, 0),
		     0, 0);
		break;
	case 11:
		only(vcpu_op(VCPUOP_stop_periodic_timer, id, NULL), 0, 0);
		if (self)
			wrmsr(X2_ICR, ICR_TO(0) | ICR_NMI);
		break;
	}
}

/* --- ways to wait ----------------------------------------------------------------------------- */

static void wait(uint64_t *state, unsigned self)
{
	struct vcpu_set_singleshot_timer once = {.timeout_abs_ns = now_ns() + NS_PER_MS / 8};
	struct vcpu_set_periodic_timer period = {.period_ns = NS_PER_MS};
	struct sched_poll poll = {handle(&ports[self]), chance(state, 2), once.timeout_abs_ns};

	switch (chance(state, 7)) {
	case 0:
		yield();
		break;
	case 1:
		wrmsr(X2_LVT_TIMER, LVT_DEADLINE | VECTOR_TIMER);
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + khz / 8);
		sleep_once();
		break;
	case 2:
		only(sched_op(SCHEDOP_poll, &poll), 0, 0);
		break;
	case 3:
		only(vcpu_op(VCPUOP_set_singleshot_timer, self, &once), 0, -XEN_ETIME);
		only(sched_op(SCHEDOP_poll, &poll), 0, 0);
		break;
	case 4:
		only(vcpu_op(VCPUOP_set_periodic_timer, self, &period), 0, 0);
		break;
	case 5:
		if (!chance(state, 4))
			only(vcpu_op(VCPUOP_down, self, NULL), 0, 0);
		break;
	case 6:
		wrmsr(X2_SIVR, VECTOR_SPURIOUS);
		wrmsr(X2_SIVR, 0x100 | VECTOR_SPURIOUS);
		INTERRUPTS_FOR(cpu_pause());
		break;
	}
}

void worker(unsigned id)
{
	uint64_t state = id + turns[id] * VCPUS;

	trap_load();
	apic_enable();
	for (;;) {
		turns[id]++;
		if (calm) {
			yield();
			continue;
		}
		disturb(&state, id);
		wait(&state, id);
	}
}

/* --- the end ---------------------------------------------------------------------------------- */

/* What was asked for before the reset may still come: then once more. */
static bool starts(unsigned id)
{
	describe(id);
	only(vcpu_op(VCPUOP_up, id, NULL), 0, -XEN_EINVAL);
	return vcpu_op(VCPUOP_is_up, id, NULL) == 1;
}

static bool starts_afresh(unsigned id)
{
	uint64_t before = turns[id];

	wrmsr(X2_ICR, ICR_TO(id) | ICR_INIT);
	return WAIT_UNTIL(starts(id) && turns[id] > before + 2);
}

int main(void)
{
	unsigned rounds = (unsigned)option_number("rounds", 4000);
	uint64_t state = option_number("seed", 1);

	__asm__ volatile("sgdt %0" : "=m"(worker_gdt));
	khz = cpuid(XEN_CPUID_LEAF(3), 0).ecx;
	memcpy((void *)REAL_PAGE, real_code, sizeof(real_code));
	for (unsigned vector = VECTOR_CALL; vector <= VECTOR_UPCALL; vector++)
		interrupt_set(vector, interrupted);
	interrupt_set(VECTOR_NMI, nmi);
	apic_enable();
	for (unsigned id = 0; id < VCPUS; id++) {
		struct evtchn_bind_ipi bind = {.vcpu = id};

		if (hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi,
			      (unsigned long)&bind, 0))
			tap_bail_out("no port");
		ports[id] = bind.port;
	}
	for (unsigned n = 0; n < rounds; n++) {
		disturb(&state, 0);
		if (!chance(&state, 4))
			yield();
		if (!chance(&state, 16))
			INTERRUPTS_FOR(cpu_pause());
	}
	calm = true;
	tap_ok(turns[1] && turns[2] && turns[3], "all vCPUs ran: %lu, %lu, %lu turns",
	       (unsigned long)turns[1], (unsigned long)turns[2], (unsigned long)turns[3]);
	tap_ok(taken, "there were %u interrupts", taken);
	for (unsigned id = 1; id < VCPUS; id++)
		tap_ok(starts_afresh(id), "vCPU %u can be started afresh", id);
	tap_is(wrong, 0, "no call gave what it may not");
	tap_done();
}
