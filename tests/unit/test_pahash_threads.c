/*
 * PA->VA hash: look-ups on real threads while it changes and grows, under the thread sanitizer. A
 * reader that touches a table after its epoch has let it go is a fault; one that reads what was not
 * released to it is a race. The sanitizer looks at accesses, not at these tests' own bookkeeping
 * alone: it sees every atomic of mm/pahash.c and mm/epoch.c with its memory order.
 */
/* sources: mm/frame.c mm/frame_buddy.c mm/frame_cache.c */
/* sources: mm/pahash.c mm/section.c mm/epoch.c mm/pool.c tests/unit/fake_mm.c */
/* flags: -fno-sanitize=address,undefined -fsanitize=thread -no-pie -pthread */
#include "fake_mm.h"
#include "mm/epoch.h"
#include "mm/pahash.h"
#include "mm/pool.h"
#include "tap.h"
#include <pthread.h>

static uint64_t some_va(uint64_t frame)
{
	return LAYOUT_VMAP +
	       (frame * 0x9e3779b1ull % (LAYOUT_VMAP_AREAS_SIZE / PAGE_SIZE)) * PAGE_SIZE;
}

/*
 * Readers look up frames that stay and frames that come and go, while a writer
 * changes the hash and makes it grow. Each reader passes a quiescent point after every look-up.
 */
#define READERS 3
static _Atomic bool stop;
static _Atomic uint64_t wrong, looked_up;

static void *reader(void *arg)
{
	uint64_t x = (uint64_t)arg * 77 + 1;

	fake_cpu_be((uint32_t)(uint64_t)arg);
	while (!atomic_load(&stop)) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		uint64_t frame = 1 + (x >> 33) % 4096;
		uint64_t va = pahash_lookup(make_mfn(frame));

		/* Odd frames are there all the time; even ones are there or not, never wrong. */
		if (va != some_va(frame) && (va || frame & 1))
			atomic_fetch_add(&wrong, 1);
		atomic_fetch_add(&looked_up, 1);
		/* The fake page tables know one thread only: no flush here, the epoch alone. */
		atomic_fetch_and(&this_cpu_shared()->entry_work, ~ENTRY_WORK_HOST_FLUSH);
		epoch_quiescent();
	}
	return NULL;
}

static bool threads(void)
{
	pthread_t ids[READERS];

	fake_mm_init();
	frame_add_ram(make_paddr(0x100000), make_paddr(0x10000000));
	must(!frame_init());
	must(!pool_init());
	must(!pahash_init(6));
	fake_cpu_online(0);
	fake_models_tlb = false;
	for (uint64_t f = 1; f < 200; f += 2)
		must(!pahash_insert(make_mfn(f), some_va(f)));
	for (uint64_t f = 201; f < 4096; f += 2) {
		int rc = pahash_insert(make_mfn(f), some_va(f));
		must(!rc);
		fake_quiesce();
	}
	for (uint64_t i = 0; i < READERS; i++)
		fake_cpu_online((uint32_t)i + 1);
	for (uint64_t i = 0; i < READERS; i++)
		pthread_create(&ids[i], NULL, reader, (void *)(i + 1));
	uint64_t top = 10000, changes = 0;
	while (atomic_load(&looked_up) < 2000000 && changes < 3000000) {
		uint64_t frame = 2 + fake_random() % 2047 * 2;

		if (pahash_lookup(make_mfn(frame)))
			pahash_remove(make_mfn(frame));
		else
			(void)!pahash_insert(make_mfn(frame), some_va(frame));
		/* Now and then many more, so that it grows under the readers. */
		if (++changes % 2000 == 0 && top < 60000)
			for (unsigned i = 0; i < 1000; i++, top++)
				(void)!pahash_insert(make_mfn(top), some_va(top));
		epoch_quiescent();
	}
	atomic_store(&stop, true);
	for (uint64_t i = 0; i < READERS; i++)
		pthread_join(ids[i], NULL);
	diag("%" PRIu64 " look-ups, %" PRIu64 " changes, %" PRIu64 " entries",
	     atomic_load(&looked_up), changes, pahash_count());
	must(atomic_load(&wrong) == 0);
	must(top > 10000);
	return true;
}

int main(void)
{
	plan(1);
	ok(fake_in_child(threads), "readers on other threads while it changes and grows");
	return tap_end();
}
