/* sources: kernel/guest_cpuid.c kernel/guest_cpuid_build.c tests/unit/fake_cpu.c */
/*
 * CPUID as guests see it, on processors that have everything, nothing, or what some real one has:
 * only what is on the allow-list gets through.
 */
#include "cpu_bits.h"
#include "kernel/guest_cpuid.h"
#include "percpu.h"
#include "public/cpuid.h"
#include "tap.h"
#include "vcpu.h"

static struct domain d = {.id = 5, .vcpu_count = 1};
static struct vcpu_shared v = {.domain = &d, .id = 0};

/* A processor all of whose bits are set, as far as the layout makes sense. */
static void all_ones(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	for (unsigned i = 0; i < 4; i++)
		out[i] = ~0u;
	if (leaf == 0)
		out[0] = 0x24;
	if (leaf == 0x80000000)
		out[0] = 0x80000021;
	if (leaf == 4 && subleaf > 3)
		out[0] = 0;
	if (leaf == 0xd && subleaf >= 2) {
		/* size, offset: as on processors with AVX-512 and PKU */
		static const uint32_t sizes[] = {256, 64, 64, 64, 512, 1024, 128, 8};
		static const uint32_t offsets[] = {576, 960, 1024, 1088, 1152, 1664, 0, 2688};
		out[0] = subleaf < 10 ? sizes[subleaf - 2] : 0;
		out[1] = subleaf < 10 ? offsets[subleaf - 2] : 0;
		out[2] = 3;
	}
}

static void poor(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	(void)subleaf;
	memset(out, 0, 16);
	if (leaf == 0)
		out[0] = 1;
	if (leaf == 0x80000000)
		out[0] = 0x80000001;
}

static uint32_t o[4];
static const uint32_t *cpuid_of(uint64_t cr4, uint64_t xcr0, uint32_t leaf, uint32_t subleaf)
{
	struct guest_cpuid_state s = {cr4, xcr0, true};
	memset(o, 0x77, sizeof(o));
	guest_cpuid(&s, leaf, subleaf, o);
	return o;
}
#define LEAF(leaf, subleaf) cpuid_of(0, 1, leaf, subleaf)
static bool zero(uint32_t leaf, uint32_t subleaf)
{
	const uint32_t *p = LEAF(leaf, subleaf);
	return !(p[0] | p[1] | p[2] | p[3]);
}

/* What the hypervisor provides by itself is there whatever the processor has. */
static void local_apic(void)
{
	ok(LEAF(1, 0)[2] & CPUID_1_ECX_X2APIC && LEAF(1, 0)[2] & CPUID_1_ECX_TSC_DEADLINE,
	   "x2APIC, TSC deadline");
	ok(!(~LEAF(1, 0)[3] &
	     (CPUID_1_EDX_APIC | CPUID_1_EDX_MTRR | CPUID_1_EDX_MCE | CPUID_1_EDX_MCA)),
	   "APIC, MTRR, MCE, MCA");
	is(LEAF(6, 0)[0], CPUID_6_EAX_ARAT, "the timer never stops");
	ok(LEAF(7, 0)[1] & CPUID_7_EBX_TSC_ADJUST, "TSC_ADJUST");
	is(LEAF(0xb, 0)[0], 0, "topology: one thread a core");
	is(LEAF(0xb, 0)[1], 1, "indeed");
	is(LEAF(0xb, 0)[2], 0x100, "is the first level");
	is(LEAF(0xb, 1)[2], 0x201, "cores are the second");
	is(LEAF(0xb, 1)[0], 0, "one core: no bit");
	is(LEAF(0xb, 1)[1], 1, "one");
	is(LEAF(0xb, 2)[2], 2, "and nothing beyond");
	is(LEAF(0xb, 2)[1], 0, "of which there are none");
	d.vcpu_count = 5;
	v.id = 3;
	is(LEAF(1, 0)[1] >> 16, 0x0308, "five: places for eight; this is number 3");
	ok(LEAF(1, 0)[3] & CPUID_1_EDX_HTT, "several");
	is(LEAF(0xb, 1)[0], 3, "three bits of the id");
	is(LEAF(0xb, 1)[1], 5, "five");
	is(LEAF(0xb, 1)[3], 3, "this is number 3");
	is(LEAF(0xb, 7)[3], 3, "at every level");
	d.vcpu_count = 1;
	v.id = 0;
}

static void rich(void)
{
	struct cpuid_source s = {
	    .host = all_ones,
	    .xcr0_offered = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_OPMASK | XCR0_ZMM_HI256 |
			    XCR0_HI16_ZMM | XCR0_PKRU,
	    .cr4_offered = ~0ull,
	    .rdtscp = true,
	    .invpcid = true,
	    .tsc_khz = 2500000,
	    .apic_clock_shift = 5,
	};
	guest_cpuid_build(&s);
	is(LEAF(0, 0)[0], 0x16, "basic leaves end at 0x16");
	for (uint32_t leaf = 0x17; leaf < 0x40; leaf++)
		if (!zero(leaf, 0))
			fail("leaf %x is zero", leaf);
	static const uint32_t gone[] = {3,   5,	   8,	 9,    0xa,  0xc, 0xe,
					0xf, 0x10, 0x11, 0x12, 0x13, 0x14};
	for (unsigned i = 0; i < array_size(gone); i++)
		ok(zero(gone[i], 0) && zero(gone[i], 1), "leaf %x is zero", gone[i]);
	uint32_t c = LEAF(1, 0)[2], e = LEAF(1, 0)[3];
	ok(!(c & (CPUID_1_ECX_VMX | CPUID_1_ECX_SMX | CPUID_1_ECX_MONITOR | CPUID_1_ECX_PDCM |
		  CPUID_1_ECX_OSXSAVE | CPUID_1_ECX_EIST | CPUID_1_ECX_TM2 | CPUID_1_ECX_DTES64)),
	   "leaf 1: what a guest cannot use is off");
	ok(c & CPUID_1_ECX_HYPERVISOR && c & CPUID_1_ECX_XSAVE && c & CPUID_1_ECX_AVX &&
	       c & CPUID_1_ECX_PCID,
	   "what it can is on");
	ok(!(e & (CPUID_1_EDX_DS | CPUID_1_EDX_HTT | CPUID_1_EDX_ACPI)), "leaf 1: EDX too");
	local_apic();
	ok(cpuid_of(CR4_OSXSAVE, 1, 1, 0)[2] & CPUID_1_ECX_OSXSAVE, "OSXSAVE mirrors CR4");
	guest_cpuid(&(struct guest_cpuid_state){.xcr0 = 1}, 1, 0, o);
	ok(!(o[3] & CPUID_1_EDX_APIC) && o[3] & CPUID_1_EDX_MTRR, "APIC mirrors IA32_APIC_BASE");
	is(LEAF(1, 0)[1] >> 16, 1, "one processor, APIC id 0");
	uint32_t b7 = LEAF(7, 0)[1], c7 = LEAF(7, 0)[2], d7 = LEAF(7, 0)[3];
	ok(!(b7 & (CPUID_7_EBX_SGX | CPUID_7_EBX_HLE | CPUID_7_EBX_RTM | CPUID_7_EBX_PT |
		   CPUID_7_EBX_MPX | BIT32(12) | BIT32(15))),
	   "leaf 7: no SGX, TSX, PT, MPX, RDT");
	ok(!(c7 & (CPUID_7_ECX_LA57 | CPUID_7_ECX_PKS | CPUID_7_ECX_CET_SS | CPUID_7_ECX_WAITPKG |
		   CPUID_7_ECX_KL | CPUID_7_ECX_OSPKE)),
	   "no LA57, PKS, CET, WAITPKG");
	ok(!(d7 &
	     (CPUID_7_EDX_UINTR | CPUID_7_EDX_CET_IBT | CPUID_7_EDX_IBRS_IBPB | CPUID_7_EDX_STIBP |
	      CPUID_7_EDX_ARCH_CAP | CPUID_7_EDX_CORE_CAP | CPUID_7_EDX_SSBD | CPUID_7_EDX_HYBRID)),
	   "no MSRs that are not there");
	ok(b7 & CPUID_7_EBX_SMEP && b7 & CPUID_7_EBX_SMAP && b7 & CPUID_7_EBX_AVX512F &&
	       c7 & CPUID_7_ECX_PKU && c7 & CPUID_7_ECX_UMIP,
	   "what CR4 and XCR0 allow is on");
	ok(cpuid_of(CR4_PKE, 1, 7, 0)[2] & CPUID_7_ECX_OSPKE, "OSPKE mirrors CR4");
	is(LEAF(7, 0)[0], 1, "two sub-leaves");
	ok(zero(7, 2) && zero(7, ~0u), "and no more");
	is(LEAF(4, 0)[0] & 0xfffffc00, 0, "caches are nobody else's");
	ok(zero(4, 4) && zero(4, ~0u), "four of them");
	is(LEAF(0xd, 0)[0], s.xcr0_offered, "XSAVE: components");
	is(LEAF(0xd, 0)[2], 2696, "size of all");
	is(cpuid_of(0, 1, 0xd, 0)[1], 576, "size of what is enabled: x87");
	is(cpuid_of(0, 7, 0xd, 0)[1], 832, "AVX");
	is(cpuid_of(0, 0xe7, 0xd, 0)[1], 2688, "AVX-512");
	is(LEAF(0xd, 1)[0], 7, "no XSAVES, no XFD");
	is(LEAF(0xd, 1)[2] | LEAF(0xd, 1)[3], 0, "no supervisor components");
	is(cpuid_of(0, 0x203, 0xd, 1)[1], 584, "compacted size");
	ok(zero(0xd, 3) && zero(0xd, 4) && zero(0xd, 8) && zero(0xd, 10) && zero(0xd, 63) &&
	       zero(0xd, ~0u),
	   "components that are not offered");
	is(LEAF(0x80000000, 0)[0], 0x80000008, "extended leaves");
	ok(zero(0x80000009, 0) && zero(0xffffffff, 0) && zero(0x7fffffff, 0), "end there");
	is(LEAF(0x80000008, 0)[0], 0x30ff, "48 linear bits");
	is(LEAF(0x80000007, 0)[3], CPUID_80000007_EDX_INVARIANT_TSC, "invariant TSC alone");
	is(LEAF(0x15, 0)[0], 1, "the TSC runs");
	is(LEAF(0x15, 0)[1], 32, "32 times");
	is(LEAF(0x15, 0)[2], 78125000, "as fast as the local APIC's clock");
	d.vcpu_count = 5;
	is(LEAF(4, 0)[0] >> 10, 7 << 16, "eight places for cores, caches shared by none");
	d.vcpu_count = 1;
	ok(LEAF(0x80000001, 0)[3] & CPUID_80000001_EDX_RDTSCP, "RDTSCP");
	is(LEAF(0x80000003, 0)[2], ~0u, "the name");
}

static void xen(void)
{
	is(LEAF(0x40000000, 0)[0], 0x40000004, "Xen's leaves");
	ok(!memcmp(&o[1], "XenVMMXenVMM", 12), "signature");
	is(LEAF(0x40000001, 0)[0], 0x40011, "4.17");
	is(LEAF(0x40000002, 0)[0], 1, "a hypercall page");
	is(o[1], 0x40000000, "by this MSR");
	is(LEAF(0x40000003, 0)[2], 2500000, "kHz");
	const uint32_t *p = LEAF(0x40000003, 1);
	/* 2.5e9 ticks are a second: (ticks >> 1) * multiplier >> 32 */
	is((int32_t)p[3], -1, "shift");
	uint64_t ns = (uint64_t)((unsigned __int128)(2500000000ull >> 1) * p[2] >> 32);
	ok(ns > 999999990 && ns <= 1000000000, "multiplier (%lu ns)", (unsigned long)ns);
	is(LEAF(0x40000003, 2)[0], 2500000, "the CPU's kHz");
	is(LEAF(0x40000004, 0)[0],
	   XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT |
	       XEN_HVM_CPUID_UPCALL_VECTOR,
	   "ids are told, and that upcalls have vectors");
	is(o[2], 5, "the domain's");
	ok(zero(0x40000004, 1) && zero(0x40000005, 0) && zero(0x400000ff, 0), "and no more");
	is(LEAF(0x40000100, 0)[0], 0x40000102, "leaves of our own");
	ok(!memcmp(&o[1], "KeyholeVMM\0", 12), "by this name");
	is(LEAF(0x40000101, 0)[0], 1, "calls with guest-physical pointers");
	ok(zero(0x40000103, 0) && zero(0x40000200, 0), "that is all");
	ok(LEAF(0x40000102, 0)[0] == 0xc0000 && !o[1] && o[2] == 0x20000 && !o[3],
	   "a range for foreign pages in the hole");
	ok(LEAF(0x40000102, 1)[0] == 1 << 26 && !o[1] && o[2] == 1 << 26 && !o[3],
	   "and a high one");
	d.ram_bytes = 1ull << 39;
	ok(zero(0x40000102, 1) && zero(0x40000102, 2) && zero(0x40000103, 0), "or none");
}

static void poor_one(void)
{
	struct cpuid_source s = {.host = poor, .tsc_khz = 1000};
	guest_cpuid_build(&s);
	is(LEAF(0, 0)[0], 0x16, "a poor processor: as many leaves");
	is(LEAF(1, 0)[2], CPUID_1_ECX_HYPERVISOR | CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE,
	   "with nothing but what is the hypervisor's");
	local_apic();
	is(LEAF(7, 0)[1], CPUID_7_EBX_TSC_ADJUST, "also in leaf 7");
	ok(zero(0xd, 0) && zero(0xd, 1) && zero(4, 0) && zero(2, 0), "no others");
	is(LEAF(0x16, 0)[0], 1, "MHz");
	is(LEAF(0x80000000, 0)[0], 0x80000001, "two extended ones");
	ok(zero(0x80000008, 0), "and no more");
	is((int32_t)LEAF(0x40000003, 1)[3], 10, "a slow clock");
	s.host = all_ones;
	s.xcr0_offered = XCR0_X87 | XCR0_SSE;
	guest_cpuid_build(&s);
	ok(!(LEAF(1, 0)[2] & (CPUID_1_ECX_AVX | CPUID_1_ECX_FMA | CPUID_1_ECX_PCID)) &&
	       !(LEAF(7, 0)[1] & (CPUID_7_EBX_AVX2 | CPUID_7_EBX_AVX512F | CPUID_7_EBX_SMEP |
				  CPUID_7_EBX_INVPCID)) &&
	       !(LEAF(7, 0)[2] & (CPUID_7_ECX_PKU | CPUID_7_ECX_RDPID)),
	   "nothing without its state, CR4 bit or control");
	s.xcr0_offered = 0;
	guest_cpuid_build(&s);
	ok(!(LEAF(1, 0)[2] & CPUID_1_ECX_XSAVE) && zero(0xd, 0) && zero(0xd, 1), "no XSAVE");
}

int main(void)
{
	tap_no_plan();
	test_cpu.current = &v;
	rich();
	xen();
	poor_one();
	return tap_end();
}
