/*
 * What a multiboot guest is told, in its RAM:
 *
 *	below 0x9000: descriptors of its segments, and below them a stack
 *	0x9000, or behind the image if it lies there: information, memory map, modules, texts
 *	behind the image, from 1 MiB on, page aligned: the modules
 *	0x400 and 0xf0000: what a PC's BIOS leaves of itself
 *
 * State: none. No lock; the domain does not run yet. Boot CPU.
 *
 * Kernels written for QEMU's -kernel take all RAM behind their image for free from the start, and
 * low memory only for the code that starts further processors: so the information lies where it
 * lies there, and like there the command line begins with the program's name, and mods_addr points
 * to a list even if it is empty.
 *
 * A kernel without PVH's start information looks for tables where a BIOS has them, and begins with
 *what the BIOS data area says of low memory. An image that lies there has none.
 *
 * Source: the Multiboot Specification 0.6.96, "Boot information format"; QEMU, hw/i386/multiboot.c
 * for where it puts things.
 */
#include "kernel/acpi_build.h"
#include "kernel/guest_build.h"
#include "public/multiboot.h"

#define INFO_ADDRESS 0x9000u
#define GDT_ADDRESS  (INFO_ADDRESS - sizeof(gdt))
#define LOW_RAM_END  0xa0000u /* from here to 1 MiB is what a PC has its BIOS and screen for */
#define HIGH_RAM     0x100000u
#define MMAP_MAX     (DOMAIN_RANGES_MAX + 2u)
#define LOADER_NAME  "Keyhole"

#define BDA		0x400u /* the BIOS data area */
#define BDA_END		0x500u
#define BDA_LOW_RAM_KIB 0x413u /* 16 bits */
#define BIOS_ACPI                                                                      \
	0xf0000u /* the RSDP is looked for from 0xe0000 on, the MP tables from here on \
		  */
#define BIOS_MP	 (BIOS_ACPI + ACPI_TABLES_MAX)
#define BIOS_END (BIOS_MP + MP_TABLES_MAX)

/* As it was entered by them: flat, 32-bit code and data. SDM Vol. 3, "Segment Descriptors". */
static const uint64_t gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff};

struct places {
	uint64_t info, mmap, mods, texts, end;
	uint64_t modules[GUEST_MODULES_MAX];
	uint64_t modules_end;
};

/* "name cmdline": the size of it and its zero byte. */
static size_t line_size(const struct guest_config *c)
{
	return text_size(c->name) + text_size(c->cmdline);
}

/* Writes it; returns the address behind. */
static uint64_t write_line(struct guest_build *b, uint64_t to, const struct guest_config *c)
{
	uint64_t end = build_write_text(b, to, c->name);

	if (!c->cmdline[0])
		return end;
	build_write(b, end - 1, " ", 1);
	return build_write_text(b, end, c->cmdline);
}

static bool image_touches(const struct guest_build *b, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < b->image.segment_count; i++) {
		const struct elf_segment *s = &b->image.segments[i];
		if (s->address < end && s->address + s->memory_size > start)
			return true;
	}
	return false;
}

static void lay_out(const struct guest_build *b, unsigned mmap_count, struct places *p)
{
	uint64_t mmap_size = mmap_count * sizeof(struct multiboot_mmap);
	uint64_t mods_size = b->config->module_count * sizeof(struct multiboot_module);
	uint64_t texts_size = sizeof(LOADER_NAME) + line_size(b->config);
	uint64_t behind = build_low_end(b) > HIGH_RAM ? build_low_end(b) : HIGH_RAM;

	for (uint32_t m = 0; m < b->config->module_count; m++)
		texts_size += line_size(&build_module(b, m)->config);
	uint64_t size = sizeof(struct multiboot_info) + mmap_size + mods_size + texts_size;
	p->info = INFO_ADDRESS;
	if (image_touches(b, INFO_ADDRESS, INFO_ADDRESS + size)) {
		p->info = behind;
		behind += size;
	}
	p->mmap = p->info + sizeof(struct multiboot_info);
	p->mods = p->mmap + mmap_size;
	p->texts = p->mods + mods_size;
	p->end = p->texts + texts_size;
	p->modules_end = build_place_modules(b, behind, p->modules);
}

/* As a PC has it: the RAM below 3 GiB is in two parts. Returns the number of entries. */
static unsigned memory_map(uint64_t ram_bytes, struct multiboot_mmap map[MMAP_MAX])
{
	struct domain_range ranges[DOMAIN_RANGES_MAX];
	unsigned range_count = domain_ram_ranges(ram_bytes, ranges), count = 0;

	map[count++] =
	    (struct multiboot_mmap){.len = LOW_RAM_END, .type = MULTIBOOT_MEMORY_AVAILABLE};
	map[count++] = (struct multiboot_mmap){
	    .addr = LOW_RAM_END, .len = HIGH_RAM - LOW_RAM_END, .type = MULTIBOOT_MEMORY_RESERVED};
	ranges[0].start = HIGH_RAM;
	ranges[0].size -= HIGH_RAM;
	for (unsigned r = 0; r < range_count; r++)
		if (ranges[r].size)
			map[count++] = (struct multiboot_mmap){.addr = ranges[r].start,
							       .len = ranges[r].size,
							       .type = MULTIBOOT_MEMORY_AVAILABLE};
	for (unsigned i = 0; i < count; i++)
		map[i].size = sizeof(map[i]) - sizeof(map[i].size);
	return count;
}

static void write_modules(struct guest_build *b, const struct places *p, uint64_t text)
{
	for (uint32_t m = 0; m < b->config->module_count; m++) {
		const struct guest_module *module = build_module(b, m);
		struct multiboot_module entry = {
		    .mod_start = (uint32_t)p->modules[m],
		    .mod_end = (uint32_t)(p->modules[m] + module->size),
		    .cmdline = (uint32_t)text,
		};
		build_write(b, p->mods + m * sizeof(entry), &entry, sizeof(entry));
		text = write_line(b, text, &module->config);
	}
	build_copy_modules(b, p->modules);
}

/* What the specification leaves to the kernel, and kernels find with other loaders: a valid GDT,
 * and some stack. Errors as build_claim(). */
static int write_gdt(struct guest_build *b, gpa_t *out)
{
	*out = make_gpa(0);
	if (image_touches(b, BDA_END, INFO_ADDRESS))
		return 0;
	int rc = build_claim(b, GDT_ADDRESS, INFO_ADDRESS);
	if (rc)
		return rc;
	build_write(b, GDT_ADDRESS, gdt, sizeof(gdt));
	*out = make_gpa(GDT_ADDRESS);
	return 0;
}

/* Errors as build_claim(). */
static int write_bios_tables(struct guest_build *b)
{
	uint8_t tables[MP_TABLES_MAX] aligned_to(64);
	uint16_t low_kib = LOW_RAM_END >> 10;
	int rc = 0;

	if (!image_touches(b, BDA, BDA_END) && !(rc = build_claim(b, BDA, BDA_END)))
		build_write(b, BDA_LOW_RAM_KIB, &low_kib, sizeof(low_kib));
	if (!rc && !image_touches(b, BIOS_ACPI, BIOS_END) &&
	    !(rc = build_claim(b, BIOS_ACPI, BIOS_END))) {
		build_write_acpi(b, BIOS_ACPI);
		build_write(b, BIOS_MP, tables,
			    mp_tables_build(tables, BIOS_MP, b->domain->vcpu_count));
	}
	return rc;
}

/* Tells a multiboot guest, whose image has been loaded, what it has. Errors as guest_build(). */
int multiboot_build(struct guest_build *b, struct guest_entry *out)
{
	struct domain_range ranges[DOMAIN_RANGES_MAX];
	struct multiboot_mmap map[MMAP_MAX];
	unsigned count = memory_map(b->domain->ram_bytes, map);
	struct places p;

	lay_out(b, count, &p);
	int rc = build_claim(b, p.info, p.end);
	if (!rc && b->config->module_count)
		rc = build_claim(b, p.modules[0], p.modules_end);
	if (!rc)
		rc = write_bios_tables(b);
	if (!rc)
		rc = write_gdt(b, &out->gdt);
	if (rc)
		return rc;
	domain_ram_ranges(b->domain->ram_bytes, ranges);
	struct multiboot_info info = {
	    .flags = MULTIBOOT_INFO_MEMORY | MULTIBOOT_INFO_CMDLINE | MULTIBOOT_INFO_MODULES |
		     MULTIBOOT_INFO_MEMORY_MAP | MULTIBOOT_INFO_LOADER_NAME,
	    .mem_lower = LOW_RAM_END >> 10,
	    .mem_upper = (uint32_t)((ranges[0].size - HIGH_RAM) >> 10),
	    .mods_count = b->config->module_count,
	    .mods_addr = (uint32_t)p.mods,
	    .mmap_length = count * (uint32_t)sizeof(map[0]),
	    .mmap_addr = (uint32_t)p.mmap,
	    .boot_loader_name = (uint32_t)p.texts,
	};
	uint64_t text = build_write_text(b, p.texts, LOADER_NAME);
	info.cmdline = (uint32_t)text;
	text = write_line(b, text, b->config);
	build_write(b, p.info, &info, sizeof(info));
	build_write(b, p.mmap, map, info.mmap_length);
	write_modules(b, &p, text);
	out->entry = make_gpa(b->image.entry);
	out->eax = MULTIBOOT_BOOTLOADER_MAGIC;
	out->info = make_gpa(p.info);
	return 0;
}
