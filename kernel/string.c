/*
 * memcpy() and its kin, for calls that the compiler emits.
 *
 * No state. The string instructions are the fastest form that uses general registers alone.
 */
#include "mem.h"
#include "types.h"

void *memcpy(void *to, const void *from, size_t length)
{
	void *d = to;

	__asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(length) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t length)
{
	if ((uintptr_t)to - (uintptr_t)from >= length)
		return memcpy(to, from, length);
	/* The target begins inside the source: copy from the end. */
	char *d = (char *)to + length - 1;
	const char *s = (const char *)from + length - 1;

	__asm__ volatile("std; rep movsb; cld" : "+D"(d), "+S"(s), "+c"(length) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t length)
{
	void *d = to;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(length) : "a"((uint8_t)byte) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t length)
{
	const uint8_t *x = a, *y = b;

	for (; length; length--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *text)
{
	const char *end = text;

	while (*end)
		end++;
	return (size_t)(end - text);
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (uint8_t)*a - (uint8_t)*b;
}
