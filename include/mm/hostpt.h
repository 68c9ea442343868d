/*
 * Host page tables: the only way, besides the map window, to change a translation of the
 * hypervisor's own address space. The interface of mm/hostpt.c.
 */
#ifndef KEYHOLE_MM_HOSTPT_H
#define KEYHOLE_MM_HOSTPT_H

#include "types.h"

/* Rights and memory type of a mapping. Never writable and executable at once. */
enum host_prot { HOST_R, HOST_RW, HOST_RX, HOST_RW_UC };

/* Maps one 4K page at va, page aligned, in a shared region. Takes hostpt_lock. -XEN_ENOMEM: no
 * table was to be had; -XEN_EEXIST: something is mapped there. */
int hostpt_map(uint64_t va, mfn_t frame, enum host_prot prot) must_use;
/* The same with a 2 MiB leaf; va and frame aligned to it. */
int hostpt_map_2m(uint64_t va, mfn_t frame, enum host_prot prot) must_use;
/* Takes a 4K mapping away and returns its frame (MFN_INVALID if none). The caller flushes
 * (hostpt_flush) before the frame is used again. */
mfn_t hostpt_unmap(uint64_t va);
/*
 * Drops translations of page_count pages from va on: here at once, on the other CPUs before they
 * next pass a quiescent point. What was mapped may be reused when an epoch has passed (mm/epoch.h).
 */
void hostpt_flush(uint64_t va, size_t page_count);
void hostpt_flush_all_local(void);
int hostpt_fill_top_level(uint64_t start, uint64_t end) must_use;
/* What is mapped at va, in a shared region, now. Takes no lock: an answer may be outdated when it
 * is given. */
bool hostpt_lookup(uint64_t va, mfn_t *frame, enum host_prot *prot);

struct hostpt_leaf {
	uint64_t va;
	mfn_t frame;
	size_t page_count; /* 4K pages covered: 1, 512 or 262144 */
	enum host_prot prot;
	bool user, global;
	bool write_exec; /* writable and executable: always an error */
};
/*
 * Calls fn for every leaf of this CPU's tables in address order, tables of the tables included;
 * stops when it returns false. Follows nothing but the tables themselves, through the window. The
 * slot it reads with is not reported.
 */
void hostpt_for_each(bool (*fn)(const struct hostpt_leaf *leaf, void *ctx), void *ctx);

#endif
