/*
 * mmio: every kind of instruction that the hypervisor executes itself, on addresses where nothing
 * is. Each is executed twice, on RAM that holds ones and where nothing is: registers and flags must
 * come out the same. Then what is special: strings, operands across a border, faults, single steps.
 *
 * With `end=...` it does instead what ends a guest.
 */
#include "mmio.h"

#define NOTHING	 0xfed00000ul /* where the HPET of a PC is */
#define PAGES	 4
#define NUMBER	 0x123456789abcdef0ull
#define FLAGS_IN 0x2

/* Flags that an instruction leaves undefined are not compared. */
#define ALL_FLAGS  0x8d5
#define LOGIC	   (ALL_FLAGS & ~0x10u) /* AF */
#define BIT_STRING 0x41u		/* CF, ZF */

/* Opcodes with a ModRM byte: two bytes if above 0xff; reg < 0: registers A, C, D, B in turn. */
static const struct form {
	uint16_t opcode;
	int8_t reg;
	uint8_t immediate; /* bytes; 4: two with a prefix of 16 bits */
	bool lock;
	uint16_t flags;
} forms[] = {
    {0x00, -1, 0, true, ALL_FLAGS},	{0x01, -1, 0, true, ALL_FLAGS},
    {0x02, -1, 0, false, ALL_FLAGS},	{0x03, -1, 0, false, ALL_FLAGS},
    {0x08, -1, 0, true, LOGIC},		{0x09, -1, 0, true, LOGIC},
    {0x0a, -1, 0, false, LOGIC},	{0x0b, -1, 0, false, LOGIC},
    {0x10, -1, 0, true, ALL_FLAGS},	{0x11, -1, 0, true, ALL_FLAGS},
    {0x12, -1, 0, false, ALL_FLAGS},	{0x13, -1, 0, false, ALL_FLAGS},
    {0x18, -1, 0, true, ALL_FLAGS},	{0x19, -1, 0, true, ALL_FLAGS},
    {0x1a, -1, 0, false, ALL_FLAGS},	{0x1b, -1, 0, false, ALL_FLAGS},
    {0x20, -1, 0, true, LOGIC},		{0x21, -1, 0, true, LOGIC},
    {0x22, -1, 0, false, LOGIC},	{0x23, -1, 0, false, LOGIC},
    {0x28, -1, 0, true, ALL_FLAGS},	{0x29, -1, 0, true, ALL_FLAGS},
    {0x2a, -1, 0, false, ALL_FLAGS},	{0x2b, -1, 0, false, ALL_FLAGS},
    {0x30, -1, 0, true, LOGIC},		{0x31, -1, 0, true, LOGIC},
    {0x32, -1, 0, false, LOGIC},	{0x33, -1, 0, false, LOGIC},
    {0x38, -1, 0, false, ALL_FLAGS},	{0x39, -1, 0, false, ALL_FLAGS},
    {0x3a, -1, 0, false, ALL_FLAGS},	{0x3b, -1, 0, false, ALL_FLAGS},
    {0x80, 0, 1, true, ALL_FLAGS},	{0x80, 1, 1, true, LOGIC},
    {0x80, 2, 1, true, ALL_FLAGS},	{0x80, 3, 1, true, ALL_FLAGS},
    {0x80, 4, 1, true, LOGIC},		{0x80, 5, 1, true, ALL_FLAGS},
    {0x80, 6, 1, true, LOGIC},		{0x80, 7, 1, false, ALL_FLAGS},
    {0x81, 0, 4, true, ALL_FLAGS},	{0x81, 1, 4, true, LOGIC},
    {0x81, 2, 4, true, ALL_FLAGS},	{0x81, 3, 4, true, ALL_FLAGS},
    {0x81, 4, 4, true, LOGIC},		{0x81, 5, 4, true, ALL_FLAGS},
    {0x81, 6, 4, true, LOGIC},		{0x81, 7, 4, false, ALL_FLAGS},
    {0x83, 0, 1, true, ALL_FLAGS},	{0x83, 1, 1, true, LOGIC},
    {0x83, 2, 1, true, ALL_FLAGS},	{0x83, 3, 1, true, ALL_FLAGS},
    {0x83, 4, 1, true, LOGIC},		{0x83, 5, 1, true, ALL_FLAGS},
    {0x83, 6, 1, true, LOGIC},		{0x83, 7, 1, false, ALL_FLAGS},
    {0x84, -1, 0, false, LOGIC},	{0x85, -1, 0, false, LOGIC},
    {0x86, -1, 0, true, ALL_FLAGS},	{0x87, -1, 0, true, ALL_FLAGS},
    {0x88, -1, 0, false, ALL_FLAGS},	{0x89, -1, 0, false, ALL_FLAGS},
    {0x8a, -1, 0, false, ALL_FLAGS},	{0x8b, -1, 0, false, ALL_FLAGS},
    {0xc6, 0, 1, false, ALL_FLAGS},	{0xc7, 0, 4, false, ALL_FLAGS},
    {0xf6, 0, 1, false, LOGIC},		{0xf7, 0, 4, false, LOGIC},
    {0xf6, 2, 0, true, ALL_FLAGS},	{0xf7, 2, 0, true, ALL_FLAGS},
    {0xf6, 3, 0, true, ALL_FLAGS},	{0xf7, 3, 0, true, ALL_FLAGS},
    {0xfe, 0, 0, true, ALL_FLAGS},	{0xfe, 1, 0, true, ALL_FLAGS},
    {0xff, 0, 0, true, ALL_FLAGS},	{0xff, 1, 0, true, ALL_FLAGS},
    {0x0f42, -1, 0, false, ALL_FLAGS},	{0x0f4f, -1, 0, false, ALL_FLAGS},
    {0x0f92, 0, 0, false, ALL_FLAGS},	{0x0f9d, 0, 0, false, ALL_FLAGS},
    {0x0fa3, -1, 0, false, BIT_STRING}, {0x0fab, -1, 0, true, BIT_STRING},
    {0x0fb3, -1, 0, true, BIT_STRING},	{0x0fbb, -1, 0, true, BIT_STRING},
    {0x0fba, 4, 1, false, BIT_STRING},	{0x0fba, 5, 1, true, BIT_STRING},
    {0x0fba, 6, 1, true, BIT_STRING},	{0x0fba, 7, 1, true, BIT_STRING},
    {0x0fb0, -1, 0, true, ALL_FLAGS},	{0x0fb1, -1, 0, true, ALL_FLAGS},
    {0x0fb6, -1, 0, false, ALL_FLAGS},	{0x0fb7, -1, 0, false, ALL_FLAGS},
    {0x0fbe, -1, 0, false, ALL_FLAGS},	{0x0fbf, -1, 0, false, ALL_FLAGS},
    {0x0fc0, -1, 0, true, ALL_FLAGS},	{0x0fc1, -1, 0, true, ALL_FLAGS},
};

static uint8_t code[PAGE_SIZE], ram[PAGES * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static const uint8_t prefixes[] = {
    0,	  0x66,
#ifdef __x86_64__
    0x48, 0x40, 0x4c,
#endif
};

static bool same(const struct registers *a, const struct registers *b, unsigned flags)
{
	return a->a == b->a && a->c == b->c && a->d == b->d && a->b == b->b &&
	       !((a->flags ^ b->flags) & flags);
}

/* The operand is at DI + 64. */
static unsigned write_form(const struct form *f, unsigned prefix, unsigned reg, bool lock)
{
	unsigned n = 0;

	if (lock)
		code[n++] = 0xf0;
	if (prefix)
		code[n++] = (uint8_t)prefix;
	if (f->opcode > 0xff)
		code[n++] = (uint8_t)(f->opcode >> 8);
	code[n++] = (uint8_t)f->opcode;
	code[n++] = (uint8_t)(0x47 | reg << 3);
	code[n++] = 64;
	for (unsigned i = 0; i < f->immediate && !(prefix == 0x66 && i == 2); i++)
		code[n++] = (uint8_t)(0xd5 + i * 3);
	code[n++] = 0xc3;
	return n;
}

static unsigned try_form(const struct form *f, unsigned prefix, unsigned reg, bool lock)
{
	/* 3 in CL, AL as in memory: CMPXCHG meets both. */
	static const unsigned long as[] = {~0ul, (unsigned long)NUMBER, 0};
	unsigned length = write_form(f, prefix, reg, lock), wrong = 0;

	for (unsigned i = 0; i < array_size(as); i++) {
		struct registers on_ram = {
		    as[i], 3, (unsigned long)NUMBER, 0x7f80, FLAGS_IN | i % 2, 0, 0};
		struct registers on_nothing = on_ram;

		if (f->flags == BIT_STRING && reg == 2)
			on_ram.d = on_nothing.d = (unsigned long)-300;
		if (f->flags == BIT_STRING && reg == 0)
			on_ram.a = on_nothing.a = 777;
		memset(ram, 0xff, sizeof(ram));
		on_ram.di = (unsigned long)ram + PAGE_SIZE;
		on_nothing.di = NOTHING + PAGE_SIZE;
		run_code(code, &on_ram);
		run_code(code, &on_nothing);
		if (same(&on_ram, &on_nothing, f->flags))
			continue;
		wrong++;
		printf(
		    "# %02x %02x %02x %02x (%u): a=%lx c=%lx d=%lx b=%lx flags=%lx, wanted a=%lx "
		    "c=%lx d=%lx b=%lx flags=%lx\n",
		    code[0], code[1], code[2], code[3], length, on_nothing.a, on_nothing.c,
		    on_nothing.d, on_nothing.b, on_nothing.flags, on_ram.a, on_ram.c, on_ram.d,
		    on_ram.b, on_ram.flags);
	}
	return wrong;
}

static void all_forms(void)
{
	unsigned wrong = 0, count = 0;

	for (unsigned i = 0; i < array_size(forms); i++)
		for (unsigned p = 0; p < array_size(prefixes); p++)
			for (unsigned reg = 0; reg < (forms[i].reg < 0 ? 4u : 1u); reg++)
				for (unsigned lock = 0; lock <= (forms[i].lock ? 1u : 0u);
				     lock++, count++) {
					unsigned r =
					    forms[i].reg < 0 ? reg : (unsigned)forms[i].reg;
					if (prefixes[p] == 0x4c && forms[i].reg < 0)
						continue; /* the callee's registers */
					wrong += try_form(&forms[i], prefixes[p], r, lock);
				}
	tap_is(wrong, 0, "%u instructions do to registers and flags what they do on RAM", count);
	tap_is(*(volatile uint32_t *)(NOTHING + PAGE_SIZE + 64), ~0u, "what was written is gone");
}

/* AH to BH, without a REX prefix. */
static void high_bytes(void)
{
	unsigned wrong = 0;

	for (unsigned reg = 4; reg < 8; reg++) {
		struct form load = {0x8a, 0, 0, false, ALL_FLAGS},
			    add = {0x02, 0, 0, false, ALL_FLAGS};

		wrong += try_form(&load, 0, reg, false) + try_form(&add, 0, reg, false);
	}
	tap_is(wrong, 0, "AH, CH, DH, BH");
}

static void moffs(void)
{
	unsigned long address = NOTHING + 0x80;
	struct registers r = {0};
	unsigned n = 0;

#ifdef __x86_64__
	code[n++] = 0x48;
#endif
	code[n++] = 0xa1;
	memcpy(code + n, &address, sizeof(address));
	n += sizeof(address);
	code[n++] = 0xa2;
	memcpy(code + n, &address, sizeof(address));
	n += sizeof(address);
	code[n++] = 0xc3;
	run_code(code, &r);
	tap_is(r.a, ~0ul, "an address within the instruction, load and store");
}

/* For docs/performance.md: an emulator that counts an instruction as a tick makes it exact. */
static void show_cost(void)
{
	enum { TIMES = 1000 };
	volatile uint32_t *at = (volatile uint32_t *)NOTHING;
	uint64_t start = rdtsc(), loads;

	for (unsigned i = 0; i < TIMES; i++)
		(void)*at;
	loads = rdtsc() - start;
	start = rdtsc();
	for (unsigned i = 0; i < TIMES; i++)
		*at = i;
	printf("# %lu ticks for a load, %lu for a store\n", (unsigned long)loads / TIMES,
	       (unsigned long)(rdtsc() - start) / TIMES);
}

int main(void)
{
	if (option("end"))
		end_of_guest(option("end"), NOTHING);
	all_forms();
	high_bytes();
	moffs();
	strings(NOTHING, ram);
	borders(NOTHING);
	faults(NOTHING);
	show_cost();
	tap_done();
}
