/*
 * sweep-probe: looks for the secret of sweep-victim, the domain before it (or `peer=`), in all
 * memory that the hypervisor has mapped, through the test hypercall that stands for a speculative
 * read of any address. Needs a test build.
 */
#include "../sweep-victim/canary.h"
#include "guest.h"
#include "public/keyhole.h"

#define SWEEPS 8

static long keyhole_test(unsigned command, void *argument)
{
	return hypercall(__HYPERVISOR_keyhole_test, command, (unsigned long)argument, 0);
}

static long sweep(struct keyhole_test_sweep *s)
{
	*s = (struct keyhole_test_sweep){.canary_lo_masked = CANARY_LO_MASKED,
					 .canary_hi_masked = CANARY_HI_MASKED,
					 .mask = CANARY_MASK};
	return keyhole_test(KEYHOLE_TEST_SWEEP, s);
}

static volatile uint32_t *map_flag(uint32_t peer)
{
	grant_handle_t handle;

	if (!WAIT_UNTIL(grant_map(peer, REF_FLAG, HOLE, GNTMAP_host_map, &handle) == GNTST_okay))
		tap_bail_out("domain %u grants no page", peer);
	return (volatile uint32_t *)HOLE;
}

int main(void)
{
	uint32_t peer = (uint32_t)option_number("peer", self_domain() - 1);
	unsigned failed = 0, incomplete = 0, no_control = 0;
	unsigned long found = 0, first = 0, pages = 0;
	volatile uint32_t *flag = map_flag(peer);

	if (keyhole_test(KEYHOLE_TEST_AUDIT, NULL) == -XEN_ENOSYS) {
		*flag = PROBE_IS_DONE;
		printf("1..0 # SKIP the hypervisor is no test build\n");
		shutdown(SHUTDOWN_poweroff);
	}
	tap_plan(7);
	tap_is(keyhole_test(KEYHOLE_TEST_AUDIT, NULL), 0, "the audit finds nothing wrong");
	tap_is(keyhole_test(KEYHOLE_TEST_PLANT, NULL), 0,
	       "a planted mapping of a guest's page is found");
	tap_is(keyhole_test(KEYHOLE_TEST_AUDIT, NULL), 0, "and is gone again");
	for (unsigned i = 0; i < SWEEPS; i++) {
		struct keyhole_test_sweep s;

		failed += sweep(&s) != 0;
		incomplete += s.bytes_swept == 0 || s.bytes_swept != s.pages_mapped * PAGE_SIZE;
		no_control += s.control_found == 0;
		found += (unsigned long)s.found_count;
		if (s.found_count != 0)
			first = (unsigned long)s.first_va;
		pages = (unsigned long)s.pages_mapped;
		/* The victim goes on in between, and is interrupted at another place. */
		for (unsigned j = 0; j <= i; j++)
			yield();
	}
	*flag = PROBE_IS_DONE;
	tap_is(failed, 0, "%u sweeps over %lu pages, while the secret's owner runs", SWEEPS, pages);
	tap_is(incomplete, 0, "each swept as many bytes as are mapped");
	tap_is(no_control, 0, "each found the control");
	tap_is(found, 0, "none found the secret");
	if (found != 0)
		printf("# first at 0x%lx\n", first);
	tap_done();
}
