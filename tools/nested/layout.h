/*
 * Where things lie, on the boot disk and in low memory, while Linux (L0) is being loaded.
 * Shared by boot.S, loader.c and (which reads the lines `#define NAME number`) image.py.
 *
 *   sector 0          boot.S
 *   from sector 1     loader.c, LOADER_SECTORS long          -> LOADER_ADDR
 *   then 1 sector     the table of blocks (struct table)     -> behind the loader
 *   then CMDLINE_SECTORS  Linux's command line, ends in NUL  -> behind the table
 *   then              the blocks: segments of vmlinux, and the initramfs at INITRD_ADDR
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#define SECTOR_BYTES	512
#define LOADER_ADDR	0x8000
#define LOADER_SECTORS	8
#define CMDLINE_SECTORS 4
#define TABLE_MAGIC	0x4e657374
#define TABLE_BLOCKS	12
/* Above the kernel with room to spare; L0 has at least 512 MiB. */
#define INITRD_ADDR 0x8000000
/* Memory map of the BIOS: number of entries, and the entries of 24 bytes. */
#define E820_COUNT_ADDR 0x4ff0
#define E820_ADDR	0x5000
#define E820_MAX	64

#endif
