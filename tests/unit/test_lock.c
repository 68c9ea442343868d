/* sources: tests/unit/fake_cpu.c tests/unit/quiet.c */
/* flags: -fno-sanitize=address,undefined -fsanitize=thread -no-pie -pthread */
/*
 * The lock itself, as in builds without checks of order: one holder, first come, first served, and
 * the panic of a CPU that would wait for itself.
 */
#include "lock.h"
#include "lock_panics.h"
#include "tap.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 2u
#define ROUNDS	2000u
#define WRAPS	70000u /* more than tickets have numbers */

static struct lock lock = LOCK_INIT(LOCK_DOMAIN);
static unsigned counter; /* under it */

static void *counts(void *arg)
{
	test_cpu.index = (uint32_t)(uintptr_t)arg;
	for (unsigned i = 0; i < ROUNDS; i++) {
		if (i % 8 || !lock_try(&lock))
			lock_acquire(&lock);
		counter++;
		lock_release(&lock);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS];

	tap_no_plan();
	ok(lock_panics(&lock, &lock), "a CPU does not wait for itself");
	lock_acquire(&lock);
	ok(lock_held(&lock) && !lock_try(&lock), "it is held");
	lock_release(&lock);
	ok(!lock_held(&lock) && lock_try(&lock), "and given back");
	lock_release(&lock);
	for (unsigned i = 0; i < WRAPS; i++) {
		lock_acquire(&lock);
		lock_release(&lock);
	}
	ok(lock_try(&lock), "its tickets wrap");
	lock_release(&lock);
	for (unsigned i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, counts, (void *)(uintptr_t)(i + 1)))
			return 1;
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	is(counter, THREADS * ROUNDS, "of several, one at a time");
	ok(!lock_held(&lock) && lock_try(&lock), "nobody has it");
	return tap_end();
}
