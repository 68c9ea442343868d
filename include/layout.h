/*
 * Virtual memory layout of the hypervisor: the one place where its addresses are written down.
 *
 *   slot  address              size     shared?  holds
 *   256   0xffff800000000000   512 GiB  shared   frame table, linear in the frame number
 *   257   0xffff808000000000   512 GiB  shared   vmap area: heap, device registers, metadata
 *   258   0xffff810000000000   512 GiB  PRIVATE  CPU n at + n GiB; no other CPU's tables map it
 *   288   0xffff900000000000    16 TiB  shared   table pools, linear in the physical address:
 *                                                only frames that belong to a pool are mapped
 *   320   0xffffa00000000000     8 GiB  shared   nothing, ever; in the comparator build of the
 *                                                benchmarks all physical memory (mm/direct_map.h)
 *   511   0xffffffff80000000     1 GiB  shared   the image: text RX, rodata R, data and bss RW
 *
 * A slot is one entry of a top-level page table. Everything else is empty. On the host, where
 * units are tested against fake memory, the same regions lie in the lower half; with the thread
 * sanitizer, in the part of it that this allows, which has room for pools of little RAM only.
 */
#ifndef KEYHOLE_LAYOUT_H
#define KEYHOLE_LAYOUT_H

#if defined(KEYHOLE_HOST_TEST) && defined(__SANITIZE_THREAD__)
#define LAYOUT_BASE	   0x550000000000ull
#define LAYOUT_POOL_OFFSET 0x011000000000ull
#define LAYOUT_PHYS_LIMIT  (1ull << 36)
#elif defined(KEYHOLE_HOST_TEST)
#define LAYOUT_BASE 0x200000000000ull
#else
#define LAYOUT_BASE 0xffff800000000000ull
#endif
#ifndef LAYOUT_POOL_OFFSET
#define LAYOUT_POOL_OFFSET 0x100000000000ull
/* RAM at or above this physical address is not used: frame numbers fit in 32 bits. */
#define LAYOUT_PHYS_LIMIT (1ull << 44)
#endif

#define LAYOUT_SLOT_SIZE (1ull << 39)

#define LAYOUT_FRAME_TABLE  LAYOUT_BASE
#define LAYOUT_VMAP	    (LAYOUT_BASE + 0x008000000000ull)
#define LAYOUT_VMAP_SIZE    LAYOUT_SLOT_SIZE
#define LAYOUT_PRIVATE	    (LAYOUT_BASE + 0x010000000000ull)
#define LAYOUT_PRIVATE_SIZE (1ull << 30) /* of one CPU */
#define LAYOUT_POOL	    (LAYOUT_BASE + LAYOUT_POOL_OFFSET)
#define LAYOUT_DIRECT_MAP   (LAYOUT_BASE + 0x200000000000ull)
#define LAYOUT_IMAGE	    0xffffffff80000000ull

/* The vmap area's first half holds areas, the second half what its own bookkeeping lies in: arrays
 * that grow at a fixed address (mm/meta.h), each with room that it never fills, as a guard. */
#define LAYOUT_VMAP_AREAS_SIZE (LAYOUT_VMAP_SIZE / 2)
#define LAYOUT_META	       (LAYOUT_VMAP + LAYOUT_VMAP_AREAS_SIZE)
#define LAYOUT_META_STRIDE     (LAYOUT_VMAP_AREAS_SIZE / 16) /* 16 GiB */
#define LAYOUT_META_VMAP       LAYOUT_META
#define LAYOUT_META_SLABS      (LAYOUT_META + LAYOUT_META_STRIDE)
#define LAYOUT_META_OWNERS     (LAYOUT_META + 2 * LAYOUT_META_STRIDE)
#define LAYOUT_META_PAHASH     (LAYOUT_META + 3 * LAYOUT_META_STRIDE) /* 64 GiB */
/* Bench builds only (selftest/ept_view.c). */
#define LAYOUT_P2M_VIEW	     (LAYOUT_META + 8 * LAYOUT_META_STRIDE)
#define LAYOUT_P2M_VIEW_SIZE LAYOUT_META_STRIDE

#define LAYOUT_CPUS_MAX 512

/*
 * The private range of one CPU, offsets from its start. The first 2 MiB are mapped by one table of
 * 4K entries; the window's slots are the whole second table; then comes the 2 MiB slot. Whatever
 * is not named is a guard page.
 */
#define PRIVATE_TABLES	    0x000000u /* 4 pages: this range's own PDPT, PD, PT 0 and window PT */
#define PRIVATE_CPU	    0x006000u /* struct cpu_private (percpu.h) */
#define PRIVATE_CPU_PAGES   2u
#define PRIVATE_STACK	    0x00a000u /* main stack: exits, boot, idle */
#define PRIVATE_STACK_PAGES 4u
/* Where it begins: in the middle of its last page, since what exits leave there is cleared down to
 * the page's start, and below by pages that were written. */
#define PRIVATE_STACK_START 0x00d800u
#define PRIVATE_IST	    0x010000u /* interrupt stacks, one every PRIVATE_IST_STRIDE */
#define PRIVATE_IST_COUNT   5u
#define PRIVATE_IST_PAGES   2u
#define PRIVATE_IST_STRIDE  0x4000u
#define PRIVATE_VCPU	    0x040000u /* struct vcpu_secret of the vCPU that runs here */
#define PRIVATE_VCPU_PAGES  3u
#define PRIVATE_WINDOW	    0x200000u
#define PRIVATE_WINDOW_2M   0x400000u

#endif
