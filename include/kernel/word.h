/* Words of command lines. kernel/word.c. */
#ifndef KEYHOLE_KERNEL_WORD_H
#define KEYHOLE_KERNEL_WORD_H

#include "../types.h"

#define ASCII_LOWER 0x20 /* set in a letter, makes it a small one */

struct word {
	const char *text;
	size_t length;
};

bool word_is(struct word w, const char *text);
bool word_number(struct word w, uint64_t *out) must_use;

#endif
