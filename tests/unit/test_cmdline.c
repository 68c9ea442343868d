/* The hypervisor's command line: each option, each mistake. */
/* sources: kernel/cmdline.c kernel/word.c kernel/format.c */
#include "kernel/cmdline.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "tap.h"

static char warnings[1024];
static int warning_count;

void print(enum log_level level, const char *fmt, ...)
{
	va_list args;
	size_t used = strlen(warnings);

	if (level == LOG_WARN)
		warning_count++;
	va_start(args, fmt);
	format_string_v(warnings + used, sizeof(warnings) - used, fmt, args);
	va_end(args);
}

static struct cmdline_options parse(const char *line)
{
	struct cmdline_options o;
	/* On the heap and of the exact size, so that reading behind its end is seen. */
	char *copy = strdup(line);

	warnings[0] = 0;
	warning_count = 0;
	cmdline_parse(copy, &o);
	free(copy);
	return o;
}

static void test_defaults(void)
{
	struct cmdline_options o = parse("");

	is(o.console, CONSOLE_COM1 | CONSOLE_VGA, "default: com1 and the screen");
	is(o.loglvl, LOG_INFO, "default: loglvl=info");
	ok(!o.window_cached, "default: window=strict");
	is(o.cpus, 512, "default: all processors");
	is(o.selftest, SELFTEST_NONE, "default: no self-tests");
	ok(o.poweroff && o.dump_registers && o.apicv, "default: power off, registers on, apicv on");
	is(warning_count, 0, "an empty line warns of nothing");
}

static void test_each(void)
{
	struct cmdline_options o =
	    parse("  console=com2,vga loglvl=debug\twindow=cached cpus=3 selftest=only poweroff=no "
		  "registers=off apicv=off ");

	is(o.console, CONSOLE_COM2 | CONSOLE_VGA, "console=");
	is(o.loglvl, LOG_DEBUG, "loglvl=");
	ok(o.window_cached, "window=");
	is(o.cpus, 3, "cpus=");
	is(o.selftest, SELFTEST_ONLY, "selftest=only");
	ok(!o.poweroff, "poweroff=no");
	ok(!o.dump_registers && !o.apicv, "registers=off apicv=off");
	is(warning_count, 0, "and no warning");
	is(parse("console=none").console, 0, "console=none");
	is(parse("selftest").selftest, SELFTEST_YES, "selftest alone");
	is(parse("selftest=explain").selftest, SELFTEST_EXPLAIN, "selftest=explain");
	is(parse("loglvl=error loglvl=warn").loglvl, LOG_WARN, "the last of two wins");
	ok(!parse("window=cached window=strict").window_cached, "window=strict");
	is(parse("").mitigations, MITIGATIONS_ON, "mitigations are on");
	is(parse("mitigations=off").mitigations, MITIGATIONS_OFF, "mitigations=off");
	ok(parse("").smt && !parse("smt=off").smt, "smt=");
	is(parse("cpus=512").cpus, 512, "cpus= takes its limit");
	parse("/boot/keyhole.elf loglvl=info");
	is(warning_count, 0, "a file name in front is not an option");
}

static void refused(const char *line, const char *named)
{
	struct cmdline_options o = parse(line), plain;

	ok(warning_count == 1 && strstr(warnings, named) && strstr(warnings, "ignored"),
	   "\"%s\" is refused by name", line);
	if (warning_count != 1)
		diag("%d warnings: %s", warning_count, warnings);
	plain = parse("");
	ok(o.console == plain.console && o.loglvl == plain.loglvl &&
	       o.window_cached == plain.window_cached && o.cpus == plain.cpus &&
	       o.selftest == plain.selftest && o.poweroff == plain.poweroff &&
	       o.dump_registers == plain.dump_registers,
	   "\"%s\" changes nothing", line);
}

static void test_mistakes(void)
{
	refused("colour=blue", "\"colour=blue\"");
	refused("console=", "com1, com2, vga or none");
	refused("console", "com1, com2, vga or none");
	refused("console=com1,com3", "console wants");
	refused("console=com1,", "console wants");
	refused("loglvl=", "loglvl wants");
	refused("loglvl=inf", "loglvl wants");
	refused("loglvl=infos", "loglvl wants");
	refused("window=open", "window wants");
	refused("cpus=0", "cpus wants");
	refused("cpus=513", "cpus wants");
	refused("cpus=4294967297", "cpus wants");
	refused("cpus=-1", "cpus wants");
	refused("cpus=2x", "cpus wants");
	refused("selftest=", "selftest wants");
	refused("poweroff", "poweroff wants");
	refused("poweroff=maybe", "poweroff wants");
	refused("map=maybe", "map wants");
	refused("=x", "unknown option");
}

int main(void)
{
	tap_no_plan();
	test_defaults();
	test_each();
	test_mistakes();
	return tap_end();
}
