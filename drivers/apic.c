/*
 * The local APIC, as x2APIC where the processor has one, else through its registers in memory.
 *
 * State: which of the two, and where the registers are mapped; written at boot, constant
 * afterwards. Each CPU touches its own APIC only, so there is no lock; the send functions are safe
 * in NMI context but for the wait for an earlier xAPIC message, which is bounded.
 * Ready for many CPUs: apic_init() on each.
 *
 * Source: SDM Vol. 3, "Advanced Programmable Interrupt Controller (APIC)", "Extended XAPIC
 * (x2APIC)"; Intel 8259A data sheet.
 */
#include "drivers/apic.h"
#include "cpu.h"
#include "mm/vmap.h"
#include "percpu.h"
#include "print.h"

/* Registers: offsets in the page; an MSR is found from them. */
#define APIC_ID		 0x020u
#define APIC_VERSION	 0x030u
#define APIC_TPR	 0x080u
#define APIC_EOI	 0x0b0u
#define APIC_SIVR	 0x0f0u
#define APIC_ESR	 0x280u
#define APIC_LVT_CMCI	 0x2f0u
#define APIC_ICR	 0x300u
#define APIC_ICR_HIGH	 0x310u
#define APIC_LVT_TIMER	 0x320u
#define APIC_LVT_THERMAL 0x330u
#define APIC_LVT_PMI	 0x340u
#define APIC_LVT_LINT0	 0x350u
#define APIC_LVT_LINT1	 0x360u
#define APIC_LVT_ERROR	 0x370u

#define SIVR_ENABLE	      0x100u
#define LVT_MASKED	      0x10000u
#define VERSION_MAX_LVT_SHIFT 16
#define ICR_NMI		      0x00400u
#define ICR_INIT	      0x00500u
#define ICR_STARTUP	      0x00600u
#define ICR_PENDING	      0x01000u /* xAPIC only */
#define ICR_ASSERT	      0x04000u
#define ICR_DESTINATION_SHIFT 32
#define XAPIC_ID_SHIFT	      24
#define XAPIC_PAGE	      4096u
#define ICR_POLLS	      100000u

/* The two 8259 interrupt controllers' mask registers. */
#define PIC1_MASK 0x21u
#define PIC2_MASK 0xa1u

static enum { APIC_NONE, APIC_X2, APIC_XAPIC } mode;
static volatile char *registers; /* xAPIC */

static uint32_t read_register(uint32_t offset)
{
	if (mode == APIC_X2)
		return (uint32_t)rdmsr(MSR_X2APIC_FIRST + (offset >> 4));
	return *(volatile uint32_t *)(registers + offset);
}

static void write_register(uint32_t offset, uint32_t value)
{
	if (mode == APIC_X2)
		wrmsr(MSR_X2APIC_FIRST + (offset >> 4), value);
	else
		*(volatile uint32_t *)(registers + offset) = value;
}

/* Switches the APIC itself on, in the better mode; false if there is none. */
static bool enable(void)
{
	uint32_t a, b, c, d;
	void *page;

	cpuid(1, 0, &a, &b, &c, &d);
	if (!(d & CPUID_1_EDX_APIC))
		return false;
	uint64_t base = rdmsr(MSR_IA32_APIC_BASE);
	/* From off to x2APIC there is no direct way. */
	if (!(base & APIC_BASE_ENABLE)) {
		base |= APIC_BASE_ENABLE;
		wrmsr(MSR_IA32_APIC_BASE, base);
	}
	if (c & CPUID_1_ECX_X2APIC) {
		wrmsr(MSR_IA32_APIC_BASE, base | APIC_BASE_X2APIC);
		mode = APIC_X2;
		return true;
	}
	/* All CPUs have theirs at the same physical address. */
	if (!registers) {
		int rc =
		    vmap_map_device(make_paddr(base & APIC_BASE_ADDRESS_MASK), XAPIC_PAGE, &page);
		if (rc) {
			print(LOG_WARN, "apic: its registers could not be mapped, error %d", -rc);
			return false;
		}
		registers = page;
	}
	mode = APIC_XAPIC;
	return true;
}

static void mask_local_sources(void)
{
	/* In the order in which processors gained them. */
	static const uint16_t lvts[] = {APIC_LVT_TIMER, APIC_LVT_LINT0, APIC_LVT_LINT1,
					APIC_LVT_ERROR, APIC_LVT_PMI,	APIC_LVT_THERMAL,
					APIC_LVT_CMCI};
	uint32_t count = (read_register(APIC_VERSION) >> VERSION_MAX_LVT_SHIFT & 0xff) + 1;

	for (uint32_t i = 0; i < count && i < array_size(lvts); i++)
		write_register(lvts[i], LVT_MASKED);
}

void apic_init(void)
{
	out8(PIC1_MASK, 0xff);
	out8(PIC2_MASK, 0xff);
	if (!enable()) {
		print(LOG_WARN, "apic: this processor has no local APIC that can be used");
		return;
	}
	mask_local_sources();
	write_register(APIC_TPR, 0);
	write_register(APIC_SIVR, SIVR_ENABLE | APIC_VECTOR_SPURIOUS);
	write_register(APIC_ESR, 0);
	this_cpu_shared()->apic_id = apic_id();
	print(LOG_INFO, "cpu%u: %s, id %u", cpu_index(), mode == APIC_X2 ? "x2APIC" : "xAPIC",
	      apic_id());
}

uint32_t apic_id(void)
{
	switch (mode) {
	case APIC_X2:
		return read_register(APIC_ID);
	case APIC_XAPIC:
		return read_register(APIC_ID) >> XAPIC_ID_SHIFT;
	default:
		return 0;
	}
}

void apic_eoi(void)
{
	if (mode != APIC_NONE)
		write_register(APIC_EOI, 0);
}

static void send(uint32_t to, uint32_t command)
{
	if (mode == APIC_NONE)
		return;
	if (mode == APIC_X2) {
		/* The write of this MSR does not wait for earlier stores by itself. */
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC_ICR, (uint64_t)to << ICR_DESTINATION_SHIFT | command);
		return;
	}
	for (unsigned i = 0; i < ICR_POLLS && (read_register(APIC_ICR) & ICR_PENDING); i++)
		__builtin_ia32_pause();
	write_register(APIC_ICR_HIGH, to << XAPIC_ID_SHIFT);
	write_register(APIC_ICR, command);
}

void apic_send_ipi(uint32_t to, unsigned vector)
{
	assert_always(vector >= VECTOR_COUNT_ARCHITECTURE && vector < APIC_VECTOR_SPURIOUS);
	send(to, ICR_ASSERT | vector);
}

void apic_send_nmi(uint32_t to)
{
	send(to, ICR_ASSERT | ICR_NMI);
}

void apic_send_init(uint32_t to)
{
	send(to, ICR_ASSERT | ICR_INIT);
}

void apic_send_startup(uint32_t to, uint8_t page)
{
	send(to, ICR_ASSERT | ICR_STARTUP | page);
}
