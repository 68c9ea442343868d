/*
 * The local APIC of a vCPU, as the processor describes its own: registers by MSR (x2APIC) and by
 * memory (xAPIC), timer, interprocessor interrupts.
 *
 * State: struct vlapic, the third secret frame of the vCPU. Its first KiB is laid out as the
 * processor's virtual-APIC page; what follows the processor never looks at. Only the CPU on which
 * the vCPU is loaded touches it, so there is no lock. What other vCPUs must know or leave here lies
 * in struct vcpu_shared as atomic words: apic_route, posted, requests.
 *
 * Pure logic: what it needs of the machine is listed at the end; unit tests bring their own.
 *
 * Sources: SDM Vol. 3, "Advanced Programmable Interrupt Controller (APIC)"; "APIC Virtualization
 * and Virtual Interrupts" for the layout.
 */
#ifndef KEYHOLE_VMX_VLAPIC_H
#define KEYHOLE_VMX_VLAPIC_H

#include "apic_bits.h"
#include "cpu_bits.h"
#include "types.h"
#include "vcpu.h"
#include "vmx/vmx.h"

/* What the version register says: 6 entries of the local vector table, no suppression of the
 * broadcast of EOIs. */
#define VLAPIC_VERSION 0x50014u

#define VLAPIC_NO_VECTOR (-1)

struct vlapic {
	struct {
		uint32_t value, unused[3];
	} reg[APIC_PAGE_END >> 4];
	uint8_t unused[PAGE_SIZE / 2 - APIC_PAGE_END]; /* of the virtual-APIC page */
	uint64_t base;				       /* IA32_APIC_BASE */
	uint64_t tsc_offset;   /* guest's TSC minus the machine's; set by vlapic_set_tsc_offset() */
	uint64_t tsc_deadline; /* IA32_TSC_DEADLINE: the guest's TSC, or 0 */
	uint64_t timer_start;  /* machine's TSC when the count began */
	uint64_t timer_ticks;  /* of the machine's TSC that it takes; 0: not counting */
	uint32_t id;
	uint32_t errors; /* since the error register was written last */
	bool error_reported;
	uint8_t nmis;	  /* NMIs that wait: two, until one is in its handler */
	bool upcall;	  /* the domain's callback vector is to be delivered */
	bool halted;	  /* in HLT: waits for an event */
	bool virtualized; /* the processor delivers interrupts: vmx/apicv.c */
	uint8_t windows;  /* exits that vmx/events.c has asked for */
	uint8_t lowest;	  /* the vCPU that the last lowest-priority IPI went to */
	uint8_t rest[PAGE_SIZE / 2 - 5 * 8 - 2 * 4 - 7];
};
static_assert_size(struct vlapic, PAGE_SIZE);

/* The local APIC's clock: one tick in 2^shift of the TSC. Intervals of the periodic timer shorter
 * than min_ticks (of the TSC) are made that long. Constant after boot. */
struct vlapic_clock {
	unsigned shift;
	uint64_t min_ticks;
};
extern struct vlapic_clock vlapic_clock;
/* From the TSC's rate. */
void vlapic_clock_init(uint64_t tsc_khz);

/* struct vcpu_shared.apic_route: the logical destination register below; then these. */
#define VLAPIC_ROUTE_SOFTWARE  BIT64(32) /* enabled by the spurious-vector register */
#define VLAPIC_ROUTE_ENABLED   BIT64(33) /* by IA32_APIC_BASE */
#define VLAPIC_ROUTE_X2	       BIT64(34)
#define VLAPIC_ROUTE_DFR_SHIFT 60

/* The state after a reset, of the vCPU with this number. */
void vlapic_reset(struct vlapic *a, uint32_t id);
/* After INIT: as after a reset, but for the mode and the base address. Source: SDM Vol. 3, "Local
 * APIC State After Power-Up or Reset". */
void vlapic_init(struct vlapic *a);

/* MSRs of the x2APIC (0x800 to 0x8ff), IA32_APIC_BASE and IA32_TSC_DEADLINE. False: #GP(0). */
bool vlapic_msr_read(struct vlapic *a, uint32_t msr, uint64_t *value);
bool vlapic_msr_write(struct vlapic *a, uint32_t msr, uint64_t value);

/*
 * The registers in memory: offset in the page that IA32_APIC_BASE names, size 1, 2 or 4 bytes.
 * Reads may be of any part of a register; only whole registers are written, other writes have no
 * effect. Reading false: the APIC is not in xAPIC mode, there is nothing at this address.
 */
bool vlapic_registers_read(struct vlapic *a, uint32_t offset, unsigned size, uint32_t *out);
void vlapic_registers_write(struct vlapic *a, uint32_t offset, unsigned size, uint32_t value);

/* A vector for this APIC, from its own table or an IPI; dropped while it is disabled. */
void vlapic_raise(struct vlapic *a, unsigned vector);
/* Takes over what other CPUs have posted. */
void vlapic_collect(struct vlapic *a, struct vcpu_shared *v);
/* The interrupt that the processor would take next with interrupts enabled, or VLAPIC_NO_VECTOR. */
int vlapic_pending(const struct vlapic *a);
/* The highest vector requested, whether its priority suffices or not, or VLAPIC_NO_VECTOR. */
int vlapic_highest_requested(const struct vlapic *a);
int vlapic_highest_in_service(const struct vlapic *a);
/* It has been taken: from requested to in service. */
void vlapic_accept(struct vlapic *a, unsigned vector);
uint32_t vlapic_ppr(const struct vlapic *a);
void vlapic_eoi(struct vlapic *a);
void vlapic_error(struct vlapic *a, uint32_t error);
/* Number and logical number as the mode has them. */
void vlapic_set_ids(struct vlapic *a);

/* Timer, vmx/vlapic_timer.c. Raises what is due. */
void vlapic_timer_poll(struct vlapic *a);
void vlapic_timer_disarm(struct vlapic *a);
/* Tells vlapic_timer_set() when it is due next. */
void vlapic_timer_arm(const struct vlapic *a);
uint32_t vlapic_timer_count(const struct vlapic *a);
void vlapic_timer_start(struct vlapic *a, uint32_t count);
void vlapic_timer_divide(struct vlapic *a, uint32_t divide);
void vlapic_timer_mode(struct vlapic *a, uint32_t lvt);
void vlapic_set_deadline(struct vlapic *a, uint64_t deadline);
uint64_t vlapic_get_deadline(const struct vlapic *a);
void vlapic_set_tsc_offset(struct vlapic *a, uint64_t offset);

/* Interprocessor interrupts, vmx/vlapic_ipi.c. destination: as wide as the mode has it. */
void vlapic_send(struct vlapic *a, uint32_t command, uint32_t destination);
void vlapic_publish_route(const struct vlapic *a);

/* An NMI for this APIC's vCPU. */
void vlapic_nmi(struct vlapic *a);

/* What the model needs of the machine, for the current vCPU: the time-stamp counter, the width of
 * physical addresses, and a timer that fires at that time (0: none) and has it look. */
uint64_t vlapic_now(void);
unsigned vlapic_physical_bits(void);
void vlapic_timer_set(uint64_t tsc);

/* vmx/events.c: registers in memory of the current vCPU, if that address is in their page. */
bool vlapic_is_at(gpa_t gpa);
void vlapic_mmio_read(uint32_t offset, unsigned size_bytes, uint32_t *out);
void vlapic_mmio_write(uint32_t offset, unsigned size_bytes, uint32_t value);

static inline uint32_t *vlapic_reg(struct vlapic *a, uint32_t offset)
{
	return &a->reg[offset >> 4].value;
}
static inline uint32_t vlapic_get(const struct vlapic *a, uint32_t offset)
{
	return a->reg[offset >> 4].value;
}
static inline bool vlapic_is_x2(const struct vlapic *a)
{
	return a->base & APIC_BASE_X2APIC;
}
static inline bool vlapic_is_xapic(const struct vlapic *a)
{
	return (a->base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_ENABLE;
}
/* That of the current vCPU. */
static inline struct vlapic *vlapic_current(void)
{
	return (struct vlapic *)vmx_secret()->apic;
}
static inline bool vlapic_software_enabled(const struct vlapic *a)
{
	return a->base & APIC_BASE_ENABLE && vlapic_get(a, APIC_SIVR) & APIC_SIVR_ENABLE;
}

#endif
