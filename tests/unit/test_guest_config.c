/* sources: kernel/guest_config.c kernel/word.c kernel/format.c */
/* The command line of a boot module: what is accepted, and the text of every refusal. */
#include "kernel/guest_config.h"
#include "print.h"
#include "public/errno.h"
#include "tap.h"

static struct refusal why;

static struct guest_config parsed(const char *line)
{
	struct guest_config c;
	int rc = guest_config_parse(line, &c, &why);
	if (!ok(rc == 0 && c.valid, "parses: %s", line))
		diag("error: %s", why.text);
	return c;
}

static void refused(const char *line, const char *text)
{
	struct guest_config c;
	int rc = guest_config_parse(line, &c, &why);
	if (!ok(rc == -XEN_EINVAL && !c.valid && strstr(why.text, text), "refused (%s): %.60s",
		text, line))
		diag("got %d, error: %s", rc, why.text);
}

static void values(void)
{
	struct guest_config c = parsed("/boot/hello.elf");
	is_str(c.name, "hello", "name from the file");
	is(c.mem_bytes, 32 << 20, "default memory");
	is(c.vcpus, 1, "default vCPUs");
	ok(!c.is_data, "a guest by default");
	c = parsed("(cd)/a.b.elf name=x mem=64M vcpus=1 cmdline=\"a  b\" priv=* image=y module=m "
		   "module=n");
	is_str(c.name, "x", "name=");
	is(c.mem_bytes, 64 << 20, "mem= with M");
	is_str(c.cmdline, "a  b", "quotes around a value keep blanks");
	is_str(c.priv, "*", "priv=*");
	is_str(c.image, "y", "image=");
	is(c.module_count, 2, "module= may repeat");
	is_str(c.modules[1], "n", "in order");
	c = parsed("f \"cmdline=a b\" mem=1G");
	is_str(c.cmdline, "a b", "quotes around the whole option");
	is(c.mem_bytes, 1 << 30, "G");
	c = parsed("f cmdline=a\\ \\\"b\\\\");
	is_str(c.cmdline, "a \"b\\", "backslash escapes");
	c = parsed("f mem=4096K cmdline=\"\"");
	is(c.mem_bytes, 4 << 20, "K");
	is_str(c.cmdline, "", "an empty command line");
	c = parsed("f mem=0x200000");
	is(c.mem_bytes, 2 << 20, "hexadecimal bytes");
	ok(!c.lazy, "RAM is populated at once");
	c = parsed("f populate=lazy");
	ok(c.lazy, "or when it is touched");
	c = parsed("f populate=eager");
	ok(!c.lazy, "or at once by its name");
	ok(!c.mmio_strict, "absent memory may be touched");
	c = parsed("f mmio=strict");
	ok(c.mmio_strict, "or not");
	c = parsed("f mmio=absent");
	ok(!c.mmio_strict, "or by its name");
	ok(c.weight == 256 && !c.cap_percent && cpu_set_empty(&c.pin), "shares by default");
	c = parsed("f weight=65535 cap=250 pin=0,62-65,511");
	is(c.weight, 65535, "weight=");
	is(c.cap_percent, 250, "cap=");
	ok(c.pin.words[0] == (3ull << 62 | 1) && c.pin.words[1] == 3 &&
	       c.pin.words[7] == 1ull << 63,
	   "pin=: processors and ranges");
	c = parsed("f pin=3 cap=0");
	ok(c.pin.words[0] == 8 && !c.cap_percent, "a single one");
	c = parsed("initrd.gz data name=rd cmdline=x");
	ok(c.is_data, "data");
	c = parsed("  \t f \t mem=2M  ");
	is(c.mem_bytes, 2 << 20, "blanks of any kind");
	c = parsed("");
	is_str(c.name, "", "an empty line has no name yet");
}

static void refusals(void)
{
	char line[2048];

	refused("f nonsense", "unknown option \"nonsense\"");
	refused("f names=x", "unknown option");
	refused("f populate=late", "there are eager and lazy");
	refused("f mmio=none", "there are absent and strict");
	refused("f weight=0", "weight=0: from 1 to 65535 are possible");
	refused("f weight=65536", "from 1 to");
	refused("f weight=", "from 1 to");
	refused("f weight=1K", "from 1 to");
	refused("f cap=3201", "cap=3201: from 0 to 3200 are possible");
	refused("f cap=25%", "from 0 to");
	refused("f cap=-1", "from 0 to");
	static const char *const lists[] = {"",	   ",",	    "0,",	   ",0",   "0,,1",
					    "512", "0-512", "3-2",	   "1-",   "-1",
					    "0x1", "1 ",    "99999999999", "1-2-3"};
	for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		snprintf(line, sizeof(line), "f \"pin=%s\"", lists[i]);
		refused(line, "not a list of CPUs below 512, such as 0,2-3");
	}
	refused("f data pin=0", "pin= means nothing with data");
	refused("f data populate=lazy", "means nothing with data");
	refused("f name", "name needs a value");
	refused("f data=1", "data takes no value");
	refused("f name=", "name=");
	refused("f name=a/b", "a name has 1 to");
	refused("f name=a]b", "a name has 1 to");
	refused("f name=abcdefghijklmnopqrstuvwxyz0123456", "a name has 1 to 31");
	refused("f name=a name=b", "name is given twice");
	refused("f mem=1M mem=1M", "mem is given twice");
	refused("f mem=", "not a number");
	refused("f mem=M", "not a number");
	refused("f mem=12X", "not a number");
	refused("f mem=12MM", "not a number");
	refused("f mem=-1", "not a number");
	refused("f mem=0x", "not a number");
	refused("f mem=99999999999999999999", "not a number");
	refused("f mem=99999999999999G", "not a number");
	refused("f mem=512K", "from 1M to");
	refused("f mem=0", "from 1M to");
	refused("f mem=257G", "from 1M to 256G");
	refused("f mem=2097153", "not a multiple of 4K");
	refused("f vcpus=0", "from 1 to 32 are possible");
	refused("f vcpus=x", "from 1 to 32");
	refused("f vcpus=33", "vcpus=33: from 1 to 32");
	refused("f cmdline=\"abc", "a quote is not closed");
	refused("f cmdline=abc\\", "ends in a backslash");
	refused("f data mem=1M", "mem= means nothing with data");
	refused("f module=a module=b module=c module=d module=e module=f module=g module=h "
		"module=i",
		"more than 8 times");
	strcpy(line, "f cmdline=");
	memset(line + strlen(line), 'x', GUEST_CMDLINE_MAX);
	line[10 + GUEST_CMDLINE_MAX] = 0;
	refused(line, "longer than 511");
	memset(line, 'y', 2000);
	line[2000] = 0;
	refused(line, "longer than");
	struct guest_config c;
	strcpy(line, "f cmdline=");
	memset(line + 10, 'x', GUEST_CMDLINE_MAX - 1);
	line[10 + GUEST_CMDLINE_MAX - 1] = 0;
	is(guest_config_parse(line, &c, &why), 0, "the longest command line");
}

static struct guest_config set[6];

static void resolve_case(const char *second, const char *text)
{
	static const char *const lines[] = {"a.elf", NULL, "c.elf image=a name=c", "rd data"};
	memset(set, 0, sizeof(set));
	for (unsigned i = 0; i < 4; i++)
		if (guest_config_parse(lines[i] ? lines[i] : second, &set[i], &why))
			bail_out(why.text);
	guest_config_number(set, 4);
	int rc = guest_config_resolve(set, 4, 1, &why);
	if (text) {
		if (!ok(rc == -XEN_EINVAL && !set[1].valid && strstr(why.text, text),
			"resolve: %s: %s", second, text))
			diag("got %d: %s", rc, why.text);
	} else if (!ok(rc == 0 && set[1].valid, "resolve: %s", second)) {
		diag("got %d: %s", rc, why.text);
	}
}

static void resolving(void)
{
	resolve_case("b.elf", NULL);
	is(set[0].id, 1, "ids from 1");
	is(set[1].id, 2, "in order");
	is(set[2].id, 3, "one each");
	is(set[3].id, 0, "data has none");
	is(set[1].image_module, 1, "its own file");
	is(set[1].priv_domain, DOMAIN_PRIV_NONE, "no right by default");
	resolve_case("b.elf priv=c module=rd", NULL);
	is(set[1].priv_domain, 3, "priv= by name");
	is(set[1].module_index[0], 3, "module= by name");
	resolve_case("b.elf priv=*", NULL);
	is(set[1].priv_domain, DOMAIN_PRIV_ALL, "priv=*");
	is(guest_config_resolve(set, 4, 2, &why), 0, "image= resolves");
	is(set[2].image_module, 0, "to the module of that name");
	resolve_case("b.elf name=a", "taken by an earlier module");
	resolve_case("a.elf", "taken by an earlier module");
	resolve_case("b.elf priv=zz", "priv=zz: not the name of another guest");
	resolve_case("b.elf priv=b", "priv=b");
	resolve_case("b.elf priv=rd", "priv=rd");
	resolve_case("b.elf image=zz", "no module has this name");
	resolve_case("b.elf image=c", "has no file of its own");
	resolve_case("b.elf module=a", "no module with \"data\"");
	resolve_case("b.elf module=zz", "no module with \"data\"");
	resolve_case("/boot/.elf", NULL);
	is_str(set[1].name, "guest2", "a name is made where the file gives none");
}

int main(void)
{
	tap_no_plan();
	values();
	refusals();
	resolving();
	return tap_end();
}
