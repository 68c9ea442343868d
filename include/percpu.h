/*
 * What belongs to one processor, in two halves.
 *
 * struct cpu_private lies in the CPU's private range, reached through GS, and is mapped nowhere
 * else. struct cpu_shared is what other CPUs may read or write; it lies in the image's data and
 * holds nothing that derives from a guest.
 */
#ifndef KEYHOLE_PERCPU_H
#define KEYHOLE_PERCPU_H

#include "layout.h"
#include "types.h"
#include <stdatomic.h>

struct lock;
struct trace_ring;
struct vcpu_shared;

/* Bits of cpu_shared.entry_work: what must be looked at before the next VM entry. */
#define ENTRY_WORK_EPT_FLUSH  0x01u /* the generation of the current domain's p2m has moved */
#define ENTRY_WORK_EPOCH      0x02u /* something deferred may be due */
#define ENTRY_WORK_RESCHEDULE 0x04u /* the slice is over, or the vCPU yielded */
#define ENTRY_WORK_VCPU	      0x08u /* the current vCPU has a request, an interrupt, or has ended */
#define ENTRY_WORK_TIMER      0x10u /* a timer is due, or the next one is another */
#define ENTRY_WORK_HOST_FLUSH 0x20u /* a shared mapping was removed: drop translations */
#define ENTRY_WORK_L1D_FLUSH  0x80u /* another domain's memory was open (barriers.h) */
#define ENTRY_WORK_KICKED     0x40u /* by cpu_kick(): an IPI was sent, or none is needed */
/*
 * No work: the CPU is in guest mode, or about to enter, or has left it for a moment. Set by the
 * compare-and-swap that finds no work, so that who adds work learns from the same locked operation
 * whether to send an IPI. In a byte of its own, which the CPU clears by a plain store.
 */
#define ENTRY_IN_GUEST	    0x01000000u
#define ENTRY_IN_GUEST_BYTE 3

struct cpu_shared {
	union {
		_Atomic uint32_t entry_work;
		_Atomic uint8_t entry_work_bytes[4];
	};
	_Atomic uint64_t epoch; /* the global epoch seen at this CPU's last quiescent point */
	uint32_t apic_id;
	_Atomic bool idle; /* asleep, and thereby quiescent (kernel/smp.c) */
	_Atomic bool online;
	_Atomic bool runs_guests; /* in VMX operation: constant once guests exist */
	struct trace_ring *trace; /* constant while trace_enabled (trace.h) */
} aligned_to(64);

extern struct cpu_shared cpu_shared[LAYOUT_CPUS_MAX];

/*
 * Gives CPU cpu work (ENTRY_WORK_*), and makes it look at it soon: an IPI if it is in guest mode or
 * asleep, none if it is in root mode, since it looks before it enters, and none while an earlier
 * one is on its way. Waits for nobody; any lock may be held. kernel/smp.c.
 */
void cpu_kick(uint32_t cpu, uint32_t work);

/* The 64-bit task-state segment. Source: SDM Vol. 3, "Task Management in 64-bit Mode". */
struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_map_base;
} packed_struct;
static_assert_size(struct tss, 104);

/* A leaf table of a p2m, as long as that p2m's tables are the same (p2m.h). */
struct p2m_leaf {
	uint64_t *entries, *link;
	uint64_t first, count; /* in gfns; count 0: none is at hand */
	uint64_t tables;       /* the p2m's */
};
#define P2M_LEAVES	   4u
#define WINDOW_CACHE_SLOTS 64u
#define LOCKS_HELD_MAX	   8u
#define CONSOLE_INPUT_SIZE 256u /* characters */
#define PRINT_LATER_SIZE   4096u

struct cpu_private {
	struct cpu_private *self; /* must be first: read as gs:0 */
	uint64_t run_stack;	  /* vmx/entry.S: the stack's depth while a guest runs */
	bool vmcs_launched;	  /* vmx/entry.S: VMRESUME, else VMLAUNCH */
	uint32_t trace_begin;	  /* vmx/entry.S: time of a traced exit */
	uint32_t index;
	struct cpu_shared *shared;   /* this CPU's other half */
	struct vcpu_shared *current; /* vCPU whose secret is mapped here, or NULL */
	uint64_t slice_end;	     /* time-stamp counter: from then on the vCPU gives way */
	struct trace_ring *trace;    /* the ring of struct cpu_shared, for vmx/exit_trace.c */
	uint32_t event_time;   /* low half: the end of the slice, or an earlier timer of this CPU */
	uint64_t window_base;  /* address of slot 0 */
	uint64_t *window_ptes; /* the window's 512 entries */
	uint64_t *window_pd_2m;	      /* the page-directory entry of the 2 MiB slot */
	uint64_t window_open_mask;    /* bit s: fixed slot s is open */
	uint64_t window_cache_state;  /* mm/window_cache.c: of frames that may stay open; 0: none */
	uint64_t window_cache_filled; /* bit s: cached slot s is open */
	uint64_t window_cache_frame[WINDOW_CACHE_SLOTS]; /* the frame that it shows */
	/* vmx/ept_tables.h: leaf tables used last, each by the low bits of its number */
	struct p2m_leaf leaves[P2M_LEAVES];
	uint64_t *private_pt;	 /* the table that maps the first 2 MiB of the private range */
	mfn_t root;		 /* top-level page table */
	mfn_t vmxon;		 /* VMXON region */
	uint64_t barrier_domain; /* vmx/barriers.c: tsc_offset of the domain last loaded */
	/* kernel/traps.c */
	uint64_t gdt[5]; /* null, code, data, TSS (two) */
	struct tss tss;
	uint64_t nmis;		   /* that no panic sent */
	uint64_t stray_interrupts; /* for which there was no handler */
	/* kernel/console_input.c: what was typed and not yet handed on */
	uint32_t input_written, input_read; /* characters, ever */
	char input[CONSOLE_INPUT_SIZE];
	/* kernel/print_later.c: what waits to be printed */
	bool prints_later, later_open;	    /* later_open: the first of a line is out */
	uint32_t later_written, later_read; /* characters, ever */
	char later[PRINT_LATER_SIZE];
#ifdef CONFIG_TEST
	struct lock *locks_held[LOCKS_HELD_MAX]; /* selftest/lock_order.c, by rank */
	uint32_t locks_held_count;
#endif
};

#ifdef KEYHOLE_HOST_TEST
extern _Thread_local struct cpu_private test_cpu;
static inline struct cpu_private *this_cpu(void)
{
	return &test_cpu;
}
#else
static inline struct cpu_private *this_cpu(void)
{
	struct cpu_private *cpu;
	__asm__("mov %%gs:0, %0" : "=r"(cpu));
	return cpu;
}
#endif

/* One field of this CPU's private half, read without the pointer to it. */
#if defined(KEYHOLE_HOST_TEST)
#define this_cpu_field(field) (this_cpu()->field)
#else
#define this_cpu_field(field)                                                 \
	__extension__({                                                       \
		__typeof__(this_cpu()->field) field_;                         \
		__asm__ volatile("mov %%gs:%c1, %0"                           \
				 : "=r"(field_)                               \
				 : "i"(offsetof(struct cpu_private, field))); \
		field_;                                                       \
	})
#endif

static inline uint32_t cpu_index(void)
{
#ifdef KEYHOLE_HOST_TEST
	return this_cpu()->index;
#else
	uint32_t index;
	__asm__("mov %%gs:%c1, %0" : "=r"(index) : "i"(offsetof(struct cpu_private, index)));
	return index;
#endif
}
static inline struct cpu_shared *this_cpu_shared(void)
{
	return &cpu_shared[cpu_index()];
}

#endif
