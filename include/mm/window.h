/*
 * The map window: the keyhole through which one CPU looks at frames that are mapped nowhere.
 * The interface of mm/window.c.
 *
 * A slot is one page-table entry in this CPU's private range. Opening stores the entry; closing
 * stores zero and executes INVLPG. No lock, no search, no other CPU. Each slot has a role; who
 * uses a slot closes it before returning to its caller, unless its own comment says otherwise, so
 * that two users of one slot never nest (an assertion checks it).
 */
#ifndef KEYHOLE_MM_WINDOW_H
#define KEYHOLE_MM_WINDOW_H

#include "types.h"

enum window_slot {
	WINDOW_SOURCE, /* the frame read by a copy */
	WINDOW_TARGET, /* the frame written by a copy */
	WINDOW_WALK,   /* guest page tables during a walk */
	WINDOW_GRANT,  /* a grant-table frame */
	WINDOW_EVENT,  /* shared info, a vCPU's record, the console ring */
	WINDOW_SCRUB,
	WINDOW_BUILD,	/* domain construction, boot information */
	WINDOW_VCPU,	/* the secret half of a vCPU that runs nowhere */
	WINDOW_DEVICES, /* the state of a guest's devices */
	WINDOW_AUDIT,	/* page tables during an audit */
	WINDOW_TEST,
	WINDOW_NMI,
	WINDOW_MCE,
	WINDOW_SLOT_COUNT
};

#if defined(KEYHOLE_HOST_TEST) || defined(CONFIG_DIRECT_MAP)
void *window_open(enum window_slot slot, mfn_t frame);
const void *window_open_readonly(enum window_slot slot, mfn_t frame);
void window_close(enum window_slot slot);
#else
#include "mm/window_inline.h"
#endif
uint64_t window_slot_address(enum window_slot slot);

/* Copies length bytes within one frame (offset + length <= PAGE_SIZE) and closes the slots again.
 */
void window_read(void *to, mfn_t from, uint32_t offset, size_t length);
void window_write(mfn_t to, uint32_t offset, const void *from, size_t length);
void window_copy(mfn_t to, uint32_t to_offset, mfn_t from, uint32_t from_offset, size_t length);
/* Fills 2^order frames with zeros (order 9: through the 2 MiB slot). */
void window_scrub(mfn_t first, unsigned order);

/*
 * Physical memory at any address and of any length, a page at a time: firmware tables, loader
 * information, modules.
 */
void window_read_phys(void *to, paddr_t from, size_t length);
void window_clear_phys(paddr_t start, size_t length);

#endif
