/*
 * Caps: the most processor time that a domain may use, all its vCPUs together, in percent of one
 * processor.
 *
 * State: domain.cap_until, the time up to which the domain has used what its cap allows. Time that
 * it runs moves it on by more than itself, from the start of the run if it lay before that: who
 * uses less saves nothing up. No lock: it is moved by compare-and-swap, since vCPUs of one domain
 * may end their turns on several CPUs at once.
 *
 * Clocks of processors that are apart (CAVEATS.md) shorten or lengthen a wait by as much, once.
 */
#include "kernel/cap.h"
#include "domain.h"

void cap_charge(struct domain *d, uint64_t start, uint64_t ticks)
{
	uint64_t old = atomic_load(&d->cap_until), until;

	if (!d->cap_percent)
		return;
	do {
		until = (old > start ? old : start) + ticks * 100 / d->cap_percent;
	} while (!atomic_compare_exchange_weak(&d->cap_until, &old, until));
}
