/*
 * The instructions that C has no word for: control, debug and model-specific registers, ports,
 * CPUID, TLB. One line each, no state. Source: SDM Vol. 2.
 */
#ifndef KEYHOLE_CPU_H
#define KEYHOLE_CPU_H

#include "cpu_bits.h"
#include "types.h"

#define DEFINE_REGISTER_ACCESS(name)                                                \
	static inline uint64_t read_##name(void)                                    \
	{                                                                           \
		uint64_t value;                                                     \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(value) : : "memory"); \
		return value;                                                       \
	}                                                                           \
	static inline void write_##name(uint64_t value)                             \
	{                                                                           \
		__asm__ volatile("mov %0, %%" #name : : "r"(value) : "memory");     \
	}
DEFINE_REGISTER_ACCESS(cr0)
DEFINE_REGISTER_ACCESS(cr2)
DEFINE_REGISTER_ACCESS(cr3)
DEFINE_REGISTER_ACCESS(cr4)
DEFINE_REGISTER_ACCESS(dr0)
DEFINE_REGISTER_ACCESS(dr1)
DEFINE_REGISTER_ACCESS(dr2)
DEFINE_REGISTER_ACCESS(dr3)
DEFINE_REGISTER_ACCESS(dr6)
DEFINE_REGISTER_ACCESS(dr7)
#undef DEFINE_REGISTER_ACCESS

/* Debug registers by number: 0 to 3, 6. */
static inline uint64_t read_dr(unsigned number)
{
	switch (number) {
	case 0:
		return read_dr0();
	case 1:
		return read_dr1();
	case 2:
		return read_dr2();
	case 3:
		return read_dr3();
	}
	return read_dr6();
}

static inline void write_dr(unsigned number, uint64_t value)
{
	switch (number) {
	case 0:
		write_dr0(value);
		break;
	case 1:
		write_dr1(value);
		break;
	case 2:
		write_dr2(value);
		break;
	case 3:
		write_dr3(value);
		break;
	default:
		write_dr6(value);
	}
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

/* One of the basic leaves; zeros if the processor does not have it. */
static inline struct cpuid cpuid_basic(uint32_t leaf)
{
	return leaf <= cpuid(0, 0).eax ? cpuid(leaf, 0) : (struct cpuid){0};
}

/* A random number of the processor's; false where it has none to give. */
static inline bool random_u64(uint64_t *value)
{
	bool got;

	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND))
		return false;
	__asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(got));
	return got;
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

/* Its low half: enough for times below 2^31 ticks. */
static inline uint32_t rdtsc_low(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return low;
}

/* XCR0 (CR4.OSXSAVE must be set) and PKRU (CR4.PKE). */
static inline uint64_t read_xcr0(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

static inline void write_xcr0(uint64_t value)
{
	__asm__ volatile("xsetbv"
			 :
			 : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

static inline uint32_t read_pkru(void)
{
	uint32_t value, high;

	__asm__ volatile("rdpkru" : "=a"(value), "=d"(high) : "c"(0));
	return value;
}

/* Writes a cache line back and drops it. */
static inline void clflush(const void *line)
{
	__asm__ volatile("clflush (%0)" : : "r"(line) : "memory");
}

static inline void invlpg(uint64_t va)
{
	__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

/* Takes the interrupts that wait. */
static inline void cpu_take_interrupts(void)
{
	__asm__ volatile("sti; nop; cli" : : : "memory");
}

/* Sleeps until an interrupt, with interrupts on from the instruction before; off again then. */
static inline void cpu_sleep(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

static inline void clear_qwords(void *to, size_t count)
{
	__asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint16_t in16(uint16_t port)
{
	uint16_t value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

/* Operand of LGDT, LIDT and their counterparts. */
struct descriptor_table {
	uint16_t limit;
	uint64_t base;
} packed_struct;

static inline void read_gdtr(struct descriptor_table *table)
{
	__asm__ volatile("sgdt %0" : "=m"(*table));
}

static inline void read_idtr(struct descriptor_table *table)
{
	__asm__ volatile("sidt %0" : "=m"(*table));
}

/*
 * Base address in the 16-byte system descriptor that a selector names in a GDT
 * (SDM Vol. 3, "TSS Descriptor in 64-bit mode").
 */
static inline uint64_t descriptor_base(const struct descriptor_table *gdt, uint16_t selector)
{
	const uint64_t *d = (const uint64_t *)(gdt->base + (selector & ~7u));

	return (d[0] >> 16 & 0xffffff) | (d[0] >> 56 << 24) | d[1] << 32;
}

#define DEFINE_SELECTOR_READ(name)                                     \
	static inline uint16_t read_##name(void)                       \
	{                                                              \
		uint16_t value;                                        \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(value)); \
		return value;                                          \
	}
DEFINE_SELECTOR_READ(cs)
DEFINE_SELECTOR_READ(ss)
#undef DEFINE_SELECTOR_READ

static inline uint16_t read_tr(void)
{
	uint16_t value;

	__asm__ volatile("str %0" : "=r"(value));
	return value;
}

/*
 * One access that may fault: false, and nothing happened, if it did (page fault or general
 * protection). The places are in the exception table (kernel/traps.c).
 */
static inline bool read_safe(const uint64_t *from, uint64_t *value)
{
	bool done = false;

	__asm__ volatile("1: mov %[from], %[value]\n\t"
			 "movb $1, %[done]\n\t"
			 "2:\n\t"
			 ".pushsection .extable, \"a\"\n\t"
			 ".quad 1b, 2b\n\t"
			 ".popsection"
			 : [value] "=r"(*value), [done] "+r"(done)
			 : [from] "m"(*from)
			 : "memory");
	return done;
}

static inline bool write_safe(uint64_t *to, uint64_t value)
{
	bool done = false;

	__asm__ volatile("1: mov %[value], %[to]\n\t"
			 "movb $1, %[done]\n\t"
			 "2:\n\t"
			 ".pushsection .extable, \"a\"\n\t"
			 ".quad 1b, 2b\n\t"
			 ".popsection"
			 : [to] "=m"(*to), [done] "+r"(done)
			 : [value] "r"(value)
			 : "memory");
	return done;
}

/* Stops this CPU for good. */
noreturn_fn static inline void cpu_halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" : : : "memory");
}

#endif
