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

/*
 * Audits this CPU: walks the tables and checks each mapping; reports each error on the console
 * unless quiet. Root mode, no window slot open. No memory for the bitmap is an error of the audit:
 * nothing is called good that was not looked at.
 */
void audit_run(struct audit_result *result, bool quiet);
/* Prints it, that of a CPU. */
void audit_report(uint32_t cpu, const struct audit_result *a);
/*
 * Prints how many pages of which kind are mapped on this CPU, and whose they are: as a table, and
 * for programs (mm/audit_table.c). Of table pages in use it says which domain's EPT they belong to;
 * those that no domain and not the hypervisor's own page tables account for wait for their epoch.
 */
void audit_print_table(void);
void audit_print_map(void);

#endif
