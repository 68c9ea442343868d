/*
 * Reading a guest's ELF file, 32- or 64-bit: what is to be loaded where, and its entries.
 *
 * Pure: no state, no lock, so ready for any number of CPUs. A file is somebody else's: every offset
 * and size is checked against the file and against overflow, and all is copied before it is looked
 * at.
 *
 * Notes are looked for in the file, not in what is loaded: a PT_NOTE may have neither an address
 * nor a size in memory.
 *
 * Sources: System V ABI, "Object Files" and "Program Loading"; Xen, public/elfnote.h.
 */
#include "kernel/elf.h"
#include "public/elfnote.h"

#define ELF_CLASS_32	    1
#define ELF_CLASS_64	    2
#define ELF_DATA_LITTLE	    1
#define ELF_VERSION	    1
#define ELF_TYPE_EXECUTABLE 2
#define ELF_TYPE_SHARED	    3
#define ELF_MACHINE_386	    3
#define ELF_MACHINE_X86_64  62
#define ELF_PT_LOAD	    1
#define ELF_PT_NOTE	    4
#define ELF_SHT_NOTE	    7

#define ELF_HEADER_MAX	       64u
#define ELF_PROGRAM_HEADER_MAX 56u
#define ELF_PROGRAM_HEADERS    128u /* at most */
#define ELF_SECTION_HEADER_MAX 64u
#define ELF_NOTES_MAX	       4096u /* notes looked at in all: bounds the work */

/* Of a header's member, offset and size in bytes: in a 32-bit file, in a 64-bit file. */
struct member {
	uint8_t offset[2], size[2];
};
/* ELF header */
static const struct member e_type = {{16, 16}, {2, 2}};
static const struct member e_machine = {{18, 18}, {2, 2}};
static const struct member e_version = {{20, 20}, {4, 4}};
static const struct member e_entry = {{24, 24}, {4, 8}};
static const struct member e_phoff = {{28, 32}, {4, 8}};
static const struct member e_phentsize = {{42, 54}, {2, 2}};
static const struct member e_phnum = {{44, 56}, {2, 2}};
static const struct member e_shoff = {{32, 40}, {4, 8}};
static const struct member e_shentsize = {{46, 58}, {2, 2}};
static const struct member e_shnum = {{48, 60}, {2, 2}};
/* program header */
static const struct member p_type = {{0, 0}, {4, 4}};
static const struct member p_offset = {{4, 8}, {4, 8}};
static const struct member p_vaddr = {{8, 16}, {4, 8}};
static const struct member p_paddr = {{12, 24}, {4, 8}};
static const struct member p_filesz = {{16, 32}, {4, 8}};
static const struct member p_memsz = {{20, 40}, {4, 8}};
static const struct member p_align = {{28, 48}, {4, 8}};
/* section header */
static const struct member sh_type = {{4, 4}, {4, 4}};
static const struct member sh_offset = {{16, 24}, {4, 8}};
static const struct member sh_size = {{20, 32}, {4, 8}};
static const struct member sh_addralign = {{32, 48}, {4, 8}};
/* Whole headers. */
static const uint8_t header_size[2] = {52, 64};
static const uint8_t program_header_size[2] = {32, 56};
static const uint8_t section_header_size[2] = {40, 64};

/* is_64: of a 64-bit file. */
static uint64_t get(const uint8_t *header, bool is_64, struct member m)
{
	uint64_t value = 0;

	__builtin_memcpy(&value, header + m.offset[is_64], m.size[is_64]);
	return value;
}

/* offset + length lies within size, without wrapping. */
static bool within(uint64_t offset, uint64_t length, uint64_t size)
{
	return offset <= size && length <= size - offset;
}

/*
 * Looks for the PVH entry in length bytes of notes at an offset of the file. 1: found, *entry set;
 * 0: not there; -XEN_EINVAL with a text. *budget counts down the notes that may still be looked at.
 */
static int find_entry(const struct elf_file *file, uint64_t offset, uint64_t length, uint64_t align,
		      unsigned *budget, uint64_t *entry, struct refusal *why)
{
	uint64_t at = 0;
	uint64_t mask = align == 8 ? 7 : 3;

	while (length - at >= 12) {
		struct {
			uint32_t name_size, desc_size, type;
		} note;
		char name[4];

		if (!*budget)
			return REFUSE(why, "more than %u notes", ELF_NOTES_MAX);
		--*budget;
		file->read(file, offset + at, &note, sizeof(note));
		uint64_t name_at = at + sizeof(note);
		/* 32-bit sizes in 64-bit sums: nothing wraps. */
		uint64_t desc_at = (name_at + note.name_size + mask) & ~mask;
		if (!within(desc_at, note.desc_size, length)) {
			/* A last note without the padding behind its name, and no description. */
			if (!note.desc_size && within(name_at, note.name_size, length))
				return 0;
			return REFUSE(why, "a note reaches beyond its segment");
		}
		at = (desc_at + note.desc_size + mask) & ~mask;
		if (note.name_size == sizeof(name) && note.type == XEN_ELFNOTE_PHYS32_ENTRY) {
			file->read(file, offset + name_at, name, sizeof(name));
			if (__builtin_memcmp(name, XEN_ELFNOTE_NAME, sizeof(name)) == 0) {
				if (note.desc_size != 4 && note.desc_size != 8)
					return REFUSE(
					    why, "the PHYS32_ENTRY note has %u bytes, not 4 or 8",
					    note.desc_size);
				*entry = 0;
				file->read(file, offset + desc_at, entry, note.desc_size);
				return 1;
			}
		}
		if (at > length)
			break;
	}
	return 0;
}

/*
 * For a file whose program headers lead to no entry: in the notes that are sections, where Xen's
 * loader looks then. Sections are not what a file is loaded by, so nonsense there is passed over.
 */
static void find_in_sections(const struct elf_file *file, bool is_64, const uint8_t *header,
			     unsigned *budget, struct elf_image *out)
{
	uint64_t at = get(header, is_64, e_shoff), left = get(header, is_64, e_shnum);
	struct refusal ignored;

	if (get(header, is_64, e_shentsize) != section_header_size[is_64])
		return;
	for (; left && !out->has_pvh_entry && within(at, section_header_size[is_64], file->size);
	     left--, at += section_header_size[is_64]) {
		uint8_t sh[ELF_SECTION_HEADER_MAX];
		file->read(file, at, sh, section_header_size[is_64]);
		uint64_t offset = get(sh, is_64, sh_offset), length = get(sh, is_64, sh_size);
		if (get(sh, is_64, sh_type) == ELF_SHT_NOTE && within(offset, length, file->size))
			out->has_pvh_entry =
			    find_entry(file, offset, length, get(sh, is_64, sh_addralign), budget,
				       &out->pvh_entry, &ignored) > 0;
	}
}

static int add_segment(bool is_64, const uint8_t *ph, uint64_t file_size, struct elf_image *out,
		       struct refusal *why)
{
	struct elf_segment s = {
	    .offset = get(ph, is_64, p_offset),
	    .file_size = get(ph, is_64, p_filesz),
	    .address = get(ph, is_64, p_paddr),
	    .memory_size = get(ph, is_64, p_memsz),
	};
	uint64_t end;

	if (!s.memory_size && !s.file_size)
		return 0;
	if (s.file_size > s.memory_size)
		return REFUSE(why, "a segment is larger in the file than in memory");
	if (!within(s.offset, s.file_size, file_size))
		return REFUSE(why, "a segment reaches beyond the end of the file");
	if (__builtin_add_overflow(s.address, s.memory_size, &end))
		return REFUSE(why, "a segment wraps around the address space");
	for (uint32_t i = 0; i < out->segment_count; i++) {
		const struct elf_segment *o = &out->segments[i];
		if (s.address < o->address + o->memory_size && o->address < end)
			return REFUSE(why, "two segments overlap in memory");
	}
	if (out->segment_count == ELF_SEGMENTS_MAX)
		return REFUSE(why, "more than %u segments to load", ELF_SEGMENTS_MAX);
	if (!out->segment_count || s.address < out->start)
		out->start = s.address;
	if (end > out->end)
		out->end = end;
	out->segments[out->segment_count++] = s;
	return 0;
}

static int check_header(const struct elf_file *file, bool *class_64, uint8_t header[ELF_HEADER_MAX],
			struct refusal *why)
{
	static const uint8_t magic[4] = {0x7f, 'E', 'L', 'F'};

	if (file->size < header_size[0])
		return REFUSE(why, "not an ELF file: too short");
	file->read(file, 0, header, header_size[0]);
	if (__builtin_memcmp(header, magic, sizeof(magic)) != 0)
		return REFUSE(why, "not an ELF file (Linux: the vmlinux inside a bzImage is one)");
	if (header[4] != ELF_CLASS_32 && header[4] != ELF_CLASS_64)
		return REFUSE(why, "ELF class is neither 32- nor 64-bit");
	if (header[5] != ELF_DATA_LITTLE)
		return REFUSE(why, "ELF file is not little-endian");
	if (header[6] != ELF_VERSION)
		return REFUSE(why, "unknown ELF version");
	bool is_64 = header[4] == ELF_CLASS_64;
	if (file->size < header_size[is_64])
		return REFUSE(why, "ELF header reaches beyond the end of the file");
	file->read(file, 0, header, header_size[is_64]);
	/* Either one in either class: kernels with 64-bit code in files for 32-bit loaders are
	 * common. */
	uint64_t machine = get(header, is_64, e_machine);
	uint64_t type = get(header, is_64, e_type);
	if (type != ELF_TYPE_EXECUTABLE && type != ELF_TYPE_SHARED)
		return REFUSE(why, "ELF file is not an executable");
	if (machine != ELF_MACHINE_386 && machine != ELF_MACHINE_X86_64)
		return REFUSE(why, "ELF file is not for x86");
	if (get(header, is_64, e_version) != ELF_VERSION)
		return REFUSE(why, "unknown ELF version");
	if (get(header, is_64, e_phentsize) != program_header_size[is_64])
		return REFUSE(why, "ELF program headers have an unknown size");
	if (!get(header, is_64, e_phnum))
		return REFUSE(why, "ELF file has no program headers");
	if (get(header, is_64, e_phnum) > ELF_PROGRAM_HEADERS)
		return REFUSE(why, "ELF file has too many program headers");
	if (!within(get(header, is_64, e_phoff),
		    get(header, is_64, e_phnum) * program_header_size[is_64], file->size))
		return REFUSE(why, "ELF program headers reach beyond the end of the file");
	*class_64 = is_64;
	return 0;
}

/* True if a guest can start there, in 32-bit mode. */
bool elf_entry_inside(const struct elf_image *image, uint64_t entry)
{
	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segments[i];
		if (entry <= UINT32_MAX && entry >= s->address &&
		    entry - s->address < s->memory_size)
			return true;
	}
	return false;
}

/*
 * Parses a file, with or without the note of a PVH guest. Errors: -XEN_EINVAL with a text that
 * names the rule broken; *out is then not valid.
 */
int elf_parse(const struct elf_file *file, struct elf_image *out, struct refusal *why)
{
	uint8_t header[ELF_HEADER_MAX];
	unsigned budget = ELF_NOTES_MAX;
	bool is_64;
	int rc;

	__builtin_memset(out, 0, sizeof(*out));
	rc = check_header(file, &is_64, header, why);
	if (rc)
		return rc;
	out->is_64bit = is_64;
	out->entry = get(header, is_64, e_entry);
	for (uint64_t i = 0; i < get(header, is_64, e_phnum); i++) {
		uint8_t ph[ELF_PROGRAM_HEADER_MAX];
		file->read(file, get(header, is_64, e_phoff) + i * program_header_size[is_64], ph,
			   program_header_size[is_64]);
		uint64_t type = get(ph, is_64, p_type);
		if (type == ELF_PT_LOAD) {
			rc = add_segment(is_64, ph, file->size, out, why);
			if (rc)
				return rc;
			/* The entry is a virtual address; where it is none, the two are the same.
			 */
			uint64_t into = get(header, is_64, e_entry) - get(ph, is_64, p_vaddr);
			if (into < get(ph, is_64, p_memsz))
				out->entry = get(ph, is_64, p_paddr) + into;
		} else if (type == ELF_PT_NOTE && !out->has_pvh_entry) {
			uint64_t offset = get(ph, is_64, p_offset),
				 length = get(ph, is_64, p_filesz);
			if (!within(offset, length, file->size))
				return REFUSE(why, "the notes reach beyond the end of the file");
			rc = find_entry(file, offset, length, get(ph, is_64, p_align), &budget,
					&out->pvh_entry, why);
			if (rc < 0)
				return rc;
			out->has_pvh_entry = rc > 0;
		}
	}
	if (!out->has_pvh_entry)
		find_in_sections(file, is_64, header, &budget, out);
	if (!out->segment_count)
		return REFUSE(why, "ELF file has nothing to load");
	if (out->has_pvh_entry && !elf_entry_inside(out, out->pvh_entry))
		return REFUSE(why, "the PVH entry is outside the segments or above 4 GiB");
	return 0;
}
