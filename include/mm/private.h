/* The private range of a CPU and its top-level page table: the interface of mm/private.c. */
#ifndef KEYHOLE_MM_PRIVATE_H
#define KEYHOLE_MM_PRIVATE_H

#include "percpu.h"
#include "types.h"

void private_boot_init(void);
/*
 * Builds CPU cpu's range; *root is its top-level table. -XEN_ENOMEM: nothing was taken. The new
 * CPU's private data are filled in; it starts on the top of its main stack with CR3 = *root and GS
 * = the address of its struct cpu_private.
 */
int private_create(uint32_t cpu, mfn_t *root) must_use;
/* Maps and unmaps frames at PRIVATE_VCPU of this CPU, where nothing is mapped before: the secret
 * half of the vCPU that runs here. */
void private_map_vcpu(const mfn_t frames[PRIVATE_VCPU_PAGES]);
void private_unmap_vcpu(void);
noreturn_fn void private_enter(uint32_t cpu, mfn_t root, void (*fn)(void));
void private_drop_boot_range(void);
/* The start page of other processors, below 1 MiB, one to one in the boot tables while they start:
 * readable and executable; no CPU but a starting one uses these tables. */
void private_map_trampoline(mfn_t frame);
void private_unmap_trampoline(void);
void private_clear_stack(void);

static inline uint64_t private_base_of(uint32_t cpu)
{
	return LAYOUT_PRIVATE + cpu * LAYOUT_PRIVATE_SIZE;
}

/* Frames that one CPU's range takes. */
#define PRIVATE_FRAMES \
	(5u + PRIVATE_CPU_PAGES + PRIVATE_STACK_PAGES + PRIVATE_IST_COUNT * PRIVATE_IST_PAGES)

#endif
