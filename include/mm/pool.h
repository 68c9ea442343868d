/* Table pools: page-table pages that are always mapped. The interface of mm/pool.c. */
#ifndef KEYHOLE_MM_POOL_H
#define KEYHOLE_MM_POOL_H

#include "layout.h"
#include "types.h"
#include <stdatomic.h>

/* Whom a table is charged to: a domain's EPT, or the host's own tables (quota UINT32_MAX). */
struct table_account {
	_Atomic uint32_t used;
	uint32_t quota;
};

/* The address of a table page. Only for frames of type FRAME_TABLE: no other frame is mapped there.
 */
static inline uint64_t *pool_table(mfn_t frame)
{
	return (uint64_t *)(LAYOUT_POOL + (frame.raw << PAGE_SHIFT));
}

/* The host's own tables. Its calls may use the pool's last tables while the pool grows. */
extern struct table_account host_table_account;

/* Pages that count against the quota; what they are is the caller's matter. */
must_use static inline bool table_account_charge(struct table_account *a, uint32_t pages)
{
	uint32_t used = atomic_load(&a->used);

	do {
		if (used > a->quota || pages > a->quota - used)
			return false;
	} while (!atomic_compare_exchange_weak(&a->used, &used, used + pages));
	return true;
}
static inline void table_account_uncharge(struct table_account *a, uint32_t pages)
{
	atomic_fetch_sub(&a->used, pages);
}

int pool_init(void) must_use;
int pool_table_alloc(struct table_account *account, mfn_t *out) must_use;
void pool_table_free(struct table_account *account, mfn_t table);
/* The halves of pool_table_free(), for mm/epoch.c: the account may be gone when the table is. */
void pool_account_release(struct table_account *account);
void pool_table_release(mfn_t table);
uint64_t pool_tables_total(void);
uint64_t pool_tables_free(void);

#endif
