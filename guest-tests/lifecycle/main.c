/*
 * lifecycle: has the right (priv=*) to make, pause, restart and destroy its child, the domain after
 * this one, of the same image: all vCPUs of `child` count in a page for ever. `cycles=` says how
 * often the child is made and destroyed at the end, `vcpus=` how many vCPUs of it must be busy at
 * that moment; that all frames come back the hypervisor itself checks. `fail`: each allocation for
 * a child fails once.
 */
#include "apic.h"
#include "public/keyhole.h"

#define VCPUS_MAX    4u
#define FAILURES_MAX 1000u
#define NO_MODULE    60u /* the number of no domain here */

union counts {
	uint64_t count[VCPUS_MAX]; /* of each vCPU */
	uint8_t page[PAGE_SIZE];
};
static volatile union counts counts __attribute__((aligned(PAGE_SIZE)));

static uint32_t child;
static unsigned vcpus;

static long control(unsigned command, uint32_t domain)
{
	return hypercall(__HYPERVISOR_keyhole_control, command, domain, 0);
}

static long state(void)
{
	return control(KEYHOLE_CONTROL_STATE, child);
}

/* The child's page appears at HOLE; false as long as there is none. */
static bool look(void)
{
	return !foreign_map(child, (unsigned long)&counts / PAGE_SIZE, HOLE);
}

static void look_away(void)
{
	page_remove(HOLE);
}

/* The first child's vCPU's count; 0 as long as there is none. */
static uint64_t count(void)
{
	if (!look())
		return 0;
	uint64_t value = ((volatile union counts *)HOLE)->count[0];
	look_away();
	return value;
}

/* Whether it goes on counting. */
static bool goes_on(void)
{
	uint64_t before = count();

	return WAIT_UNTIL(count() != before);
}

/* Whether all of the child's vCPUs count. */
static bool all_count(void)
{
	const volatile union counts *there = (const volatile union counts *)HOLE;
	unsigned counting = 0;

	if (!WAIT_UNTIL(look()))
		return false;
	while (counting < vcpus && WAIT_UNTIL(there->count[counting]))
		counting++;
	look_away();
	return counting == vcpus;
}

static bool stands_still(void)
{
	uint64_t before = count();

	for (unsigned i = 0; i < 50; i++)
		yield();
	return count() == before;
}

/* The child: one vCPU gives way, so that others run on one processor too; the rest are busy. */
static void counts_for_ever(unsigned id)
{
	for (;; counts.count[id]++)
		if (!id)
			yield();
}

static void be_child(void)
{
	apic_enable();
	for (unsigned id = 1; id < cpu_count(); id++)
		if (!cpu_start(id, counts_for_ever))
			tap_bail_out("processor %u does not start", id);
	counts_for_ever(0);
}

static void refused(void)
{
	tap_is(control(KEYHOLE_CONTROL_PAUSE, child), -XEN_ESRCH, "it is not there yet");
	tap_is(control(KEYHOLE_CONTROL_CREATE, NO_MODULE), -XEN_ESRCH, "no module for another");
	tap_is(control(KEYHOLE_CONTROL_CREATE, 0), -XEN_ESRCH, "nor number 0");
	tap_is(control(KEYHOLE_CONTROL_CREATE, 0x10001), -XEN_ESRCH, "nor beyond all numbers");
	tap_is(control(KEYHOLE_CONTROL_DESTROY, self_domain()), -XEN_EINVAL, "not oneself");
	tap_is(control(0, child), -XEN_ENOSYS, "unknown commands");
	tap_is(control(KEYHOLE_CONTROL_STATE + 1, child), -XEN_ENOSYS, "beyond the last one");
}

static void life(void)
{
	tap_is(state(), KEYHOLE_DOMAIN_ABSENT, "there is no child");
	tap_is(control(KEYHOLE_CONTROL_CREATE, child), 0, "it is made");
	tap_ok(WAIT_UNTIL(state() == KEYHOLE_DOMAIN_RUNNING), "it runs");
	tap_is(control(KEYHOLE_CONTROL_CREATE, child), -XEN_EEXIST, "once only");
	tap_ok(goes_on(), "it counts");

	tap_is(control(KEYHOLE_CONTROL_PAUSE, child), 0, "it is paused");
	tap_is(state(), KEYHOLE_DOMAIN_PAUSED, "and says so");
	tap_ok(WAIT_UNTIL(stands_still()) && stands_still(), "it counts no more");
	tap_is(control(KEYHOLE_CONTROL_RESUME, child), 0, "it goes on");
	tap_ok(goes_on(), "counting");

	tap_is(control(KEYHOLE_CONTROL_RESTART, child), 0, "it is made anew");
	tap_ok(state() != KEYHOLE_DOMAIN_RUNNING, "the old one has ended");
	tap_ok(WAIT_UNTIL(state() == KEYHOLE_DOMAIN_RUNNING), "the new one runs");
	tap_ok(goes_on(), "it counts");
	tap_is(control(KEYHOLE_CONTROL_PAUSE, child), 0, "a paused one");
	tap_is(control(KEYHOLE_CONTROL_DESTROY, child), 0, "is destroyed as any");
	tap_ok(WAIT_UNTIL(state() == KEYHOLE_DOMAIN_ABSENT), "until nothing is left");
}

static bool is_made(void)
{
	return !control(KEYHOLE_CONTROL_CREATE, child) &&
	       WAIT_UNTIL(state() != KEYHOLE_DOMAIN_CREATING) && state() == KEYHOLE_DOMAIN_RUNNING;
}

static bool is_destroyed(void)
{
	return !control(KEYHOLE_CONTROL_DESTROY, child) &&
	       WAIT_UNTIL(state() == KEYHOLE_DOMAIN_ABSENT);
}

static void cycles(unsigned number)
{
	unsigned done = 0;
	uint64_t start = rdtsc();

	while (done < number && is_made() && (!vcpus || all_count()) && is_destroyed())
		done++;
	tap_is(done, number, "made and destroyed again and again");
	printf("# %llu ticks each\n",
	       (unsigned long long)((rdtsc() - start) / (number ? number : 1)));
}

static long test_call(unsigned command, unsigned long argument)
{
	return hypercall(__HYPERVISOR_keyhole_test, command, argument, 0);
}

/* What cannot be made for lack of memory is not there, and can be made the next time. */
static void failures(void)
{
	unsigned n = 0, refused = 0;
	bool good = true, fired = true;

	while (good && fired && ++n < FAILURES_MAX) {
		good = !test_call(KEYHOLE_TEST_FAIL, KEYHOLE_FAIL_MAKING | n);
		bool made = is_made();
		fired = test_call(KEYHOLE_TEST_FAIL, 0);
		refused += !made;
		good &= made || (fired && state() == KEYHOLE_DOMAIN_ABSENT);
		if (made)
			good &= is_destroyed();
		good &= !test_call(KEYHOLE_TEST_AUDIT, 0);
	}
	tap_ok(good && !fired && refused,
	       "each of %u allocations for it has failed, %u times it was not made", n - 1,
	       refused);
}

int main(void)
{
	if (option("child"))
		be_child();
	vcpus = (unsigned)option_number("vcpus", 0);
	child = self_domain() + 1;
	if (option("outsider")) {
		tap_is(control(KEYHOLE_CONTROL_PAUSE, 1), -XEN_EPERM, "not without the right");
		tap_done();
	}
	if (option("fail")) {
		failures();
		tap_done();
	}
	refused();
	life();
	cycles((unsigned)option_number("cycles", 1000));
	tap_done();
}
