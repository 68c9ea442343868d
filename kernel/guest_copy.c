/*
 * Copies from and to a guest's memory through the map window.
 *
 * State: struct guest_access (kernel/guest_reach.h). No lock. Ready for many CPUs: the frame behind
 * a p2m entry stays that frame until this CPU's next quiescent point, which is at VM entry, so that
 * nothing needs to hold a reference to it during a copy. The guest's other CPUs may write
 * meanwhile: callers copy once and believe the copy alone.
 *
 * Uses the window's slots WINDOW_WALK, WINDOW_SOURCE and WINDOW_TARGET, closed again on return.
 */
#include "guest_copy.h"
#include "guest_reach.h"
#include "mem.h"
#include "mm/window.h"
#include "mm/window_cache.h"
#include "mm/window_peek.h"
#include "public/errno.h"
#include "vcpu.h"

static int read_entry(void *ctx, gpa_t gpa, unsigned width_bytes, uint64_t *value)
{
	struct guest_access *ga = ctx;
	paddr_t at;

	if (!reach_byte(ga->p2m, &ga->tables, gpa, P2M_R, &at))
		return -XEN_EFAULT;
	const char *entry = window_open_readonly(WINDOW_WALK, paddr_to_mfn(at));
	entry += paddr_offset(at);
	*value = width_bytes == 8 ? *(const volatile uint64_t *)entry
				  : *(const volatile uint32_t *)entry;
	window_close(WINDOW_WALK);
	return 0;
}

static int cmpxchg_entry(void *ctx, gpa_t gpa, unsigned width_bytes, uint64_t expected,
			 uint64_t desired, bool *swapped)
{
	struct guest_access *ga = ctx;
	paddr_t at;

	if (!reach_byte(ga->p2m, &ga->tables, gpa, P2M_RW, &at))
		return -XEN_EFAULT;
	char *entry = window_open(WINDOW_WALK, paddr_to_mfn(at));
	entry += paddr_offset(at);
	if (width_bytes == 8) {
		*swapped = __atomic_compare_exchange_n((uint64_t *)entry, &expected, desired, false,
						       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	} else {
		uint32_t expected32 = (uint32_t)expected;

		*swapped =
		    __atomic_compare_exchange_n((uint32_t *)entry, &expected32, (uint32_t)desired,
						false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	window_close(WINDOW_WALK);
	return 0;
}

static const struct guest_walk_ops window_ops = {read_entry, cmpxchg_entry};

/* Bytes from an address up to the end of its page, at most left. */
static inline size_t page_part(uint64_t address, size_t left)
{
	size_t part = PAGE_SIZE - (address & (PAGE_SIZE - 1));

	return part < left ? part : left;
}

/* The part of a copy that lies in one page: out of the guest into in, or from out into the guest.
 */
static inline int copy_part(struct p2m *p2m, struct guest_reach *r, gpa_t gpa, void *in,
			    const void *out, size_t length)
{
	paddr_t at;

	if (unlikely(!reach_byte(p2m, r, gpa, in ? P2M_R : P2M_W, &at)))
		return -XEN_EFAULT;
	if (in)
		window_read(in, paddr_to_mfn(at), paddr_offset(at), length);
	else
		window_write(paddr_to_mfn(at), paddr_offset(at), out, length);
	return 0;
}

/* Any range, any mode. */
static __attribute__((noinline)) int copy_pages(struct guest_access *ga, gva_t start, void *in,
						const void *out, size_t length)
{
	uint64_t last = guest_paging_linear_mask(&ga->paging), at = gva_raw(start);
	unsigned access =
	    (in ? GUEST_WALK_READ : GUEST_WALK_WRITE) | (ga->paging.cpl == 3 ? GUEST_WALK_USER : 0);

	if (length && (at > last || length - 1 > last - at))
		return -XEN_EFAULT;
	for (size_t done = 0, part; done < length; done += part) {
		struct guest_walk_result walk;

		part = page_part(at + done, length - done);
		int rc =
		    guest_walk(&ga->paging, make_gva(at + done), access, &window_ops, ga, &walk);
		if (!rc)
			rc = copy_part(ga->p2m, &ga->data, walk.gpa, in ? (char *)in + done : NULL,
				       in ? NULL : (const char *)out + done, part);
		if (rc)
			return rc;
	}
	return 0;
}

/* --- guest-physical --------------------------------------------------------------------------- */

static __attribute__((noinline)) int physical_pages(struct p2m *p2m, struct guest_reach *r,
						    gpa_t gpa, void *in, const void *out,
						    size_t length)
{
	uint64_t at = gpa_raw(gpa);

	if (length && length - 1 > ~0ull - at)
		return -XEN_EFAULT;
	for (size_t done = 0, part; done < length; done += part) {
		part = page_part(at + done, length - done);
		int rc = copy_part(p2m, r, make_gpa(at + done), in ? (char *)in + done : NULL,
				   in ? NULL : (const char *)out + done, part);
		if (rc)
			return rc;
	}
	return 0;
}

int guest_copy_in_gpa(struct p2m *p2m, void *to, gpa_t from, size_t length)
{
	struct guest_reach r = {0};

	return physical_pages(p2m, &r, from, to, NULL, length);
}

int guest_copy_out_gpa(struct p2m *p2m, gpa_t to, const void *from, size_t length)
{
	struct guest_reach r = {0};

	return physical_pages(p2m, &r, to, NULL, from, length);
}

/* What the address is of a caller that passes guest-physical ones. */
static inline gpa_t physical(gva_t va)
{
	return make_gpa(gva_raw(va));
}

/* --- the short way ---------------------------------------------------------------------------- */

/* The same with cached slots. Tables are the guest's own RAM, or the copy goes the long way. */
static inline int read_entry_cached(void *ctx, gpa_t table, uint64_t offset, uint64_t *entry)
{
	struct guest_access *ga = ctx;
	const char *page;
	paddr_t at;

	if (unlikely(!reach_byte(ga->p2m, &ga->tables, table, P2M_R, &at)) ||
	    unlikely(!(page = window_cache_look(paddr_to_mfn(at)))))
		return -XEN_EFAULT;
	*entry = *(const volatile uint64_t *)(page + offset);
	return 0;
}

/* Nearly every copy lies within one page of a 64-bit kernel. False: it does not, or something else
 * is unusual, and nothing was copied. */
static inline __attribute__((always_inline)) bool copy_shortly(struct guest_access *ga, gva_t va,
							       bool write, void *in,
							       const void *out, size_t length)
{
	unsigned right = write ? P2M_W : P2M_R;
	paddr_t at;

	if (unlikely(length - 1 >= PAGE_SIZE - (gva_raw(va) & (PAGE_SIZE - 1)) || !is_short(ga)))
		return false;
	struct window_peek w = window_peek_begin(WINDOW_WALK);
	bool found = short_walk(ga, va, right, &w, &at);
	if (likely(found) && !write) {
		const char *page =
		    window_peek_open(&w, window_view(mfn_to_paddr(paddr_to_mfn(at))));

		copy_words(in, page + paddr_offset(at), length);
		window_peek_close(&w);
	}
	window_peek_end(&w);
	if (likely(found) && write)
		window_write(paddr_to_mfn(at), paddr_offset(at), out, length);
	if (likely(found))
		short_walk_note(ga, va, right);
	return found;
}

/* copy_shortly() with cached slots for all that is read; not inlined, so that the usual way stays
 * lean. */
static __attribute__((noinline)) bool copy_cached(struct guest_access *ga, gva_t va, bool write,
						  void *in, const void *out, size_t length)
{
	const char *page;
	gpa_t gpa;
	paddr_t at;

	if (unlikely(length - 1 >= PAGE_SIZE - (gva_raw(va) & (PAGE_SIZE - 1)) || !is_short(ga)))
		return false;
	reach_begin(ga);
	if (!guest_walk_fast(&ga->paging, va, write ? GUEST_WALK_WRITE : GUEST_WALK_READ,
			     read_entry_cached, ga, &gpa) ||
	    !reach_byte(ga->p2m, &ga->data, gpa, write ? P2M_W : P2M_R, &at))
		return false;
	if (write)
		window_write(paddr_to_mfn(at), paddr_offset(at), out, length);
	else if ((page = window_cache_look(paddr_to_mfn(at))))
		copy_words(in, page + paddr_offset(at), length);
	else /* a page that is granted to the guest, say */
		window_read(in, paddr_to_mfn(at), paddr_offset(at), length);
	return true;
}

/* Everything else takes the whole paging state. */
static void complete(struct guest_access *ga)
{
	if (ga->state != GUEST_ACCESS_FULL)
		vcpu_guest_access(ga);
	reach_begin(ga);
}

/* In another page than that of the walk that is kept, or of the leaf that was used last; or not as
 * then. To in, or from out. */
static __attribute__((noinline)) int copy_newly(struct guest_access *ga, gva_t va, void *in,
						const void *out, size_t length)
{
	if (likely(ga->state == GUEST_ACCESS_LATER)) {
		vcpu_guest_access_short(ga);
	} else if (ga->state == GUEST_ACCESS_PHYSICAL) {
		reach_begin(ga);
		return physical_pages(ga->p2m, &ga->data, physical(va), in, out, length);
	}
	if (unlikely(window_cache_on()) ? copy_cached(ga, va, !in, in, out, length)
	    : in			? likely(copy_shortly(ga, va, false, in, NULL, length))
					: copy_shortly(ga, va, true, NULL, out, length))
		return 0;
	complete(ga);
	return copy_pages(ga, va, in, out, length);
}

/*
 * Copies length bytes from the address from. ga: the vCPU that asks, which is current
 * on this CPU or runs nowhere. -XEN_EFAULT as in guest_copy.h; then the contents of to are
 * undefined.
 */
int guest_copy_in(struct guest_access *ga, void *to, gva_t from, size_t length)
{
	return likely(reach_in(ga, to, from, length)) ? 0 : copy_newly(ga, from, to, NULL, length);
}

/* Copies length bytes to the address to. -XEN_EFAULT: whole pages before the failing
 * one may have been written. */
int guest_copy_out(struct guest_access *ga, gva_t to, const void *from, size_t length)
{
	paddr_t at;

	if (ga->state == GUEST_ACCESS_PHYSICAL
		? unlikely(!physical_shortly(ga, to, length, P2M_W, &at))
		: unlikely(!short_walk_once_more(ga, to, length, P2M_W, &at)))
		return copy_newly(ga, to, NULL, from, length);
	char *page = window_open(WINDOW_TARGET, paddr_to_mfn(at));
	copy_words(page + paddr_offset(at), from, length);
	window_close(WINDOW_TARGET);
	return 0;
}

/* --- places ----------------------------------------------------------------------------------- */

/* One byte, and with it the rest of its page. */
static int place_byte(struct guest_access *ga, gva_t va, paddr_t *at)
{
	if (ga->state == GUEST_ACCESS_PHYSICAL) {
		reach_begin(ga);
		return reach_byte(ga->p2m, &ga->data, physical(va), P2M_RW, at) ? 0 : -XEN_EFAULT;
	}
	if (likely(short_walk_once_more(ga, va, 1, P2M_RW, at)))
		return 0;
	if (ga->state == GUEST_ACCESS_LATER)
		vcpu_guest_access_short(ga);
	if (likely(is_short(ga))) {
		struct window_peek w = window_peek_begin(WINDOW_WALK);
		bool found = short_walk(ga, va, P2M_RW, &w, at);

		window_peek_end(&w);
		if (found)
			short_walk_note(ga, va, P2M_RW);
		if (likely(found))
			return 0;
	}
	complete(ga);
	struct guest_walk_result walk;
	unsigned access = GUEST_WALK_WRITE | (ga->paging.cpl == 3 ? GUEST_WALK_USER : 0);
	int rc = guest_walk(&ga->paging, va, access, &window_ops, ga, &walk);
	if (rc)
		return rc;
	return reach_byte(ga->p2m, &ga->data, walk.gpa, P2M_RW, at) ? 0 : -XEN_EFAULT;
}

int guest_place_find(struct guest_access *ga, gva_t at, size_t length, struct guest_place *out)
{
	int rc = place_byte(ga, at, &out->first);

	out->first_length = (uint32_t)page_part(gva_raw(at), length);
	if (rc || likely(out->first_length == length))
		return rc;
	uint64_t last = ~0ull;
	if (ga->state != GUEST_ACCESS_PHYSICAL) {
		complete(ga);
		last = guest_paging_linear_mask(&ga->paging);
	}
	if (gva_raw(at) > last || length - 1 > last - gva_raw(at))
		return -XEN_EFAULT;
	return place_byte(ga, make_gva(gva_raw(at) + out->first_length), &out->second);
}

void guest_place_read(const struct guest_place *place, void *to, size_t length)
{
	size_t first = length < place->first_length ? length : place->first_length;

	window_read(to, paddr_to_mfn(place->first), paddr_offset(place->first), first);
	if (unlikely(first < length))
		window_read((char *)to + first, paddr_to_mfn(place->second),
			    paddr_offset(place->second), length - first);
}

void guest_place_write(const struct guest_place *place, const void *from, size_t length)
{
	size_t first = length < place->first_length ? length : place->first_length;

	window_write(paddr_to_mfn(place->first), paddr_offset(place->first), from, first);
	if (unlikely(first < length))
		window_write(paddr_to_mfn(place->second), paddr_offset(place->second),
			     (const char *)from + first, length - first);
}

/* The walk alone, as the copies do it, flags set in the guest's tables included: for test builds.
 */
int guest_copy_walk(struct guest_access *ga, gva_t va, unsigned access,
		    struct guest_walk_result *out)
{
	complete(ga);
	return guest_walk(&ga->paging, va, access, &window_ops, ga, out);
}
