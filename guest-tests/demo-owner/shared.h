/*
 * The page that the two guests of the demo share.
 */
#ifndef DEMO_SHARED_H
#define DEMO_SHARED_H

#include <stdint.h>

#define DEMO_REF  8u	     /* grant reference */
#define DEMO_PAGE 0x300000ul /* guest-physical, in the owner */

/* What has happened last. */
enum { NOTHING, OWNER_GREETS, VISITOR_ANSWERS, OWNER_GREETS_AGAIN, VISITOR_ANSWERS_AGAIN };

struct demo_page {
	volatile uint32_t step;
	char from_owner[80];
	char from_visitor[80];
};

#endif
