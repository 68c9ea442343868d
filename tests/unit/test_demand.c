/* sources: kernel/demand.c kernel/demand_window.c vmx/ept.c vmx/ept_map.c vmx/ept_unmap.c vmx/ept_batch.c vmx/ept_visit.c */
/* sources: tests/unit/fake_pool.c tests/unit/fake_cpu.c tests/unit/fake_heap.c */
/* flags: -DKEYHOLE_FAKE_REFERENCES -Wl,--wrap=p2m_fill_page */
/*
 * Demand windows on real p2ms: a processor that touches pages and sets accessed flags, or has none;
 * an owner that gives memory back at the worst moment; quotas that are too small.
 */
#include "../../vmx/ept_tables.h"
#include "fake_heap.h"
#include "fake_pool.h"
#include "kernel/demand.h"
#include "kernel/domain.h"
#include "mm/frame.h"
#include "public/errno.h"
#include "public/keyhole.h"
#include "tap.h"
#include "vmx/ept.h"

#define FRAMES	   0x20000u /* machine frames of the owner: frame = gfn + FRAME_BASE */
#define FRAME_BASE 0x1000u
#define RAM	   0x10000u /* of the owner */
#define HERE	   0x100000u
#define BUDGET	   64u

static struct domain mapper, owner;
static bool mapper_listed;
struct domain *_Atomic domain_table[DOMAINS_MAX + 1];
static uint32_t refs[FRAMES];
static int fail_at = -1;
static void (*hook)(uint64_t gfn); /* between look-up and mapping */
static struct epoch_deferred *deferred;

bool fake_heap_fails(void)
{
	return fail_at >= 0 && fail_at-- == 0;
}
int frame_get_present(mfn_t frame, domid_t id, enum frame_type type)
{
	if (id != owner.id || type != FRAME_GUEST_RAM)
		return -XEN_EINVAL;
	refs[mfn_raw(frame) - FRAME_BASE]++;
	return 0;
}
int __real_p2m_fill_page(struct p2m *p2m, gfn_t gfn, mfn_t frame, enum p2m_type type,
			 unsigned access);
int __wrap_p2m_fill_page(struct p2m *p2m, gfn_t gfn, mfn_t frame, enum p2m_type type,
			 unsigned access);
int __wrap_p2m_fill_page(struct p2m *p2m, gfn_t gfn, mfn_t frame, enum p2m_type type,
			 unsigned access)
{
	if (hook)
		hook(mfn_raw(frame) - FRAME_BASE);
	return __real_p2m_fill_page(p2m, gfn, frame, type, access);
}
void frame_put(mfn_t frame)
{
	if (!refs[mfn_raw(frame) - FRAME_BASE]--)
		bail_out("a reference dropped twice");
}
struct domain *domain_next(domid_t after)
{
	if (after < owner.id && domain_table[owner.id])
		return &owner;
	return after < mapper.id && mapper_listed ? &mapper : NULL;
}
void epoch_defer(struct epoch_deferred *d, void (*run)(struct epoch_deferred *d))
{
	d->run = run;
	d->next = deferred;
	deferred = d;
}
static void epoch_pass(void)
{
	fake_epoch_pass();
	while (deferred) {
		struct epoch_deferred *d = deferred;

		deferred = d->next;
		d->run(d);
	}
}

static void start(bool accessed_flags, uint32_t quota)
{
	memset(&mapper, 0, sizeof(mapper));
	memset(&owner, 0, sizeof(owner));
	memset(refs, 0, sizeof(refs));
	ept_configure(true, true, accessed_flags);
	mapper.id = 2;
	owner.id = 1;
	mapper_listed = true;
	domain_table[owner.id] = &owner;
	hook = NULL;
	if (p2m_init(&mapper.p2m, quota, GUEST_GFN_LIMIT) ||
	    p2m_init(&owner.p2m, 1000, GUEST_GFN_LIMIT) ||
	    p2m_map(&owner.p2m, make_gfn(0), make_mfn(FRAME_BASE), RAM, P2M_RAM, P2M_RWX))
		bail_out("no memory");
}

static void finish(const char *what)
{
	while (!demand_detach_step(&mapper))
		;
	mapper_listed = false;
	demand_free_all(&mapper);
	p2m_destroy(&mapper.p2m);
	p2m_destroy(&owner.p2m);
	epoch_pass();
	ok(!fake_heap_objects && !mapper.p2m.tables.used && !fake_pool_in_use(),
	   "%s: nothing is left", what);
}

/* What is mapped in the mapper's p2m, and whether it is what it should be. */
static struct census {
	unsigned pages;
	bool good;
} census;

static bool count_page(gfn_t gfn, const struct p2m_entry *e, void *ctx)
{
	struct p2m_entry of_owner;
	uint64_t index = mfn_raw(e->frame) - FRAME_BASE, there = index % RAM;

	(void)gfn;
	(void)ctx;
	census.pages++;
	census.good &= e->type == P2M_DEMAND && e->access == P2M_RW && !e->order && refs[index] &&
		       p2m_lookup(&owner.p2m, make_gfn(there), &of_owner) &&
		       mfn_equal(of_owner.frame, e->frame);
	return true;
}

static unsigned resident(void)
{
	uint64_t held = 0;

	census = (struct census){.good = true};
	p2m_for_each(&mapper.p2m, count_page, NULL);
	for (unsigned i = 0; i < FRAMES; i++)
		held += refs[i];
	if (!census.good || held != census.pages) {
		diag("%u pages, %lu references", census.pages, (unsigned long)held);
		return UINT32_MAX;
	}
	return census.pages;
}

/* As a processor: until the page is there, or it will not come. */
static int touch(uint64_t gfn)
{
	struct ept_cursor c = {.p2m = &mapper.p2m};

	for (unsigned tries = 0; tries < 10; tries++) {
		uint64_t value = ept_seek(&c, gfn, 1, false);

		if (present(value)) {
			if (ept_config.has_accessed_dirty)
				*c.path[1] |= EPT_ACCESSED;
			return 0;
		}
		c.level = 0;
		int rc = demand_fault(&mapper, make_gfn(gfn));
		if (rc)
			return rc;
	}
	return -1000;
}

static struct keyhole_window_stats stats_of(int window)
{
	struct keyhole_window_stats s = {0};

	if (demand_stats(&mapper, (uint64_t)window, &s))
		fail("statistics");
	return s;
}

static void give_back(uint64_t gfn, uint64_t count)
{
	if (p2m_unmap(&owner.p2m, make_gfn(gfn), count, NULL, NULL))
		bail_out("owner's p2m");
	demand_given_back(&owner, gfn, count);
}

static void basics(bool accessed_flags)
{
	unsigned bad = 0, hot = 0;

	start(accessed_flags, 300);
	int w = demand_open(&mapper, &owner, 100, HERE, 5000, BUDGET);
	is(w, 0, "a window");
	is(touch(HERE - 1), -XEN_ENOENT, "before it");
	is(touch(HERE + 5000), -XEN_ENOENT, "behind it");
	for (unsigned i = 0; i < 5000; i++)
		bad += touch(HERE + i) != 0;
	struct keyhole_window_stats s = stats_of(w);
	is(bad, 0, "all pages come");
	ok(resident() <= BUDGET && resident() > BUDGET / 2 && s.resident == resident(),
	   "as many are there as may be: %u", resident());
	ok(s.faults == 5000 && s.evicted == 5000 - resident() && s.flushes <= 5000 / 16 + 1,
	   "with %u flushes", (unsigned)s.flushes);
	for (unsigned i = 0; i < 4000; i++) {
		uint64_t before = stats_of(w).evicted, faults = stats_of(w).faults;

		bad += touch(HERE + 4999) != 0;
		hot += stats_of(w).faults > faults;
		(void)before;
		bad += touch(HERE + i) != 0;
	}
	ok(!bad && hot <= 4000 / 40, "one that is used all the time stays, but for %u times", hot);
	is(p2m_unmap(&mapper.p2m, make_gfn(HERE + 4999), 1, NULL, NULL), 0, "the guest removes it");
	refs[100 + 4999]--;
	is(touch(HERE + 4999), 0, "it comes again");
	for (unsigned i = 0; i < 4000; i++)
		bad += touch(HERE + (i * 7919) % 5000) != 0;
	ok(!bad && resident() <= BUDGET, "at random");
	unsigned steps = 1;
	while (!demand_close_step(&mapper, (uint64_t)w))
		steps++;
	is(resident(), 0, "closed, in %u steps", steps);
	is(demand_close_step(&mapper, (uint64_t)w), -XEN_ENOENT, "once");
	is(touch(HERE), -XEN_ENOENT, "nothing comes any more");
	is(mapper.p2m.tables.used, 1, "nothing is charged");
	finish("basics");
}

static void limits(void)
{
	unsigned good = 0;

	start(true, 300);
	is(demand_open(&mapper, &owner, 0, HERE, 0, BUDGET), -XEN_EINVAL, "of nothing");
	is(demand_open(&mapper, &owner, 0, HERE, 10, BUDGET - 1), -XEN_EINVAL, "too few");
	is(demand_open(&mapper, &owner, GUEST_GFN_LIMIT - 9, HERE, 10, BUDGET), -XEN_EINVAL,
	   "beyond the owner");
	is(demand_open(&mapper, &owner, ~0ull, HERE, 2, BUDGET), -XEN_EINVAL, "far beyond");
	is(demand_open(&mapper, &owner, 0, GUEST_GFN_LIMIT - 9, 10, BUDGET), -XEN_EINVAL,
	   "beyond the mapper");
	is(demand_open(&mapper, &owner, 0, 0, GUEST_GFN_LIMIT, 300 * 1024), -XEN_ENOMEM,
	   "more than its quota");
	is(mapper.p2m.tables.used, 1, "which is as before");
	fail_at = 0;
	is(demand_open(&mapper, &owner, 0, HERE, 10, BUDGET), -XEN_ENOMEM, "no memory");
	is(mapper.p2m.tables.used, 1, "nothing is charged");
	is(demand_open(&mapper, &owner, 0, HERE, 10, GUEST_GFN_LIMIT), 0, "a budget is cut");
	is(stats_of(0).budget, BUDGET, "to what is of use");
	is(demand_open(&mapper, &owner, 0, HERE + 9, 1, BUDGET), -XEN_EEXIST, "another there");
	is(demand_open(&mapper, &owner, 0, HERE - 9, 10, BUDGET), -XEN_EEXIST, "or before");
	for (unsigned i = 1; i < DEMAND_WATCHERS_MAX; i++)
		good += demand_open(&mapper, &owner, 0, HERE + i * 10, 10, BUDGET) == (int)i;
	is(good, DEMAND_WATCHERS_MAX - 1, "so many of one owner");
	is(demand_open(&mapper, &owner, 0, HERE + 5000, 10, BUDGET), -XEN_ENOSPC, "and no more");
	for (unsigned i = 0; i < DEMAND_WATCHERS_MAX; i++)
		good += touch(HERE + i * 10 + 3) == 0;
	is(good, 2 * DEMAND_WATCHERS_MAX - 1, "each works");
	give_back(3, 1);
	is(resident(), 0, "one page of the owner's leaves them all");
	is(touch(HERE + 3), -XEN_ENOENT, "and is not there any more");
	is(p2m_map(&owner.p2m, make_gfn(3), make_mfn(FRAME_BASE + RAM + 1), 1, P2M_GRANT_RW,
		   P2M_RW),
	   0, "a page of another's there");
	is(touch(HERE + 3), -XEN_ENOENT, "is no RAM of the owner's");
	is(touch(HERE + 4), 0, "the next one is");
	finish("limits");
}

static uint64_t hook_gfn;
static int hook_window;
static void gives_back(uint64_t gfn)
{
	hook = NULL;
	hook_gfn = gfn;
	give_back(gfn, 1);
}
static void gives_back_and_takes(uint64_t gfn)
{
	gives_back(gfn);
	if (p2m_map(&owner.p2m, make_gfn(gfn), make_mfn(FRAME_BASE + RAM + gfn), 1, P2M_RAM,
		    P2M_RWX))
		bail_out("owner's p2m");
}
static void gives_back_next(uint64_t gfn)
{
	hook = NULL;
	give_back(gfn + 1, 1);
}
static void closes(uint64_t gfn)
{
	(void)gfn;
	hook = NULL;
	while (!demand_close_step(&mapper, (uint64_t)hook_window))
		;
}
static void ends(uint64_t gfn)
{
	(void)gfn;
	hook = NULL;
	owner.end = END_CRASH;
	while (!demand_detach_step(&owner))
		;
}
static void touched_elsewhere(uint64_t gfn)
{
	hook = NULL;
	if (touch(HERE + gfn))
		fail("touch");
}

/* What others do while a page is looked up but not mapped yet. */
static void races(void)
{
	struct p2m_entry e;

	start(true, 300);
	hook_window = demand_open(&mapper, &owner, 0, HERE, 5000, BUDGET);
	hook = gives_back;
	is(touch(HERE + 7), -XEN_ENOENT, "a page that is given back meanwhile");
	is(resident(), 0, "is not mapped");
	hook = gives_back_and_takes;
	is(touch(HERE + 8), 0, "one that is replaced");
	ok(p2m_lookup(&mapper.p2m, make_gfn(HERE + 8), &e) &&
	       mfn_raw(e.frame) == FRAME_BASE + RAM + 8 && resident() == 1,
	   "is the new one");
	hook = gives_back_next;
	is(touch(HERE + 20), 0, "one whose neighbour goes");
	is(resident(), 2, "stays");
	hook = touched_elsewhere;
	is(touch(HERE + 30), 0, "one that another CPU has mapped");
	is(resident(), 3, "is there once");
	hook = closes;
	is(touch(HERE + 40), -XEN_ENOENT, "one in a window that closes");
	is(resident(), 0, "is gone with it");
	epoch_pass();
	hook_window = demand_open(&mapper, &owner, 0, HERE, 5000, BUDGET);
	is(touch(HERE + 41), 0, "another window");
	hook = ends;
	is(touch(HERE + 42), -XEN_ENOENT, "one of an owner that ends");
	ok(resident() == 0 && !stats_of(hook_window).open, "all are gone");
	is(demand_open(&mapper, &owner, 0, HERE + 5000, 10, BUDGET), 1,
	   "one onto it, in that moment");
	ok(!stats_of(1).open, "is never open");
	domain_table[owner.id] = NULL;
	owner.end = END_NONE; /* another domain with that number */
	domain_table[owner.id] = &owner;
	is(touch(HERE + 42), -XEN_ENOENT, "a window is not one onto the next domain");
	is(demand_close_step(&mapper, (uint64_t)hook_window), 1, "closed");
	finish("races");
}

/* Pages far apart need a table each. */
static void sparse(bool accessed_flags)
{
	unsigned bad = 0;
	uint64_t far = 512;

	start(accessed_flags, 24);
	is(demand_open(&mapper, &owner, 0, HERE, RAM, BUDGET), 0, "a window, and few tables");
	for (unsigned i = 0; i < 1000; i++)
		bad += touch(HERE + i * 7 % 128 * far + i % far) != 0;
	is(bad, 0, "pages that need a table each make room for one another");
	ok(resident() && mapper.p2m.tables.used <= 24, "within the quota");
	while (!demand_close_step(&mapper, 0))
		;
	epoch_pass();
	for (unsigned i = 0; mapper.p2m.tables.used < 22 && i < 100; i++)
		bad += p2m_map(&mapper.p2m, make_gfn(i * 512), make_mfn(FRAME_BASE + RAM + i), 1,
			       P2M_FOREIGN, P2M_RW) != 0;
	is(demand_open(&mapper, &owner, 0, HERE, RAM, BUDGET), 0, "a window, with no table left");
	is(touch(HERE), -XEN_ENOMEM, "nothing makes room");
	for (unsigned i = 0; i < 100; i++)
		bad += p2m_unmap(&mapper.p2m, make_gfn(i * 512), 1, NULL, NULL) != 0;
	is(touch(HERE), 0, "until there is some");
	ok(!bad && resident() == 1, "nothing is lost");
	finish("sparse");
}

/* Several CPUs, each with free slots at hand: what one has no other one takes, and all come back.
 */
static void shares(bool accessed_flags)
{
	unsigned bad = 0, most = 0, budget = accessed_flags ? 512 : 1024;
	struct keyhole_window_stats s;

	start(accessed_flags, 300);
	int w = demand_open(&mapper, &owner, 100, HERE, 8000, budget);
	for (unsigned i = 0; i < 8000; i++) {
		test_cpu.index = i / 7 % 6;
		bad += touch(HERE + i) != 0;
		s = stats_of(w);
		bad += s.resident > budget || (i > budget && s.resident < budget / 2);
		most = s.resident > most ? (unsigned)s.resident : most;
	}
	is(bad, 0, "all pages come, to several CPUs");
	ok(most > budget * 3 / 4 && s.faults == 8000 && s.resident == resident(), "%u at most",
	   most);
	test_cpu.index = 0;
	for (unsigned i = 0; i < 1000; i++)
		bad += touch(HERE + i) != 0;
	s = stats_of(w);
	ok(!bad && s.resident == resident() && s.resident >= budget / 2,
	   "then to one of them alone: %lu", (unsigned long)s.resident);
	test_cpu.index = 3;
	bad = touch(HERE + 3000) != 0;
	while (!demand_close_step(&mapper, (uint64_t)w))
		;
	ok(!bad && resident() == 0, "closed");
	test_cpu.index = 0;
	finish("shares");
}

int main(void)
{
	tap_no_plan();
	fake_pool_init();
	basics(true);
	basics(false);
	limits();
	races();
	shares(true);
	shares(false);
	sparse(true);
	sparse(false);
	return tap_end();
}
