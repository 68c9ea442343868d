/*
 * vcpu-watch: one vCPU looks at the record of another's runstate while the hypervisor writes it:
 * what it reads without the mark of changes, twice with the same time of entry, belongs together.
 * And a vCPU that is started in 32-bit mode with PAE paging.
 */
#include "apic.h"
#include "hvm_vcpu.h"
#include "public/vcpu.h"

#define SWITCHES 3000u /* of vCPU 0 */
#define PARALLEL 50u

static volatile struct vcpu_runstate_info area __attribute__((aligned(64)));
static volatile uint64_t rounds, marks, torn, changes;
static volatile bool over, done;

static long vcpu_op(unsigned command, unsigned vcpu, void *argument)
{
	return hypercall(__HYPERVISOR_vcpu_op, command, vcpu, (unsigned long)argument);
}

/* vCPU 1. */
static void watch(unsigned id)
{
	uint64_t last_entry = 0;
	int last_state = -1;

	(void)id;
	for (; !over; rounds++) {
		uint64_t entry = area.state_entry_time;
		barrier();
		int state = area.state;
		barrier();
		if ((entry | area.state_entry_time) & XEN_RUNSTATE_UPDATE) {
			marks++;
			continue;
		}
		if (entry != area.state_entry_time)
			continue;
		torn += entry == last_entry && state != last_state;
		changes += entry != last_entry;
		last_entry = entry;
		last_state = state;
	}
	done = true;
	for (;;)
		__asm__ volatile("hlt");
}

/* Whether vCPU 1 runs at the same time: its count moves while nothing comes between here. */
static bool in_parallel(void)
{
	unsigned moves = 0;

	for (unsigned n = 0; n < 4 * PARALLEL; n++) {
		uint64_t start = rdtsc(), before = rounds;

		while (rounds == before && rdtsc() - start < 1000)
			;
		moves += rounds != before && rdtsc() - start < 1000;
	}
	return moves >= PARALLEL;
}

static void watched(void)
{
	struct vcpu_register_runstate_memory_area op = {(unsigned long)&area};

	tap_is(hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_enable,
			 VMASST_TYPE_runstate_update_flag, 0),
	       0, "changes are to be marked");
	tap_is(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &op), 0, "a record for this vCPU");
	tap_ok(cpu_start(1, watch), "another looks at it");
	tap_ok(WAIT_UNTIL(rounds), "all the time");
	bool parallel = in_parallel();
	for (unsigned n = 0; n < (parallel ? SWITCHES : 10); n++)
		yield();
	over = true;
	tap_ok(WAIT_UNTIL(done), "%lu looks", (unsigned long)rounds);
	if (parallel)
		tap_ok(marks && changes, "%lu met the mark, %lu another time of entry",
		       (unsigned long)marks, (unsigned long)changes);
	else
		tap_skip("the mark is seen", "both vCPUs are on one processor");
	tap_is(torn, 0, "none a new state with an old time");
}

/* --- PAE -------------------------------------------------------------------------------------- */

#define ALIAS 0x40000000u /* where the first GiB appears again */
#define MAGIC 0x600d0000u

extern const char pae_code[];
__asm__(".pushsection .text\n"
	".code32\n"
	"pae_code: movl $0x600d0000, (%ebx)\n"
	"	movl %cr3, %eax\n"
	"	movl %eax, %cr3\n"
	"	incl (%ebx)\n"
	"1:	cli\n"
	"	hlt\n"
	"	jmp 1b\n"
	".code64\n"
	".popsection\n");

static uint64_t pdpt[4] __attribute__((aligned(32)));
static uint64_t directory[512] __attribute__((aligned(PAGE_SIZE)));

static void started_with_pae(void)
{
	static volatile uint32_t word;
	struct vcpu_hvm_context c = {.mode = VCPU_HVM_MODE_32B};

	for (uint64_t i = 0; i < 512; i++)
		directory[i] = i << 21 | PTE_P | PTE_W | PTE_PS;
	pdpt[0] = pdpt[1] = (uintptr_t)directory | PTE_P;
	c.cpu_regs.x86_32 = (struct vcpu_hvm_x86_32){.ebx = ALIAS + (uint32_t)(uintptr_t)&word,
						     .eip = (uint32_t)(uintptr_t)pae_code,
						     .eflags = 2,
						     .cr0 = (uint32_t)read_cr0(),
						     .cr3 = (uint32_t)(uintptr_t)pdpt,
						     .cr4 = CR4_PAE,
						     HVM_VCPU_FLAT_32};
	tap_is(vcpu_op(VCPUOP_initialise, 2, &c), 0, "a vCPU with PAE paging");
	tap_is(vcpu_op(VCPUOP_up, 2, NULL), 0, "starts");
	tap_ok(WAIT_UNTIL(word == MAGIC + 1), "and runs, by its tables");
}

int main(void)
{
	apic_enable();
	watched();
	started_with_pae();
	tap_done();
}
