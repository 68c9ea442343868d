/* The text screen. drivers/vga.c. */
#ifndef KEYHOLE_DRIVERS_VGA_H
#define KEYHOLE_DRIVERS_VGA_H

#include "types.h"

/* Maps the screen and clears it; a Xen error number if that fails. vmap must work. Only where
 * boot_info.vga_text. */
int vga_init(void) must_use;
void vga_write(const char *text, size_t length);

#endif
