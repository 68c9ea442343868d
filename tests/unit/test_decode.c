/* sources: vmx/decode.c vmx/execute.c */
/* flags: -Wl,--no-as-needed -lZydis */
/*
 * The decoder against the disassembler Zydis, and what it executes against this processor.
 *
 * usage: test_decode [ROUNDS [SEED]]: rounds of 100,000 random byte strings in each mode, besides
 * all opcodes with all ModRM bytes. A difference prints the bytes, the mode and the seed.
 */
#include "cpu_bits.h"
#include "random.h"
#include "tap.h"
#include "vmx/decode.h"
#include <Zydis/Zydis.h>
#include <sys/mman.h>
#include <time.h>

#define PER_ROUND	100000
#define DIFFERENCES_MAX 10

static const char *const mode_names[] = {"16-bit", "32-bit", "64-bit"};
static ZydisDecoder decoders[3];

/* --- what Zydis calls them -------------------------------------------------------------------- */

#define Z(name) ZYDIS_MNEMONIC_##name
static const struct {
	ZydisMnemonic mnemonic;
	uint8_t op;
} names[] = {
    {Z(ADD), INSN_ADD},	    {Z(OR), INSN_OR},	     {Z(ADC), INSN_ADC},
    {Z(SBB), INSN_SBB},	    {Z(AND), INSN_AND},	     {Z(SUB), INSN_SUB},
    {Z(XOR), INSN_XOR},	    {Z(CMP), INSN_CMP},	     {Z(BT), INSN_BT},
    {Z(BTS), INSN_BTS},	    {Z(BTR), INSN_BTR},	     {Z(BTC), INSN_BTC},
    {Z(TEST), INSN_TEST},   {Z(MOV), INSN_MOV},	     {Z(MOVZX), INSN_MOVZX},
    {Z(MOVSX), INSN_MOVSX}, {Z(MOVSXD), INSN_MOVSX}, {Z(XCHG), INSN_XCHG},
    {Z(INC), INSN_INC},	    {Z(DEC), INSN_DEC},	     {Z(NOT), INSN_NOT},
    {Z(NEG), INSN_NEG},	    {Z(XADD), INSN_XADD},    {Z(CMPXCHG), INSN_CMPXCHG},
    {Z(STOSB), INSN_STOS},  {Z(STOSW), INSN_STOS},   {Z(STOSD), INSN_STOS},
    {Z(STOSQ), INSN_STOS},  {Z(MOVSB), INSN_MOVS},   {Z(MOVSW), INSN_MOVS},
    {Z(MOVSD), INSN_MOVS},  {Z(MOVSQ), INSN_MOVS},
};
/* By condition. */
static const ZydisMnemonic setcc[16] = {Z(SETO),  Z(SETNO),  Z(SETB),  Z(SETNB), Z(SETZ), Z(SETNZ),
					Z(SETBE), Z(SETNBE), Z(SETS),  Z(SETNS), Z(SETP), Z(SETNP),
					Z(SETL),  Z(SETNL),  Z(SETLE), Z(SETNLE)};
static const ZydisMnemonic cmovcc[16] = {
    Z(CMOVO), Z(CMOVNO), Z(CMOVB), Z(CMOVNB), Z(CMOVZ), Z(CMOVNZ), Z(CMOVBE), Z(CMOVNBE),
    Z(CMOVS), Z(CMOVNS), Z(CMOVP), Z(CMOVNP), Z(CMOVL), Z(CMOVNL), Z(CMOVLE), Z(CMOVNLE)};

/* INSN_NONE if it is none of ours. */
static unsigned op_of(const ZydisDecodedInstruction *z, unsigned *condition)
{
	*condition = 0;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].mnemonic != z->mnemonic)
			continue;
		/* MOVSD is also an instruction of SSE2. */
		if (names[i].op == INSN_MOVS && z->meta.category != ZYDIS_CATEGORY_STRINGOP)
			return INSN_NONE;
		return names[i].op;
	}
	for (*condition = 0; *condition < 16; ++*condition) {
		if (setcc[*condition] == z->mnemonic)
			return INSN_SETCC;
		if (cmovcc[*condition] == z->mnemonic)
			return INSN_CMOVCC;
	}
	return INSN_NONE;
}

static unsigned number_of(ZydisRegister r)
{
	if (r == ZYDIS_REGISTER_NONE)
		return INSN_NO_REGISTER;
	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return INSN_RIP;
	/* AH to BH stand between the byte registers. */
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		return (unsigned)(r - ZYDIS_REGISTER_AH);
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return (unsigned)(r - ZYDIS_REGISTER_SPL) + 4;
	return (unsigned)ZydisRegisterGetId(r);
}

static bool is_high(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
}

static const ZydisDecodedOperand *find_operand(const ZydisDecodedOperand *o, unsigned count,
					       ZydisOperandType type)
{
	for (unsigned i = 0; i < count; i++)
		if (o[i].type == type)
			return &o[i];
	return NULL;
}

/* --- one byte string -------------------------------------------------------------------------- */

/* NULL, or what differs. */
static const char *compare_memory(const struct insn *in, const ZydisDecodedInstruction *z,
				  const ZydisDecodedOperand *o)
{
	const ZydisDecodedOperand *m = find_operand(o, z->operand_count, ZYDIS_OPERAND_TYPE_MEMORY);

	if (in->op == INSN_MOVS)
		m = &o[1];
	if (!m || m->type != ZYDIS_OPERAND_TYPE_MEMORY)
		return "no operand in memory";
	if (m->size != in->size * 8)
		return "size of the operand in memory";
	if ((unsigned)(m->mem.segment - ZYDIS_REGISTER_ES) != in->segment)
		return "segment";
	/* No base, by SIB and mod 0: REX.B means nothing then, though Zydis 4.0 says R13D with
	 * 32-bit addresses, where it says none with 64-bit ones (objdump says none with both). */
	if (m->mem.base == ZYDIS_REGISTER_R13D && in->base == INSN_NO_REGISTER &&
	    z->raw.sib.base == 5)
		return NULL;
	if (number_of(m->mem.base) != in->base)
		return "base";
	if (number_of(m->mem.index) != in->index)
		return "index";
	if (in->index != INSN_NO_REGISTER && m->mem.scale != 1u << in->scale_shift)
		return "scale";
	uint64_t displacement = m->mem.disp.has_displacement ? (uint64_t)m->mem.disp.value : 0;
	if (insn_truncate(displacement, in->address_size) !=
	    insn_truncate(in->displacement, in->address_size))
		return "displacement";
	return z->address_width == in->address_size * 8 ? NULL : "address size";
}

static const char *compare_other(const struct insn *in, const ZydisDecodedInstruction *z,
				 const ZydisDecodedOperand *o)
{
	const ZydisDecodedOperand *i =
	    find_operand(o, z->operand_count_visible, ZYDIS_OPERAND_TYPE_IMMEDIATE);
	const ZydisDecodedOperand *r =
	    find_operand(o, z->operand_count_visible, ZYDIS_OPERAND_TYPE_REGISTER);

	if (in->op == INSN_STOS)
		r = &o[1];
	if ((i	 ? INSN_OPERAND_IMMEDIATE
	     : r ? INSN_OPERAND_REGISTER
		 : INSN_OPERAND_NONE) != in->operand)
		return "kind of the other operand";
	if (i)
		return insn_truncate(i->imm.value.u, i->imm.is_signed ? in->size : 1) ==
			       insn_truncate(in->immediate, i->imm.is_signed ? in->size : 1)
			   ? NULL
			   : "immediate";
	if (!r)
		return NULL;
	if (r->size != in->reg_size * 8)
		return "size of the register";
	if (number_of(r->reg.value) != in->reg || is_high(r->reg.value) != in->reg_high)
		return "register";
	return (o[0].type == ZYDIS_OPERAND_TYPE_REGISTER) == in->to_register ? NULL : "direction";
}

/* Of what Zydis decodes, is this left out on purpose? */
static bool left_out(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o)
{
	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return true;
	if (!find_operand(o, z->operand_count, ZYDIS_OPERAND_TYPE_MEMORY))
		return true;
	for (unsigned i = 0; i < z->operand_count_visible; i++)
		if (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(o[i].reg.value) == ZYDIS_REGCLASS_SEGMENT)
			return true;
	if (z->mnemonic == Z(MOVSXD) && z->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE)
		return true;
	return z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && z->opcode == 0x82;
}

static uint64_t seen[INSN_MOVS + 1], decoded, differences;

static const char *compare(const uint8_t *bytes, size_t count, unsigned mode)
{
	ZydisDecodedInstruction z;
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	struct insn in;
	enum insn_result result = insn_decode(bytes, count, mode, &in);
	ZyanStatus status = ZydisDecoderDecodeFull(&decoders[mode], bytes, count, &z, o);
	unsigned condition, op = ZYAN_SUCCESS(status) ? op_of(&z, &condition) : INSN_NONE;

	switch (result) {
	case INSN_TRUNCATED: /* with more it may be too long, which Zydis says at once */
	case INSN_TOO_LONG:
		return status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ||
			       status == ZYDIS_STATUS_NO_MORE_DATA
			   ? NULL
			   : "truncated, or too long";
	case INSN_UNDEFINED:
		return ZYAN_SUCCESS(status) ? "undefined" : NULL;
	case INSN_UNKNOWN:
		return op != INSN_NONE && !left_out(&z, o) ? "not decoded" : NULL;
	case INSN_OK:
		break;
	}
	if (!ZYAN_SUCCESS(status))
		return "decoded what is none";
	decoded++;
	seen[in.op]++;
	if (op != in.op)
		return "operation";
	if ((op == INSN_SETCC || op == INSN_CMOVCC) && condition != in.condition)
		return "condition";
	if (in.length != z.length)
		return "length";
	if (in.lock != !!(z.attributes & ZYDIS_ATTRIB_HAS_LOCK))
		return "LOCK";
	if (in.repeat != !!(z.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
					    ZYDIS_ATTRIB_HAS_REPNE)))
		return "REP";
	const char *what = compare_memory(&in, &z, o);
	return what ? what : compare_other(&in, &z, o);
}

/* The bytes lie at the end of an allocation, so that reading beyond them is found. */
static void try_bytes(const uint8_t *bytes, size_t count, unsigned mode)
{
	uint8_t *copy = malloc(count ? count : 1);

	memcpy(copy, bytes, count);
	const char *what = compare(copy, count, mode);
	if (what && differences++ < DIFFERENCES_MAX) {
		printf("# %s differs, %s:", what, mode_names[mode]);
		for (size_t i = 0; i < count; i++)
			printf(" %02x", bytes[i]);
		printf("\n");
	}
	free(copy);
}

/* --- byte strings ----------------------------------------------------------------------------- */

static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2,
				   0xf3, 0x40, 0x41, 0x42, 0x44, 0x48, 0x4c, 0x4f, 0x66, 0x67};

static size_t random_prefixes(uint8_t *to, unsigned limit)
{
	unsigned count = (unsigned)(random64() % (limit + 1));

	for (unsigned i = 0; i < count; i++)
		to[i] = prefixes[random64() % sizeof(prefixes)];
	return count;
}

static void fill(uint8_t *bytes, size_t from)
{
	for (size_t i = from; i < INSN_LENGTH_MAX; i++)
		bytes[i] = (uint8_t)(random64() >> 32);
}

/* Every opcode with every ModRM byte, behind random prefixes. */
static void enumerate(unsigned mode)
{
	for (unsigned opcode = 0; opcode < 512; opcode++)
		for (unsigned modrm = 0; modrm < 256; modrm++)
			for (unsigned times = 0; times < 4; times++) {
				uint8_t bytes[INSN_LENGTH_MAX];
				size_t n = random_prefixes(bytes, times);

				if (opcode >= 256)
					bytes[n++] = 0x0f;
				bytes[n++] = (uint8_t)opcode;
				bytes[n++] = (uint8_t)modrm;
				fill(bytes, n);
				try_bytes(bytes, INSN_LENGTH_MAX, mode);
			}
}

/* Short strings, long ones, many prefixes. */
static void randomly(unsigned mode)
{
	for (unsigned i = 0; i < PER_ROUND; i++) {
		uint8_t bytes[INSN_LENGTH_MAX];

		fill(bytes, 0);
		random_prefixes(bytes, INSN_LENGTH_MAX);
		if (i % 2)
			fill(bytes, random_prefixes(bytes, 3));
		try_bytes(bytes, random64() % 4 ? INSN_LENGTH_MAX : random64() % 16, mode);
	}
}

/* --- execution -------------------------------------------------------------------------------- */

struct machine {
	uint64_t rax, rcx, rdx, rbx, rflags;
};

/* Runs the code with these registers, and RDI. */
static void run(const void *code, struct machine *m, void *rdi)
{
	__asm__ volatile("push %%rbp\n\t"
			 "mov %[code], %%r8\n\t"
			 "mov %[m], %%r9\n\t"
			 "mov 0(%%r9), %%rax\n\t"
			 "mov 8(%%r9), %%rcx\n\t"
			 "mov 16(%%r9), %%rdx\n\t"
			 "mov 24(%%r9), %%rbx\n\t"
			 "push 32(%%r9)\n\t"
			 "popfq\n\t"
			 "call *%%r8\n\t"
			 "pushfq\n\t"
			 "pop 32(%%r9)\n\t"
			 "mov %%rax, 0(%%r9)\n\t"
			 "mov %%rcx, 8(%%r9)\n\t"
			 "mov %%rdx, 16(%%r9)\n\t"
			 "mov %%rbx, 24(%%r9)\n\t"
			 "pop %%rbp"
			 : "+D"(rdi)
			 : [code] "r"(code), [m] "r"(m)
			 : "rax", "rcx", "rdx", "rbx", "r8", "r9", "memory", "cc");
}

#define FLAGS_ALL (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)
#define ARENA	  32768 /* bytes: bit strings reach far with 16 and 32 bits of index */

static uint64_t defined_flags(unsigned op)
{
	if (op == INSN_OR || op == INSN_AND || op == INSN_XOR || op == INSN_TEST)
		return FLAGS_ALL & ~RFLAGS_AF;
	if (op >= INSN_BT && op <= INSN_BTC)
		return RFLAGS_CF | RFLAGS_ZF;
	return FLAGS_ALL;
}

/* What vmx/mmio.c does with registers, on those that the test uses. */
static void set_value(uint64_t *reg, uint64_t value, unsigned size, bool high)
{
	uint64_t mask = size == 8 || size == 4 ? ~0ull : (1ull << (8 * size)) - 1;

	if (high)
		*reg = (*reg & ~0xff00ull) | (value & 0xff) << 8;
	else
		*reg = (*reg & ~mask) | (value & mask);
}

static const char *execute(const struct insn *in, const uint8_t *bytes, uint8_t *code,
			   uint8_t *arena)
{
	uint8_t *middle = arena + ARENA / 2;
	struct machine m = {random64(), random64(), random64(), random64(),
			    (random64() & FLAGS_ALL) | RFLAGS_FIXED1 | RFLAGS_IF};
	uint64_t *regs[] = {&m.rax, &m.rcx, &m.rdx, &m.rbx};
	uint64_t *reg = regs[in->reg & 3];

	if (in->operand == INSN_OPERAND_REGISTER && in->op >= INSN_BT && in->op <= INSN_BTC)
		*reg = insn_sign_extend(*reg, 2) / 2;
	if (random64() % 4 == 0) /* so that CMPXCHG finds what it compares with */
		*reg = m.rax;
	struct insn_address at = {.base = (uint64_t)middle, .reg = *reg};
	uint8_t *memory = (uint8_t *)insn_linear(in, INSN_MODE_64, &at);
	if (memory < arena || memory > arena + ARENA - 8)
		return NULL; /* *reg was replaced by RAX */
	uint64_t before = random64() % 4 ? random64() : m.rax, after = 0;
	memcpy(memory, &before, sizeof(before));

	struct machine ours = m;
	uint64_t *our_regs[] = {&ours.rax, &ours.rcx, &ours.rdx, &ours.rbx};
	reg = our_regs[in->reg & 3];
	struct insn_values v = {.memory = before, .rax = ours.rax, .rflags = ours.rflags};
	v.reg = in->reg_high ? *reg >> 8 : *reg;
	unsigned writes = insn_execute(in, &v);
	uint64_t wanted = before;
	if (writes & INSN_WRITES_MEMORY)
		memcpy(&wanted, &v.memory, in->size);
	if (writes & INSN_WRITES_REGISTER)
		set_value(reg, v.reg, in->reg_size, in->reg_high);
	if (writes & INSN_WRITES_RAX)
		set_value(&ours.rax, v.rax, in->size, false);

	memcpy(code, bytes, in->length);
	code[in->length] = 0xc3; /* RET */
	run(code, &m, middle);
	memcpy(&after, memory, sizeof(after));
	if (after != wanted)
		return "memory";
	if (m.rax != ours.rax || m.rcx != ours.rcx || m.rdx != ours.rdx || m.rbx != ours.rbx)
		return "registers";
	if ((m.rflags ^ v.rflags) & defined_flags(in->op))
		return "flags";
	return NULL;
}

/* Every opcode with the operand at [RDI] and one of the registers A to D. */
static unsigned execute_all(uint64_t *count)
{
	static const uint8_t before[] = {0, 0x66, 0x48, 0x40, 0xf0};
	uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *arena = malloc(ARENA);
	unsigned wrong = 0;

	for (unsigned n = 0; n < 512 * sizeof(before) * 8; n++) {
		uint8_t bytes[INSN_LENGTH_MAX];
		unsigned at = 0, opcode = n / 8 % 512;
		struct insn in;

		if (before[n / 8 / 512])
			bytes[at++] = before[n / 8 / 512];
		if (opcode >= 256)
			bytes[at++] = 0x0f;
		bytes[at++] = (uint8_t)opcode;
		bytes[at++] = (uint8_t)(n % 8 << 3 | 7);
		fill(bytes, at);
		if (insn_decode(bytes, sizeof(bytes), INSN_MODE_64, &in) != INSN_OK ||
		    in.base != 7 || in.op == INSN_MOVS)
			continue;
		if (in.operand == INSN_OPERAND_REGISTER && in.reg > 3)
			continue;
		for (unsigned i = 0; i < 500; i++, ++*count) {
			const char *what = execute(&in, bytes, code, arena);
			if (what && wrong++ < DIFFERENCES_MAX)
				printf("# %s differ after %02x %02x %02x %02x\n", what, bytes[0],
				       bytes[1], bytes[2], bytes[3]);
		}
	}
	free(arena);
	munmap(code, 4096);
	return wrong;
}

/* --- addresses -------------------------------------------------------------------------------- */

static uint64_t linear(enum insn_mode mode, const char *bytes, size_t count, uint64_t base,
		       uint64_t index, uint64_t segment_base)
{
	struct insn in;
	struct insn_address at = {base, index, 0xffffff00, index, segment_base};

	if (insn_decode((const uint8_t *)bytes, count, mode, &in) != INSN_OK)
		return 0xbad;
	return insn_linear(&in, mode, &at);
}
#define LINEAR(mode, bytes, ...) linear(mode, bytes, sizeof(bytes) - 1, __VA_ARGS__)

static void addresses(void)
{
	is(LINEAR(INSN_MODE_16, "\x89\x00", 0xfff0, 0x20, 0x12340), 0x12350,
	   "16 bits: offsets wrap at 64 KiB, then the segment is added");
	is(LINEAR(INSN_MODE_32, "\x89\x04\x88", 0xfffffff0, 8, 0x1000), 0x1010,
	   "32 bits: scaled index, wraps at 4 GiB");
	is(LINEAR(INSN_MODE_32, "\x89\x00", 0x10, 0, 0xfffffff8), 8,
	   "32 bits: linear addresses wrap as well");
	is(LINEAR(INSN_MODE_64, "\x89\x40\xf8", 0x1000, 0, 0x5555), 0xff8,
	   "64 bits: DS has no base");
	is(LINEAR(INSN_MODE_64, "\x64\x89\x00", 0x1000, 0, 0x5000), 0x6000, "64 bits: FS has one");
	is(LINEAR(INSN_MODE_64, "\x67\x89\x00", 0x123456789, 0, 0), 0x23456789,
	   "64 bits with 32-bit addresses: truncated");
	is(LINEAR(INSN_MODE_64, "\x89\x05\x00\x02\x00\x00", 0, 0, 0), 0x100000100,
	   "relative to the next instruction");
	is(LINEAR(INSN_MODE_64, "\x67\x89\x05\x00\x02\x00\x00", 0, 0, 0), 0x100,
	   "the same with 32-bit addresses");
	is(LINEAR(INSN_MODE_64, "\x48\xa1\x88\x77\x66\x55\x44\x33\x22\x11", 0, 0, 0),
	   0x1122334455667788, "a moffs of 64 bits");
	is(LINEAR(INSN_MODE_32, "\x0f\xa3\x08", 0x1000, (uint64_t)-1, 0), 0xffc,
	   "bit -1 of a string lies 4 bytes below");
	is(LINEAR(INSN_MODE_64, "\x48\x0f\xab\x08", 0x1000, 64, 0), 0x1008,
	   "bit 64 lies 8 bytes above");
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 4;
	uint64_t count = 0;

	/* Without arguments the same every time; a long run is another one each time. */
	random_state = argc > 2	  ? strtoull(argv[2], NULL, 0)
		       : argc > 1 ? (uint64_t)time(NULL) * 0x9e3779b97f4a7c15ull
				  : 0x9e3779b97f4a7c15ull;
	tap_no_plan();
	diag("seed 0x%" PRIx64 ", %u rounds", random_state, rounds);
	ZydisDecoderInit(&decoders[INSN_MODE_16], ZYDIS_MACHINE_MODE_LEGACY_16,
			 ZYDIS_STACK_WIDTH_16);
	ZydisDecoderInit(&decoders[INSN_MODE_32], ZYDIS_MACHINE_MODE_LEGACY_32,
			 ZYDIS_STACK_WIDTH_32);
	ZydisDecoderInit(&decoders[INSN_MODE_64], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	addresses();
	for (unsigned mode = 0; mode < 3; mode++) {
		decoded = differences = 0;
		enumerate(mode);
		ok(!differences, "%s: all opcodes and ModRM bytes as Zydis says", mode_names[mode]);
		for (unsigned i = 0; i < rounds; i++)
			randomly(mode);
		ok(!differences, "%s: random bytes as well", mode_names[mode]);
		ok(decoded > 50000, "%s: %" PRIu64 " instructions among them", mode_names[mode],
		   decoded);
	}
	bool all = true;
	for (unsigned op = 0; op <= INSN_MOVS; op++)
		all &= seen[op] > 0 || op == INSN_NONE;
	ok(all, "every operation came up");
	is(execute_all(&count), 0, "executed as this processor does");
	ok(count > 100000, "%" PRIu64 " times", count);
	return tap_end();
}
