/* sources: kernel/elf.c kernel/format.c */
/*
 * ELF files of guests: good ones of both classes, one broken rule at a time, and files cut off or
 * changed at random, which may be refused but never read beyond their end.
 */
#include "kernel/elf.h"
#include "print.h"
#include "public/errno.h"
#include "tap.h"
#include <elf.h>

static struct refusal why;
static bool strayed; /* a read beyond the end of the file */

static void read_memory(const struct elf_file *file, uint64_t offset, void *to, size_t length)
{
	if (offset > file->size || length > file->size - offset) {
		strayed = true;
		memset(to, 0, length);
		return;
	}
	memcpy(to, (const char *)file->memory + offset, length);
}

#define FILE_SIZE  0x600
#define NOTES_AT   0x400
#define SEGMENT_AT 0x200

struct __attribute__((packed)) note_text {
	uint32_t name_size, desc_size, type;
	char name[4];
	uint64_t desc;
};

static uint8_t file64[FILE_SIZE], file32[FILE_SIZE];
static Elf64_Ehdr *e64 = (Elf64_Ehdr *)file64;
static Elf64_Phdr *p64 = (Elf64_Phdr *)(file64 + sizeof(Elf64_Ehdr));
static Elf32_Ehdr *e32 = (Elf32_Ehdr *)file32;
static Elf32_Phdr *p32 = (Elf32_Phdr *)(file32 + sizeof(Elf32_Ehdr));
static struct note_text *note64 = (struct note_text *)(file64 + NOTES_AT + 20);

static void make64(void)
{
	memset(file64, 0, sizeof(file64));
	memcpy(e64->e_ident, "\177ELF\2\1\1", 7);
	e64->e_type = ET_EXEC;
	e64->e_machine = EM_X86_64;
	e64->e_version = 1;
	e64->e_entry = 0x100044;
	e64->e_phoff = sizeof(*e64);
	e64->e_phentsize = sizeof(*p64);
	e64->e_phnum = 3;
	p64[0] = (Elf64_Phdr){.p_type = PT_LOAD,
			      .p_offset = SEGMENT_AT,
			      .p_vaddr = 0xffffffff80100000,
			      .p_paddr = 0x100000,
			      .p_filesz = 0x123,
			      .p_memsz = 0x5000};
	/* Not aligned, and without an address in memory for the notes, as some files have it. */
	p64[1] = (Elf64_Phdr){.p_type = PT_LOAD,
			      .p_offset = SEGMENT_AT + 0x11,
			      .p_paddr = 0x105003,
			      .p_filesz = 0x10,
			      .p_memsz = 0x10};
	p64[2] = (Elf64_Phdr){
	    .p_type = PT_NOTE, .p_offset = NOTES_AT, .p_filesz = 20 + sizeof(struct note_text)};
	/* Another note comes first, with a name to be padded. */
	memcpy(file64 + NOTES_AT, "\3\0\0\0\4\0\0\0\1\0\0\0GN\0\0abcd", 20);
	*note64 = (struct note_text){
	    .name_size = 4, .desc_size = 8, .type = 18, .name = "Xen", .desc = 0x100010};
}

static void make32(void)
{
	memset(file32, 0, sizeof(file32));
	memcpy(e32->e_ident, "\177ELF\1\1\1", 7);
	e32->e_type = ET_EXEC;
	e32->e_machine = EM_386;
	e32->e_version = 1;
	e32->e_entry = 0x200088;
	e32->e_phoff = sizeof(*e32);
	e32->e_phentsize = sizeof(*p32);
	e32->e_phnum = 2;
	p32[0] = (Elf32_Phdr){.p_type = PT_LOAD,
			      .p_offset = SEGMENT_AT,
			      .p_paddr = 0x200000,
			      .p_filesz = 0x100,
			      .p_memsz = 0x100};
	p32[1] = (Elf32_Phdr){.p_type = PT_NOTE, .p_offset = NOTES_AT, .p_filesz = 20};
	memcpy(file32 + NOTES_AT, "\4\0\0\0\4\0\0\0\22\0\0\0Xen\0\0\0\40\0", 20);
}

static int parse(const void *memory, uint64_t size, struct elf_image *image)
{
	struct elf_file file = {.size = size, .read = read_memory, .memory = memory};
	strayed = false;
	int rc = elf_parse(&file, image, &why);
	if (strayed)
		fail("a read beyond the end of the file");
	return rc;
}

/* One change to the good 64-bit file makes it refused with this text. */
#define REFUSED(words, change)                                                                    \
	do {                                                                                      \
		struct elf_image image_;                                                          \
		make64();                                                                         \
		change;                                                                           \
		int rc_ = parse(file64, sizeof(file64), &image_);                                 \
		if (!ok(rc_ == -XEN_EINVAL && strstr(why.text, words), "%s: %s", words, #change)) \
			diag("got %d: %s", rc_, why.text);                                        \
	} while (0)

/* One change to it takes the PVH entry away, and no more. */
#define WITHOUT_PVH(change)                                                     \
	do {                                                                    \
		struct elf_image image_;                                        \
		make64();                                                       \
		change;                                                         \
		int rc_ = parse(file64, sizeof(file64), &image_);               \
		ok(!rc_ && !image_.has_pvh_entry, "no PVH entry: %s", #change); \
	} while (0)

static void good(void)
{
	struct elf_image image;

	make64();
	is(parse(file64, sizeof(file64), &image), 0, "a 64-bit file");
	ok(image.is_64bit && image.has_pvh_entry, "known as one, with a note");
	is(image.pvh_entry, 0x100010, "entry from the note");
	is(image.entry, 0x100044, "entry from the header");
	is(image.segment_count, 2, "two segments");
	is(image.segments[1].address, 0x105003, "unaligned, at its physical address");
	is(image.start, 0x100000, "start");
	is(image.end, 0x105013, "end");
	make32();
	is(parse(file32, sizeof(file32), &image), 0, "a 32-bit file");
	ok(!image.is_64bit, "known as one");
	is(image.pvh_entry, 0x200000, "its entry");
	is(image.entry, 0x200088, "and the header's");
	is(image.segments[0].file_size, 0x100, "its segment");
	e32->e_machine = EM_X86_64;
	is(parse(file32, sizeof(file32), &image), 0, "the same, with 64-bit code");
	ok(!image.is_64bit && image.has_pvh_entry, "known by its layout");
	p32[0].p_vaddr = 0xc0200000;
	e32->e_entry = 0xc02000ff;
	is(parse(file32, sizeof(file32), &image), 0, "an entry high in virtual memory");
	is(image.entry, 0x2000ff, "is where its segment is loaded");
	e32->e_entry = 0xc0200100;
	is(parse(file32, sizeof(file32), &image), 0, "one behind that segment");
	is(image.entry, 0xc0200100, "stays as it is");
	make64();
	e64->e_entry = 0xffffffff80104fff;
	is(parse(file64, sizeof(file64), &image), 0, "the same with 64 bits");
	is(image.entry, 0x104fff, "and to the end of its bss");
	make64();
	note64->desc_size = 4;
	note64->desc = 0xdead00100020ull;
	is(parse(file64, sizeof(file64), &image), 0, "a note of 4 bytes");
	is(image.pvh_entry, 0x100020, "of which only these are read");
	make64();
	p64[0].p_memsz = p64[0].p_filesz = 0;
	note64->desc = 0x105003;
	is(parse(file64, sizeof(file64), &image), 0, "an empty segment is left out");
	is(image.segment_count, 1, "and not counted");
}

/* The notes are named by a section only, behind one that makes no sense. */
#define SECTIONS_AT 0x500
static void move_notes_to_sections(void)
{
	Elf64_Shdr *s64 = (Elf64_Shdr *)(file64 + SECTIONS_AT);
	Elf32_Shdr *s32 = (Elf32_Shdr *)(file32 + SECTIONS_AT);

	make64();
	make32();
	p64[2].p_type = p32[1].p_type = PT_NULL;
	e64->e_shoff = e32->e_shoff = SECTIONS_AT;
	e64->e_shentsize = sizeof(*s64);
	e32->e_shentsize = sizeof(*s32);
	e64->e_shnum = e32->e_shnum = 3;
	s64[1] = (Elf64_Shdr){.sh_type = SHT_NOTE, .sh_offset = FILE_SIZE - 4, .sh_size = 8};
	s32[1] = (Elf32_Shdr){.sh_type = SHT_NOTE, .sh_offset = FILE_SIZE - 4, .sh_size = ~0u};
	s64[2] = (Elf64_Shdr){.sh_type = SHT_NOTE,
			      .sh_offset = NOTES_AT,
			      .sh_size = 20 + sizeof(struct note_text),
			      .sh_addralign = 4};
	s32[2] = (Elf32_Shdr){.sh_type = SHT_NOTE, .sh_offset = NOTES_AT, .sh_size = 20};
}

static void sections(void)
{
	struct elf_image image;

	move_notes_to_sections();
	ok(!parse(file64, sizeof(file64), &image) && image.pvh_entry == 0x100010,
	   "a 64-bit file whose notes are in a section");
	ok(!parse(file32, sizeof(file32), &image) && image.pvh_entry == 0x200000, "a 32-bit one");
	note64->desc = 0x105000;
	is(parse(file64, sizeof(file64), &image), -XEN_EINVAL, "an entry outside is refused");
	note64->name_size = ~0u;
	ok(!parse(file64, sizeof(file64), &image) && !image.has_pvh_entry,
	   "a note that reaches beyond its section is none");
	e32->e_shentsize++;
	ok(!parse(file32, sizeof(file32), &image) && !image.has_pvh_entry,
	   "headers of another size are not read");
	move_notes_to_sections();
	e64->e_shoff = ~0ull - 8;
	e32->e_shnum = 0xffff;
	e32->e_shoff = SECTIONS_AT + 80;
	ok(!parse(file64, sizeof(file64), &image) && !image.has_pvh_entry, "nor those outside");
	ok(!parse(file32, sizeof(file32), &image) && image.has_pvh_entry, "however many they are");
	for (unsigned size = 0; size < FILE_SIZE; size++) {
		move_notes_to_sections();
		parse(file64, size, &image);
		parse(file32, size, &image);
	}
	pass("cut off anywhere: no read beyond the end");
}

static void bad(void)
{
	struct elf_image image;

	is(parse(file64, 0, &image), -XEN_EINVAL, "an empty file");
	is(parse(file64, 51, &image), -XEN_EINVAL, "shorter than any header");
	make64();
	is(parse(file64, 60, &image), -XEN_EINVAL, "shorter than its header");
	REFUSED("not an ELF file", e64->e_ident[0] = 0);
	REFUSED("neither 32- nor 64-bit", e64->e_ident[4] = 3);
	REFUSED("not little-endian", e64->e_ident[5] = 2);
	REFUSED("unknown ELF version", e64->e_ident[6] = 0);
	REFUSED("unknown ELF version", e64->e_version = 2);
	REFUSED("not an executable", e64->e_type = ET_REL);
	REFUSED("not for x86", e64->e_machine = EM_AARCH64);
	REFUSED("not for x86", e64->e_machine = EM_NONE);
	REFUSED("unknown size", e64->e_phentsize = 55);
	REFUSED("no program headers", e64->e_phnum = 0);
	REFUSED("too many program headers", e64->e_phnum = 0xffff);
	REFUSED("headers reach beyond", e64->e_phoff = FILE_SIZE - 10);
	REFUSED("headers reach beyond", e64->e_phoff = ~0ull - 8);
	REFUSED("larger in the file", p64[0].p_memsz = 0x122);
	REFUSED("beyond the end of the file", p64[0].p_offset = FILE_SIZE - 0x100);
	REFUSED("beyond the end of the file", p64[0].p_offset = ~0ull - 0x100);
	REFUSED("wraps", p64[0].p_paddr = ~0ull - 0x100);
	REFUSED("wraps", p64[0].p_memsz = ~0ull - 0x1000);
	REFUSED("overlap", p64[1].p_paddr = 0x104fff);
	REFUSED("overlap", p64[1].p_paddr = 0x0ffff8);
	REFUSED("nothing to load", p64[0].p_type = p64[1].p_type = PT_NULL);
	REFUSED("notes reach beyond", p64[2].p_offset = ~0ull - 2);
	REFUSED("notes reach beyond", p64[2].p_filesz = FILE_SIZE);
	REFUSED("note reaches beyond", note64->desc_size = 0xfffffff0);
	REFUSED("note reaches beyond", note64->name_size = 0xffffffff);
	REFUSED("not 4 or 8", note64->desc_size = 2);
	WITHOUT_PVH(note64->type = 17);
	WITHOUT_PVH(note64->name[0] = 'x');
	WITHOUT_PVH(p64[2].p_type = PT_NULL);
	WITHOUT_PVH(p64[2].p_filesz = 20);
	REFUSED("entry is outside", note64->desc = 0xfffff);
	REFUSED("entry is outside", note64->desc = 0x105000);
	REFUSED("entry is outside", note64->desc = 0x100100010ull);
	REFUSED("entry is outside", p64[0].p_paddr = 0x100000000ull; note64->desc = 0x100000010ull);

	make64();
	for (unsigned size = 0; size < FILE_SIZE; size++)
		parse(file64, size, &image);
	pass("cut off anywhere: no read beyond the end");
	unsigned seed = 12345;
	for (unsigned i = 0; i < 200000; i++) {
		make64();
		make32();
		for (unsigned k = 0; k < 1 + i % 3; k++) {
			static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff, 4, 0xfc};
			seed = seed * 1103515245 + 12345;
			unsigned at = seed >> 8;
			at = at & 1 ? at / 2 % 0x100 : NOTES_AT + at / 2 % 0x40;
			file64[at] = file32[at] = values[(seed >> 24) % sizeof(values)];
		}
		parse(file64, sizeof(file64), &image);
		parse(file32, sizeof(file32), &image);
	}
	pass("changed at random: no read beyond the end");
	make64();
	memset(file64 + NOTES_AT, 0, FILE_SIZE - NOTES_AT);
	p64[2].p_filesz = FILE_SIZE - NOTES_AT;
	ok(!parse(file64, sizeof(file64), &image) && !image.has_pvh_entry,
	   "empty notes only come to an end");
	static uint8_t many[200 << 10];
	memcpy(many, file64, NOTES_AT);
	((Elf64_Phdr *)(many + sizeof(Elf64_Ehdr)))[2].p_filesz = sizeof(many) - NOTES_AT;
	is(parse(many, sizeof(many), &image), -XEN_EINVAL, "too many notes");
	ok(strstr(why.text, "more than"), "are named as such");
}

int main(void)
{
	tap_no_plan();
	good();
	sections();
	bad();
	return tap_end();
}
