/*
 * The console ring: output that a guest leaves in a page and sends an event for.
 *
 * State: the page, a frame of the domain that it sees at GUEST_CONSOLE_GFN; reached through the
 * window only, and believed in nothing: indices that make no sense are taken for an empty ring.
 * Lock: ring_open, which a second vCPU does not wait for. Text passes through a buffer on the
 * private stack, which is cleared. Source: Xen, public/io/console.h.
 */
#include "public/console_ring.h"
#include "kernel/domain.h"
#include "kernel/xen_state.h"
#include "mm/window.h"

#define PIECE	       128u
#define PIECES_AT_ONCE 8u /* before others have their turn */

/* Copies up to a piece out of the ring; its length. */
static uint32_t look(struct domain *d, char text[PIECE])
{
	struct xencons_interface *ring = window_open(WINDOW_EVENT, d->xen->console_ring);
	uint32_t done = atomic_load((_Atomic uint32_t *)&ring->out_cons);
	uint32_t length = atomic_load((_Atomic uint32_t *)&ring->out_prod) - done;
	uint32_t piece = length < PIECE ? length : PIECE;

	if (length > XENCONS_OUT_SIZE) {
		piece = 0;
		atomic_store((_Atomic uint32_t *)&ring->out_cons, done + length);
	}
	for (uint32_t i = 0; i < piece; i++)
		text[i] = ((volatile char *)ring->out)[(done + i) % XENCONS_OUT_SIZE];
	window_close(WINDOW_EVENT);
	return piece;
}

/* Takes so much of it off the ring. */
static void take(struct domain *d, uint32_t length)
{
	struct xencons_interface *ring = window_open(WINDOW_EVENT, d->xen->console_ring);

	atomic_fetch_add((_Atomic uint32_t *)&ring->out_cons, length);
	window_close(WINDOW_EVENT);
}

bool console_ring_drain(struct domain *d)
{
	char text[PIECE];
	uint32_t piece = 0, taken = 0, pieces = 0;

	if (atomic_exchange(&d->xen->ring_open, true))
		return true;
	while (pieces++ < PIECES_AT_ONCE && (piece = look(d, text))) {
		taken = (uint32_t)guest_console_write(d, text, piece);
		take(d, taken);
		if (taken < piece)
			break;
	}
	__builtin_memset(text, 0, sizeof(text));
	__asm__ volatile("" : : "r"(text) : "memory"); /* or the compiler drops the clearing */
	atomic_store(&d->xen->ring_open, false);
	if (piece && taken < piece)
		vcpu_yield();
	return !piece;
}
