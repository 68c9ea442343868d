/* Making domains, taking them apart, and how they ended. kernel/domain*.c, kernel/guests.c. */
#ifndef KEYHOLE_KERNEL_DOMAIN_H
#define KEYHOLE_KERNEL_DOMAIN_H

#include "../domain.h" /* not this file again */
#include "../types.h"
#include "../vcpu.h"
#include "guest_config.h"

/* Guest-physical addresses in which nothing is RAM: devices and mappings of a 32-bit guest. */
#define GUEST_HOLE_START 0xc0000000ull
#define GUEST_HOLE_END	 0x100000000ull
/* Where the console ring and the xenstore's are, in the hole. */
#define GUEST_CONSOLE_GFN 0xfefffull
#define GUEST_STORE_GFN	  0xfeffeull
/* Set aside for what a guest maps of others, and announced to it: a part of the hole, for code with
 * 32-bit addresses, and what is behind all RAM from here on. */
#define GUEST_FOREIGN_LOW_SIZE	 0x20000000ull
#define GUEST_FOREIGN_HIGH_START 0x4000000000ull
/* Guest-physical frames from here on are refused: 39 bits of address. */
#define GUEST_GFN_LIMIT (1ull << (39 - PAGE_SHIFT))
/* No processor has more guest-physical addresses. SDM Vol. 3, "4-Level Paging and 5-Level Paging".
 */
#define GUEST_ADDRESS_LIMIT (1ull << 52)

/* A boot module: a file in physical memory, and what its command line makes of it. */
struct guest_module {
	paddr_t start;
	uint64_t size; /* bytes */
	struct guest_config config;
};

struct domain_range {
	uint64_t start, size; /* guest-physical, bytes */
};
#define DOMAIN_RANGES_MAX 2u

/* An entry of the memory map that the guest is told. */
struct domain_map_entry {
	uint64_t start, size; /* guest-physical, bytes */
	uint32_t type;	      /* E820_RAM, E820_ACPI, E820_RESERVED (public/memory.h) */
};
#define DOMAIN_MAP_MAX (2 * DOMAIN_RANGES_MAX + 2)

/* A range without RAM that is set aside for foreign pages, the first or second; empty where RAM
 * takes it all. */
static inline struct domain_range domain_foreign_range(const struct domain *d, unsigned which)
{
	uint64_t start = GUEST_FOREIGN_HIGH_START, end = GUEST_GFN_LIMIT << PAGE_SHIFT;
	uint64_t ram_end = GUEST_HOLE_END - GUEST_HOLE_START + d->ram_bytes; /* if it goes so far */

	if (!which)
		return (struct domain_range){GUEST_HOLE_START, GUEST_FOREIGN_LOW_SIZE};
	if (ram_end > start)
		start = (ram_end + PAGE_1G_SIZE - 1) & ~(PAGE_1G_SIZE - 1);
	return (struct domain_range){start, start < end ? end - start : 0};
}

/* How a guest ended; kept for the summary at the end. */
struct domain_result {
	domid_t id;
	char name[DOMAIN_NAME_MAX];
	enum domain_end end;
	uint64_t detail;
	bool ok;
};

int domain_create(const struct guest_module *modules, uint32_t module_count, uint32_t which,
		  struct domain **out, struct refusal *why) must_use;
int domain_create_begin(const struct guest_module *modules, uint32_t module_count, uint32_t which,
			struct domain **out, struct refusal *why) must_use;
int domain_create_ram(struct domain *d, struct refusal *why) must_use;
int domain_create_end(struct domain *d, const struct guest_module *modules, uint32_t which,
		      struct refusal *why) must_use;
void domain_create_undo(struct domain *d);
bool domain_destroy(struct domain *d);
/* Its vCPUs leave guest mode, and do not run until it is resumed (kernel/pause.c). Wait for nobody;
 * any lock but a run queue's may be held. */
void domain_pause(struct domain *d);
void domain_resume(struct domain *d);
void domain_check_blocked(struct domain *d);
struct domain *domain_next(domid_t after);
void domain_list(struct domain *d);
void domain_unlist(domid_t id);
void domain_disown(domid_t id);
bool domain_listed(domid_t id);
unsigned domain_ram_ranges(uint64_t ram_bytes, struct domain_range out[DOMAIN_RANGES_MAX]);
unsigned domain_memory_map(const struct domain *d, struct domain_map_entry out[DOMAIN_MAP_MAX]);
const char *domain_end_text(enum domain_end why);

void domain_report(const struct domain *d);
void domain_report_not_started(domid_t id, const char *name);
/* How the guest with this id ended; NULL if it has not. Constant from then on. */
const struct domain_result *domain_result(domid_t id);

/* kernel/guests.c: builds a guest of every boot module that is one; a mistake in one configuration
 * is printed and does not keep the others from starting. After vmx_init(). */
void domains_create_all(void);
/* Puts the vCPUs on run queues, the first one last: it may start the others as soon as it runs. */
void domain_start(struct domain *d);
/* A domain that is to be, that is, or that is not wholly gone is marked, so that its id is used by
 * one at a time; the run ends when none is. mark: false if it is marked already. */
bool domain_mark(domid_t id) must_use;
bool domain_marked(domid_t id);
void domain_unmark(domid_t id);
void domains_start_all(void);
void domain_finish(struct domain *d);
bool domain_finish_step(void);
bool domains_gone(void);
uint32_t domains_report(uint32_t *count);

#endif
