/* Names of functions: the table that tools/symbols makes, and the search in it. */
/* sources: kernel/symbols.c */
#include "kernel/symbols.h"
#include "layout.h"
#include "tap.h"
#include <unistd.h>

static const char nm_output[] = "0000000000200000 T boot_entry\n"
				"ffffffff80201000 T image_start\n"
				"ffffffff80201000 t first\n"
				"ffffffff80201040 t hidden_by_alias\n"
				"ffffffff80201040 T second\n"
				"ffffffff80201100 T third\n"
				"ffffffff80201200 t .Llocal\n"
				"ffffffff80201300 t first\n"
				"ffffffff80202000 R image_text_end\n"
				"ffffffff80202010 T behind_the_text\n"
				"ffffffff80203000 B some_data\n"
				"                 w weak_undefined\n";

static union {
	struct symbol_table table;
	unsigned char bytes[4096];
} made;

/* Runs tools/symbols on the input above, and assembles its output by hand. */
static bool make_table(void)
{
	char line[256], path[] = "/tmp/test_symbols.XXXXXX";
	size_t at = 0;
	int fd = mkstemp(path);
	FILE *input = fd < 0 ? NULL : fdopen(fd, "w");

	if (!input)
		return false;
	fputs(nm_output, input);
	fclose(input);
	snprintf(line, sizeof(line), "/usr/bin/env python3 tools/symbols < %s", path);
	FILE *output = popen(line, "r");
	while (output && fgets(line, sizeof(line), output)) {
		char text[256];
		uint32_t words[2];
		int a, b;

		if (sscanf(line, " .long %i, %i", &a, &b) == 2) {
			words[0] = (uint32_t)a;
			words[1] = (uint32_t)b;
			memcpy(made.bytes + at, words, sizeof(words));
			at += sizeof(words);
		} else if (sscanf(line, " .asciz \"%255[^\"]", text) == 1) {
			memcpy(made.bytes + at, text, strlen(text) + 1);
			at += strlen(text) + 1;
		}
	}
	unlink(path);
	return output && pclose(output) == 0;
}

static void finds(uint64_t address, const char *name, uint64_t offset)
{
	uint64_t got_offset = 99;
	const char *got = symbols_find(&made.table, address, &got_offset);

	ok(got && strcmp(got, name) == 0 && got_offset == offset, "%lx is %s+0x%lx",
	   (unsigned long)address, name, (unsigned long)offset);
	if (got)
		diag("got %s+0x%lx", got, (unsigned long)got_offset);
}

static void finds_nothing(uint64_t address)
{
	uint64_t offset = 99;

	ok(!symbols_find(&made.table, address, &offset) && offset == 99, "%lx is in no function",
	   (unsigned long)address);
}

int main(void)
{
	uint64_t offset;

	tap_no_plan();
	ok(make_table(), "tools/symbols makes a table");
	is(made.table.count, 4, "of text symbols only");
	is(made.table.end, 0x202000, "that knows where the text ends");
	finds(0xffffffff80201000, "first", 0);
	finds(0xffffffff8020103f, "first", 0x3f);
	finds(0xffffffff80201040, "second", 0);
	finds(0xffffffff80201100, "third", 0);
	finds(0xffffffff802012ff, "third", 0x1ff);
	finds(0xffffffff80201300, "first", 0);
	finds(0xffffffff80201fff, "first", 0xcff);
	finds_nothing(0xffffffff80202000);
	finds_nothing(0xffffffff80202010);
	finds_nothing(0xffffffff80200fff);
	finds_nothing(0x200000);
	finds_nothing(0);
	finds_nothing(~0ull);
	ok(!symbols_find(NULL, 0xffffffff80201000, &offset), "without a table nothing is found");
	ok(system("echo 'ffffffff80201000 T f' | python3 tools/symbols >/dev/null 2>&1") != 0,
	   "input that is not the image's is refused");
	return tap_end();
}
