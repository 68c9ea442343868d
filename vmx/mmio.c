/*
 * Accesses to guest-physical addresses where there is no memory: the instruction is fetched from
 * the guest, decoded, executed here, and its registers are written back.
 *
 * State: the current VMCS. No lock. Everything that comes from the guest is on this CPU's stack:
 * each byte of an instruction is copied once, and only the copy counts. Another vCPU may have
 * changed it since the processor read it; then the copy is what is executed, through the guest's
 * page tables and its p2m, or, if it does not touch the address of the exit, the guest goes on
 * where it was. A repeated string instruction does one element an exit.
 *
 * Sources: SDM Vol. 3, "Exit Qualification for EPT Violations", "Guest Non-Register State"; Vol. 2,
 * "REP/REPE/REPZ/REPNE/REPNZ--Repeat String Operation Prefix".
 */
#include "cpu.h"
#include "vmx/advance.h"
#include "vmx/decode.h"
#include "vmx/exit_reasons.h"
#include "vmx/vlapic.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/* Register numbers. */
enum { RAX = 0, RCX = 1, RSI = 6, RDI = 7 };

/* Where an operand lies: what of it is in a second page goes on there. */
struct place {
	gpa_t first, second;
	unsigned first_length; /* bytes */
};

struct mmio {
	struct insn insn;
	enum insn_mode mode;
	struct vcpu_regs *regs;
	struct guest_access access;
	gpa_t gpa; /* of the exit, and the linear address that belongs to it */
	uint64_t linear;
	bool writing; /* the exit was about a write */
	bool met;     /* the instruction touches that page */
};

enum outcome {
	GO_ON,
	GUEST_AGAIN, /* a fault was injected, or the guest executes the instruction again */
	REFUSED
};

static const char no_memory[] = "where it has no memory";
static const char not_reached[] = "by an instruction that reaches what is no memory for it";

/* --- addresses -------------------------------------------------------------------------------- */

/* Translates, for an access GUEST_WALK_*; faults go to the guest. */
static enum outcome translate(struct mmio *m, uint64_t linear, unsigned access, gpa_t *out)
{
	unsigned user = m->access.paging.cpl == 3 ? GUEST_WALK_USER : 0;
	struct guest_walk_result walk;

	if (!guest_copy_walk(&m->access, make_gva(linear), access | user, &walk)) {
		*out = walk.gpa;
		return GO_ON;
	}
	switch (walk.cause) {
	case GUEST_WALK_PAGE_FAULT:
		write_cr2(linear);
		vmx_inject_exception(VECTOR_PF, true, walk.error_code);
		return GUEST_AGAIN;
	case GUEST_WALK_NOT_CANONICAL:
		vmx_inject_gp();
		return GUEST_AGAIN;
	case GUEST_WALK_RACED:
		return GUEST_AGAIN;
	default:
		return REFUSED;
	}
}

/* The page of the exit is where the exit says, as far as the processor has checked the access. */
static enum outcome find_page(struct mmio *m, uint64_t linear, unsigned access, gpa_t *out)
{
	if (linear >> PAGE_SHIFT != m->linear >> PAGE_SHIFT)
		return translate(m, linear, access, out);
	m->met = true;
	if (access == GUEST_WALK_WRITE && !m->writing)
		return translate(m, linear, access, out);
	*out = make_gpa((gpa_raw(m->gpa) & PAGE_MASK) | (linear & ~PAGE_MASK));
	return GO_ON;
}

static enum outcome find_place(struct mmio *m, uint64_t linear, unsigned access, struct place *out)
{
	unsigned size = m->insn.size, room = (unsigned)(PAGE_SIZE - (linear & ~PAGE_MASK));
	uint64_t mask = m->mode == INSN_MODE_64 ? ~0ull : 0xffffffffull;

	out->first_length = size < room ? size : room;
	enum outcome o = find_page(m, linear, access, &out->first);
	if (o == GO_ON && out->first_length < size)
		o = find_page(m, (linear + out->first_length) & mask, access, &out->second);
	return o;
}

/* --- access ----------------------------------------------------------------------------------- */

/* The registers of the current vCPU's local APIC. What is wider than one of them is read as
 * several, and not written. */
static void access_vlapic(uint32_t offset, char *bytes, unsigned length, bool write)
{
	for (unsigned done = 0; done < length; done += sizeof(uint32_t)) {
		unsigned left = length - done;
		unsigned size = left < sizeof(uint32_t) ? left : (unsigned)sizeof(uint32_t);
		uint32_t value = 0;

		if (write) {
			__builtin_memcpy(&value, bytes + done, size);
			vlapic_mmio_write(offset + done, length, value);
		} else {
			vlapic_mmio_read(offset + done, size, &value);
			__builtin_memcpy(bytes + done, &value, size);
		}
	}
}

/* Part of an operand, in one page. Nothing answers where there is no memory: ones. Where another
 * CPU has mapped some since the copy was tried, the guest tries itself. */
static enum outcome access_part(gpa_t at, char *bytes, unsigned length, bool write)
{
	struct domain *d = this_cpu()->current->domain;
	struct p2m_entry entry;

	if (vlapic_is_at(at)) {
		access_vlapic(gpa_offset(at), bytes, length, write);
		return GO_ON;
	}
	if (!(write ? guest_copy_out_gpa(&d->p2m, at, bytes, length)
		    : guest_copy_in_gpa(&d->p2m, bytes, at, length)))
		return GO_ON;
	if (p2m_lookup(&d->p2m, gpa_to_gfn(at), &entry))
		return entry.access & (write ? P2M_W : P2M_R) ? GUEST_AGAIN : REFUSED;
	if (!memory_absent(d, at))
		return REFUSED;
	if (!write)
		__builtin_memset(bytes, 0xff, length);
	return GO_ON;
}

static enum outcome access_place(const struct mmio *m, const struct place *at, uint64_t *value,
				 bool write)
{
	unsigned first = at->first_length;
	char *bytes = (char *)value;

	enum outcome o = access_part(at->first, bytes, first, write);

	if (o != GO_ON || first == m->insn.size)
		return o;
	return access_part(at->second, bytes + first, m->insn.size - first, write);
}

/* --- registers -------------------------------------------------------------------------------- */

/* A result of 32 bits clears the upper half, a smaller one keeps the rest. */
static void write_register(struct mmio *m, unsigned number, bool high, unsigned size,
			   uint64_t value)
{
	uint64_t old = vmx_register_read(m->regs, number), mask = (1ull << (8 * (size & 7))) - 1;
	unsigned shift = high ? 8 : 0;

	if (size < 4)
		value = (old & ~(mask << shift)) | (value & mask) << shift;
	else if (size == 4)
		value = (uint32_t)value;
	vmx_register_write(m->regs, number, value);
}

static void add_to_register(struct mmio *m, unsigned number, uint64_t step)
{
	write_register(m, number, false, m->insn.address_size,
		       vmx_register_read(m->regs, number) + step);
}

static uint64_t operand_address(const struct mmio *m)
{
	const struct insn *in = &m->insn;

	return insn_linear(
	    in, m->mode,
	    &(struct insn_address){
		.base = in->base < INSN_RIP ? vmx_register_read(m->regs, in->base) : 0,
		.index = in->index < INSN_RIP ? vmx_register_read(m->regs, in->index) : 0,
		.next_ip = vmcs_readn(VMCS_GUEST_RIP) + in->length,
		.reg = vmx_register_read(m->regs, in->reg),
		.segment_base = vmx_segment_base(in->segment)});
}

/* Where MOVS writes. */
static uint64_t target_address(const struct mmio *m)
{
	struct insn to = m->insn;

	to.segment = INSN_ES;
	return insn_linear(&to, m->mode,
			   &(struct insn_address){.base = vmx_register_read(m->regs, RDI),
						  .segment_base = vmx_segment_base(INSN_ES)});
}

/* A string instruction has done one element: true if it was the last. */
static bool string_step(struct mmio *m)
{
	uint64_t size = m->insn.size;
	uint64_t step = vmcs_readn(VMCS_GUEST_RFLAGS) & RFLAGS_DF ? -size : size;

	add_to_register(m, RDI, step);
	if (m->insn.op == INSN_MOVS)
		add_to_register(m, RSI, step);
	if (!m->insn.repeat)
		return true;
	add_to_register(m, RCX, ~0ull);
	return !insn_truncate(m->regs->rcx, m->insn.address_size);
}

/* --- the instruction -------------------------------------------------------------------------- */

/* More bytes of the instruction, all in one page. */
static enum outcome fetch(struct mmio *m, uint64_t linear, uint8_t *to, size_t length)
{
	gpa_t gpa;
	enum outcome o = translate(m, linear, GUEST_WALK_FETCH, &gpa);

	if (o == GO_ON && guest_copy_in_gpa(m->access.p2m, to, gpa, length))
		return REFUSED;
	return o;
}

/* As on a processor that does not know the instruction: the guest's kernel deals with it, whoever
 * executed it. Said once, since a guest can do this at will. */
static void not_emulated(const struct mmio *m)
{
	struct domain *d = this_cpu()->current->domain;

	if (!atomic_exchange(&d->unemulated, true))
		print_guest_state(
		    LOG_WARN, "d%u \"%s\": #UD at RIP 0x%lx: not emulated on absent memory (0x%lx)",
		    d->id, d->name, vmcs_readn(VMCS_GUEST_RIP), gpa_raw(m->gpa));
	vmx_inject_ud();
}

/* Fetches and decodes. The second page is touched only if the instruction goes on there. */
static enum outcome decode(struct mmio *m)
{
	uint64_t rip = vmcs_readn(VMCS_GUEST_RIP), linear = rip;
	uint8_t bytes[INSN_LENGTH_MAX];

	if (m->mode != INSN_MODE_64)
		linear = (uint32_t)(vmx_segment_base(INSN_CS) + rip);
	size_t length = PAGE_SIZE - (linear & ~PAGE_MASK);
	if (length > sizeof(bytes))
		length = sizeof(bytes);
	enum outcome o = fetch(m, linear, bytes, length);
	if (o != GO_ON)
		return o;
	enum insn_result result = insn_decode(bytes, length, m->mode, &m->insn);
	if (result == INSN_TRUNCATED) {
		linear += length;
		if (m->mode != INSN_MODE_64)
			linear = (uint32_t)linear;
		o = fetch(m, linear, bytes + length, sizeof(bytes) - length);
		if (o != GO_ON)
			return o;
		result = insn_decode(bytes, sizeof(bytes), m->mode, &m->insn);
	}
	switch (result) {
	case INSN_OK:
		return GO_ON;
	case INSN_UNDEFINED:
		vmx_inject_ud();
		return GUEST_AGAIN;
	case INSN_TOO_LONG:
		vmx_inject_gp();
		return GUEST_AGAIN;
	default:
		not_emulated(m);
		return GUEST_AGAIN;
	}
}

/* First all that can fail, then registers. */
static enum outcome execute(struct mmio *m)
{
	const struct insn *in = &m->insn;
	bool writes = insn_writes_memory(in), string = in->op >= INSN_STOS;
	struct insn_values v = {.rax = m->regs->rax, .rflags = vmcs_readn(VMCS_GUEST_RFLAGS)};
	struct place from, to;

	enum outcome o =
	    find_place(m, operand_address(m),
		       writes && in->op != INSN_MOVS ? GUEST_WALK_WRITE : GUEST_WALK_READ, &from);
	to = from;
	if (o == GO_ON && in->op == INSN_MOVS)
		o = find_place(m, target_address(m), GUEST_WALK_WRITE, &to);
	if (o == GO_ON && !m->met)
		return GUEST_AGAIN; /* it is not the instruction that exited any more */
	if (o != GO_ON)
		return o;
	v.reg = vmx_register_read(m->regs, in->reg) >> (in->reg_high ? 8 : 0);
	if (insn_reads_memory(in))
		o = access_place(m, &from, &v.memory, false);
	if (o != GO_ON)
		return o;
	unsigned changed = insn_execute(in, &v);
	if (changed & INSN_WRITES_MEMORY)
		o = access_place(m, &to, &v.memory, true);
	if (o != GO_ON)
		return o;
	if (changed & INSN_WRITES_REGISTER)
		write_register(m, in->reg, in->reg_high, in->reg_size, v.reg);
	if (changed & INSN_WRITES_RAX)
		write_register(m, RAX, false, in->size, v.rax);
	/* An instruction that is complete ends the effect of RF, which the exit has set. */
	vmcs_writen(VMCS_GUEST_RFLAGS, v.rflags & ~RFLAGS_RF);
	vmx_advance_rip_by(string && !string_step(m) ? 0 : in->length);
	return GO_ON;
}

const char *vmx_exit_mmio(struct vcpu_regs *regs, gpa_t gpa, uint64_t qualification)
{
	struct mmio m = {.regs = regs,
			 .gpa = gpa,
			 .linear = vmcs_readn(VMCS_GUEST_LINEAR_ADDRESS),
			 .writing = qualification & EPT_VIOLATION_WRITE};
	uint64_t of_data = EPT_VIOLATION_LINEAR_VALID | EPT_VIOLATION_TRANSLATED;

	if ((!vlapic_is_at(gpa) && !memory_absent(this_cpu()->current->domain, gpa)) ||
	    qualification & EPT_VIOLATION_FETCH)
		return no_memory;
	if (vmcs_read32(VMCS_IDT_VECTORING_INFO) & INTERRUPTION_VALID)
		return "while an event is delivered";
	if ((qualification & of_data) != of_data)
		return "by a walk of its page tables";
	uint32_t cs = vmcs_read32(VMCS_GUEST_CS_AR);
	m.mode = vcpu_in_long_mode64() ? INSN_MODE_64
		 : cs & SEG_AR_DB      ? INSN_MODE_32
				       : INSN_MODE_16;
	vcpu_guest_access(&m.access);
	enum outcome o = decode(&m);
	if (o == GO_ON)
		o = execute(&m);
	return o == REFUSED ? not_reached : NULL;
}
