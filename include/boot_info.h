/*
 * What the loader tells, copied out of its own memory once through the map window
 * (boot/boot_info.c). Owner: the boot CPU; constant after boot, but for the modules' command lines,
 * which are wiped once the guests are built.
 */
#ifndef KEYHOLE_BOOT_INFO_H
#define KEYHOLE_BOOT_INFO_H

#include "types.h"

#define BOOT_RANGES_MAX	 128
#define BOOT_MODULES_MAX 64
#define BOOT_CMDLINE_MAX 1024

struct boot_range {
	paddr_t start, end; /* bytes; end is one past */
	bool usable;	    /* RAM that is free for us, but for the reserved ranges */
};

struct boot_module {
	paddr_t start, end;
	char cmdline[BOOT_CMDLINE_MAX];
};

struct boot_info {
	char cmdline[BOOT_CMDLINE_MAX];
	char loader[64];
	uint32_t range_count;
	struct boot_range ranges[BOOT_RANGES_MAX];
	uint32_t module_count;
	struct boot_module modules[BOOT_MODULES_MAX];
	paddr_t info_start, info_end; /* the loader's own structure */
	uint8_t rsdp[36];	      /* copy of the ACPI root pointer; rsdp_length 0: none */
	uint32_t rsdp_length;
	bool efi;      /* started by UEFI */
	bool vga_text; /* the screen is in 80x25 text mode at 0xb8000 */
};

extern struct boot_info boot_info;

/* Reads the multiboot2 information at a physical address; panics with the reason if it makes no
 * sense. Boot CPU only, once; the window must work. */
void boot_info_read(paddr_t where);

#endif
