/* Messages that a test does not look at. */
#include "print.h"

void print(enum log_level level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}
