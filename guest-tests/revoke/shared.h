/*
 * What the keeper and its child have agreed on: pages of the child's.
 */
#ifndef REVOKE_SHARED_H
#define REVOKE_SHARED_H

#include <stdint.h>

#define LENT_START	0x400000ul /* guest-physical, in the child: 2 MiB that are one leaf */
#define LENT_PAGES	512u
#define LENT_WORD(page) (0x1e47000000ull + (page))

/* References: the i-th of them to the i-th page. */
#define REF_FIRST 8u
#define REFS	  70u /* more than a page of handles */

/* At the start of each page. */
struct lent {
	volatile uint64_t word, answer;
	volatile uint64_t ready; /* of the first page: all is granted */
};

#endif
