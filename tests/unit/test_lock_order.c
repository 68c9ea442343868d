/* sources: selftest/lock_order.c tests/unit/fake_cpu.c tests/unit/quiet.c */
/* flags: -DCONFIG_TEST */
/*
 * The order of locks: what may be taken while what is held, and the panics of what may not.
 */
#include "lock.h"
#include "lock_panics.h"
#include "tap.h"
#include <sys/wait.h>
#include <unistd.h>

static struct lock domain = LOCK_INIT(LOCK_DOMAIN), p2m = LOCK_INIT(LOCK_P2M),
		   other = LOCK_INIT(LOCK_P2M), queue = LOCK_INIT(LOCK_RUN_QUEUE), none,
		   first = LOCK_INIT_ORDERED(LOCK_EVTCHN, 3),
		   second = LOCK_INIT_ORDERED(LOCK_EVTCHN, 7);

int main(void)
{
	tap_no_plan();
	ok(!lock_panics(&domain, &p2m) && !lock_panics(&p2m, &queue), "inwards");
	ok(lock_panics(&p2m, &domain) && lock_panics(&queue, &p2m), "outwards");
	ok(lock_panics(&p2m, &other) && lock_panics(&p2m, &p2m), "two of one rank");
	ok(!lock_panics(&first, &second) && lock_panics(&second, &first),
	   "two of one rank that have an order");
	ok(lock_panics(&domain, &none), "a lock without a rank");
	lock_acquire(&domain);
	lock_acquire(&p2m);
	lock_acquire(&queue);
	is(test_cpu.locks_held_count, 3, "three are held");
	lock_release(&p2m);
	is(test_cpu.locks_held_count, 2, "given back in any order");
	lock_release(&queue);
	lock_acquire(&p2m);
	lock_release(&p2m);
	lock_release(&domain);
	is(test_cpu.locks_held_count, 0, "none is held");
	lock_acquire(&queue);
	ok(lock_try(&p2m), "one that needs no waiting may be out of order");
	lock_release(&queue);
	lock_release(&p2m);
	is(test_cpu.locks_held_count, 0, "none is held");
	return tap_end();
}
