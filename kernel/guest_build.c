/*
 * Filling a new domain's RAM: which kind of image its file is, loading it, and what the kinds have
 * in common.
 *
 * Files lie in boot modules, in physical memory that is mapped nowhere: headers are read through
 * the window, contents are copied from frame to frame. State: none. No lock; the domain does not
 * run yet. Boot CPU.
 */
#include "kernel/guest_build.h"
#include "kernel/acpi_build.h"
#include "mm/window.h"
#include "p2m.h"
#include "print.h"
#include "public/errno.h"

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
static int fill_ram(struct guest_build *b, uint64_t start, uint64_t size)
{
	struct p2m *p2m = &b->domain->p2m;

	for (uint64_t at = start & PAGE_MASK; p2m->fill && at < start + size; at += PAGE_SIZE)
		if (!p2m->fill(p2m, gpa_to_gfn(make_gpa(at))))
			return REFUSE_AS(b->why, -XEN_ENOMEM, "not enough memory for its file");
	return 0;
}

static size_t part_of_page(uint64_t address, uint64_t left)
{
	uint64_t room = PAGE_SIZE - (address & ~PAGE_MASK);

	return (size_t)(left < room ? left : room);
}

/* Writes to RAM that has been claimed: [to, to + length), guest-physical. */
void build_write(struct guest_build *b, uint64_t to, const void *from, size_t length)
{
	const char *p = from;

	while (length) {
		size_t part = part_of_page(to, length);
		window_write(ram_frame(b->domain, to), (uint32_t)(to & ~PAGE_MASK), p, part);
		to += part;
		p += part;
		length -= part;
	}
}

/* The same with a text and its zero byte; returns the address behind it. */
uint64_t build_write_text(struct guest_build *b, uint64_t to, const char *text)
{
	build_write(b, to, text, text_size(text));
	return to + text_size(text);
}

/* The same with the guest's ACPI tables: less than a page. */
void build_write_acpi(struct guest_build *b, uint64_t to)
{
	uint8_t tables[ACPI_TABLES_MAX] aligned_to(64);

	build_write(b, to, tables, acpi_tables_build(tables, to, b->domain->vcpu_count));
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
static int load_segments(struct guest_build *b)
{
	uint64_t ram_bytes = b->domain->ram_bytes;

	for (uint32_t i = 0; i < b->image.segment_count; i++) {
		const struct elf_segment *s = &b->image.segments[i];
		if (!is_ram(ram_bytes, s->address, s->memory_size))
			return REFUSE(b->why,
				      "it loads to 0x%lx..0x%lx, where it has no RAM; mem=%lu KiB",
				      s->address, s->address + s->memory_size, ram_bytes >> 10);
	}
	for (uint32_t i = 0; i < b->image.segment_count; i++) {
		const struct elf_segment *s = &b->image.segments[i];
		int rc = fill_ram(b, s->address, s->file_size);
		if (rc)
			return rc;
		copy_ram(b->domain, s->address, paddr_add(b->file.where, s->offset), s->file_size);
	}
	return 0;
}

/* The first page behind what the image has below 3 GiB: there is room for what it is told. */
uint64_t build_low_end(const struct guest_build *b)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < b->image.segment_count; i++) {
		const struct elf_segment *s = &b->image.segments[i];
		if (s->address < GUEST_HOLE_START && s->address + s->memory_size > end)
			end = s->address + s->memory_size;
	}
	return page_align(end);
}

/* Where the modules go, page aligned, from start on; returns the end of the last. */
uint64_t build_place_modules(const struct guest_build *b, uint64_t start,
			     uint64_t places[GUEST_MODULES_MAX])
{
	for (uint32_t m = 0; m < b->config->module_count; m++) {
		places[m] = page_align(start);
		start = places[m] + build_module(b, m)->size;
	}
	return start;
}

void build_copy_modules(struct guest_build *b, const uint64_t places[GUEST_MODULES_MAX])
{
	for (uint32_t m = 0; m < b->config->module_count; m++)
		copy_ram(b->domain, places[m], build_module(b, m)->start, build_module(b, m)->size);
}

/* Makes sure that [start, end) is RAM, with frames. -XEN_EINVAL, -XEN_ENOMEM with a text. */
int build_claim(struct guest_build *b, uint64_t start, uint64_t end)
{
	if (!is_ram(b->domain->ram_bytes, start, end - start))
		return REFUSE(b->why, "its file and modules need %lu KiB below 3 GiB; mem=%lu KiB",
			      page_align(end) >> 10, b->domain->ram_bytes >> 10);
	return fill_ram(b, start, end - start);
}

/* The kind of image: that of a PVH guest if it has the note, else multiboot. */
static int find_image(struct guest_build *b)
{
	int rc = elf_parse(&b->file, &b->image, b->why);

	if (!rc && b->image.has_pvh_entry)
		return 0;
	int found = multiboot_parse(&b->file, !rc, &b->image, b->why);
	if (found < 0)
		return found;
	if (!found && !rc)
		return REFUSE(b->why,
			      "neither a PVH entry (the ELF note Xen PHYS32_ENTRY) nor a header of "
			      "multiboot, version 1");
	return found ? 0 : rc;
}

/*
 * Fills the RAM of d, all zero so far, for modules[which]; *out is how it starts. -XEN_EINVAL,
 * -XEN_ENOMEM with a text: the file is not one that can be started, or there is not enough RAM for
 * it; the contents of RAM are then undefined.
 */
int guest_build(struct domain *d, const struct guest_module *modules, uint32_t which,
		struct guest_entry *out, struct refusal *why)
{
	const struct guest_config *config = &modules[which].config;
	const struct guest_module *source = &modules[config->image_module];
	struct guest_build b = {
	    .domain = d,
	    .modules = modules,
	    .config = config,
	    .file = {.size = source->size, .read = read_file, .where = source->start},
	    .why = why,
	};

	int rc = find_image(&b);
	if (!rc)
		rc = load_segments(&b);
	if (rc)
		return rc;
	return b.image.has_pvh_entry ? pvh_build(&b, out) : multiboot_build(&b, out);
}
