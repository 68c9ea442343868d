/* The image: bounds from the linker script, and the way from its addresses to physical ones. */
#ifndef KEYHOLE_IMAGE_H
#define KEYHOLE_IMAGE_H

#include "layout.h"
#include "types.h"

extern const char image_start[], image_text_end[], image_rodata_end[], image_end[];

/* Where the boot section begins, and with it what the loader put into memory. */
#define IMAGE_PHYSICAL 0x200000ull

/* Physical address of something inside the image. */
static inline paddr_t image_paddr(const void *p)
{
	return make_paddr((uint64_t)p - LAYOUT_IMAGE);
}

#endif
