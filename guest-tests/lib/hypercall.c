/*
 * Hypercalls: finding the hypervisor, the page, and the call itself.
 * State: whether there is a hypervisor, and how to call it; written at the start of main() only.
 */
#include "guest.h"

bool xen_present;
static uint8_t hypercall_page[PAGE_SIZE] __attribute__((aligned(4096)));
static bool use_page;
static unsigned flags; /* of every call */

void hypercall_init(void)
{
	struct cpuid leaf = cpuid(XEN_CPUID_FIRST_LEAF, 0);

	xen_present = leaf.ebx == XEN_CPUID_SIGNATURE_EBX && leaf.ecx == XEN_CPUID_SIGNATURE_ECX &&
		      leaf.edx == XEN_CPUID_SIGNATURE_EDX;
	if (option("physical"))
		flags = KEYHOLE_CALL_PHYSICAL;
}

void *hypercall_page_install(void)
{
	struct cpuid leaf = cpuid(XEN_CPUID_LEAF(2), 0);

	if (!xen_present || leaf.eax == 0)
		return NULL;
	wrmsr(leaf.ebx, (uintptr_t)hypercall_page);
	return hypercall_page;
}

void hypercall_use_page(bool use)
{
	use_page = use;
}

#ifdef __x86_64__
long hypercall5(unsigned number, unsigned long a, unsigned long b, unsigned long c, unsigned long d,
		unsigned long e)
{
	register unsigned long r10 __asm__("r10") = d;
	register unsigned long r8 __asm__("r8") = e;
	long result = number | flags;

	if (!xen_present)
		return -XEN_ENOSYS;
	if (use_page && !flags)
		__asm__ volatile("call *%6"
				 : "+a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
				 : "r"(hypercall_page + number * XEN_HYPERCALL_ENTRY_SIZE)
				 : "memory", "rcx", "r11", "cc");
	else
		__asm__ volatile("vmcall"
				 : "+a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
				 :
				 : "memory", "cc");
	return result;
}
#else
long hypercall5(unsigned number, unsigned long a, unsigned long b, unsigned long c, unsigned long d,
		unsigned long e)
{
	long result = (long)(number | flags);

	if (!xen_present)
		return -XEN_ENOSYS;
	/* All but EBP and ESP hold arguments, so the page's entry is called through EAX, which it
	 * sets. */
	if (use_page && !flags) {
		result = (long)(uintptr_t)(hypercall_page + number * XEN_HYPERCALL_ENTRY_SIZE);
		__asm__ volatile("call *%0"
				 : "+a"(result), "+b"(a), "+c"(b), "+d"(c), "+S"(d), "+D"(e)
				 :
				 : "memory", "cc");
	} else {
		__asm__ volatile("vmcall"
				 : "+a"(result), "+b"(a), "+c"(b), "+d"(c), "+S"(d), "+D"(e)
				 :
				 : "memory", "cc");
	}
	return result;
}
#endif

long hypercall(unsigned number, unsigned long a, unsigned long b, unsigned long c)
{
	return hypercall5(number, a, b, c, 0, 0);
}
