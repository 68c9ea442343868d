/*
 * The machine under mm/, for unit tests: RAM, page tables, map window, CPUs, and ways to make each
 * fail.
 *
 * RAM is a sparse file in memory; hostpt_map() maps a page of it where the hypervisor would see it,
 * so that an access to what is not mapped is a fault here as well, and stale contents show. Like
 * the real one, hostpt_map() takes page tables from the pool, and from a small reserve before there
 * is one. Addresses that were unmapped and not yet flushed are remembered for each CPU: freeing a
 * frame that some CPU may still reach is found when it is scrubbed.
 */
#ifndef KEYHOLE_TEST_FAKE_MM_H
#define KEYHOLE_TEST_FAKE_MM_H

#include "mm/frame.h"
#include "mm/hostpt.h"
#include "percpu.h"
#include <setjmp.h>

void fake_mm_init(void);

/* hostpt_map() and hostpt_map_2m() fail once, at the call with this number from now on; -1: never,
 * -2: always.
 */
extern int64_t fake_map_fail_at;
/* Called at each of these calls, if set. */
extern void (*fake_map_hook)(void);
/* Page tables that hostpt_map() can take when the pool has none. */
extern unsigned fake_boot_tables;
/* Whether hostpt_map() needs page tables at all. */
extern bool fake_uses_tables;
/* Whether stale translations are looked out for: not with real threads. */
extern bool fake_models_tlb;
extern uint64_t fake_map_calls, fake_flush_calls, fake_scrubbed_frames;

/* Pages of a range that are mapped. */
uint64_t fake_mapped_pages(uint64_t start, uint64_t end);
/* How many mapped pages lead to a frame, on this CPU or through stale translations of any. */
uint64_t fake_reachable(mfn_t frame);
/* Writes a byte all over a frame, or tells whether it is all over it. */
void fake_ram_fill(mfn_t frame, uint8_t byte);
bool fake_ram_is(mfn_t frame, uint8_t byte);

/* Makes this thread CPU number index, online for epochs. */
void fake_cpu_online(uint32_t index);
void fake_cpu_be(uint32_t index);
/* Every online CPU passes quiescent points until nothing is deferred. */
void fake_quiesce(void);

/* Runs a scenario, which begins with fake_mm_init(), in a process of its own, since the modules
 * have state that begins once; whether it returned true. */
bool fake_in_child(bool (*scenario)(void));
/* In a scenario: what must hold. */
#define must(cond)                                                              \
	do {                                                                    \
		if (!(cond)) {                                                  \
			printf("# %s:%d: not %s\n", __FILE__, __LINE__, #cond); \
			return false;                                           \
		}                                                               \
	} while (0)

/* panics(call) is true if the call panics. */
extern jmp_buf fake_panic_jump;
extern bool fake_panic_expected;
#define panics(call)                         \
	__extension__({                      \
		bool panicked_ = false;      \
		fake_panic_expected = true;  \
		if (setjmp(fake_panic_jump)) \
			panicked_ = true;    \
		else                         \
			call;                \
		fake_panic_expected = false; \
		panicked_;                   \
	})

/* Random numbers of a fixed seed, which is printed. */
uint64_t fake_random(void);
void fake_random_seed(uint64_t seed);

/* A reference to any frame, if it has this owner and type. */
must_use static inline int frame_get(mfn_t frame, domid_t owner, enum frame_type type)
{
	return frame_info(frame) ? frame_get_present(frame, owner, type) : -XEN_EINVAL;
}

#endif
