/*
 * A line that was typed to the monitor, as a command. No state, no lock: pure.
 */
#include "kernel/monitor.h"
#include "kernel/word.h"

const struct monitor_words monitor_words[MONITOR_VERBS] = {
#define X(name, step, usage, min, max, help) {#name, usage, help, min, max},
    MONITOR_COMMANDS(X)
#undef X
};

#define WORDS_MAX (1 + MONITOR_ARGS_MAX)

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

static bool argument(const struct monitor_words *m, struct word w, uint64_t *out)
{
	if (m->usage[0] != '[' || m->usage[1] != 'o') /* [on|off] */
		return word_number(w, out);
	*out = word_is(w, "on");
	return *out || word_is(w, "off");
}

const char *monitor_parse(const char *line, size_t length, struct monitor_command *out)
{
	struct word words[WORDS_MAX + 1];
	unsigned count = split(line, length, words), verb = 0;

	if (!count)
		return "";
	while (verb < MONITOR_VERBS && !word_is(words[0], monitor_words[verb].name))
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
