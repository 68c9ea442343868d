/*
 * Port I/O of a guest. IN and OUT of one value go to kernel/guest_io.c, which answers for the few
 * devices that the hypervisor itself has; string forms are done element by element through the
 * guest's page tables, a bounded number an exit. State: the current VMCS. No lock. Source: SDM Vol.
 * 3, "Exit Qualification for I/O Instructions".
 */
#include "guest_copy.h"
#include "vmx/advance.h"
#include "vmx/exit_reasons.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

#define STRING_ELEMENTS_MAX 64 /* an exit; then the instruction exits again */

/* VM-exit instruction information for INS and OUTS. */
#define INFO_ADDRESS_SIZE_SHIFT 7
#define INFO_ADDRESS_SIZE_MASK	7u
#define INFO_SEGMENT_SHIFT	15
#define INFO_SEGMENT_MASK	7u

static uint64_t address_mask(uint32_t info)
{
	switch (info >> INFO_ADDRESS_SIZE_SHIFT & INFO_ADDRESS_SIZE_MASK) {
	case 0:
		return 0xffff;
	case 1:
		return 0xffffffff;
	}
	return ~0ull;
}

#define FIRST_SEGMENT_WITH_BASE_64 4 /* FS */

/*
 * Base of the segment that addresses the memory side: ES for INS, by prefix for OUTS. 64-bit code
 * has no bases but those of FS and GS, whatever was loaded into the others.
 */
static uint64_t segment_base(uint32_t info, bool in, bool code64)
{
	unsigned segment = in ? 0 : info >> INFO_SEGMENT_SHIFT & INFO_SEGMENT_MASK;

	return code64 && segment < FIRST_SEGMENT_WITH_BASE_64 ? 0 : vmx_segment_base(segment);
}

static void merge(uint64_t *reg, uint64_t value, uint64_t mask)
{
	/* 16-bit addressing leaves the upper part alone; 32-bit clears it. */
	*reg = mask == 0xffff ? (*reg & ~mask) | (value & mask) : value & mask;
}

/*
 * INS and OUTS. True: the instruction is complete. The segment's limit is not checked: the
 * processor checked the first element before the exit only.
 */
static bool string_io(struct vcpu_regs *regs, uint64_t q, uint16_t port, unsigned size)
{
	bool in = q & IO_ACCESS_IN, rep = q & IO_ACCESS_REP;
	uint32_t info = vmcs_read32(VMCS_EXIT_INSTRUCTION_INFO);
	bool code64 = vcpu_in_long_mode64();
	uint64_t mask = address_mask(info), base = segment_base(info, in, code64);
	uint64_t step = vmcs_readn(VMCS_GUEST_RFLAGS) & RFLAGS_DF ? -(uint64_t)size : size;
	uint64_t *index = in ? &regs->rdi : &regs->rsi;
	uint64_t left = rep ? regs->rcx & mask : 1;
	struct guest_access access;

	vcpu_guest_access(&access);
	for (unsigned done = 0; left; done++) {
		if (done == STRING_ELEMENTS_MAX)
			return false;
		uint64_t linear = base + (*index & mask);
		uint32_t value = in ? guest_io_read(port, size) : 0;
		if (!code64)
			linear = (uint32_t)linear;
		int rc = in ? guest_copy_out(&access, make_gva(linear), &value, size)
			    : guest_copy_in(&access, &value, make_gva(linear), size);
		if (rc) {
			/* Not an address that this guest can reach: a page fault would be more
			 * exact (CAVEATS.md). */
			vmx_inject_gp();
			return false;
		}
		if (!in && !guest_io_write(port, size, value))
			return false;
		merge(index, *index + step, mask);
		left--;
		if (rep)
			merge(&regs->rcx, left, mask);
	}
	return true;
}

void vmx_exit_io(struct vcpu_regs *regs)
{
	uint64_t q = vmcs_readn(VMCS_EXIT_QUALIFICATION);
	uint16_t port = (uint16_t)(q >> IO_ACCESS_PORT_SHIFT & IO_ACCESS_PORT_MASK);
	unsigned size = (unsigned)(q & IO_ACCESS_SIZE_MASK) + 1;
	uint64_t mask = size == 4 ? 0xffffffffull : (1ull << (8 * size)) - 1;

	if (q & IO_ACCESS_STRING) {
		if (string_io(regs, q, port, size))
			vmx_advance_rip();
		return;
	}
	if (q & IO_ACCESS_IN) {
		uint64_t value = guest_io_read(port, size) & mask;
		/* A 32-bit result clears the upper half, a smaller one keeps the rest. */
		regs->rax = size == 4 ? value : (regs->rax & ~mask) | value;
	} else if (!guest_io_write(port, size, (uint32_t)(regs->rax & mask))) {
		return;
	}
	vmx_advance_rip();
}
