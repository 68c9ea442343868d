/* The formatter of messages, against the host's own. */
/* sources: kernel/format.c */
#include "print.h"
#include "tap.h"
#include <limits.h>

/* Both formatters, the same arguments. */
#define same(...)                                                                            \
	do {                                                                                 \
		char ours[128], theirs[128];                                                 \
		int expected = snprintf(theirs, sizeof(theirs), __VA_ARGS__);                \
		size_t length = format_string(ours, sizeof(ours), __VA_ARGS__);              \
		if (!ok(strcmp(ours, theirs) == 0 && length == (size_t)expected, "%s",       \
			#__VA_ARGS__))                                                       \
			diag("got \"%s\" (%zu), expected \"%s\" (%d)", ours, length, theirs, \
			     expected);                                                      \
	} while (0)

static void test_like_host(void)
{
	same("plain");
	same("%d %d %d", 0, -1, INT_MAX);
	same("%d", INT_MIN);
	same("%ld %ld", LONG_MAX, LONG_MIN);
	same("%lld %llu", LLONG_MIN, ULLONG_MAX);
	same("%u %x %X", 4000000000u, 0xdeadbeef, 0xdeadbeef);
	same("%lx %llx %zu %zx", 0xffff800000000000ul, 0x1234567890abcdefull, (size_t)77,
	     (size_t)0xabc);
	same("[%5d] [%-5d] [%05d] [%5d]", 42, 42, 42, -42);
	same("[%05d] [%-5d] [%3d]", -42, -42, 12345);
	same("[%016lx] [%8x] [%-8x] [%08x]", 0xabcul, 0xab, 0xab, 0);
	same("[%s] [%10s] [%-10s] [%2s]", "text", "text", "text", "text");
	same("[%.2s] [%.0s] [%10.2s] [%-10.2s] [%.9s]", "text", "text", "text", "text", "text");
	same("[%.*s] [%*d] [%*d] [%-*s]", 3, "abcdef", 6, 7, -6, 7, 5, "ab");
	same("%c%c%3c|%-3c|", 'a', 'b', 'c', 'd');
	same("100%% %d%%", 5);
	same("%p", (void *)0x1234);
	same("%s", "");
}

static void test_bounds(void)
{
	char buf[16];
	char unterminated[4] = {'a', 'b', 'c', 'd'};

	memset(buf, '#', sizeof(buf));
	is(format_string(buf, 5, "%s", "a long text"), 4, "the length is that of what fitted");
	is_str(buf, "a lo", "cut off and terminated");
	is(buf[5], '#', "nothing behind the buffer's size is written");
	memset(buf, '#', sizeof(buf));
	is(format_string(buf, 1, "%d", 12345), 0, "a buffer of one byte");
	is(buf[0], 0, "is terminated");
	is(buf[1], '#', "and nothing else");
	memset(buf, '#', sizeof(buf));
	is(format_string(buf, 0, "%d", 12345), 0, "no buffer at all");
	is(buf[0], '#', "is not touched");
	format_string(buf, sizeof(buf), "%.4s", unterminated);
	is_str(buf, "abcd", "a precision bounds what is read of a string");
	format_string(buf, sizeof(buf), "%016lx%016lx", 1ul, 2ul);
	is_str(buf, "000000000000000", "a field wider than the buffer");
}

/* Formats that the compiler would not let pass. */
static void test_malformed(void)
{
	char buf[32];
	const char *volatile none = NULL, *volatile unknown = "a%qb", *volatile open = "a%",
			     *volatile open_long = "a%-08l";

	format_string(buf, sizeof(buf), "%s", none);
	is_str(buf, "(null)", "a null string");
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
	format_string(buf, sizeof(buf), unknown);
	is_str(buf, "a%qb", "an unknown conversion appears as it stands");
	format_string(buf, sizeof(buf), open);
	is_str(buf, "a%", "a format that ends in a conversion");
	format_string(buf, sizeof(buf), open_long);
	is_str(buf, "a%-08l", "a format that ends in the middle of one");
	const char *volatile wide = "%99999999999d";
	is(format_string(buf, sizeof(buf), wide, 1), sizeof(buf) - 1, "an absurd width is bounded");
}

int main(void)
{
	tap_no_plan();
	test_like_host();
	test_bounds();
	test_malformed();
	return tap_end();
}
