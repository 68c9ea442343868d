/*
 * foreign-range: pages of foreign-owner, the domain before this one, as ranges: mapped, by large
 * pages too, exchanged for one another, removed; in the range that is set aside for it, which it is
 * told of; and frames of the owner's grant table. Tries what must fail.
 */
#include "../foreign-owner/shared.h"
#include "guest.h"
#include "public/keyhole.h"

#define FRAME(address) ((unsigned long)((address) / PAGE_SIZE))
#define EXCHANGED      200u /* more than are done at once */
#define TABLE_FRAMES   3u

static native_ulong_t indices[EXCHANGED], places[EXCHANGED];
static int32_t errors[EXCHANGED];
static uint32_t peer;
static domid_t batch_domid = DOMID_SELF;
static uint64_t low, high; /* the ranges */

static long map(uint32_t domain, unsigned long there, unsigned long here, unsigned long count)
{
	return hypercall5(__HYPERVISOR_keyhole_foreign,
			  KEYHOLE_FOREIGN(KEYHOLE_FOREIGN_MAP, domain), there, here, count, 0);
}

static long take_away(unsigned long here, unsigned long count)
{
	return hypercall5(__HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN_REMOVE, here, count, 0, 0);
}

static long exchange(uint32_t domain, unsigned count)
{
	add_to_physmap_batch_t batch = foreign_batch(domain, count, indices, places, errors);

	batch.domid = batch_domid;
	memset(errors, 0x5a, sizeof(errors));
	return hypercall(__HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN_EXCHANGE,
			 (unsigned long)&batch, 0);
}

static int order_at(uint64_t address)
{
	struct keyhole_test_p2m p = {.gfn = address / PAGE_SIZE, .op = KEYHOLE_P2M_LOOK};

	return hypercall(__HYPERVISOR_keyhole_test, KEYHOLE_TEST_P2M, (unsigned long)&p, 0)
		   ? -2
		   : p.order;
}

#define ADDRESSES (1ull << 52) /* more than any processor has */

/* Both ways of telling say the same, and what they say is no RAM. */
static void told(void)
{
	const struct hvm_start_info *info = start_info();
	const struct hvm_memmap_table_entry *map = (void *)(uintptr_t)info->memmap_paddr;
	struct cpuid leaf = cpuid(KEYHOLE_CPUID_FIRST_LEAF, 0);
	unsigned found = 0, reserved = 0;
	uint64_t first[2] = {0}, count[2] = {0};

	tap_ok(leaf.ebx == KEYHOLE_CPUID_SIGNATURE_EBX && leaf.ecx == KEYHOLE_CPUID_SIGNATURE_ECX &&
		   leaf.edx == KEYHOLE_CPUID_SIGNATURE_EDX && leaf.eax >= KEYHOLE_CPUID_LEAF(2),
	       "Keyhole's own CPUID leaves");
	for (unsigned i = 0; i < 2; i++) {
		leaf = cpuid(KEYHOLE_CPUID_LEAF(2), i);
		first[i] = leaf.eax | (uint64_t)leaf.ebx << 32;
		count[i] = leaf.ecx | (uint64_t)leaf.edx << 32;
	}
	leaf = cpuid(KEYHOLE_CPUID_LEAF(2), 2);
	tap_ok(count[0] && count[1] && !leaf.eax && !leaf.ecx && first[0] + count[0] <= 0x100000,
	       "two ranges are set aside, one below 4 GiB");
	for (uint32_t i = 0; i < info->memmap_entries; i++) {
		reserved += map[i].type == XEN_HVM_MEMMAP_TYPE_RESERVED;
		for (unsigned r = 0; r < 2; r++)
			found +=
			    map[i].type == XEN_HVM_MEMMAP_TYPE_RESERVED &&
			    map[i].addr == first[r] * PAGE_SIZE &&
			    map[i].size == (r ? ADDRESSES - map[i].addr : count[r] * PAGE_SIZE);
	}
	tap_ok(found == 2 && reserved == 2,
	       "the memory map has the same two, and all that is behind the second");
	low = first[0] * PAGE_SIZE;
	high = first[1] * PAGE_SIZE;
}

/* Whether pages of the owner's block from its page there on are at an address below 4 GiB. */
static unsigned differing(uint64_t here, unsigned there, unsigned count)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < count; i++)
		wrong += *(volatile uint64_t *)(uintptr_t)(here + i * PAGE_SIZE) !=
			 OWNER_MAGIC(1000 + there + i);
	return wrong;
}

static void ranges(void)
{
	unsigned long block = FRAME(BLOCK_START);

	tap_is(map(peer, block, FRAME(low), BLOCK_PAGES), BLOCK_PAGES, "2 MiB as one range");
	tap_is(order_at(low + 5 * PAGE_SIZE), 9, "are one leaf");
	tap_is(differing(low, 0, BLOCK_PAGES), 0, "and each page is where it should be");
	tap_is(map(peer, block, FRAME(low), 1), -XEN_EEXIST, "where something is: refused");
	tap_is(map(peer, block + 1, FRAME(low) + 600, BLOCK_PAGES - 1), BLOCK_PAGES - 1,
	       "a range that is not aligned");
	tap_is(differing(low + 600 * PAGE_SIZE, 1, BLOCK_PAGES - 1), 0, "is there too");
	tap_is(map(peer, block, FRAME(high), BLOCK_PAGES), BLOCK_PAGES, "beyond 4 GiB");
	tap_is(order_at(high), 9, "as well, as one leaf");
	tap_is(take_away(FRAME(high), 4 * BLOCK_PAGES), 4 * BLOCK_PAGES,
	       "is removed with the holes behind it");
	tap_is(order_at(high), -1, "nothing is left");
	tap_is(take_away(FRAME(low) + 600, BLOCK_PAGES - 1), BLOCK_PAGES - 1, "so is the other");
	tap_is(take_away(FRAME(low) + 7, 1), 1, "one page out of the first");
	tap_is(order_at(low + 8 * PAGE_SIZE), 0, "the rest of it is single pages");
	tap_is(map(peer, block + 7, FRAME(low) + 7, 1), 1, "and with it back");
	tap_is(order_at(low + 8 * PAGE_SIZE), 9, "one leaf");
}

/* What is wrong in the middle ends a range there. */
static void mistakes(void)
{
	unsigned long here = FRAME(low) + 1024;

	tap_is(map(peer, FRAME(SHARED_START), here + 5, 1), 1, "a page in the way");
	tap_is(map(peer, FRAME(SHARED_START), here, 10), 5, "ends a range before it");
	tap_is(take_away(here, 6), 6, "they are removed");
	tap_is(map(peer, 0x7fe, here, 10), 2, "the end of the owner's RAM ends a range");
	tap_is(take_away(here, 2), 2, "they are removed");
	tap_is(map(peer, ~0ul, here, 2), -XEN_EINVAL, "a frame beyond everything");
	tap_is(map(peer, FRAME(NOT_RAM), here, 2), -XEN_EINVAL, "no RAM of the owner's");
	tap_is(map(peer, 0, ~0ul, 2), -XEN_EINVAL, "a place beyond everything");
	tap_is(map(peer, 0, 0x7ffffff, 2), 1, "the last place that there is");
	tap_is(take_away(0x7ffffff, ~0ul), 1, "is removed; what is behind it is not there");
	tap_is(map(peer, 0, here, 0), 0, "no pages at all");
	tap_is(map(peer, 0, 1, 1), -XEN_EEXIST, "where there is RAM of its own");
	tap_is(map(peer + 7, 0, here, 1), -XEN_EPERM, "a domain that it may not map");
	tap_is(map(self_domain(), 0, here, 1), -XEN_EPERM, "its own pages");
	tap_is(take_away(1, 1), -XEN_EINVAL, "RAM of its own is not removed so");
	tap_is(take_away(~0ul, ~0ul), -XEN_EINVAL, "what wraps around is not removed");
	tap_is(hypercall5(__HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN_REMOVE, FRAME(high), 1,
			  ~0ul, 0),
	       -XEN_EINVAL, "a call that goes on where none has been");
	tap_is(hypercall5(__HYPERVISOR_keyhole_foreign, 99, 0, 0, 0, 0), -XEN_ENOSYS,
	       "an unknown command");
}

static void exchanges(void)
{
	unsigned wrong = 0;

	/* low has the block as one leaf: its pages in reverse order. */
	for (unsigned i = 0; i < EXCHANGED; i++) {
		indices[i] = (native_ulong_t)(FRAME(BLOCK_START) + EXCHANGED - 1 - i);
		places[i] = (native_ulong_t)(FRAME(low) + i);
	}
	tap_is(exchange(peer, EXCHANGED), 0, "%u pages are exchanged in one call", EXCHANGED);
	for (unsigned i = 0; i < EXCHANGED; i++)
		wrong += errors[i] != 0 || differing(low + i * PAGE_SIZE, EXCHANGED - 1 - i, 1);
	tap_is(wrong, 0, "each is where it should be");
	tap_is(differing(low + EXCHANGED * PAGE_SIZE, EXCHANGED, BLOCK_PAGES - EXCHANGED), 0,
	       "the others are where they were");
	for (unsigned i = 0; i < EXCHANGED; i++)
		indices[i] = (native_ulong_t)(FRAME(BLOCK_START) + i);
	tap_is(exchange(peer, EXCHANGED), 0, "and back");
	tap_is(order_at(low), 9, "which makes one leaf of them again");
	indices[0] = FRAME(NOT_RAM);
	indices[1] = (native_ulong_t)~0ul;
	places[3] = (native_ulong_t)FRAME(high);
	places[4] = 0x100;
	places[5] = (native_ulong_t)~0ul;
	tap_is(exchange(peer, 6), 0, "a batch with mistakes in it is gone through");
	tap_ok(errors[0] == -XEN_EINVAL && errors[1] == -XEN_EINVAL && errors[2] == 0 &&
		   errors[3] == -XEN_ENOENT && errors[4] == -XEN_EINVAL &&
		   errors[5] == -XEN_ENOENT && errors[6] == 0x5a5a5a5a,
	       "each has its error (%d %d %d %d %d %d)", errors[0], errors[1], errors[2], errors[3],
	       errors[4], errors[5]);
	tap_is(differing(low, 0, BLOCK_PAGES), 0, "and nothing has changed");
	tap_is(exchange(peer + 7, 1), -XEN_EPERM, "a domain that it may not map");
	batch_domid = (domid_t)peer;
	tap_is(exchange(peer, 1), -XEN_EPERM, "in another's address space");
	batch_domid = DOMID_SELF;
	tap_is(hypercall(__HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN_EXCHANGE, 0xd0000000, 0),
	       -XEN_EFAULT, "an argument out of reach");
	tap_is(take_away(FRAME(low), BLOCK_PAGES), BLOCK_PAGES, "the block goes");
}

static long acquire(uint32_t domain, unsigned type, unsigned id, unsigned first, unsigned count,
		    native_ulong_t *list, unsigned *told_count)
{
	mem_acquire_resource_t op = {.domid = (domid_t)domain,
				     .type = (uint16_t)type,
				     .id = id,
				     .nr_frames = count,
				     .frame = first,
				     .frame_list = handle(list)};
	long result = memory_op(XENMEM_acquire_resource, &op);

	*told_count = op.nr_frames;
	return result;
}

/* The owner's table has one frame by itself; it grows when others are asked for. */
static void resources(void)
{
	volatile struct grant_entry_v1 *table = (void *)(uintptr_t)low;
	native_ulong_t list[TABLE_FRAMES + 1];
	unsigned count, grants = XENMEM_resource_grant_table;

	for (unsigned i = 0; i <= TABLE_FRAMES; i++)
		list[i] = (native_ulong_t)(FRAME(low) + i);
	tap_is(acquire(peer, grants, 0, 0, 0, NULL, &count), 0, "the size of a grant table");
	tap_is(count, 32, "is 32 frames");
	tap_is(acquire(peer, grants, 0, 0, TABLE_FRAMES, list, &count), 0, "three of them appear");
	tap_is(table[GRANT_OF_OWNER].domid, self_domain(), "what the owner has written is there");
	tap_is(table[GRANT_OF_OWNER].frame, FRAME(SHARED_START), "as it should be");
	table[GRANT_BY_MAPPER].frame = FRAME(SHARED_START) + 1;
	table[GRANT_BY_MAPPER].domid = (domid_t)self_domain();
	table[GRANT_BY_MAPPER].flags = GTF_permit_access;
	tap_is(table[2 * 512].flags, 0, "the third one, which the owner has never asked for, too");
	tap_is(acquire(peer, grants, 0, 0, 1, list, &count), -XEN_EEXIST, "where something is");
	tap_is(acquire(peer, grants, 0, 31, 1, list + TABLE_FRAMES, &count), 0, "the last one");
	tap_is(acquire(peer, grants, 0, 31, 2, list, &count), -XEN_EINVAL, "beyond the last");
	tap_is(acquire(peer, grants, 0, ~0u, 2, list, &count), -XEN_EINVAL, "far beyond the last");
	tap_is(acquire(peer, grants, 1, 0, 1, list, &count), -XEN_EINVAL,
	       "status frames, of version 2");
	tap_is(acquire(peer, XENMEM_resource_ioreq_server, 0, 0, 1, list, &count), -XEN_EINVAL,
	       "another resource");
	tap_is(acquire(peer, grants, 0, 0, 1, NULL, &count), -XEN_EINVAL, "a size with a count");
	tap_is(acquire(peer + 7, grants, 0, 0, 0, NULL, &count), -XEN_EPERM,
	       "a domain that it may not map");
	tap_is(acquire(DOMID_SELF, grants, 0, 0, 0, NULL, &count), -XEN_EPERM, "itself");
	tap_is(take_away(FRAME(low), TABLE_FRAMES + 1), TABLE_FRAMES + 1, "they go like any page");
}

int main(void)
{
	struct shared_page *first = (struct shared_page *)HOLE;
	grant_handle_t mapping;
	unsigned wrong = 0;

	peer = self_domain() - 1;
	told();
	tap_ok(
	    WAIT_UNTIL(map(peer, FRAME(SHARED_START), FRAME(HOLE), SHARED_PAGES) == SHARED_PAGES),
	    "%u pages of domain %u", SHARED_PAGES, peer);
	tap_ok(WAIT_UNTIL(first->owner == OWNER_MAGIC(0)), "the owner has written to them");
	ranges();
	mistakes();
	exchanges();
	resources();
	tap_is(grant_map(peer, GRANT_BY_MAPPER, low, GNTMAP_host_map, &mapping), GNTST_okay,
	       "a grant that it has written into the owner's table itself");
	tap_is(*(volatile uint64_t *)(uintptr_t)low, OWNER_MAGIC(1), "leads to the owner's page");
	tap_is(take_away(FRAME(low), 1), -XEN_EINVAL, "and is no foreign page to remove");
	tap_is(grant_unmap(low, mapping), GNTST_okay, "it is unmapped");
	for (unsigned i = 0; i < SHARED_PAGES; i++) {
		struct shared_page *page = (struct shared_page *)(HOLE + i * PAGE_SIZE);

		wrong += page->owner != OWNER_MAGIC(i);
		page->mapper = MAPPER_MAGIC(i);
	}
	tap_is(wrong, 0, "the owner's pages are as they were");
	__asm__ volatile("lock incl %0" : "+m"(first->mappers_done));
	tap_is(take_away(FRAME(HOLE), SHARED_PAGES), SHARED_PAGES, "they go");
	tap_done();
}
