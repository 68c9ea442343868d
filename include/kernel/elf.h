/* ELF files of guests. kernel/elf.c. */
#ifndef KEYHOLE_KERNEL_ELF_H
#define KEYHOLE_KERNEL_ELF_H

#include "../types.h"
#include "refusal.h"

#define ELF_SEGMENTS_MAX 32u

/* Where the file comes from: reads length bytes at an offset; offset + length <= size is promised.
 */
struct elf_file {
	uint64_t size; /* bytes */
	void (*read)(const struct elf_file *file, uint64_t offset, void *to, size_t length);
	paddr_t where; /* for the reader's use */
	const void *memory;
};

/* A part to be loaded: file_size bytes of the file at address, then zeros up to memory_size. */
struct elf_segment {
	uint64_t offset, file_size;
	uint64_t address, memory_size; /* guest-physical */
};

struct elf_image {
	bool is_64bit;
	bool has_pvh_entry;
	uint64_t pvh_entry;  /* guest-physical, below 4 GiB, inside a segment */
	uint64_t entry;	     /* what the header says, guest-physical if a segment has it */
	uint64_t start, end; /* lowest address, and one past the highest */
	uint32_t segment_count;
	struct elf_segment segments[ELF_SEGMENTS_MAX];
};

int elf_parse(const struct elf_file *file, struct elf_image *out, struct refusal *why) must_use;
bool elf_entry_inside(const struct elf_image *image, uint64_t entry);

#endif
