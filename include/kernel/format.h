/* Formatting with an argument list; format_string() is in print.h. kernel/format.c. */
#ifndef KEYHOLE_KERNEL_FORMAT_H
#define KEYHOLE_KERNEL_FORMAT_H

#include "types.h"
#include <stdarg.h>

size_t format_string_v(char *buf, size_t size, const char *fmt, va_list args) printf_like(3, 0);

#endif
