/*
 * A line that was typed to the monitor, as a command. No state, no lock: pure.
 */
#include "kernel/monitor.h"

const struct monitor_words monitor_words[MONITOR_VERBS] = {
#define X(name, usage, min, max, help) {#name, usage, help, min, max},
    MONITOR_COMMANDS(X)
#undef X
};

#define WORDS_MAX (1 + MONITOR_ARGS_MAX)

struct word {
	const char *text;
	size_t length;
};

static bool is(struct word w, const char *text)
{
	for (size_t i = 0; i < w.length; i++)
		if (!text[i] || text[i] != w.text[i])
			return false;
	return !text[w.length];
}

/* The words of a line, one more than WORDS_MAX at most. */
static unsigned split(const char *line, size_t length, struct word words[WORDS_MAX + 1])
{
	unsigned count = 0;

	for (size_t i = 0; i < length && count <= WORDS_MAX;) {
		size_t start = i;

		while (i < length && line[i] != ' ' && line[i] != '\t')
			i++;
		if (i > start)
			words[count++] = (struct word){line + start, i - start};
		else
			i++;
	}
	return count;
}

/* The value of a digit; one that is too large for any base if it is none. */
static unsigned digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : UINT32_MAX;
}

/* Decimal, or hexadecimal behind 0x. False: it is none, or has more than 64 bits. */
static bool number(struct word w, uint64_t *out)
{
	bool hex = w.length > 2 && w.text[0] == '0' && (w.text[1] | 0x20) == 'x';
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

static bool argument(const struct monitor_words *m, struct word w, uint64_t *out)
{
	if (m->usage[0] != '[' || m->usage[1] != 'o') /* [on|off] */
		return number(w, out);
	*out = is(w, "on");
	return *out || is(w, "off");
}

const char *monitor_parse(const char *line, size_t length, struct monitor_command *out)
{
	struct word words[WORDS_MAX + 1];
	unsigned count = split(line, length, words), verb = 0;

	if (!count)
		return "";
	while (verb < MONITOR_VERBS && !is(words[0], monitor_words[verb].name))
		verb++;
	if (verb == MONITOR_VERBS)
		return "no such command: help lists them";
	const struct monitor_words *m = &monitor_words[verb];
	*out = (struct monitor_command){.verb = (enum monitor_verb)verb, .given = count - 1};
	if (out->given < m->min)
		return "something is missing behind it: see help";
	if (out->given > m->max)
		return "that is more than it takes: see help";
	for (unsigned i = 0; i < out->given; i++)
		if (!argument(m, words[i + 1], &out->arg[i]))
			return "that is no number of 64 bits, or no word that it knows";
	return NULL;
}
