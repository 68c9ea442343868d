/*
 * cpuid-msr: what the virtual CPU says it is, and that it is that. Xen's leaves and the hypercall
 * page; control registers, MSRs, ports and privileged instructions: allowed ones work, others raise
 * what the SDM says.
 */
#include "guest.h"
#include "segments.h"

#define UNKNOWN_MSR  0x12345u
#define UNKNOWN_PORT 0x1234
#define FLAGS_RF     (1ul << 16)
#define TEXT_PORT    0xe9 /* reads as its own number */
#define DATA_SEGMENT 0x00cf93000000ffffull
#define BASE	     64

static bool raises(struct trap t, int vector)
{
	if (t.vector != vector)
		printf("# exception %d, error code 0x%lx at 0x%lx\n", t.vector, t.error, t.ip);
	return t.vector == vector && t.error == 0;
}

#define ok_raises(vector, statement, ...) tap_ok(raises(TRAP(statement), vector), __VA_ARGS__)
#define ok_runs(statement, ...)		  tap_ok(raises(TRAP(statement), -1) || false, __VA_ARGS__)

static bool has(uint32_t word, unsigned bit)
{
	return word >> bit & 1;
}

/* --- CPUID ---------------------------------------------------------------------------------------
 */

static void xen_leaves(void)
{
	struct cpuid base = cpuid(XEN_CPUID_FIRST_LEAF, 0), version = cpuid(XEN_CPUID_LEAF(1), 0),
		     pages = cpuid(XEN_CPUID_LEAF(2), 0), features = cpuid(XEN_CPUID_LEAF(4), 0);

	tap_ok(has(cpuid(1, 0).ecx, 31), "CPUID.1 says that there is a hypervisor");
	tap_ok(xen_present, "it has Xen's signature");
	tap_ok(base.eax >= XEN_CPUID_LEAF(4), "leaves up to 0x%x", base.eax);
	tap_is(version.eax, xen_version(XENVER_version, NULL),
	       "leaf 1 and XENVER_version tell the same version");
	tap_is(pages.eax, 1, "there is one hypercall page");
	tap_is(pages.ebx, XEN_HYPERCALL_MSR, "its MSR is where Xen has it");
	tap_ok(features.eax & XEN_HVM_CPUID_DOMID_PRESENT && features.ecx > 0 &&
		   features.ecx < DOMID_FIRST_RESERVED,
	       "leaf 4 tells the domain id, %u", features.ecx);
	tap_ok(features.eax & XEN_HVM_CPUID_VCPU_ID_PRESENT && features.ebx == 0,
	       "and that this is vCPU 0");
}

static void hypercall_page(void)
{
	uint8_t *page = hypercall_page_install();
	long by_vmcall = xen_version(XENVER_version, NULL), by_page;

	tap_ok(page[__HYPERVISOR_xen_version * XEN_HYPERCALL_ENTRY_SIZE] != 0,
	       "the page is filled");
	hypercall_use_page(true);
	by_page = xen_version(XENVER_version, NULL);
	hypercall_use_page(false);
	tap_is(by_page, by_vmcall, "a call through it gives what VMCALL gives");
	tap_is(rdmsr(XEN_HYPERCALL_MSR), 0, "its MSR reads as zero");
	ok_raises(VECTOR_GP, wrmsr(XEN_HYPERCALL_MSR, (uintptr_t)page | 1),
		  "there is no second page: #GP(0)");
	ok_raises(VECTOR_GP, wrmsr(XEN_HYPERCALL_MSR, HOLE),
		  "nor is one put where there is no RAM");
}

static void features_are_consistent(void)
{
	struct cpuid one = cpuid(1, 0), seven = cpuid(7, 0), d = cpuid(0xd, 0);
	uint32_t max = cpuid(0, 0).eax, max_extended = cpuid(0x80000000, 0).eax;
	uint32_t extended_edx = cpuid(0x80000001, 0).edx;

	tap_ok(max >= 1 && max_extended >= 0x80000001, "basic and extended leaves are there");
	tap_ok(has(one.edx, 0) && has(one.edx, 4) && has(one.edx, 5) && has(one.edx, 6) &&
		   has(one.edx, 16) && has(one.edx, 24) && has(one.edx, 25) && has(one.edx, 26),
	       "FPU, TSC, MSR, PAE, PAT, FXSR, SSE, SSE2 are offered");
	tap_ok(has(extended_edx, 29) && has(extended_edx, 20) && has(extended_edx, 11),
	       "so are 64-bit mode, NX, SYSCALL");
	tap_ok(!has(one.ecx, 5) && !has(one.ecx, 6), "VMX and SMX are not");
	tap_ok(!has(one.ecx, 3), "MONITOR is not");
	if (max >= 7) {
		tap_ok(!has(seven.ecx, 16), "5-level paging is not");
		tap_ok(!has(seven.ebx, 2), "SGX is not");
	} else {
		tap_skip("5-level paging", "no leaf 7");
		tap_skip("SGX", "no leaf 7");
	}
	tap_is(has(one.ecx, 27), 0, "OSXSAVE is clear as long as CR4.OSXSAVE is");
	if (has(one.ecx, 26)) {
		write_cr4(read_cr4() | CR4_OSXSAVE);
		tap_ok(has(cpuid(1, 0).ecx, 27), "and set when that is");
		tap_ok((d.eax & 3) == 3, "XCR0 can hold 0x%x", d.eax);
		tap_ok(d.ebx >= 576 && d.ebx <= d.ecx, "the save area has %u bytes now, %u at most",
		       d.ebx, d.ecx);
	} else {
		tap_skip("OSXSAVE", "no XSAVE");
		tap_skip("XCR0", "no XSAVE");
		tap_skip("the save area", "no XSAVE");
	}
}

/* --- control registers ---------------------------------------------------------------------------
 */

static void control_registers(void)
{
	unsigned long cr0 = read_cr0(), cr4 = read_cr4();
	uint32_t offered = cpuid(0xd, 0).eax;

	tap_ok((cr0 & (CR0_PE | CR0_PG | CR0_NE)) == (CR0_PE | CR0_PG | CR0_NE), "CR0 is 0x%lx",
	       cr0);
	tap_ok(!(cr4 & CR4_VMXE), "CR4 is 0x%lx: no VMXE to be seen", cr4);
	ok_raises(VECTOR_GP, write_cr0(cr0 | 1ul << 32), "a high bit in CR0: #GP(0)");
	ok_raises(VECTOR_GP, write_cr0((cr0 & ~CR0_CD) | CR0_NW), "NW without CD: #GP(0)");
	ok_raises(VECTOR_GP, write_cr0(cr0 & ~CR0_PE), "PG without PE: #GP(0)");
	ok_raises(VECTOR_GP, write_cr0(cr0 & ~CR0_PG), "paging off in 64-bit mode: #GP(0)");
	tap_is(read_cr0(), cr0, "CR0 is as it was");
	ok_runs(write_cr0(cr0 | CR0_CD), "CD can be set");
	tap_ok(read_cr0() & CR0_CD, "and is then seen");
	write_cr0(cr0 | CR0_TS);
	tap_ok(read_cr0() & CR0_TS, "so can TS");
	ok_raises(VECTOR_NM, __asm__ volatile("movaps %xmm0, %xmm0"), "which makes SSE raise #NM");
	__asm__ volatile("clts");
	tap_is(read_cr0() & CR0_TS, 0, "CLTS clears it");
	write_cr0(cr0);

	ok_raises(VECTOR_GP, write_cr4(cr4 | 1ul << 63), "a high bit in CR4: #GP(0)");
	ok_raises(VECTOR_GP, write_cr4(cr4 | CR4_LA57), "LA57: #GP(0)");
	ok_raises(VECTOR_GP, write_cr4(cr4 | CR4_VMXE), "VMXE: #GP(0)");
	ok_raises(VECTOR_GP, write_cr4(cr4 & ~CR4_PAE), "PAE off in 64-bit mode: #GP(0)");
	tap_is(read_cr4(), cr4, "CR4 is as it was");
	ok_runs(write_cr4(cr4 | CR4_PGE), "PGE can be set");
	tap_ok(read_cr4() & CR4_PGE, "and is then seen");
	write_cr4(cr4);

	if (cr4 & CR4_OSXSAVE) {
		ok_runs(xsetbv(0, 3), "XSETBV: x87 and SSE");
		tap_is(xgetbv(0), 3, "XGETBV returns it");
		ok_raises(VECTOR_GP, xsetbv(0, 2), "without x87: #GP(0)");
		ok_raises(VECTOR_GP, xsetbv(0, 1ull << 62 | 3), "an unknown component: #GP(0)");
		ok_raises(VECTOR_GP, xsetbv(1, 3), "there is no XCR1: #GP(0)");
		if (offered & 4)
			ok_raises(VECTOR_GP, xsetbv(0, 5), "AVX without SSE: #GP(0)");
		else
			tap_skip("AVX without SSE", "no AVX");
		tap_is(xgetbv(0), 3, "XCR0 is as it was");
	} else {
		for (int i = 0; i < 7; i++)
			tap_skip("XCR0", "no XSAVE");
	}
}

/* --- MSRs ----------------------------------------------------------------------------------------
 */

static void msr_holds(const char *name, uint32_t msr, uint64_t value)
{
	uint64_t before = rdmsr(msr), after;
	struct trap t = TRAP(wrmsr(msr, value));

	after = rdmsr(msr);
	wrmsr(msr, before);
	tap_ok(t.vector == -1 && after == value, "%s holds 0x%llx", name,
	       (unsigned long long)value);
}

static void msrs(void)
{
	static const struct {
		const char *name;
		uint32_t msr;
		uint64_t value;
	} held[] = {
	    {"PAT", MSR_PAT, 0x0006040600070106ull},
	    {"STAR", MSR_STAR, 0x0023001000000000ull},
	    {"LSTAR", MSR_LSTAR, 0xffff8000deadbeefull},
	    {"CSTAR", MSR_CSTAR, 0x00007fffdeadbeefull},
	    {"FMASK", MSR_FMASK, 0x47700},
	    {"FS_BASE", MSR_FS_BASE, 0xffffabcd00000000ull},
	    {"GS_BASE", MSR_GS_BASE, 0x123400000000ull},
	    {"KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, 0xffff800012340000ull},
	    {"SYSENTER_CS", MSR_SYSENTER_CS, 0x10},
	    {"SYSENTER_ESP", MSR_SYSENTER_ESP, 0xffff800011110000ull},
	    {"SYSENTER_EIP", MSR_SYSENTER_EIP, 0xffff800022220000ull},
	};
	uint64_t efer = rdmsr(MSR_EFER);

	tap_ok(TRAP(rdmsr(UNKNOWN_MSR)).flags & FLAGS_RF && TRAP(write_cr4(~0ul)).flags & FLAGS_RF,
	       "a fault that the hypervisor raises pushes RF, as any fault does");
	for (unsigned i = 0; i < array_size(held); i++)
		msr_holds(held[i].name, held[i].msr, held[i].value);
	if (has(cpuid(0x80000001, 0).edx, 27))
		msr_holds("TSC_AUX", MSR_TSC_AUX, 0x77);
	else
		tap_skip("TSC_AUX", "no RDTSCP");

	tap_ok((efer & (EFER_LME | EFER_LMA | EFER_NXE)) == (EFER_LME | EFER_LMA | EFER_NXE),
	       "EFER is 0x%llx", (unsigned long long)efer);
	ok_runs(wrmsr(MSR_EFER, efer | EFER_SCE), "SCE can be set in it");
	tap_is(rdmsr(MSR_EFER), efer | EFER_SCE, "and is then seen");
	ok_raises(VECTOR_GP, wrmsr(MSR_EFER, efer | 1ull << 40), "a reserved bit: #GP(0)");
	ok_raises(VECTOR_GP, wrmsr(MSR_EFER, efer & ~(uint64_t)EFER_LME),
		  "LME off while paging: #GP(0)");
	wrmsr(MSR_EFER, efer);

	ok_raises(VECTOR_GP, rdmsr(UNKNOWN_MSR), "an unknown MSR cannot be read: #GP(0)");
	ok_raises(VECTOR_GP, wrmsr(UNKNOWN_MSR, 0), "nor written");
	ok_raises(VECTOR_GP, rdmsr(0xc0001234), "nor one in the high range read");
	ok_raises(VECTOR_GP, rdmsr(0x480), "VMX's capabilities are not to be seen");
	ok_raises(VECTOR_GP, wrmsr(MSR_PAT, 2), "PAT takes no reserved memory type");
	ok_raises(VECTOR_GP, wrmsr(MSR_LSTAR, 1ull << 63), "LSTAR takes no non-canonical address");
	ok_raises(VECTOR_GP, wrmsr(MSR_KERNEL_GS_BASE, 1ull << 50), "nor does KERNEL_GS_BASE");
}

/* --- instructions and ports ----------------------------------------------------------------------
 */

static void instructions(void)
{
	static uint64_t operand;
	uint64_t then;

	ok_raises(VECTOR_UD,
		  __asm__ volatile("monitor"
				   :
				   : "a"(&operand), "c"(0), "d"(0)),
		  "MONITOR: #UD");
	ok_raises(VECTOR_UD, __asm__ volatile("mwait" : : "a"(0), "c"(0)), "MWAIT: #UD");
	ok_raises(VECTOR_UD, __asm__ volatile("vmxoff"), "VMXOFF: #UD");
	ok_raises(VECTOR_UD, __asm__ volatile("vmxon %0" : : "m"(operand)), "VMXON: #UD");
	ok_raises(VECTOR_UD, __asm__ volatile("vmptrld %0" : : "m"(operand)), "VMPTRLD: #UD");
	ok_raises(VECTOR_UD, __asm__ volatile("vmclear %0" : : "m"(operand)), "VMCLEAR: #UD");
	ok_raises(VECTOR_UD, __asm__ volatile("vmptrst %0" : "=m"(operand)), "VMPTRST: #UD");
	ok_raises(VECTOR_UD,
		  __asm__ volatile("vmread %0, %1"
				   :
				   : "r"(0ul), "r"(0ul)),
		  "VMREAD: #UD");
	ok_raises(VECTOR_UD,
		  __asm__ volatile("vmwrite %0, %1"
				   :
				   : "r"(0ul), "r"(0ul)),
		  "VMWRITE: #UD");
	ok_raises(VECTOR_UD, __asm__ volatile("vmlaunch"), "VMLAUNCH: #UD");
	ok_raises(VECTOR_UD, __asm__ volatile("vmresume"), "VMRESUME: #UD");
	ok_raises(VECTOR_UD,
		  __asm__ volatile("invept %0, %1"
				   :
				   : "m"(operand), "r"(1ul)),
		  "INVEPT: #UD");
	ok_raises(VECTOR_UD,
		  __asm__ volatile("invvpid %0, %1"
				   :
				   : "m"(operand), "r"(1ul)),
		  "INVVPID: #UD");
	ok_runs(__asm__ volatile("wbinvd" : : : "memory"), "WBINVD is harmless");
	operand = 0x1122334455667788ull;
	ok_runs(__asm__ volatile("invd" : : : "memory"), "INVD is harmless");
	tap_ok(*(volatile uint64_t *)&operand == 0x1122334455667788ull, "and loses nothing");
	then = rdtsc();
	for (volatile unsigned i = 0; i < 100; i++) /* emulators may count in steps */
		;
	tap_ok(rdtsc() > then, "RDTSC counts");
	ok_raises(VECTOR_GP,
		  __asm__ volatile("rdpmc"
				   :
				   : "c"(0xffffu)
				   : "eax", "edx"),
		  "RDPMC: #GP(0)");
	ok_runs(__asm__ volatile("pause"), "PAUSE is harmless");
	ok_raises(VECTOR_BP, __asm__ volatile("int3"), "INT3 comes to the guest");
	ok_raises(VECTOR_DE,
		  __asm__ volatile("div %0"
				   :
				   : "r"(0), "a"(1), "d"(0)
				   : "cc"),
		  "so does a division by zero");
	ok_raises(VECTOR_UD, __asm__ volatile("ud2"), "and UD2");
}

/* 64-bit code addresses memory without the bases of ES and DS, also in string I/O. */
static void string_ports(void)
{
	extern uint64_t gdt[];
	static uint8_t bytes[2 * BASE];
	uint64_t before = gdt[SEL_DATA16 / 8];
	void *to = bytes;
	unsigned long count = 2;
	uint16_t selector;

	gdt[SEL_DATA16 / 8] = DATA_SEGMENT | (uint64_t)BASE << 16;
	__asm__ volatile("mov %%es, %0\n"
			 "mov %4, %%es\n"
			 "cld\n"
			 "rep insb\n"
			 "mov %0, %%es"
			 : "=&r"(selector), "+D"(to), "+c"(count)
			 : "d"(TEXT_PORT), "r"(SEL_DATA16)
			 : "memory", "cc");
	gdt[SEL_DATA16 / 8] = before;
	tap_ok(bytes[0] == TEXT_PORT && bytes[1] == TEXT_PORT && bytes[BASE] == 0,
	       "INS writes to RDI, whatever the base of ES");
	tap_ok(to == &bytes[2] && count == 0, "and moves RDI and RCX on");
}

static void ports(void)
{
	tap_is(inb(UNKNOWN_PORT), 0xff, "IN of a byte where no device is: all ones");
	tap_is(inw(UNKNOWN_PORT), 0xffff, "of a word");
	tap_is(inl(UNKNOWN_PORT), 0xffffffffll, "of a double word");
	ok_runs(outb(UNKNOWN_PORT, 1), "OUT there is ignored");
}

/* Many, so that now and then something waits at the exit: the end of a slice, say. */
static void often(void)
{
	struct cpuid first = cpuid(XEN_CPUID_FIRST_LEAF, 0);
	unsigned wrong = 0;

	for (unsigned i = 0; i < 50000; i++) {
		struct cpuid leaf = cpuid(XEN_CPUID_FIRST_LEAF, 0);

		wrong += memcmp(&leaf, &first, sizeof(leaf)) != 0;
	}
	tap_is(wrong, 0, "50000 times the same");
}

int main(void)
{
	if (!xen_present)
		tap_bail_out("there is no hypervisor");
	xen_leaves();
	hypercall_page();
	features_are_consistent();
	control_registers();
	msrs();
	instructions();
	ports();
	string_ports();
	often();
	tap_done();
}
