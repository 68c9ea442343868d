/*
 * Reads the loader's information: multiboot2 tags, copied once through the map window into
 * boot_info.
 *
 * State: boot_info, written here on the boot CPU only. Source: "Multiboot2 Specification
 * version 2.0", "Boot information format". Sizes in tags are checked: a loader that lies gets a
 * panic, not an overrun.
 */
#include "boot_info.h"
#include "mm/window.h"
#include "print.h"

struct boot_info boot_info;

enum tag_type {
	TAG_END = 0,
	TAG_CMDLINE = 1,
	TAG_LOADER_NAME = 2,
	TAG_MODULE = 3,
	TAG_MEMORY_MAP = 6,
	TAG_FRAMEBUFFER = 8,
	TAG_EFI32 = 11,
	TAG_EFI64 = 12,
	TAG_RSDP_V1 = 14,
	TAG_RSDP_V2 = 15,
};

struct info_header {
	uint32_t total_size, reserved;
};
struct tag {
	uint32_t type, size;
};
struct tag_module {
	uint32_t start, end;
};
struct tag_memory_map {
	uint32_t entry_size, entry_version;
};
struct memory_entry {
	uint64_t address, length;
	uint32_t type, reserved;
};
struct tag_framebuffer {
	uint64_t address;
	uint32_t pitch, width, height;
	uint8_t bits_per_pixel, type, reserved[2];
};

#define MEMORY_AVAILABLE     1
#define FRAMEBUFFER_EGA_TEXT 2
#define VGA_TEXT_ADDRESS     0xb8000
#define INFO_SIZE_MAX	     (1u << 20)

static void read_string(char *to, size_t size, paddr_t from, uint32_t length, const char *what)
{
	if (length > size)
		panic("%s is longer than %zu characters: shorten it in grub.cfg", what, size - 1);
	window_read_phys(to, from, length);
	to[size - 1] = 0;
	if (length < size)
		to[length] = 0;
}

static void read_module(paddr_t body, uint32_t length)
{
	struct tag_module module;

	if (boot_info.module_count == BOOT_MODULES_MAX)
		panic("more than %d boot modules", BOOT_MODULES_MAX);
	if (length < sizeof(module))
		panic("multiboot2 module tag of %u bytes", length);
	window_read_phys(&module, body, sizeof(module));
	if (module.end < module.start)
		panic("boot module %u ends before it begins", boot_info.module_count);
	struct boot_module *m = &boot_info.modules[boot_info.module_count++];
	m->start = make_paddr(module.start);
	m->end = make_paddr(module.end);
	read_string(m->cmdline, sizeof(m->cmdline), paddr_add(body, sizeof(module)),
		    length - (uint32_t)sizeof(module), "a module's command line");
}

static void read_memory_map(paddr_t body, uint32_t length)
{
	struct tag_memory_map map;

	if (length < sizeof(map))
		panic("multiboot2 memory map of %u bytes", length);
	window_read_phys(&map, body, sizeof(map));
	if (map.entry_size < sizeof(struct memory_entry))
		panic("multiboot2 memory map with entries of %u bytes", map.entry_size);
	for (uint32_t at = sizeof(map); at + map.entry_size <= length; at += map.entry_size) {
		struct memory_entry e;

		window_read_phys(&e, paddr_add(body, at), sizeof(e));
		if (boot_info.range_count == BOOT_RANGES_MAX) {
			print(LOG_WARN, "memory map has more than %d ranges: the rest is not used",
			      BOOT_RANGES_MAX);
			return;
		}
		if (e.address + e.length < e.address)
			continue;
		boot_info.ranges[boot_info.range_count++] =
		    (struct boot_range){make_paddr(e.address), make_paddr(e.address + e.length),
					e.type == MEMORY_AVAILABLE};
	}
}

static void read_framebuffer(paddr_t body, uint32_t length)
{
	struct tag_framebuffer fb;

	if (length < sizeof(fb))
		return;
	window_read_phys(&fb, body, sizeof(fb));
	boot_info.vga_text = fb.type == FRAMEBUFFER_EGA_TEXT && fb.address == VGA_TEXT_ADDRESS;
}

static void read_rsdp(paddr_t body, uint32_t length)
{
	/* A copy of the newer form replaces one of the older. */
	if (length > sizeof(boot_info.rsdp))
		length = sizeof(boot_info.rsdp);
	if (length < boot_info.rsdp_length)
		return;
	window_read_phys(boot_info.rsdp, body, length);
	boot_info.rsdp_length = length;
}

void boot_info_read(paddr_t where)
{
	struct info_header header;

	window_read_phys(&header, where, sizeof(header));
	if (header.total_size < sizeof(header) || header.total_size > INFO_SIZE_MAX)
		panic("the loader's information has an impossible size of %u bytes",
		      header.total_size);
	boot_info.info_start = where;
	boot_info.info_end = paddr_add(where, header.total_size);

	for (uint32_t at = sizeof(header); at + sizeof(struct tag) <= header.total_size;) {
		struct tag tag;

		window_read_phys(&tag, paddr_add(where, at), sizeof(tag));
		if (tag.type == TAG_END)
			return;
		if (tag.size < sizeof(tag) || tag.size > header.total_size - at)
			panic("multiboot2 tag %u with an impossible size of %u bytes", tag.type,
			      tag.size);
		paddr_t body = paddr_add(where, at + sizeof(tag));
		uint32_t length = tag.size - (uint32_t)sizeof(tag);

		switch (tag.type) {
		case TAG_CMDLINE:
			read_string(boot_info.cmdline, sizeof(boot_info.cmdline), body, length,
				    "the hypervisor's command line");
			break;
		case TAG_LOADER_NAME:
			if (length < sizeof(boot_info.loader))
				read_string(boot_info.loader, sizeof(boot_info.loader), body,
					    length, "the loader's name");
			break;
		case TAG_MODULE:
			read_module(body, length);
			break;
		case TAG_MEMORY_MAP:
			read_memory_map(body, length);
			break;
		case TAG_FRAMEBUFFER:
			read_framebuffer(body, length);
			break;
		case TAG_RSDP_V1:
		case TAG_RSDP_V2:
			read_rsdp(body, length);
			break;
		case TAG_EFI32:
		case TAG_EFI64:
			boot_info.efi = true;
			break;
		}
		at += (tag.size + 7) & ~7u;
	}
	panic("the loader's information has no end tag");
}
