/*
 * The private range of a CPU: what only this CPU maps, at an address of its own.
 *
 * State: the frames of type FRAME_PRIVATE of each CPU, among them the page tables of the range
 * themselves, which are mapped nowhere else. Built through the window by the CPU that brings
 * another one up; from then on touched by its own CPU only, so there is no lock. The boot CPU
 * starts on tables and a stack in the image and moves here before the first guest frame exists.
 */
#include "mm/private.h"
#include "cpu.h"
#include "image.h"
#include "mm/frame.h"
#include "mm/pte.h"
#include "mm/window.h"
#include "mutant.h"
#include "print.h"

struct cpu_shared cpu_shared[LAYOUT_CPUS_MAX];

static struct cpu_private boot_cpu;

extern uint64_t boot_root[], boot_private_pdpt[], boot_private_pd[], boot_window_pt[];
extern uint64_t boot_pdpt_low[], boot_pd_low[], boot_pt_low[];

#define PAGE_FLAGS (PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX)

/* Order of the tables at PRIVATE_TABLES. */
enum { TABLE_PDPT, TABLE_PD, TABLE_PT, TABLE_WINDOW, TABLE_COUNT };

/* Lets this_cpu() and the window work on the boot CPU, on the tables of boot/entry.S. */
void private_boot_init(void)
{
	boot_cpu.self = &boot_cpu;
	boot_cpu.shared = &cpu_shared[0];
	boot_cpu.window_base = private_base_of(0) + PRIVATE_WINDOW;
	boot_cpu.window_ptes = boot_window_pt;
	boot_cpu.window_pd_2m = &boot_private_pd[pte_index(PRIVATE_WINDOW_2M, 2)];
	boot_cpu.root = paddr_to_mfn(image_paddr(boot_root));
	wrmsr(MSR_IA32_GS_BASE, (uint64_t)&boot_cpu);
}

static void write_pte(mfn_t table, uint32_t index, uint64_t value)
{
	uint64_t *entries = window_open(WINDOW_BUILD, table);

	pte_store(&entries[index], value);
	window_close(WINDOW_BUILD);
}

/* Copies the shared part of the top level and enters this CPU's private table. */
static void build_root(mfn_t root, mfn_t pdpt, uint64_t base)
{
	uint64_t *entries = window_open(WINDOW_BUILD, root);

	for (uint32_t i = PTE_PER_TABLE / 2; i < PTE_PER_TABLE; i++)
		pte_store(&entries[i], boot_root[i]);
	pte_store(&entries[pte_index(base, 4)], pte_make(pdpt, PTE_TABLE));
	window_close(WINDOW_BUILD);
}

int private_create(uint32_t cpu, mfn_t *root)
{
	mfn_t frames[PRIVATE_FRAMES];
	uint64_t base = private_base_of(cpu);

	assert_always(cpu < LAYOUT_CPUS_MAX);
	_Static_assert(sizeof(struct cpu_private) <= PRIVATE_CPU_PAGES * PAGE_SIZE, "private data");
	for (unsigned i = 0; i < PRIVATE_FRAMES; i++) {
		int rc = frame_alloc(0, DOMID_HYPERVISOR, FRAME_PRIVATE, &frames[i]);
		if (rc) {
			while (i--)
				frame_free(frames[i], 0);
			return rc;
		}
	}
	unsigned next = TABLE_COUNT;
	mfn_t pt = frames[TABLE_PT];
	*root = frames[next++];

	build_root(*root, frames[TABLE_PDPT], base);
	write_pte(frames[TABLE_PDPT], pte_index(base, 3), pte_make(frames[TABLE_PD], PTE_TABLE));
	write_pte(frames[TABLE_PD], 0, pte_make(pt, PTE_TABLE));
	write_pte(frames[TABLE_PD], pte_index(PRIVATE_WINDOW, 2),
		  pte_make(frames[TABLE_WINDOW], PTE_TABLE));
	for (unsigned i = 0; i < TABLE_COUNT; i++)
		write_pte(pt, PRIVATE_TABLES / PAGE_SIZE + i, pte_make(frames[i], PAGE_FLAGS));

	mfn_t cpu_frame = frames[next];
	for (unsigned i = 0; i < PRIVATE_CPU_PAGES; i++)
		write_pte(pt, PRIVATE_CPU / PAGE_SIZE + i, pte_make(frames[next++], PAGE_FLAGS));
	for (unsigned i = 0; i < PRIVATE_STACK_PAGES; i++)
		write_pte(pt, PRIVATE_STACK / PAGE_SIZE + i, pte_make(frames[next++], PAGE_FLAGS));
	for (unsigned s = 0; s < PRIVATE_IST_COUNT; s++)
		for (unsigned i = 0; i < PRIVATE_IST_PAGES; i++)
			write_pte(pt, (PRIVATE_IST + s * PRIVATE_IST_STRIDE) / PAGE_SIZE + i,
				  pte_make(frames[next++], PAGE_FLAGS));
	assert_always(next == PRIVATE_FRAMES);

	struct cpu_private *private = window_open(WINDOW_BUILD, cpu_frame);
	uint64_t tables = base + PRIVATE_TABLES;
	private->self = (struct cpu_private *)(base + PRIVATE_CPU);
	private->index = cpu;
	private->shared = &cpu_shared[cpu];
	private->window_base = base + PRIVATE_WINDOW;
	private->window_ptes = (uint64_t *)(tables + TABLE_WINDOW * PAGE_SIZE);
	private->window_pd_2m =
	    (uint64_t *)(tables + TABLE_PD * PAGE_SIZE) + pte_index(PRIVATE_WINDOW_2M, 2);
	private->private_pt = (uint64_t *)(tables + TABLE_PT * PAGE_SIZE);
	private->root = *root;
	window_close(WINDOW_BUILD);
	return 0;
}

void private_map_vcpu(const mfn_t frames[PRIVATE_VCPU_PAGES])
{
	uint64_t *pt = this_cpu()->private_pt;

	for (unsigned i = 0; i < PRIVATE_VCPU_PAGES; i++)
		pte_store(&pt[PRIVATE_VCPU / PAGE_SIZE + i], pte_make(frames[i], PAGE_FLAGS));
	__asm__ volatile("" ::: "memory");
}

void private_unmap_vcpu(void)
{
	struct cpu_private *cpu = this_cpu();

	for (unsigned i = 0; i < PRIVATE_VCPU_PAGES; i++) {
		pte_store(&cpu->private_pt[PRIVATE_VCPU / PAGE_SIZE + i], 0);
		invlpg(private_base_of(cpu->index) + PRIVATE_VCPU + i * PAGE_SIZE);
	}
}

/*
 * Continues in fn on CPU cpu's own tables, private data and main stack; whatever the old stack held
 * is lost. No window slot may be open.
 */
void private_enter(uint32_t cpu, mfn_t root, void (*fn)(void))
{
	uint64_t base = private_base_of(cpu);

	assert_always(!this_cpu()->window_open_mask);
	write_cr3(paddr_raw(mfn_to_paddr(root)));
	wrmsr(MSR_IA32_GS_BASE, base + PRIVATE_CPU);
	__asm__ volatile("mov %[stack], %%rsp\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "call *%[fn]\n\t"
			 "ud2"
			 :
			 : [stack] "r"(base + PRIVATE_STACK_START), [fn] "r"(fn)
			 : "memory");
	__builtin_unreachable();
}

extern char boot_stack[], boot_stack_top[];

/* Boot CPU, from its private stack: nothing of the range and stack in the image can be used or read
 * again. */
void private_drop_boot_range(void)
{
	pte_store(&boot_root[pte_index(LAYOUT_PRIVATE, 4)], 0);
	__builtin_memset(boot_private_pdpt, 0, PAGE_SIZE);
	__builtin_memset(boot_private_pd, 0, PAGE_SIZE);
	__builtin_memset(boot_window_pt, 0, PAGE_SIZE);
	private_unmap_trampoline(); /* what is left of the first mode switch */
	__builtin_memset(boot_stack, 0, (size_t)(boot_stack_top - boot_stack));
	__builtin_memset(&boot_cpu, 0, sizeof(boot_cpu));
}

/*
 * Clears this CPU's main stack below this function's frame: on a switch to another domain, so that
 * nothing that the old one passed through root mode stays. All of what its exits used lies there,
 * since vmx/entry.S leaves room above it for the functions that are active now. A page that was not
 * written since it was last cleared is skipped: its entry's dirty flag says so. Interrupts are off.
 */
void private_clear_stack(void)
{
	struct cpu_private *cpu = this_cpu();
	uint64_t page = private_base_of(cpu->index) + PRIVATE_STACK, end;
	uint64_t *pte = &cpu->private_pt[PRIVATE_STACK / PAGE_SIZE];

	if (MUTANT(STACK_NOT_CLEARED))
		return;
	__asm__ volatile("mov %%rsp, %0" : "=r"(end));
	assert_always(end >= cpu->run_stack);
	for (; page < (end & PAGE_MASK); page += PAGE_SIZE, pte++) {
		if (!(*pte & PTE_D))
			continue;
		clear_qwords((void *)page, PAGE_SIZE / 8);
		pte_store(pte, *pte & ~PTE_D);
		invlpg(page); /* or the processor does not set it again */
	}
	clear_qwords((void *)page, (end - page) / 8);
}

void private_map_trampoline(mfn_t frame)
{
	uint64_t va = mfn_raw(frame) << PAGE_SHIFT;

	pte_store(&boot_pt_low[pte_index(va, 1)], pte_make(frame, PTE_P | PTE_A));
	pte_store(&boot_pd_low[pte_index(va, 2)],
		  pte_make(paddr_to_mfn(image_paddr(boot_pt_low)), PTE_TABLE));
	pte_store(&boot_pdpt_low[0], pte_make(paddr_to_mfn(image_paddr(boot_pd_low)), PTE_TABLE));
	pte_store(&boot_root[0], pte_make(paddr_to_mfn(image_paddr(boot_pdpt_low)), PTE_TABLE));
}

void private_unmap_trampoline(void)
{
	pte_store(&boot_root[0], 0);
	__builtin_memset(boot_pt_low, 0, PAGE_SIZE);
	__builtin_memset(boot_pd_low, 0, PAGE_SIZE);
	__builtin_memset(boot_pdpt_low, 0, PAGE_SIZE);
}
