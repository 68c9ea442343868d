/*
 * balloon: gives RAM back and takes it again; what it gets is cleared; it never gets more than it
 * was configured with; and all that must fail fails. At the end it owns what it had at the start.
 */
#include "guest.h"

#define PAGES  200u
#define BLOCK  0x400000ul /* 2 MiB that nothing lies in */
#define SINGLE 0x700000ul /* single pages */
#define ORDER  9u
#define STAMP  0x9e3779b97f4a7c15ull

static native_ulong_t gfns[PAGES];

static long reserve(unsigned command, const void *list, unsigned long count, unsigned order)
{
	memory_reservation_t argument = {.extent_start = handle(list),
					 .nr_extents = (native_ulong_t)count,
					 .extent_order = order,
					 .domid = DOMID_SELF};

	return memory_op(command, &argument);
}

static long decrease(unsigned long count, unsigned order)
{
	return reserve(XENMEM_decrease_reservation, gfns, count, order);
}

static long populate(unsigned long count, unsigned order)
{
	return reserve(XENMEM_populate_physmap, gfns, count, order);
}

static long owned(void)
{
	domid_t id = DOMID_SELF;

	return memory_op(XENMEM_current_reservation, &id);
}

static void one(unsigned long gfn)
{
	gfns[0] = (native_ulong_t)gfn;
}

/* Pages from a place on, with so many pages from one to the next. */
static void fill(unsigned long address, unsigned count, unsigned stride)
{
	for (unsigned i = 0; i < count; i++)
		gfns[i] = (native_ulong_t)(address / PAGE_SIZE + i * stride);
}

static void stamp(unsigned long address, unsigned long length)
{
	for (unsigned long at = 0; at < length; at += PAGE_SIZE)
		*(volatile uint64_t *)(address + at) = STAMP + at;
}

static bool is_stamped(unsigned long address, unsigned long length)
{
	for (unsigned long at = 0; at < length; at += PAGE_SIZE)
		if (*(volatile uint64_t *)(address + at) != STAMP + at)
			return false;
	return true;
}

static bool is_clear(unsigned long address, unsigned long length)
{
	for (unsigned long at = 0; at < length; at += sizeof(uint64_t))
		if (*(volatile uint64_t *)(address + at))
			return false;
	return true;
}

static void singles(long all)
{
	stamp(SINGLE, PAGES * PAGE_SIZE);
	fill(SINGLE, PAGES, 1);
	tap_is(decrease(PAGES, 0), PAGES, "%u pages in a row are given back", PAGES);
	tap_is(owned(), all - (long)PAGES, "they are not owned any more");
	tap_is(populate(PAGES, 0), PAGES, "and taken again");
	tap_ok(is_clear(SINGLE, PAGES * PAGE_SIZE), "all clear");
	stamp(SINGLE, PAGES * PAGE_SIZE);
	fill(SINGLE, PAGES / 2, 2);
	tap_is(decrease(PAGES / 2, 0), PAGES / 2, "every second page is given back");
	fill(HOLE, PAGES / 2, 1);
	tap_is(populate(PAGES / 2, 0), PAGES / 2, "as many appear where no RAM was");
	tap_ok(is_clear(HOLE, PAGES / 2 * PAGE_SIZE), "all clear");
	tap_is(*(volatile uint64_t *)(SINGLE + PAGE_SIZE), STAMP + PAGE_SIZE,
	       "what lies between was left alone");
	tap_is(decrease(PAGES / 2, 0), PAGES / 2, "they are given back");
	fill(SINGLE, PAGES / 2, 2);
	tap_is(populate(PAGES / 2, 0), PAGES / 2, "and the others taken");
	tap_is(owned(), all, "now all is owned again");
}

static void blocks(long all)
{
	stamp(BLOCK, 512 * PAGE_SIZE);
	one(BLOCK / PAGE_SIZE);
	tap_is(decrease(1, ORDER), 1, "2 MiB are given back");
	tap_is(owned(), all - 512, "all of them");
	tap_is(populate(1, ORDER), 1, "and taken again");
	tap_ok(is_clear(BLOCK, 512 * PAGE_SIZE), "all clear");
	stamp(BLOCK, 512 * PAGE_SIZE);
	one(BLOCK / PAGE_SIZE + 77);
	tap_is(decrease(1, 0), 1, "one page out of the middle of 2 MiB");
	tap_ok(is_stamped(BLOCK, 77 * PAGE_SIZE), "those before it are left alone");
	tap_is(populate(1, 0), 1, "and back in");
	tap_is(*(volatile uint64_t *)(BLOCK + 77 * PAGE_SIZE), 0, "it is clear");
	one(BLOCK / PAGE_SIZE);
	tap_is(decrease(1, ORDER), 1, "2 MiB of pieces are given back");
	one(HOLE / PAGE_SIZE + 3);
	tap_is(populate(1, ORDER), 1, "2 MiB where they are not aligned");
	stamp(HOLE + 3 * PAGE_SIZE, 512 * PAGE_SIZE);
	tap_ok(is_stamped(HOLE + 3 * PAGE_SIZE, 512 * PAGE_SIZE), "each page is one of its own");
	tap_is(decrease(1, ORDER), 1, "they are given back");
	one(BLOCK / PAGE_SIZE);
	tap_is(populate(1, ORDER), 1, "and aligned again");
	tap_is(owned(), all, "now all is owned again");
}

static void mistakes(long all)
{
	memory_reservation_t other = {.extent_start = handle(gfns), .nr_extents = 1, .domid = 0};
	domid_t id = 0;

	one(HOLE / PAGE_SIZE);
	tap_is(populate(1, 0), 0, "beyond the limit: none");
	tap_is(populate(1, ORDER), 0, "nor 2 MiB");
	tap_is(decrease(1, 0), 0, "where no RAM is: none");
	one(SINGLE / PAGE_SIZE);
	gfns[1] = gfns[0];
	/* RAM that has no frame yet can be given back at no cost, as often as one likes. */
	tap_is(decrease(2, 0), option("lazy") ? 2 : 1, "twice the same: once, if it was there");
	tap_is(populate(2, 0), 1, "twice to the same place: once");
	one(SINGLE / PAGE_SIZE);
	tap_is(decrease(1, 10), 0, "an order that is too large: none");
	tap_is(decrease(1, 64), 0, "order 64: none");
	tap_is(decrease(1, ~0u), 0, "the largest order: none");
	tap_is(decrease(~0ul, 0), 0, "more extents than can be counted: none");
	tap_is(decrease(0, 0), 0, "none of none");
	tap_is(hypercall(__HYPERVISOR_memory_op, XENMEM_decrease_reservation | 1000 << 6,
			 (unsigned long)&other, 0),
	       -XEN_EPERM, "a made-up continuation does not help");
	one(~0ul);
	tap_is(decrease(1, 0), 0, "the last frame number there is: none");
	tap_is(decrease(1, ORDER), 0, "2 MiB that wrap: none");
	tap_is(populate(1, ORDER), 0, "nor can they be populated");
	one(1ul << (sizeof(long) == 8 ? 27 : 31));
	tap_is(populate(1, 0), 0, "beyond what a guest can address: none");
	tap_is(reserve(XENMEM_decrease_reservation, (const void *)(~0ul & ~0xffful), 4096, 0), 0,
	       "a list where no memory is: none");
	tap_is(memory_op(XENMEM_decrease_reservation, &other), -XEN_EPERM,
	       "another domain's memory: refused");
	tap_is(memory_op(XENMEM_populate_physmap, &other), -XEN_EPERM, "for it: refused");
	tap_is(memory_op(XENMEM_current_reservation, &id), -XEN_EPERM, "its size: refused");
	id = DOMID_SELF;
	tap_is(memory_op(XENMEM_maximum_reservation, &id), all, "the limit is known");
	tap_is(owned(), all, "nothing has been lost or won");
}

int main(void)
{
	long all;

	tap_plan(49);
	tap_ok((uintptr_t)image_end < BLOCK && start_info_address < BLOCK,
	       "image and start info lie below the test's pages");
	if (option("lazy")) {
		all = (long)(option_number("mem", 0) / PAGE_SIZE);
		tap_ok(owned() < all, "what was not touched is not owned yet (%ld of %ld)", owned(),
		       all);
		for (uint64_t at = PAGE_SIZE; at < (uint64_t)all * PAGE_SIZE; at += PAGE_SIZE)
			(void)*(volatile uint8_t *)(uintptr_t)at;
	} else {
		tap_ok(true, "RAM is there from the start");
	}
	all = owned();
	tap_is(all, (long)(option_number("mem", 0) / PAGE_SIZE), "all of mem= is owned");
	singles(all);
	blocks(all);
	mistakes(all);
	tap_done();
}
