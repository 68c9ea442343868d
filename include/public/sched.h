/*
 * sched_op(cmd, arg). Source: Xen, public/sched.h.
 */
#ifndef KEYHOLE_PUBLIC_SCHED_H
#define KEYHOLE_PUBLIC_SCHED_H

#include "base.h"

#define SCHEDOP_yield		0 /* no argument */
#define SCHEDOP_block		1 /* no argument; enables event delivery, then waits */
#define SCHEDOP_shutdown	2 /* struct sched_shutdown */
#define SCHEDOP_poll		3
#define SCHEDOP_remote_shutdown 4
#define SCHEDOP_shutdown_code	5
#define SCHEDOP_watchdog	6
#define SCHEDOP_pin_override	7

/* sched_shutdown.reason */
#define SHUTDOWN_poweroff   0u
#define SHUTDOWN_reboot	    1u
#define SHUTDOWN_suspend    2u
#define SHUTDOWN_crash	    3u
#define SHUTDOWN_watchdog   4u
#define SHUTDOWN_soft_reset 5u
#define SHUTDOWN_MAX	    5u

#define SCHED_POLL_PORTS_MAX 128u

#ifndef __ASSEMBLER__
struct sched_poll {
	xen_handle_t ports; /* evtchn_port_t[nr_ports] */
	uint32_t nr_ports;
	xen_uint64_t timeout; /* system time, ns; 0: none */
};
struct compat_sched_poll {
	compat_handle_t ports;
	uint32_t nr_ports;
	compat_uint64_t timeout;
};
XEN_CHECK_SIZE(struct sched_poll, 24);
XEN_CHECK_SIZE(struct compat_sched_poll, 16);

struct sched_shutdown {
	uint32_t reason;
};
struct sched_remote_shutdown {
	domid_t domain_id;
	uint32_t reason;
};
XEN_CHECK_SIZE(struct sched_remote_shutdown, 8);
struct sched_watchdog {
	uint32_t id;	  /* 0: a new one, whose id is the result */
	uint32_t timeout; /* s from now on; 0: none any more */
};
XEN_CHECK_SIZE(struct sched_shutdown, 4);
#endif

#endif
