/*
 * A domain's p2m: guest-physical frame to machine frame, with rights and a type. On VT-x it is the
 * EPT (vmx/ept.c); everything else sees it through this interface only.
 */
#ifndef KEYHOLE_P2M_H
#define KEYHOLE_P2M_H

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
	P2M_SHARED   /* shared info or grant table of the domain itself */
};

#define P2M_R	1u
#define P2M_W	2u
#define P2M_X	4u
#define P2M_RW	(P2M_R | P2M_W)
#define P2M_RWX (P2M_R | P2M_W | P2M_X)

struct p2m {
	struct lock lock;	     /* all changes */
	mfn_t root;		     /* FRAME_TABLE, the top level */
	struct table_account tables; /* quota of the domain */
	_Atomic uint64_t generation; /* moves whenever rights are removed */
	uint64_t max_gfn;	     /* frames at or above are refused */
};

struct p2m_entry {
	mfn_t frame;
	enum p2m_type type;
	uint8_t access; /* P2M_R/W/X */
	uint8_t order;	/* of the leaf: 0, 9 or 18 */
};

/* Called for each run of frames taken out by p2m_unmap; may not touch the p2m. */
typedef void (*p2m_removed_fn)(gfn_t gfn, const struct p2m_entry *entry, uint64_t frame_count,
			       void *ctx);

int p2m_init(struct p2m *p2m, uint32_t table_quota, uint64_t max_gfn) must_use;
void p2m_destroy(struct p2m *p2m);
/*
 * Maps frame_count contiguous frames; uses 2M and 1G leaves where alignment allows and nothing is
 * there. -XEN_EEXIST if any gfn is mapped, -XEN_EINVAL beyond max_gfn or wrapping, -XEN_ENOMEM when
 * out of tables; on error nothing has changed.
 */
int p2m_map(struct p2m *p2m, gfn_t gfn, mfn_t frame, uint64_t frame_count, enum p2m_type type,
	    unsigned access) must_use;
/*
 * Takes out frame_count frames from gfn on (holes are skipped), splitting large leaves at the edges
 * (-XEN_ENOMEM before anything changed). Tables that become empty are freed through the epoch.
 * Moves the generation once and marks the CPUs that must flush.
 */
int p2m_unmap(struct p2m *p2m, gfn_t gfn, uint64_t frame_count, p2m_removed_fn removed,
	      void *ctx) must_use;
bool p2m_lookup(struct p2m *p2m, gfn_t gfn, struct p2m_entry *out);
/* Calls fn for every leaf in gfn order: audit, destruction. */
void p2m_for_each(struct p2m *p2m, bool (*fn)(gfn_t gfn, const struct p2m_entry *entry, void *ctx),
		  void *ctx);

#endif
