/* sources: kernel/multiboot.c kernel/elf.c kernel/format.c */
/*
 * The header of multiboot images: where it may be, the addresses that it can hold, one broken rule
 * at a time, and files changed at random, which may be refused but never read beyond their end.
 */
#include "kernel/guest_build.h"
#include "print.h"
#include "public/errno.h"
#include "public/multiboot.h"
#include "tap.h"

static uint8_t bytes[MULTIBOOT_SEARCH + 64];
static struct refusal why;
static struct elf_image image;

static void read_memory(const struct elf_file *file, uint64_t offset, void *to, size_t length)
{
	if (offset > file->size || length > file->size - offset)
		bail_out("a read beyond the end of the file");
	memcpy(to, (const char *)file->memory + offset, length);
}

static int parse(uint64_t size, bool is_elf)
{
	struct elf_file file = {.size = size, .read = read_memory, .memory = bytes};
	why.text[0] = 0;
	return multiboot_parse(&file, is_elf, &image, &why);
}

static void put(uint64_t at, uint32_t flags, const uint32_t *addresses)
{
	uint32_t start[3] = {MULTIBOOT_HEADER_MAGIC, flags, -(MULTIBOOT_HEADER_MAGIC + flags)};
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes + at, start, sizeof(start));
	if (addresses)
		memcpy(bytes + at + sizeof(start), addresses, 20);
}

static void elf(void)
{
	image = (struct elf_image){.entry = 0x100010,
				   .segment_count = 1,
				   .segments[0] = {.address = 0x100000, .memory_size = 0x1000}};
	put(0x1000, 0, NULL);
	is(parse(sizeof(bytes), true), 1, "a header in an ELF file");
	is(image.entry, 0x100010, "changes nothing about it");
	put(0, 7, NULL);
	is(parse(12, true), 1, "a header that is all of the file");
	put(MULTIBOOT_SEARCH - 12, 3, NULL);
	is(parse(sizeof(bytes), true), 1, "at the end of the 8 KiB");
	put(MULTIBOOT_SEARCH - 8, 0, NULL);
	is(parse(sizeof(bytes), true), 0, "not whole within them");
	put(MULTIBOOT_SEARCH, 0, NULL);
	is(parse(sizeof(bytes), true), 0, "behind them");
	put(0x102, 0, NULL);
	is(parse(sizeof(bytes), true), 0, "not aligned");
	put(0x100, 0, NULL);
	bytes[0x108] ^= 1;
	is(parse(sizeof(bytes), true), 0, "a wrong checksum is no header");
	bytes[0x108] ^= 1;
	memcpy(bytes + 0x80, bytes + 0x100, 8);
	is(parse(sizeof(bytes), true), 1, "nor is it the end of the search");
	is(parse(0x10b, true), 0, "cut off");
	is(parse(0, true), 0, "an empty file");
	is(parse(3, true), 0, "less than a word");
	put(0x100, 8, NULL);
	ok(parse(sizeof(bytes), true) == -XEN_EINVAL && strstr(why.text, "demands"),
	   "a demand unknown");
	put(0x100, 0, NULL);
	ok(parse(sizeof(bytes), false) == -XEN_EINVAL && strstr(why.text, "no addresses"),
	   "neither addresses nor an ELF file");
	image.entry = 0x101000;
	ok(parse(sizeof(bytes), true) == -XEN_EINVAL && strstr(why.text, "entry"),
	   "an entry behind the image");
	image.entry = 0x100100010;
	is(parse(sizeof(bytes), true), -XEN_EINVAL, "an entry above 4 GiB");
}

/* header, load, load end, bss end, entry; the header is at 0x100 of a file of 0x1000 bytes. */
#define ADDRESSES(...)                                                          \
	(put(0x100, MULTIBOOT_ADDRESSES | 3, (const uint32_t[5]){__VA_ARGS__}), \
	 parse(0x1000, false))
#define REFUSED(words, ...)                                                             \
	do {                                                                            \
		int rc_ = ADDRESSES(__VA_ARGS__);                                       \
		if (!ok(rc_ == -XEN_EINVAL && strstr(why.text, words), "%s: %s", words, \
			#__VA_ARGS__))                                                  \
			diag("got %d: %s", rc_, why.text);                              \
	} while (0)

static void addresses(void)
{
	const struct elf_segment *s = &image.segments[0];

	is(ADDRESSES(0x200080, 0x200000, 0x200f00, 0x203000, 0x200090), 1, "addresses");
	is(image.entry, 0x200090, "entry");
	is(image.segment_count, 1, "one segment");
	ok(s->address == 0x200000 && s->offset == 0x80 && s->file_size == 0xf00 &&
	       s->memory_size == 0x3000,
	   "from the file's byte that the header's own address gives");
	ok(image.start == 0x200000 && image.end == 0x203000, "bounds");
	is(ADDRESSES(0x200100, 0x200000, 0, 0, 0x200fff), 1, "without ends");
	ok(!s->offset && s->file_size == 0x1000 && s->memory_size == 0x1000, "all of the file");
	is(ADDRESSES(0x200100, 0x200000, 0x201000, 0x201000, 0x200000), 1, "an empty bss");
	is(ADDRESSES(0xfffff100, 0xfffff000, 0, 0, 0xfffff000), 1, "up to 4 GiB");
	ok(s->address + s->memory_size == 1ull << 32, "is no wrap");
	REFUSED("before the file", 0x200101, 0x200000, 0, 0, 0x200000);
	REFUSED("before the file", 0x1fffff, 0x200000, 0, 0, 0x200000);
	REFUSED("load end is before", 0x200100, 0x200000, 0x1fffff, 0, 0x200000);
	REFUSED("end of the file", 0x200100, 0x200000, 0x201001, 0, 0x200000);
	REFUSED("end of the file", 0x200000, 0x200000, 0x200f01, 0, 0x200000);
	REFUSED("bss end", 0x200100, 0x200000, 0x201000, 0x200fff, 0x200000);
	REFUSED("bss end", 0xfffff100, 0xfffff000, 0, 0xffffffff, 0xfffff000);
	REFUSED("entry", 0x200100, 0x200000, 0, 0, 0x201000);
	REFUSED("entry", 0x200100, 0x200000, 0, 0, 0x1fffff);
	REFUSED("entry", 0x200100, 0x200000, 0x200000, 0, 0x200000);
	put(0x100, MULTIBOOT_ADDRESSES, (const uint32_t[5]){0x100, 0, 0, 0, 0});
	ok(parse(0x100 + 31, false) == -XEN_EINVAL && strstr(why.text, "cut off"), "cut off");
}

static void at_random(void)
{
	unsigned seed = 99, found = 0;
	for (unsigned i = 0; i < 200000; i++) {
		ADDRESSES(0x200080, 0x200000, 0x200f00, 0x203000, 0x200090);
		for (unsigned k = 0; k < 1 + i % 3; k++) {
			seed = seed * 1103515245 + 12345;
			bytes[0x10c + (seed >> 8) % 20] = (uint8_t)(seed >> 24);
		}
		if (parse(0x180 + (seed >> 4) % 0xe80, i & 1) != 1)
			continue;
		const struct elf_segment *s = &image.segments[0];
		found++;
		if (s->offset + s->file_size > 0x1000 || s->file_size > s->memory_size ||
		    s->address + s->memory_size > 1ull << 32 ||
		    !elf_entry_inside(&image, image.entry))
			bail_out("an image that breaks a rule was accepted");
	}
	ok(found, "changed at random: what is accepted keeps the rules (%u)", found);
}

int main(void)
{
	tap_no_plan();
	elf();
	addresses();
	at_random();
	return tap_end();
}
