/*
 * Host page tables: the only way, besides the map window, to change a translation of the
 * hypervisor's own address space. The interface of mm/hostpt.c.
 */
#ifndef KEYHOLE_MM_HOSTPT_H
#define KEYHOLE_MM_HOSTPT_H

#include "types.h"

/* Rights and memory type of a mapping. Never writable and executable at once. */
enum host_prot { HOST_R, HOST_RW, HOST_RX, HOST_RW_UC };

/* Maps one 4K page at va (shared regions only); -XEN_ENOMEM without a table, -XEN_EEXIST if mapped.
 */
int hostpt_map(uint64_t va, mfn_t frame, enum host_prot prot) must_use;
/* The same with a 2 MiB leaf; va and frame aligned to it. */
int hostpt_map_2m(uint64_t va, mfn_t frame, enum host_prot prot) must_use;
/* Takes a 4K mapping away and returns its frame (MFN_INVALID if none). Flushes nothing: see
 * hostpt_flush. */
mfn_t hostpt_unmap(uint64_t va);
/* Flushes pages of a range on this CPU; other CPUs flush at their next quiescent point
 * (mm/epoch.h). */
void hostpt_flush(uint64_t va, size_t page_count);
void hostpt_flush_all_local(void);
int hostpt_fill_top_level(uint64_t start, uint64_t end) must_use;
/* What is mapped at va now. */
bool hostpt_lookup(uint64_t va, mfn_t *frame, enum host_prot *prot);

struct hostpt_leaf {
	uint64_t va;
	mfn_t frame;
	size_t page_count; /* 4K pages covered: 1, 512 or 262144 */
	enum host_prot prot;
	bool user, global;
	bool write_exec; /* writable and executable: always an error */
};
/* Calls fn for every leaf of this CPU's tables in address order, tables of the tables included;
 * stops when it returns false. */
void hostpt_for_each(bool (*fn)(const struct hostpt_leaf *leaf, void *ctx), void *ctx);

#endif
