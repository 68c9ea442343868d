/*
 * The direct map of the comparator build: what Keyhole exists to be without. Empty in all others.
 *
 * All physical addresses below DIRECT_MAP_SIZE, whatever lies there, by 2 MiB leaves; machines with
 * more RAM are not for this build. The map window leads here (mm/window.c): opening is an addition
 * and closing is nothing, so that both designs can be measured with the same code around them, and
 * the leak lab has something to find.
 *
 * State: its page tables, in the image, constant once filled. No lock.
 */
#ifdef CONFIG_DIRECT_MAP
#include "mm/direct_map.h"
#include "image.h"
#include "mm/pte.h"

#define DIRECTORIES (DIRECT_MAP_SIZE >> 30)
#define LEAF_FLAGS  (PTE_P | PTE_RW | PTE_A | PTE_D | PTE_G | PTE_NX | PTE_PS)

static uint64_t directories[DIRECTORIES][PTE_PER_TABLE] aligned_to(PAGE_SIZE);
static uint64_t direct_map_pdpt[PTE_PER_TABLE] aligned_to(PAGE_SIZE);

extern uint64_t boot_root[];

/* Boot CPU, before the window is used for the first time. Every later top level is a copy of this
 * one. */
void direct_map_init(void)
{
	for (uint64_t i = 0; i < DIRECTORIES; i++) {
		for (uint64_t j = 0; j < PTE_PER_TABLE; j++) {
			mfn_t frame = make_mfn((i * PTE_PER_TABLE + j) * FRAMES_PER_2M);

			pte_store(&directories[i][j], pte_make(frame, LEAF_FLAGS));
		}
		pte_store(&direct_map_pdpt[i],
			  pte_make(paddr_to_mfn(image_paddr(directories[i])), PTE_TABLE));
	}
	pte_store(&boot_root[pte_index(LAYOUT_DIRECT_MAP, 4)],
		  pte_make(paddr_to_mfn(image_paddr(direct_map_pdpt)), PTE_TABLE));
}
#endif
