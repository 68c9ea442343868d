/*
 * The start information of a PVH guest, in its RAM behind the image:
 *
 *	page aligned: start info, memory map, module list, command lines
 *	a page of its own: ACPI tables
 *	behind that, page aligned: the modules
 *
 * State: none. No lock; the domain does not run yet. Boot CPU.
 *
 * Source: Xen, public/arch-x86/hvm/start_info.h and docs/misc/pvh.pandoc.
 */
#include "kernel/guest_build.h"
#include "public/hvm/start_info.h"

/* Where each piece of the start information goes: guest-physical addresses, 0 for none. */
struct places {
	uint64_t info, memmap, modlist, cmdline, acpi;
	uint64_t module_cmdlines[GUEST_MODULES_MAX], modules[GUEST_MODULES_MAX];
	uint64_t end;
};

static void lay_out(const struct guest_build *b, struct places *p)
{
	const struct guest_config *config = b->config;
	uint64_t at = build_low_end(b);

	p->info = at;
	at += sizeof(struct hvm_start_info);
	p->memmap = at;
	at += DOMAIN_MAP_MAX * sizeof(struct hvm_memmap_table_entry);
	p->modlist = config->module_count ? at : 0;
	at += config->module_count * sizeof(struct hvm_modlist_entry);
	p->cmdline = at;
	at += text_size(config->cmdline);
	for (uint32_t m = 0; m < config->module_count; m++) {
		p->module_cmdlines[m] = at;
		at += text_size(build_module(b, m)->config.cmdline);
	}
	p->acpi = page_align(at);
	p->end = build_place_modules(b, p->acpi + PAGE_SIZE, p->modules);
}

static void write_start_info(struct guest_build *b, const struct places *p)
{
	struct domain_map_entry map[DOMAIN_MAP_MAX];
	unsigned map_entries = domain_memory_map(b->domain, map);
	const struct guest_config *config = b->config;
	struct hvm_start_info info = {
	    .magic = XEN_HVM_START_MAGIC_VALUE,
	    .version = XEN_HVM_START_VERSION,
	    .nr_modules = config->module_count,
	    .modlist_paddr = p->modlist,
	    .cmdline_paddr = p->cmdline,
	    .memmap_paddr = p->memmap,
	    .memmap_entries = map_entries,
	    .rsdp_paddr = p->acpi,
	};

	build_write(b, p->info, &info, sizeof(info));
	for (unsigned i = 0; i < map_entries; i++) {
		/* The types are numbered as in E820. */
		struct hvm_memmap_table_entry entry = {
		    .addr = map[i].start, .size = map[i].size, .type = map[i].type};
		build_write(b, p->memmap + i * sizeof(entry), &entry, sizeof(entry));
	}
	build_write_text(b, p->cmdline, config->cmdline);
	for (uint32_t m = 0; m < config->module_count; m++) {
		const struct guest_module *module = build_module(b, m);
		struct hvm_modlist_entry entry = {
		    .paddr = p->modules[m],
		    .size = module->size,
		    .cmdline_paddr = p->module_cmdlines[m],
		};
		build_write(b, p->modlist + m * sizeof(entry), &entry, sizeof(entry));
		build_write_text(b, p->module_cmdlines[m], module->config.cmdline);
	}
}

/* Tells a PVH guest, whose image has been loaded, what it has. Errors as guest_build(). */
int pvh_build(struct guest_build *b, struct guest_entry *out)
{
	struct places places;

	lay_out(b, &places);
	int rc = build_claim(b, places.info, places.end);
	if (rc)
		return rc;
	b->domain->acpi = places.acpi;
	write_start_info(b, &places);
	build_write_acpi(b, places.acpi);
	build_copy_modules(b, places.modules);
	*out = (struct guest_entry){.entry = make_gpa(b->image.pvh_entry),
				    .info = make_gpa(places.info)};
	return 0;
}
