/*
 * CPUID as guests see it.
 *
 * An allow-list: a feature is offered if it is named here and the processor has it and the
 * hypervisor lets a guest use it (CR4 bits, XCR0 components, instructions with a control of their
 * own). Leaves and bits that are not named read as zero, so that a new processor brings nothing
 * unforeseen.
 *
 * State: one table, computed at boot (guest_cpuid_init) and constant from then on: no lock, and
 * ready for many CPUs. The few bits that mirror the vCPU's own registers or identity are filled in
 * for each execution.
 *
 * Sources: SDM Vol. 2, "CPUID—CPU Identification"; Xen, public/arch-x86/cpuid.h.
 */
#include "kernel/guest_cpuid.h"
#include "cpu_bits.h"
#include "kernel/domain.h"
#include "percpu.h"
#include "public/cpuid.h"
#include "public/xen.h"
#include "vcpu.h"

enum { EAX, EBX, ECX, EDX };

#define BASIC_MAX     0x16u /* processor frequencies: the last leaf with something for a guest */
#define EXTENDED_BASE 0x80000000u
#define EXTENDED_MAX  0x80000008u
#define XEN_LEAF_MAX  4u
#define OWN_LEAF_MAX  2u
#define SUBLEAVES_4   6u /* caches */
#define SUBLEAVES_7   2u
#define SUBLEAVES_D   10u /* state components up to PKRU */

#define XEN_VERSION (4u << 16 | 17u)

static struct {
	uint32_t extended_max;
	uint32_t extended[EXTENDED_MAX - EXTENDED_BASE + 1][4];
	uint32_t caches[SUBLEAVES_4][4];
	uint32_t features[SUBLEAVES_7][4];
	uint32_t xsave[SUBLEAVES_D][4];
	uint32_t tsc[3][4]; /* Xen's leaf 3 */
} policy;

struct guest_cpuid_basic guest_cpuid_basic;
_Static_assert(GUEST_CPUID_LEAVES == BASIC_MAX + 1, "vcpu.h");

/* --- features that need nothing but the processor --------------------------------------------- */

#define LEAF_1_ECX                                                                               \
	(CPUID_1_ECX_SSE3 | CPUID_1_ECX_PCLMULQDQ | CPUID_1_ECX_SSSE3 | CPUID_1_ECX_CMPXCHG16B | \
	 CPUID_1_ECX_SSE41 | CPUID_1_ECX_SSE42 | CPUID_1_ECX_MOVBE | CPUID_1_ECX_POPCNT |        \
	 CPUID_1_ECX_AES | CPUID_1_ECX_RDRAND)
/* What the hypervisor provides, whatever the processor has. */
#define LEAF_1_ECX_OURS (CPUID_1_ECX_HYPERVISOR | CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE)
#define LEAF_1_EDX_OURS (CPUID_1_EDX_MCE | CPUID_1_EDX_APIC | CPUID_1_EDX_MTRR | CPUID_1_EDX_MCA)
/* With CPUID_1_ECX_AVX only. */
#define LEAF_1_ECX_AVX (CPUID_1_ECX_AVX | CPUID_1_ECX_FMA | CPUID_1_ECX_F16C)
#define LEAF_1_EDX                                                                                 \
	(CPUID_1_EDX_FPU | CPUID_1_EDX_VME | CPUID_1_EDX_DE | CPUID_1_EDX_PSE | CPUID_1_EDX_TSC |  \
	 CPUID_1_EDX_MSR | CPUID_1_EDX_PAE | CPUID_1_EDX_CX8 | CPUID_1_EDX_SEP | CPUID_1_EDX_PGE | \
	 CPUID_1_EDX_CMOV | CPUID_1_EDX_PAT | CPUID_1_EDX_PSE36 | CPUID_1_EDX_CLFSH |              \
	 CPUID_1_EDX_MMX | CPUID_1_EDX_FXSR | CPUID_1_EDX_SSE | CPUID_1_EDX_SSE2 | CPUID_1_EDX_SS)

/* Bits 6 and 13 say that the processor lacks something: they are passed on. */
#define LEAF_7_EBX_LACKS (BIT32(6) | BIT32(13))
#define LEAF_7_EBX                                                                       \
	(CPUID_7_EBX_BMI1 | CPUID_7_EBX_BMI2 | CPUID_7_EBX_ERMS | CPUID_7_EBX_RDSEED |   \
	 CPUID_7_EBX_ADX | CPUID_7_EBX_CLFLUSHOPT | CPUID_7_EBX_CLWB | CPUID_7_EBX_SHA | \
	 LEAF_7_EBX_LACKS)
#define LEAF_7_EBX_AVX CPUID_7_EBX_AVX2
#define LEAF_7_EBX_AVX512                                                    \
	(CPUID_7_EBX_AVX512F | CPUID_7_EBX_AVX512DQ | BIT32(21) /* IFMA */ | \
	 CPUID_7_EBX_AVX512CD | CPUID_7_EBX_AVX512BW | CPUID_7_EBX_AVX512VL)
#define LEAF_7_ECX_GFNI	    BIT32(8)
#define LEAF_7_ECX_AVX	    (BIT32(9) | BIT32(10)) /* VAES, VPCLMULQDQ */
#define LEAF_7_ECX_AVX512   (BIT32(1) | BIT32(6) | BIT32(11) | BIT32(12) | BIT32(14))
#define LEAF_7_ECX_MOVDIR   (BIT32(25) | BIT32(27) | BIT32(28)) /* CLDEMOTE, MOVDIRI, MOVDIR64B */
#define LEAF_7_EDX	    (BIT32(4) | CPUID_7_EDX_MD_CLEAR | BIT32(14)) /* FSRM, SERIALIZE */
#define LEAF_7_EDX_AVX512   BIT32(8)					  /* VP2INTERSECT */
#define LEAF_7_1_EAX	    (BIT32(10) | BIT32(11) | BIT32(12)) /* fast short string operations */
#define LEAF_7_1_EAX_AVX    (BIT32(4) | BIT32(23))		/* AVX-VNNI, AVX-IFMA */
#define LEAF_7_1_EAX_AVX512 BIT32(5)				/* BF16 */

#define LEAF_D_1_EAX (CPUID_D_1_EAX_XSAVEOPT | CPUID_D_1_EAX_XSAVEC | CPUID_D_1_EAX_XGETBV1)

#define LEAF_80000001_ECX \
	(CPUID_80000001_ECX_LAHF | CPUID_80000001_ECX_LZCNT | CPUID_80000001_ECX_PREFETCHW)
#define LEAF_80000001_EDX                                                                  \
	(CPUID_80000001_EDX_SYSCALL | CPUID_80000001_EDX_NX | CPUID_80000001_EDX_PAGE1GB | \
	 CPUID_80000001_EDX_LONG_MODE)

#define LEAF_1_EBX_BRAND_CLFLUSH 0x0000ffffu /* above: processors, APIC id */
#define LEAF_4_EAX_CACHE	 0x000003ffu /* above: processors that share it, cores */
#define LEAF_4_EAX_CORES_SHIFT	 26
#define LEAF_80000008_PHYSICAL	 0x000000ffu
#define LINEAR_BITS		 48u /* no 5-level paging */
#define LINEAR_BITS_SHIFT	 8
#define XSAVE_LEGACY_SIZE	 576u /* legacy region and header */

#define AVX512_STATE (XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM)

/* Features that go with a bit of CR4: offered if the bit is. */
static const struct {
	uint64_t cr4;
	uint8_t leaf, reg; /* leaf 1 or 7 */
	uint32_t bit;
} cr4_features[] = {
    {CR4_PCIDE, 1, ECX, CPUID_1_ECX_PCID}, {CR4_FSGSBASE, 7, EBX, CPUID_7_EBX_FSGSBASE},
    {CR4_SMEP, 7, EBX, CPUID_7_EBX_SMEP},  {CR4_SMAP, 7, EBX, CPUID_7_EBX_SMAP},
    {CR4_UMIP, 7, ECX, CPUID_7_ECX_UMIP},  {CR4_PKE, 7, ECX, CPUID_7_ECX_PKU},
};

/* --- the table -------------------------------------------------------------------------------- */

static void build_features(const struct cpuid_source *s, uint32_t host_max)
{
	uint32_t l1[4], l7[4] = {0}, l71[4] = {0};
	bool avx = (s->xcr0_offered & XCR0_AVX) != 0;
	bool avx512 = (s->xcr0_offered & AVX512_STATE) == AVX512_STATE;
	uint32_t *out1 = guest_cpuid_basic.leaves[1], *out7 = policy.features[0];

	s->host(1, 0, l1);
	out1[EAX] = l1[EAX];
	out1[EBX] = l1[EBX] & LEAF_1_EBX_BRAND_CLFLUSH;
	out1[ECX] = (l1[ECX] & (LEAF_1_ECX | (avx ? LEAF_1_ECX_AVX : 0) |
				(s->xcr0_offered ? CPUID_1_ECX_XSAVE : 0))) |
		    LEAF_1_ECX_OURS;
	out1[EDX] = (l1[EDX] & LEAF_1_EDX) | LEAF_1_EDX_OURS;
	out7[EBX] = CPUID_7_EBX_TSC_ADJUST;
	if (host_max >= 7) {
		s->host(7, 0, l7);
		if (l7[EAX] >= 1)
			s->host(7, 1, l71);
		out7[EAX] = l7[EAX] >= 1 ? 1 : 0;
		out7[EBX] |= l7[EBX] & (LEAF_7_EBX | (avx ? LEAF_7_EBX_AVX : 0) |
					(avx512 ? LEAF_7_EBX_AVX512 : 0) |
					(s->invpcid ? CPUID_7_EBX_INVPCID : 0));
		out7[ECX] =
		    l7[ECX] &
		    (LEAF_7_ECX_GFNI | LEAF_7_ECX_MOVDIR | (avx ? LEAF_7_ECX_AVX : 0) |
		     (avx512 ? LEAF_7_ECX_AVX512 : 0) | (s->rdtscp ? CPUID_7_ECX_RDPID : 0));
		out7[EDX] = l7[EDX] & (LEAF_7_EDX | (avx512 ? LEAF_7_EDX_AVX512 : 0));
		policy.features[1][EAX] = l71[EAX] & (LEAF_7_1_EAX | (avx ? LEAF_7_1_EAX_AVX : 0) |
						      (avx512 ? LEAF_7_1_EAX_AVX512 : 0));
	}
	for (unsigned i = 0; i < array_size(cr4_features); i++) {
		unsigned reg = cr4_features[i].reg;
		bool first = cr4_features[i].leaf == 1;
		if (s->cr4_offered & cr4_features[i].cr4)
			(first ? out1 : out7)[reg] |= (first ? l1 : l7)[reg] & cr4_features[i].bit;
	}
}

static void build_xsave(const struct cpuid_source *s, uint32_t host_max)
{
	uint32_t host[4];

	if (!s->xcr0_offered || host_max < 0xd)
		return;
	policy.xsave[0][EAX] = (uint32_t)s->xcr0_offered;
	uint32_t size = XSAVE_LEGACY_SIZE;
	for (uint32_t c = 2; c < SUBLEAVES_D; c++) {
		if (!(s->xcr0_offered & BIT64(c)))
			continue;
		s->host(0xd, c, host);
		policy.xsave[c][EAX] = host[EAX];
		policy.xsave[c][EBX] = host[EBX];
		policy.xsave[c][ECX] = host[ECX] & BIT32(1); /* aligned in the compacted format */
		if (host[EBX] + host[EAX] > size)
			size = host[EBX] + host[EAX];
	}
	policy.xsave[0][ECX] = size;
	s->host(0xd, 1, host);
	policy.xsave[1][EAX] = host[EAX] & LEAF_D_1_EAX;
}

static void build_extended(const struct cpuid_source *s)
{
	uint32_t host[4];

	s->host(EXTENDED_BASE, 0, host);
	policy.extended_max = host[EAX] < EXTENDED_MAX ? host[EAX] : EXTENDED_MAX;
	if (policy.extended_max < EXTENDED_BASE)
		policy.extended_max = EXTENDED_BASE;
	policy.extended[0][EAX] = policy.extended_max;
	for (uint32_t leaf = EXTENDED_BASE + 1; leaf <= policy.extended_max; leaf++) {
		uint32_t *out = policy.extended[leaf - EXTENDED_BASE];
		s->host(leaf, 0, host);
		switch (leaf - EXTENDED_BASE) {
		case 1:
			out[ECX] = host[ECX] & LEAF_80000001_ECX;
			out[EDX] = host[EDX] & (LEAF_80000001_EDX |
						(s->rdtscp ? CPUID_80000001_EDX_RDTSCP : 0));
			break;
		case 2:
		case 3:
		case 4: /* the name */
			__builtin_memcpy(out, host, sizeof(host));
			break;
		case 6: /* second-level cache */
			out[ECX] = host[ECX];
			break;
		case 7:
			out[EDX] = host[EDX] & CPUID_80000007_EDX_INVARIANT_TSC;
			break;
		case 8:
			out[EAX] = (host[EAX] & LEAF_80000008_PHYSICAL) | LINEAR_BITS
									      << LINEAR_BITS_SHIFT;
			break;
		}
	}
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
	int32_t shift;
	bool invariant = policy.extended[7][EDX] & CPUID_80000007_EDX_INVARIANT_TSC;

	policy.tsc[0][EAX] = (invariant ? XEN_CPUID_HOST_TSC_RELIABLE : 0) |
			     (s->rdtscp ? XEN_CPUID_RDTSCP_INSTR_AVAIL : 0);
	policy.tsc[0][EBX] = XEN_CPUID_TSC_MODE_DEFAULT;
	policy.tsc[0][ECX] = s->tsc_khz;
	tsc_scale(s->tsc_khz, &policy.tsc[1][ECX], &shift);
	policy.tsc[1][EDX] = (uint32_t)shift;
	policy.tsc[2][EAX] = s->tsc_khz;
}

/*
 * The clock of the local APIC as the crystal, and the TSC as a multiple of it; the processor's
 * frequencies, or the TSC's where it does not tell them.
 */
static void build_frequencies(const struct cpuid_source *s, uint32_t host_max)
{
	uint32_t *crystal = guest_cpuid_basic.leaves[0x15], *mhz = guest_cpuid_basic.leaves[0x16];

	crystal[EAX] = 1;
	crystal[EBX] = 1u << s->apic_clock_shift;
	crystal[ECX] = (uint32_t)((uint64_t)s->tsc_khz * 1000 >> s->apic_clock_shift);
	if (host_max >= 0x16)
		s->host(0x16, 0, mhz);
	mhz[EDX] = 0;
	if (!mhz[EAX])
		mhz[EAX] = s->tsc_khz / 1000;
}

/* Computes the table. At boot, before the first guest runs. */
void guest_cpuid_build(const struct cpuid_source *s)
{
	uint32_t host[4], host_max;

	__builtin_memset(&policy, 0, sizeof(policy));
	__builtin_memset(&guest_cpuid_basic, 0, sizeof(guest_cpuid_basic));
	s->host(0, 0, host);
	host_max = host[EAX];
	guest_cpuid_basic.max = BASIC_MAX;
	guest_cpuid_basic.leaves[0][EAX] = guest_cpuid_basic.max;
	guest_cpuid_basic.leaves[0][EBX] = host[EBX];
	guest_cpuid_basic.leaves[0][ECX] = host[ECX];
	guest_cpuid_basic.leaves[0][EDX] = host[EDX];
	build_features(s, host_max);
	if (host_max >= 2)
		s->host(2, 0, guest_cpuid_basic.leaves[2]); /* cache descriptors */
	for (uint32_t i = 0; host_max >= 4 && i < SUBLEAVES_4; i++) {
		s->host(4, i, policy.caches[i]);
		if (!(policy.caches[i][EAX] & 0x1f)) {
			__builtin_memset(policy.caches[i], 0, sizeof(policy.caches[i]));
			break;
		}
		policy.caches[i][EAX] &= LEAF_4_EAX_CACHE; /* nobody else uses it */
	}
	build_xsave(s, host_max);
	guest_cpuid_basic.leaves[6][EAX] = CPUID_6_EAX_ARAT;
	build_frequencies(s, host_max);
	build_extended(s);
	build_tsc(s);
}

/* --- looking up ------------------------------------------------------------------------------- */

static void set(uint32_t out[4], uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	out[EAX] = a;
	out[EBX] = b;
	out[ECX] = c;
	out[EDX] = d;
}

static void xen_leaf(uint32_t n, uint32_t subleaf, uint32_t out[4])
{
	const struct vcpu_shared *v = this_cpu()->current;

	switch (n) {
	case 0:
		set(out, XEN_CPUID_LEAF(XEN_LEAF_MAX), XEN_CPUID_SIGNATURE_EBX,
		    XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX);
		break;
	case 1:
		set(out, XEN_VERSION, 0, 0, 0);
		break;
	case 2: /* one page */
		set(out, 1, XEN_HYPERCALL_MSR, 0, 0);
		break;
	case 3:
		if (subleaf < array_size(policy.tsc))
			__builtin_memcpy(out, policy.tsc[subleaf], sizeof(policy.tsc[0]));
		break;
	case 4:
		if (subleaf == 0)
			set(out,
			    XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT |
				XEN_HVM_CPUID_UPCALL_VECTOR,
			    v->id, v->domain->id, 0);
		break;
	}
}

static void own_leaf(uint32_t n, uint32_t subleaf, uint32_t out[4])
{
	if (n == 0) {
		set(out, KEYHOLE_CPUID_LEAF(OWN_LEAF_MAX), KEYHOLE_CPUID_SIGNATURE_EBX,
		    KEYHOLE_CPUID_SIGNATURE_ECX, KEYHOLE_CPUID_SIGNATURE_EDX);
	} else if (n == 1) {
		set(out, KEYHOLE_CPUID_CALL_PHYSICAL, 0, 0, 0);
	} else if (subleaf < DOMAIN_RANGES_MAX) {
		struct domain_range range =
		    domain_foreign_range(this_cpu()->current->domain, subleaf);
		uint64_t first = range.start >> PAGE_SHIFT, count = range.size >> PAGE_SHIFT;

		if (count)
			set(out, (uint32_t)first, (uint32_t)(first >> 32), (uint32_t)count,
			    (uint32_t)(count >> 32));
	}
}

/* Size of the XSAVE area for the components enabled in xcr0, standard format. */
static uint32_t xsave_size(uint64_t xcr0)
{
	uint32_t size = XSAVE_LEGACY_SIZE;

	for (unsigned c = 2; c < SUBLEAVES_D; c++)
		if (xcr0 & BIT64(c) && policy.xsave[c][EBX] + policy.xsave[c][EAX] > size)
			size = policy.xsave[c][EBX] + policy.xsave[c][EAX];
	return size;
}

static uint32_t xsave_size_compact(uint64_t xcr0)
{
	uint32_t size = XSAVE_LEGACY_SIZE;

	for (unsigned c = 2; c < SUBLEAVES_D; c++) {
		if (!(xcr0 & BIT64(c)))
			continue;
		if (policy.xsave[c][ECX] & BIT32(1))
			size = (size + 63) & ~63u;
		size += policy.xsave[c][EAX];
	}
	return size;
}

/* Bits of an APIC id that tell the current domain's vCPUs apart. */
static uint32_t topology_shift(void)
{
	uint32_t count = this_cpu()->current->domain->vcpu_count, shift = 0;

	while (count > 1u << shift)
		shift++;
	return shift;
}

static void basic_leaf(const struct guest_cpuid_state *s, uint32_t leaf, uint32_t subleaf,
		       uint32_t out[4])
{
	switch (leaf) {
	case 1:
		__builtin_memcpy(out, guest_cpuid_basic.leaves[1],
				 sizeof(guest_cpuid_basic.leaves[1]));
		/* The initial APIC id, and places for that many. */
		out[EBX] |= 1u << topology_shift() << 16 | this_cpu()->current->id << 24;
		if (topology_shift())
			out[EDX] |= CPUID_1_EDX_HTT;
		if (s->cr4 & CR4_OSXSAVE)
			out[ECX] |= CPUID_1_ECX_OSXSAVE;
		if (!s->apic)
			out[EDX] &= ~CPUID_1_EDX_APIC;
		break;
	case 4:
		if (subleaf < SUBLEAVES_4)
			__builtin_memcpy(out, policy.caches[subleaf], sizeof(policy.caches[0]));
		if (out[EAX])
			out[EAX] |= ((1u << topology_shift()) - 1) << LEAF_4_EAX_CORES_SHIFT;
		break;
	case 7:
		if (subleaf < SUBLEAVES_7)
			__builtin_memcpy(out, policy.features[subleaf], sizeof(policy.features[0]));
		if (subleaf == 0 && s->cr4 & CR4_PKE)
			out[ECX] |= CPUID_7_ECX_OSPKE;
		break;
	case 0xb: /* a thread in a core, cores in a package; level type in ECX 15:8 */
		set(out, 0, 0, subleaf & 0xff, this_cpu()->current->id);
		if (subleaf == 0)
			out[EBX] = 1;
		else if (subleaf == 1)
			set(out, topology_shift(), this_cpu()->current->domain->vcpu_count,
			    out[ECX], out[EDX]);
		if (subleaf < 2)
			out[ECX] |= (subleaf + 1) << 8;
		break;
	case 0xd:
		if (subleaf >= SUBLEAVES_D || !policy.xsave[0][EAX])
			break;
		__builtin_memcpy(out, policy.xsave[subleaf], sizeof(policy.xsave[0]));
		if (subleaf == 0)
			out[EBX] = xsave_size(s->xcr0);
		else if (subleaf == 1 && out[EAX] & CPUID_D_1_EAX_XSAVEC)
			out[EBX] = xsave_size_compact(s->xcr0);
		break;
	default: /* what is not offered is zero in the table */
		__builtin_memcpy(out, guest_cpuid_basic.leaves[leaf],
				 sizeof(guest_cpuid_basic.leaves[0]));
	}
}

/*
 * What CPUID gives the current vCPU: out is EAX EBX ECX EDX. Leaves beyond the last of each range
 * read as zero.
 */
void guest_cpuid(const struct guest_cpuid_state *s, uint32_t leaf, uint32_t subleaf,
		 uint32_t out[4])
{
	set(out, 0, 0, 0, 0);
	if (leaf <= guest_cpuid_basic.max)
		basic_leaf(s, leaf, subleaf, out);
	else if (leaf >= EXTENDED_BASE && leaf <= policy.extended_max)
		__builtin_memcpy(out, policy.extended[leaf - EXTENDED_BASE],
				 sizeof(policy.extended[0]));
	else if (leaf >= XEN_CPUID_FIRST_LEAF && leaf <= XEN_CPUID_LEAF(XEN_LEAF_MAX))
		xen_leaf(leaf - XEN_CPUID_FIRST_LEAF, subleaf, out);
	else if (leaf >= KEYHOLE_CPUID_FIRST_LEAF && leaf <= KEYHOLE_CPUID_LEAF(OWN_LEAF_MAX))
		own_leaf(leaf - KEYHOLE_CPUID_FIRST_LEAF, subleaf, out);
}

#ifndef KEYHOLE_HOST_TEST
#include "cpu.h"
#include "drivers/tsc.h"
#include "vmx/vlapic.h"
#include "vmx/vmx.h"

static void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	cpuid(leaf, subleaf, &out[EAX], &out[EBX], &out[ECX], &out[EDX]);
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
