/*
 * What the engine (main.c) and the paging modes (modes32.c, modes64.c) of the walker test tell each
 * other.
 */
#ifndef WALKER_WALKER_H
#define WALKER_WALKER_H

#include "guest.h"

#define FLAG_P	0x001ull
#define FLAG_W	0x002ull
#define FLAG_U	0x004ull
#define FLAG_A	0x020ull
#define FLAG_D	0x040ull
#define FLAG_PS 0x080ull
#define FLAG_NX (1ull << 63)

#define PLACE_ENTRIES 4

/* One address and the entries that map it, the topmost first. All begin with all rights. */
struct place {
	const char *name;
	unsigned long address;
	uint64_t physical;
	unsigned count;		       /* entries */
	bool wide;		       /* 8 bytes each, else 4 */
	bool has_nx;		       /* bit 63 forbids execution */
	void *entry[PLACE_ENTRIES];    /* where they are */
	uint64_t value[PLACE_ENTRIES]; /* what they hold, without P, W, U, A, D */
	uint64_t reserved_leaf;	       /* a bit that must be 0 in the last one, or 0 */
	uint64_t reserved_parent;      /* in the one before, or 0 */
};

/* Where user mode has its code, in every mode: mapped for users, from a page the engine gives. */
#define USER_CODE_32 0xd0000000ul
#define USER_CODE_64 (PAGING_FREE + (1ull << 39))

/* The RAM that the places lead to: 4 MiB from here on is not used for anything else. */
#define TARGET_BASE   0x400000ull
#define TARGET_OFFSET 0x5000ull

/*
 * Enters paging mode n and fills in its places; returns its name, or NULL if there is no mode n.
 * user_code: the page to be mapped for users at user_code_address().
 */
const char *mode_enter(unsigned n, const void *user_code, struct place *places, unsigned *count);
unsigned long user_code_address(void);

#endif
