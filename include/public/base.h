/*
 * Widths and helpers of the guest ABI. Every header in this folder may be included by the
 * hypervisor, by guests (32- and 64-bit) and by unit tests on the host; none includes anything of
 * the hypervisor's.
 *
 * A structure that is laid out differently for the two kinds of caller exists twice: `struct foo`
 * for a 64-bit caller and `struct compat_foo` for a 32-bit one. Both layouts are the same in every
 * compilation, whatever its own word size, so that either side can build either. A structure
 * without a compat twin is laid out alike for both.
 *
 * Source of numbers and layouts: Xen's public headers, named in each file.
 */
#ifndef KEYHOLE_PUBLIC_BASE_H
#define KEYHOLE_PUBLIC_BASE_H

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

typedef uint16_t domid_t;

/* The 64-bit ABI: natural alignment. */
typedef uint64_t __attribute__((aligned(8))) xen_uint64_t;
typedef xen_uint64_t xen_ulong_t;
typedef xen_uint64_t xen_pfn_t;
typedef xen_uint64_t xen_handle_t; /* a guest-linear address */

/* The 32-bit ABI: words of 4 bytes, and 64-bit members aligned to 4 only. */
typedef uint64_t __attribute__((aligned(4))) compat_uint64_t;
typedef uint32_t compat_ulong_t;
typedef uint32_t compat_pfn_t;
typedef uint32_t compat_handle_t;

#define XEN_CHECK_SIZE(type, size) _Static_assert(sizeof(type) == (size), "size of " #type)
#define XEN_CHECK_OFFSET(type, member, offset) \
	_Static_assert(offsetof(type, member) == (offset), "offset of " #type "." #member)
#endif

#endif
