/*
 * hello: the smallest guest. It says who it is and what it was given. Built for 64 and, as hello32,
 * for 32 bits without paging.
 */
#include "guest.h"

static void show_memory(void)
{
	uint64_t length, total = 0;

	for (uint64_t at = ram_next(0, &length); length != 0; at = ram_next(at + length, &length)) {
		printf("# RAM from 0x%llx to 0x%llx\n", (unsigned long long)at,
		       (unsigned long long)(at + length));
		total += length;
	}
	tap_ok(total >= (1 << 20), "the start info's memory map has %llu KiB of RAM",
	       (unsigned long long)(total >> 10));
}

/* The same question by the start info and by a hypercall: both layouts of the structure are tried.
 */
static void compare_memory_maps(void)
{
	static struct e820_entry entries[32];
	memory_map_t map = {array_size(entries), handle(entries)};
	const struct hvm_start_info *info = start_info();
	const struct hvm_memmap_table_entry *told = (const void *)(uintptr_t)info->memmap_paddr;
	bool same = true;

	tap_is(memory_op(XENMEM_memory_map, &map), 0, "XENMEM_memory_map");
	tap_is(map.nr_entries, info->memmap_entries,
	       "it has as many entries as the start info's map");
	for (uint32_t i = 0; i < map.nr_entries && i < info->memmap_entries; i++)
		same = same && entries[i].addr == told[i].addr && entries[i].size == told[i].size &&
		       entries[i].type == told[i].type;
	tap_ok(same, "and the same ones");
}

int main(void)
{
	struct xen_extraversion extra;
	struct xen_feature_info features = {0, 0};
	long version;

	printf("# Hello, I am domain %u, %u bits, command line \"%s\"\n", self_domain(),
	       (unsigned)sizeof(long) * 8, command_line());
	tap_plan(10);
	tap_ok(start_info()->version >= 1, "start info of version %u", start_info()->version);
	show_memory();
	compare_memory_maps();
	version = xen_version(XENVER_version, NULL);
	tap_ok(version > 0, "version %ld.%ld", version >> 16, version & 0xffff);
	tap_is(xen_version(XENVER_extraversion, &extra), 0, "its extra version can be asked");
	tap_is(xen_version(XENVER_get_features, &features), 0, "features can be asked");
	tap_ok(features.submap >> XENFEAT_auto_translated_physmap & 1,
	       "guest-physical addresses are translated (features 0x%x)", features.submap);
	tap_is(xen_version(XENVER_pagesize, NULL), 4096, "pages have 4096 bytes");
	tap_done();
}
