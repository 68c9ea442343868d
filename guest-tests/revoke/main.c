/*
 * revoke: makes its child, the domain after this one, maps pages of it through grants and as
 * foreign pages, and destroys it with all of them mapped: nothing of it may be left, though nobody
 * has unmapped anything, and what is mapped must be harmless. Then a second child with the same
 * number, while the handles of the first are still there. `cycles=` says how often all this is
 * done in haste at the end. That all frames come back the hypervisor itself checks.
 */
#include "guest.h"
#include "public/keyhole.h"
#include "shared.h"

#define AT(i)	      (HOLE + (i)*PAGE_SIZE)
#define FOREIGN_AT(i) (HOLE + 0x200000 + (i)*PAGE_SIZE) /* 2 MiB, aligned */
#define SECOND_AT(i)  (HOLE + 0x600000 + (i)*PAGE_SIZE)
#define MINE	      0x3153e11a5ull

#define RW_PAGE	   1u
#define RO_PAGE	   2u
#define FAULT_PAGE 3u

static uint32_t child;
static grant_handle_t handles[REFS];
static native_ulong_t indices[LENT_PAGES], places[LENT_PAGES];
static int32_t errors[LENT_PAGES];

static long control(unsigned command)
{
	return hypercall(__HYPERVISOR_keyhole_control, command, child, 0);
}

static struct lent *lent(unsigned long address)
{
	return (struct lent *)address;
}

_Noreturn static void be_child(void)
{
	volatile struct grant_entry_v1 *table = grant_table_at(HOLE);
	uint32_t keeper = self_domain() - 1;

	for (unsigned i = 0; i < LENT_PAGES; i++)
		lent(LENT_START + i * PAGE_SIZE)->word = LENT_WORD(i);
	for (unsigned i = 0; i < REFS; i++)
		grant_access(table, REF_FIRST + i, keeper, (void *)(LENT_START + i * PAGE_SIZE),
			     i == RO_PAGE ? GTF_readonly : 0);
	for (unsigned turn = 1;; turn++, yield())
		lent(LENT_START)->ready = turn;
}

static bool make_child(void)
{
	return control(KEYHOLE_CONTROL_CREATE) == 0 &&
	       WAIT_UNTIL(grant_map(child, REF_FIRST, AT(0), GNTMAP_host_map, &handles[0]) ==
			  GNTST_okay) &&
	       WAIT_UNTIL(lent(AT(0))->ready);
}

static bool destroy_child(void)
{
	return control(KEYHOLE_CONTROL_DESTROY) == 0 &&
	       WAIT_UNTIL(control(KEYHOLE_CONTROL_STATE) == KEYHOLE_DOMAIN_ABSENT);
}

static unsigned flags_of(unsigned i)
{
	return GNTMAP_host_map | (i == RO_PAGE ? GNTMAP_readonly : 0) |
	       (i == FAULT_PAGE ? GNTMAP_keyhole_fault : 0);
}

/* All references but the first; returns how many were refused. */
static unsigned map_grants(void)
{
	unsigned wrong = 0;

	for (unsigned i = 1; i < REFS; i++)
		wrong +=
		    grant_map(child, REF_FIRST + i, AT(i), flags_of(i), &handles[i]) != GNTST_okay;
	return wrong;
}

static unsigned unmap_grants(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < REFS; i++)
		wrong += grant_unmap(AT(i), handles[i]) != GNTST_okay;
	return wrong;
}

/* 2 MiB, which become one leaf. */
static unsigned map_foreign(void)
{
	add_to_physmap_batch_t batch = foreign_batch(child, LENT_PAGES, indices, places, errors);
	unsigned wrong = 0;

	for (unsigned i = 0; i < LENT_PAGES; i++) {
		indices[i] = (native_ulong_t)(LENT_START / PAGE_SIZE + i);
		places[i] = (native_ulong_t)(FOREIGN_AT(i) / PAGE_SIZE);
	}
	wrong += memory_op(XENMEM_add_to_physmap_batch, &batch) != 0;
	for (unsigned i = 0; i < LENT_PAGES; i++)
		wrong += errors[i] != 0;
	return wrong;
}

static unsigned remove_foreign(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < LENT_PAGES; i++) {
		wrong += page_remove(FOREIGN_AT(i)) != 0;
	}
	return wrong;
}

static void check_mapped(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < REFS; i++)
		wrong += lent(AT(i))->word != LENT_WORD(i);
	for (unsigned i = 0; i < LENT_PAGES; i++)
		wrong += lent(FOREIGN_AT(i))->word != LENT_WORD(i);
	tap_is(wrong, 0, "its pages are here");
}

static int trap_of_read(unsigned long address)
{
	return TRAP((void)lent(address)->word).vector;
}

static int trap_of_write(unsigned long address)
{
	return TRAP(lent(address)->word = 1).vector;
}

static void check_poison(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < REFS; i++)
		wrong += i != FAULT_PAGE && lent(AT(i))->word != 0;
	for (unsigned i = 0; i < LENT_PAGES; i++)
		wrong += lent(FOREIGN_AT(i))->word != 0;
	tap_is(wrong, 0, "nothing of it can be read any more");
	lent(AT(RW_PAGE))->answer = MINE;
	for (unsigned i = 0; i < REFS; i++)
		wrong += i != FAULT_PAGE && lent(AT(i))->answer != MINE;
	for (unsigned i = 0; i < LENT_PAGES; i++)
		wrong += lent(FOREIGN_AT(i))->answer != MINE;
	tap_is(wrong, 0, "what is written to one is in all: it is one page of my own");
	tap_is(trap_of_write(AT(RO_PAGE)), 13, "the read-only one is still that");
	tap_ok(trap_of_read(AT(FAULT_PAGE)) == 13 && trap_of_write(AT(FAULT_PAGE)) == 13,
	       "the one that shall fault does");
	tap_is(xen_version(XENVER_extraversion, (void *)AT(FAULT_PAGE)), -XEN_EFAULT,
	       "so does a call that writes there");
	tap_is(xen_version(XENVER_extraversion, (void *)AT(RW_PAGE)), 0,
	       "one that writes to the other is good");
}

static void check_second(void)
{
	struct lent *first = lent(SECOND_AT(0));
	grant_handle_t second;

	tap_is(control(KEYHOLE_CONTROL_CREATE), 0, "another child with its number is made");
	tap_ok(WAIT_UNTIL(grant_map(child, REF_FIRST, SECOND_AT(0), GNTMAP_host_map, &second) ==
			  GNTST_okay) &&
		   WAIT_UNTIL(first->ready),
	       "its page can be mapped, elsewhere");
	tap_ok(first->word == LENT_WORD(0) && first->answer == 0,
	       "it does not have what I wrote to what was the other's");
	lent(AT(RW_PAGE))->answer = 7;
	first->answer = MINE + 1;
	tap_ok(lent(AT(0))->answer == 7 && first->answer == MINE + 1, "they are apart");
	tap_is(unmap_grants(), 0, "the old handles are unmapped");
	tap_is(grant_unmap(AT(0), handles[0]), GNTST_bad_handle, "once");
	tap_is(remove_foreign(), 0, "so are the foreign pages");
	uint64_t ready = first->ready;
	tap_ok(WAIT_UNTIL(first->ready != ready), "the new page is still there");
	tap_ok(first->answer == MINE + 1 && grant_unmap(SECOND_AT(0), second) == GNTST_okay,
	       "until it is unmapped");
	tap_ok(destroy_child(), "that child is destroyed");
}

static void cycles(unsigned count)
{
	unsigned done = 0;

	for (; done < count; done++)
		if (!make_child() || map_grants() || map_foreign() || !destroy_child() ||
		    (done & 1 && (unmap_grants() || remove_foreign())) ||
		    (!(done & 1) && (remove_foreign() || unmap_grants())))
			break;
	tap_is(done, count, "destroyed with all mapped, again and again");
}

int main(void)
{
	if (option("child"))
		be_child();
	child = self_domain() + 1;
	tap_ok(make_child(), "a child is made");
	tap_is(map_grants(), 0, "it grants %u pages", REFS);
	tap_is(map_foreign(), 0, "%u are mapped as foreign", LENT_PAGES);
	check_mapped();
	tap_ok(destroy_child(), "it is gone for good, with all these mapped");
	check_poison();
	check_second();
	cycles((unsigned)option_number("cycles", 10));
	/* The last one is left mapped, by one that ends as well. */
	tap_ok(make_child() && !map_grants() && !map_foreign() && destroy_child(),
	       "the last one's pages are never unmapped");
	tap_done();
}
