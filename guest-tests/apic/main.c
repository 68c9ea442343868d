/*
 * apic: the local APIC by memory and by its MSRs: modes, registers, priorities, when an interrupt
 * is taken; the time-stamp counter that is the guest's own; the MSRs that belong to all this.
 */
#include "apic.h"

#define RFLAGS_IF 0x200ul
#define LOW	  0x41
#define HIGH	  0x72

static volatile unsigned count_low, count_high, order, errors;
static volatile uint64_t low_saw_isr;
static volatile bool nest;

INTERRUPT on_low(struct interrupt_frame *frame)
{
	(void)frame;
	count_low++;
	low_saw_isr = apic_bit(X2_ISR, LOW);
	if (nest) {
		wrmsr(X2_SELF_IPI, HIGH);
		wrmsr(X2_SELF_IPI, LOW + 1); /* of the same class: has to wait */
		INTERRUPTS_FOR(;);
		order = count_high * 10 + errors;
	}
	apic_eoi();
}
INTERRUPT on_high(struct interrupt_frame *frame)
{
	(void)frame;
	count_high++;
	apic_eoi();
}
INTERRUPT on_error(struct interrupt_frame *frame)
{
	(void)frame;
	errors++;
	apic_eoi();
}

static bool gp(struct trap t)
{
	return t.vector == VECTOR_GP && t.error == 0;
}
#define ok_gp(statement, ...) tap_ok(gp(TRAP(statement)), __VA_ARGS__)

/* --- by memory: xAPIC ------------------------------------------------------------------------ */

#define XAPIC	    0xfee00000ul
#define MOVED	    0xd0000000ul /* where there is no RAM */
#define AT_ID	    0x020
#define AT_VERSION  0x030
#define AT_TPR	    0x080
#define AT_EOI	    0x0b0
#define AT_LDR	    0x0d0
#define AT_SIVR	    0x0f0
#define AT_ESR	    0x280
#define AT_ICR	    0x300
#define AT_ICR_HIGH 0x310
#define ICR_SELF    0x40000u

static unsigned long xapic_page = XAPIC;

static volatile uint32_t *at(unsigned offset)
{
	return (volatile uint32_t *)(xapic_page + offset);
}
INTERRUPT on_xapic(struct interrupt_frame *frame)
{
	(void)frame;
	count_low++;
	*at(AT_EOI) = 0;
}

static void by_memory(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);
	uint32_t value;

	interrupt_set(LOW, on_xapic);
	tap_is(*at(AT_ID), 0, "xAPIC: id");
	tap_is(*at(AT_VERSION), 0x50014, "version");
	tap_is(*(volatile uint8_t *)at(AT_VERSION), 0x14, "of which a byte can be read");
	__asm__ volatile("movabs 0xfee00030, %0" : "=a"(value)); /* AT_VERSION */
	tap_is(value, 0x50014, "by another instruction");
	*at(AT_SIVR) = 0x1ff;
	tap_is(*at(AT_SIVR), 0x1ff, "enabled");
	*at(AT_TPR) = 0x20;
	*at(AT_TPR) |= 0x100f;
	tap_is(*at(AT_TPR), 0x2f, "read, changed, written");
	*at(AT_TPR) = 0;
	*at(AT_LDR) = 0x02000000;
	*at(AT_ICR) = ICR_SELF | LOW;
	INTERRUPTS_FOR(;);
	tap_is(count_low, 1, "an interrupt to oneself");
	*at(AT_ICR_HIGH) = 0x02000000;
	*at(AT_ICR) = ICR_LOGICAL | LOW;
	INTERRUPTS_FOR(;);
	tap_is(count_low, 2, "by logical destination, after an EOI by memory");
	*at(AT_ICR) = ICR_LOGICAL | LOW;
	sleep_once();
	tap_is(count_low, 3, "it ends HLT");
	tap_is(*at(0x3f0), 0, "a register that is not there");
	*at(AT_ESR) = 0;
	tap_is(*at(AT_ESR), 0x80, "is an error");
	wrmsr(MSR_APIC_BASE, MOVED | (base & 0xfff));
	xapic_page = MOVED;
	tap_is(*at(AT_VERSION), 0x50014, "moved to another page");
	wrmsr(MSR_APIC_BASE, base);
	xapic_page = XAPIC;
	tap_is(*at(AT_SIVR), 0x1ff, "and back");
	count_low = 0;
}

/* --- x2APIC -------------------------------------------------------------------------------------
 */

static void modes(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	tap_is(base, 0xfee00000 | APIC_BASE_ON | APIC_BASE_BSP, "enabled, bootstrap processor");
	tap_ok(cpuid(1, 0).edx >> 9 & 1 && cpuid(1, 0).ecx >> 21 & 1 && cpuid(1, 0).ecx >> 24 & 1,
	       "CPUID: APIC, x2APIC, TSC deadline");
	tap_ok(cpuid(6, 0).eax >> 2 & 1, "its timer never stops");
	ok_gp(rdmsr(X2_ID), "no x2APIC registers in xAPIC mode");
	ok_gp(wrmsr(MSR_APIC_BASE, base | 1), "a reserved bit of the base");
	ok_gp(wrmsr(MSR_APIC_BASE, (base & ~(uint64_t)APIC_BASE_ON) | APIC_BASE_X2),
	      "x2APIC, but not enabled");
	wrmsr(MSR_APIC_BASE, base & ~(uint64_t)APIC_BASE_ON);
	tap_ok(!(cpuid(1, 0).edx >> 9 & 1), "switched off, CPUID has none");
	ok_gp(wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2), "from off to x2APIC");
	wrmsr(MSR_APIC_BASE, base);
	apic_enable();
	tap_is(rdmsr(MSR_APIC_BASE), base | APIC_BASE_X2, "x2APIC mode");
	ok_gp(wrmsr(MSR_APIC_BASE, base), "not back to xAPIC");
	tap_is(rdmsr(X2_ID), cpuid(0xb, 0).edx, "the id is CPUID's");
	tap_is(cpuid(1, 0).ebx >> 24, rdmsr(X2_ID), "also that of leaf 1");
	tap_is(rdmsr(X2_VERSION), 0x50014, "version");
	tap_is(rdmsr(X2_LDR), 1, "logical id");
	ok_gp(wrmsr(X2_ID, 0), "the id is read-only");
	ok_gp(wrmsr(X2_TPR, 0x100), "a reserved bit of the priority");
	ok_gp(wrmsr(X2_EOI, 1), "EOI of something else than 0");
	ok_gp(rdmsr(X2_EOI), "EOI cannot be read");
	ok_gp(rdmsr(X2_SELF_IPI), "nor the self-IPI register");
	ok_gp(rdmsr(0x80e), "there is no destination format");
	ok_gp(rdmsr(0x8ff), "nor anything at the end");
	ok_gp(wrmsr(X2_ICR, 1ull << 20), "a reserved bit of the command");
}

static void taken(void)
{
	interrupt_set(LOW, on_low);
	interrupt_set(LOW + 1, on_error);
	interrupt_set(HIGH, on_high);
	wrmsr(X2_SELF_IPI, LOW);
	tap_ok(apic_bit(X2_IRR, LOW) && !count_low, "interrupts off: requested, not taken");
	INTERRUPTS_FOR(;);
	tap_ok(count_low == 1 && !apic_bit(X2_IRR, LOW), "on: taken");
	tap_ok(low_saw_isr && !apic_bit(X2_ISR, LOW), "in service meanwhile");
	wrmsr(X2_SELF_IPI, LOW);
	wrmsr(X2_SELF_IPI, LOW);
	wrmsr(X2_SELF_IPI, HIGH);
	INTERRUPTS_FOR(;);
	tap_ok(count_low == 2 && count_high == 1, "two of the same are one");
	/* STI keeps interrupts off for one instruction more. */
	wrmsr(X2_SELF_IPI, LOW);
	__asm__ volatile("sti; cli" : : : "memory");
	tap_is(count_low, 2, "not between STI and CLI");
	__asm__ volatile("sti; nop; cli" : : : "memory");
	tap_is(count_low, 3, "but one instruction later");
	/* MOV SS does, too. */
	unsigned long ip_after;
	wrmsr(X2_SELF_IPI, LOW);
	interrupts_off();
	__asm__ volatile("sti; mov %1, %%ss; nop; cli; lea 0(%%rip), %0"
			 : "=r"(ip_after)
			 : "r"(0x10)
			 : "memory");
	tap_is(count_low, 4, "nor right behind MOV SS, but then");
	/* By priority. */
	wrmsr(X2_TPR, 0x40);
	wrmsr(X2_SELF_IPI, LOW);
	wrmsr(X2_SELF_IPI, HIGH);
	INTERRUPTS_FOR(;);
	tap_ok(count_low == 4 && count_high == 2, "the task priority keeps a class away");
	unsigned long cr8;
	__asm__ volatile("mov %%cr8, %0" : "=r"(cr8));
	tap_is(cr8, 4, "CR8 is its upper half");
	interrupts_on();
	__asm__ volatile("mov %0, %%cr8" : : "r"(3ul) : "memory");
	__asm__ volatile("nop; nop");
	interrupts_off();
	tap_is(count_low, 5, "lowered by CR8: it comes at once");
	tap_is(rdmsr(X2_TPR), 0x30, "which is the same register");
	ok_gp(__asm__ volatile("mov %0, %%cr8" : : "r"(16ul)), "a reserved bit of CR8");
	wrmsr(X2_TPR, 0);
	/* By the command register, which the hypervisor reads. */
	wrmsr(X2_TPR, 0xf0);
	wrmsr(X2_ICR, ICR_SELF | LOW);
	wrmsr(X2_ICR, ICR_SELF | HIGH);
	INTERRUPTS_FOR(;);
	tap_is(count_low * 10 + count_high, 52, "all masked: nothing comes");
	interrupts_on();
	wrmsr(X2_TPR, 0x40);
	__asm__ volatile("nop; nop");
	unsigned between = count_low * 10 + count_high;
	wrmsr(X2_TPR, 0);
	__asm__ volatile("nop; nop");
	interrupts_off();
	tap_is(between, 53, "the priority lowered: the higher one does");
	tap_is(count_low * 10 + count_high, 63, "lowered again: the other one");
	nest = true;
	wrmsr(X2_SELF_IPI, LOW);
	INTERRUPTS_FOR(__asm__ volatile("nop; nop"));
	nest = false;
	tap_is(order, 40, "a higher class interrupts a handler, its own does not");
	tap_is(errors, 1, "but comes then");
}

static void costs(void)
{
	uint64_t start, with = ~0ull;

	for (unsigned i = 0; i < 8; i++) {
		start = rdtsc();
		wrmsr(X2_SELF_IPI, HIGH);
		INTERRUPTS_FOR(;);
		if (rdtsc() - start < with)
			with = rdtsc() - start;
	}
	printf("# an interrupt to oneself, with its EOI: %lu ticks\n", (unsigned long)with);
}

static void halts(void)
{
	unsigned before = count_low;

	wrmsr(X2_SELF_IPI, LOW);
	sleep_once();
	tap_is(count_low, before + 1, "HLT ends with what was requested before");
	/* The spurious-vector register switches all off. */
	wrmsr(X2_SIVR, 0xff);
	wrmsr(X2_SELF_IPI, LOW);
	tap_ok(!apic_bit(X2_IRR, LOW), "disabled by software: nothing comes");
	wrmsr(X2_LVT_ERROR, LOW);
	tap_is(rdmsr(X2_LVT_ERROR), LVT_MASKED | LOW, "and entries stay masked");
	wrmsr(X2_SIVR, 0x1ff);
	wrmsr(X2_LVT_ERROR, LOW + 1);
	errors = 0;
	wrmsr(X2_SELF_IPI, 3);
	INTERRUPTS_FOR(;);
	tap_is(errors, 1, "an illegal vector raises the error interrupt");
	tap_is(rdmsr(X2_ESR), 0, "its register");
	wrmsr(X2_ESR, 0);
	tap_is(rdmsr(X2_ESR), 0x60, "tells why after a write");
	wrmsr(X2_LVT_ERROR, LVT_MASKED);
}

static void tsc(void)
{
	uint64_t start = rdtsc(), adjust, later;

	tap_ok(start < tsc_us(60000000), "the time-stamp counter began near 0");
	tap_is(rdmsr(MSR_TSC_ADJUST), 0, "nothing adjusted");
	wrmsr(MSR_TSC_ADJUST, 1ull << 40);
	later = rdtsc();
	tap_ok(later - start > 1ull << 40 && later - start < (1ull << 40) + tsc_us(1000000),
	       "TSC_ADJUST moves it");
	tap_ok(rdmsr(MSR_TSC) >= later, "RDMSR reads the same clock");
	wrmsr(MSR_TSC, 0);
	later = rdtsc();
	tap_ok(later < tsc_us(1000000), "it can be written");
	adjust = rdmsr(MSR_TSC_ADJUST);
	tap_ok((int64_t)adjust < 0 || adjust < 1ull << 40, "which TSC_ADJUST shows");
	wrmsr(MSR_TSC_ADJUST, 0);
	tap_ok(rdtsc() - start < tsc_us(60000000), "and undoes");
}

static void mtrrs(void)
{
	tap_ok(cpuid(1, 0).edx >> 12 & 1, "CPUID: MTRRs");
	tap_is(rdmsr(0xfe), 0x508, "eight ranges, fixed ones, write-combining");
	tap_is(rdmsr(0x2ff), 0x806, "enabled: all is write-back");
	wrmsr(0x200, 0x80000006);
	wrmsr(0x201, 0x7f80000800);
	wrmsr(0x26f, 0x0605040100060606);
	wrmsr(0x2ff, 0xc06);
	tap_ok(rdmsr(0x200) == 0x80000006 && rdmsr(0x201) == 0x7f80000800 &&
		   rdmsr(0x26f) == 0x0605040100060606 && rdmsr(0x2ff) == 0xc06,
	       "they hold what is written");
	ok_gp(wrmsr(0x2ff, 0xc02), "a reserved type");
	ok_gp(wrmsr(0x250, 0x07), "another");
	ok_gp(wrmsr(0x201, 1), "a reserved bit");
	ok_gp(wrmsr(0xfe, 0), "the capabilities are read-only");
	ok_gp(rdmsr(0x210), "there is no ninth range");
	tap_is(rdmsr(0x179), 0, "no machine-check banks");
	ok_gp(rdmsr(0x400), "indeed");
	uint64_t misc = rdmsr(0x1a0);
	wrmsr(0x1a0, misc);
	tap_is(rdmsr(0x1a0), misc, "MISC_ENABLE can be written back");
	ok_gp(wrmsr(0x1a0, misc | 1ull << 1), "but no reserved bit set");
}

int main(void)
{
	by_memory();
	modes();
	taken();
	costs();
	halts();
	tsc();
	mtrrs();
	tap_done();
}
