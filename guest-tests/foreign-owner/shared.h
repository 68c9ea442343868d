/*
 * What the owner and the mapper of the foreign-mapping tests have agreed on: pages of the owner's
 * RAM.
 */
#ifndef FOREIGN_SHARED_H
#define FOREIGN_SHARED_H

#include <stdint.h>

#define SHARED_START 0x600000ul /* guest-physical, in the owner */
#define SHARED_PAGES 40u	/* more than one batch's worth of work for a hypercall */
#define BLOCK_START  0x400000ul /* 2 MiB, aligned */
#define BLOCK_PAGES  512u
#define NOT_RAM	     0xd0000000ul

/* References of the owner's: one that it grants to the domain behind it, one that it leaves to
 * that. */
#define GRANT_OF_OWNER	11u
#define GRANT_BY_MAPPER 12u
#define TABLE_AT	(HOLE + 0x10000000ul)

#define OWNER_MAGIC(page)  (0x666f726569676e00ull + (page))
#define MAPPER_MAGIC(page) (0x6d61707065640000ull + (page))

/* At the start of each page. */
struct shared_page {
	volatile uint64_t owner, mapper;
	volatile uint32_t mappers_done; /* page 0 only */
};

#endif
