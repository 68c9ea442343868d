/*
 * Memory and string functions by their C names: the compiler emits calls of the first four for
 * structure copies whatever the flags. kernel/string.c. Not <string.h>: on the host that one is the
 * host's.
 */
#ifndef KEYHOLE_MEM_H
#define KEYHOLE_MEM_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *a, const void *b, size_t length);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);

/* memcpy() inline: by words first; a repetition counts as an instruction. */
static inline void copy_words(void *to, const void *from, size_t length)
{
	if (__builtin_constant_p(length) && length == 4) {
		__builtin_memcpy(to, from, 4);
		return;
	}
	size_t words = length / 8, bytes = length % 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

/* Clears what nobody reads any more: the compiler may not drop it. */
static inline void mem_wipe(void *p, size_t length)
{
	__asm__ volatile("rep stosb" : "+D"(p), "+c"(length) : "a"(0) : "memory");
}

#endif
