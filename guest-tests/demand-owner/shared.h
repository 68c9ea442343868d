/*
 * What demand-owner and the guests with windows onto its RAM have agreed on. They look into it, and
 * ask it for things by a page of its RAM, which they have mapped as a foreign one.
 */
#ifndef DEMAND_SHARED_H
#define DEMAND_SHARED_H

#include <stdint.h>

#define CONTROL_AT 0x600000ul /* guest-physical, in the owner */
#define SPAN_AT	   0x800000ul
#define SPAN	   2048u /* pages */

/* What the owner does with its RAM when it is asked. */
#define GIVE_BACK 1u /* pages GIVEN on, and the block of 2 MiB from page GIVEN_BLOCK on */
#define TAKE	  2u /* the same come back, with MAGIC_AGAIN in them */
#define END	  3u
#define CHURN	  4u /* gives GIVEN pages back and takes them, over and over, until another request */

#define GIVEN	    100u
#define GIVEN_COUNT 70u /* more than one batch's worth */
#define GIVEN_BLOCK 1024u
#define BLOCK_PAGES 512u

#define MAGIC(page)	   (0x64656d616e640000ull + (page))
#define MAGIC_AGAIN(page)  (0x616761696e640000ull + (page))
#define MAGIC_MAPPER(page) (0x6d61707065720000ull + (page))

struct control {
	volatile uint32_t ready, request, done;
	volatile uint32_t written; /* the mapper has left MAGIC_MAPPER() in all pages */
};

/* At the start of each page. */
struct span_page {
	volatile uint64_t owner, mapper;
};

#endif
