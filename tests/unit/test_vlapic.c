/* sources: vmx/vlapic*.c tests/unit/fake_cpu.c */
/*
 * The local APIC of a vCPU against the SDM: registers by MSR and by memory, transitions, errors,
 * priorities, timer, and who is meant by an IPI.
 */
#include "percpu.h"
#include "tap.h"
#include "vmx/vlapic.h"

#define VCPUS 20u

static struct vlapic apic;
static struct domain d = {.id = 1, .vcpu_count = VCPUS};
static struct vcpu_shared vcpus[VCPUS];
static uint64_t now, armed;
static unsigned kicks[VCPUS];

uint64_t vlapic_now(void)
{
	return now;
}
unsigned vlapic_physical_bits(void)
{
	return 40;
}
void vlapic_timer_set(uint64_t tsc)
{
	armed = tsc;
}
static unsigned retold;
void vcpu_retell_upcall(struct vcpu_shared *v)
{
	retold += v == this_cpu()->current && vlapic_software_enabled(&apic);
}
void vcpu_kick(struct vcpu_shared *v)
{
	kicks[v->id]++;
}

#define X2(offset) (MSR_X2APIC_FIRST + ((offset) >> 4))
#define BASE	   0xfee00000ull
#define ON	   APIC_BASE_ENABLE
#define ON_X2	   (APIC_BASE_ENABLE | APIC_BASE_X2APIC)

static uint64_t rd(uint32_t msr)
{
	uint64_t value;
	return vlapic_msr_read(&apic, msr, &value) ? value : 0xdeadbeefdeadbeef;
}
static bool rd_gp(uint32_t msr)
{
	uint64_t value;
	return !vlapic_msr_read(&apic, msr, &value);
}
static bool wr(uint32_t msr, uint64_t value)
{
	return vlapic_msr_write(&apic, msr, value);
}
static uint32_t mrd(uint32_t offset)
{
	uint32_t value;
	return vlapic_registers_read(&apic, offset, 4, &value) ? value : 0xdeadbeef;
}
static void mwr(uint32_t offset, uint32_t value)
{
	vlapic_registers_write(&apic, offset, 4, value);
}

/* The vCPU with this number, after a reset, alone among others in xAPIC mode with flat ids. */
static void reset(uint32_t id)
{
	memset(&apic, 0, sizeof(apic));
	memset(kicks, 0, sizeof(kicks));
	for (uint32_t i = 0; i < VCPUS; i++) {
		memset(&vcpus[i], 0, sizeof(vcpus[i]));
		vcpus[i].domain = &d;
		vcpus[i].id = i;
		d.vcpus[i] = &vcpus[i];
		vcpus[i].apic_route = VLAPIC_ROUTE_ENABLED | VLAPIC_ROUTE_SOFTWARE |
				      (uint64_t)APIC_DFR_FLAT << VLAPIC_ROUTE_DFR_SHIFT |
				      (i < 8 ? BIT32(24 + i) : 0);
	}
	this_cpu()->current = &vcpus[id];
	armed = 0;
	vlapic_reset(&apic, id);
}
static void enable(uint32_t id, bool x2)
{
	reset(id);
	if (x2 && !wr(MSR_IA32_APIC_BASE, BASE | ON_X2))
		bail_out("x2APIC mode refused");
	if (x2)
		wr(X2(APIC_SIVR), 0x1ff);
	else
		mwr(APIC_SIVR, 0x1ff);
}

static void reset_state(void)
{
	reset(0);
	is(rd(MSR_IA32_APIC_BASE), BASE | ON | APIC_BASE_BSP,
	   "the first is the bootstrap processor");
	is(mrd(APIC_ID), 0, "id 0");
	is(mrd(APIC_VERSION), 0x50014, "version");
	is(mrd(APIC_SIVR), 0xff, "spurious vector 0xff, disabled");
	is(mrd(APIC_DFR), ~0u, "flat model");
	is(mrd(APIC_LDR) | mrd(APIC_TPR) | mrd(APIC_PPR) | mrd(APIC_ESR) | mrd(APIC_ICR) |
	       mrd(APIC_ICR_HIGH) | mrd(APIC_INITIAL_COUNT) | mrd(APIC_CURRENT_COUNT) |
	       mrd(APIC_DIVIDE),
	   0, "the rest 0");
	for (uint32_t lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 16)
		is(mrd(lvt), APIC_LVT_MASKED, "LVT 0x%x masked", lvt);
	for (uint32_t r = APIC_ISR; r < APIC_ESR; r += 16)
		if (mrd(r))
			ok(false, "0x%x is not 0", r);
	reset(3);
	is(rd(MSR_IA32_APIC_BASE), BASE | ON, "others are not");
	is(mrd(APIC_ID), 3u << 24, "id in bits 31:24");
	is(rd(MSR_IA32_TSC_DEADLINE), 0, "no deadline");
}

static void transitions(void)
{
	static const struct {
		uint64_t from, to;
		bool valid;
	} t[] = {{ON, ON, 1},	    {ON, ON_X2, 1}, {ON, 0, 1},	   {ON, APIC_BASE_X2APIC, 0},
		 {ON_X2, ON_X2, 1}, {ON_X2, ON, 0}, {ON_X2, 0, 1}, {ON_X2, APIC_BASE_X2APIC, 0},
		 {0, 0, 1},	    {0, ON, 1},	    {0, ON_X2, 0}, {0, APIC_BASE_X2APIC, 0}};

	for (unsigned i = 0; i < array_size(t); i++) {
		reset(2);
		if (t[i].from != ON && !wr(MSR_IA32_APIC_BASE, BASE | t[i].from))
			ok(false, "cannot reach the first state");
		is(wr(MSR_IA32_APIC_BASE, BASE | t[i].to), t[i].valid, "mode %x to %x",
		   (unsigned)t[i].from, (unsigned)t[i].to);
		is(rd(MSR_IA32_APIC_BASE), BASE | (t[i].valid ? t[i].to : t[i].from), "kept");
	}
	reset(0);
	for (unsigned bit = 0; bit < 64; bit++) {
		bool reserved = bit < 8 || bit == 9 || bit >= 40;
		if (wr(MSR_IA32_APIC_BASE, BASE | ON | BIT64(bit)) == reserved && bit != 10)
			ok(false, "bit %u of the base", bit);
		if (bit == 10)
			reset(0);
	}
	ok(wr(MSR_IA32_APIC_BASE, 0x12345000 | ON), "it can be moved");
	is(mrd(APIC_VERSION), 0x50014, "and is there");

	enable(5, false);
	mwr(APIC_TPR, 0x35);
	mwr(APIC_LVT_LINT0, 0x8732);
	mwr(APIC_LDR, 0x40000000);
	ok(wr(MSR_IA32_APIC_BASE, BASE | ON_X2), "to x2APIC");
	is(rd(X2(APIC_ID)), 5, "32-bit id");
	is(rd(X2(APIC_LDR)), BIT32(5), "logical id by number");
	is(rd(X2(APIC_TPR)), 0x35, "the task priority is kept");
	is(rd(X2(APIC_SIVR)), 0x1ff, "so is the spurious vector");
	is(rd(X2(APIC_LVT_LINT0)), 0x8732, "and the vector table");
	is(mrd(APIC_ID), 0xdeadbeef, "nothing by memory now");
	mwr(APIC_TPR, 0);
	is(rd(X2(APIC_TPR)), 0x35, "writes neither");
	ok(wr(MSR_IA32_APIC_BASE, BASE), "off");
	ok(rd_gp(X2(APIC_TPR)), "off: no MSRs");
	is(mrd(APIC_TPR), 0xdeadbeef, "off: no memory");
	ok(wr(MSR_IA32_APIC_BASE, BASE | ON), "and on again");
	is(mrd(APIC_TPR), 0, "all is reset: priority");
	is(mrd(APIC_SIVR), 0xff, "spurious vector");
	is(mrd(APIC_ID), 5u << 24, "id");
	enable(17, true);
	is(rd(X2(APIC_LDR)), 1u << 16 | BIT32(1), "the second cluster");

	enable(4, true);
	wr(X2(APIC_TPR), 0x20);
	vlapic_raise(&apic, 0x99);
	vlapic_init(&apic);
	is(rd(MSR_IA32_APIC_BASE), BASE | ON_X2, "INIT keeps the mode");
	is(rd(X2(APIC_ID)), 4, "and the id");
	is(rd(X2(APIC_LDR)), BIT32(4), "and the logical id");
	is(rd(X2(APIC_TPR)) | rd(X2(APIC_IRR + 0x40)), 0, "and resets the rest");
}

/* Registers of x2APIC: which MSRs can be read and written, and reserved bits. */
static void x2_registers(void)
{
	reset(0);
	ok(rd_gp(X2(APIC_ID)) && !wr(X2(APIC_TPR), 0), "in xAPIC mode its MSRs fault");
	enable(0, true);
	for (uint32_t i = 0; i <= 0xff; i++) {
		bool r = i == 2 || i == 3 || i == 8 || i == 0xa || i == 0xd || i == 0xf ||
			 (i >= 0x10 && i <= 0x28) || i == 0x30 || (i >= 0x32 && i <= 0x39) ||
			 i == 0x3e;
		bool w = i == 8 || i == 0xb || i == 0xf || i == 0x28 || i == 0x30 ||
			 (i >= 0x32 && i <= 0x38) || i == 0x3e || i == 0x3f;
		if (rd_gp(MSR_X2APIC_FIRST + i) == r)
			ok(false, "reading MSR 0x%x", 0x800 + i);
		uint64_t value = i == 0xf    ? 0x1ff
				 : i == 0x3f ? 0x20
				 : i == 0x30 ? 0x100020 & 0xff
					     : 0;
		if (wr(MSR_X2APIC_FIRST + i, value) != w)
			ok(false, "writing MSR 0x%x", 0x800 + i);
	}
	ok(rd_gp(0x7ff), "below");
	ok(rd_gp(0x900), "above");

	static const struct {
		uint32_t offset;
		uint64_t may;
	} bits[] = {{APIC_TPR, 0xff},
		    {APIC_EOI, 0},
		    {APIC_SIVR, 0x3ff}, /* also bit 9, focus checking, which Xen sets */
		    {APIC_ESR, 0},
		    {APIC_ICR, 0xffffffff000cdfffull},
		    {APIC_LVT_TIMER, 0x710ff},
		    {APIC_LVT_THERMAL, 0x117ff},
		    {APIC_LVT_PMI, 0x117ff},
		    {APIC_LVT_LINT0, 0x1f7ff},
		    {APIC_LVT_LINT1, 0x1f7ff},
		    {APIC_LVT_ERROR, 0x110ff},
		    {APIC_INITIAL_COUNT, 0xffffffff},
		    {APIC_DIVIDE, 0xb},
		    {APIC_SELF_IPI, 0xff}};
	for (unsigned i = 0; i < array_size(bits); i++)
		for (unsigned b = 0; b < 64; b++)
			if (wr(X2(bits[i].offset), BIT64(b)) != (bits[i].may >> b & 1))
				ok(false, "register 0x%x bit %u", bits[i].offset, b);
	enable(0, true);
	ok(wr(X2(APIC_LVT_LINT1), 0x1f7ff), "read-only bits may be written");
	is(rd(X2(APIC_LVT_LINT1)), 0x1a7ff, "and stay 0");
	wr(X2(APIC_ICR), 0x1234567800004620ull);
	is(rd(X2(APIC_ICR)), 0x1234567800004620ull, "the command register is 64 bits wide");
}

static void by_memory(void)
{
	uint32_t v;

	enable(1, false);
	mwr(APIC_LDR, 0x12345678);
	is(mrd(APIC_LDR), 0x12000000, "reserved bits stay 0");
	mwr(APIC_DFR, 0);
	is(mrd(APIC_DFR), 0x0fffffff, "28 ones");
	mwr(APIC_ICR_HIGH, 0x03ffffff);
	is(mrd(APIC_ICR_HIGH), 0x03000000, "destination");
	mwr(APIC_TPR, 0xabcd);
	is(mrd(APIC_TPR), 0xcd, "task priority");
	mwr(APIC_ID, 0x77000000);
	is(mrd(APIC_ID), 0x01000000, "the id cannot be changed");
	mwr(APIC_VERSION, 0);
	is(mrd(APIC_VERSION), 0x50014, "nor the version");
	is(mrd(APIC_APR) | mrd(APIC_RRD) | mrd(APIC_EOI), 0, "what has no value reads 0");
	mwr(APIC_ESR, 0);
	is(mrd(APIC_ESR), 0, "without an error");
	is(mrd(0x2f0), 0, "a register that is not there");
	is(mrd(APIC_ESR), 0, "shows in the error register");
	mwr(APIC_ESR, 0);
	is(mrd(APIC_ESR), 0x80, "after a write");
	mwr(APIC_ESR, 0);
	is(mrd(APIC_ESR), 0, "and once");
	mwr(0x040, 1);
	mwr(APIC_ESR, 0);
	is(mrd(APIC_ESR), 0x80, "writing one is an error too");
	mwr(APIC_ESR, 0);
	is(mrd(0x3f0), 0, "no self-IPI register here");
	mwr(APIC_ESR, 0);
	is(mrd(APIC_ESR), 0x80, "an error");
	is(mrd(0xff0), 0, "the end of the page");
	ok(vlapic_registers_read(&apic, APIC_VERSION, 1, &v) && v == 0x14, "a byte");
	ok(vlapic_registers_read(&apic, APIC_VERSION + 2, 1, &v) && v == 0x05, "the third");
	ok(vlapic_registers_read(&apic, APIC_VERSION, 2, &v) && v == 0x14, "two");
	ok(vlapic_registers_read(&apic, APIC_VERSION + 4, 4, &v) && v == 0, "beside it");
	ok(vlapic_registers_read(&apic, APIC_VERSION + 15, 1, &v) && v == 0, "far beside it");
	vlapic_registers_write(&apic, APIC_TPR, 1, 0x11);
	vlapic_registers_write(&apic, APIC_TPR, 2, 0x11);
	vlapic_registers_write(&apic, APIC_TPR + 4, 4, 0x11);
	is(mrd(APIC_TPR), 0xcd, "only whole registers are written");
	for (uint32_t offset = 0; offset < 4096; offset++)
		for (unsigned size = 1; size <= 4; size *= 2)
			if (offset % size == 0) {
				vlapic_registers_read(&apic, offset, size, &v);
				vlapic_registers_write(&apic, offset, size, offset * 0x01010101);
			}
	ok(true, "every offset and size");
}

static bool requested(unsigned vector)
{
	return vlapic_get(&apic, APIC_IRR + vector / 32 * 16) >> vector % 32 & 1;
}
static bool serving(unsigned vector)
{
	return vlapic_get(&apic, APIC_ISR + vector / 32 * 16) >> vector % 32 & 1;
}

static void priorities(void)
{
	enable(0, true);
	is(vlapic_pending(&apic), VLAPIC_NO_VECTOR, "nothing at first");
	vlapic_raise(&apic, 0x31);
	vlapic_raise(&apic, 0x45);
	vlapic_raise(&apic, 0x45);
	is(vlapic_pending(&apic), 0x45, "the higher first");
	vlapic_accept(&apic, 0x45);
	ok(!requested(0x45) && serving(0x45), "from requested to in service");
	is(rd(X2(APIC_PPR)), 0x40, "processor priority");
	is(vlapic_pending(&apic), VLAPIC_NO_VECTOR, "a lower one waits");
	vlapic_raise(&apic, 0x4f);
	is(vlapic_pending(&apic), VLAPIC_NO_VECTOR, "one of the same class too");
	vlapic_raise(&apic, 0x45);
	ok(requested(0x45) && serving(0x45), "requested again while in service");
	vlapic_raise(&apic, 0x50);
	is(vlapic_pending(&apic), 0x50, "a higher class does not");
	vlapic_accept(&apic, 0x50);
	wr(X2(APIC_EOI), 0);
	ok(!serving(0x50) && serving(0x45), "EOI ends the highest");
	is(rd(X2(APIC_PPR)), 0x40, "and the priority falls");
	wr(X2(APIC_EOI), 0);
	is(vlapic_pending(&apic), 0x4f, "then the rest");
	wr(X2(APIC_TPR), 0x3f);
	is(rd(X2(APIC_PPR)), 0x3f, "the task priority counts");
	is(vlapic_pending(&apic), 0x4f, "a class above passes");
	wr(X2(APIC_TPR), 0x40);
	is(vlapic_pending(&apic), VLAPIC_NO_VECTOR, "its own does not");
	vlapic_accept(&apic, 0x4f);
	wr(X2(APIC_TPR), 0x47);
	is(rd(X2(APIC_PPR)), 0x47, "equal classes: the task priority");
	wr(X2(APIC_TPR), 0x3f);
	is(rd(X2(APIC_PPR)), 0x40, "lower: the class in service");
	wr(X2(APIC_EOI), 0);
	wr(X2(APIC_EOI), 0);
	wr(X2(APIC_EOI), 0);
	is(rd(X2(APIC_PPR)), 0x3f, "EOI of nothing does nothing");
	wr(X2(APIC_TPR), 0xff);
	vlapic_raise(&apic, 0xff);
	is(vlapic_pending(&apic), VLAPIC_NO_VECTOR, "0xff is not above 0xff");
	for (unsigned vector = 16; vector < 256; vector++) {
		enable(0, true);
		vlapic_raise(&apic, vector);
		if (vlapic_pending(&apic) != (vector < 16 ? -1 : (int)vector) && vector >= 16)
			ok(false, "vector %u", vector);
	}
	/* Disabled by software. */
	enable(0, true);
	wr(X2(APIC_LVT_ERROR), 0x33);
	vlapic_raise(&apic, 0x60);
	wr(X2(APIC_SIVR), 0xff);
	is(rd(X2(APIC_LVT_ERROR)), 0x10033, "disabled: the vector table is masked");
	wr(X2(APIC_LVT_ERROR), 0x34);
	is(rd(X2(APIC_LVT_ERROR)), 0x10034, "and stays so");
	ok(requested(0x60), "what was requested stays");
	vlapic_raise(&apic, 0x61);
	ok(!requested(0x61), "nothing comes");
	vcpus[0].posted[1] = ~0ull;
	vlapic_collect(&apic, &vcpus[0]);
	ok(!requested(0x61) && !vcpus[0].posted[1], "from others neither");
	retold = 0;
	wr(X2(APIC_SIVR), 0xfe);
	is(retold, 0, "disabled, upcalls are not told again");
	wr(X2(APIC_SIVR), 0x1ff);
	is(retold, 1, "when it is enabled they are");
	wr(X2(APIC_SIVR), 0x1fe);
	is(retold, 1, "once");
	vcpus[0].posted[0] = BIT64(0x22);
	vcpus[0].posted[3] = BIT64(63) | BIT64(31);
	vlapic_collect(&apic, &vcpus[0]);
	ok(requested(0x22) && requested(0xff) && requested(0xdf) && !requested(0xfe),
	   "what others posted is taken over");
}

static void errors(void)
{
	enable(0, true);
	wr(X2(APIC_SELF_IPI), 0xf);
	is(rd(X2(APIC_ESR)), 0, "errors show after a write only");
	wr(X2(APIC_ESR), 0);
	is(rd(X2(APIC_ESR)), 0x60, "self-IPI of an illegal vector: sent and received");
	wr(X2(APIC_ICR), 3ull << 32 | 5);
	wr(X2(APIC_ESR), 0);
	is(rd(X2(APIC_ESR)), 0x20, "to another: sent");
	is(vcpus[3].requests, VCPU_REQUEST_ILLEGAL_VECTOR, "and the other hears of it");
	wr(X2(APIC_LVT_ERROR), 0xe1);
	wr(X2(APIC_SELF_IPI), 1);
	ok(requested(0xe1), "the error's interrupt");
	vlapic_accept(&apic, 0xe1);
	wr(X2(APIC_EOI), 0);
	wr(X2(APIC_SELF_IPI), 1);
	ok(!requested(0xe1), "comes once");
	wr(X2(APIC_ESR), 0);
	wr(X2(APIC_SELF_IPI), 1);
	ok(requested(0xe1), "until the register is written");
	enable(0, true);
	wr(X2(APIC_LVT_ERROR), 0x02);
	wr(X2(APIC_ICR), 3ull << 32 | 5);
	wr(X2(APIC_ESR), 0);
	is(rd(X2(APIC_ESR)), 0x60, "an illegal vector in its own entry is one more error");
}

static void timer(void)
{
	vlapic_clock_init(2000000); /* 2 GHz: 62.5 MHz */
	is(vlapic_clock.shift, 5, "the clock of a 2 GHz processor");
	vlapic_clock_init(20000);
	is(vlapic_clock.shift, 0, "of a slow one");
	is(vlapic_clock.min_ticks, 400, "20 us");

	static const struct {
		uint32_t code, by;
	} divide[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};
	for (unsigned i = 0; i < array_size(divide); i++) {
		enable(0, true);
		now = 5000;
		wr(X2(APIC_LVT_TIMER), 0x40);
		wr(X2(APIC_DIVIDE), divide[i].code);
		wr(X2(APIC_INITIAL_COUNT), 1000);
		is(armed, 5000 + 1000u * divide[i].by, "divided by %u", divide[i].by);
	}
	/* One shot. */
	enable(0, true);
	wr(X2(APIC_DIVIDE), 0xb);
	wr(X2(APIC_LVT_TIMER), 0x40);
	now = 100;
	wr(X2(APIC_INITIAL_COUNT), 50);
	now = 130;
	is(rd(X2(APIC_CURRENT_COUNT)), 20, "it counts down");
	vlapic_timer_poll(&apic);
	ok(!requested(0x40), "not yet");
	now = 150;
	vlapic_timer_poll(&apic);
	ok(requested(0x40), "now");
	is(rd(X2(APIC_CURRENT_COUNT)), 0, "and stops");
	is(rd(X2(APIC_INITIAL_COUNT)), 50, "the initial count stays");
	is(armed, 0, "no more timer");
	vlapic_accept(&apic, 0x40);
	now = 100000;
	vlapic_timer_poll(&apic);
	ok(!requested(0x40), "once");
	wr(X2(APIC_INITIAL_COUNT), 50);
	wr(X2(APIC_INITIAL_COUNT), 0);
	is(armed, 0, "0 stops it");
	now += 100;
	vlapic_timer_poll(&apic);
	ok(!requested(0x40), "indeed");
	/* Masked: counts, unheard. */
	wr(X2(APIC_LVT_TIMER), 0x10040);
	wr(X2(APIC_INITIAL_COUNT), 500);
	is(armed, 0, "masked: nobody listens");
	now += 200;
	is(rd(X2(APIC_CURRENT_COUNT)), 300, "it counts");
	wr(X2(APIC_LVT_TIMER), 0x40);
	is(armed, now + 300, "unmasked in time");
	wr(X2(APIC_LVT_TIMER), 0x10040);
	now += 400;
	wr(X2(APIC_LVT_TIMER), 0x40);
	ok(!requested(0x40), "unmasked too late: lost");
	/* Periodic. */
	enable(0, true);
	wr(X2(APIC_DIVIDE), 0xb);
	wr(X2(APIC_LVT_TIMER), 0x20041);
	now = 1000;
	wr(X2(APIC_INITIAL_COUNT), 1000);
	is(armed, 2000, "the first period");
	now = 2003;
	vlapic_timer_poll(&apic);
	ok(requested(0x41), "over");
	is(armed, 3000, "the second is no later for that");
	is(rd(X2(APIC_CURRENT_COUNT)), 997, "the count starts again");
	vlapic_accept(&apic, 0x41);
	now = 9500;
	is(rd(X2(APIC_CURRENT_COUNT)), 500, "before it is looked at, too");
	vlapic_timer_poll(&apic);
	ok(requested(0x41), "missed ones are one");
	is(armed, 10000, "and the beat is kept");
	wr(X2(APIC_DIVIDE), 0);
	is(rd(X2(APIC_CURRENT_COUNT)), 500, "another divider: the count goes on from where it is");
	is(armed, now + 1000, "at its rate");
	wr(X2(APIC_INITIAL_COUNT), 1);
	is(armed, now + 400, "too short a period is made longer");
	is(rd(X2(APIC_CURRENT_COUNT)), 1, "which does not show");
	wr(X2(APIC_LVT_TIMER), 0x41);
	is(armed, now + 2, "one shot may be short");
	wr(X2(APIC_DIVIDE), 0xa);
	wr(X2(APIC_INITIAL_COUNT), 0xffffffff);
	is(armed, now + 0xffffffffull * 128, "the longest");
	is(rd(X2(APIC_CURRENT_COUNT)), 0xffffffff, "is all there");
	/* Deadline. */
	enable(0, true);
	ok(wr(MSR_IA32_TSC_DEADLINE, 12345), "no fault in another mode");
	is(rd(MSR_IA32_TSC_DEADLINE), 0, "and no effect");
	wr(X2(APIC_LVT_TIMER), 0x41);
	wr(X2(APIC_INITIAL_COUNT), 5000);
	wr(X2(APIC_LVT_TIMER), 0x40042);
	is(armed, 0, "the change of mode stops the timer");
	is(rd(X2(APIC_CURRENT_COUNT)), 0, "count 0");
	wr(X2(APIC_INITIAL_COUNT), 5000);
	is(rd(X2(APIC_INITIAL_COUNT)), 0, "no counting in this mode");
	is(armed, 0, "none");
	now = 50000;
	vlapic_set_tsc_offset(&apic, (uint64_t)-40000);
	wr(MSR_IA32_TSC_DEADLINE, 11000);
	is(armed, 51000, "deadlines are in the guest's TSC");
	is(rd(MSR_IA32_TSC_DEADLINE), 11000, "reads back");
	vlapic_set_tsc_offset(&apic, (uint64_t)-45000);
	is(armed, 56000, "whose offset may change");
	now = 56000;
	vlapic_timer_poll(&apic);
	ok(requested(0x42), "on time");
	is(rd(MSR_IA32_TSC_DEADLINE), 0, "disarmed");
	vlapic_accept(&apic, 0x42);
	wr(MSR_IA32_TSC_DEADLINE, 5);
	ok(requested(0x42), "in the past: at once");
	wr(MSR_IA32_TSC_DEADLINE, ~0ull);
	is(armed, 0, "in no foreseeable time");
	is(rd(MSR_IA32_TSC_DEADLINE), ~0ull, "but it is kept");
	wr(MSR_IA32_TSC_DEADLINE, 99999);
	wr(X2(APIC_LVT_TIMER), 0x10042);
	is(armed, 0, "masked");
	wr(X2(APIC_LVT_TIMER), 0x42);
	is(rd(MSR_IA32_TSC_DEADLINE), 0, "back to one shot: disarmed");
	wr(X2(APIC_LVT_TIMER), 0x60042);
	wr(X2(APIC_INITIAL_COUNT), 5);
	vlapic_init(&apic);
	is(armed, 0, "INIT stops it");
}

static uint32_t sent_to(uint64_t command)
{
	uint32_t to = 0, self = this_cpu()->current->id;

	for (unsigned i = 0; i < VCPUS; i++) {
		memset(vcpus[i].posted, 0, sizeof(vcpus[i].posted));
		vcpus[i].requests = 0;
	}
	*vlapic_reg(&apic, APIC_IRR + 0x20) = 0;
	apic.nmis = 0;
	vlapic_send(&apic, (uint32_t)command, (uint32_t)(command >> 32));
	for (unsigned i = 0; i < VCPUS; i++)
		if (vcpus[i].posted[1] || vcpus[i].requests)
			to |= BIT32(i);
	if (requested(0x50) || apic.nmis)
		to |= BIT32(self);
	return to;
}
#define TO(destination, command) sent_to((uint64_t)(destination) << 32 | (command))
#define ALL			 (BIT32(VCPUS) - 1)

static void destinations(void)
{
	uint32_t v = 0x50;

	enable(2, true);
	is(TO(3, v), BIT32(3), "physical");
	is(TO(2, v), BIT32(2), "oneself");
	is(TO(VCPUS, v), 0, "nobody");
	is(TO(0xff, v), 0, "255 is no broadcast from an x2APIC");
	is(TO(~0u, v), ALL, "broadcast");
	is(TO(9, APIC_ICR_SELF | v), BIT32(2), "self");
	is(TO(9, APIC_ICR_ALL | v), ALL, "all");
	is(TO(9, APIC_ICR_OTHERS | v), ALL & ~BIT32(2), "all others");
	is(TO(7, APIC_ICR_NMI), BIT32(7), "NMI");
	is(vcpus[7].requests, VCPU_REQUEST_NMI, "as one");
	vlapic_send(&apic, APIC_ICR_NMI, 7);
	vlapic_send(&apic, APIC_ICR_NMI, 7);
	is(vcpus[7].requests, VCPU_REQUEST_NMI | VCPU_REQUEST_NMI_AGAIN, "more are two");
	is(TO(2, APIC_ICR_NMI), BIT32(2), "NMI to oneself");
	is(TO(0, APIC_ICR_SELF | APIC_ICR_NMI), 0, "but not by shorthand");
	is(TO(0, APIC_ICR_ALL | APIC_ICR_NMI), 0, "nor this one");
	is(TO(0, APIC_ICR_OTHERS | APIC_ICR_NMI), ALL & ~BIT32(2), "NMI to the others");
	is(TO(3, APIC_ICR_SMI), 0, "no SMI");
	is(TO(3, 0x300 | v), 0, "a reserved mode");
	is(TO(3, 0x700 | v), 0, "another");
	is(TO(4, APIC_ICR_INIT | APIC_ICR_ASSERT), BIT32(4), "INIT");
	is(vcpus[4].requests, VCPU_REQUEST_INIT, "as one");
	is(TO(4, APIC_ICR_INIT | APIC_ICR_LEVEL), 0, "its level taken back: nothing");
	is(TO(4, APIC_ICR_INIT | APIC_ICR_LEVEL | APIC_ICR_ASSERT), BIT32(4), "by level");
	is(TO(2, APIC_ICR_INIT), BIT32(2), "to oneself");
	is(TO(4, APIC_ICR_STARTUP | 0x9a), BIT32(4), "start-up");
	is(vcpus[4].requests, VCPU_REQUEST_SIPI | 0x9au << VCPU_SIPI_VECTOR_SHIFT, "with its page");
	vlapic_send(&apic, APIC_ICR_STARTUP | 0x55, 4);
	is(vcpus[4].requests, VCPU_REQUEST_SIPI | 0x9au << VCPU_SIPI_VECTOR_SHIFT,
	   "of two the first counts");
	vlapic_send(&apic, APIC_ICR_INIT, 4);
	is(vcpus[4].requests, VCPU_REQUEST_INIT, "INIT takes it back");
	vlapic_send(&apic, APIC_ICR_STARTUP | 0, 4);
	is(vcpus[4].requests, VCPU_REQUEST_INIT | VCPU_REQUEST_SIPI,
	   "INIT, then start-up at page 0");
	kicks[5] = 0;
	TO(5, v);
	is(kicks[5], 1, "the receiver is kicked");
	is(vcpus[5].posted[1], BIT64(0x50 - 64), "vector posted");

	/* States of the receiver. */
	vcpus[3].apic_route &= ~VLAPIC_ROUTE_SOFTWARE;
	is(TO(3, v), 0, "disabled by software: no interrupt");
	is(TO(3, APIC_ICR_NMI), BIT32(3), "but NMI");
	is(TO(3, APIC_ICR_INIT), BIT32(3), "and INIT");
	vcpus[3].apic_route = 0;
	is(TO(3, APIC_ICR_NMI), 0, "off: nothing at all");
	is(TO(~0u, APIC_ICR_NMI), ALL & ~BIT32(3), "not by broadcast");
	is(TO(0, APIC_ICR_OTHERS | APIC_ICR_INIT), ALL & ~BIT32(3) & ~BIT32(2), "nor shorthand");

	/* Logical, x2APIC. */
	enable(2, true);
	for (uint32_t i = 0; i < VCPUS; i++)
		vcpus[i].apic_route = VLAPIC_ROUTE_ENABLED | VLAPIC_ROUTE_SOFTWARE |
				      VLAPIC_ROUTE_X2 | (i / 16) << 16 | BIT32(i % 16);
	is(TO(0x0000000d, APIC_ICR_LOGICAL | v), 0xd, "logical, first cluster");
	is(TO(0x0001000f, APIC_ICR_LOGICAL | v), 0xf0000, "second cluster");
	is(TO(0x00020001, APIC_ICR_LOGICAL | v), 0, "no such cluster");
	is(TO(0x00010000, APIC_ICR_LOGICAL | v), 0, "nobody in it");
	is(TO(~0u, APIC_ICR_LOGICAL | v), ALL, "broadcast");
	uint32_t seen = 0;
	for (unsigned i = 0; i < 3; i++) {
		uint32_t to = TO(0x0000000b, APIC_ICR_LOGICAL | APIC_ICR_LOWEST | v);
		ok(to && !(to & (to - 1)), "lowest priority: one");
		seen |= to;
	}
	is(seen, 0xb, "each in turn");
	is(TO(0, APIC_ICR_LOWEST | APIC_ICR_ALL | v), 0, "not with this shorthand");
	is(TO(0x20, APIC_ICR_LOWEST | v), 0, "nobody there");

	/* Logical, xAPIC. */
	enable(2, false);
	is(TO(0x03, APIC_ICR_LOGICAL | v), 3, "flat");
	is(TO(0xff, APIC_ICR_LOGICAL | v), ALL, "flat, broadcast");
	is(TO(0xff, v), ALL, "physical broadcast");
	is(TO(0x00, APIC_ICR_LOGICAL | v), 0, "none");
	for (uint32_t i = 0; i < VCPUS; i++)
		vcpus[i].apic_route = VLAPIC_ROUTE_ENABLED | VLAPIC_ROUTE_SOFTWARE | (i / 4) << 28 |
				      BIT32(24 + i % 4);
	is(TO(0x16, APIC_ICR_LOGICAL | v), 0x60, "cluster 1, two of four");
	is(TO(0x40, APIC_ICR_LOGICAL | v), 0, "a cluster and nobody in it");
	vcpus[5].apic_route |= 5ull << VLAPIC_ROUTE_DFR_SHIFT;
	is(TO(0x16, APIC_ICR_LOGICAL | v), 0x40, "an unknown model matches nothing");
	mwr(APIC_ICR_HIGH, 0x07000000);
	vcpus[7].posted[1] = 0;
	mwr(APIC_ICR, 0x50);
	is(vcpus[7].posted[1], BIT64(0x50 - 64), "through the registers in memory");
	/* Routes that are published. */
	enable(3, false);
	mwr(APIC_LDR, 0x08000000);
	mwr(APIC_DFR, 0);
	is(vcpus[3].apic_route, 0x08000000 | VLAPIC_ROUTE_ENABLED | VLAPIC_ROUTE_SOFTWARE, "route");
	mwr(APIC_SIVR, 0xff);
	is(vcpus[3].apic_route, 0x08000000 | VLAPIC_ROUTE_ENABLED, "disabled");
	wr(MSR_IA32_APIC_BASE, BASE | ON_X2);
	is(vcpus[3].apic_route, 8 | VLAPIC_ROUTE_ENABLED | VLAPIC_ROUTE_X2, "x2APIC");
	wr(MSR_IA32_APIC_BASE, BASE);
	is((uint32_t)(vcpus[3].apic_route >> 32) & 7, 0, "off");
}

/* Whatever a guest writes, the page keeps to what a processor could hold. */
static void random_writes(void)
{
	uint64_t seed = 88172645463325252ull;

	for (unsigned round = 0; round < 200000; round++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		if (round % 1000 == 0)
			enable((uint32_t)(seed % VCPUS), seed >> 60 & 1);
		now += seed >> 40 & 0xfff;
		uint32_t offset = (uint32_t)(seed >> 8 & 0x3f) << 4;
		uint64_t value = seed >> (seed & 31);
		uint32_t got;
		switch (seed >> 61) {
		case 0:
			vlapic_msr_write(&apic, MSR_IA32_TSC_DEADLINE, value);
			break;
		case 1:
			vlapic_timer_poll(&apic);
			break;
		case 2:
			if (vlapic_pending(&apic) >= 0)
				vlapic_accept(&apic, (unsigned)vlapic_pending(&apic));
			break;
		case 3:
			vlapic_registers_read(&apic, offset, 4, &got);
			rd(X2(offset));
			break;
		default:
			vlapic_registers_write(&apic, offset, 4, (uint32_t)value);
			vlapic_msr_write(&apic, X2(offset), value & 0xffffffff000fffff);
		}
		if (vlapic_get(&apic, APIC_IRR) & 0xffff || vlapic_get(&apic, APIC_ISR) & 0xffff ||
		    apic.timer_ticks > 0xffffffffull * 128 || vlapic_pending(&apic) > 255)
			bail_out("the state cannot be");
	}
	ok(true, "200000 random accesses");
}

int main(void)
{
	tap_no_plan();
	vlapic_clock_init(20000);
	reset_state();
	transitions();
	x2_registers();
	by_memory();
	priorities();
	errors();
	timer();
	destinations();
	random_writes();
	return tap_end();
}
