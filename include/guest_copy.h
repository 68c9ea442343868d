/*
 * Copies between the hypervisor and a guest's memory, by guest-linear or guest-physical address.
 * The interface of kernel/guest_copy.c.
 */
#ifndef KEYHOLE_GUEST_COPY_H
#define KEYHOLE_GUEST_COPY_H

#include "guest_walk.h"
#include "mm/window_peek.h"
#include "p2m.h"
#include "types.h"

/* How much of a vCPU's paging state has been read: a copy reads what it needs, once. */
enum guest_access_state {
	GUEST_ACCESS_FULL,
	GUEST_ACCESS_SHORT,
	GUEST_ACCESS_LATER,
	GUEST_ACCESS_PHYSICAL /* nothing will be: addresses are guest-physical */
};

/* A readable leaf of the p2m that was used. length 0: none. */
struct guest_reach {
	uint64_t first, length; /* in bytes of guest-physical space */
	uint64_t bias;		/* to be added for the host-physical address */
	unsigned access;	/* P2M_* */
};

/* A walk of 4-level tables: the entries that were read, and where, and what they led to. */
struct guest_walk_kept {
	uint64_t generation; /* of the p2m; 0: there was no walk */
	uint64_t page;	     /* linear address */
	uint64_t cr3, efer;
	struct {
		struct window_view table;
		uint64_t offset, entry;
	} levels[4];
	unsigned count;		 /* of levels: 3 or 4 */
	bool writable;		 /* it was for writing */
	paddr_t at;		 /* the page */
	struct window_view view; /* of it */
	uint64_t missed; /* the page of a later walk, which is kept if the next one is there too */
};

/* How one vCPU sees memory now; filled by the backend at the first copy of a hypercall
 * (vcpu_guest_access). */
struct guest_access {
	enum guest_access_state state;
	struct guest_paging paging;
	struct p2m *p2m;
	/* Good while the p2m's generation is this: kernel/guest_copy.c. */
	uint64_t generation;
	struct guest_reach tables, data;
	struct guest_walk_kept kept;
};

/*
 * length bytes at a guest-linear address, with the rights of paging.cpl; or at a guest-physical one
 * (GUEST_ACCESS_PHYSICAL). -XEN_EFAULT: some page is not there or not permitted, or the range
 * passes the end of the address space; what lies before that page may have been copied. length 0
 * touches nothing.
 */
int guest_copy_in(struct guest_access *ga, void *to, gva_t from, size_t length) must_use;
int guest_copy_out(struct guest_access *ga, gva_t to, const void *from, size_t length) must_use;
/*
 * A place in guest memory, of up to a page, found once, to be read and then written: what is found
 * stays good until this CPU's next quiescent point, whatever is unmapped meanwhile, so that reading
 * and writing cannot fail.
 */
struct guest_place {
	paddr_t first, second; /* second: where it goes on in the next page */
	uint32_t first_length; /* bytes in the first page */
};
/* Finds length bytes (1 to PAGE_SIZE) that can be written to. -XEN_EFAULT as above. */
int guest_place_find(struct guest_access *ga, gva_t at, size_t length,
		     struct guest_place *out) must_use;
/* length: as it was found, or less. */
void guest_place_read(const struct guest_place *place, void *to, size_t length);
void guest_place_write(const struct guest_place *place, const void *from, size_t length);
/* The same at a guest-physical address: no walk. */
int guest_copy_in_gpa(struct p2m *p2m, void *to, gpa_t from, size_t length) must_use;
int guest_copy_out_gpa(struct p2m *p2m, gpa_t to, const void *from, size_t length) must_use;

int guest_copy_walk(struct guest_access *ga, gva_t va, unsigned access,
		    struct guest_walk_result *out) must_use;

#endif
