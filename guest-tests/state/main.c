/*
 * state: two guests with different `seed=` run side by side, each with its own values in every
 * register that a vCPU has, and look at them again after each of many switches between them. A
 * register that is shared, lost or mixed up shows as the other's value, or a wrong one.
 */
#include "guest.h"

#define ROUNDS 24

struct held {
	uint64_t general[13];
	uint64_t reserved[3];
	uint64_t vectors[16][4];
};
_Static_assert(offsetof(struct held, vectors) == 128, "hold.S");

void state_hold(const struct held *in, struct held *out, unsigned long spins, unsigned long flags);

static uint64_t seed;
static bool ymm;
static struct held in, out;

/* A value of this guest's own for each place. */
static uint64_t value(unsigned place)
{
	uint64_t x = (seed << 32 | place) * 0x9e3779b97f4a7c15ull;

	return x ^ x >> 29;
}

/* The same as a canonical address, and as one that is no address of this guest's code. */
static uint64_t address_value(unsigned place)
{
	return (value(place) & 0x00007fffffffffffull) | 1ull << 46;
}

/* --- registers that are read and written one by one ---------------------------------------------
 */

struct one {
	const char *name;
	uint32_t msr; /* or 0 */
	uint64_t value;
	unsigned long (*read)(void);
	void (*write)(unsigned long value);
};

static unsigned long get_xcr0(void)
{
	return xgetbv(0);
}
static void set_xcr0(unsigned long v)
{
	xsetbv(0, v);
}
static void set_cr2(unsigned long v)
{
	write_cr2(v);
}

static struct one list[32];
static unsigned list_count;

static void add_msr(const char *name, uint32_t msr, uint64_t v)
{
	list[list_count++] = (struct one){name, msr, v, NULL, NULL};
}

static void add_register(const char *name, unsigned long (*read)(void),
			 void (*write)(unsigned long), uint64_t v)
{
	list[list_count++] = (struct one){name, 0, v, read, write};
}

static void make_list(void)
{
	bool odd = seed & 1, has_rdtscp = cpuid(0x80000001, 0).edx >> 27 & 1;

	add_msr("PAT", MSR_PAT, odd ? 0x0006040600070106ull : 0x0007040600010006ull);
	add_msr("STAR", MSR_STAR, value(1) & 0xffffffff00000000ull);
	add_msr("LSTAR", MSR_LSTAR, address_value(2));
	add_msr("CSTAR", MSR_CSTAR, address_value(3));
	add_msr("FMASK", MSR_FMASK, value(4) & 0x3fffff);
	add_msr("KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, address_value(5));
	add_msr("FS_BASE", MSR_FS_BASE, address_value(6));
	add_msr("GS_BASE", MSR_GS_BASE, address_value(7));
	add_msr("SYSENTER_CS", MSR_SYSENTER_CS, odd ? 0x18 : 0x28);
	add_msr("SYSENTER_ESP", MSR_SYSENTER_ESP, address_value(8));
	add_msr("SYSENTER_EIP", MSR_SYSENTER_EIP, address_value(9));
	add_msr("EFER", MSR_EFER, rdmsr(MSR_EFER) | (odd ? EFER_SCE : 0));
	if (has_rdtscp)
		add_msr("TSC_AUX", MSR_TSC_AUX, value(10) & 0xffffffff);
	add_register("CR2", read_cr2, set_cr2, value(11));
	add_register("DR0", read_dr0, write_dr0, address_value(12));
	add_register("DR1", read_dr1, write_dr1, address_value(13));
	add_register("DR2", read_dr2, write_dr2, address_value(14));
	add_register("DR3", read_dr3, write_dr3, address_value(15));
	add_register("DR6", read_dr6, write_dr6, odd ? 0xffff0ff1 : 0xffff0ff6);
	/* Breakpoints on execution, where nothing is executed. */
	add_register("DR7", read_dr7, write_dr7, odd ? 0x401 : 0x444);
	add_register("CR4", read_cr4, write_cr4, read_cr4() | (odd ? CR4_PGE : 0));
	add_register("CR0", read_cr0, write_cr0, read_cr0() | (odd ? CR0_AM : 0));
	if (ymm)
		add_register("XCR0", get_xcr0, set_xcr0, odd ? 7 : 3);
}

static uint64_t read_one(const struct one *o)
{
	return o->msr ? rdmsr(o->msr) : o->read();
}

static void write_all(void)
{
	for (unsigned i = 0; i < list_count; i++) {
		if (list[i].msr)
			wrmsr(list[i].msr, list[i].value);
		else
			list[i].write((unsigned long)list[i].value);
	}
}

static unsigned check_all(unsigned round)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < list_count; i++) {
		uint64_t got = read_one(&list[i]);

		if (got != list[i].value && wrong++ < 3)
			printf("# round %u: %s holds 0x%llx, not 0x%llx\n", round, list[i].name,
			       (unsigned long long)got, (unsigned long long)list[i].value);
	}
	return wrong;
}

/* --- general and vector registers ----------------------------------------------------------------
 */

static void make_held(unsigned round)
{
	for (unsigned i = 0; i < array_size(in.general); i++)
		in.general[i] = value(100 + i + round * 1000);
	for (unsigned i = 0; i < 16; i++)
		for (unsigned j = 0; j < 4; j++)
			in.vectors[i][j] = value(200 + i * 4 + j + round * 1000);
}

static unsigned check_held(unsigned round, bool wide)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < array_size(in.general); i++)
		if (in.general[i] != out.general[i] && wrong++ < 3)
			printf("# round %u: general register %u holds 0x%llx, not 0x%llx\n", round,
			       i, (unsigned long long)out.general[i],
			       (unsigned long long)in.general[i]);
	for (unsigned i = 0; i < 16; i++)
		for (unsigned j = 0; j < (wide ? 4 : 2); j++)
			if (in.vectors[i][j] != out.vectors[i][j] && wrong++ < 3)
				printf("# round %u: vector register %u, word %u is wrong\n", round,
				       i, j);
	return wrong;
}

int main(void)
{
	unsigned long spins = (unsigned long)option_number("spins", 1000000);
	unsigned wrong_list = 0, wrong_held = 0;
	bool wide;

	seed = option_number("seed", 1);
	if (cpuid(1, 0).ecx >> 26 & 1) {
		write_cr4(read_cr4() | CR4_OSXSAVE);
		ymm = (cpuid(0xd, 0).eax & 4) && (cpuid(1, 0).ecx >> 28 & 1);
	}
	make_list();
	write_all();
	tap_plan(3);
	tap_is(check_all(0), 0, "seed %u: %u registers take their values", (unsigned)seed,
	       list_count);
	wide = ymm && (xgetbv(0) & 4);
	for (unsigned round = 1; round <= ROUNDS; round++) {
		make_held(round);
		state_hold(&in, &out, spins, wide);
		wrong_held += check_held(round, wide);
		wrong_list += check_all(round);
	}
	tap_is(wrong_list, 0, "they keep them over %u rounds of yielding and spinning", ROUNDS);
	tap_is(wrong_held, 0, "so do the general and the %s registers", wide ? "ymm" : "xmm");
	tap_done();
}
