/* What the guests of this test share: main.c says who is who. */
#ifndef HARM_H
#define HARM_H

#include "guest.h"

#define DIRECTOR 1u /* the domain that says what is to be done, by a page of its own */
#define GRANTER	 2u
#define MAPPER	 3u

#define DIRECTION_REF(domain) (8u + (domain)) /* by which the director's page is lent */
#define TALK_REF	      8u	      /* and the granter's, to the mapper */
#define REF_FIRST	      32u
#define REFS		      128u
#define LENT_START	      0x500000ul /* a page for each */
#define LENT_WORD(i)	      (0x6861726dull << 32 | (i))

enum phase {
	PHASE_WAIT,
	PHASE_BUSY, /* harmless: both compute */
	PHASE_COPY,
	PHASE_MAP,
	PHASE_LIMIT,
	PHASE_TABLES,
	PHASE_DESTROY,
	PHASE_END
};

/* The director's page. */
struct direction {
	uint64_t phase;
	uint64_t at[8]; /* the phase that a domain, by its number, has come to */
};

/* The granter's page, for the mapper. */
struct talk {
	uint64_t full;	  /* how often the mapper has had as many mappings as it can */
	uint64_t revoked; /* how often all of them have been taken back since */
};

extern volatile struct direction *direction;

static inline volatile uint64_t *lent(unsigned i)
{
	return (volatile uint64_t *)(LENT_START + i * PAGE_SIZE);
}

/* The phase that the director wants; notes that this guest has come to it. */
enum phase follow(void);
/* In PHASE_BUSY. */
void be_busy(void);
/* Maps a page that another grants, when it does. */
volatile void *map_page(uint32_t domain, grant_ref_t ref, unsigned long address);
/* Lets domain have all lent pages. */
void lend(volatile struct grant_entry_v1 *table, uint32_t domain);

void be_watch(bool directs);
void be_granter(void);
void be_mapper(void);

#endif
