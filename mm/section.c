/*
 * RAM in sections of 64 MiB, and their parts of the frame table.
 *
 * State: the list of RAM extents, built at boot and constant from then on; which sections are
 * claimed, under the frame allocator's lock; which are touched, a bit that is set once. A CPU
 * claims a section under the lock and fills its entries without it, since to map them takes page
 * tables, and these come from the frame allocator.
 *
 * A section is absent (no RAM), untouched (RAM, no frame-table entries: one free block that costs
 * nothing), or touched. Boot touches those that hold something already, and one more if need be;
 * the allocator touches the next one when it runs dry. So boot's work and the size of the table
 * follow what is used, not what is there.
 *
 *   section      |image|mod|table part| free ................. |  hole  | free ....|
 *   frame table  |  256 KiB: pages of the table part            | absent_page |    |
 *
 * The table part is carved from the section's own free RAM. Pages of it that would describe no RAM
 * at all are one shared page of zeros, mapped read-only: zero is FRAME_ABSENT.
 */
#include "mm/section.h"
#include "mm/hostpt.h"
#include "mm/window.h"
#include "print.h"
#include "public/errno.h"

#define RANGES_MAX	 128u
#define ENTRIES_PER_PAGE (PAGE_SIZE / sizeof(struct frame_info))
#define PART_PAGES	 (FRAME_SECTION_FRAMES / ENTRIES_PER_PAGE)

_Static_assert(PART_PAGES == 64, "a section's part of the table is tracked in one word");

struct range {
	uint64_t start, end; /* frames */
	enum frame_type type;
};

/* Constant after section_init(): sorted, disjoint, each inside one use. */
struct extent {
	uint64_t start, end;  /* frames */
	enum frame_type type; /* FRAME_FREE or what it is reserved for */
	uint32_t refs;	      /* reservations that cover it */
};

static struct range ram[RANGES_MAX], reserved[RANGES_MAX];
static unsigned ram_count, reserved_count;
static struct extent extents[2 * (RANGES_MAX + RANGES_MAX)];
static unsigned extent_count;
static mfn_t absent_page = {~0ull};

_Atomic uint64_t section_touched[SECTION_COUNT / 64];
uint64_t section_frame_limit;

/* Under the frame allocator's lock. */
static uint64_t claimed[SECTION_COUNT / 64];
static unsigned claim_extent;
static uint64_t claim_next;

static bool add_range(struct range *list, unsigned *count, struct range r)
{
	if (r.start < SECTION_LOW_FRAMES)
		r.start = SECTION_LOW_FRAMES;
	if (r.end > FRAME_LINK_NONE)
		r.end = FRAME_LINK_NONE;
	if (r.start >= r.end)
		return true;
	if (*count == RANGES_MAX)
		return false;
	list[(*count)++] = r;
	return true;
}

/*
 * Declares [start, end), bytes, as usable RAM; only whole pages count. Ranges may come in any order
 * and overlap. At boot, before frame_init(). RAM beyond what can be noted is left unused.
 */
void frame_add_ram(paddr_t start, paddr_t end)
{
	struct range r = {(paddr_raw(start) + PAGE_SIZE - 1) >> PAGE_SHIFT,
			  paddr_raw(end) >> PAGE_SHIFT, FRAME_FREE};

	assert_always(!extent_count);
	if (!add_range(ram, &ram_count, r))
		print(LOG_WARN, "memory map has too many ranges: %lx-%lx unused", paddr_raw(start),
		      paddr_raw(end));
}

/*
 * Keeps [start, end), bytes, each page that they touch, from being given out: in use as type,
 * FRAME_IMAGE or FRAME_BOOT. What is reserved counts as RAM. Below 1 MiB nothing is ever given
 * out, and reserving there does nothing. At boot, before frame_init().
 */
void frame_reserve(paddr_t start, paddr_t end, enum frame_type type)
{
	struct range r = {paddr_raw(start) >> PAGE_SHIFT,
			  (paddr_raw(end) + PAGE_SIZE - 1) >> PAGE_SHIFT, type};

	assert_always(!extent_count && type != FRAME_ABSENT && type != FRAME_FREE);
	if (!add_range(reserved, &reserved_count, r))
		panic("more than %u reserved ranges", RANGES_MAX);
}

/* The smallest start or end of a range that is above frame. */
static uint64_t next_edge(uint64_t frame)
{
	uint64_t next = FRAME_LINK_NONE;

	for (unsigned i = 0; i < ram_count + reserved_count; i++) {
		const struct range *r = i < ram_count ? &ram[i] : &reserved[i - ram_count];
		if (r->start > frame && r->start < next)
			next = r->start;
		if (r->end > frame && r->end < next)
			next = r->end;
	}
	return next;
}

/* What the ranges say of the frames from start to the next edge. The image outranks the rest. */
static struct extent extent_at(uint64_t start)
{
	struct extent e = {start, next_edge(start), FRAME_ABSENT, 0};

	for (unsigned i = 0; i < ram_count; i++)
		if (ram[i].start <= start && start < ram[i].end)
			e.type = FRAME_FREE;
	for (unsigned i = 0; i < reserved_count; i++) {
		if (start < reserved[i].start || start >= reserved[i].end)
			continue;
		if (!e.refs || reserved[i].type == FRAME_IMAGE)
			e.type = reserved[i].type;
		e.refs++;
	}
	return e;
}

static void build_extents(void)
{
	for (uint64_t at = 0; at < FRAME_LINK_NONE;) {
		struct extent e = extent_at(at);
		struct extent *last = extent_count ? &extents[extent_count - 1] : NULL;

		at = e.end;
		if (e.type == FRAME_ABSENT)
			continue;
		if (last && last->end == e.start && last->type == e.type && last->refs == e.refs)
			last->end = e.end;
		else
			extents[extent_count++] = e;
		section_frame_limit = e.end;
	}
}

/* The part of extent i within a section; false if there is none. */
static bool clip(unsigned i, uint64_t section, struct extent *out)
{
	uint64_t start = section * FRAME_SECTION_FRAMES, end = start + FRAME_SECTION_FRAMES;

	*out = extents[i];
	if (out->start < start)
		out->start = start;
	if (out->end > end)
		out->end = end;
	return out->start < out->end;
}

/* Frames of a section's RAM that nothing reserved. */
uint64_t section_free_frames(uint64_t section)
{
	uint64_t count = 0;
	struct extent e;

	for (unsigned i = 0; i < extent_count; i++)
		if (clip(i, section, &e) && e.type == FRAME_FREE)
			count += e.end - e.start;
	return count;
}

static void count_ram(void)
{
	uint64_t all = 0, free = 0;

	for (unsigned i = 0; i < extent_count; i++) {
		uint64_t count = extents[i].end - extents[i].start;

		all += count;
		free += extents[i].type == FRAME_FREE ? count : 0;
	}
	frame_count_ram(all, free);
}

/*
 * Chooses an untouched section for the caller to touch. Under the frame allocator's lock. Each
 * section is looked at once, so that the cost of finding one does not depend on how many there
 * are.
 */
bool section_claim(uint64_t *section)
{
	for (; claim_extent < extent_count; claim_extent++) {
		const struct extent *e = &extents[claim_extent];

		if (claim_next < e->start / FRAME_SECTION_FRAMES)
			claim_next = e->start / FRAME_SECTION_FRAMES;
		for (; claim_next * FRAME_SECTION_FRAMES < e->end; claim_next++) {
			if (claimed[claim_next / 64] >> (claim_next % 64) & 1)
				continue;
			claimed[claim_next / 64] |= 1ull << (claim_next % 64);
			*section = claim_next;
			return true;
		}
	}
	return false;
}

/* Gives a claimed section back that could not be touched. Under the frame allocator's lock. */
void section_unclaim(uint64_t section)
{
	claimed[section / 64] &= ~(1ull << (section % 64));
	if (section < claim_next)
		claim_next = section;
	while (claim_extent && extents[claim_extent - 1].end > section * FRAME_SECTION_FRAMES)
		claim_extent--;
}

/* A section's part of the table while it is being made. */
struct part {
	uint64_t section;
	uint64_t described; /* bit i: page i describes RAM */
	unsigned needed;    /* its bits */
	unsigned own;	    /* frames carved from the section: its first free ones */
	mfn_t frames[PART_PAGES + 1];
};

static void plan_part(uint64_t section, unsigned extra, struct part *part)
{
	uint64_t base = section * FRAME_SECTION_FRAMES;
	struct extent e;

	*part = (struct part){.section = section};
	for (unsigned i = 0; i < extent_count; i++)
		if (clip(i, section, &e))
			for (uint64_t page = (e.start - base) / ENTRIES_PER_PAGE;
			     page <= (e.end - 1 - base) / ENTRIES_PER_PAGE; page++)
				part->described |= 1ull << page;
	for (unsigned page = 0; page < PART_PAGES; page++)
		part->needed += part->described >> page & 1;
	part->needed += extra;

	for (unsigned i = 0; i < extent_count; i++)
		if (clip(i, section, &e) && e.type == FRAME_FREE)
			for (uint64_t f = e.start; f < e.end && part->own < part->needed; f++)
				part->frames[part->own++] = make_mfn(f);
}

/*
 * Maps the part. An attempt that fails for want of a page table leaves behind what it has mapped:
 * the next one puts the same frames in the same places, so that something mapped already is no
 * error, and nothing has to be flushed.
 */
static int map_part(const struct part *part)
{
	uint64_t va = (uint64_t)section_entry(part->section * FRAME_SECTION_FRAMES);
	unsigned next = 0;

	for (unsigned page = 0; page < PART_PAGES; page++, va += PAGE_SIZE) {
		bool described = part->described >> page & 1;
		int rc = hostpt_map(va, described ? part->frames[next++] : absent_page,
				    described ? HOST_RW : HOST_R);
		if (rc && rc != -XEN_EEXIST)
			return rc;
		if (described)
			__builtin_memset((void *)va, 0, PAGE_SIZE);
	}
	return 0;
}

static void fill_part(const struct part *part)
{
	unsigned carved = 0;
	struct extent e;

	for (unsigned i = 0; i < extent_count; i++) {
		if (!clip(i, part->section, &e))
			continue;
		uint64_t state = (uint64_t)e.type << FRAME_TYPE_SHIFT;
		if (e.type == FRAME_FREE)
			state |= FRAME_DIRTY | FRAME_ORDER_MASK;
		else
			state |= e.refs;
		for (uint64_t f = e.start; f < e.end; f++) {
			bool carve = e.type == FRAME_FREE && carved < part->own;
			uint64_t table = (uint64_t)FRAME_FRAME_TABLE << FRAME_TYPE_SHIFT | 1;

			carved += carve;
			section_set_state(f, carve ? table : state);
			section_entry(f)->next = FRAME_LINK_NONE;
			section_entry(f)->prev = FRAME_LINK_NONE;
		}
	}
}

static int touch_planned(const struct part *part)
{
	int rc = map_part(part);

	if (rc)
		return rc;
	fill_part(part);
	atomic_fetch_or_explicit(&section_touched[part->section / 64], 1ull << (part->section % 64),
				 memory_order_release);
	frame_adopt_section(part->section);
	return 0;
}

/*
 * Gives a claimed section its entries and its free frames to the allocator. Holds no lock, because
 * mapping may need tables. -XEN_ENOMEM: no page table, try again later; -XEN_ENOSPC: a scrap of
 * RAM smaller than its own part of the table.
 */
int section_touch(uint64_t section)
{
	struct part part;

	plan_part(section, 0, &part);
	if (part.own < part.needed)
		return -XEN_ENOSPC;
	return touch_planned(&part);
}

/* Boot: a section that holds something. borrow: take from other sections what this one lacks. */
static int touch_at_boot(uint64_t section, bool borrow)
{
	bool first = mfn_equal(absent_page, MFN_INVALID);
	struct part part;
	int rc;

	if (atomic_load(&section_touched[section / 64]) >> (section % 64) & 1)
		return 0;
	plan_part(section, first, &part);
	if (part.own < part.needed && (!borrow || first))
		return -XEN_ENOSPC;
	for (unsigned i = part.own; i < part.needed; i++) {
		rc = frame_alloc(0, DOMID_HYPERVISOR, FRAME_FRAME_TABLE, &part.frames[i]);
		if (rc)
			return rc;
	}
	if (first) {
		window_scrub(part.frames[part.needed - 1], 0);
		absent_page = part.frames[part.needed - 1];
	}
	claimed[section / 64] |= 1ull << (section % 64);
	return touch_planned(&part);
}

/* Touches the sections that hold reserved frames: those that have room for their part, or all. */
static int touch_reserved(bool borrow, bool *any)
{
	for (unsigned i = 0; i < extent_count; i++) {
		if (extents[i].type == FRAME_FREE)
			continue;
		for (uint64_t section = extents[i].start / FRAME_SECTION_FRAMES;
		     section * FRAME_SECTION_FRAMES < extents[i].end; section++) {
			int rc = touch_at_boot(section, borrow);

			if (!rc)
				*any = true;
			else if (rc != -XEN_ENOSPC || borrow)
				return rc;
		}
	}
	return 0;
}

/* Called by frame_init(), once. -XEN_ENOMEM: no RAM, or no page tables for the first sections. */
int section_init(void)
{
	bool any = false;
	int rc;

	build_extents();
	count_ram();
	rc = touch_reserved(false, &any);
	for (unsigned i = 0; !rc && !any && i < extent_count; i++) {
		for (uint64_t section = extents[i].start / FRAME_SECTION_FRAMES;
		     !any && section * FRAME_SECTION_FRAMES < extents[i].end; section++) {
			rc = touch_at_boot(section, false);
			any = !rc;
			if (rc && rc != -XEN_ENOSPC)
				return rc;
		}
		rc = 0;
	}
	if (rc || !any)
		return rc ? rc : -XEN_ENOMEM;
	return touch_reserved(true, &any);
}

/* Whether a frame is RAM that was declared or reserved; used or not. Takes any number. */
bool frame_is_ram(mfn_t frame)
{
	for (unsigned i = 0; i < extent_count; i++)
		if (extents[i].start <= mfn_raw(frame) && mfn_raw(frame) < extents[i].end)
			return true;
	return false;
}

/* One past the last frame of RAM. */
mfn_t frame_limit(void)
{
	return make_mfn(section_frame_limit);
}
