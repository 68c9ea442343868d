/*
 * RAM in sections, and their parts of the frame table: between mm/section.c and mm/frame*.c.
 */
#ifndef KEYHOLE_MM_SECTION_H
#define KEYHOLE_MM_SECTION_H

#include "mm/frame.h"

#define SECTION_COUNT (LAYOUT_PHYS_LIMIT / PAGE_SIZE / FRAME_SECTION_FRAMES)

/* Frames below 1 MiB stay out of the table: firmware's, and where other CPUs start. */
#define SECTION_LOW_FRAMES 0x100u

/* Bit s: section s has its part of the frame table. Set once, when that part is filled. */
extern _Atomic uint64_t section_touched[SECTION_COUNT / 64];
/* One past the last frame of RAM; constant after section_init(). */
extern uint64_t section_frame_limit;

/* Whether the frame-table entry of a frame may be read. Takes any number. */
static inline bool section_has_entry(mfn_t frame)
{
	uint64_t section = mfn_raw(frame) / FRAME_SECTION_FRAMES;

	if (unlikely(mfn_raw(frame) >= section_frame_limit))
		return false;
	return atomic_load_explicit(&section_touched[section / 64], memory_order_acquire) >>
		   (section % 64) &
	       1;
}

/* The entry itself: only where section_has_entry(). */
static inline struct frame_info *section_entry(uint64_t frame)
{
	return (struct frame_info *)LAYOUT_FRAME_TABLE + frame;
}

/* Sets the state of a frame that is not allocated, so that nobody else changes it. */
static inline void section_set_state(uint64_t frame, uint64_t state)
{
	atomic_store_explicit(&section_entry(frame)->state, state, memory_order_relaxed);
}

int section_init(void) must_use;
int section_touch(uint64_t section) must_use;
/* These two under the frame allocator's lock. */
bool section_claim(uint64_t *section);
void section_unclaim(uint64_t section);
uint64_t section_free_frames(uint64_t section);

/* mm/frame_buddy.c: how much RAM there is, before the first section is touched; and taking over the
 * free frames of a section whose entries are filled. */
void frame_count_ram(uint64_t ram, uint64_t free);
void frame_adopt_section(uint64_t section);

#endif
