/*
 * grant-revoke: an owner takes back what it has granted. Two of the kind: `owner` on the command
 * line, and the domain after it, the mapper. First step by step; then `rounds=` times at once: the
 * mapper maps, copies, writes and unmaps as fast as it can, while the owner grants and revokes.
 * What the owner writes once its call has returned nobody else may read, and nobody else may change
 * its page.
 */
#include "guest.h"
#include "public/keyhole.h"

#define REF_CONTROL 8u
#define REF_FIRST   9u /* page i */
#define PAGES	    70u
#define REF_SECOND  (REF_FIRST + PAGES) /* page 0 once more */
#define REF_FAR	    (REF_SECOND + 1)	/* a page more, mapped until no table is left */
#define PLACE	    0x400000ul		/* the pages: part of 2 MiB in one leaf */
#define FAR	    (64ull << 30)	/* no RAM, and no table of the p2m: one GiB for each */
#define FAR_MAX	    250u
#define AT(i)	    (HOLE + 0x100000ul + (i)*PAGE_SIZE)
#define AT_CONTROL  (HOLE + 0x10000ul)
#define AT_AGAIN    (HOLE + 0x20000ul)

#define READONLY_PAGE 1u
#define FAULT_PAGE    2u

#define SECRET_BITS 0x5ec4e7a0ull
#define SECRET(n)   (SECRET_BITS << 32 | (n))
#define MINE(n)	    (0x3153ull << 32 | (n))
#define LOOKS	    300u

struct control {
	volatile uint32_t owner_step, mapper_step;
	volatile uint32_t wrong, far;
	volatile uint64_t mapped, copied;
};
enum { GRANTED = 1, MAPPED = 1, REVOKED, CHECKED = 2, STORM, READY = 3, OVER, DONE = 4 };

static struct keyhole_grant_revoke revokes[PAGES];
static uint8_t copy_target[PAGE_SIZE] __attribute__((aligned(4096)));
static struct control *control;

static volatile uint64_t *word(unsigned long base, unsigned i)
{
	return (volatile uint64_t *)(base + i * PAGE_SIZE + 8 * i);
}

static long grant_call(unsigned command, void *arguments, unsigned count)
{
	return hypercall(__HYPERVISOR_keyhole_grant, command, (unsigned long)arguments, count);
}

/* --- the owner -------------------------------------------------------------------------------- */

static volatile struct grant_entry_v1 *table;
static uint32_t peer;

static struct keyhole_grant_find find(const volatile void *page, uint32_t ref)
{
	struct keyhole_grant_find f = {
	    .gfn = (uintptr_t)page / PAGE_SIZE, .ref = ref, .status = 99};

	if (grant_call(KEYHOLE_GRANT_FIND, &f, 1))
		f.status = 98;
	return f;
}

static void grant_all(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		grant_access(table, REF_FIRST + i, peer, (void *)(PLACE + i * PAGE_SIZE),
			     i == READONLY_PAGE ? GTF_readonly : 0);
}

/* All pages in one call; how many elements are not as they should be. */
static unsigned revoke_all(unsigned *in_use)
{
	unsigned wrong = 0;

	*in_use = 0;
	for (unsigned i = 0; i < PAGES; i++)
		revokes[i] = (struct keyhole_grant_revoke){.ref = REF_FIRST + i, .status = 99};
	wrong += grant_call(KEYHOLE_GRANT_REVOKE, revokes, PAGES) != 0;
	for (unsigned i = 0; i < PAGES; i++) {
		wrong += revokes[i].status != GNTST_okay;
		wrong += (table[REF_FIRST + i].flags & GTF_type_mask) != 0;
		*in_use += revokes[i].mappings;
	}
	return wrong;
}

/* Of a mapping that the mapper unmaps itself at that moment the marks may go a little later. */
static bool marked(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		if (table[REF_FIRST + i].flags & (GTF_reading | GTF_writing))
			return true;
	return false;
}

/* The mapper has no table left for anything. */
static void revoke_far(void)
{
	struct keyhole_grant_revoke r = {.ref = REF_FAR, .status = 99};
	volatile uint64_t *page = word(PLACE, PAGES);
	struct keyhole_grant_find f = find(page, 0);

	tap_ok(f.status == GNTST_okay && f.ref == REF_FAR && f.mappings == control->far,
	       "one page is mapped %u times", f.mappings);
	tap_ok(grant_call(KEYHOLE_GRANT_REVOKE, &r, 1) == 0 && r.status == GNTST_okay &&
		   r.mappings == control->far,
	       "all are revoked");
	*page = SECRET(PAGES);
	tap_is(table[REF_FAR].flags & (GTF_type_mask | GTF_reading | GTF_writing), 0,
	       "no mark is left");
}

static void look_for_mappers(void)
{
	struct keyhole_grant_find f = find(word(PLACE, 3), 0);
	uint64_t start = rdtsc(), ticks;

	tap_ok(f.status == GNTST_okay && f.ref == REF_FIRST + 3 && f.domid == peer &&
		   f.mappings == 1 && f.others == 0,
	       "who has a page: domain %u through %u", f.domid, f.ref);
	start = rdtsc();
	find(word(PLACE, 3), 0);
	ticks = rdtsc() - start;
	f = find(word(PLACE, 0), 0);
	tap_ok(f.status == GNTST_okay && f.ref == REF_FIRST && f.others == 1,
	       "one that is granted twice: the first,");
	f = find(word(PLACE, 0), REF_FIRST + 1);
	tap_ok(f.status == GNTST_okay && f.ref == REF_SECOND && f.others == 1, "the second,");
	start = rdtsc();
	f = find(word(PLACE, 0), REF_SECOND + 1);
	printf("# %llu ticks to find one, %llu to search a table\n", (unsigned long long)ticks,
	       (unsigned long long)(rdtsc() - start));
	tap_is(f.status, GNTST_bad_gntref, "no third");
	tap_is(find(&revokes, 0).status, GNTST_bad_gntref, "one that nobody has");
	tap_is(find((void *)HOLE, 0).status, GNTST_bad_page, "the table is none of its pages");
	tap_is(find((void *)0xd0000000ul, 0).status, GNTST_bad_page, "nor is a hole");
}

static void refused(void)
{
	struct keyhole_grant_revoke r[2] = {{.ref = 0x7fffffff, .status = 99},
					    {.ref = REF_FAR + 1, .status = 99}};

	tap_ok(grant_call(KEYHOLE_GRANT_REVOKE, r, 2) == 0 && r[0].status == GNTST_bad_gntref &&
		   r[1].status == GNTST_okay && r[1].mappings == 0,
	       "a reference beyond the table is refused, one that grants nothing is not");
	tap_is(grant_call(KEYHOLE_GRANT_REVOKE, (void *)0xd0000000ul, 1), -XEN_EFAULT,
	       "arguments from nowhere");
	tap_is(grant_call(KEYHOLE_GRANT_FIND, (void *)0xd0000000ul, 1), -XEN_EFAULT,
	       "to find, too");
	tap_is(grant_call(KEYHOLE_GRANT_REVOKE, NULL, 0), 0, "none at all");
	tap_is(grant_call(99, r, 1), -XEN_ENOSYS, "an unknown command");
	/* Argument 4 is a continuation's. */
	tap_is(hypercall5(__HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_REVOKE, 0, 0, 0x7fff0000, 0), 0,
	       "a continuation that was made up");
}

/* Once its call has returned it is alone with its pages. */
static unsigned look_alone(unsigned round)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < PAGES; i++)
		*word(PLACE, i) = SECRET(round);
	for (unsigned look = 0; look < LOOKS; look++)
		wrong += *word(PLACE, look % PAGES) != SECRET(round);
	for (unsigned i = 0; i < PAGES; i++)
		*word(PLACE, i) = 0;
	return wrong;
}

static void be_owner(void)
{
	unsigned rounds = (unsigned)option_number("rounds", 25), wrong = 0, bad = 0, in_use;
	uint64_t start, ticks = 0, all = 0;

	peer = self_domain() + 1;
	control = page_alloc();
	table = grant_table_at(HOLE);
	for (unsigned i = 0; i < PAGES; i++)
		*word(PLACE, i) = i + 1;
	grant_all();
	grant_access(table, REF_SECOND, peer, (void *)PLACE, 0);
	grant_access(table, REF_FAR, peer, (void *)(PLACE + PAGES * PAGE_SIZE), GTF_readonly);
	refused();
	control->owner_step = GRANTED;
	grant_access(table, REF_CONTROL, peer, control, 0);
	tap_ok(WAIT_UNTIL(control->mapper_step >= MAPPED), "the other has mapped %u pages", PAGES);
	look_for_mappers();
	revoke_far();
	start = rdtsc();
	wrong = revoke_all(&in_use) + marked();
	ticks = rdtsc() - start;
	tap_is(wrong, 0, "all are revoked in one call");
	tap_is(in_use, PAGES, "each was mapped");
	printf("# %llu ticks for %u pages\n", (unsigned long long)ticks, PAGES);
	tap_is(find(word(PLACE, 3), 0).status, GNTST_bad_gntref, "nobody has them now");
	struct keyhole_grant_find f = find(word(PLACE, 0), 0);
	tap_ok(f.status == GNTST_okay && f.ref == REF_SECOND, "but for the other grant of one");
	for (unsigned i = 1; i < PAGES; i++)
		*word(PLACE, i) = SECRET(i);
	tap_is(revoke_all(&in_use), 0, "a second time, which changes nothing");
	tap_is(in_use, 0, "none was mapped");
	control->owner_step = REVOKED;
	tap_ok(WAIT_UNTIL(control->mapper_step >= CHECKED), "the other has looked");
	for (unsigned i = 1; i < PAGES; i++)
		wrong += *word(PLACE, i) != SECRET(i);
	tap_is(wrong, 0, "what it wrote did not come here");
	for (unsigned i = 0; i < PAGES; i++)
		*word(PLACE, i) = 0;
	control->owner_step = STORM;
	tap_ok(WAIT_UNTIL(control->mapper_step >= READY), "the other is ready");
	for (unsigned round = 0; round < rounds; round++) {
		uint64_t before = control->mapped;

		grant_all();
		while (control->mapped < before + PAGES / 2)
			yield();
		start = rdtsc();
		bad += revoke_all(&in_use);
		ticks = rdtsc() - start;
		all += in_use;
		wrong += look_alone(round);
		bad += !WAIT_UNTIL(!marked());
	}
	control->owner_step = OVER;
	tap_is(bad, 0, "%u times all are revoked, %llu mappings, the last in %llu ticks", rounds,
	       (unsigned long long)all, (unsigned long long)ticks);
	tap_is(wrong, 0, "its pages were its own each time");
	tap_ok(WAIT_UNTIL(control->mapper_step >= DONE),
	       "the other has seen %llu maps, %llu copies", (unsigned long long)control->mapped,
	       (unsigned long long)control->copied);
	tap_is(control->wrong, 0, "and nothing that it should not");
	tap_ok(WAIT_UNTIL(!(table[REF_CONTROL].flags & (GTF_reading | GTF_writing))),
	       "it has given up the rest");
}

/* --- the mapper ------------------------------------------------------------------------------- */

static grant_handle_t handles[PAGES];

static unsigned flags_of(unsigned i)
{
	return GNTMAP_host_map | (i == READONLY_PAGE ? GNTMAP_readonly : 0) |
	       (i == FAULT_PAGE ? GNTMAP_keyhole_fault : 0);
}

static bool is_secret(uint64_t value)
{
	return value >> 32 == SECRET_BITS;
}

/* One page again and again, as far from each other as takes the most tables. */
static grant_handle_t far_handles[FAR_MAX];

static unsigned map_far(uint32_t owner)
{
	unsigned count = 0;

	for (; count < FAR_MAX; count++) {
		struct gnttab_map_grant_ref op = {.host_addr = FAR + ((uint64_t)count << 30),
						  .flags = GNTMAP_host_map | GNTMAP_readonly,
						  .ref = REF_FAR,
						  .dom = (domid_t)owner,
						  .status = 99};
		grant_table_op(GNTTABOP_map_grant_ref, &op, 1);
		if (op.status == GNTST_no_space)
			break;
		if (op.status != GNTST_okay)
			return 0;
		far_handles[count] = op.handle;
	}
	return count;
}

static unsigned unmap_far(unsigned count)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < count; i++) {
		struct gnttab_unmap_grant_ref op = {
		    .host_addr = FAR + ((uint64_t)i << 30), .handle = far_handles[i], .status = 99};
		grant_table_op(GNTTABOP_unmap_grant_ref, &op, 1);
		wrong += op.status != GNTST_okay;
	}
	return wrong;
}

static void check_revoked(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < PAGES; i++)
		wrong += i != FAULT_PAGE && *word(AT(0), i) != 0;
	tap_is(wrong, 0, "the pages are empty");
	for (unsigned i = 0; i < PAGES; i++)
		if (i != READONLY_PAGE && i != FAULT_PAGE)
			*word(AT(0), i) = MINE(i);
	for (unsigned i = 0; i < PAGES; i++) /* through another page than that */
		if (i != READONLY_PAGE && i != FAULT_PAGE && i != PAGES - 1)
			wrong += *(volatile uint64_t *)(AT(PAGES - 1) + 8 * i) != MINE(i);
	tap_is(wrong, 0, "what I write to one I read in all");
	tap_is(TRAP(*word(AT(0), READONLY_PAGE) = 1).vector, 13, "but for the read-only one");
	tap_is(TRAP((void)*word(AT(0), FAULT_PAGE)).vector, 13, "the one that shall fault does");
	tap_is(grant_call(KEYHOLE_GRANT_REVOKED, NULL, 0), PAGES + control->far,
	       "all of them are counted");
	grant_handle_t again;
	tap_is(grant_map(self_domain() - 1, REF_FIRST + 3, AT_AGAIN + PAGE_SIZE, GNTMAP_host_map,
			 &again),
	       GNTST_general_error, "they cannot be mapped anew");
	for (unsigned i = 0; i < PAGES; i++)
		wrong += grant_unmap(AT(i), handles[i]) != GNTST_okay;
	wrong += unmap_far(control->far);
	tap_is(wrong, 0, "they are unmapped as ever");
	tap_is(grant_unmap(AT(0), handles[0]), GNTST_bad_handle, "once");
	tap_is(grant_call(KEYHOLE_GRANT_REVOKED, NULL, 0), 0, "none is left");
}

static void try_copy(unsigned i)
{
#ifdef __x86_64__
	struct gnttab_copy c = {0};
#else
	struct compat_gnttab_copy c = {0};
#endif
	c.source.ref_or_gmfn = REF_FIRST + i;
	c.source.domid = (domid_t)(self_domain() - 1);
	c.dest.ref_or_gmfn = (native_ulong_t)((uintptr_t)copy_target / PAGE_SIZE);
	c.dest.domid = DOMID_SELF;
	c.len = PAGE_SIZE;
	c.flags = GNTCOPY_source_gref;
	grant_table_op(GNTTABOP_copy, &c, 1);
	if (c.status != GNTST_okay)
		return;
	control->wrong += is_secret(*(uint64_t *)(copy_target + 8 * i));
	control->copied++;
}

/* Until the owner says that it is over. */
static void storm(uint32_t owner)
{
	for (unsigned i = 0; control->owner_step < OVER; i = (i + 1) % PAGES) {
		if (i % 8 == 0)
			yield(); /* there may be one processor only */
		if (grant_map(owner, REF_FIRST + i, AT(i), flags_of(i) & ~GNTMAP_keyhole_fault,
			      &handles[i]) != GNTST_okay) {
			try_copy(i);
			continue;
		}
		control->mapped++;
		for (unsigned look = 0; look < i % 5; look++) {
			control->wrong += is_secret(*word(AT(0), i));
			if (i != READONLY_PAGE)
				*word(AT(0), i) = MINE(i);
			try_copy((i + look) % PAGES);
		}
		control->wrong += is_secret(*word(AT(0), i));
		if (grant_unmap(AT(i), handles[i]) != GNTST_okay)
			control->wrong++;
	}
}

static void be_mapper(void)
{
	uint32_t owner = self_domain() - 1;
	grant_handle_t control_handle = 0, second;
	unsigned wrong = 0;

	if (!WAIT_UNTIL(grant_map(owner, REF_CONTROL, AT_CONTROL, GNTMAP_host_map,
				  &control_handle) == GNTST_okay))
		tap_bail_out("domain %u grants nothing", owner);
	control = (struct control *)AT_CONTROL;
	for (unsigned i = 0; i < PAGES; i++)
		wrong +=
		    grant_map(owner, REF_FIRST + i, AT(i), flags_of(i), &handles[i]) != GNTST_okay;
	tap_is(wrong, 0, "all pages are mapped");
	for (unsigned i = 0; i < PAGES; i++)
		wrong += *word(AT(0), i) != i + 1;
	tap_is(wrong, 0, "and hold what they should");
	tap_is(grant_map(owner, REF_SECOND, AT_AGAIN, GNTMAP_host_map, &second), GNTST_okay,
	       "one of them twice");
	control->far = map_far(owner);
	tap_ok(control->far > 100 && control->far < FAR_MAX,
	       "%u mappings more, then no table is left", control->far);
	control->mapper_step = MAPPED;
	tap_ok(WAIT_UNTIL(control->owner_step >= REVOKED), "the owner has taken them back");
	check_revoked();
	control->mapper_step = CHECKED;
	tap_is(grant_unmap(AT_AGAIN, second), GNTST_okay, "the other grant is unmapped");
	tap_ok(WAIT_UNTIL(control->owner_step >= STORM), "the owner begins");
	control->mapper_step = READY;
	storm(owner);
	tap_is(control->wrong, 0, "nothing of what was taken back is seen");
	control->mapper_step = DONE;
	tap_is(grant_unmap(AT_CONTROL, control_handle), GNTST_okay, "all is given up");
}

int main(void)
{
	if (option("owner"))
		be_owner();
	else
		be_mapper();
	tap_done();
}
