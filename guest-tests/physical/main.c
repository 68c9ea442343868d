/*
 * physical: calls whose pointers are guest-physical. Each argument is tried where the guest's own
 * page tables lead elsewhere or nowhere (64 bits), across pages, at the end of RAM, and where there
 * is no memory. What the calls do otherwise is the matter of the guests that run beside this one
 * with `physical` on their command line.
 */
#include "guest.h"
#include "public/hvm/hvm_op.h"

#define PHYSICAL(number) (KEYHOLE_CALL_PHYSICAL | (number))
#define READONLY	 (HOLE + 0x10000ul)
#define OFF_SHIFT	 21 /* of the page of RAM that page tables do not lead to */

static long version(unsigned long address)
{
	return hypercall(PHYSICAL(__HYPERVISOR_xen_version), XENVER_get_features, address, 0);
}

static uint64_t ram_end(void)
{
	uint64_t length, end = 0;

	for (uint64_t at = ram_next(0, &length); length && at < HOLE; at = ram_next(end, &length))
		end = at + length;
	return end;
}

static void announced(void)
{
	struct cpuid leaf = cpuid(KEYHOLE_CPUID_FIRST_LEAF, 0);

	tap_ok(leaf.ebx == KEYHOLE_CPUID_SIGNATURE_EBX && leaf.ecx == KEYHOLE_CPUID_SIGNATURE_ECX &&
		   leaf.edx == KEYHOLE_CPUID_SIGNATURE_EDX && leaf.eax > KEYHOLE_CPUID_FIRST_LEAF,
	       "leaves of Keyhole's own");
	tap_ok(cpuid(KEYHOLE_CPUID_LEAF(1), 0).eax & KEYHOLE_CPUID_CALL_PHYSICAL,
	       "which announce the calls");
}

static void no_walk(void)
{
#ifdef __x86_64__
	struct xen_feature_info *page = page_alloc(), *alias = (void *)PAGING_FREE;
	const unsigned long away = (unsigned long)(ram_end() - 1) >> OFF_SHIFT << OFF_SHIFT;
	uint64_t *entry = paging_entry(away, 2), kept = *entry;

	paging_map(PAGING_FREE, (uintptr_t)page, PTE_W);
	tap_is(xen_version(XENVER_get_features, alias), 0, "a linear address");
	tap_is(version((unsigned long)alias), -XEN_EFAULT, "is none of guest-physical memory");
	page->submap = 0;
	tap_is(version((unsigned long)page), 0, "where it leads to is");
	tap_ok(alias->submap & 1u << XENFEAT_auto_translated_physmap, "and has the result");
	paging_map(PAGING_FREE, (uintptr_t)page, 0);
	tap_is(xen_version(XENVER_get_features, alias), -XEN_EFAULT, "what may not be written");
	tap_is(version((unsigned long)page), 0, "says nothing of the page itself");

	*(volatile uint32_t *)away = 0;
	*entry = 0;
	invlpg((void *)away);
	tap_is(xen_version(XENVER_get_features, (void *)away), -XEN_EFAULT, "RAM out of reach");
	tap_is(version(away), 0, "is within reach by its address");
	*entry = kept;
	invlpg((void *)away);
	tap_ok(*(volatile uint32_t *)(away + 4), "and has the result");
#endif
}

static void across_pages(void)
{
	char *two = page_alloc(); /* the next one comes right behind it */
	struct xen_feature_info *info = (void *)(two + PAGE_SIZE - 4);
	struct xen_compile_info *text = (void *)(two + PAGE_SIZE - 17);

	if ((char *)page_alloc() != two + PAGE_SIZE)
		tap_bail_out("pages are not in a row");
	tap_is(version((unsigned long)info), 0, "a structure across two pages");
	tap_ok(info->submap != 0, "is read and written");
	tap_is(hypercall(PHYSICAL(__HYPERVISOR_xen_version), XENVER_compile_info,
			 (unsigned long)text, 0),
	       0, "a long one");
	tap_ok(memcmp(text->compile_by, "keyhole", 8) == 0, "arrives whole");
}

static void nowhere(void)
{
	static const uint64_t places[] = {0xd0000000,	      0xfffff000, 0xffffffff, 1ull << 39,
					  (1ull << 39) - 4,   1ull << 40, 1ull << 48, 1ull << 52,
					  0xffffffff80000000, ~0ull - 7,  ~0ull};
	struct xen_feature_info *edge = (void *)(uintptr_t)(ram_end() - 4);
	unsigned wrong = 0;

	for (unsigned i = 0; i < array_size(places); i++) {
		unsigned long at = (unsigned long)places[i];

		if (at != places[i])
			continue;
		wrong += version(at) != -XEN_EFAULT;
		wrong += hypercall(PHYSICAL(__HYPERVISOR_console_io), CONSOLEIO_write, 8, at) !=
			 -XEN_EFAULT;
		wrong += hypercall(PHYSICAL(__HYPERVISOR_memory_op), XENMEM_add_to_physmap, at,
				   0) != -XEN_EFAULT;
		wrong += hypercall(PHYSICAL(__HYPERVISOR_grant_table_op), GNTTABOP_query_size, at,
				   1) != -XEN_EFAULT;
		wrong += hypercall(PHYSICAL(__HYPERVISOR_grant_table_op), GNTTABOP_copy, at, 1) !=
			 -XEN_EFAULT;
		wrong +=
		    hypercall(PHYSICAL(__HYPERVISOR_hvm_op), HVMOP_get_param, at, 0) != -XEN_EFAULT;
		wrong += hypercall(PHYSICAL(__HYPERVISOR_sched_op), SCHEDOP_shutdown, at, 0) !=
			 -XEN_EFAULT;
	}
	tap_is(wrong, 0, "without memory: -EFAULT from each");
	edge->submap_idx = 0;
	tap_is(version((unsigned long)edge), -XEN_EFAULT, "beyond the end of RAM: -EFAULT");
}

static void inner_pointers(void)
{
	struct e820_entry *entry = page_alloc();
	memory_map_t map = {1, handle(entry)};

	tap_is(
	    hypercall(PHYSICAL(__HYPERVISOR_memory_op), XENMEM_memory_map, (unsigned long)&map, 0),
	    0, "a pointer within a structure");
	tap_ok(map.nr_entries == 1 && entry->size, "leads to the result");
	map.buffer = handle(0xd0000000ul);
	tap_is(
	    hypercall(PHYSICAL(__HYPERVISOR_memory_op), XENMEM_memory_map, (unsigned long)&map, 0),
	    -XEN_EFAULT, "nowhere: -EFAULT");
#ifdef __x86_64__
	map = (memory_map_t){1, PAGING_FREE};
	tap_is(
	    hypercall(PHYSICAL(__HYPERVISOR_memory_op), XENMEM_memory_map, (unsigned long)&map, 0),
	    -XEN_EFAULT, "is not a linear address");
#endif
}

/* The rights of a page count, though not those of the page tables. */
static void rights(void)
{
	volatile struct grant_entry_v1 *table = grant_table_at(HOLE);
	struct xen_feature_info *page = page_alloc();
	grant_handle_t mapping;

	grant_access(table, 8, self_domain(), page, 0);
	tap_is(grant_map(self_domain(), 8, READONLY, GNTMAP_host_map | GNTMAP_readonly, &mapping),
	       0, "a page that can only be read");
	tap_is(version(READONLY), -XEN_EFAULT, "is not written");
	tap_is(hypercall(PHYSICAL(__HYPERVISOR_console_io), CONSOLEIO_write, 0, READONLY), 0,
	       "but read");
	tap_is(grant_unmap(READONLY, mapping), 0, "unmapped");
	tap_is(version(READONLY), -XEN_EFAULT, "and gone");
	tap_is(version(HOLE + 64 * 8), 0, "the grant table's page counts as memory");
}

static void numbers(void)
{
	static const unsigned unknown[] = {0, 1, 11, 35, 47, 63, 127, 128, 0x3fffffff};
	unsigned wrong = 0;

	for (unsigned i = 0; i < array_size(unknown); i++)
		wrong += hypercall(PHYSICAL(unknown[i]), ~0ul, ~0ul, ~0ul) != -XEN_ENOSYS;
	tap_is(wrong, 0, "unknown numbers with the flag: -ENOSYS");
	tap_is(hypercall(0x80000000 | PHYSICAL(__HYPERVISOR_xen_version), 0, 0, 0), -XEN_ENOSYS,
	       "and those with another flag");
	tap_is(hypercall(PHYSICAL(__HYPERVISOR_xen_version), XENVER_version, 0, 0),
	       xen_version(XENVER_version, NULL), "a call without a pointer is as ever");
}

/* Longer than what is done before a continuation. */
static void continues(void)
{
	char *text = page_alloc();

	for (unsigned i = 0; i < 3000; i++)
		text[i] = i % 75 == 74 ? '\n' : i % 75 ? '.' : '#';
	tap_is(hypercall(PHYSICAL(__HYPERVISOR_console_io), CONSOLEIO_write, 3000,
			 (unsigned long)text),
	       0, "a call that continues");
}

int main(void)
{
	if (!xen_present)
		tap_bail_out("there is no hypervisor");
	announced();
	no_walk();
	across_pages();
	nowhere();
	inner_pointers();
	rights();
	numbers();
	continues();
	tap_done();
}
