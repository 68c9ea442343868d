/*
 * lifecycle: has the right (priv=*) to make, pause, restart and destroy its child, the domain after
 * this one, of the same image: `child` counts in a page for ever. `cycles=` says how often the
 * child is made and destroyed at the end; that all frames come back the hypervisor itself checks.
 */
#include "guest.h"
#include "public/keyhole.h"

static volatile struct {
	uint64_t count;
	uint8_t rest[PAGE_SIZE - 8];
} __attribute__((aligned(PAGE_SIZE))) page;

static uint32_t child;

static long control(unsigned command, uint32_t domain)
{
	return hypercall(__HYPERVISOR_keyhole_control, command, domain, 0);
}

static long state(void)
{
	return control(KEYHOLE_CONTROL_STATE, child);
}

/* The child's count, through a foreign mapping for this one look; 0 as long as there is none. */
static uint64_t count(void)
{
	add_to_physmap_batch_t map = {.domid = DOMID_SELF,
				      .space = XENMAPSPACE_gmfn_foreign,
				      .size = 1,
				      .foreign_domid = (domid_t)child};
	native_ulong_t there = (native_ulong_t)((unsigned long)&page / PAGE_SIZE);
	native_ulong_t here = HOLE / PAGE_SIZE;
	remove_from_physmap_t unmap = {.domid = DOMID_SELF, .gpfn = here};
	int32_t error = 0;

	map.idxs = handle(&there);
	map.gpfns = handle(&here);
	map.errs = handle(&error);
	if (memory_op(XENMEM_add_to_physmap_batch, &map) || error)
		return 0;
	uint64_t value = *(volatile uint64_t *)HOLE;
	memory_op(XENMEM_remove_from_physmap, &unmap);
	return value;
}

/* Whether it goes on counting. */
static bool counts(void)
{
	uint64_t before = count();

	return WAIT_UNTIL(count() != before);
}

static bool stands_still(void)
{
	uint64_t before = count();

	for (unsigned i = 0; i < 50; i++)
		yield();
	return count() == before;
}

static void refused(void)
{
	tap_is(control(KEYHOLE_CONTROL_PAUSE, child), -XEN_ESRCH, "it is not there yet");
	tap_is(control(KEYHOLE_CONTROL_CREATE, child + 2), -XEN_ESRCH, "no module for another");
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
	tap_ok(counts(), "it counts");

	tap_is(control(KEYHOLE_CONTROL_PAUSE, child), 0, "it is paused");
	tap_is(state(), KEYHOLE_DOMAIN_PAUSED, "and says so");
	tap_ok(WAIT_UNTIL(stands_still()) && stands_still(), "it counts no more");
	tap_is(control(KEYHOLE_CONTROL_RESUME, child), 0, "it goes on");
	tap_ok(counts(), "counting");

	tap_is(control(KEYHOLE_CONTROL_RESTART, child), 0, "it is made anew");
	tap_ok(state() != KEYHOLE_DOMAIN_RUNNING, "the old one has ended");
	tap_ok(WAIT_UNTIL(state() == KEYHOLE_DOMAIN_RUNNING), "the new one runs");
	tap_ok(counts(), "it counts");
	tap_is(control(KEYHOLE_CONTROL_PAUSE, child), 0, "a paused one");
	tap_is(control(KEYHOLE_CONTROL_DESTROY, child), 0, "is destroyed as any");
	tap_ok(WAIT_UNTIL(state() == KEYHOLE_DOMAIN_ABSENT), "until nothing is left");
}

static void cycles(unsigned number)
{
	unsigned done = 0;
	uint64_t start = rdtsc();

	for (; done < number; done++)
		if (control(KEYHOLE_CONTROL_CREATE, child) ||
		    !WAIT_UNTIL(state() == KEYHOLE_DOMAIN_RUNNING) ||
		    control(KEYHOLE_CONTROL_DESTROY, child) ||
		    !WAIT_UNTIL(state() == KEYHOLE_DOMAIN_ABSENT))
			break;
	tap_is(done, number, "made and destroyed again and again");
	printf("# %llu ticks each\n",
	       (unsigned long long)((rdtsc() - start) / (number ? number : 1)));
}

int main(void)
{
	if (option("child"))
		for (;; yield())
			page.count++;
	child = self_domain() + 1;
	if (option("outsider")) {
		tap_is(control(KEYHOLE_CONTROL_PAUSE, 1), -XEN_EPERM, "not without the right");
		tap_done();
	}
	refused();
	life();
	cycles((unsigned)option_number("cycles", 1000));
	tap_done();
}
