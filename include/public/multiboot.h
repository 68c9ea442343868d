/*
 * What a guest built as a multiboot image (version 1) has in its file, and what it finds: EAX holds
 * MULTIBOOT_BOOTLOADER_MAGIC at its entry, EBX the guest-physical address of struct multiboot_info.
 * Source: the Multiboot Specification, version 0.6.96.
 */
#ifndef KEYHOLE_PUBLIC_MULTIBOOT_H
#define KEYHOLE_PUBLIC_MULTIBOOT_H

#include "base.h"

#define MULTIBOOT_HEADER_MAGIC	   0x1badb002u
#define MULTIBOOT_BOOTLOADER_MAGIC 0x2badb002u
#define MULTIBOOT_SEARCH	   8192u /* the header lies within so many bytes of the file */
#define MULTIBOOT_HEADER_ALIGN	   4u

/* multiboot_header.flags: what the image demands; of these a loader must know all. */
#define MULTIBOOT_PAGE_ALIGN 0x00000001u
#define MULTIBOOT_MEMORY     0x00000002u
#define MULTIBOOT_VIDEO	     0x00000004u
#define MULTIBOOT_DEMANDS    0x0000ffffu
#define MULTIBOOT_ADDRESSES  0x00010000u /* the addresses in the header are valid */

/* multiboot_info.flags: what is valid. */
#define MULTIBOOT_INFO_MEMORY	   0x00000001u
#define MULTIBOOT_INFO_CMDLINE	   0x00000004u
#define MULTIBOOT_INFO_MODULES	   0x00000008u
#define MULTIBOOT_INFO_MEMORY_MAP  0x00000040u
#define MULTIBOOT_INFO_LOADER_NAME 0x00000200u

/* multiboot_mmap.type */
#define MULTIBOOT_MEMORY_AVAILABLE 1u
#define MULTIBOOT_MEMORY_RESERVED  2u

#ifndef __ASSEMBLER__
struct multiboot_header {
	uint32_t magic, flags;
	uint32_t checksum; /* makes the sum of the three 0 */
	/* With MULTIBOOT_ADDRESSES: where the file is loaded, instead of what its format says. */
	uint32_t header_addr, load_addr;
	uint32_t load_end_addr; /* 0: the whole file */
	uint32_t bss_end_addr;	/* 0: nothing is to be cleared */
	uint32_t entry_addr;
};
#define MULTIBOOT_HEADER_SHORT 12u /* bytes without the addresses */

struct multiboot_info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper; /* KiB from 0, KiB from 1 MiB */
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count, mods_addr; /* struct multiboot_module */
	uint32_t symbols[4];
	uint32_t mmap_length, mmap_addr; /* bytes; struct multiboot_mmap */
	uint32_t drives_length, drives_addr;
	uint32_t config_table;
	uint32_t boot_loader_name;
	uint32_t apm_table;
	uint32_t video[11];
};

struct multiboot_module {
	uint32_t mod_start, mod_end; /* the end is one past the last byte */
	uint32_t cmdline;
	uint32_t reserved;
};

struct multiboot_mmap {
	uint32_t size; /* of what follows: 20 */
	uint64_t addr, len;
	uint32_t type;
} __attribute__((packed));
#endif

#endif
