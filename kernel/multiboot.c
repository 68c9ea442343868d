/*
 * Reading the header of a multiboot image (version 1).
 *
 * Pure: no state, no lock. The file is somebody else's: every address in it is checked against the
 * file, its order and overflow, in a copy.
 *
 * Source: the Multiboot Specification 0.6.96, "OS image format", "The address fields of Multiboot
 * header".
 */
#include "public/multiboot.h"
#include "kernel/guest_build.h"

/* Of what a header can demand: RAM is told always, modules are always page aligned, and a video
 * mode is a wish: that there is none can be seen in the information. */
#define DEMANDS_KNOWN (MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY | MULTIBOOT_VIDEO)

#define CHUNK 256u /* bytes of the file looked at together */

/* The header's offset in the file, or the file's size if there is none. */
static uint64_t find_header(const struct elf_file *file)
{
	uint64_t end = file->size < MULTIBOOT_SEARCH ? file->size : MULTIBOOT_SEARCH;
	uint32_t words[CHUNK / 4];

	for (uint64_t start = 0; start < end; start += CHUNK) {
		size_t length = end - start < CHUNK ? (size_t)(end - start) : CHUNK;
		file->read(file, start, words, length);
		for (uint64_t w = 0; w < length / MULTIBOOT_HEADER_ALIGN; w++) {
			uint64_t at = start + w * MULTIBOOT_HEADER_ALIGN;
			uint32_t header[3];
			if (words[w] != MULTIBOOT_HEADER_MAGIC || end - at < MULTIBOOT_HEADER_SHORT)
				continue;
			file->read(file, at, header, sizeof(header));
			if (header[0] + header[1] + header[2] == 0)
				return at;
		}
	}
	return file->size;
}

/* What the addresses in the header at an offset of the file say is wrong with them; NULL if nothing
 * is: *out is then one segment. */
static const char *from_addresses(const struct elf_file *file, uint64_t at, struct elf_image *out)
{
	struct multiboot_header h;
	uint64_t length;

	if (file->size - at < sizeof(h))
		return "it is cut off";
	file->read(file, at, &h, sizeof(h));
	if (h.header_addr < h.load_addr || h.header_addr - h.load_addr > at)
		return "the load address is before the file";
	uint64_t offset = at - (h.header_addr - h.load_addr);
	if (h.load_end_addr && h.load_end_addr < h.load_addr)
		return "the load end is before the load address";
	length = h.load_end_addr ? h.load_end_addr - h.load_addr : file->size - offset;
	if (length > file->size - offset)
		return "the load end is behind the end of the file";
	if (h.bss_end_addr && h.bss_end_addr < h.load_addr + length)
		return "the bss end is before the load end";
	*out = (struct elf_image){
	    .entry = h.entry_addr,
	    .segment_count = 1,
	    .segments[0] = {.offset = offset,
			    .file_size = length,
			    .address = h.load_addr,
			    .memory_size = h.bss_end_addr ? h.bss_end_addr - h.load_addr : length},
	};
	out->start = h.load_addr;
	out->end = h.load_addr + out->segments[0].memory_size;
	return NULL;
}

/*
 * Looks for the header. 1: found, *out is what is to be loaded: that of the ELF file, if is_elf
 * says that *out holds one and the header has no addresses of its own. 0: none, nothing has
 * changed. -XEN_EINVAL with a text: it is there and broken.
 */
int multiboot_parse(const struct elf_file *file, bool is_elf, struct elf_image *out,
		    struct refusal *why)
{
	uint64_t at = find_header(file);
	uint32_t flags;
	const char *wrong = NULL;

	if (at == file->size)
		return 0;
	file->read(file, at + offsetof(struct multiboot_header, flags), &flags, sizeof(flags));
	if (flags & MULTIBOOT_DEMANDS & ~DEMANDS_KNOWN)
		return REFUSE(why, "its multiboot header demands what is not there: flags 0x%x",
			      flags);
	if (flags & MULTIBOOT_ADDRESSES)
		wrong = from_addresses(file, at, out);
	else if (!is_elf)
		wrong = "it has no addresses, and the file is not a valid ELF file";
	if (!wrong && !elf_entry_inside(out, out->entry))
		wrong = "the entry is outside what is loaded or above 4 GiB";
	if (wrong)
		return REFUSE(why, "multiboot header: %s", wrong);
	return 1;
}
