/*
 * Output of guests on the hypervisor's console: each line begins with "[name] ", so that none can
 * be taken for the hypervisor's own or another guest's.
 *
 * State: how many bytes of a UTF-8 sequence are still to come; never text. Lock: the console's,
 * from console_text_begin() to console_text_end(). Ready for many CPUs.
 *
 * A guest may print lines, tabs, printable ASCII and UTF-8. Whatever could move the cursor or
 * address the terminal (C0 and C1 control characters, the latter also in UTF-8, and stray bytes)
 * becomes a question mark; carriage returns are dropped.
 */
#include "domain.h"
#include "kernel/console.h"
#include "vcpu.h"

static uint8_t utf8_left; /* continuation bytes that may follow */
static uint8_t utf8_min;  /* the least value of the next one */

/* Text on its way to the console: on this CPU's stack, cleared after use. */
struct output {
	size_t length;
	char text[128];
};

static void flush(struct output *o)
{
	console_text(o->text, o->length);
	o->length = 0;
}

static void put(struct output *o, char c)
{
	if (o->length == sizeof(o->text))
		flush(o);
	o->text[o->length++] = c;
}

static void put_prefix(struct output *o, const struct domain *d)
{
	put(o, '[');
	for (const char *s = d->name; *s; s++)
		put(o, *s);
	put(o, ']');
	put(o, ' ');
}

/* The character to be shown for the next byte; updates the UTF-8 state. */
static char filtered(uint8_t c)
{
	if (c < 0x80) {
		utf8_left = 0;
		return c >= 0x20 && c < 0x7f ? (char)c : c == '\t' ? '\t' : '?';
	}
	if (c < 0xc0) {
		bool expected = utf8_left && c >= utf8_min;
		utf8_left = expected ? (uint8_t)(utf8_left - 1) : 0;
		utf8_min = 0x80;
		return expected ? (char)c : '?';
	}
	/* First bytes; the least second byte excludes overlong forms and the C1 controls of U+0080
	 * on. */
	utf8_left = 0;
	utf8_min = 0x80;
	if (c == 0xc2) {
		utf8_left = 1;
		utf8_min = 0xa0;
	} else if (c > 0xc2 && c < 0xe0) {
		utf8_left = 1;
	} else if (c >= 0xe0 && c < 0xf0) {
		utf8_left = 2;
		utf8_min = c == 0xe0 ? 0xa0 : 0x80;
	} else if (c >= 0xf0 && c < 0xf5) {
		utf8_left = 3;
		utf8_min = c == 0xf0 ? 0x90 : 0x80;
	}
	return utf8_left ? (char)c : '?';
}

/* Shows length bytes of a guest. Bounded by length; takes the console's lock. */
void guest_console_write(struct domain *d, const char *text, size_t length)
{
	struct output o = {.length = 0};
	if (!length)
		return;
	bool open = console_text_begin(d->id);

	if (!open)
		utf8_left = 0;
	for (size_t i = 0; i < length; i++) {
		char c = text[i];
		if (c == '\r')
			continue;
		if (!open)
			put_prefix(&o, d);
		open = c != '\n';
		if (open) {
			put(&o, filtered((uint8_t)c));
		} else {
			put(&o, '\n');
			utf8_left = 0;
		}
	}
	flush(&o);
	console_text_end(d->id, open);
	__builtin_memset(&o, 0, sizeof(o));
	__asm__ volatile("" : : "r"(&o) : "memory"); /* or the compiler drops the clearing */
}
