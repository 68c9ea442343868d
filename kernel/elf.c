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

/* Member of a header: offset and size in bytes, by class. */
struct member {
	uint8_t offset, size;
};

struct elf_class {
	uint8_t header_size, program_header_size, section_header_size;
	struct member type, machine, version, entry, phoff, phentsize, phnum; /* ELF header */
	struct member shoff, shentsize, shnum;
	struct member p_type, p_offset, p_paddr, p_filesz, p_memsz, p_align; /* program header */
	struct member sh_type, sh_offset, sh_size, sh_addralign;	     /* section header */
};

static const struct elf_class class_32 = {
    .header_size = 52,
    .program_header_size = 32,
    .section_header_size = 40,
    .type = {16, 2},
    .machine = {18, 2},
    .version = {20, 4},
    .entry = {24, 4},
    .phoff = {28, 4},
    .phentsize = {42, 2},
    .phnum = {44, 2},
    .shoff = {32, 4},
    .shentsize = {46, 2},
    .shnum = {48, 2},
    .p_type = {0, 4},
    .p_offset = {4, 4},
    .p_paddr = {12, 4},
    .p_filesz = {16, 4},
    .p_memsz = {20, 4},
    .p_align = {28, 4},
    .sh_type = {4, 4},
    .sh_offset = {16, 4},
    .sh_size = {20, 4},
    .sh_addralign = {32, 4},
};

static const struct elf_class class_64 = {
    .header_size = 64,
    .program_header_size = 56,
    .section_header_size = 64,
    .type = {16, 2},
    .machine = {18, 2},
    .version = {20, 4},
    .entry = {24, 8},
    .phoff = {32, 8},
    .phentsize = {54, 2},
    .phnum = {56, 2},
    .shoff = {40, 8},
    .shentsize = {58, 2},
    .shnum = {60, 2},
    .p_type = {0, 4},
    .p_offset = {8, 8},
    .p_paddr = {24, 8},
    .p_filesz = {32, 8},
    .p_memsz = {40, 8},
    .p_align = {48, 8},
    .sh_type = {4, 4},
    .sh_offset = {24, 8},
    .sh_size = {32, 8},
    .sh_addralign = {48, 8},
};

static uint64_t get(const uint8_t *header, struct member m)
{
	uint64_t value = 0;

	__builtin_memcpy(&value, header + m.offset, m.size);
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
static void find_in_sections(const struct elf_file *file, const struct elf_class *c,
			     const uint8_t *header, unsigned *budget, struct elf_image *out)
{
	uint64_t at = get(header, c->shoff), left = get(header, c->shnum);
	struct refusal ignored;

	if (get(header, c->shentsize) != c->section_header_size)
		return;
	for (; left && !out->has_pvh_entry && within(at, c->section_header_size, file->size);
	     left--, at += c->section_header_size) {
		uint8_t sh[ELF_SECTION_HEADER_MAX];
		file->read(file, at, sh, c->section_header_size);
		uint64_t offset = get(sh, c->sh_offset), length = get(sh, c->sh_size);
		if (get(sh, c->sh_type) == ELF_SHT_NOTE && within(offset, length, file->size))
			out->has_pvh_entry =
			    find_entry(file, offset, length, get(sh, c->sh_addralign), budget,
				       &out->pvh_entry, &ignored) > 0;
	}
}

static int add_segment(const struct elf_class *c, const uint8_t *ph, uint64_t file_size,
		       struct elf_image *out, struct refusal *why)
{
	struct elf_segment s = {
	    .offset = get(ph, c->p_offset),
	    .file_size = get(ph, c->p_filesz),
	    .address = get(ph, c->p_paddr),
	    .memory_size = get(ph, c->p_memsz),
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

static int check_header(const struct elf_file *file, const struct elf_class **class,
			uint8_t header[ELF_HEADER_MAX], struct refusal *why)
{
	static const uint8_t magic[4] = {0x7f, 'E', 'L', 'F'};

	if (file->size < class_32.header_size)
		return REFUSE(why, "not an ELF file: too short");
	file->read(file, 0, header, class_32.header_size);
	if (__builtin_memcmp(header, magic, sizeof(magic)) != 0)
		return REFUSE(why, "not an ELF file");
	if (header[4] != ELF_CLASS_32 && header[4] != ELF_CLASS_64)
		return REFUSE(why, "ELF class is neither 32- nor 64-bit");
	if (header[5] != ELF_DATA_LITTLE)
		return REFUSE(why, "ELF file is not little-endian");
	if (header[6] != ELF_VERSION)
		return REFUSE(why, "unknown ELF version");
	const struct elf_class *c = header[4] == ELF_CLASS_64 ? &class_64 : &class_32;
	if (file->size < c->header_size)
		return REFUSE(why, "ELF header reaches beyond the end of the file");
	file->read(file, 0, header, c->header_size);
	/* Either one in either class: kernels with 64-bit code in files for 32-bit loaders are
	 * common. */
	uint64_t machine = get(header, c->machine);
	uint64_t type = get(header, c->type);
	if (type != ELF_TYPE_EXECUTABLE && type != ELF_TYPE_SHARED)
		return REFUSE(why, "ELF file is not an executable");
	if (machine != ELF_MACHINE_386 && machine != ELF_MACHINE_X86_64)
		return REFUSE(why, "ELF file is not for x86");
	if (get(header, c->version) != ELF_VERSION)
		return REFUSE(why, "unknown ELF version");
	if (get(header, c->phentsize) != c->program_header_size)
		return REFUSE(why, "ELF program headers have an unknown size");
	if (!get(header, c->phnum))
		return REFUSE(why, "ELF file has no program headers");
	if (get(header, c->phnum) > ELF_PROGRAM_HEADERS)
		return REFUSE(why, "ELF file has too many program headers");
	if (!within(get(header, c->phoff), get(header, c->phnum) * c->program_header_size,
		    file->size))
		return REFUSE(why, "ELF program headers reach beyond the end of the file");
	*class = c;
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
	const struct elf_class *c;
	unsigned budget = ELF_NOTES_MAX;
	int rc;

	__builtin_memset(out, 0, sizeof(*out));
	rc = check_header(file, &c, header, why);
	if (rc)
		return rc;
	out->is_64bit = c == &class_64;
	out->entry = get(header, c->entry);
	for (uint64_t i = 0; i < get(header, c->phnum); i++) {
		uint8_t ph[ELF_PROGRAM_HEADER_MAX];
		file->read(file, get(header, c->phoff) + i * c->program_header_size, ph,
			   c->program_header_size);
		uint64_t type = get(ph, c->p_type);
		if (type == ELF_PT_LOAD) {
			rc = add_segment(c, ph, file->size, out, why);
			if (rc)
				return rc;
		} else if (type == ELF_PT_NOTE && !out->has_pvh_entry) {
			uint64_t offset = get(ph, c->p_offset), length = get(ph, c->p_filesz);
			if (!within(offset, length, file->size))
				return REFUSE(why, "the notes reach beyond the end of the file");
			rc = find_entry(file, offset, length, get(ph, c->p_align), &budget,
					&out->pvh_entry, why);
			if (rc < 0)
				return rc;
			out->has_pvh_entry = rc > 0;
		}
	}
	if (!out->has_pvh_entry)
		find_in_sections(file, c, header, &budget, out);
	if (!out->segment_count)
		return REFUSE(why, "ELF file has nothing to load");
	if (out->has_pvh_entry && !elf_entry_inside(out, out->pvh_entry))
		return REFUSE(why, "the PVH entry is outside the segments or above 4 GiB");
	return 0;
}
