/*
 * The local APIC, as x2APIC where the processor has one, else through its registers in memory.
 *
 * State: which of the two, and where the registers are mapped; written at boot, constant
 * afterwards. Each CPU touches its own APIC only, so there is no lock; the send functions are safe
 * in NMI context but for the wait for an earlier xAPIC message, which is bounded. apic_init() runs
 * on each CPU.
 *
 * Source: SDM Vol. 3, "Advanced Programmable Interrupt Controller (APIC)", "Extended XAPIC
 * (x2APIC)"; Intel 8259A data sheet.
 */
#include "drivers/apic.h"
#include "apic_bits.h"
#include "cpu.h"
#include "drivers/tsc.h"
#include "mm/vmap.h"
#include "percpu.h"
#include "print.h"

#define XAPIC_PAGE   4096u
#define ICR_POLLS    100000u
#define DIVIDE_BY_16 0x3u
#define CALIBRATE_US 1000u
#define TIMER_MS_MAX 1000u /* a longer wait is one of several */

/* The two 8259 interrupt controllers' mask registers. */
#define PIC1_MASK 0x21u
#define PIC2_MASK 0xa1u

static enum { APIC_NONE, APIC_X2, APIC_XAPIC } mode;
static volatile char *registers; /* xAPIC */
static uint64_t timer_khz;	 /* of the one-shot timer; 0: there is the TSC-deadline timer */

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
	const struct cpuid features = cpuid(1, 0);
	void *page;

	if (!(features.edx & CPUID_1_EDX_APIC))
		return false;
	uint64_t base = rdmsr(MSR_IA32_APIC_BASE);
	/* From off to x2APIC there is no direct way. */
	if (!(base & APIC_BASE_ENABLE)) {
		base |= APIC_BASE_ENABLE;
		wrmsr(MSR_IA32_APIC_BASE, base);
	}
	if (features.ecx & CPUID_1_ECX_X2APIC) {
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
	uint32_t count = (read_register(APIC_VERSION) >> APIC_VERSION_MAX_LVT_SHIFT & 0xff) + 1;

	for (uint32_t i = 0; i < count && i < array_size(lvts); i++)
		write_register(lvts[i], APIC_LVT_MASKED);
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
	write_register(APIC_SIVR, APIC_SIVR_ENABLE | APIC_VECTOR_SPURIOUS);
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
		return read_register(APIC_ID) >> APIC_XAPIC_ID_SHIFT;
	default:
		return 0;
	}
}

void apic_eoi(void)
{
	if (mode != APIC_NONE)
		write_register(APIC_EOI, 0);
}

void apic_timer_init(void)
{
	if (mode == APIC_NONE)
		return;
	if (cpuid(1, 0).ecx & CPUID_1_ECX_TSC_DEADLINE) {
		write_register(APIC_LVT_TIMER, APIC_LVT_TIMER_TSC_DEADLINE | APIC_VECTOR_TIMER);
		/* In memory, this write is not ordered before that of the deadline. */
		__asm__ volatile("mfence" : : : "memory");
		return;
	}
	write_register(APIC_DIVIDE, DIVIDE_BY_16);
	if (!timer_khz) {
		write_register(APIC_LVT_TIMER, APIC_LVT_MASKED);
		write_register(APIC_INITIAL_COUNT, UINT32_MAX);
		tsc_delay_us(CALIBRATE_US);
		timer_khz = UINT32_MAX - read_register(APIC_CURRENT_COUNT);
		timer_khz = timer_khz * 1000 / CALIBRATE_US + !timer_khz;
		print(LOG_INFO, "apic: one-shot timer, %lu kHz", timer_khz);
	}
	write_register(APIC_INITIAL_COUNT, 0);
	write_register(APIC_LVT_TIMER, APIC_VECTOR_TIMER);
}

/*
 * One interrupt of APIC_VECTOR_TIMER on this CPU at that time, or somewhat before it if that is
 * far; instead of an earlier one. At once if it has passed.
 */
void apic_timer_arm(uint64_t tsc_deadline)
{
	uint64_t now = rdtsc(), ticks = tsc_deadline > now ? tsc_deadline - now : 1;

	if (mode == APIC_NONE)
		return;
	if (!timer_khz) {
		wrmsr(MSR_IA32_TSC_DEADLINE, tsc_deadline);
		return;
	}
	if (ticks > TIMER_MS_MAX * tsc_khz())
		ticks = TIMER_MS_MAX * tsc_khz();
	write_register(APIC_INITIAL_COUNT, (uint32_t)(ticks * timer_khz / tsc_khz() + 1));
}

static void send(uint32_t to, uint32_t command)
{
	if (mode == APIC_NONE)
		return;
	if (mode == APIC_X2) {
		/* The write of this MSR does not wait for earlier stores by itself. */
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC_ICR, (uint64_t)to << APIC_ICR_DESTINATION_SHIFT | command);
		return;
	}
	for (unsigned i = 0; i < ICR_POLLS && (read_register(APIC_ICR) & APIC_ICR_PENDING); i++)
		__builtin_ia32_pause();
	write_register(APIC_ICR_HIGH, to << APIC_XAPIC_ID_SHIFT);
	write_register(APIC_ICR, command);
}

void apic_send_ipi(uint32_t to, unsigned vector)
{
	assert_always(vector >= VECTOR_COUNT_ARCHITECTURE && vector < APIC_VECTOR_SPURIOUS);
	send(to, APIC_ICR_ASSERT | vector);
}

void apic_send_nmi(uint32_t to)
{
	send(to, APIC_ICR_ASSERT | APIC_ICR_NMI);
}

void apic_send_init(uint32_t to)
{
	send(to, APIC_ICR_ASSERT | APIC_ICR_INIT);
}

void apic_send_startup(uint32_t to, uint8_t page)
{
	send(to, APIC_ICR_ASSERT | APIC_ICR_STARTUP | page);
}
