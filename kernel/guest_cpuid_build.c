/*
 * CPUID as guests see it: what is offered.
 *
 * An allow-list: a feature is offered if it is named here and the processor has it and the
 * hypervisor lets a guest use it (CR4 bits, XCR0 components, instructions with a control of their
 * own). Leaves and bits that are not named read as zero, so that a new processor brings nothing
 * unforeseen.
 *
 * State: the policy, computed at boot (guest_cpuid_init). No lock.
 *
 * Sources: SDM Vol. 2, "CPUID—CPU Identification"; Xen, public/arch-x86/cpuid.h.
 */
#include "cpu_bits.h"
#include "guest_cpuid_policy.h"
#include "public/cpuid.h"
#include "vcpu.h"

#define BASIC_MAX 0x16u /* processor frequencies: the last leaf with something for a guest */
_Static_assert(GUEST_CPUID_LEAVES == BASIC_MAX + 1, "vcpu.h");

struct guest_cpuid_policy guest_cpuid_policy;
struct guest_cpuid_basic guest_cpuid_basic;

/* What the hypervisor provides, whatever the processor has. */
#define LEAF_1_ECX_OURS (CPUID_1_ECX_HYPERVISOR | CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE)
#define LEAF_1_EDX_OURS (CPUID_1_EDX_MCE | CPUID_1_EDX_APIC | CPUID_1_EDX_MTRR | CPUID_1_EDX_MCA)

/* What a feature needs besides the processor that has it: one of these, or else a bit of CR4. */
enum { NOTHING, XSAVE, AVX, AVX512, INVPCID, RDTSCP, NEEDS };

/* The features that are passed on. */
static const struct {
	uint32_t leaf;
	uint8_t subleaf, reg;
	uint64_t need;
	uint32_t bits;
} offered[] = {
    {1, 0, ECX, NOTHING,
     CPUID_1_ECX_SSE3 | CPUID_1_ECX_PCLMULQDQ | CPUID_1_ECX_SSSE3 | CPUID_1_ECX_CMPXCHG16B |
	 CPUID_1_ECX_SSE41 | CPUID_1_ECX_SSE42 | CPUID_1_ECX_MOVBE | CPUID_1_ECX_POPCNT |
	 CPUID_1_ECX_AES | CPUID_1_ECX_RDRAND},
    {1, 0, ECX, XSAVE, CPUID_1_ECX_XSAVE},
    {1, 0, ECX, AVX, CPUID_1_ECX_AVX | CPUID_1_ECX_FMA | CPUID_1_ECX_F16C},
    {1, 0, ECX, CR4_PCIDE, CPUID_1_ECX_PCID},
    {1, 0, EDX, NOTHING,
     CPUID_1_EDX_FPU | CPUID_1_EDX_VME | CPUID_1_EDX_DE | CPUID_1_EDX_PSE | CPUID_1_EDX_TSC |
	 CPUID_1_EDX_MSR | CPUID_1_EDX_PAE | CPUID_1_EDX_CX8 | CPUID_1_EDX_SEP | CPUID_1_EDX_PGE |
	 CPUID_1_EDX_CMOV | CPUID_1_EDX_PAT | CPUID_1_EDX_PSE36 | CPUID_1_EDX_CLFSH |
	 CPUID_1_EDX_MMX | CPUID_1_EDX_FXSR | CPUID_1_EDX_SSE | CPUID_1_EDX_SSE2 | CPUID_1_EDX_SS},
    /* Bits 6 and 13 say that the processor lacks something. */
    {7, 0, EBX, NOTHING,
     CPUID_7_EBX_BMI1 | CPUID_7_EBX_BMI2 | CPUID_7_EBX_ERMS | CPUID_7_EBX_RDSEED | CPUID_7_EBX_ADX |
	 CPUID_7_EBX_CLFLUSHOPT | CPUID_7_EBX_CLWB | CPUID_7_EBX_SHA | BIT32(6) | BIT32(13)},
    {7, 0, EBX, AVX, CPUID_7_EBX_AVX2},
    {7, 0, EBX, AVX512,
     CPUID_7_EBX_AVX512F | CPUID_7_EBX_AVX512DQ | BIT32(21) /* IFMA */ | CPUID_7_EBX_AVX512CD |
	 CPUID_7_EBX_AVX512BW | CPUID_7_EBX_AVX512VL},
    {7, 0, EBX, INVPCID, CPUID_7_EBX_INVPCID},
    {7, 0, EBX, CR4_FSGSBASE, CPUID_7_EBX_FSGSBASE},
    {7, 0, EBX, CR4_SMEP, CPUID_7_EBX_SMEP},
    {7, 0, EBX, CR4_SMAP, CPUID_7_EBX_SMAP},
    /* GFNI, CLDEMOTE, MOVDIRI, MOVDIR64B */
    {7, 0, ECX, NOTHING, BIT32(8) | BIT32(25) | BIT32(27) | BIT32(28)},
    {7, 0, ECX, AVX, BIT32(9) | BIT32(10)}, /* VAES, VPCLMULQDQ */
    {7, 0, ECX, AVX512, BIT32(1) | BIT32(6) | BIT32(11) | BIT32(12) | BIT32(14)},
    {7, 0, ECX, RDTSCP, CPUID_7_ECX_RDPID},
    {7, 0, ECX, CR4_UMIP, CPUID_7_ECX_UMIP},
    {7, 0, ECX, CR4_PKE, CPUID_7_ECX_PKU},
    {7, 0, EDX, NOTHING, BIT32(4) | CPUID_7_EDX_MD_CLEAR | BIT32(14)}, /* FSRM, SERIALIZE */
    {7, 0, EDX, AVX512, BIT32(8)},				       /* VP2INTERSECT */
    {7, 1, EAX, NOTHING, BIT32(10) | BIT32(11) | BIT32(12)}, /* fast short string operations */
    {7, 1, EAX, AVX, BIT32(4) | BIT32(23)},		     /* AVX-VNNI, AVX-IFMA */
    {7, 1, EAX, AVX512, BIT32(5)},			     /* BF16 */
    {0x80000001, 0, ECX, NOTHING,
     CPUID_80000001_ECX_LAHF | CPUID_80000001_ECX_LZCNT | CPUID_80000001_ECX_PREFETCHW},
    {0x80000001, 0, EDX, NOTHING,
     CPUID_80000001_EDX_SYSCALL | CPUID_80000001_EDX_NX | CPUID_80000001_EDX_PAGE1GB |
	 CPUID_80000001_EDX_LONG_MODE},
    {0x80000001, 0, EDX, RDTSCP, CPUID_80000001_EDX_RDTSCP},
    {0x80000007, 0, EDX, NOTHING, CPUID_80000007_EDX_INVARIANT_TSC},
};
_Static_assert(CR4_UMIP >= NEEDS && CR4_FSGSBASE >= NEEDS && CR4_PCIDE >= NEEDS &&
		   CR4_SMEP >= NEEDS && CR4_SMAP >= NEEDS && CR4_PKE >= NEEDS,
	       "a bit of CR4 is told from the other needs");

#define LEAF_D_1_EAX (CPUID_D_1_EAX_XSAVEOPT | CPUID_D_1_EAX_XSAVEC | CPUID_D_1_EAX_XGETBV1)

#define LEAF_1_EBX_BRAND_CLFLUSH 0x0000ffffu /* above: processors, APIC id */
#define LEAF_4_EAX_CACHE	 0x000003ffu /* above: processors that share it, cores */
#define LEAF_80000008_PHYSICAL	 0x000000ffu
#define LINEAR_BITS		 48u /* no 5-level paging */
#define LINEAR_BITS_SHIFT	 8

#define AVX512_STATE (XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM)

static bool is_met(const struct cpuid_source *s, uint64_t need)
{
	const bool met[NEEDS] = {
	    [NOTHING] = true,
	    [XSAVE] = s->xcr0_offered != 0,
	    [AVX] = s->xcr0_offered & XCR0_AVX,
	    [AVX512] = (s->xcr0_offered & AVX512_STATE) == AVX512_STATE,
	    [INVPCID] = s->invpcid,
	    [RDTSCP] = s->rdtscp,
	};

	return need < NEEDS ? met[need] : (s->cr4_offered & need) != 0;
}

/* A leaf of the processor's; zero beyond the last one. */
static void host_leaf(const struct cpuid_source *s, uint32_t leaf, uint32_t subleaf,
		      uint32_t out[4])
{
	s->host(leaf & EXTENDED_BASE, 0, out);
	bool there = leaf <= out[EAX];
	if (there && leaf == 7 && subleaf) {
		s->host(leaf, 0, out);
		there = subleaf <= out[EAX];
	}
	__builtin_memset(out, 0, 4 * sizeof(*out));
	if (there)
		s->host(leaf, subleaf, out);
}

static uint32_t *policy_of(uint32_t leaf, uint32_t subleaf)
{
	return leaf == 1   ? guest_cpuid_basic.leaves[1]
	       : leaf == 7 ? guest_cpuid_policy.features[subleaf]
			   : guest_cpuid_policy.extended[leaf - EXTENDED_BASE];
}

static void build_features(const struct cpuid_source *s)
{
	uint32_t *leaf_1 = guest_cpuid_basic.leaves[1], host[4];

	host_leaf(s, 1, 0, host);
	leaf_1[EAX] = host[EAX];
	leaf_1[EBX] = host[EBX] & LEAF_1_EBX_BRAND_CLFLUSH;
	leaf_1[ECX] = LEAF_1_ECX_OURS;
	leaf_1[EDX] = LEAF_1_EDX_OURS;
	guest_cpuid_policy.features[0][EBX] = CPUID_7_EBX_TSC_ADJUST;
	host_leaf(s, 7, 0, host);
	guest_cpuid_policy.features[0][EAX] = host[EAX] >= 1 ? 1 : 0;
	for (unsigned i = 0; i < array_size(offered); i++) {
		uint32_t *out = policy_of(offered[i].leaf, offered[i].subleaf);

		host_leaf(s, offered[i].leaf, offered[i].subleaf, host);
		if (is_met(s, offered[i].need))
			out[offered[i].reg] |= host[offered[i].reg] & offered[i].bits;
	}
}

static void build_xsave(const struct cpuid_source *s)
{
	struct guest_cpuid_policy *p = &guest_cpuid_policy;
	uint32_t host[4];

	host_leaf(s, 0xd, 0, host);
	if (!s->xcr0_offered || !host[EAX])
		return;
	p->xsave[0][EAX] = (uint32_t)s->xcr0_offered;
	uint32_t size = XSAVE_LEGACY_SIZE;
	for (uint32_t c = 2; c < SUBLEAVES_D; c++) {
		if (!(s->xcr0_offered & BIT64(c)))
			continue;
		s->host(0xd, c, host);
		p->xsave[c][EAX] = host[EAX];
		p->xsave[c][EBX] = host[EBX];
		p->xsave[c][ECX] = host[ECX] & BIT32(1); /* aligned in the compacted format */
		if (host[EBX] + host[EAX] > size)
			size = host[EBX] + host[EAX];
	}
	p->xsave[0][ECX] = size;
	s->host(0xd, 1, host);
	p->xsave[1][EAX] = host[EAX] & LEAF_D_1_EAX;
}

static void build_extended(const struct cpuid_source *s)
{
	struct guest_cpuid_policy *p = &guest_cpuid_policy;
	uint32_t host[4];

	s->host(EXTENDED_BASE, 0, host);
	p->extended_max = host[EAX] < EXTENDED_MAX ? host[EAX] : EXTENDED_MAX;
	if (p->extended_max < EXTENDED_BASE)
		p->extended_max = EXTENDED_BASE;
	p->extended[0][EAX] = p->extended_max;
	for (uint32_t leaf = 2; leaf <= 4; leaf++) /* the name */
		host_leaf(s, EXTENDED_BASE + leaf, 0, p->extended[leaf]);
	host_leaf(s, EXTENDED_BASE + 6, 0, host);
	p->extended[6][ECX] = host[ECX]; /* second-level cache */
	host_leaf(s, EXTENDED_BASE + 8, 0, host);
	if (p->extended_max >= EXTENDED_BASE + 8)
		p->extended[8][EAX] =
		    (host[EAX] & LEAF_80000008_PHYSICAL) | LINEAR_BITS << LINEAR_BITS_SHIFT;
}

/* nanoseconds = (ticks << shift) * multiplier >> 32; a negative shift is to the right. */
static void tsc_scale(uint32_t khz, uint32_t *multiplier, int32_t *shift)
{
	uint64_t hz = (uint64_t)khz * 1000;

	*shift = 0;
	*multiplier = 0;
	if (!hz)
		return;
	while (hz > 2000000000u) {
		hz >>= 1;
		--*shift;
	}
	while (hz <= 1000000000u) {
		hz <<= 1;
		++*shift;
	}
	*multiplier = (uint32_t)((1000000000ull << 32) / hz);
}

static void build_tsc(const struct cpuid_source *s)
{
	struct guest_cpuid_policy *p = &guest_cpuid_policy;
	int32_t shift;
	bool invariant = p->extended[7][EDX] & CPUID_80000007_EDX_INVARIANT_TSC;

	p->tsc[0][EAX] = (invariant ? XEN_CPUID_HOST_TSC_RELIABLE : 0) |
			 (s->rdtscp ? XEN_CPUID_RDTSCP_INSTR_AVAIL : 0);
	p->tsc[0][EBX] = XEN_CPUID_TSC_MODE_DEFAULT;
	p->tsc[0][ECX] = s->tsc_khz;
	tsc_scale(s->tsc_khz, &p->tsc[1][ECX], &shift);
	p->tsc[1][EDX] = (uint32_t)shift;
	p->tsc[2][EAX] = s->tsc_khz;
}

/*
 * The clock of the local APIC as the crystal, and the TSC as a multiple of it; the processor's
 * frequencies, or the TSC's where it does not tell them.
 */
static void build_frequencies(const struct cpuid_source *s)
{
	uint32_t *crystal = guest_cpuid_basic.leaves[0x15], *mhz = guest_cpuid_basic.leaves[0x16];

	crystal[EAX] = 1;
	crystal[EBX] = 1u << s->apic_clock_shift;
	crystal[ECX] = (uint32_t)((uint64_t)s->tsc_khz * 1000 >> s->apic_clock_shift);
	host_leaf(s, 0x16, 0, mhz);
	mhz[EDX] = 0;
	if (!mhz[EAX])
		mhz[EAX] = s->tsc_khz / 1000;
}

/* Computes the table. At boot, before the first guest runs. */
void guest_cpuid_build(const struct cpuid_source *s)
{
	uint32_t *vendor = guest_cpuid_basic.leaves[0];

	__builtin_memset(&guest_cpuid_policy, 0, sizeof(guest_cpuid_policy));
	__builtin_memset(&guest_cpuid_basic, 0, sizeof(guest_cpuid_basic));
	s->host(0, 0, vendor);
	vendor[EAX] = guest_cpuid_basic.max = BASIC_MAX;
	build_features(s);
	host_leaf(s, 2, 0, guest_cpuid_basic.leaves[2]); /* cache descriptors */
	for (uint32_t i = 0; i < SUBLEAVES_4; i++) {
		uint32_t *cache = guest_cpuid_policy.caches[i];

		host_leaf(s, 4, i, cache);
		if (!(cache[EAX] & 0x1f)) {
			__builtin_memset(cache, 0, sizeof(guest_cpuid_policy.caches[i]));
			break;
		}
		cache[EAX] &= LEAF_4_EAX_CACHE; /* nobody else uses it */
	}
	build_xsave(s);
	guest_cpuid_basic.leaves[6][EAX] = CPUID_6_EAX_ARAT;
	build_frequencies(s);
	build_extended(s);
	build_tsc(s);
}

#ifndef KEYHOLE_HOST_TEST
#include "cpu.h"
#include "drivers/tsc.h"
#include "vmx/vlapic.h"
#include "vmx/vmx.h"

static void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	const struct cpuid r = cpuid(leaf, subleaf);

	__builtin_memcpy(out, &r, sizeof(r));
}

/* Computes the table for this machine. After vmx_init() and tsc_init(), before the first guest. */
void guest_cpuid_init(void)
{
	vlapic_clock_init(tsc_khz());
	struct cpuid_source source = {
	    .host = host_cpuid,
	    .xcr0_offered = vmx_machine.xsave ? vmx_machine.xcr0_offered : 0,
	    .cr4_offered = vmx_machine.cr4_offered,
	    .rdtscp = vmx_machine.rdtscp,
	    .invpcid = vmx_machine.controls.value[VMX_PROC2] & PROC2_INVPCID,
	    .tsc_khz = (uint32_t)tsc_khz(),
	    .apic_clock_shift = vlapic_clock.shift,
	};

	guest_cpuid_build(&source);
}
#endif
