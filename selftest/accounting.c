/*
 * Whether all memory came back: the frames in use, compared between two moments.
 *
 * State: none. What mm/ keeps for itself counts as free: its records, page tables and parts of the
 * frame table grow and stay, and how far depends on how the CPUs' work happened to overlap. What
 * others hold of it is counted by itself: pages of vmap areas (heap objects among them), tables of
 * p2ms. So do the loader's frames, which are given back once the guests are built. Boot CPU.
 */
#include "selftest/accounting.h"
#include "mm/frame.h"
#include "mm/pool.h"
#include "mm/vmap.h"
#include "print.h"
#include "selftest/selftest.h"

/* Lets all that is deferred happen, and counts. */
void accounting_take(struct accounting *out)
{
	struct frame_stats s;
	struct vmap_stats v;

	selftest_drain();
	frame_get_stats(&s);
	vmap_get_stats(&v);
	out->free = s.free + s.by_type[FRAME_VMAP] - v.pages + s.by_type[FRAME_TABLE] +
		    s.by_type[FRAME_FRAME_TABLE] + s.by_type[FRAME_BOOT];
	out->used = s.ram - out->free;
	out->of_guests =
	    s.by_type[FRAME_GUEST_RAM] + s.by_type[FRAME_GUEST_SHARED] + s.by_type[FRAME_VCPU];
	out->vmap_pages = v.pages;
	out->ept_tables =
	    pool_tables_total() - pool_tables_free() - atomic_load(&host_table_account.used);
}

/* Whether as much is in use now as before; says what is not, and unless quiet, that all is. */
bool accounting_equal(const struct accounting *before, bool quiet)
{
	struct accounting now;

	accounting_take(&now);
	if (now.used == before->used && now.of_guests == before->of_guests &&
	    now.vmap_pages == before->vmap_pages && now.ept_tables == before->ept_tables) {
		if (!quiet)
			print(LOG_RESULT, "frames: all %lu came back", now.free);
		return true;
	}
	print(LOG_ERROR, "frames: %lu in use, %lu before", now.used, before->used);
	print(LOG_ERROR, "frames: of guests %lu (%lu), in vmap %lu (%lu), EPT tables %lu (%lu)",
	      now.of_guests, before->of_guests, now.vmap_pages, before->vmap_pages, now.ept_tables,
	      before->ept_tables);
	return false;
}
