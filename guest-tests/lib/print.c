/*
 * printf(): to the hypervisor's console, or, without one, to port 0xe9 (Bochs, QEMU's -debugcon).
 * State: the line that is being put together.
 */
#include "guest.h"

static char line[256];
static size_t line_length;

void print_flush(void)
{
	if (xen_present)
		console_io(CONSOLEIO_write, line_length, line);
	else
		for (size_t i = 0; i < line_length; i++)
			outb(0xe9, (uint8_t)line[i]);
	line_length = 0;
}

static void put(char c)
{
	line[line_length++] = c;
	if (c == '\n' || line_length == sizeof(line))
		print_flush();
}

/* Divides by 10 without the compiler's library, which a 32-bit program would need. */
static unsigned divide_by_10(uint64_t *value)
{
	uint32_t high = (uint32_t)(*value >> 32), low = (uint32_t)*value;
	uint32_t rest = high % 10, quotient;

	/* rest < 10, so that the quotient fits 32 bits. */
	__asm__("divl %4" : "=a"(quotient), "=d"(rest) : "a"(low), "d"(rest), "r"(10u) : "cc");
	*value = (uint64_t)(high / 10) << 32 | quotient;
	return rest;
}

static void put_number(uint64_t value, bool hexadecimal, bool negative, int width, char fill)
{
	char digits[24];
	int n = 0;

	do {
		unsigned d = hexadecimal ? (unsigned)(value & 15) : divide_by_10(&value);

		if (hexadecimal)
			value >>= 4;
		digits[n++] = "0123456789abcdef"[d];
	} while (value != 0);
	if (negative && fill == '0')
		put('-');
	if (negative && fill == ' ')
		digits[n++] = '-';
	while (width-- > n)
		put(fill);
	while (n > 0)
		put(digits[--n]);
}

void print_list(const char *p, va_list arguments)
{
	for (; *p != '\0'; p++) {
		int width = 0, longs = 0;
		char fill = ' ';

		if (*p != '%') {
			put(*p);
			continue;
		}
		p++;
		if (*p == '0') {
			fill = '0';
			p++;
		}
		while (*p >= '0' && *p <= '9')
			width = width * 10 + (*p++ - '0');
		for (; *p == 'l' || *p == 'z'; p++)
			longs++;
		switch (*p) {
		case 's': {
			const char *s = va_arg(arguments, const char *);

			for (width -= (int)strlen(s); *s != '\0'; s++)
				put(*s);
			while (width-- > 0)
				put(' ');
			break;
		}
		case 'c':
			put((char)va_arg(arguments, int));
			break;
		case 'p':
			put_number((uintptr_t)va_arg(arguments, void *), true, false, 0, '0');
			break;
		case 'd': {
			long long v = longs == 0   ? va_arg(arguments, int)
				      : longs == 1 ? va_arg(arguments, long)
						   : va_arg(arguments, long long);

			put_number(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, false, v < 0, width,
				   fill);
			break;
		}
		case 'u':
		case 'x':
			put_number(longs == 0	? va_arg(arguments, unsigned)
				   : longs == 1 ? va_arg(arguments, unsigned long)
						: va_arg(arguments, unsigned long long),
				   *p == 'x', false, width, fill);
			break;
		default:
			put(*p);
		}
	}
}

int printf(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_list(format, arguments);
	va_end(arguments);
	return 0;
}
