/*
 * hostile: hypercalls with arguments that a guest should not pass. Each gets an error, changes
 * nothing, and harms nobody. Built for 64 bits, where pages without a mapping and non-canonical
 * addresses can be tried, and as hostile32 for 32 bits without paging, where addresses without
 * memory take their place.
 */
#include "guest.h"
#include "segments.h"

#define FREE_GFN (HOLE / PAGE_SIZE + 64)

extern uint64_t gdt[];
/* Two pages in a row of which only the first is there. */
static char *edge;
/* An address where nothing is. */
static void *nothing;

static void make_edge(void)
{
#ifdef __x86_64__
	paging_map(PAGING_FREE, (uintptr_t)page_alloc(), PTE_W);
	edge = (char *)PAGING_FREE;
	nothing = (void *)(PAGING_FREE + PAGE_SIZE);
#else
	/* The last page of RAM. */
	uint64_t length, at = 0, end = 0;

	for (at = ram_next(0, &length); length != 0; at = ram_next(end, &length))
		end = at + length;
	edge = (char *)(uintptr_t)(end - PAGE_SIZE);
	nothing = (void *)(uintptr_t)end;
#endif
}

/* The last `length` bytes before nothing. */
static void *before_edge(size_t length)
{
	return edge + PAGE_SIZE - length;
}

static const struct {
	const char *name;
	unsigned long address;
} bad_pointers[] = {
#ifdef __x86_64__
    {"a page that is not mapped", PAGING_FREE + PAGE_SIZE},
    {"a non-canonical address", 0x800000000000ul},
    {"the first address of the upper half, unmapped", 0xffff800000000000ul},
    {"the hypervisor's own image", 0xffffffff80000000ul},
    {"the end of the address space", ~0ul},
    {"an address without memory", 0xd0000000ul},
#else
    {"an address without memory", 0xd0000000ul},
    {"the end of the address space", ~0ul},
#endif
};

static void *bad_pointer(unsigned i)
{
	unsigned long address = bad_pointers[i].address;

	__asm__("" : "+r"(address));
	return (void *)address;
}

/* --- calls ---------------------------------------------------------------------------------------
 */

static void unknown_numbers(void)
{
	static const unsigned numbers[] = {
	    0,	1,   11,  36,	      43,	  47,	      49,	  55,
	    56, 127, 128, 0x3fffffff, 0x40000000, 0x40000011, 0x80000000, 0xffffffff};
	unsigned wrong = 0;

	for (unsigned i = 0; i < array_size(numbers); i++) {
		long result = hypercall5(numbers[i], ~0ul, ~0ul, ~0ul, ~0ul, ~0ul);

		if (result != -XEN_ENOSYS) {
			printf("# call %u gives %ld\n", numbers[i], result);
			wrong++;
		}
	}
	tap_is(wrong, 0, "%u call numbers that do not exist: -ENOSYS",
	       (unsigned)array_size(numbers));
}

static void unknown_commands(void)
{
	static const unsigned calls[] = {__HYPERVISOR_sched_op, __HYPERVISOR_memory_op,
					 __HYPERVISOR_grant_table_op, __HYPERVISOR_xen_version,
					 __HYPERVISOR_console_io};
	static const unsigned long commands[] = {59, 0x7fffffff, ~0ul};

	for (unsigned i = 0; i < array_size(calls); i++) {
		unsigned wrong = 0;

		for (unsigned j = 0; j < array_size(commands); j++) {
			long result = hypercall(calls[i], commands[j], (unsigned long)edge, 1);

			if (result != -XEN_ENOSYS) {
				printf("# command 0x%lx gives %ld\n", commands[j], result);
				wrong++;
			}
		}
		tap_is(wrong, 0, "unknown commands of call %u: -ENOSYS", calls[i]);
	}
}

static void bad_pointers_everywhere(void)
{
	for (unsigned i = 0; i < array_size(bad_pointers); i++) {
		void *bad = bad_pointer(i);
		struct {
			const char *name;
			long result;
		} calls[] = {
		    {"get_features", xen_version(XENVER_get_features, bad)},
		    {"extraversion", xen_version(XENVER_extraversion, bad)},
		    {"compile_info", xen_version(XENVER_compile_info, bad)},
		    {"shutdown", sched_op(SCHEDOP_shutdown, bad)},
		    {"console_io", console_io(CONSOLEIO_write, 16, bad)},
		    {"add_to_physmap", memory_op(XENMEM_add_to_physmap, bad)},
		    {"add_to_physmap_batch", memory_op(XENMEM_add_to_physmap_batch, bad)},
		    {"remove_from_physmap", memory_op(XENMEM_remove_from_physmap, bad)},
		    {"memory_map", memory_op(XENMEM_memory_map, bad)},
		    {"setup_table", grant_table_op(GNTTABOP_setup_table, bad, 1)},
		    {"query_size", grant_table_op(GNTTABOP_query_size, bad, 1)},
		    {"map_grant_ref", grant_table_op(GNTTABOP_map_grant_ref, bad, 1)},
		    {"unmap_grant_ref", grant_table_op(GNTTABOP_unmap_grant_ref, bad, 1)},
		    {"grant copy", grant_table_op(GNTTABOP_copy, bad, 1)},
		    {"unmap_and_replace", grant_table_op(GNTTABOP_unmap_and_replace, bad, 1)},
		    {"swap_grant_ref", grant_table_op(GNTTABOP_swap_grant_ref, bad, 1)},
		    {"cache_flush", grant_table_op(GNTTABOP_cache_flush, bad, 1)},
		    {"get_version", grant_table_op(GNTTABOP_get_version, bad, 1)},
		    {"set_version", grant_table_op(GNTTABOP_set_version, bad, 1)},
		};
		unsigned wrong = 0;

		for (unsigned j = 0; j < array_size(calls); j++)
			if (calls[j].result != -XEN_EFAULT) {
				printf("# %s gives %ld\n", calls[j].name, calls[j].result);
				wrong++;
			}
		tap_is(wrong, 0, "argument at %s: -EFAULT from all", bad_pointers[i].name);
	}
}

/* An argument whose last byte is missing. */
static void straddling(void)
{
	struct xen_feature_info *features = before_edge(sizeof(*features) - 1);
	add_to_physmap_t *add = before_edge(sizeof(*add) - 1);

	memset(features, 0, sizeof(*features) - 1);
	tap_is(xen_version(XENVER_get_features, features), -XEN_EFAULT,
	       "a structure that runs into nothing: -EFAULT");
	features = before_edge(sizeof(*features));
	memset(features, 0, sizeof(*features));
	tap_is(xen_version(XENVER_get_features, features), 0,
	       "one that ends just before it is fine");
	tap_is(memory_op(XENMEM_add_to_physmap, add), -XEN_EFAULT,
	       "an argument that runs into nothing");
	features = before_edge(PAGE_SIZE - 1);
	memset(features, 0, sizeof(*features));
	tap_is(xen_version(XENVER_get_features, features), 0, "an unaligned argument is fine");
	features = before_edge(sizeof(*features));
	features->submap_idx = 0x80000000;
	tap_is(xen_version(XENVER_get_features, features), -XEN_EINVAL, "a feature map beyond all");
}

static void console(void)
{
	char *text = before_edge(16);

	memcpy(text, "# a short text\n", 16);
	tap_is(console_io(CONSOLEIO_write, 0, bad_pointer(0)), 0, "no text from nowhere");
	tap_is(console_io(CONSOLEIO_write, 15, text), 0, "a text that ends at the edge");
	tap_is(console_io(CONSOLEIO_write, 0xffffffff, text), -XEN_EFAULT, "a text of 4 GiB");
	tap_is(console_io(CONSOLEIO_write, 0x80000000, text), -XEN_EFAULT,
	       "a text of negative length");
	tap_is(console_io(CONSOLEIO_read, 16, text), 0, "nothing was typed");
	tap_is(console_io(CONSOLEIO_read, 0xffffffff, bad_pointer(0)), 0,
	       "nor can it be put anywhere");
	memcpy(text, "# \033[2J\r\a\b\377\0 \n", 13);
	tap_is(console_io(CONSOLEIO_write, 13, text), 0, "a text with control characters");
}

static void versions(void)
{
	tap_is(xen_version(XENVER_pagesize, edge), -XEN_EINVAL, "the page size takes no argument");
	tap_ok(xen_version(XENVER_build_id, edge) < 0, "there is no build id");
	tap_is(xen_version(XENVER_version, bad_pointer(0)) > 0, 1,
	       "the version ignores its argument");
}

/* --- memory_op -----------------------------------------------------------------------------------
 */

static long add(uint32_t domain, unsigned space, native_ulong_t index, native_ulong_t gfn)
{
	add_to_physmap_t argument = {
	    .domid = (domid_t)domain, .space = space, .idx = index, .gpfn = gfn};

	return memory_op(XENMEM_add_to_physmap, &argument);
}

static long remove_frame(uint32_t domain, native_ulong_t gfn)
{
	remove_from_physmap_t argument = {.domid = (domid_t)domain, .gpfn = gfn};

	return memory_op(XENMEM_remove_from_physmap, &argument);
}

static void physmap(void)
{
	const native_ulong_t huge = (native_ulong_t)~0ull;

	tap_ok(add(DOMID_SELF, XENMAPSPACE_shared_info, 1, FREE_GFN) < 0, "a second shared page");
	tap_ok(add(DOMID_SELF, XENMAPSPACE_shared_info, 0, huge) < 0, "the shared page nowhere");
	tap_ok(add(DOMID_SELF, 5, 0, FREE_GFN) < 0, "device memory: no");
	tap_ok(add(DOMID_SELF, 6, 0, FREE_GFN) < 0, "an unknown space");
	tap_ok(add(DOMID_SELF, 0xffffffff, 0, FREE_GFN) < 0, "a space of all ones");
	tap_ok(add(DOMID_SELF, XENMAPSPACE_grant_table, huge, FREE_GFN) < 0,
	       "grant frame of all ones");
	tap_ok(add(DOMID_SELF, XENMAPSPACE_grant_table, XENMAPIDX_grant_table_status, FREE_GFN) < 0,
	       "a status frame");
	tap_ok(add(DOMID_SELF, XENMAPSPACE_grant_table, 0, huge) < 0, "at a frame of all ones");
	tap_ok(add(DOMID_SELF, XENMAPSPACE_grant_table, 0, (native_ulong_t)(1ull << 40)) < 0 ||
		   sizeof(huge) == 4,
	       "at a frame beyond all addresses");
	tap_ok(add(DOMID_SELF, XENMAPSPACE_gmfn_foreign, 256, FREE_GFN) < 0,
	       "a foreign page of nobody");
	tap_ok(add(self_domain() + 1, XENMAPSPACE_grant_table, 0, FREE_GFN) < 0,
	       "into the next domain's memory");
	tap_ok(add(0, XENMAPSPACE_grant_table, 0, FREE_GFN) < 0, "into domain 0's");
	tap_ok(add(DOMID_XEN, XENMAPSPACE_grant_table, 0, FREE_GFN) < 0, "into the hypervisor's");
	tap_ok(add(0xffff, XENMAPSPACE_grant_table, 0, FREE_GFN) < 0, "into nobody's");

	tap_ok(remove_frame(DOMID_SELF, huge) < 0, "removing a frame of all ones");
	tap_ok(remove_frame(DOMID_SELF, FREE_GFN) < 0, "removing one that is not there");
	tap_ok(remove_frame(self_domain() + 1, 256) < 0, "removing the next domain's");
	tap_ok(remove_frame(DOMID_XEN, 256) < 0, "removing the hypervisor's");
}

static void batches(void)
{
	/* Both arrays end at the edge, with one element too few. */
	native_ulong_t *short_array = before_edge(2 * sizeof(native_ulong_t));
	native_ulong_t good[3] = {0, 0, 0}, zero = 0;
	int32_t errors[3] = {0, 0, 0};
	add_to_physmap_batch_t batch = {.domid = DOMID_SELF,
					.space = XENMAPSPACE_gmfn_foreign,
					.size = 3,
					.foreign_domid = (domid_t)(self_domain() + 1),
					.idxs = handle(good),
					.gpfns = handle(good),
					.errs = handle(errors)};

	tap_is(memory_op(XENMEM_add_to_physmap_batch, &batch), -XEN_EPERM,
	       "a batch of foreign pages without the right");
	batch.space = 0xffff;
	tap_ok(memory_op(XENMEM_add_to_physmap_batch, &batch) < 0, "a batch of an unknown space");
	batch.space = XENMAPSPACE_grant_table;
	short_array[0] = 0;
	short_array[1] = 1;
	batch.idxs = handle(short_array);
	for (unsigned i = 0; i < 3; i++)
		good[i] = FREE_GFN + i;
	tap_is(memory_op(XENMEM_add_to_physmap_batch, &batch), -XEN_EFAULT,
	       "a batch whose end cannot be read");
	tap_ok(errors[0] == 0 && errors[1] == 0, "what comes before the end was done (%d, %d)",
	       errors[0], errors[1]);
	tap_ok(remove_frame(DOMID_SELF, FREE_GFN) == 0 &&
		   remove_frame(DOMID_SELF, FREE_GFN + 1) == 0,
	       "and can be undone");
	tap_ok(remove_frame(DOMID_SELF, FREE_GFN + 2) < 0, "the rest was not");
	batch.idxs = handle(&zero);
	batch.gpfns = handle(&good[2]);
	batch.size = 1;
	batch.errs = handle(nothing);
	tap_is(memory_op(XENMEM_add_to_physmap_batch, &batch), -XEN_EFAULT,
	       "a batch whose results cannot be written");
	tap_ok(remove_frame(DOMID_SELF, good[2]) < 0, "has done nothing");
	batch.size = 0xffff;
	batch.idxs = handle(nothing);
	tap_is(memory_op(XENMEM_add_to_physmap_batch, &batch), -XEN_EFAULT,
	       "a batch of 65535 from nowhere");
	batch.size = 0;
	tap_is(memory_op(XENMEM_add_to_physmap_batch, &batch), 0, "an empty batch from nowhere");
}

static void memory_maps(void)
{
	memory_map_t map = {0xffffffff, handle(nothing)};

	tap_is(memory_op(XENMEM_memory_map, &map), -XEN_EFAULT, "a memory map written to nothing");
	map.nr_entries = 0;
	tap_ok(memory_op(XENMEM_memory_map, &map) <= 0, "a memory map of no entries");
	map.nr_entries = 1;
	map.buffer = handle(before_edge(sizeof(struct e820_entry) - 1));
	tap_is(memory_op(XENMEM_memory_map, &map), -XEN_EFAULT,
	       "a memory map that runs into nothing");
}

/* --- grant_table_op ------------------------------------------------------------------------------
 */

static int setup(uint32_t domain, uint32_t frames, void *list)
{
	setup_table_t argument = {
	    .dom = (domid_t)domain, .nr_frames = frames, .status = 99, .frame_list = handle(list)};
	long result = grant_table_op(GNTTABOP_setup_table, &argument, 1);

	return result != 0 ? (int)result : argument.status;
}

static void grant_tables(void)
{
	struct gnttab_query_size size = {.dom = DOMID_SELF, .status = 99};
	static native_ulong_t list[64];

	grant_table_op(GNTTABOP_query_size, &size, 1);
	tap_ok(setup(DOMID_SELF, size.max_nr_frames + 1, list) < 0,
	       "a table of more than %u frames", size.max_nr_frames);
	tap_ok(setup(DOMID_SELF, 0xffffffff, list) < 0, "a table of 4G frames");
	tap_ok(setup(self_domain() + 1, 1, list) < 0, "the next domain's table");
	tap_ok(setup(DOMID_XEN, 1, list) < 0, "the hypervisor's table");
	tap_is(setup(DOMID_SELF, 1, nothing), GNTST_bad_virt_addr, "a list that cannot be written");
	tap_ok(grant_table_op(GNTTABOP_setup_table, list, 2) < 0, "two tables at once");
	tap_ok(grant_table_op(GNTTABOP_query_size, list, 0) < 0, "the size of no table");
}

static void grants(void)
{
	static const uint32_t handles[] = {0, 1, 12345, 0x7fffffff, 0xffffffff};
	static const uint32_t flags[] = {GNTMAP_device_map | GNTMAP_host_map,
					 GNTMAP_host_map | GNTMAP_contains_pte,
					 GNTMAP_host_map | GNTMAP_application_map,
					 GNTMAP_host_map | 0x20, GNTMAP_host_map | 0x80000000};
	volatile struct grant_entry_v1 *table = grant_table_at(HOLE);
	struct gnttab_map_grant_ref *map = before_edge(sizeof(*map));
	grant_handle_t handle;
	unsigned wrong = 0;

	for (unsigned i = 0; i < array_size(handles); i++)
		wrong += grant_unmap(HOLE + PAGE_SIZE, handles[i]) != GNTST_bad_handle;
	tap_is(wrong, 0, "handles that were never given out: GNTST_bad_handle");
	tap_is(grant_map(0x7000, 8, HOLE + PAGE_SIZE, GNTMAP_host_map, &handle), GNTST_bad_domain,
	       "a grant of nobody's");
	tap_ok(grant_map(DOMID_XEN, 8, HOLE + PAGE_SIZE, GNTMAP_host_map, &handle) < 0,
	       "a grant of the hypervisor's");
	tap_ok(grant_map(0, 8, HOLE + PAGE_SIZE, GNTMAP_host_map, &handle) < 0,
	       "a grant of domain 0's");
	for (unsigned i = 0; i < array_size(flags); i++)
		tap_ok(grant_map(self_domain(), 8, HOLE + PAGE_SIZE, flags[i], &handle) < 0,
		       "a mapping with flags 0x%x", flags[i]);

	/* Entries that grant what is not this guest's own RAM, to itself. */
	grant_access(table, 8, self_domain(), (void *)0xd0000000ul, 0);
	tap_is(grant_map(self_domain(), 8, HOLE + PAGE_SIZE, GNTMAP_host_map, &handle),
	       GNTST_bad_page, "a grant of a frame that is not there");
	tap_is(table[8].flags, GTF_permit_access, "its entry is as it was");
	grant_access(table, 8, self_domain(), (void *)HOLE, 0);
	tap_is(grant_map(self_domain(), 8, HOLE + PAGE_SIZE, GNTMAP_host_map, &handle),
	       GNTST_bad_page, "a grant of the grant table");
	table[8].frame = 0xffffffff;
	tap_is(grant_map(self_domain(), 8, HOLE + PAGE_SIZE, GNTMAP_host_map, &handle),
	       GNTST_bad_page, "a grant of frame 0xffffffff");
	table[8].flags = 0xffff;
	tap_ok(grant_map(self_domain(), 8, HOLE + PAGE_SIZE, GNTMAP_host_map, &handle) < 0,
	       "an entry with all flags");
	table[8].flags = 0;

	/* The last address of guest-physical memory, and one beyond it. */
	tap_ok(grant_map(self_domain(), 8, 0xfffff000, GNTMAP_host_map, &handle) < 0,
	       "a grant of none");
	*map = (struct gnttab_map_grant_ref){.host_addr = 0xfffffffffffff000ull,
					     .flags = GNTMAP_host_map,
					     .ref = 8,
					     .dom = (domid_t)self_domain(),
					     .status = 99};
	tap_is(grant_table_op(GNTTABOP_map_grant_ref, map, 1), 0, "a place beyond all addresses:");
	tap_ok(map->status < 0, "status %d", map->status);

	map->status = 99;
	tap_is(grant_table_op(GNTTABOP_map_grant_ref, map, 2), -XEN_EFAULT,
	       "a batch whose second element is not there");
	tap_ok(map->status < 0, "its first one has a status: %d", map->status);
	tap_is(grant_table_op(GNTTABOP_map_grant_ref, map, 0), 0, "a batch of none");
	tap_is(grant_table_op(GNTTABOP_map_grant_ref, map, 0xffffffff), -XEN_EFAULT,
	       "a batch of 4G elements");
	tap_is(grant_table_op(GNTTABOP_unmap_grant_ref, before_edge(24), 0x80000000), -XEN_EFAULT,
	       "a batch of 2G unmappings");
	tap_is(grant_table_op(GNTTABOP_map_grant_ref, bad_pointer(array_size(bad_pointers) - 1), 0),
	       0, "a batch of none from nowhere");
}

/* --- CPL 3 ---------------------------------------------------------------------------------------
 */

extern const char user_code[], user_code_end[];
__asm__(".section .rodata\n"
	"user_code:\n"
	"	vmcall\n"
	"	ud2\n" /* back, with the result in rax */
	"user_code_end:\n"
	".text\n");

static void user_mode(void)
{
#ifdef __x86_64__
	const unsigned long code = PAGING_FREE + 16 * PAGE_SIZE;

	paging_map(code, (uintptr_t)user_code & ~(PAGE_SIZE - 1), PTE_U);
	paging_map(code + PAGE_SIZE, ((uintptr_t)user_code & ~(PAGE_SIZE - 1)) + PAGE_SIZE, PTE_U);
	unsigned long entry = code + ((uintptr_t)user_code & (PAGE_SIZE - 1));
#else
	unsigned long entry = (unsigned long)user_code;
#endif
	struct trap t;

	/* user_enter() leaves RAX alone, so that the call's number is whatever it is: none is let
	 * through. */
	t = TRAP(user_enter(entry, 0));
	tap_ok(t.vector == VECTOR_UD && t.ip == entry + 3,
	       "a hypercall at CPL 3 returns to its caller");
	tap_is((int)t.ax, -XEN_EPERM, "with -EPERM");
}

/* --- paging modes ------------------------------------------------------------------------------
 */

#ifdef __i386__
/* Long mode has no 16-bit tasks: it is not entered with one, whether the processor or, since CD
 * changes with it, the hypervisor looks. */
static void long_mode_with_16bit_task(void)
{
	const uint64_t type = 0xfull << 40, available_16 = 1ull << 40, available_32 = 9ull << 40;
	unsigned long cr0 = read_cr0(), cr4 = read_cr4();
	uint64_t *tss = &gdt[SEL_TSS / 8];
	struct trap t;

	*tss = (*tss & ~type) | available_16;
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
	write_cr4(cr4 | CR4_PAE);
	wrmsr(MSR_EFER, EFER_LME);
	t = TRAP(write_cr0(cr0 | CR0_PG));
	tap_ok(t.vector == VECTOR_GP && !t.error, "long mode with a 16-bit task: #GP(0)");
	t = TRAP(write_cr0((cr0 | CR0_PG) ^ CR0_CD));
	tap_ok(t.vector == VECTOR_GP && !t.error, "also if the hypervisor has to look");
	tap_is(read_cr0(), cr0, "CR0 is as it was");
	wrmsr(MSR_EFER, 0);
	write_cr4(cr4);
	*tss = (*tss & ~type) | available_32;
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
}
#else
static void long_mode_with_16bit_task(void) {}
#endif

int main(void)
{
	if (!xen_present)
		tap_bail_out("there is no hypervisor");
	make_edge();
	unknown_numbers();
	unknown_commands();
	bad_pointers_everywhere();
	straddling();
	console();
	versions();
	physmap();
	batches();
	memory_maps();
	grant_tables();
	grants();
	user_mode();
	long_mode_with_16bit_task();
	tap_ok(xen_version(XENVER_version, NULL) > 0, "after all this, calls still work");
	tap_done();
}
