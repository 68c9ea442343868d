/*
 * What Keyhole adds to Xen's ABI.
 *
 * The test hypercall exists in test builds only (CONFIG_TEST); elsewhere its number is unknown
 * (-XEN_ENOSYS). keyhole_test(cmd, arg): all its structures are laid out alike for 32- and 64-bit
 * callers.
 */
#ifndef KEYHOLE_PUBLIC_KEYHOLE_H
#define KEYHOLE_PUBLIC_KEYHOLE_H

#include "base.h"

/*
 * Set in a call's number, pointers are guest-physical instead of guest-linear and no page table is
 * walked. Reserved: a call with it is refused with -XEN_ENOSYS until it exists.
 */
#define KEYHOLE_CALL_PHYSICAL (1u << 30)

#define __HYPERVISOR_keyhole_test 48

/* Runs the audit of this CPU's page tables: 0 if it found nothing wrong, else -XEN_EFAULT. No
 * argument. */
#define KEYHOLE_TEST_AUDIT 1
/*
 * Maps the caller's frame number 0 (of guest-physical address 0) against the rules, runs the audit,
 * takes the mapping away: 0 if the audit found it, else -XEN_EFAULT. No argument.
 */
#define KEYHOLE_TEST_PLANT 2
/* Searches all memory mapped on this CPU: struct keyhole_test_sweep. */
#define KEYHOLE_TEST_SWEEP 3
/* Walks the caller's page tables as the argument copies do: struct keyhole_test_walk. */
#define KEYHOLE_TEST_WALK 4

/*
 * keyhole_test_walk.access: what the access would be; bits as in a page fault's error code. Without
 * KEYHOLE_WALK_USER it is a supervisor access under the caller's own EFLAGS.AC.
 */
#define KEYHOLE_WALK_WRITE 0x02u
#define KEYHOLE_WALK_USER  0x04u
#define KEYHOLE_WALK_FETCH 0x10u

#ifndef __ASSEMBLER__
struct keyhole_test_sweep {
	/*
	 * in: each half of the 16-byte canary XOR mask, so that the caller never holds the canary
	 * itself and its argument is not found. Either half counts as a find, at any byte offset.
	 */
	compat_uint64_t canary_lo_masked;
	compat_uint64_t canary_hi_masked;
	compat_uint64_t mask;
	/* out */
	compat_uint64_t bytes_swept;
	compat_uint64_t pages_mapped;  /* 4K pages; bytes_swept must be 4096 times as many */
	compat_uint64_t found_count;   /* places where a half stands */
	compat_uint64_t first_va;      /* the first of them, or 0 */
	compat_uint64_t control_found; /* finds of a control that the hypervisor planted itself */
};
XEN_CHECK_SIZE(struct keyhole_test_sweep, 64);
XEN_CHECK_OFFSET(struct keyhole_test_sweep, bytes_swept, 24);

struct keyhole_test_walk {
	compat_uint64_t gva; /* in */
	uint32_t access;     /* in: KEYHOLE_WALK_ */
	int32_t status;	     /* out: 0, or -XEN_EFAULT with error_code */
	compat_uint64_t gpa; /* out, if status is 0 */
	uint32_t error_code; /* out: that of the page fault which the access would have raised */
	uint32_t pad;
};
XEN_CHECK_SIZE(struct keyhole_test_walk, 32);
XEN_CHECK_OFFSET(struct keyhole_test_walk, status, 12);
XEN_CHECK_OFFSET(struct keyhole_test_walk, gpa, 16);
XEN_CHECK_OFFSET(struct keyhole_test_walk, error_code, 24);
#endif

#endif
