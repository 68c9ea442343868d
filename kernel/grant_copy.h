/* Copies through grants: kernel/grant_copy.c, behind grant_table_op. */
#ifndef KEYHOLE_KERNEL_GRANT_COPY_H
#define KEYHOLE_KERNEL_GRANT_COPY_H

#include "grant_internal.h"

/* Copies in a row, of one domain. */
struct grant_copies {
	struct domain *domain;
	struct grant_session session;
};
void grant_copies_begin(struct grant_copies *c, struct domain *d);
int16_t grant_copy_one(struct grant_copies *c, const struct gnttab_copy *op);
void grant_copies_end(struct grant_copies *c);

int grant_cache_flush(struct domain *d, const struct gnttab_cache_flush *op) must_use;

#endif
