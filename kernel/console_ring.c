/*
 * The console ring: output that a guest leaves in a page and sends an event for, and input that it
 * finds there.
 *
 * State: the page, a frame of the domain that it sees at GUEST_CONSOLE_GFN; reached through the
 * window only, and believed in nothing: indices that make no sense are taken for a ring without
 * output, and without room for input. Lock: for output ring_open, which a second vCPU does not wait
 * for; for input devices_lock. Text on its way out passes through a buffer on the private stack,
 * which is cleared. Source: Xen, public/io/console.h.
 */
#include "public/console_ring.h"
#include "kernel/evtchn.h"
#include "kernel/guest_devices.h"
#include "kernel/xen_state.h"
#include "mem.h"
#include "mm/window.h"

#define PIECE	       128u
#define PIECES_AT_ONCE 8u /* before others have their turn */

/* --- output ----------------------------------------------------------------------------------- */

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

static bool drain(struct domain *d)
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
	mem_wipe(text, sizeof(text));
	atomic_store(&d->xen->ring_open, false);
	if (piece && taken < piece)
		vcpu_yield();
	return !piece;
}

/* --- input ------------------------------------------------------------------------------------ */

/* Moves as much as there is room for into the ring. */
static void fill(struct domain *d)
{
	struct guest_input *in = &guest_devices_open(d)->input;
	struct xencons_interface *ring = window_open(WINDOW_EVENT, d->xen->console_ring);
	uint32_t begin = atomic_load((_Atomic uint32_t *)&ring->in_prod), end = begin;
	uint32_t used = begin - atomic_load((_Atomic uint32_t *)&ring->in_cons);

	for (; used < XENCONS_IN_SIZE && guest_input_count(in); used++)
		(void)guest_input_take(in, &ring->in[end++ % XENCONS_IN_SIZE], 1);
	if (end != begin)
		atomic_store((_Atomic uint32_t *)&ring->in_prod, end);
	window_close(WINDOW_EVENT);
	guest_devices_close(d);
	if (end != begin)
		evtchn_raise_own(d, EVTCHN_OWN_CONSOLE);
}

bool console_ring_event(struct domain *d)
{
	atomic_store(&d->xen->ring_used, true);
	fill(d);
	return drain(d);
}

void guest_console_input(struct domain *d, const char *text, size_t length)
{
	guest_input_put(&guest_devices_open(d)->input, text, length);
	guest_devices_close(d);
	if (atomic_load(&d->xen->ring_used))
		fill(d);
	else
		evtchn_raise_virq(d->vcpus[0], VIRQ_CONSOLE);
}
