/* What the two files of this guest share. */
#ifndef FUZZ_H
#define FUZZ_H

#include "apic.h"
#include "public/event_channel.h"
#include "public/vcpu.h"

#define WORKERS_MAX  4u
#define RAM_END	     0x1000000ul     /* mem=16M */
#define ARENA_SIZE   (4 * PAGE_SIZE) /* arguments: the end of RAM, so that nothing lies behind */
#define POOL_PAGES   64u   /* RAM that is granted, copied to, given back and taken again */
#define PLACES	     64u   /* where no RAM is */
#define AREAS	     64u   /* of places, one after the other */
#define AREA_CALLS   4096u /* after which the next one is used */
#define PORTS	     32u
#define WINDOWS	     4u
#define WINDOW_PAGES 256u
#define BUDGET	     64u /* pages of a window that are there at a time; fewer are refused */
#define TABLE_REFS   64u /* references of each vCPU, from 64 on */

/* What the child offers. */
#define CHILD_REF   8u
#define CHILD_REFS  8u
#define CHILD_PORTS 4u

enum operation {
#define OPERATION(name, share, succeed) OP_##name,
#include "operations.h"
#undef OPERATION
	OPERATIONS,
};

enum place { PLACE_EMPTY, PLACE_GRANT, PLACE_OTHER };

struct worker {
	uint8_t *arena;
	size_t arena_used;
	uint64_t random;
	unsigned id, area;
	uint64_t calls, made[OPERATIONS], succeeded[OPERATIONS];
	long refused[OPERATIONS]; /* the last error, or the last status */
	volatile bool ended;
	/* What it believes to be so; calls with mistakes may have made it untrue. */
	bool given_back[POOL_PAGES];
	struct {
		enum place kind;
		grant_handle_t handle;
	} places[PLACES];
	uint32_t ports[PORTS];
	struct {
		bool open;
		long number;
	} windows[WINDOWS];
};

struct call {
	unsigned number;
	unsigned long arg[5];
	unsigned operation;
	bool spoiled; /* not counted */
	bool careful; /* with a mistake in it the caller might wait for ever */
	long least;   /* result of one that succeeded */
	long result;
	volatile int16_t *status; /* 0 then, if there is one */
	void (*done)(struct worker *w, const struct call *c);
	unsigned what; /* which page, place or port: for done() */
	/* In the arena, where another vCPU's call with a mistake may overwrite anything. */
	void *argument;
	const int32_t *errors; /* of what + i, for i below count */
	unsigned count;
};

extern uint32_t child;

uint64_t chance(struct worker *w);
static inline uint64_t below(struct worker *w, uint64_t limit)
{
	return (chance(w) >> 16) % limit;
}
uint64_t nasty(struct worker *w);
void *room(struct worker *w, size_t size);

static inline uint64_t pool_gfn(const struct worker *w, uint64_t page)
{
	return 0x800 + w->id * 0x100u + page;
}
static inline uint64_t place_address(const struct worker *w, uint64_t place)
{
	return HOLE + ((w->id + 1ull) << 24) + (w->area * PLACES + place) * PAGE_SIZE;
}

/* operations.c */
#define OPERATION(name, share, succeed) void make_##name(struct worker *w, struct call *c);
#include "operations.h"
#undef OPERATION
void prepare(struct worker *w, unsigned id, uint64_t seed);
volatile struct grant_entry_v1 *table_home(void); /* where restore() wants it */
void restore(struct worker *w);
void clear_place(struct worker *w, unsigned place);
void tend_child(struct worker *w);
unsigned child_lives(void);
bool end_child(void);

#endif
