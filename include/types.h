/*
 * Basic types of every layer.
 *
 * Addresses of different spaces are different types in every build: a host-physical address cannot
 * be passed where a guest-physical one is wanted, and none of them is a pointer. A one-member
 * struct is passed in a register, so this costs nothing. They are made and opened by the inline
 * helpers below only, and opened only at a table entry, a VMCS field, or in assembly. There is
 * deliberately no conversion from paddr_t to a pointer: that needs the map window (mm/window.h) or
 * a persistent mapping (mm/pool.h, mm/pahash.h).
 */
#ifndef KEYHOLE_TYPES_H
#define KEYHOLE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT    12
#define PAGE_SIZE     4096u
#define PAGE_MASK     (~(uint64_t)(PAGE_SIZE - 1))
#define PAGE_2M_SHIFT 21
#define PAGE_2M_SIZE  (1ull << PAGE_2M_SHIFT)
#define PAGE_1G_SHIFT 30
#define PAGE_1G_SIZE  (1ull << PAGE_1G_SHIFT)
#define FRAMES_PER_2M 512u
#define FRAMES_PER_1G (512u * 512u)

/* Host-physical address in bytes, and frame number. */
typedef struct {
	uint64_t raw;
} paddr_t;
typedef struct {
	uint64_t raw;
} mfn_t;
/* Guest-physical address in bytes, and frame number. */
typedef struct {
	uint64_t raw;
} gpa_t;
typedef struct {
	uint64_t raw;
} gfn_t;
/* Guest-linear ("virtual") address. */
typedef struct {
	uint64_t raw;
} gva_t;

#define DEFINE_ADDRESS(type, name)                        \
	static inline type make_##name(uint64_t raw)      \
	{                                                 \
		return (type){raw};                       \
	}                                                 \
	static inline uint64_t name##_raw(type a)         \
	{                                                 \
		return a.raw;                             \
	}                                                 \
	static inline bool name##_equal(type a, type b)   \
	{                                                 \
		return a.raw == b.raw;                    \
	}                                                 \
	static inline type name##_add(type a, uint64_t n) \
	{                                                 \
		return (type){a.raw + n};                 \
	}

DEFINE_ADDRESS(paddr_t, paddr)
DEFINE_ADDRESS(mfn_t, mfn)
DEFINE_ADDRESS(gpa_t, gpa)
DEFINE_ADDRESS(gfn_t, gfn)
DEFINE_ADDRESS(gva_t, gva)

/* No frame: larger than any frame number the hardware can form. */
#define MFN_INVALID ((mfn_t){~0ull})
#define GFN_INVALID ((gfn_t){~0ull})

static inline mfn_t paddr_to_mfn(paddr_t a)
{
	return (mfn_t){a.raw >> PAGE_SHIFT};
}
static inline paddr_t mfn_to_paddr(mfn_t f)
{
	return (paddr_t){f.raw << PAGE_SHIFT};
}
static inline gfn_t gpa_to_gfn(gpa_t a)
{
	return (gfn_t){a.raw >> PAGE_SHIFT};
}
static inline gpa_t gfn_to_gpa(gfn_t f)
{
	return (gpa_t){f.raw << PAGE_SHIFT};
}
static inline uint32_t paddr_offset(paddr_t a)
{
	return (uint32_t)(a.raw & (PAGE_SIZE - 1));
}
static inline uint32_t gpa_offset(gpa_t a)
{
	return (uint32_t)(a.raw & (PAGE_SIZE - 1));
}

/* A domain's number. Guests count from 1; the numbers below are the hypervisor's own. */
typedef uint16_t domid_t;
#define DOMID_HYPERVISOR ((domid_t)0)

#define must_use		      __attribute__((warn_unused_result))
#define noreturn_fn		      __attribute__((noreturn))
#define noinline_fn		      __attribute__((noinline))
#define always_inline_fn	      __attribute__((always_inline))
#define printf_like(f, a)	      __attribute__((format(printf, f, a)))
#define packed_struct		      __attribute__((packed))
#define aligned_to(n)		      __attribute__((aligned(n)))
#define section(name)		      __attribute__((section(name)))
#define likely(x)		      __builtin_expect(!!(x), 1)
#define unlikely(x)		      __builtin_expect(!!(x), 0)
#define array_size(a)		      (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))
#define static_assert_size(type, n)   _Static_assert(sizeof(type) == (n), "size of " #type)

#endif
