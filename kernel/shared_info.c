/*
 * The shared-info page and the records of vCPUs: memory that a guest and the hypervisor both write.
 *
 * State: in struct domain_xen one frame, which the guest sees where it maps it; in struct vcpu_xen
 * the machine address of the vCPU's record, in that frame or in RAM of the domain that is pinned.
 * All of it is reached through the window, by atomic operations on bytes and words of 32 bits,
 * which are the same in both layouts. Nothing in these pages is believed: a guest that garbles them
 * misses its own events. Lock: the domain's, for where things are; none for the bits.
 *
 * Source: Xen, public/xen.h, public/vcpu.h.
 */
#include "kernel/shared_info.h"
#include "kernel/guest_time.h"
#include "kernel/reservation.h"
#include "kernel/xen_state.h"
#include "mm/frame.h"
#include "mm/window.h"
#include "p2m.h"
#include "public/errno.h"

struct layout {
	uint16_t wall_clock; /* offset in the page */
	uint8_t selector;    /* in a vCPU's record */
	uint8_t word_bits;   /* ports that one selector bit stands for */
};

static const struct layout layouts[2] = {
    {offsetof(struct shared_info, wc_version), offsetof(struct vcpu_info, evtchn_pending_sel), 64},
    {offsetof(struct compat_shared_info, wc_version),
     offsetof(struct compat_vcpu_info, evtchn_pending_sel), 32},
};
#define UPCALL_PENDING offsetof(struct vcpu_info, evtchn_upcall_pending)
#define TIME	       offsetof(struct vcpu_info, time)
#define RECORD_SIZE    sizeof(struct vcpu_info)

static const struct layout *layout_of(const struct domain *d)
{
	return &layouts[shared_info_ports(d) != EVTCHN_2L_NR_CHANNELS];
}

/* --- bits ------------------------------------------------------------------------------------- */

/* A vCPU's record, open in the window. NULL: it has none. */
static void *record_open(struct vcpu_shared *v)
{
	uint64_t at = atomic_load_explicit(&v->xen->info, memory_order_acquire);

	if (!at)
		return NULL;
	return (uint8_t *)window_open(WINDOW_EVENT, make_mfn(at >> PAGE_SHIFT)) +
	       (at & (PAGE_SIZE - 1));
}

/* Port is pending and not masked: the vCPU's record says so too. Whether v is to be told: it has no
 * upcall to come anyway. */
bool shared_info_select(struct vcpu_shared *v, uint32_t port)
{
	const struct layout *l = layout_of(v->domain);
	uint8_t *record = record_open(v);

	if (!record)
		return false;
	bool upcall = !shared_info_set(record + l->selector, port / l->word_bits) &&
		      !atomic_exchange((_Atomic uint8_t *)record + UPCALL_PENDING, 1);
	window_close(WINDOW_EVENT);
	return upcall;
}

/* Unmasks a port; if it was pending that is selected now, and true as above. */
bool shared_info_unmask(struct vcpu_shared *v, uint32_t port)
{
	void *bits = shared_info_open(v->domain);
	uint32_t at = shared_info_ports(v->domain) + port, mask = 1u << at % 32;
	bool was_masked = atomic_fetch_and(shared_info_word(bits, at), ~mask) & mask;
	bool pending = shared_info_test(bits, port);

	window_close(WINDOW_EVENT);
	return was_masked && pending && shared_info_select(v, port);
}

void shared_info_clear(struct domain *d, uint32_t port)
{
	atomic_fetch_and(shared_info_word(shared_info_open(d), port), ~(1u << port % 32));
	window_close(WINDOW_EVENT);
}

bool shared_info_pending(struct domain *d, uint32_t port)
{
	bool pending = shared_info_test(shared_info_open(d), port);

	window_close(WINDOW_EVENT);
	return pending;
}

/* Whether v's record says that an upcall is due. */
bool vcpu_info_upcall_pending(struct vcpu_shared *v)
{
	uint8_t *record = record_open(v);
	bool pending = record && atomic_load((_Atomic uint8_t *)record + UPCALL_PENDING);

	if (record)
		window_close(WINDOW_EVENT);
	return pending;
}

/* The clock of v, in its record: what to make of its time-stamp counter. */
static void vcpu_time_write(struct vcpu_shared *v)
{
	struct vcpu_time_info time = guest_time_record(v->domain);
	uint8_t *record = record_open(v);

	if (!record)
		return;
	__builtin_memcpy(record + TIME, &time, sizeof(time));
	window_close(WINDOW_EVENT);
}

/* --- where things are ------------------------------------------------------------------------- */

/*
 * Shows the page at gfn, in the caller's layout. RAM that is there is given back, as on Xen; where
 * the page was shown before, it no longer is. -XEN_EINVAL: beyond the address space; -XEN_EBUSY:
 * gfn holds a page of another domain, or a grant table; -XEN_ENOMEM. Takes the domain's lock.
 */
int shared_info_map(struct domain *d, gfn_t gfn, bool wide)
{
	int rc = 0;

	if (gfn_raw(gfn) >= d->p2m.max_gfn)
		return -XEN_EINVAL;
	lock_acquire(&d->lock);
	if (!gfn_equal(d->xen->shared_info_gfn, gfn)) {
		rc = reservation_vacate(d, gfn);
		if (!rc)
			rc = p2m_map(&d->p2m, gfn, d->xen->shared_info, 1, P2M_SHARED, P2M_RW);
		/* One page, of which a large leaf is not made: this needs no memory. */
		if (!rc && !gfn_equal(d->xen->shared_info_gfn, GFN_INVALID))
			rc = p2m_unmap(&d->p2m, d->xen->shared_info_gfn, 1, NULL, NULL);
		if (!rc)
			d->xen->shared_info_gfn = gfn;
	}
	if (!rc) {
		atomic_store(&d->xen->port_limit,
			     wide ? EVTCHN_2L_NR_CHANNELS : EVTCHN_2L_NR_CHANNELS_COMPAT);
		guest_time_write_wall_clock(d, layout_of(d)->wall_clock);
		for (uint32_t i = 0; i < d->vcpu_count; i++)
			vcpu_time_write(d->vcpus[i]);
	}
	lock_release(&d->lock);
	return rc;
}

/* The guest has taken the page at gfn out of its address space. The domain's lock is held. */
void shared_info_unmapped(struct domain *d, gfn_t gfn)
{
	if (gfn_equal(d->xen->shared_info_gfn, gfn))
		d->xen->shared_info_gfn = GFN_INVALID;
}

/*
 * Moves v's record to RAM of its domain, which stays pinned. -XEN_EINVAL: it crosses the page, is
 * not aligned to 8 bytes, is not RAM, or was moved before. Takes the domain's lock. The guest finds
 * everything marked as pending, so that no event is lost on the way; it can cope, Xen's do.
 */
int vcpu_info_register(struct vcpu_shared *v, gfn_t gfn, uint32_t offset)
{
	struct domain *d = v->domain;
	const struct layout *l = layout_of(d);
	struct p2m_entry e;
	int rc = -XEN_EINVAL;

	if (offset > PAGE_SIZE - RECORD_SIZE || offset % sizeof(uint64_t))
		return rc;
	lock_acquire(&d->lock);
	if (!v->xen->info_pinned && p2m_lookup(&d->p2m, gfn, &e) && e.type == P2M_RAM)
		rc = frame_get_present(e.frame, d->id, FRAME_GUEST_RAM);
	if (!rc) {
		uint8_t *record = (uint8_t *)window_open(WINDOW_EVENT, e.frame) + offset;

		__builtin_memset(record, 0, RECORD_SIZE);
		__builtin_memset(record + l->selector, 0xff, l->word_bits / 8);
		record[UPCALL_PENDING] = 1;
		window_close(WINDOW_EVENT);
		v->xen->info_pinned = true;
		atomic_store_explicit(&v->xen->info, mfn_raw(e.frame) << PAGE_SHIFT | offset,
				      memory_order_release);
		vcpu_time_write(v);
	}
	lock_release(&d->lock);
	return rc;
}

/* A new vCPU has its record in the page, as far as there are any. */
void vcpu_info_init(struct vcpu_shared *v)
{
	uint64_t page = mfn_raw(v->domain->xen->shared_info) << PAGE_SHIFT;

	if (v->id < XEN_LEGACY_MAX_VCPUS)
		atomic_store(&v->xen->info, page | v->id * RECORD_SIZE);
}

/* A dying one has none. */
void vcpu_info_release(struct vcpu_shared *v)
{
	if (v->xen->info_pinned)
		frame_put(make_mfn(atomic_load(&v->xen->info) >> PAGE_SHIFT));
	v->xen->info_pinned = false;
	atomic_store(&v->xen->info, 0);
}
