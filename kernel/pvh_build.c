/*
 * Filling a new domain's RAM: the ELF file, the modules, and the start information of a PVH guest.
 *
 *	0 ........ segments of the file, wherever they say
 *	behind the last of them, page aligned: start info, memory map, module list, command lines
 *	behind that, page aligned: the modules
 *
 * Files lie in boot modules, in physical memory that is mapped nowhere: headers are read through
 * the window, contents are copied from frame to frame. State: none. No lock; the domain does not
 * run yet. Boot CPU.
 *
 * Source: Xen, public/arch-x86/hvm/start_info.h and docs/misc/pvh.pandoc.
 */
#include "kernel/domain.h"
#include "kernel/elf.h"
#include "mm/window.h"
#include "p2m.h"
#include "print.h"
#include "public/errno.h"
#include "public/hvm/start_info.h"

static size_t text_size(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n + 1;
}

static uint64_t page_align(uint64_t a)
{
	return (a + PAGE_SIZE - 1) & PAGE_MASK;
}

/* True if [start, start + size) is RAM of a guest with so much of it. */
static bool is_ram(uint64_t ram_bytes, uint64_t start, uint64_t size)
{
	struct domain_range ranges[DOMAIN_RANGES_MAX];
	unsigned count = domain_ram_ranges(ram_bytes, ranges);

	for (unsigned r = 0; r < count; r++)
		if (start >= ranges[r].start && start - ranges[r].start <= ranges[r].size &&
		    size <= ranges[r].size - (start - ranges[r].start))
			return true;
	return false;
}

/* The frame behind an address that is_ram() has accepted. */
static mfn_t ram_frame(struct domain *d, uint64_t address)
{
	struct p2m_entry e;

	if (!p2m_lookup(&d->p2m, gpa_to_gfn(make_gpa(address)), &e) || e.type != P2M_RAM)
		panic("d%u: no RAM at 0x%lx while it is built", d->id, address);
	return e.frame;
}

/* RAM that gets its frames late gets those that are written now. -XEN_ENOMEM with a text. */
static int fill_ram(struct domain *d, uint64_t start, uint64_t size, char *error, size_t error_size)
{
	for (uint64_t at = start & PAGE_MASK; d->p2m.fill && at < start + size; at += PAGE_SIZE)
		if (!d->p2m.fill(&d->p2m, gpa_to_gfn(make_gpa(at)))) {
			format_string(error, error_size, "not enough memory for its file");
			return -XEN_ENOMEM;
		}
	return 0;
}

static size_t part_of_page(uint64_t address, uint64_t left)
{
	uint64_t room = PAGE_SIZE - (address & ~PAGE_MASK);

	return (size_t)(left < room ? left : room);
}

/* Writes to guest RAM that is_ram() has accepted. */
static void write_ram(struct domain *d, uint64_t to, const void *from, size_t length)
{
	const char *p = from;

	while (length) {
		size_t part = part_of_page(to, length);
		window_write(ram_frame(d, to), (uint32_t)(to & ~PAGE_MASK), p, part);
		to += part;
		p += part;
		length -= part;
	}
}

/* Copies from physical memory to guest RAM that is_ram() has accepted. */
static void copy_ram(struct domain *d, uint64_t to, paddr_t from, uint64_t length)
{
	while (length) {
		size_t part = part_of_page(to, length);
		part = part_of_page(paddr_raw(from), part);
		window_copy(ram_frame(d, to), (uint32_t)(to & ~PAGE_MASK), paddr_to_mfn(from),
			    paddr_offset(from), part);
		to += part;
		from = paddr_add(from, part);
		length -= part;
	}
}

static void read_file(const struct elf_file *file, uint64_t offset, void *to, size_t length)
{
	window_read_phys(to, paddr_add(file->where, offset), length);
}

/* Loads the segments; RAM is zero, so what is not in the file need not be written. */
static int load_segments(struct domain *d, const struct elf_file *file,
			 const struct elf_image *image, char *error, size_t error_size)
{
	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];
		if (!is_ram(d->ram_bytes, s->address, s->memory_size)) {
			format_string(error, error_size,
				      "it loads to 0x%lx..0x%lx, where it has no RAM; mem=%lu KiB",
				      s->address, s->address + s->memory_size, d->ram_bytes >> 10);
			return -XEN_EINVAL;
		}
	}
	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];
		int rc = fill_ram(d, s->address, s->file_size, error, error_size);
		if (rc)
			return rc;
		copy_ram(d, s->address, paddr_add(file->where, s->offset), s->file_size);
	}
	return 0;
}

/* Where each piece of the start information goes: guest-physical addresses, 0 for none. */
struct places {
	uint64_t info, memmap, modlist, cmdline;
	uint64_t module_cmdlines[GUEST_MODULES_MAX], modules[GUEST_MODULES_MAX];
	uint64_t end;
};

static void lay_out(const struct guest_module *modules, const struct guest_config *config,
		    unsigned range_count, uint64_t start, struct places *p)
{
	uint64_t at = page_align(start);

	p->info = at;
	at += sizeof(struct hvm_start_info);
	p->memmap = at;
	at += range_count * sizeof(struct hvm_memmap_table_entry);
	p->modlist = config->module_count ? at : 0;
	at += config->module_count * sizeof(struct hvm_modlist_entry);
	p->cmdline = at;
	at += text_size(config->cmdline);
	for (uint32_t m = 0; m < config->module_count; m++) {
		p->module_cmdlines[m] = at;
		at += text_size(modules[config->module_index[m]].config.cmdline);
	}
	for (uint32_t m = 0; m < config->module_count; m++) {
		at = page_align(at);
		p->modules[m] = at;
		at += modules[config->module_index[m]].size;
	}
	p->end = at;
}

static void write_start_info(struct domain *d, const struct guest_module *modules,
			     const struct guest_config *config, const struct places *p)
{
	struct domain_range ranges[DOMAIN_RANGES_MAX];
	unsigned range_count = domain_ram_ranges(d->ram_bytes, ranges);
	struct hvm_start_info info = {
	    .magic = XEN_HVM_START_MAGIC_VALUE,
	    .version = XEN_HVM_START_VERSION,
	    .nr_modules = config->module_count,
	    .modlist_paddr = p->modlist,
	    .cmdline_paddr = p->cmdline,
	    .memmap_paddr = p->memmap,
	    .memmap_entries = range_count,
	};

	write_ram(d, p->info, &info, sizeof(info));
	for (unsigned r = 0; r < range_count; r++) {
		struct hvm_memmap_table_entry entry = {
		    .addr = ranges[r].start,
		    .size = ranges[r].size,
		    .type = XEN_HVM_MEMMAP_TYPE_RAM,
		};
		write_ram(d, p->memmap + r * sizeof(entry), &entry, sizeof(entry));
	}
	write_ram(d, p->cmdline, config->cmdline, text_size(config->cmdline));
	for (uint32_t m = 0; m < config->module_count; m++) {
		const struct guest_module *module = &modules[config->module_index[m]];
		struct hvm_modlist_entry entry = {
		    .paddr = p->modules[m],
		    .size = module->size,
		    .cmdline_paddr = p->module_cmdlines[m],
		};
		write_ram(d, p->modlist + m * sizeof(entry), &entry, sizeof(entry));
		write_ram(d, p->module_cmdlines[m], module->config.cmdline,
			  text_size(module->config.cmdline));
		copy_ram(d, p->modules[m], module->start, module->size);
	}
}

/*
 * Fills the RAM of d, all zero so far, for modules[which]. -XEN_EINVAL with a text: the file is not
 * one that can be started, or there is not enough RAM for it; the contents of RAM are then
 * undefined.
 */
int pvh_build(struct domain *d, const struct guest_module *modules, uint32_t which,
	      struct pvh_place *out, char *error, size_t error_size)
{
	const struct guest_config *config = &modules[which].config;
	const struct guest_module *source = &modules[config->image_module];
	struct elf_file file = {.size = source->size, .read = read_file, .where = source->start};
	struct domain_range ranges[DOMAIN_RANGES_MAX];
	unsigned range_count = domain_ram_ranges(d->ram_bytes, ranges);
	struct elf_image image;
	struct places places;
	uint64_t low_end = 0;

	int rc = elf_parse(&file, &image, error, error_size);
	if (!rc)
		rc = load_segments(d, &file, &image, error, error_size);
	if (rc)
		return rc;
	/* The start information lies below 4 GiB: the guest begins in 32-bit mode. */
	for (uint32_t i = 0; i < image.segment_count; i++) {
		const struct elf_segment *s = &image.segments[i];
		if (s->address < ranges[0].size && s->address + s->memory_size > low_end)
			low_end = s->address + s->memory_size;
	}
	lay_out(modules, config, range_count, low_end, &places);
	if (!is_ram(d->ram_bytes, places.info, places.end - places.info)) {
		format_string(error, error_size,
			      "its file and modules need %lu KiB below 3 GiB; mem=%lu KiB",
			      page_align(places.end) >> 10, d->ram_bytes >> 10);
		return -XEN_EINVAL;
	}
	rc = fill_ram(d, places.info, places.end - places.info, error, error_size);
	if (rc)
		return rc;
	write_start_info(d, modules, config, &places);
	out->entry = make_gpa(image.pvh_entry);
	out->start_info = make_gpa(places.info);
	return 0;
}
