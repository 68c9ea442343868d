/* The page of a console in shared memory. Source: Xen, public/io/console.h. */
#ifndef KEYHOLE_PUBLIC_CONSOLE_RING_H
#define KEYHOLE_PUBLIC_CONSOLE_RING_H

#include "base.h"

#define XENCONS_IN_SIZE	 1024u
#define XENCONS_OUT_SIZE 2048u

#ifndef __ASSEMBLER__
/* Indices run freely; the place is the index modulo the ring's size. */
struct xencons_interface {
	char in[XENCONS_IN_SIZE];
	char out[XENCONS_OUT_SIZE];
	uint32_t in_cons, in_prod;
	uint32_t out_cons, out_prod;
};
XEN_CHECK_OFFSET(struct xencons_interface, out_cons, 3080);
#endif

#endif
