/* The page and the messages of a xenstore. Source: Xen, public/io/xs_wire.h. */
#ifndef KEYHOLE_PUBLIC_XS_WIRE_H
#define KEYHOLE_PUBLIC_XS_WIRE_H

#include "base.h"

#define XS_READ		   2u
#define XS_ERROR	   16u
#define XENSTORE_RING_SIZE 1024u

#ifndef __ASSEMBLER__
struct xsd_sockmsg {
	uint32_t type, req_id, tx_id;
	uint32_t len; /* of what follows, bytes */
};
/* Indices run freely; the place is the index modulo the ring's size. */
struct xenstore_domain_interface {
	char req[XENSTORE_RING_SIZE];
	char rsp[XENSTORE_RING_SIZE];
	uint32_t req_cons, req_prod;
	uint32_t rsp_cons, rsp_prod;
};
XEN_CHECK_OFFSET(struct xenstore_domain_interface, rsp_prod, 2060);
#endif

#endif
