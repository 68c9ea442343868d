/*
 * The xenstore that there is not: every request of a guest is answered with ENOENT, but for the
 * number of its domain, which a toolstack of Xen's leaves there for each. Guests that know no other
 * way to learn of their devices would wait for the answer for ever.
 *
 * State: the page, a frame of the domain that it sees at GUEST_STORE_GFN; reached through the
 * window only, and believed in nothing: indices that make no sense get no answer. What has come of
 * a request, in the frame of the devices. Lock: devices_lock of the domain. Source: Xen,
 * public/io/xs_wire.h.
 */
#include "kernel/evtchn.h"
#include "kernel/guest_devices.h"
#include "kernel/xen_state.h"
#include "mem.h"
#include "mm/window.h"
#include "print.h"
#include "public/xs_wire.h"

#define OWN_NUMBER "domid"

struct answer {
	struct xsd_sockmsg head;
	char text[sizeof("ENOENT")];
} __attribute__((packed));

/* Whether all of the request has come. */
static bool is_whole(const struct guest_store *s)
{
	return s->taken >= sizeof(s->head) && s->taken - sizeof(s->head) >= s->head.len;
}

static void take(struct guest_store *s, char byte)
{
	if (s->taken < sizeof(s->head))
		((char *)&s->head)[s->taken] = byte;
	else if (s->taken - sizeof(s->head) < sizeof(s->path))
		s->path[s->taken - sizeof(s->head)] = byte;
	s->taken++;
}

/* Returns how many bytes it has. */
static uint32_t answer(struct guest_store *s, uint32_t domid, volatile char *ring, uint32_t at)
{
	struct answer a = {s->head, "ENOENT"};

	if (a.head.type == XS_READ && a.head.len == sizeof(OWN_NUMBER) &&
	    !__builtin_memcmp(s->path, OWN_NUMBER, sizeof(OWN_NUMBER))) {
		a.head.len = (uint32_t)format_string(a.text, sizeof(a.text), "%u", domid);
	} else {
		a.head.type = XS_ERROR;
		a.head.len = sizeof(a.text);
	}
	uint32_t length = (uint32_t)sizeof(a.head) + a.head.len;
	for (uint32_t i = 0; i < length; i++)
		ring[(at + i) % XENSTORE_RING_SIZE] = ((const char *)&a)[i];
	mem_wipe(&a, sizeof(a));
	s->taken = 0;
	return length;
}

/* Takes what has come, and answers what there is room for. Whether there are answers. */
static bool serve(struct guest_store *s, uint32_t domid, struct xenstore_domain_interface *page)
{
	uint32_t from = atomic_load((_Atomic uint32_t *)&page->req_cons);
	uint32_t left = atomic_load((_Atomic uint32_t *)&page->req_prod) - from;
	uint32_t to = atomic_load((_Atomic uint32_t *)&page->rsp_prod), begin = to;
	uint32_t used = to - atomic_load((_Atomic uint32_t *)&page->rsp_cons);

	if (left > XENSTORE_RING_SIZE || used > XENSTORE_RING_SIZE)
		return false;
	for (;;) {
		for (; left && !is_whole(s); left--)
			take(s, ((volatile char *)page->req)[from++ % XENSTORE_RING_SIZE]);
		if (!is_whole(s) ||
		    used + (to - begin) > XENSTORE_RING_SIZE - sizeof(struct answer))
			break;
		to += answer(s, domid, page->rsp, to);
	}
	atomic_store((_Atomic uint32_t *)&page->req_cons, from);
	if (to != begin)
		atomic_store((_Atomic uint32_t *)&page->rsp_prod, to);
	return to != begin;
}

void xenstore_event(struct domain *d)
{
	struct guest_store *s = &guest_devices_open(d)->store;
	bool answered = serve(s, d->id, window_open(WINDOW_EVENT, d->xen->store));

	window_close(WINDOW_EVENT);
	guest_devices_close(d);
	if (answered)
		evtchn_raise_own(d, EVTCHN_OWN_STORE);
}
