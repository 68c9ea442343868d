/* The audit of this CPU's page tables: the interface of mm/audit.c. */
#ifndef KEYHOLE_MM_AUDIT_H
#define KEYHOLE_MM_AUDIT_H

#include "types.h"

struct audit_result {
	uint64_t pages_mapped; /* 4K pages of RAM in this CPU's tables */
	uint64_t device_pages; /* and of device registers */
	uint64_t ram_pages;    /* of the machine */
	uint64_t guest_pages;  /* mapped pages that belong to a guest: must be 0 */
	uint64_t errors;       /* mappings against the rules, those of guests among them */
};

/* Walks the tables and checks each mapping; reports each error on the console unless quiet. */
void audit_run(struct audit_result *result, bool quiet);
/* Prints what is mapped on this CPU: as a table, and for programs (mm/audit_table.c). */
void audit_print_table(void);
void audit_print_map(void);

#endif
