/*
 * foreign-mapper: has the right (priv=) to map the pages of foreign-owner, the domain before this
 * one or `peer-at=` numbers before; maps them in one batch, answers in them, takes them away; and
 * tries what must fail.
 */
#include "../foreign-owner/shared.h"
#include "guest.h"
#include "public/keyhole.h"

#define AT(i) (HOLE + (i)*PAGE_SIZE)

/* 2 MiB, aligned, without RAM. */
#define BLOCK_AT(i) (HOLE + 0x200000 + (i)*PAGE_SIZE)

static native_ulong_t indices[BLOCK_PAGES], places[BLOCK_PAGES];
static int32_t errors[BLOCK_PAGES];
static uint32_t peer;

static long map(uint32_t domain, unsigned count)
{
	add_to_physmap_batch_t batch = foreign_batch(domain, count, indices, places, errors);

	memset(errors, 0x5a, sizeof(errors));
	return memory_op(XENMEM_add_to_physmap_batch, &batch);
}

static void all_pages(void)
{
	for (unsigned i = 0; i < SHARED_PAGES; i++) {
		indices[i] = (native_ulong_t)(SHARED_START / PAGE_SIZE + i);
		places[i] = (native_ulong_t)(AT(i) / PAGE_SIZE);
	}
}

static bool owner_is_ready(void)
{
	struct shared_page *page = (struct shared_page *)AT(0);

	return page->owner == OWNER_MAGIC(0);
}

static void errors_per_page(void)
{
	add_to_physmap_t single = {.domid = DOMID_SELF,
				   .space = XENMAPSPACE_gmfn_foreign,
				   .idx = (native_ulong_t)(SHARED_START / PAGE_SIZE),
				   .gpfn = (native_ulong_t)(AT(100) / PAGE_SIZE)};

	all_pages();
	indices[1] = NOT_RAM / PAGE_SIZE;
	indices[2] = (native_ulong_t)~0ull;
	places[0] = (native_ulong_t)(AT(100) / PAGE_SIZE);
	places[1] = (native_ulong_t)(AT(101) / PAGE_SIZE);
	places[2] = (native_ulong_t)(AT(102) / PAGE_SIZE);
	places[4] = (native_ulong_t)~0ull;
	places[5] = 0x100000 / PAGE_SIZE;
	tap_is(map(peer, 6), 0, "a batch with mistakes in it is gone through");
	tap_is(errors[0], 0, "what is right in it is done");
	tap_is(errors[1], -XEN_EINVAL, "no RAM of the owner's: refused");
	tap_is(errors[2], -XEN_EINVAL, "a frame number beyond everything: refused");
	tap_is(errors[3], -XEN_EEXIST, "a place that is taken by a foreign page: refused");
	tap_is(errors[4], -XEN_EINVAL, "a place beyond everything: refused");
	tap_is(errors[5], -XEN_EEXIST, "a place where there is RAM: refused");
	tap_is(errors[6], 0x5a5a5a5a, "behind the end of the batch nothing is written");
	tap_is(page_remove(AT(100)), 0, "what was done can be undone");
	tap_ok(memory_op(XENMEM_add_to_physmap, &single) < 0,
	       "a foreign page without naming its owner: refused");
}

static void errors_per_call(void)
{
	bool any = option("any") != NULL;

	all_pages();
	places[0] = (native_ulong_t)(AT(100) / PAGE_SIZE);
	tap_is(map(0x7000, 1), any ? -XEN_ESRCH : -XEN_EPERM,
	       "a domain that does not exist: refused");
	tap_ok(map(DOMID_SELF, 1) < 0, "one's own pages: refused");
	tap_ok(map(DOMID_XEN, 1) < 0, "the hypervisor's pages: refused");
	tap_ok(map(0, 1) < 0, "domain 0, which is not there: refused");
	tap_is(page_remove(AT(100)), -XEN_ENOENT, "of all this nothing was mapped");
	tap_ok(page_remove(0x7ffffffffffff000ul) < 0,
	       "a frame beyond everything cannot be removed");
}

static long look(struct keyhole_test_p2m *p)
{
	return hypercall(__HYPERVISOR_keyhole_test, KEYHOLE_TEST_P2M, (unsigned long)p, 0);
}

/* The argument lies in a foreign page, which no cached window slot may show: the second call finds
 * what the first has left open. */
static int order_at(uint64_t address)
{
	struct keyhole_test_p2m *p = (struct keyhole_test_p2m *)(AT(1) + PAGE_SIZE / 2);

	*p = (struct keyhole_test_p2m){.gfn = address / PAGE_SIZE, .op = KEYHOLE_P2M_LOOK};
	return look(p) || look(p) ? -2 : p->order;
}

/* 2 MiB that are one leaf of the owner's. They are mapped in pieces, and become one here. */
static void block(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < BLOCK_PAGES; i++) {
		indices[i] = (native_ulong_t)(BLOCK_START / PAGE_SIZE + i);
		places[i] = (native_ulong_t)(BLOCK_AT(i) / PAGE_SIZE);
	}
	tap_is(map(peer, BLOCK_PAGES), 0, "2 MiB are mapped in one call");
	tap_is(order_at(BLOCK_AT(77)), 9, "and have become one leaf");
	tap_is(page_remove(BLOCK_AT(77)), 0, "one page is taken out of it");
	tap_is(order_at(BLOCK_AT(76)), 0, "the others are single pages");
	indices[0] = (native_ulong_t)(BLOCK_START / PAGE_SIZE + 77);
	places[0] = (native_ulong_t)(BLOCK_AT(77) / PAGE_SIZE);
	tap_is(map(peer, 1), 0, "and put back");
	tap_is(order_at(BLOCK_AT(77)), 9, "one leaf again");
	for (unsigned i = 0; i < BLOCK_PAGES; i++)
		wrong += *(volatile uint64_t *)BLOCK_AT(i) != OWNER_MAGIC(1000 + i);
	tap_is(wrong, 0, "each page is where it should be");
	for (unsigned i = 0; i < BLOCK_PAGES; i++)
		wrong += page_remove(BLOCK_AT(i)) != 0;
	tap_is(wrong, 0, "they are taken away one by one");
}

int main(void)
{
	struct shared_page *first = (struct shared_page *)AT(0);
	unsigned wrong = 0;

	peer = self_domain() - (uint32_t)option_number("peer-at", 1);
	tap_plan(32);
	all_pages();
	tap_is(map(peer, SHARED_PAGES), 0, "%u pages of domain %u are mapped in one call",
	       SHARED_PAGES, peer);
	for (unsigned i = 0; i < SHARED_PAGES; i++)
		wrong += errors[i] != 0;
	tap_is(wrong, 0, "none of them failed");
	tap_ok(WAIT_UNTIL(owner_is_ready()), "the owner has written to them");
	for (unsigned i = 0; i < SHARED_PAGES; i++) {
		struct shared_page *page = (struct shared_page *)AT(i);

		wrong += page->owner != OWNER_MAGIC(i);
		page->mapper = MAPPER_MAGIC(i);
	}
	tap_is(wrong, 0, "each is where it should be");
	block();
	errors_per_page();
	errors_per_call();

	/* Page 0 goes last: it says that all is done. */
	for (unsigned i = 1; i < SHARED_PAGES; i++)
		wrong += page_remove(AT(i)) != 0;
	tap_is(wrong, 0, "they are taken away again");
	tap_is(page_remove(AT(1)), -XEN_ENOENT, "a second time there is nothing to take");
	__asm__ volatile("lock incl %0" : "+m"(first->mappers_done));
	tap_is(page_remove(AT(0)), 0, "the last one too");
	tap_is(page_remove((uintptr_t)page_alloc()), 0, "RAM of one's own can be given back");
	tap_done();
}
