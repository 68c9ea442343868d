/*
 * What the owner and the mapper of the grant tests have agreed on.
 */
#ifndef GRANT_SHARED_H
#define GRANT_SHARED_H

#include <stdint.h>

#define REF_CONTROL  8u /* read and write: struct control */
#define REF_WRITABLE 9u
#define REF_READONLY 10u
#define REF_OTHERS   11u /* granted to some other domain */
#define REF_UNUSED   12u

#define WORDS		 512u
#define OWNER_WORD(i)	 (0x6f776e6572000000ull + (i))
#define MAPPER_WORD(i)	 (0x6d61707065720000ull + (i))
#define READONLY_WORD(i) (0x726561646f6e6c79ull ^ (i))

/* Each side moves its own step on, and waits for the other's. */
struct control {
	volatile uint32_t owner_step, mapper_step;
};
enum { GRANTED = 1, MAPPED = 1, CHANGED = 2, UNMAPPED = 2, ENDED = 3, REFUSED = 3 };

#endif
