/*
 * Classes of the audit: what each mapping is for, and whose it is.
 *
 * State: none. By the address, as include/layout.h has it, and then by the records of whoever
 * manages that region: the frame table for tables and vCPUs, the heap for its pages. Takes the
 * locks of heap and vmap for look-ups. That a mapping has a class does not say that it may be
 * there: mm/audit.c judges that, and asks none of these records but the frame table.
 */
#include "mm/audit_class.h"
#include "image.h"
#include "layout.h"
#include "mm/direct_map.h"
#include "mm/frame.h"
#include "mm/heap.h"
#include "mm/private.h"
#include "percpu.h"
#include "print.h"

static const char *const class_names[AUDIT_CLASS_COUNT] = {
    [AUDIT_IMAGE_TEXT] = "image.text",
    [AUDIT_IMAGE_RODATA] = "image.rodata",
    [AUDIT_IMAGE_DATA] = "image.data",
    [AUDIT_FRAME_TABLE] = "frame-table",
    [AUDIT_TABLES_USED] = "tables.used",
    [AUDIT_TABLES_FREE] = "tables.free",
    [AUDIT_HEAP] = "vmap.heap",
    [AUDIT_META_VMAP] = "vmap.meta-areas",
    [AUDIT_META_HEAP] = "vmap.meta-heap",
    [AUDIT_META_PAHASH] = "vmap.meta-pahash",
    [AUDIT_VMAP_OTHER] = "vmap.other",
    [AUDIT_DEVICE] = "vmap.device",
    [AUDIT_PRIVATE_TABLES] = "private.tables",
    [AUDIT_PRIVATE_DATA] = "private.data",
    [AUDIT_PRIVATE_STACK] = "private.stack",
    [AUDIT_PRIVATE_IST] = "private.ist",
    [AUDIT_PRIVATE_VCPU] = "private.vcpu",
    [AUDIT_PRIVATE_WINDOW] = "private.window",
    [AUDIT_DIRECT_MAP] = "direct-map",
    [AUDIT_STRAY] = "stray",
};

const char *audit_class_name(enum audit_class class)
{
	return class_names[class];
}

const char *audit_rights(enum host_prot prot)
{
	static const char *const texts[] = {
	    [HOST_R] = "r--", [HOST_RW] = "rw-", [HOST_RX] = "r-x", [HOST_RW_UC] = "rw-"};

	return texts[prot];
}

/* "host", "cpu3" or "d5". */
void audit_owner(const struct audit_kind *kind, char text[AUDIT_OWNER_SIZE])
{
	if (kind->domain != DOMID_HYPERVISOR)
		format_string(text, AUDIT_OWNER_SIZE, "d%u", kind->domain);
	else if (kind->of_cpu)
		format_string(text, AUDIT_OWNER_SIZE, "cpu%u", cpu_index());
	else
		format_string(text, AUDIT_OWNER_SIZE, "host");
}

static bool within(uint64_t va, uint64_t start, uint64_t size)
{
	return va - start < size;
}

static enum audit_class class_of_private(uint64_t offset)
{
	if (within(offset, PRIVATE_TABLES, 4 * PAGE_SIZE))
		return AUDIT_PRIVATE_TABLES;
	if (within(offset, PRIVATE_CPU, PRIVATE_CPU_PAGES * PAGE_SIZE))
		return AUDIT_PRIVATE_DATA;
	if (within(offset, PRIVATE_STACK, PRIVATE_STACK_PAGES * PAGE_SIZE))
		return AUDIT_PRIVATE_STACK;
	if (within(offset, PRIVATE_IST, PRIVATE_IST_COUNT * PRIVATE_IST_STRIDE) &&
	    (offset - PRIVATE_IST) % PRIVATE_IST_STRIDE < PRIVATE_IST_PAGES * PAGE_SIZE)
		return AUDIT_PRIVATE_IST;
	if (within(offset, PRIVATE_VCPU, PRIVATE_VCPU_PAGES * PAGE_SIZE))
		return AUDIT_PRIVATE_VCPU;
	if (within(offset, PRIVATE_WINDOW, PAGE_2M_SIZE + PAGE_2M_SIZE))
		return AUDIT_PRIVATE_WINDOW;
	return AUDIT_STRAY;
}

static enum audit_class class_of_meta(uint64_t va)
{
	if (va < LAYOUT_META_SLABS)
		return AUDIT_META_VMAP;
	return va < LAYOUT_META_PAHASH ? AUDIT_META_HEAP : AUDIT_META_PAHASH;
}

/* The heap knows a page only if an object or a slab begins there; an area's later pages are as its
 * first one. */
static void find_area(uint64_t va, struct audit_area *area)
{
	size_t page_count;

	if (va < area->end)
		return;
	area->class = heap_find_page((const void *)va, &page_count, &area->domain)
			  ? AUDIT_HEAP
			  : AUDIT_VMAP_OTHER;
	area->end = va + (area->class == AUDIT_HEAP ? page_count : 1) * PAGE_SIZE;
}

/* Page number `page` of a leaf. Leaves come in address order; *area keeps the place. */
struct audit_kind audit_classify(const struct hostpt_leaf *leaf, size_t page,
				 struct audit_area *area)
{
	struct audit_kind kind = {.class = AUDIT_STRAY, .prot = leaf->prot};
	uint64_t va = leaf->va + page * PAGE_SIZE, base = private_base_of(cpu_index());
	mfn_t frame = mfn_add(leaf->frame, page);

	if (within(va, base, LAYOUT_PRIVATE_SIZE)) {
		kind.class = class_of_private(va - base);
		kind.of_cpu = true;
		kind.domain = frame_owner(frame);
	} else if (within(va, LAYOUT_FRAME_TABLE, LAYOUT_SLOT_SIZE)) {
		kind.class = AUDIT_FRAME_TABLE;
	} else if (within(va, LAYOUT_POOL, LAYOUT_PHYS_LIMIT)) {
		kind.class = frame_refs(frame) ? AUDIT_TABLES_USED : AUDIT_TABLES_FREE;
	} else if (within(va, LAYOUT_VMAP, LAYOUT_VMAP_AREAS_SIZE)) {
		find_area(va, area);
		kind.class = leaf->prot == HOST_RW_UC ? AUDIT_DEVICE : area->class;
		kind.domain = kind.class == AUDIT_HEAP ? area->domain : DOMID_HYPERVISOR;
	} else if (within(va, LAYOUT_META, LAYOUT_VMAP_SIZE - LAYOUT_VMAP_AREAS_SIZE)) {
		kind.class = class_of_meta(va);
	} else if (within(va, (uint64_t)image_start, (uint64_t)(image_end - image_start))) {
		kind.class = va < (uint64_t)image_text_end     ? AUDIT_IMAGE_TEXT
			     : va < (uint64_t)image_rodata_end ? AUDIT_IMAGE_RODATA
							       : AUDIT_IMAGE_DATA;
	} else if (direct_map_has(va)) {
		kind.class = AUDIT_DIRECT_MAP;
		kind.domain = frame_owner(frame);
	}
	return kind;
}
