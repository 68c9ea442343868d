/*
 * memory: all RAM that the guest was given is there, was cleared, and holds what is written to it.
 *
 * With `poke=ADDRESS` it touches that guest-physical address instead, which it does not have: the
 * hypervisor ends it.
 */
#include "guest.h"

struct range {
	uint64_t start, end;
};

/* What the loader put there: the image, the start info and all it points to. */
static struct range used[32];
static unsigned used_count;

static void in_use(uint64_t start, uint64_t length)
{
	if (used_count == array_size(used))
		tap_bail_out("more than %u ranges in use", used_count);
	if (length != 0)
		used[used_count++] = (struct range){start, start + length};
}

static void find_used(void)
{
	const struct hvm_start_info *info = start_info();
	const struct hvm_modlist_entry *module = (const void *)(uintptr_t)info->modlist_paddr;

	in_use((uintptr_t)image_start, (uintptr_t)image_end - (uintptr_t)image_start);
	in_use(start_info_address, sizeof(*info));
	in_use(info->cmdline_paddr, strlen(command_line()) + 1);
	in_use(info->memmap_paddr, info->memmap_entries * sizeof(struct hvm_memmap_table_entry));
	in_use(info->modlist_paddr, info->nr_modules * sizeof(*module));
	for (uint32_t i = 0; i < info->nr_modules; i++) {
		in_use(module[i].paddr, module[i].size);
		if (module[i].cmdline_paddr)
			in_use(module[i].cmdline_paddr,
			       strlen((const char *)(uintptr_t)module[i].cmdline_paddr) + 1);
	}
}

static bool is_used(uint64_t page)
{
	for (unsigned i = 0; i < used_count; i++)
		if (page < used[i].end && page + PAGE_SIZE > used[i].start)
			return true;
	return false;
}

/* Address 0 is a page like any other here, but the compiler must not know. */
static volatile uint64_t *words_at(uint64_t page)
{
	__asm__("" : "+r"(page));
	return (volatile uint64_t *)page;
}

static bool page_is_zero(uint64_t page)
{
	volatile uint64_t *p = words_at(page);
	uint64_t any = 0;

	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		any |= p[i];
	return any == 0;
}

static void page_fill(uint64_t page, uint64_t pattern)
{
	volatile uint64_t *p = words_at(page);

	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		p[i] = (page + i) ^ pattern;
}

static bool page_holds(uint64_t page, uint64_t pattern)
{
	volatile uint64_t *p = words_at(page);
	uint64_t any = 0;

	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		any |= p[i] ^ (page + i) ^ pattern;
	return any == 0;
}

enum step { CHECK_ZERO, FILL, CHECK_FILLED, COUNT_ONLY };

/* One pass over all pages of RAM that are not in use; returns how many were not as expected. */
static unsigned long pass(enum step step, uint64_t pattern, unsigned long *pages)
{
	unsigned long bad = 0;
	uint64_t length;

	*pages = 0;
	for (uint64_t at = ram_next(0, &length); length != 0; at = ram_next(at + length, &length)) {
		for (uint64_t page = at; page + PAGE_SIZE <= at + length; page += PAGE_SIZE) {
			bool good = true;

			if (is_used(page))
				continue;
			++*pages;
			if (step == CHECK_ZERO)
				good = page_is_zero(page);
			if (step == FILL)
				page_fill(page, pattern);
			if (step == CHECK_FILLED)
				good = page_holds(page, pattern);
			if (!good && bad++ < 4)
				printf("# page 0x%llx is not as it should be\n",
				       (unsigned long long)page);
		}
	}
	return bad;
}

int main(void)
{
	unsigned long pages;

	if (option("poke")) {
		uint64_t address = option_number("poke", 0);

		printf("# touching 0x%llx\n", (unsigned long long)address);
		*words_at(address) = 1;
		printf("# it is there\n");
		shutdown(SHUTDOWN_poweroff);
	}
	find_used();
	pass(COUNT_ONLY, 0, &pages);
	tap_plan(5);
	tap_ok(pages > 256, "%lu pages of RAM besides image and start info", pages);
	tap_is(pass(CHECK_ZERO, 0, &pages), 0, "all of them were cleared");
	for (unsigned i = 0; i < 2; i++) {
		uint64_t pattern = i == 0 ? 0x5555aaaa5555aaaaull : 0xaaaa5555aaaa5555ull;

		pass(FILL, pattern, &pages);
		tap_is(pass(CHECK_FILLED, pattern, &pages), 0, "all hold 0x%llx",
		       (unsigned long long)pattern);
	}
	tap_ok(start_info()->magic == XEN_HVM_START_MAGIC_VALUE, "the start info is still there");
	tap_done();
}
