/* sources: vmx/mtrr.c tests/unit/fake_cpu.c */
/* Memory-type range registers: which exist, and what values they take. */
#include "cpu_bits.h"
#include "tap.h"
#include "vmx/vmx.h"

#define PHYSICAL_BITS 40

static struct vcpu_mtrr m;

static bool wr(uint32_t msr, uint64_t value)
{
	struct vcpu_mtrr before = m;
	bool taken = mtrr_write(&m, msr, value, PHYSICAL_BITS);

	if (!taken && memcmp(&before, &m, sizeof(m)))
		bail_out("a refused write changed something");
	return taken;
}
static uint64_t rd(uint32_t msr)
{
	uint64_t value;
	return mtrr_read(&m, msr, &value) ? value : 0xdeadbeefdeadbeef;
}

static bool exists(uint32_t msr)
{
	return (msr >= 0x200 && msr <= 0x20f) || msr == 0x250 || msr == 0x258 || msr == 0x259 ||
	       (msr >= 0x268 && msr <= 0x26f) || msr == 0x2ff;
}

int main(void)
{
	unsigned wrong = 0;
	uint64_t value;

	tap_no_plan();
	is(rd(0xfe), 0x508, "capabilities");
	ok(!wr(0xfe, 0x508), "which cannot be written");
	for (uint32_t msr = 0; msr < 0x400; msr++)
		if (msr != 0xfe && mtrr_read(&m, msr, &value) != exists(msr))
			wrong++;
	for (uint32_t msr = 0; msr < 0x400; msr++)
		if (wr(msr, 0) != exists(msr))
			wrong++;
	is(wrong, 0, "those that there are, and no more");
	for (uint32_t msr = 0; msr < 0x400; msr++)
		if (exists(msr))
			wr(msr, (msr >= 0x250 && msr < 0x2ff ? 0x0605
				 : msr < 0x250 && msr & 1    ? (uint64_t)msr << 12
							     : 6));
	ok(rd(0x200) == 6 && rd(0x20f) == 0x20f000 && rd(0x268) == 0x605, "each has its own place");
	for (unsigned type = 0; type < 256; type++) {
		bool valid = type <= 1 || (type >= 4 && type <= 6);
		if (wr(0x2ff, 0xc00 | type) != valid || wr(0x204, type) != valid ||
		    wr(0x26f, (uint64_t)type << 56) != valid || wr(0x250, type) != valid)
			wrong++;
	}
	is(wrong, 0, "types: UC, WC, WT, WP, WB");
	for (unsigned bit = 8; bit < 64; bit++) {
		bool address = bit >= 12 && bit < PHYSICAL_BITS;
		if (wr(0x206, BIT64(bit)) != address ||
		    wr(0x207, BIT64(bit)) != (address || bit == 11) ||
		    wr(0x2ff, BIT64(bit)) != (bit == 10 || bit == 11))
			wrong++;
	}
	is(wrong, 0, "reserved bits are refused");
	ok(!wr(0x207, 1), "also low ones of a mask");
	return tap_end();
}
