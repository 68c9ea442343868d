/*
 * Words of command lines: comparing them, and reading numbers. No state, no lock: pure.
 */
#include "kernel/word.h"

bool word_is(struct word w, const char *text)
{
	for (size_t i = 0; i < w.length; i++)
		if (!text[i] || text[i] != w.text[i])
			return false;
	return !text[w.length];
}

/* The value of a digit; one that is too large for any base if it is none. */
static unsigned digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c |= ASCII_LOWER;
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : UINT32_MAX;
}

/* Decimal, or hexadecimal behind 0x. False: it is none, or has more than 64 bits. */
bool word_number(struct word w, uint64_t *out)
{
	bool hex = w.length > 2 && w.text[0] == '0' && (w.text[1] | ASCII_LOWER) == 'x';
	unsigned base = hex ? 16 : 10;

	*out = 0;
	for (size_t i = hex ? 2 : 0; i < w.length; i++) {
		unsigned d = digit(w.text[i]);
		if (d >= base || __builtin_mul_overflow(*out, base, out) ||
		    __builtin_add_overflow(*out, d, out))
			return false;
	}
	return w.length;
}
