/*
 * CPUID as guests see it: looking it up. Most is a constant table (kernel/guest_cpuid_build.c); the
 * few bits that mirror the vCPU's own registers or identity are filled in for each execution.
 *
 * State: none. No lock. Sources: as there.
 */
#include "cpu_bits.h"
#include "guest_cpuid_policy.h"
#include "kernel/domain.h"
#include "percpu.h"
#include "public/cpuid.h"
#include "vcpu.h"

#define XEN_LEAF_MAX	       4u
#define OWN_LEAF_MAX	       2u
#define XEN_VERSION	       (4u << 16 | 17u)
#define LEAF_4_EAX_CORES_SHIFT 26

static void set(uint32_t out[4], uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	out[EAX] = a;
	out[EBX] = b;
	out[ECX] = c;
	out[EDX] = d;
}

static void copy(uint32_t out[4], const uint32_t from[4])
{
	set(out, from[EAX], from[EBX], from[ECX], from[EDX]);
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
		if (subleaf < array_size(guest_cpuid_policy.tsc))
			copy(out, guest_cpuid_policy.tsc[subleaf]);
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
		if (xcr0 & BIT64(c) &&
		    guest_cpuid_policy.xsave[c][EBX] + guest_cpuid_policy.xsave[c][EAX] > size)
			size = guest_cpuid_policy.xsave[c][EBX] + guest_cpuid_policy.xsave[c][EAX];
	return size;
}

static uint32_t xsave_size_compact(uint64_t xcr0)
{
	uint32_t size = XSAVE_LEGACY_SIZE;

	for (unsigned c = 2; c < SUBLEAVES_D; c++) {
		if (!(xcr0 & BIT64(c)))
			continue;
		if (guest_cpuid_policy.xsave[c][ECX] & BIT32(1))
			size = (size + 63) & ~63u;
		size += guest_cpuid_policy.xsave[c][EAX];
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
		copy(out, guest_cpuid_basic.leaves[1]);
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
			copy(out, guest_cpuid_policy.caches[subleaf]);
		if (out[EAX])
			out[EAX] |= ((1u << topology_shift()) - 1) << LEAF_4_EAX_CORES_SHIFT;
		break;
	case 7:
		if (subleaf < SUBLEAVES_7)
			copy(out, guest_cpuid_policy.features[subleaf]);
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
		if (subleaf >= SUBLEAVES_D || !guest_cpuid_policy.xsave[0][EAX])
			break;
		copy(out, guest_cpuid_policy.xsave[subleaf]);
		if (subleaf == 0)
			out[EBX] = xsave_size(s->xcr0);
		else if (subleaf == 1 && out[EAX] & CPUID_D_1_EAX_XSAVEC)
			out[EBX] = xsave_size_compact(s->xcr0);
		break;
	default: /* what is not offered is zero in the table */
		copy(out, guest_cpuid_basic.leaves[leaf]);
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
	else if (leaf >= EXTENDED_BASE && leaf <= guest_cpuid_policy.extended_max)
		copy(out, guest_cpuid_policy.extended[leaf - EXTENDED_BASE]);
	else if (leaf >= XEN_CPUID_FIRST_LEAF && leaf <= XEN_CPUID_LEAF(XEN_LEAF_MAX))
		xen_leaf(leaf - XEN_CPUID_FIRST_LEAF, subleaf, out);
	else if (leaf >= KEYHOLE_CPUID_FIRST_LEAF && leaf <= KEYHOLE_CPUID_LEAF(OWN_LEAF_MAX))
		own_leaf(leaf - KEYHOLE_CPUID_FIRST_LEAF, subleaf, out);
}
