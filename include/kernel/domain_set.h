/* A set of domains, by id, that any CPU may change at any time. */
#ifndef KEYHOLE_KERNEL_DOMAIN_SET_H
#define KEYHOLE_KERNEL_DOMAIN_SET_H

#include "../domain.h"

struct domain_set {
	_Atomic uint64_t words[(DOMAINS_MAX + 64) / 64];
};

static inline bool domain_set_has(const struct domain_set *set, domid_t id)
{
	return atomic_load(&set->words[id / 64]) >> (id % 64) & 1;
}
/* Whether it was not there yet. */
static inline bool domain_set_add(struct domain_set *set, domid_t id)
{
	return !(atomic_fetch_or(&set->words[id / 64], 1ull << (id % 64)) >> (id % 64) & 1);
}
static inline void domain_set_remove(struct domain_set *set, domid_t id)
{
	atomic_fetch_and(&set->words[id / 64], ~(1ull << (id % 64)));
}
static inline bool domain_set_empty(const struct domain_set *set, memory_order order)
{
	uint64_t any = 0;

	for (unsigned i = 0; i < array_size(set->words); i++)
		any |= atomic_load_explicit(&set->words[i], order);
	return !any;
}

#endif
