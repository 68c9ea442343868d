/*
 * What a PVH guest finds: EBX at its entry holds the guest-physical address of struct
 * hvm_start_info. The CPU is then in 32-bit protected mode without paging, CS, DS, ES and SS flat,
 * interrupts off. Source: Xen, public/arch-x86/hvm/start_info.h and docs/misc/pvh.pandoc.
 */
#ifndef KEYHOLE_PUBLIC_HVM_START_INFO_H
#define KEYHOLE_PUBLIC_HVM_START_INFO_H

#include "../base.h"

#define XEN_HVM_START_MAGIC_VALUE 0x336ec578u
#define XEN_HVM_START_VERSION	  1u /* from this version on there is a memory map */

/* hvm_start_info.flags */
#define SIF_PRIVILEGED 0x1u
#define SIF_INITDOMAIN 0x2u

/* hvm_memmap_table_entry.type */
#define XEN_HVM_MEMMAP_TYPE_RAM	     1u
#define XEN_HVM_MEMMAP_TYPE_RESERVED 2u
#define XEN_HVM_MEMMAP_TYPE_ACPI     3u
#define XEN_HVM_MEMMAP_TYPE_NVS	     4u
#define XEN_HVM_MEMMAP_TYPE_UNUSABLE 5u
#define XEN_HVM_MEMMAP_TYPE_DISABLED 6u
#define XEN_HVM_MEMMAP_TYPE_PMEM     7u

#ifndef __ASSEMBLER__
/* All addresses are guest-physical; 0 means that there is none. */
struct hvm_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr; /* struct hvm_modlist_entry[nr_modules] */
	uint64_t cmdline_paddr; /* ends with a zero byte */
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr; /* struct hvm_memmap_table_entry[memmap_entries] */
	uint32_t memmap_entries;
	uint32_t reserved;
};
struct hvm_modlist_entry {
	uint64_t paddr;
	uint64_t size; /* bytes */
	uint64_t cmdline_paddr;
	uint64_t reserved;
};
struct hvm_memmap_table_entry {
	uint64_t addr; /* bytes */
	uint64_t size; /* bytes */
	uint32_t type;
	uint32_t reserved;
};
XEN_CHECK_SIZE(struct hvm_start_info, 56);
XEN_CHECK_OFFSET(struct hvm_start_info, modlist_paddr, 16);
XEN_CHECK_OFFSET(struct hvm_start_info, memmap_paddr, 40);
XEN_CHECK_OFFSET(struct hvm_start_info, memmap_entries, 48);
XEN_CHECK_SIZE(struct hvm_modlist_entry, 32);
XEN_CHECK_SIZE(struct hvm_memmap_table_entry, 24);
XEN_CHECK_OFFSET(struct hvm_memmap_table_entry, type, 16);
#endif

#endif
