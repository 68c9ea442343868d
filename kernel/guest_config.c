/*
 * The command line of a boot module: which guest it becomes, or that it is a file for guests.
 *
 *	FILE name=NAME mem=32M vcpus=1 weight=256 cap=0 pin=0,2-3 cmdline="..." priv=NAME|*
 *	     image=NAME module=NAME data
 *
 * Pure text work: no state, no lock, so nothing to do for many CPUs. What the loader passes is not
 * hostile, but it is typed by people: each mistake gets a text of its own that says what is
 * allowed.
 */
#include "kernel/guest_config.h"
#include "kernel/word.h"
#include "mem.h"
#include "print.h"
#include "vcpu.h"

/* One word of a command line, quotes and backslashes resolved. */
#define WORD_MAX (GUEST_CMDLINE_MAX + 16u)

enum kind { NAME, NUMBER, CHOICE, MEM, PIN, CMDLINE, PRIV, MODULE, DATA };

#define WHERE(member) .where = offsetof(struct guest_config, member)
static const struct {
	const char *text;
	enum kind kind;
	bool repeats, for_data;
	uint32_t min, max;    /* of a number */
	const char *words[2]; /* of a choice; the second is true */
	size_t where;	      /* of a name, a number or a choice */
} options[] = {
    {"name", NAME, .for_data = true, WHERE(name)},
    {"mem", .kind = MEM},
    {"vcpus", NUMBER, .min = 1, .max = DOMAIN_VCPUS_MAX, WHERE(vcpus)},
    {"weight", NUMBER, .min = 1, .max = VCPU_WEIGHT_MAX, WHERE(weight)},
    {"cap", NUMBER, .max = 100 * DOMAIN_VCPUS_MAX, WHERE(cap_percent)},
    {"pin", .kind = PIN},
    {"cmdline", CMDLINE, .for_data = true},
    {"priv", PRIV, WHERE(priv)},
    {"image", NAME, WHERE(image)},
    {"module", MODULE, .repeats = true},
    {"data", DATA, .for_data = true},
    {"populate", CHOICE, .words = {"eager", "lazy"}, WHERE(lazy)},
    {"mmio", CHOICE, .words = {"absent", "strict"}, WHERE(mmio_strict)},
    {"start", CHOICE, .words = {"boot", "later"}, WHERE(start_later)},
};
_Static_assert(array_size(options) <= 32, "those that were seen are bits of a word");

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * Takes the next word off *at into word. 1: a word; 0: the end; -XEN_EINVAL with a text.
 */
static int next_word(const char **at, char *word, struct refusal *why)
{
	const char *s = *at;
	size_t n = 0;
	bool quoted = false;

	while (is_space(*s))
		s++;
	if (!*s) {
		*at = s;
		return 0;
	}
	for (; *s && (quoted || !is_space(*s)); s++) {
		char c = *s;
		if (c == '"') {
			quoted = !quoted;
			continue;
		}
		if (c == '\\') {
			c = *++s;
			if (!c)
				return REFUSE(why, "the command line ends in a backslash");
		}
		if (n + 1 >= WORD_MAX)
			return REFUSE(why, "an option is longer than %u characters", WORD_MAX - 1);
		word[n++] = c;
	}
	word[n] = 0;
	*at = s;
	if (quoted)
		return REFUSE(why, "a quote is not closed");
	return 1;
}

/* A number with an optional suffix K, M or G. */
static bool parse_size(const char *s, uint64_t *out)
{
	size_t length = strlen(s);
	char unit = length ? s[length - 1] | ASCII_LOWER : 0;
	unsigned shift = unit == 'k' ? 10 : unit == 'm' ? 20 : unit == 'g' ? 30 : 0;

	if (!word_number((struct word){s, length - (shift != 0)}, out) ||
	    (*out << shift) >> shift != *out)
		return false;
	*out <<= shift;
	return true;
}

/* True if the name can be shown on the console and written on a command line without quotes. */
static bool name_valid(const char *name)
{
	size_t n = 0;

	for (; name[n]; n++) {
		char c = name[n];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '.' || c == '_' || c == '-'))
			return false;
	}
	return n > 0 && n < GUEST_NAME_MAX;
}

static int copy_name(const char *option, const char *value, char *to, struct refusal *why)
{
	if (!name_valid(value))
		return REFUSE(why, "%s=%.40s: a name has 1 to %u characters from a-z A-Z 0-9 . _ -",
			      option, value, GUEST_NAME_MAX - 1);
	__builtin_memcpy(to, value, strlen(value) + 1);
	return 0;
}

/* "/boot/hello.elf" -> "hello"; left empty if that is no valid name. */
static void name_from_file(const char *file, char *name)
{
	const char *base = file;
	size_t n = 0;

	for (const char *s = file; *s; s++)
		if (*s == '/' || *s == ')')
			base = s + 1;
	while (base[n] && base[n] != '.' && n + 1 < GUEST_NAME_MAX) {
		name[n] = base[n];
		n++;
	}
	name[n] = 0;
	if (!name_valid(name))
		name[0] = 0;
}

static int set_mem(struct guest_config *c, const char *value, struct refusal *why)
{
	uint64_t bytes;

	if (!parse_size(value, &bytes))
		return REFUSE(why, "mem=%.40s: not a number with an optional suffix K, M or G",
			      value);
	if (bytes < GUEST_MEM_MIN || bytes > GUEST_MEM_MAX)
		return REFUSE(why, "mem=%.40s: from 1M to %uG are possible", value,
			      (unsigned)(GUEST_MEM_MAX >> 30));
	if (bytes & ~PAGE_MASK)
		return REFUSE(why, "mem=%.40s: not a multiple of 4K", value);
	c->mem_bytes = bytes;
	return 0;
}

/* Takes a decimal CPU number off *at. */
static bool parse_cpu(const char **at, uint32_t *out)
{
	const char *s = *at;

	for (*out = 0; *s >= '0' && *s <= '9' && *out < LAYOUT_CPUS_MAX; s++)
		*out = *out * 10 + (uint32_t)(*s - '0');
	bool good = s != *at && *out < LAYOUT_CPUS_MAX;
	*at = s;
	return good;
}

/* CPUs and ranges of them, with commas between. */
static int set_pin(struct guest_config *c, const char *value, struct refusal *why)
{
	const char *s = value;
	uint32_t first, last;
	bool good;

	do {
		good = parse_cpu(&s, &first);
		last = first;
		if (good && *s == '-') {
			s++;
			good = parse_cpu(&s, &last) && last >= first;
		}
		for (uint32_t cpu = first; good && cpu <= last; cpu++)
			cpu_set_add(&c->pin, cpu);
	} while (good && *s++ == ',');
	if (good && !s[-1])
		return 0;
	return REFUSE(why, "pin=%.40s: not a list of CPUs below %u, such as 0,2-3", value,
		      LAYOUT_CPUS_MAX);
}

static int set_option(struct guest_config *c, unsigned option, const char *value,
		      struct refusal *why)
{
	const char *text = options[option].text, *const *words = options[option].words;
	uint32_t min = options[option].min, max = options[option].max;
	void *out = (char *)c + options[option].where;
	uint64_t n;

	switch (options[option].kind) {
	case PRIV:
		if (!strcmp(value, "*")) {
			__builtin_memcpy(out, "*", 2);
			return 0;
		}
		return copy_name(text, value, out, why);
	case NAME:
		return copy_name(text, value, out, why);
	case NUMBER:
		if (!word_number((struct word){value, strlen(value)}, &n) || n < min || n > max)
			return REFUSE(why, "%s=%.40s: from %u to %u are possible", text, value, min,
				      max);
		*(uint32_t *)out = (uint32_t)n;
		return 0;
	case CHOICE:
		*(bool *)out = !strcmp(value, words[1]);
		if (*(bool *)out || !strcmp(value, words[0]))
			return 0;
		return REFUSE(why, "%s=%.40s: there are %s and %s", text, value, words[0],
			      words[1]);
	case MEM:
		return set_mem(c, value, why);
	case PIN:
		return set_pin(c, value, why);
	case CMDLINE:
		if (strlen(value) >= GUEST_CMDLINE_MAX)
			return REFUSE(why, "cmdline= is longer than %u characters",
				      GUEST_CMDLINE_MAX - 1);
		__builtin_memcpy(c->cmdline, value, strlen(value) + 1);
		return 0;
	case MODULE:
		if (c->module_count == GUEST_MODULES_MAX)
			return REFUSE(why, "module= more than %u times", GUEST_MODULES_MAX);
		return copy_name(text, value, c->modules[c->module_count++], why);
	case DATA:
		c->is_data = true;
	}
	return 0;
}

static bool starts_with_option(const char *word, const char *text, const char **rest)
{
	while (*text && *text == *word)
		text++, word++;
	if (*text || (*word && *word != '='))
		return false;
	*rest = word;
	return true;
}

/*
 * Parses one module's command line; its first word, the file, gives the default name. What concerns
 * several modules is left to guest_config_resolve(). Errors: -XEN_EINVAL with a text; *out
 * is then not valid, but out->is_data and out->name hold what had been read by then.
 */
int guest_config_parse(const char *cmdline, struct guest_config *out, struct refusal *why)
{
	char word[WORD_MAX];
	uint32_t seen = 0;
	int rc;

	__builtin_memset(out, 0, sizeof(*out));
	out->mem_bytes = GUEST_MEM_DEFAULT;
	out->vcpus = 1;
	out->weight = VCPU_WEIGHT_DEFAULT;
	out->priv_domain = DOMAIN_PRIV_NONE;
	why->text[0] = 0;

	rc = next_word(&cmdline, word, why);
	if (rc < 0)
		return rc;
	if (rc > 0)
		name_from_file(word, out->name);

	while ((rc = next_word(&cmdline, word, why)) > 0) {
		const char *rest = NULL;
		unsigned o = 0;

		while (o < array_size(options) && !starts_with_option(word, options[o].text, &rest))
			o++;
		if (o == array_size(options))
			return REFUSE(
			    why,
			    "unknown option \"%.40s\"; there are name= mem= vcpus= weight= "
			    "cap= pin= cmdline= priv= image= module= data populate= mmio= start=",
			    word);
		if ((options[o].kind == DATA) == (*rest == '='))
			return REFUSE(why, "%s %s", options[o].text,
				      *rest ? "takes no value" : "needs a value");
		if ((seen & (1u << o)) && !options[o].repeats)
			return REFUSE(why, "%s is given twice", options[o].text);
		seen |= 1u << o;
		rc = set_option(out, o, *rest ? rest + 1 : rest, why);
		if (rc)
			return rc;
	}
	if (rc < 0)
		return rc;
	for (unsigned o = 0; out->is_data && o < array_size(options); o++) {
		if ((seen & (1u << o)) && !options[o].for_data)
			return REFUSE(why, "%s= means nothing with data", options[o].text);
	}
	out->valid = true;
	return 0;
}

static int find_name(const struct guest_config *configs, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++)
		if (configs[i].name[0] && !strcmp(configs[i].name, name))
			return (int)i;
	return -1;
}

/*
 * Numbers the guests from 1 in the order of the modules, whether or not they will start, and names
 * those that have neither a name= nor a usable file name: guestN, N being the number; fileN for
 * data.
 */
void guest_config_number(struct guest_config *configs, uint32_t count)
{
	domid_t next = 1;

	for (uint32_t i = 0; i < count; i++) {
		struct guest_config *c = &configs[i];
		if (!c->is_data)
			c->id = next++;
		if (!c->name[0])
			format_string(c->name, sizeof(c->name), c->is_data ? "file%u" : "guest%u",
				      c->is_data ? (unsigned)i + 1 : (unsigned)c->id);
	}
}

/*
 * Checks what one module's configuration says about others, after all have been parsed and
 * numbered. Errors: -XEN_EINVAL with a text: its name is taken by an earlier module; priv=, image=
 * or module= name nothing, or something of the wrong kind.
 */
int guest_config_resolve(struct guest_config *configs, uint32_t count, uint32_t which,
			 struct refusal *why)
{
	struct guest_config *c = &configs[which];

	if (!c->valid)
		return REFUSE(why, "its options are not valid");
	c->valid = false;
	if (find_name(configs, which, c->name) >= 0)
		return REFUSE(
		    why,
		    "name \"%s\" is taken by an earlier module; give it another by name=", c->name);
	c->image_module = which;
	if (c->image[0]) {
		int i = find_name(configs, count, c->image);
		/* A chain of image= would have to be followed, and could be a circle. */
		if (i < 0 || configs[i].image[0])
			return REFUSE(why, "image=%s: %s", c->image,
				      i < 0 ? "no module has this name"
					    : "that one has no file of its own");
		c->image_module = (uint32_t)i;
	}
	if (c->priv[0] == '*') {
		c->priv_domain = DOMAIN_PRIV_ALL;
	} else if (c->priv[0]) {
		int i = find_name(configs, count, c->priv);
		if (i < 0 || configs[i].is_data || (uint32_t)i == which)
			return REFUSE(why, "priv=%s: not the name of another guest, nor * for all",
				      c->priv);
		c->priv_domain = configs[i].id;
	}
	for (uint32_t m = 0; m < c->module_count; m++) {
		int i = find_name(configs, count, c->modules[m]);
		if (i < 0 || !configs[i].is_data)
			return REFUSE(why, "module=%s: no module with \"data\" has this name",
				      c->modules[m]);
		c->module_index[m] = (uint32_t)i;
	}
	c->valid = true;
	return 0;
}
