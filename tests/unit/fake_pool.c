#include "fake_pool.h"
#include "public/errno.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int64_t fake_pool_succeed = -1;
void (*fake_epoch_hook)(mfn_t table);

static enum { FREE, USED, WAITING } state[FAKE_POOL_COUNT];
static unsigned in_use, next_search;

static _Noreturn void stop(const char *why, mfn_t table)
{
	printf("Bail out! fake pool: %s, table %#llx\n", why, (unsigned long long)mfn_raw(table));
	fflush(stdout);
	abort();
}

static void protect(unsigned i, int prot)
{
	if (mprotect(pool_table(make_mfn(FAKE_POOL_FIRST + i)), PAGE_SIZE, prot))
		stop("mprotect", make_mfn(i));
}

void fake_pool_init(void)
{
	void *at = pool_table(make_mfn(FAKE_POOL_FIRST));

	if (mmap(at, FAKE_POOL_COUNT * PAGE_SIZE, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != at)
		stop("mmap", make_mfn(FAKE_POOL_FIRST));
}

int pool_table_alloc(struct table_account *account, mfn_t *out)
{
	if (fake_pool_succeed == 0 || account->used >= account->quota || in_use == FAKE_POOL_COUNT)
		return -XEN_ENOMEM;
	if (fake_pool_succeed > 0)
		fake_pool_succeed--;
	while (state[next_search] != FREE)
		next_search = (next_search + 1) % FAKE_POOL_COUNT;
	state[next_search] = USED;
	*out = make_mfn(FAKE_POOL_FIRST + next_search);
	protect(next_search, PROT_READ | PROT_WRITE);
	memset(pool_table(*out), 0, PAGE_SIZE);
	account->used++;
	in_use++;
	next_search = (next_search + 1) % FAKE_POOL_COUNT;
	return 0;
}

static unsigned used_index(mfn_t table)
{
	uint64_t i = mfn_raw(table) - FAKE_POOL_FIRST;

	if (i >= FAKE_POOL_COUNT || state[i] != USED)
		stop("freed without being in use", table);
	return (unsigned)i;
}

static void release(unsigned i)
{
	state[i] = FREE;
	in_use--;
	protect(i, PROT_NONE);
}

void pool_table_free(struct table_account *account, mfn_t table)
{
	release(used_index(table));
	account->used--;
}

void epoch_free_table(struct table_account *account, mfn_t table)
{
	unsigned i = used_index(table);

	if (fake_epoch_hook)
		fake_epoch_hook(table);
	state[i] = WAITING;
	account->used--;
}

void fake_epoch_pass(void)
{
	for (unsigned i = 0; i < FAKE_POOL_COUNT; i++)
		if (state[i] == WAITING)
			release(i);
}

unsigned fake_pool_in_use(void)
{
	return in_use;
}
