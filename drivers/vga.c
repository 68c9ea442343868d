/*
 * The text screen, 80 by 25 characters at 0xb8000, as the BIOS and GRUB leave it.
 *
 * State: where it is mapped and the cursor's place; under the lock of the console
 * (kernel/print.c). The screen's memory is mapped on every CPU, so no text of a guest comes here:
 * kernel/print.c sends the hypervisor's own lines only.
 */
#include "drivers/vga.h"
#include "mm/vmap.h"

#define VGA_TEXT_START 0xb8000ull
#define VGA_COLUMNS    80u
#define VGA_ROWS       25u
#define VGA_GREY       0x0700u

static volatile uint16_t *cells; /* NULL: no screen */
static unsigned row, column;

int vga_init(void)
{
	void *p;
	int rc = vmap_map_device(make_paddr(VGA_TEXT_START),
				 VGA_COLUMNS * VGA_ROWS * sizeof(uint16_t), &p);

	if (rc)
		return rc;
	cells = p;
	row = column = 0;
	for (unsigned i = 0; i < VGA_COLUMNS * VGA_ROWS; i++)
		cells[i] = VGA_GREY | ' ';
	return 0;
}

static void new_line(void)
{
	column = 0;
	if (row + 1 < VGA_ROWS) {
		row++;
		return;
	}
	for (unsigned i = 0; i < VGA_COLUMNS * (VGA_ROWS - 1); i++)
		cells[i] = cells[i + VGA_COLUMNS];
	for (unsigned i = VGA_COLUMNS * (VGA_ROWS - 1); i < VGA_COLUMNS * VGA_ROWS; i++)
		cells[i] = VGA_GREY | ' ';
}

/* Shows length characters; \n ends a line. Does nothing before vga_init(). */
void vga_write(const char *text, size_t length)
{
	if (!cells)
		return;
	for (; length; length--, text++) {
		if (*text == '\n') {
			new_line();
			continue;
		}
		if (column == VGA_COLUMNS)
			new_line();
		cells[row * VGA_COLUMNS + column++] = (uint16_t)(VGA_GREY | (uint8_t)*text);
	}
}
