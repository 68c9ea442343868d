/* PA->VA hash: where a persistently mapped frame is mapped. The interface of mm/pahash.c. */
#ifndef KEYHOLE_MM_PAHASH_H
#define KEYHOLE_MM_PAHASH_H

#include "types.h"

int pahash_init(uint64_t hash_key) must_use;
/* va is page aligned; -XEN_ENOMEM when no place is found, -XEN_EEXIST when the frame is there. */
int pahash_insert(mfn_t frame, uint64_t va) must_use;
void pahash_remove(mfn_t frame);
/* Lock free. 0 when the frame is not there. */
uint64_t pahash_lookup(mfn_t frame);
uint64_t pahash_count(void);

#endif
