/* Why a guest cannot be made, in words for who configured it. */
#ifndef KEYHOLE_KERNEL_REFUSAL_H
#define KEYHOLE_KERNEL_REFUSAL_H

#include "../print.h"
#include "../public/errno.h"

struct refusal {
	char text[160];
};

/* Notes the words; the value is rc, or -XEN_EINVAL. */
#define REFUSE_AS(why, rc, ...) (format_string((why)->text, sizeof((why)->text), __VA_ARGS__), (rc))
#define REFUSE(why, ...)	REFUSE_AS(why, -XEN_EINVAL, __VA_ARGS__)

#endif
