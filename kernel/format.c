/*
 * The formatter behind print(), panic() and format_string(). Pure: no state, no memory but the
 * caller's buffer.
 */
#include "kernel/format.h"
#include "print.h"

struct output {
	char *buf;
	size_t size, used; /* used < size, but for size 0 */
};

struct spec {
	bool left, zero;
	int width;     /* characters, at least */
	int precision; /* characters of a string, at most; -1: none */
	int longs;     /* l, ll or z */
};

static void put(struct output *out, char c)
{
	if (out->used + 1 < out->size)
		out->buf[out->used++] = c;
}

static void put_padded(struct output *out, const struct spec *spec, const char *text, int length)
{
	int pad = spec->width - length;

	for (; !spec->left && pad > 0; pad--)
		put(out, ' ');
	for (int i = 0; i < length; i++)
		put(out, text[i]);
	for (; pad > 0; pad--)
		put(out, ' ');
}

static void put_number(struct output *out, const struct spec *spec, uint64_t value, unsigned base,
		       bool upper, const char *prefix)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[24]; /* 20 digits of 2^64 - 1, and a prefix of two */
	int at = (int)sizeof(text), first;

	do {
		text[--at] = digits[value % base];
		value /= base;
	} while (value);
	first = at;
	int prefix_length = 0;
	while (prefix[prefix_length])
		prefix_length++;
	if (!spec->zero || spec->left) {
		for (int i = prefix_length; i--;)
			text[--at] = prefix[i];
		put_padded(out, spec, text + at, (int)sizeof(text) - at);
		return;
	}
	int length = (int)sizeof(text) - first + prefix_length;
	for (int i = 0; i < prefix_length; i++)
		put(out, prefix[i]);
	for (int pad = spec->width - length; pad > 0; pad--)
		put(out, '0');
	for (; first < (int)sizeof(text); first++)
		put(out, text[first]);
}

static void put_string(struct output *out, const struct spec *spec, const char *text)
{
	int length = 0;

	if (!text)
		text = "(null)";
	while ((spec->precision < 0 || length < spec->precision) && text[length])
		length++;
	put_padded(out, spec, text, length);
}

/* A width or precision: digits. Stops growing where no message is that wide. */
static int read_digits(const char **fmt)
{
	int value = 0;

	for (; **fmt >= '0' && **fmt <= '9'; (*fmt)++)
		if (value < 10000)
			value = value * 10 + (**fmt - '0');
	return value;
}

static const char *read_spec(const char *fmt, struct spec *spec, int star[2], int *stars)
{
	*spec = (struct spec){.precision = -1};
	*stars = 0;
	for (;; fmt++) {
		if (*fmt == '-')
			spec->left = true;
		else if (*fmt == '0')
			spec->zero = true;
		else
			break;
	}
	if (*fmt == '*') {
		star[(*stars)++] = 0;
		fmt++;
	} else {
		spec->width = read_digits(&fmt);
	}
	if (*fmt == '.') {
		fmt++;
		if (*fmt == '*') {
			star[(*stars)++] = 1;
			fmt++;
		} else {
			spec->precision = read_digits(&fmt);
		}
	}
	for (; *fmt == 'l' || *fmt == 'z'; fmt++)
		spec->longs++;
	return fmt;
}

/*
 * Formats into buf, size bytes with the terminating zero; what does not fit is cut off. Returns the
 * length of what was written. Knows what print.h lists, and * for width and precision; an unknown
 * conversion appears as it stands and takes no argument.
 */
size_t format_string_v(char *buf, size_t size, const char *fmt, va_list args)
{
	struct output out = {.buf = buf, .size = size};

	while (*fmt) {
		struct spec spec;
		int star[2], stars;

		if (*fmt != '%') {
			put(&out, *fmt++);
			continue;
		}
		const char *start = fmt;
		fmt = read_spec(fmt + 1, &spec, star, &stars);
		for (int i = 0; i < stars; i++) {
			int value = va_arg(args, int);
			if (star[i])
				spec.precision = value;
			else if (value < 0 && value >= -10000)
				spec.left = true, spec.width = -value;
			else
				spec.width = value;
		}
		switch (*fmt) {
		case 'd': {
			int64_t value = spec.longs ? va_arg(args, long) : va_arg(args, int);
			uint64_t size_of = value < 0 ? -(uint64_t)value : (uint64_t)value;
			put_number(&out, &spec, size_of, 10, false, value < 0 ? "-" : "");
			break;
		}
		case 'u':
		case 'x':
		case 'X': {
			uint64_t value =
			    spec.longs ? va_arg(args, unsigned long) : va_arg(args, unsigned);
			put_number(&out, &spec, value, *fmt == 'u' ? 10 : 16, *fmt == 'X', "");
			break;
		}
		case 'p':
			put_number(&out, &spec, (uint64_t)va_arg(args, void *), 16, false, "0x");
			break;
		case 'c': {
			char c = (char)va_arg(args, int);
			put_padded(&out, &spec, &c, 1);
			break;
		}
		case 's':
			put_string(&out, &spec, va_arg(args, const char *));
			break;
		case '%':
			put(&out, '%');
			break;
		default:
			/* Also a format that ends within a conversion. */
			for (; start < fmt; start++)
				put(&out, *start);
			if (!*fmt)
				goto end;
			put(&out, *fmt);
		}
		fmt++;
	}
end:
	if (size)
		buf[out.used] = 0;
	return out.used;
}

size_t format_string(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	size_t length = format_string_v(buf, size, fmt, args);
	va_end(args);
	return length;
}
