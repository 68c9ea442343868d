/* Filling a new domain's RAM with its image and what the image is told: kernel/guest_build.c, and a
 * file for each kind of image, kernel/pvh_build.c and kernel/multiboot_build.c. */
#ifndef KEYHOLE_KERNEL_GUEST_BUILD_H
#define KEYHOLE_KERNEL_GUEST_BUILD_H

#include "domain.h"
#include "elf.h"

/* Registers at the entry of a guest. */
struct guest_entry {
	gpa_t entry;
	uint32_t eax;
	gpa_t info; /* EBX */
	gpa_t gdt;  /* three descriptors, below which there is room for a stack; 0: none */
};

/* The work on one guest. */
struct guest_build {
	struct domain *domain;
	const struct guest_module *modules; /* those of its configuration have been resolved */
	const struct guest_config *config;
	struct elf_file file;
	struct elf_image image;
	struct refusal *why;
};

int guest_build(struct domain *d, const struct guest_module *modules, uint32_t which,
		struct guest_entry *out, struct refusal *why) must_use;

int build_claim(struct guest_build *b, uint64_t start, uint64_t end) must_use;
void build_write(struct guest_build *b, uint64_t to, const void *from, size_t length);
uint64_t build_write_text(struct guest_build *b, uint64_t to, const char *text);
void build_write_acpi(struct guest_build *b, uint64_t to);
uint64_t build_low_end(const struct guest_build *b);
uint64_t build_place_modules(const struct guest_build *b, uint64_t start,
			     uint64_t places[GUEST_MODULES_MAX]);
void build_copy_modules(struct guest_build *b, const uint64_t places[GUEST_MODULES_MAX]);

static inline const struct guest_module *build_module(const struct guest_build *b, uint32_t m)
{
	return &b->modules[b->config->module_index[m]];
}

static inline size_t text_size(const char *text)
{
	return __builtin_strlen(text) + 1;
}

static inline uint64_t page_align(uint64_t address)
{
	return (address + PAGE_SIZE - 1) & PAGE_MASK;
}

int pvh_build(struct guest_build *b, struct guest_entry *out) must_use;

/* kernel/multiboot.c: 1 with *out set, 0 if the file has no header, or an error with a text. */
int multiboot_parse(const struct elf_file *file, bool is_elf, struct elf_image *out,
		    struct refusal *why) must_use;
/* kernel/multiboot_build.c */
int multiboot_build(struct guest_build *b, struct guest_entry *out) must_use;

#endif
