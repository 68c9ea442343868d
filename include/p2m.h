/*
 * A domain's p2m: guest-physical frame to machine frame, with rights and a type. On VT-x it is the
 * EPT (vmx/ept.c); everything else sees it through this interface only.
 */
#ifndef KEYHOLE_P2M_H
#define KEYHOLE_P2M_H

#include "layout.h"
#include "lock.h"
#include "mm/pool.h"
#include "types.h"

/* What a guest-physical frame is; kept in bits of the entry that hardware ignores. */
enum p2m_type {
	P2M_NONE,
	P2M_RAM,      /* the domain's own */
	P2M_GRANT_RW, /* another domain's frame, through a grant */
	P2M_GRANT_RO,
	P2M_FOREIGN, /* another domain's frame, through a foreign mapping */
	P2M_SHARED,  /* shared info or grant table of the domain itself */
	P2M_DEMAND,  /* as P2M_FOREIGN, of a demand window: single pages, never joined */
	P2M_TYPE_COUNT
};

#define P2M_R	1u
#define P2M_W	2u
#define P2M_X	4u
#define P2M_RW	(P2M_R | P2M_W)
#define P2M_RWX (P2M_R | P2M_W | P2M_X)

/* Guest-physical addresses have 48 bits: what four levels of tables translate. */
#define P2M_GFN_LIMIT (1ull << 36)

#define P2M_CPU_WORDS (LAYOUT_CPUS_MAX / 64)

struct p2m {
	struct lock lock;	     /* all changes, but for those of visitors */
	_Atomic uint32_t visitors;   /* CPUs that are at single pages; see struct p2m_visit */
	uint64_t leaf_tables;	     /* another number, unique, whenever a leaf table goes */
	mfn_t root;		     /* FRAME_TABLE, the top level */
	const uint64_t *top;	     /* its address; constant */
	struct table_account tables; /* quota of the domain */
	_Atomic uint64_t generation; /* moves whenever rights are removed; starts at 1 */
	uint64_t max_gfn;	     /* frames at or above are refused */
	/* Gives a gfn memory where it shall have some and has none yet: whether it has now. Or
	 * NULL. Constant. */
	bool (*fill)(struct p2m *p2m, gfn_t gfn);
	/* Bit n: CPU n may hold translations made from this p2m while it runs a vCPU. */
	_Atomic uint64_t active_cpus[P2M_CPU_WORDS];
};

/* Two words, so that a look-up returns it in registers. */
struct p2m_entry {
	mfn_t frame;
	enum p2m_type type : 12;
	unsigned access : 4; /* P2M_R/W/X */
	unsigned order : 16; /* of the leaf: 0, 9 or 18 */
	unsigned : 32;
};
static_assert_size(struct p2m_entry, 16);
/* In its second word. */
#define P2M_ENTRY_TYPE_ACCESS 0x7007ull
#define P2M_ENTRY_ORDER_SHIFT 16

/*
 * Called for each run of frames taken out by p2m_unmap: contiguous in both spaces, of one type,
 * access and leaf order (the part of a large leaf at the edge of a range has order 0, or 9). The
 * p2m's lock is held; the callback may not touch the p2m. By then the generation has moved and the
 * CPUs are marked, so that what the callback hands to the epoch waits for their flush.
 */
typedef void (*p2m_removed_fn)(gfn_t gfn, const struct p2m_entry *entry, uint64_t frame_count,
			       void *ctx);

/*
 * An empty p2m of max_gfn frames, in zeroed memory, whose tables are limited to table_quota pages.
 * -XEN_EINVAL: max_gfn is beyond P2M_GFN_LIMIT, what four levels translate; -XEN_ENOMEM: no table
 * for the root.
 */
int p2m_init(struct p2m *p2m, uint32_t table_quota, uint64_t max_gfn) must_use;
/*
 * Gives all tables back through the epoch; no CPU has a vCPU of the domain loaded, and struct p2m
 * itself is kept until an epoch deferred after this call. What CPUs still cache under the root's
 * address is flushed before the next p2m with that root runs there (see p2m_init). Cost: linear in
 * the tables; the mapped frames are the caller's matter (p2m_for_each before).
 */
void p2m_destroy(struct p2m *p2m);
/*
 * Maps frame_count contiguous frames; uses 2M and 1G leaves where alignment allows and nothing is
 * there, and joins smaller leaves of RAM or foreign frames when the last of them comes. -XEN_EEXIST
 * if any gfn is mapped, -XEN_EINVAL beyond max_gfn or wrapping, or for rights that the type does
 * not allow, -XEN_ENOMEM when out of tables; on error nothing has changed. frame_count 0 does
 * nothing. Flushes nothing, but for the table that joining drops. Takes p2m->lock, and under it
 * what taking a table takes. Time is linear in frame_count: callers bound it.
 */
int p2m_map(struct p2m *p2m, gfn_t gfn, mfn_t frame, uint64_t frame_count, enum p2m_type type,
	    unsigned access) must_use;
/*
 * Takes out frame_count frames from gfn on (holes are skipped), splitting large leaves at the edges
 * (-XEN_ENOMEM before anything changed). Tables that become empty are freed through the epoch.
 * Moves the generation once and marks the CPUs that must flush. -XEN_EINVAL beyond max_gfn or
 * wrapping. removed may be NULL. Takes p2m->lock and holds it while removed is called.
 */
int p2m_unmap(struct p2m *p2m, gfn_t gfn, uint64_t frame_count, p2m_removed_fn removed,
	      void *ctx) must_use;

/*
 * Many changes of single frames, here and there, in one go: the lock is taken once, the way to a
 * leaf table is gone once, and the generation moves once. Between begin and end the p2m is locked.
 */
struct p2m_batch {
	struct p2m *p2m;
	uint64_t *entries; /* of the leaf table at hand */
	uint64_t first;	   /* gfn of the first of them */
	uint64_t count;	   /* how many may be used; 0: there is no table at hand */
	uint64_t *link;	   /* the entry that points to it */
	uint64_t in_use;   /* entries of it, now */
	uint64_t counted;  /* and what link says */
	uint64_t leaf;	   /* the bits of a leaf of kind, but for its frame */
	unsigned kind;	   /* type and access last mapped with; 0: none */
	bool removed;	   /* the generation has yet to move */
};
void p2m_batch_begin(struct p2m_batch *b, struct p2m *p2m);
/* Whether something is mapped at gfn. */
bool p2m_batch_mapped(struct p2m_batch *b, gfn_t gfn);
/* p2m_map() and p2m_unmap() of one frame, with their errors. What was taken out may be handed to
 * the epoch after p2m_batch_end() only. vmx/ept_batch.h has the short way, inline. */
int p2m_batch_map(struct p2m_batch *b, gfn_t gfn, mfn_t frame, enum p2m_type type,
		  unsigned access) must_use;
int p2m_batch_unmap(struct p2m_batch *b, gfn_t gfn) must_use;
/* Where p2m_batch_take() of vmx/ept_batch.h does not find its table at hand. */
int p2m_batch_take_any(struct p2m_batch *b, gfn_t gfn, enum p2m_type type, mfn_t *frame) must_use;
/* Puts another frame in the place of one of this type, rights unchanged: no other CPU finds nothing
 * there meanwhile. *old waits as what was taken out. -XEN_ENOENT, -XEN_EINVAL as above;
 * -XEN_ENOMEM: a large leaf could not be split. */
int p2m_batch_exchange(struct p2m_batch *b, gfn_t gfn, enum p2m_type type, mfn_t frame,
		       mfn_t *old) must_use;
/* Moves the generation and marks CPUs, if anything was taken out; unlocks. */
void p2m_batch_end(struct p2m_batch *b);

/* Whether pages can be told that were used. */
bool p2m_tracks_access(void);
/* Brings the leaf table of a gfn to hand: false if there is none. */
bool p2m_batch_reach(struct p2m_batch *b, uint64_t gfn);

/*
 * Single pages that come and go on several CPUs at once. A visitor has no lock: what it does to an
 * entry is one locked operation, and tables neither come nor go. Who takes the lock waits until all
 * visitors have left, and none comes until it is given back (vmx/ept_tables.h). Between begin and
 * end the visitor calls nothing that takes it; the generation moves once, at the end.
 * vmx/ept_batch.h has what visitors do, inline.
 */
struct p2m_visit {
	struct p2m *p2m;
	struct p2m_leaf leaf; /* the table at hand */
	bool removed;	      /* the generation has yet to move */
};
void p2m_visit_begin(struct p2m_visit *v, struct p2m *p2m);
bool p2m_visit_reach(struct p2m_visit *v, uint64_t gfn);
/* Where the entry is the last one of its table. */
int p2m_visit_take_last(struct p2m_visit *v, gfn_t gfn, enum p2m_type type, mfn_t *frame) must_use;
/* Lets those go first who wait for the lock. What was taken out is still to be flushed. */
void p2m_visit_yield(struct p2m_visit *v);
/* Moves the generation and marks CPUs, if anything was taken out. */
void p2m_visit_end(struct p2m_visit *v);

/* p2m_map() of one frame, of a type that allows these rights, into a leaf table that is there:
 * -XEN_ENOENT if there is none. A visit of its own. */
int p2m_fill_page(struct p2m *p2m, gfn_t gfn, mfn_t frame, enum p2m_type type,
		  unsigned access) must_use;

/* What gfn is now, any gfn; without access if nothing is there, and then
 * its other members mean nothing. Takes no lock: the frame stays what it is
 * until this CPU's next quiescent point, even if it is unmapped meanwhile. */
struct p2m_entry p2m_find(const struct p2m *p2m, gfn_t gfn);
/* The same; false if nothing. */
static inline bool p2m_lookup(const struct p2m *p2m, gfn_t gfn, struct p2m_entry *out)
{
	*out = p2m_find(p2m, gfn);
	return out->access;
}
/*
 * Called by the backend when a vCPU of the domain is loaded on this CPU, and when it is taken off.
 * enter returns the generation that this CPU must have flushed before it enters the guest; a later
 * removal marks ENTRY_WORK_EPT_FLUSH. Counts nothing: at most one vCPU is loaded on a CPU.
 */
uint64_t p2m_cpu_enter(struct p2m *p2m);
void p2m_cpu_leave(struct p2m *p2m);
/* Sets ENTRY_WORK_EPT_FLUSH on the CPUs in active_cpus. After the generation has moved. */
void p2m_mark_flush(struct p2m *p2m);
/*
 * Calls fn for every leaf in gfn order until it returns false: audit, destruction. The first may be
 * what is left of a leaf from a gfn on. No lock: each entry is as it was when it was read; who
 * needs one state of the whole keeps others from changing it.
 */
void p2m_for_each_from(struct p2m *p2m, gfn_t from,
		       bool (*fn)(gfn_t gfn, const struct p2m_entry *entry, void *ctx), void *ctx);
static inline void p2m_for_each(struct p2m *p2m,
				bool (*fn)(gfn_t gfn, const struct p2m_entry *entry, void *ctx),
				void *ctx)
{
	p2m_for_each_from(p2m, make_gfn(0), fn, ctx);
}

#endif
