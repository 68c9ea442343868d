/*
 * Arrays that grow at a fixed address.
 *
 * State: in each array, under the lock of the module that owns it.
 *
 * The pages are single frames of type FRAME_VMAP. They are not entered in the PA->VA hash and lie
 * outside the areas of mm/vmap.c, so that vmap, heap and hash can keep their records here without
 * calling themselves. An array never shrinks: its size follows the most that was ever in use.
 */
#include "mm/meta.h"
#include "layout.h"
#include "mm/frame.h"
#include "mm/hostpt.h"
#include "public/errno.h"

/*
 * Makes the first length_bytes of the array usable; what is new is zero. The caller holds the
 * array's lock, of a rank before the host page tables'. -XEN_ENOMEM: the array may have grown by
 * less than asked for, which changes nothing but its size.
 */
int meta_reserve(struct meta_array *array, uint64_t length_bytes)
{
	if (length_bytes > LAYOUT_META_STRIDE - PAGE_SIZE)
		return -XEN_ENOMEM;
	while (meta_length(array) < length_bytes) {
		mfn_t frame;
		int rc = frame_alloc(0, DOMID_HYPERVISOR, FRAME_VMAP, &frame);

		if (rc)
			return rc;
		rc = hostpt_map(array->base + meta_length(array), frame, HOST_RW);
		if (rc) {
			frame_free(frame, 0);
			return rc;
		}
		array->page_count++;
	}
	return 0;
}
