/*
 * Domains: what every layer may know of a guest. Holds nothing that derives from the guest's
 * registers or memory: it lies on the heap, mapped on every CPU.
 */
#ifndef KEYHOLE_DOMAIN_H
#define KEYHOLE_DOMAIN_H

#include "cpu_set.h"
#include "lock.h"
#include "mm/epoch.h"
#include "p2m.h"
#include "types.h"

#define DOMAIN_NAME_MAX	 32
#define DOMAIN_VCPUS_MAX 32
#define DOMAINS_MAX	 64

struct vcpu_shared;
struct grant_table;
struct domain_xen;
struct demand_window;

/* Why a domain has ended. Its text is in kernel/domain_result.c. */
enum domain_end {
	END_NONE, /* it lives */
	END_POWEROFF,
	END_REBOOT,
	END_SUSPEND,
	END_CRASH,   /* SCHEDOP_shutdown with reason crash, or an unknown reason */
	END_HALTED,  /* HLT with interrupts off: how kernels without a way to power off end */
	END_BLOCKED, /* waits, and nothing could ever wake it */
	END_TRIPLE_FAULT,
	END_EPT_VIOLATION, /* touched guest-physical memory that it does not have */
	END_EPT_MISCONFIG, /* our own mistake, contained */
	END_ENTRY_FAILURE, /* VM entry refused its state */
	END_UNEXPECTED_EXIT,
	END_DEBUG_EXIT, /* wrote to the debug-exit port: poweroff if the value says success */
	END_OUT_OF_MEMORY,
	END_DESTROYED,
	END_WATCHDOG,	/* it did not rearm its watchdog in time */
	END_NOT_STARTED /* it could not be built */
};

/* Demand windows: a domain's own, and those of others onto one. */
#define DEMAND_WINDOWS_MAX  64u
#define DEMAND_WATCHERS_MAX 16u

#define DOMAIN_PRIV_NONE ((domid_t)0xffff)
#define DOMAIN_PRIV_ALL	 ((domid_t)0xfffe)

struct domain {
	domid_t id; /* from 1; also the owner in the frame table */
	char name[DOMAIN_NAME_MAX];
	struct lock lock;   /* everything below that is not said to be constant */
	struct p2m p2m;	    /* has its own lock */
	domid_t priv;	    /* constant: whose memory it may foreign-map */
	uint64_t ram_bytes; /* constant: size of its RAM */
	uint64_t populated; /* how much of it has frames; until it is built */
	uint64_t acpi;	    /* constant: the page of its ACPI tables; 0: a multiboot image */
	bool lazy;	    /* constant: RAM gets its frames when it is touched first */
	bool mmio_strict;   /* constant: an access to absent memory ends it */
	mfn_t poison;	    /* constant: what it sees where a page of another was revoked */
	/* Constant: its time-stamp counters minus the host's, to begin with. */
	uint64_t tsc_offset;
	uint32_t vcpu_count;
	_Atomic uint32_t vcpus_alive; /* not yet VCPU_ENDED; the last one has it taken apart */
	struct vcpu_shared *vcpus[DOMAIN_VCPUS_MAX];
	struct domain_xen *xen;	    /* kernel/xen_state.h; created with the domain */
	struct grant_table *grants; /* kernel/grant.c; created with the domain */
	bool maps_closed; /* what it has mapped of others is given up by its destruction alone */
	_Atomic bool unemulated; /* said once: vmx/mmio.c */
	_Atomic uint32_t end;	 /* enum domain_end; changes from END_NONE once */
	_Atomic bool paused;	 /* its vCPUs do not run: domain_pause() */
	_Atomic bool restarts;	 /* made anew when it is gone: kernel/lifecycle.c */
	/* kernel/demand.c */
	struct demand_window *_Atomic windows[DEMAND_WINDOWS_MAX];   /* its own */
	struct demand_window *_Atomic watchers[DEMAND_WATCHERS_MAX]; /* onto its RAM */
	_Atomic uint32_t window_limit, window_hint, watched;
	uint64_t end_detail; /* a shutdown reason or exit reason: a small number, no guest data */
	struct lock devices_lock; /* what is in this frame: kernel/guest_io.c */
	mfn_t devices;
	struct domain *dying_next;	/* kernel/guests.c */
	bool reported;			/* there: how it ended */
	_Atomic uint32_t finish_cpu;	/* index + 1 of the CPU that takes it apart; 0: none yet */
	uint32_t destroy_phase;		/* how far kernel/domain_destroy.c has come */
	_Atomic bool unreachable;	/* no CPU can hold a pointer from domain_find() any more */
	struct epoch_deferred deferred; /* for that */
	struct cpu_set pin;		/* constant: the CPUs that may run it */
	uint32_t cap_percent;		/* constant: of one CPU's time; 0: no cap (kernel/cap.c) */
	_Atomic uint64_t cap_until;	/* until then it has used what its cap allows */
	/* Mappings of its pages that each domain has, by id: through grants, and foreign ones. */
	_Atomic uint32_t granted_to[DOMAINS_MAX + 1], foreign_in[DOMAINS_MAX + 1];
	/* Ticks that it ran on each CPU, written there only. Behind the structure. */
	_Atomic uint64_t *cpu_ticks;
};

/* By id; 0 is not used. Changed by kernel/domain.c alone. */
extern struct domain *_Atomic domain_table[DOMAINS_MAX + 1];

/* The live domain with this id, or NULL. Valid until this CPU's next quiescent point (mm/epoch.h).
 */
static inline struct domain *domain_find(domid_t id)
{
	if (unlikely(id > DOMAINS_MAX))
		return NULL;
	struct domain *d = atomic_load_explicit(&domain_table[id], memory_order_acquire);
	return d && likely(atomic_load_explicit(&d->end, memory_order_acquire) == END_NONE) ? d
											    : NULL;
}
/* The domain that frames with this owner are of, ended or half taken apart: it stays for as long as
 * another one has a page of it mapped. NULL if there is none. Valid as from domain_find(). */
struct domain *domain_owning(domid_t id);
/* Calls fn for every live domain, by id, until it returns false. fn may not end a domain. */
void domain_for_each(bool (*fn)(struct domain *d, void *ctx), void *ctx);
/*
 * Declares that a domain has ended; the first reason stays. All its vCPUs leave guest mode, or wake
 * up, and are retired by their CPUs (kernel/sched.c). detail is a small number that says more (a
 * shutdown or exit reason), never a guest's data. Takes the domain's lock.
 */
void domain_end(struct domain *d, enum domain_end why, uint64_t detail);

#endif
