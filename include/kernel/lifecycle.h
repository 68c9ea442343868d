/* Domains that come and go at run time. kernel/lifecycle.c. */
#ifndef KEYHOLE_KERNEL_LIFECYCLE_H
#define KEYHOLE_KERNEL_LIFECYCLE_H

#include "guest_config.h"

struct guest_module;

/* Boot, with restart=yes: keeps what the guests are made of. */
void lifecycle_keep(const struct guest_module *modules, uint32_t count);
/* The end: gives that back. */
void lifecycle_forget(void);

/*
 * What monitor and privileged guests ask for; done by and by, from any CPU. 0; -XEN_ESRCH: there is
 * no such domain, or module for one; -XEN_EOPNOTSUPP: without restart=yes; -XEN_EEXIST: there is
 * such a domain; -XEN_EBUSY: it is asked for already, or not gone yet.
 */
int lifecycle_request(domid_t id, unsigned command) must_use; /* KEYHOLE_CONTROL_ */
/* KEYHOLE_DOMAIN_ */
unsigned lifecycle_state(domid_t id);

/* A domain that is counted already and does not exist any more is to be made again. */
int lifecycle_create(domid_t id) must_use;
/* Boot CPU: a bounded step for a domain that is being made. Whether there is more to do. */
bool domain_create_step(void);

#endif
