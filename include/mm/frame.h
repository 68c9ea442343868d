/* Frame table and frame allocator: the interface of mm/frame.c. */
#ifndef KEYHOLE_MM_FRAME_H
#define KEYHOLE_MM_FRAME_H

#include "layout.h"
#include "public/errno.h"
#include "types.h"
#include <stdatomic.h>

/*
 * What a frame is used for. The audit's rules hang on it: types from FRAME_GUEST_RAM on belong to a
 * guest and are never mapped in the hypervisor outside the window or, for FRAME_VCPU, the private
 * range of the CPU that runs that vCPU.
 */
enum frame_type {
	FRAME_ABSENT, /* no RAM here, or not usable */
	FRAME_FREE,
	FRAME_IMAGE, /* text, rodata, data, bss */
	FRAME_FRAME_TABLE,
	FRAME_TABLE,   /* page of a table pool: host page tables, EPT tables */
	FRAME_VMAP,    /* behind the vmap area: heap, metadata */
	FRAME_PRIVATE, /* a CPU's private range: stacks, private data and their page tables */
	FRAME_VMX,     /* VMXON region, VMCS, MSR and I/O bitmaps: written once, then unmapped */
	FRAME_BOOT,    /* loader information and boot modules, until they are freed */
	FRAME_GUEST_RAM,
	FRAME_GUEST_SHARED, /* shared info, grant table: the guest declares it shared with us */
	FRAME_VCPU,	    /* a vCPU's secret half, or the state of a domain's devices */
	FRAME_TYPE_COUNT
};

/*
 * 16 bytes per frame. state, changed by compare-and-swap while the frame is allocated and under the
 * allocator's lock while it is free:
 *
 *    63 60 59  54 53 52..48 47      32 31              0
 *   +-----+------+--+------+----------+-----------------+
 *   |type |order |D | zero | owner    | reference count |
 *   +-----+------+--+------+----------+-----------------+
 *
 * order is meaningful in the first frame of a free or retired block only. D: of a free frame,
 * contents not known to be zero; of an allocated one, retired, which means on its way to be free.
 * next and prev link free blocks, or a list that the owner of an allocated frame keeps; frame
 * numbers, FRAME_LINK_NONE at the end. Of guest RAM they are a note: frame_note().
 */
struct frame_info {
	_Atomic uint64_t state;
	uint32_t next;
	uint32_t prev;
};
static_assert_size(struct frame_info, 16);

#define FRAME_REF_MASK	  0xffffffffull
#define FRAME_REF_MAX	  0x7fffffffull /* further references are refused */
#define FRAME_OWNER_SHIFT 32
#define FRAME_OWNER_MASK  (0xffffull << FRAME_OWNER_SHIFT)
#define FRAME_DIRTY	  (1ull << 53)
#define FRAME_ORDER_SHIFT 54
#define FRAME_ORDER_MASK  (0x3full << FRAME_ORDER_SHIFT)
#define FRAME_TYPE_SHIFT  60
#define FRAME_TYPE_MASK	  (0xfull << FRAME_TYPE_SHIFT)
#define FRAME_LINK_NONE	  0xffffffffu

/* Largest block: a section of RAM, whose part of the frame table is populated as one. 64 MiB. */
#define FRAME_ORDER_MAX	     14u
#define FRAME_SECTION_FRAMES (1u << FRAME_ORDER_MAX)
#define FRAME_ORDER_2M	     9u

struct frame_stats {
	uint64_t ram;	    /* frames of usable RAM, all sections */
	uint64_t free;	    /* of these free, untouched sections included */
	uint64_t untouched; /* frames in sections that have no frame-table entries yet */
	uint64_t by_type[FRAME_TYPE_COUNT]; /* of touched sections */
};

void frame_add_ram(paddr_t start, paddr_t end);
void frame_reserve(paddr_t start, paddr_t end, enum frame_type type);
int frame_init(void) must_use;
int frame_alloc(unsigned order, domid_t owner, enum frame_type type, mfn_t *out) must_use;
mfn_t frame_alloc_ram(domid_t owner, uint64_t most);
uint32_t frame_alloc_pages(uint32_t count, domid_t owner, enum frame_type type, mfn_t *out);
void frame_free(mfn_t first, unsigned order);
void frame_free_retired(const mfn_t *frames, uint32_t count);
bool frame_scrub_ahead(void); /* idle: mm/frame_cache.c */
void frame_release_reserved(paddr_t start, paddr_t end);
void frame_put_last(mfn_t frame, uint64_t old);
void frame_put_run(mfn_t first, uint64_t count);
void frame_put_pages(const mfn_t *frames, uint32_t count);

/* The state of a frame in use, without its references. */
static inline uint64_t frame_unreferenced(domid_t owner, enum frame_type type)
{
	return (uint64_t)type << FRAME_TYPE_SHIFT | (uint64_t)owner << FRAME_OWNER_SHIFT;
}

/* Whether a frame is in use as unreferenced says. Only of what is RAM in use, or lately so: from a
 * p2m, in the epoch in which it was found there. */
static inline bool frame_is_present(mfn_t frame, uint64_t unreferenced)
{
	const struct frame_info *info =
	    (const struct frame_info *)LAYOUT_FRAME_TABLE + mfn_raw(frame);
	uint64_t state = atomic_load_explicit(&info->state, memory_order_relaxed);

	return (state ^ unreferenced) - 1 < FRAME_REF_MASK;
}

#ifdef KEYHOLE_FAKE_REFERENCES /* unit tests of their users */
int frame_get_present(mfn_t frame, domid_t owner, enum frame_type type) must_use;
void frame_put(mfn_t frame);
#else
/*
 * Takes a reference to a frame that is known to be RAM in use, or lately so: from a p2m, in the
 * epoch in which it was found there. 0, -XEN_EINVAL when it has another owner or type or no
 * reference, -XEN_EBUSY when there are too many.
 */
must_use static inline int frame_get_present(mfn_t frame, domid_t owner, enum frame_type type)
{
	struct frame_info *info = (struct frame_info *)LAYOUT_FRAME_TABLE + mfn_raw(frame);
	uint64_t unreferenced = frame_unreferenced(owner, type);
	uint64_t state = atomic_load_explicit(&info->state, memory_order_relaxed);

	do {
		/* References less one if all else is equal; else, and without any, far larger. */
		uint64_t others = (state ^ unreferenced) - 1;

		if (unlikely(others >= FRAME_REF_MAX - 1))
			return others > FRAME_REF_MASK ? -XEN_EINVAL : -XEN_EBUSY;
	} while (unlikely(!atomic_compare_exchange_weak_explicit(
	    &info->state, &state, state + 1, memory_order_acquire, memory_order_relaxed)));
	return 0;
}

/* Drops a reference that the caller holds; with the last one the frame is freed, an epoch later. */
static inline void frame_put(mfn_t frame)
{
	struct frame_info *info = (struct frame_info *)LAYOUT_FRAME_TABLE + mfn_raw(frame);
	uint64_t old = atomic_fetch_sub_explicit(&info->state, 1, memory_order_acq_rel);

	if (unlikely((uint32_t)old <= 1))
		frame_put_last(frame, old);
}
#endif
/* Two numbers that are kept with a frame of guest RAM, to which the caller holds a reference. What
 * they were before its first one is unknown, and those of two writers may mix. */
#ifdef KEYHOLE_FAKE_REFERENCES
void frame_set_note(mfn_t frame, uint32_t a, uint32_t b);
void frame_note(mfn_t frame, uint32_t *a, uint32_t *b);
#else
static inline void frame_set_note(mfn_t frame, uint32_t a, uint32_t b)
{
	struct frame_info *info = (struct frame_info *)LAYOUT_FRAME_TABLE + mfn_raw(frame);

	__atomic_store_n(&info->next, a, __ATOMIC_RELAXED);
	__atomic_store_n(&info->prev, b, __ATOMIC_RELAXED);
}
static inline void frame_note(mfn_t frame, uint32_t *a, uint32_t *b)
{
	struct frame_info *info = (struct frame_info *)LAYOUT_FRAME_TABLE + mfn_raw(frame);

	*a = __atomic_load_n(&info->next, __ATOMIC_RELAXED);
	*b = __atomic_load_n(&info->prev, __ATOMIC_RELAXED);
}
#endif
struct frame_info *frame_info(mfn_t frame); /* NULL where there is no RAM or no entry yet */
enum frame_type frame_type(mfn_t frame);
domid_t frame_owner(mfn_t frame);
uint32_t frame_refs(mfn_t frame);
uint64_t frame_owned(domid_t owner); /* frames of guest RAM */
uint64_t frame_going(domid_t owner); /* given up, and not free yet */
void frame_get_stats(struct frame_stats *out);
mfn_t frame_limit(void);	/* one past the last frame of RAM */
bool frame_is_ram(mfn_t frame); /* RAM, used or not, with a frame-table entry or not */
/*
 * Calls fn for every free block and every frame in the caches of CPUs, under a lock of the
 * allocator's, until it returns false; returns whether it came to the end. fn may only look at
 * frames. Untouched sections are not among them.
 */
bool frame_for_each_free_block(bool (*fn)(mfn_t first, unsigned order, void *ctx), void *ctx);
/*
 * Marks 2^order frames, which have the owner's reference only, as given up, until mm/epoch.c frees
 * them (epoch_free_frames()): frame_get_present() refuses them from now on. The order is kept in
 * the first one.
 */
void frame_retire(mfn_t first, unsigned order);

#endif
