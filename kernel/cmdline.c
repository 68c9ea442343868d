/*
 * The hypervisor's own command line: words of the form name=value, separated by spaces.
 *
 *   console=com1,com2,vga  where messages go; none: nowhere        (com1,vga)
 *   loglvl=error|warn|info|debug  what is printed                  (info)
 *   window=strict|cached   whether idle map-window slots may stay open (strict)
 *   cpus=N                 start at most N processors              (all)
 *   selftest[=yes|only|explain|fail]  built-in tests; but for yes: then end (none)
 *   poweroff=yes|no        no: halt at the end, for a debugger     (yes)
 *   registers=on|off       dump the registers of a guest that ends in an error (on)
 *   apicv=on|off           let the processor virtualize local APICs, where it can (on)
 *   mitigations=on|off     barriers between guests where the processor needs them (on)
 *   smt=on|off             off: one thread of each core is used (on)
 *   restart=yes|no         keep the modules, so that guests can be made at run time (no)
 *   colour=on|off          lines of each guest in a colour of its own (off)
 *   map=yes|no             print what is mapped while the first guest runs, for tools/map (no)
 *   trace=on|off           note exits and other events; written to com2 at the end (off)
 *   bench=quick|load       bench builds only: load: also cost against load (quick)
 *
 * A word that makes no sense is named in a warning and ignored. State: cmdline_options, constant
 * after boot. Pure but for the warnings.
 */
#include "kernel/cmdline.h"
#include "kernel/console.h"
#include "kernel/word.h"
#include "layout.h"

struct cmdline_options cmdline_options;

struct choice {
	const char *name;
	uint32_t value;
};

/* Cuts w at the first separator: the part before it stays in *head, *rest is behind it; rest->text
 * is NULL without one. */
static void split(struct word w, char separator, struct word *head, struct word *rest)
{
	size_t i = 0;

	while (i < w.length && w.text[i] != separator)
		i++;
	*head = (struct word){w.text, i};
	*rest =
	    i < w.length ? (struct word){w.text + i + 1, w.length - i - 1} : (struct word){NULL, 0};
}

#define CHOICES_MAX 4u
static bool choose(struct word w, const struct choice choices[CHOICES_MAX], uint32_t *value)
{
	for (size_t i = 0; i < CHOICES_MAX && choices[i].name; i++) {
		if (word_is(w, choices[i].name)) {
			*value = choices[i].value;
			return true;
		}
	}
	return false;
}

static bool parse_console(struct word value, struct cmdline_options *o)
{
	static const struct choice choices[CHOICES_MAX] = {
	    {"com1", CONSOLE_COM1}, {"com2", CONSOLE_COM2}, {"vga", CONSOLE_VGA}, {"none", 0}};
	uint32_t mask = 0, bit;

	if (!value.text)
		return false;
	while (value.text) {
		struct word head;

		split(value, ',', &head, &value);
		if (!choose(head, choices, &bit))
			return false;
		mask |= bit;
	}
	o->console = mask;
	return true;
}

static bool parse_cpus(struct word value, struct cmdline_options *o)
{
	uint64_t cpus;

	if (!word_number(value, &cpus) || !cpus || cpus > LAYOUT_CPUS_MAX)
		return false;
	o->cpus = (uint32_t)cpus;
	return true;
}

#define WHERE(member) offsetof(struct cmdline_options, member)
static const struct {
	const char *name, *wants;
	/* value.text is NULL for a word without "=". False: the value makes no sense, and nothing
	 * has changed. NULL: it is one of the choices. */
	bool (*parse)(struct word value, struct cmdline_options *o);
	size_t where; /* of an enumeration */
	struct choice choices[CHOICES_MAX];
	uint32_t alone; /* what the word without a value means, if not 0 */
} options[] = {
    {.name = "console",
     .wants = "com1, com2, vga or none, separated by commas",
     .parse = parse_console},
    {.name = "cpus", .wants = "a number from 1 to 512", .parse = parse_cpus},
    {.name = "loglvl",
     .wants = "error, warn, info or debug",
     .where = WHERE(loglvl),
     .choices =
	 {{"error", LOG_ERROR}, {"warn", LOG_WARN}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}}},
    {.name = "selftest",
     .wants = "yes, only, explain or fail",
     .where = WHERE(selftest),
     .choices = {{"yes", SELFTEST_YES},
		 {"only", SELFTEST_ONLY},
		 {"explain", SELFTEST_EXPLAIN},
		 {"fail", SELFTEST_FAIL}},
     .alone = SELFTEST_YES},
    {.name = "mitigations",
     .wants = "on or off",
     .where = WHERE(mitigations),
     .choices = {{"on", MITIGATIONS_ON},
		 {"off", MITIGATIONS_OFF},
		 {"counted", MITIGATIONS_COUNTED}}},
};

/* Those with two values: the second is true. */
static const struct {
	const char *name;
	size_t where; /* of a bool */
	const char *values[2];
} switches[] = {
    {"window", WHERE(window_cached), {"strict", "cached"}},
    {"registers", WHERE(dump_registers), {"off", "on"}},
    {"poweroff", WHERE(poweroff), {"no", "yes"}},
    {"apicv", WHERE(apicv), {"off", "on"}},
    {"smt", WHERE(smt), {"off", "on"}},
    {"map", WHERE(map), {"no", "yes"}},
    {"restart", WHERE(restart), {"no", "yes"}},
    {"colour", WHERE(colour), {"off", "on"}},
    {"trace", WHERE(trace), {"off", "on"}},
#ifdef CONFIG_BENCH
    {"bench", WHERE(bench_load), {"quick", "load"}},
#endif
};
_Static_assert(LAYOUT_CPUS_MAX == 512, "the text of cpus=");

static void ignored(struct word w, const char *name, const char *wants, const char * or,
		    const char *wants2)
{
	print(LOG_WARN, "command line: \"%.*s\" is ignored: %s wants %s%s%s", (int)w.length, w.text,
	      name, wants, or, wants2);
}

static void parse_word(struct word w, struct cmdline_options *o)
{
	struct word name, value;

	split(w, '=', &name, &value);
	for (size_t i = 0; i < array_size(options); i++) {
		uint32_t *at = (uint32_t *)(void *)((char *)o + options[i].where);

		if (!word_is(name, options[i].name))
			continue;
		if (!value.text && options[i].alone)
			*at = options[i].alone;
		else if (options[i].parse ? !options[i].parse(value, o)
					  : !choose(value, options[i].choices, at))
			ignored(w, options[i].name, options[i].wants, "", "");
		return;
	}
	for (size_t i = 0; i < array_size(switches); i++) {
		const char *const *values = switches[i].values;
		bool yes = word_is(value, values[1]);

		if (!word_is(name, switches[i].name))
			continue;
		if (yes || word_is(value, values[0]))
			*(bool *)((char *)o + switches[i].where) = yes;
		else
			ignored(w, switches[i].name, values[0], " or ", values[1]);
		return;
	}
	print(LOG_WARN, "command line: unknown option \"%.*s\" is ignored", (int)w.length, w.text);
}

/* Reads the command line, as given by the loader, into *out; what it does not name gets its
 * default. */
void cmdline_parse(const char *line, struct cmdline_options *out)
{
	bool first = true;

	*out = (struct cmdline_options){.console = CONSOLE_COM1 | CONSOLE_VGA,
					.loglvl = LOG_INFO,
					.cpus = LAYOUT_CPUS_MAX,
					.poweroff = true,
					.dump_registers = true,
					.apicv = true,
					.smt = true};
	while (*line) {
		size_t length = 0;

		if (*line == ' ' || *line == '\t') {
			line++;
			continue;
		}
		while (line[length] && line[length] != ' ' && line[length] != '\t')
			length++;
		/* Some loaders put the image's file name first. */
		if (!first || (*line != '/' && *line != '('))
			parse_word((struct word){line, length}, out);
		first = false;
		line += length;
	}
}
