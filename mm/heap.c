/*
 * The heap: objects in size classes, on the vmap area.
 *
 * State: slab records and owner records, in arrays of their own (mm/meta.h), found through the mark
 * of a slab's vmap area: heap_lock.
 *
 * A slab is one page of objects of one size and one owner; objects of different owners never share
 * a page, so that none can be reached by running over another's end. Nothing about an object lies
 * in its page: which ones are in use is a bitmap in the slab's record. A free object is all zero,
 * wiped when it was freed. More than the largest class takes whole pages of its own; an area has
 * exactly as many as it needs. A slab's page is given back with its last object, an owner's record
 * with its last slab.
 */
#include "mm/heap.h"
#include "layout.h"
#include "lock.h"
#include "mm/fail.h"
#include "mm/meta.h"
#include "mm/vmap.h"
#include "print.h"
#include "public/errno.h"

#define NONE		0u /* record 0 is not used */
#define MARK_PAGES	UINT32_MAX
#define OWNER_HEADS	64u
#define BITMAP_WORDS	4u
#define CLASS_COUNT	14u
#define OBJECT_SIZE_MAX (1ull << 38) /* more than the vmap area can hold */

static const uint16_t class_size[CLASS_COUNT] = {16,  32,  48,	64,  96,   128,	 192,
						 256, 384, 512, 768, 1024, 1360, 2048};

_Static_assert(PAGE_SIZE / 16 == BITMAP_WORDS * 64, "a bit for each of the smallest objects");

/* next and prev: slabs of one owner and class that have free objects. */
struct slab {
	uint64_t used[BITMAP_WORDS]; /* bit o: object o is in use */
	uint64_t page;		     /* its address; 0 in an unused record */
	uint16_t used_count;
	domid_t owner;
	uint32_t size_class;
	uint32_t next, prev;
	uint64_t padding;
};
static_assert_size(struct slab, 64);

struct owner {
	domid_t id;
	uint32_t slab_count;
	uint32_t next; /* owners with the same hash, or unused records */
	uint32_t partial[CLASS_COUNT];
};

static struct lock heap_lock = LOCK_INIT(LOCK_HEAP);

/* All under heap_lock. */
static struct meta_array slab_pages = {.base = LAYOUT_META_SLABS};
static struct meta_array owner_pages = {.base = LAYOUT_META_OWNERS};
static uint32_t slab_top = 1, owner_top = 1; /* records from here on were never used */
static uint32_t unused_slabs, unused_owners;
static uint32_t owner_heads[OWNER_HEADS];

static struct slab *slab_of(uint32_t record)
{
	return (struct slab *)LAYOUT_META_SLABS + record;
}

static struct owner *owner_of(uint32_t record)
{
	return (struct owner *)LAYOUT_META_OWNERS + record;
}

static uint32_t class_capacity(uint32_t size_class)
{
	return PAGE_SIZE / class_size[size_class];
}

static uint32_t class_for(size_t size_bytes)
{
	uint32_t size_class = 0;

	while (class_size[size_class] < size_bytes)
		size_class++;
	return size_class;
}

/* --- records: heap_lock held --- */

static int slab_record_take(uint32_t *out)
{
	if (unused_slabs != NONE) {
		*out = unused_slabs;
		unused_slabs = slab_of(*out)->next;
		return 0;
	}
	int rc = meta_reserve(&slab_pages, (slab_top + 1ull) * sizeof(struct slab));
	if (!rc)
		*out = slab_top++;
	return rc;
}

static void slab_record_drop(uint32_t record)
{
	*slab_of(record) = (struct slab){.next = unused_slabs};
	unused_slabs = record;
}

static uint32_t *owner_head(domid_t id)
{
	return &owner_heads[id % OWNER_HEADS];
}

static uint32_t owner_find(domid_t id)
{
	uint32_t record = *owner_head(id);

	while (record != NONE && owner_of(record)->id != id)
		record = owner_of(record)->next;
	return record;
}

/* The owner's record, a new one if it has none: dropped again by owner_drop_if_unused(). */
static int owner_take(domid_t id, uint32_t *out)
{
	*out = owner_find(id);
	if (*out != NONE)
		return 0;
	if (unused_owners != NONE) {
		*out = unused_owners;
		unused_owners = owner_of(*out)->next;
	} else {
		int rc = meta_reserve(&owner_pages, (owner_top + 1ull) * sizeof(struct owner));

		if (rc)
			return rc;
		*out = owner_top++;
	}
	*owner_of(*out) = (struct owner){.id = id, .next = *owner_head(id)};
	*owner_head(id) = *out;
	return 0;
}

static void owner_drop_if_unused(uint32_t record)
{
	struct owner *owner = owner_of(record);
	uint32_t *link = owner_head(owner->id);

	if (owner->slab_count)
		return;
	while (*link != record)
		link = &owner_of(*link)->next;
	*link = owner->next;
	*owner = (struct owner){.next = unused_owners};
	unused_owners = record;
}

static void partial_insert(struct owner *owner, uint32_t record)
{
	struct slab *slab = slab_of(record);

	slab->prev = NONE;
	slab->next = owner->partial[slab->size_class];
	if (slab->next != NONE)
		slab_of(slab->next)->prev = record;
	owner->partial[slab->size_class] = record;
}

static void partial_remove(struct owner *owner, uint32_t record)
{
	struct slab *slab = slab_of(record);

	if (slab->prev != NONE)
		slab_of(slab->prev)->next = slab->next;
	else
		owner->partial[slab->size_class] = slab->next;
	if (slab->next != NONE)
		slab_of(slab->next)->prev = slab->prev;
}

/* --- slabs: heap_lock held --- */

static int slab_create(uint32_t owner, uint32_t size_class)
{
	uint32_t record;
	void *page;
	int rc = slab_record_take(&record);

	if (rc)
		return rc;
	rc = vmap_alloc(1, &page);
	if (rc) {
		slab_record_drop(record);
		return rc;
	}
	vmap_set_mark(page, record);
	*slab_of(record) = (struct slab){
	    .page = (uint64_t)page, .owner = owner_of(owner)->id, .size_class = size_class};
	partial_insert(owner_of(owner), record);
	owner_of(owner)->slab_count++;
	return 0;
}

static void slab_destroy(uint32_t owner, uint32_t record)
{
	partial_remove(owner_of(owner), record);
	owner_of(owner)->slab_count--;
	vmap_free((void *)slab_of(record)->page);
	slab_record_drop(record);
}

static void *slab_take_object(struct owner *owner, uint32_t record)
{
	struct slab *slab = slab_of(record);
	uint32_t word = 0;

	/* Bits beyond the capacity are not reached: the slab has a free object below them. */
	while (!~slab->used[word])
		word++;
	uint32_t bit = (uint32_t)__builtin_ctzll(~slab->used[word]);
	slab->used[word] |= 1ull << bit;
	if (++slab->used_count == class_capacity(slab->size_class))
		partial_remove(owner, record);
	return (void *)(slab->page + (uint64_t)(word * 64 + bit) * class_size[slab->size_class]);
}

static int alloc_small(size_t size_bytes, domid_t id, void **out)
{
	uint32_t size_class = class_for(size_bytes), record;
	int rc;

	lock_acquire(&heap_lock);
	rc = owner_take(id, &record);
	if (!rc && owner_of(record)->partial[size_class] == NONE)
		rc = slab_create(record, size_class);
	if (!rc)
		*out = slab_take_object(owner_of(record), owner_of(record)->partial[size_class]);
	else if (record != NONE)
		owner_drop_if_unused(record);
	lock_release(&heap_lock);
	return rc;
}

static int alloc_pages(size_t size_bytes, void **out)
{
	int rc = vmap_alloc((size_bytes + PAGE_SIZE - 1) / PAGE_SIZE, out);

	if (!rc)
		vmap_set_mark(*out, MARK_PAGES);
	return rc;
}

int heap_alloc(size_t size_bytes, domid_t owner, void **out)
{
	if (!size_bytes)
		return -XEN_EINVAL;
	if (size_bytes > OBJECT_SIZE_MAX || fail_now())
		return -XEN_ENOMEM;
	if (size_bytes > class_size[CLASS_COUNT - 1])
		return alloc_pages(size_bytes, out);
	return alloc_small(size_bytes, owner, out);
}

/* Object number of a pointer into a slab; panics if no object in use begins there. */
static uint32_t object_number(const struct slab *slab, uint64_t address)
{
	uint64_t offset = address - slab->page;
	uint32_t size = class_size[slab->size_class], number = (uint32_t)(offset / size);

	if (offset % size || number >= class_capacity(slab->size_class) ||
	    !(slab->used[number / 64] >> (number % 64) & 1))
		panic("no heap object in use begins at %lx", address);
	return number;
}

static void free_small(uint32_t record, void *object)
{
	struct slab *slab = slab_of(record);
	uint32_t number = object_number(slab, (uint64_t)object);
	uint32_t owner = owner_find(slab->owner);

	__builtin_memset(object, 0, class_size[slab->size_class]);
	slab->used[number / 64] &= ~(1ull << (number % 64));
	if (slab->used_count-- == class_capacity(slab->size_class))
		partial_insert(owner_of(owner), record);
	if (!slab->used_count) {
		slab_destroy(owner, record);
		owner_drop_if_unused(owner);
	}
}

/*
 * Frees an object and wipes it. NULL is nothing to free. Panics on a pointer that heap_alloc() did
 * not return, or that is free already. Pages that become empty are free after an epoch.
 */
void heap_free(void *object)
{
	size_t page_count;
	uint32_t mark;

	if (!object)
		return;
	lock_acquire(&heap_lock);
	if (!vmap_find(object, &page_count, &mark) || mark == NONE)
		panic("no heap object in use begins at %p", object);
	if (mark != MARK_PAGES) {
		free_small(mark, object);
	} else {
		if ((uint64_t)object & (PAGE_SIZE - 1))
			panic("no heap object in use begins at %p", object);
		__builtin_memset(object, 0, page_count * PAGE_SIZE);
		vmap_free(object);
	}
	lock_release(&heap_lock);
}

bool heap_find_page(const void *page, size_t *page_count, domid_t *owner)
{
	uint32_t mark;

	lock_acquire(&heap_lock);
	bool found = vmap_find(page, page_count, &mark) && mark != NONE;
	if (found)
		*owner = mark == MARK_PAGES ? DOMID_HYPERVISOR : slab_of(mark)->owner;
	lock_release(&heap_lock);
	return found;
}

/* Called once, at boot, after vmap_init(). -XEN_ENOMEM. */
int heap_init(void)
{
	lock_acquire(&heap_lock);
	int rc = meta_reserve(&slab_pages, sizeof(struct slab) * 2);
	if (!rc)
		rc = meta_reserve(&owner_pages, sizeof(struct owner) * 2);
	lock_release(&heap_lock);
	return rc;
}
