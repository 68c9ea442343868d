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
 * Set in a call's number, all pointers of the call, also those within structures, are
 * guest-physical instead of guest-linear, and no page table is walked. Structures and arrays lie
 * where they would in guest-physical memory, across pages too.
 */
#define KEYHOLE_CALL_PHYSICAL (1u << 30)

#define __HYPERVISOR_keyhole_test 48
/*
 * The leak lab (`make lab-leak`) exists in lab builds only (CONFIG_LEAK_LAB); elsewhere its number
 * is unknown. keyhole_lab(cmd, arg), for 64-bit callers.
 */
#define __HYPERVISOR_keyhole_lab 49

/*
 * Domains at run time: keyhole_control(cmd, domain), for a guest with priv=*. Changes are
 * asked for and happen by and by: KEYHOLE_CONTROL_STATE says how far they are.
 */
#define __HYPERVISOR_keyhole_control 50

/* A new domain of the boot module with that number (needs restart=yes). */
#define KEYHOLE_CONTROL_CREATE	1
#define KEYHOLE_CONTROL_PAUSE	2
#define KEYHOLE_CONTROL_RESUME	3
#define KEYHOLE_CONTROL_DESTROY 4
/* Destroys it, and creates it when it is gone (needs restart=yes). */
#define KEYHOLE_CONTROL_RESTART 5
/* What it is: one of KEYHOLE_DOMAIN_, as the result. */
#define KEYHOLE_CONTROL_STATE 6

#define KEYHOLE_DOMAIN_ABSENT	0
#define KEYHOLE_DOMAIN_CREATING 1
#define KEYHOLE_DOMAIN_RUNNING	2
#define KEYHOLE_DOMAIN_PAUSED	3
#define KEYHOLE_DOMAIN_ENDING	4 /* has ended, and is being taken apart */

/*
 * Pages of another domain, for a guest that may map them (priv=): keyhole_foreign(cmd, ...), beyond
 * what Xen's memory_op has, which works as well. The command is in bits 15:0, in bits 31:16 the
 * other domain. Numbers are in registers, so that both kinds of caller pass them alike; the
 * argument that is named 0 changes when a long call goes on.
 */
#define __HYPERVISOR_keyhole_foreign 51
#define KEYHOLE_FOREIGN(cmd, domain) ((cmd) | (uint32_t)(domain) << 16)

/* (first frame there, first frame here, frames, 0): maps a range, by large pages where it can be.
 * The result is how many, from the first; the error if it is none. */
#define KEYHOLE_FOREIGN_MAP 1
/* (first frame here, frames, 0): removes foreign pages; holes count as removed. The same result. */
#define KEYHOLE_FOREIGN_REMOVE 2
/* (struct xen_add_to_physmap_batch, 0): at gpfns are foreign pages, of whatever domain; those of
 * foreign_domid at idxs take their place. */
#define KEYHOLE_FOREIGN_EXCHANGE 3
/*
 * Demand windows. (domid, first frame there, first frame here, frames, budget): from now on a page
 * of the window that is touched, where nothing is, appears; of them at most budget at a time, those
 * used lately. The result is the window's number.
 */
#define KEYHOLE_WINDOW_OPEN 4
/* (number): its pages disappear, and so does the window. */
#define KEYHOLE_WINDOW_CLOSE 5
/* (number, struct keyhole_window_stats). */
#define KEYHOLE_WINDOW_STATS 6

/*
 * Grants, beyond what Xen's grant_table_op has: keyhole_grant(cmd, args, count), for every guest;
 * args is an array of count structures.
 */
#define __HYPERVISOR_keyhole_grant 52

/* Takes back what references grant, wherever it is mapped: struct keyhole_grant_revoke. */
#define KEYHOLE_GRANT_REVOKE 1
/* Through which references others have a page: struct keyhole_grant_find. */
#define KEYHOLE_GRANT_FIND 2
/* The result is how many of the caller's handles were revoked and are not unmapped. No arguments.
 */
#define KEYHOLE_GRANT_REVOKED 3

/* Reads any address of the hypervisor: struct keyhole_lab_read. Stands for a speculative read. */
#define KEYHOLE_LAB_READ 1
/* What is mapped on this CPU, devices left out: struct keyhole_lab_list. */
#define KEYHOLE_LAB_LIST 2
/* How much that is, as the audit counts it: struct keyhole_lab_count. */
#define KEYHOLE_LAB_COUNT 3
/* Plants the control or takes it away: struct keyhole_lab_control. */
#define KEYHOLE_LAB_CONTROL 4
/* Opens the window on another domain's frame and closes it: struct keyhole_lab_peek. */
#define KEYHOLE_LAB_PEEK 5
/* Which frame an address leads to, and whose it is: struct keyhole_lab_what. */
#define KEYHOLE_LAB_WHAT 6
/*
 * Has another CPU, on which no guest runs, sweep what it maps itself, while guests go on:
 * struct keyhole_lab_sweep. -XEN_ENOENT: there is no such CPU; -XEN_EBUSY: one is at it.
 */
#define KEYHOLE_LAB_SWEEP 7
/* Its result, in the same structure. -XEN_EAGAIN: it is still at it. */
#define KEYHOLE_LAB_SWEPT 8

/* What the control is, XOR the mask. It stands at an odd address. */
#define KEYHOLE_LAB_CONTROL_MASKED 0x9c3b5ea1d4f70682ull
#define KEYHOLE_LAB_CONTROL_MASK   0x6d1f83c5297ab0e4ull

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
 * The argument is a number n, not a pointer: the n-th allocation that the hypervisor makes for the
 * caller from now on fails; with KEYHOLE_FAIL_MAKING, that it makes for domains which it creates at
 * run time. 0: none does any more; the value is then whether one did, 1 or 0.
 */
#define KEYHOLE_TEST_FAIL   7
#define KEYHOLE_FAIL_MAKING (1ull << 32)
/* Asks about the caller's p2m, or changes it without regard for whose the frames are: struct
 * keyhole_test_p2m. */
#define KEYHOLE_TEST_P2M 12
/* Text as if it had been typed for the caller: struct keyhole_test_input. */
#define KEYHOLE_TEST_INPUT 13
/* A panic. No argument. */
#define KEYHOLE_TEST_PANIC 14

/*
 * keyhole_test_walk.access: what the access would be; bits as in a page fault's error code. Without
 * KEYHOLE_WALK_USER it is a supervisor access under the caller's own EFLAGS.AC.
 */
#define KEYHOLE_WALK_WRITE 0x02u
#define KEYHOLE_WALK_USER  0x04u
#define KEYHOLE_WALK_FETCH 0x10u

/* keyhole_test_p2m.op: the change that is made first, if any. */
#define KEYHOLE_P2M_LOOK  0u
#define KEYHOLE_P2M_MAP	  1u /* as foreign frames, to be read */
#define KEYHOLE_P2M_UNMAP 2u

#ifndef __ASSEMBLER__
/* Out. */
struct keyhole_window_stats {
	compat_uint64_t faults;	 /* pages that appeared, or should have */
	compat_uint64_t evicted; /* pages taken out to make room, or by closing */
	compat_uint64_t flushes; /* that this took */
	compat_uint64_t flushes_per_1000_faults;
	compat_uint64_t resident; /* pages that are there; at most budget */
	compat_uint64_t budget;
	compat_uint64_t open; /* 0: the other domain has ended */
};
XEN_CHECK_SIZE(struct keyhole_window_stats, 56);

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

#define KEYHOLE_TEST_INPUT_MAX 60u
struct keyhole_test_input {
	uint32_t length;
	char text[KEYHOLE_TEST_INPUT_MAX];
};

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

struct keyhole_test_p2m {
	compat_uint64_t gfn;	     /* in */
	compat_uint64_t frame;	     /* in: of KEYHOLE_P2M_MAP */
	compat_uint64_t frame_count; /* in: of a change */
	uint32_t op;		     /* in */
	int32_t order;		     /* out: of the leaf at gfn; -1: there is none */
};
XEN_CHECK_SIZE(struct keyhole_test_p2m, 32);
XEN_CHECK_OFFSET(struct keyhole_test_p2m, order, 28);

struct keyhole_grant_revoke {
	uint32_t ref;	   /* in: of the caller's own table */
	int16_t status;	   /* out: GNTST_ */
	uint16_t mappings; /* out: mappings and copies that it was in use by */
};
XEN_CHECK_SIZE(struct keyhole_grant_revoke, 8);

struct keyhole_grant_find {
	compat_uint64_t gfn; /* in: a page of the caller's own RAM */
	uint32_t ref;	     /* in: the first reference to look at; out: the one found */
	uint32_t mappings;   /* out: mappings and copies through it */
	uint32_t others;     /* out: uses of the page besides these */
	domid_t domid;	     /* out: whose they are */
	int16_t status;	     /* out: GNTST_ */
};
XEN_CHECK_SIZE(struct keyhole_grant_find, 24);

struct keyhole_lab_read {
	compat_uint64_t va;	/* in: any number */
	compat_uint64_t buffer; /* in: where the bytes go, guest-linear */
	uint32_t length;	/* in: a multiple of 8, at most 4096 */
	uint32_t done;		/* out: bytes read before the first that faulted */
};
XEN_CHECK_SIZE(struct keyhole_lab_read, 24);

#define KEYHOLE_LAB_RANGES 30
struct keyhole_lab_list {
	compat_uint64_t from;  /* in: list what is at or above; out: where to go on, 0 at the end */
	compat_uint64_t count; /* out */
	struct {
		compat_uint64_t va, pages;
	} range[KEYHOLE_LAB_RANGES];
};
XEN_CHECK_SIZE(struct keyhole_lab_list, 496);

struct keyhole_lab_count {
	compat_uint64_t pages_mapped; /* out: 4K pages of RAM on this CPU */
	uint32_t cpu;		      /* out: this CPU */
	uint32_t cpus;		      /* out: CPUs that are online */
};
XEN_CHECK_SIZE(struct keyhole_lab_count, 16);

struct keyhole_lab_control {
	uint32_t plant; /* in: 1 or 0 */
	uint32_t pad;
	compat_uint64_t va; /* out: where */
};
XEN_CHECK_SIZE(struct keyhole_lab_control, 16);

struct keyhole_lab_peek {
	compat_uint64_t gfn; /* in */
	uint32_t domain;     /* in */
	uint32_t open_bytes; /* out: that the gadget read through the open slot */
	/* out: the same right after it was closed, with no VM transition in between */
	uint32_t closed_bytes;
	uint32_t slots_readable; /* out: slots of the whole window that could be read then */
};
XEN_CHECK_SIZE(struct keyhole_lab_peek, 24);

struct keyhole_lab_sweep {
	uint32_t cpu; /* in */
	uint32_t pad;
	compat_uint64_t canary_lo_masked, canary_hi_masked,
	    mask; /* in: as keyhole_test_sweep has */
	compat_uint64_t bytes_swept, pages_mapped, found_count, first_va, control_found; /* out */
};
XEN_CHECK_SIZE(struct keyhole_lab_sweep, 72);

struct keyhole_lab_what {
	compat_uint64_t va;    /* in */
	compat_uint64_t frame; /* out: machine frame, all ones if it is not in a shared region */
	uint32_t owner;	       /* out: a domain; 0 the hypervisor */
	uint32_t kind;	       /* out: KEYHOLE_LAB_KIND_ */
};
XEN_CHECK_SIZE(struct keyhole_lab_what, 24);
#define KEYHOLE_LAB_KIND_OTHER	   0
#define KEYHOLE_LAB_KIND_GUEST_RAM 1
#define KEYHOLE_LAB_KIND_REGISTERS 2 /* a vCPU's */
#endif

#endif
