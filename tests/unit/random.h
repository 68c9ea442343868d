/* Random numbers for unit tests, the same in each run: xorshift64*. Each program that includes this
 * has its own. */
#ifndef KEYHOLE_TEST_RANDOM_H
#define KEYHOLE_TEST_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

static uint64_t random_state = 0x853c49e6748fea9b;

static inline uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1dull;
}

static inline bool one_in(unsigned n)
{
	return random64() % n == 0;
}

#endif
