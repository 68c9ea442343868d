/* Lines typed to the monitor: every command, and hostile ones. */
/* sources: kernel/monitor_parse.c kernel/word.c */
#include "kernel/monitor.h"
#include "tap.h"

static struct monitor_command command;

/* The line without its end, in memory of just its size, so that reading behind it is seen. */
static const char *parse_bytes(const char *text, size_t length)
{
	char *copy = malloc(length ? length : 1);

	memcpy(copy, text, length);
	const char *error = monitor_parse(copy, length, &command);
	free(copy);
	return error;
}

static const char *parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static bool gives(const char *text, enum monitor_verb verb, unsigned given, uint64_t a, uint64_t b)
{
	return !parse(text) && command.verb == verb && command.given == given &&
	       (given < 1 || command.arg[0] == a) && (given < 2 || command.arg[1] == b);
}

static bool refused(const char *text)
{
	const char *error = parse(text);

	return error && *error;
}

static void test_good(void)
{
	for (unsigned v = 0; v < MONITOR_VERBS; v++) {
		char text[64];
		const struct monitor_words *m = &monitor_words[v];

		snprintf(text, sizeof(text), "%s%s", m->name,
			 m->min > 1 ? " 1 2"
			 : m->min   ? " 1"
				    : "");
		ok(gives(text, (enum monitor_verb)v, m->min, 1, 2), "%s", text);
		strcat(text, " 1 2 3");
		ok(refused(text), "%s: too much", text);
		ok(!m->min || refused(m->name), "%s: too little", m->name);
		ok(strlen(m->name) <= 9 && strlen(m->usage) <= 14, "%s: it fits help", m->name);
	}
	ok(gives("  p2m\t3   0xFfF ", MONITOR_p2m, 2, 3, 0xfff), "blanks and hexadecimals");
	ok(gives("regs 2", MONITOR_regs, 1, 2, 0), "what may be left out");
	ok(gives("trace on", MONITOR_trace, 1, 1, 0) && gives("trace off", MONITOR_trace, 1, 0, 0),
	   "on and off");
	ok(gives("pause 18446744073709551615", MONITOR_pause, 1, UINT64_MAX, 0), "the largest");
	ok(gives("pause 0xffffffffffffffff", MONITOR_pause, 1, UINT64_MAX, 0), "the same");
	ok(parse("") && !*parse("") && parse(" \t ") && !*parse(" \t "), "nothing is no command");
}

static void test_hostile(void)
{
	static const char *const lines[] = {
	    "pause 18446744073709551616",
	    "pause 0x10000000000000000",
	    "pause 99999999999999999999999999999999999999999999999999999999",
	    "pause -1",
	    "pause +1",
	    "pause 0x",
	    "pause x",
	    "pause 1a",
	    "pause 0xg",
	    "pause 1.0",
	    "pause on",
	    "paus 1",
	    "pausee 1",
	    "PAUSE 1",
	    "trace 1",
	    "trace o",
	    "trace onn",
	    "p2m 1",
	    "help me",
	    "list\x01",
	    "\x01",
	    "\xff\xff",
	    "lis\xc3\xa4",
	    "%s%n",
	    "pause %s",
	    ";list",
	    "list;",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		ok(refused(lines[i]), "line %zu", i);
	ok(refused("a b c d e f g h i j k l m n o p q r s t u v w x y z"), "many words");
	ok(parse_bytes("list\0x", 6) && *parse_bytes("list\0x", 6), "a zero byte");
	ok(!parse_bytes("listx", 4), "only so much is read");

	unsigned wrong = 0;
	srand(1);
	for (unsigned n = 0; n < 200000; n++) {
		static const char set[] = "pauselirg012xfon \t\x01\xff[]";
		char text[40];
		size_t length = (size_t)rand() % sizeof(text);

		for (size_t i = 0; i < length; i++)
			text[i] = n % 2 ? set[(size_t)rand() % (sizeof(set) - 1)] : (char)rand();
		if (!parse_bytes(text, length))
			wrong += command.verb >= MONITOR_VERBS ||
				 command.given > monitor_words[command.verb].max ||
				 command.given < monitor_words[command.verb].min;
	}
	is(wrong, 0, "random lines: what passes is a command with its arguments");
}

int main(void)
{
	tap_no_plan();
	test_good();
	test_hostile();
	return tap_end();
}
