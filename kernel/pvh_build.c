/*
 * The start information of a PVH guest, in its RAM behind the image:
 *
 *	page aligned: start info, memory map, module list, command lines
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
	uint64_t info, memmap, modlist, cmdline;
	uint64_t module_cmdlines[GUEST_MODULES_MAX], modules[GUEST_MODULES_MAX];
	uint64_t end;
};

static void lay_out(const struct guest_build *b, unsigned range_count, struct places *p)
{
	const struct guest_config *config = b->config;
	uint64_t at = build_low_end(b);

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
		at += text_size(build_module(b, m)->config.cmdline);
	}
	p->end = build_place_modules(b, at, p->modules);
}

static void write_start_info(struct guest_build *b, const struct domain_range *ranges,
			     unsigned range_count, const struct places *p)
{
	const struct guest_config *config = b->config;
	struct hvm_start_info info = {
	    .magic = XEN_HVM_START_MAGIC_VALUE,
	    .version = XEN_HVM_START_VERSION,
	    .nr_modules = config->module_count,
	    .modlist_paddr = p->modlist,
	    .cmdline_paddr = p->cmdline,
	    .memmap_paddr = p->memmap,
	    .memmap_entries = range_count,
	};

	build_write(b, p->info, &info, sizeof(info));
	for (unsigned r = 0; r < range_count; r++) {
		struct hvm_memmap_table_entry entry = {
		    .addr = ranges[r].start,
		    .size = ranges[r].size,
		    .type = XEN_HVM_MEMMAP_TYPE_RAM,
		};
		build_write(b, p->memmap + r * sizeof(entry), &entry, sizeof(entry));
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
	struct domain_range ranges[DOMAIN_RANGES_MAX];
	unsigned range_count = domain_ram_ranges(b->domain->ram_bytes, ranges);
	struct places places;

	lay_out(b, range_count, &places);
	int rc = build_claim(b, places.info, places.end);
	if (rc)
		return rc;
	write_start_info(b, ranges, range_count, &places);
	build_copy_modules(b, places.modules);
	*out = (struct guest_entry){.entry = make_gpa(b->image.pvh_entry),
				    .info = make_gpa(places.info)};
	return 0;
}
