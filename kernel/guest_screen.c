/*
 * The text screen of a PC, for kernels that know no other console: a multiboot guest has RAM where
 * a PC has the screen's memory. If all that it has written is there, it is shown when it ends, as
 * if it had written it to its console.
 *
 * Not for PVH guests: their memory map says nothing of a screen, so what is there is anybody's.
 *
 * State: none. No lock: no vCPU runs any more. Source: IBM VGA, "Alphanumeric modes".
 */
#include "kernel/domain.h"
#include "kernel/guest_devices.h"
#include "mem.h"
#include "mm/window.h"
#include "p2m.h"

#define SCREEN_ADDRESS 0xb8000u
#define SCREEN_ROWS    25u
#define SCREEN_COLUMNS 80u
#define HEADING	       "(on a PC's screen, which is shown only now:)\n"

/* A row, blank behind its text, with a line's end; returns its length. A cell is a character and
 * how it looks. */
static size_t read_row(mfn_t frame, unsigned row, char text[SCREEN_COLUMNS + 1])
{
	uint8_t cells[SCREEN_COLUMNS * 2];
	size_t length = 0;

	window_read(cells, frame, row * (uint32_t)sizeof(cells), sizeof(cells));
	for (unsigned c = 0; c < SCREEN_COLUMNS; c++) {
		text[c] = cells[2 * c] ? (char)cells[2 * c] : ' ';
		if (text[c] != ' ')
			length = c + 1;
	}
	text[length] = '\n';
	mem_wipe(cells, sizeof(cells));
	return length;
}

static bool put(struct domain *d, const char *text, size_t length)
{
	return guest_console_write(d, text, length) == length;
}

void guest_screen_show(struct domain *d)
{
	bool silent = !guest_devices_open(d)->console.written;
	char text[SCREEN_COLUMNS + 1];
	struct p2m_entry e;
	unsigned blank = 0;
	bool shown = false, room = true;

	guest_devices_close(d);
	if (!silent || d->acpi || !p2m_lookup(&d->p2m, gpa_to_gfn(make_gpa(SCREEN_ADDRESS)), &e) ||
	    e.type != P2M_RAM)
		return;
	for (unsigned row = 0; room && row < SCREEN_ROWS; row++) {
		size_t length = read_row(e.frame, row, text);

		blank++;
		if (!length)
			continue;
		if (!shown)
			room = put(d, HEADING, sizeof(HEADING) - 1);
		shown = true;
		while (--blank && room)
			room = put(d, "\n", 1);
		room = room && put(d, text, length + 1);
	}
	mem_wipe(text, sizeof(text));
}
