/*
 * Decoding the instructions with which guests touch the registers of devices: moves, arithmetic,
 * bit and exchange operations with an operand in memory, and two string instructions. Everything
 * else is INSN_UNKNOWN.
 *
 * Pure: bytes and mode in, a description out. No state, no lock, no loop that is not bounded by the
 * length of an instruction. tests/unit/test_decode.c compares it with a disassembler.
 *
 * Source: SDM Vol. 2, "Instruction Format", "Opcode Map".
 */
#include "vmx/decode.h"
#include "cpu_bits.h"

/* What an opcode is followed by, and which way it works. */
#define F_BYTE	   BIT32(0) /* operands of a byte; else 2, 4 or 8 */
#define F_MODRM	   BIT32(1)
#define F_LOAD	   BIT32(2) /* the register is the destination */
#define F_GROUP	   BIT32(3) /* the reg field chooses the operation: op is the group's number */
#define F_IMM	   BIT32(4) /* an immediate of the operand's size, at most 4 bytes */
#define F_IMM8	   BIT32(5) /* an immediate byte, sign-extended */
#define F_MOFFS	   BIT32(6) /* an address of the address size, and the accumulator */
#define F_STRING   BIT32(7)
#define F_LOCK	   BIT32(8) /* LOCK is allowed */
#define F_MEMORY8  BIT32(9) /* memory of 1, 2 or 4 bytes whatever the register has */
#define F_MEMORY16 BIT32(10)
#define F_MEMORY32 BIT32(11)
#define F_LONG	   BIT32(12) /* in 64-bit mode only */
#define F_NONE	   BIT32(13) /* no other operand */

struct form {
	uint8_t op; /* enum insn_op, or a group */
	uint16_t flags;
};

/* The forms r/m,r and r,r/m of an operation, a byte and larger. */
#define ARITHMETIC(first, name, lock)                                                          \
	[first] = {name, F_MODRM | F_BYTE | (lock)}, [(first) + 1] = {name, F_MODRM | (lock)}, \
	[(first) + 2] = {name, F_MODRM | F_BYTE | F_LOAD},                                     \
	[(first) + 3] = {name, F_MODRM | F_LOAD}

enum { GROUP_1, GROUP_3, GROUP_4, GROUP_8, GROUP_11 };

/* Here and below, flags 0: not one of ours. */
static const struct form groups[][8] = {
    [GROUP_1] = {{INSN_ADD, F_LOCK},
		 {INSN_OR, F_LOCK},
		 {INSN_ADC, F_LOCK},
		 {INSN_SBB, F_LOCK},
		 {INSN_AND, F_LOCK},
		 {INSN_SUB, F_LOCK},
		 {INSN_XOR, F_LOCK},
		 {INSN_CMP, F_MODRM}},
    /* The immediate is that of TEST alone. */
    [GROUP_3] = {{INSN_TEST, F_IMM},
		 {INSN_TEST, F_IMM},
		 {INSN_NOT, F_LOCK | F_NONE},
		 {INSN_NEG, F_LOCK | F_NONE}},
    [GROUP_4] = {{INSN_INC, F_LOCK | F_NONE}, {INSN_DEC, F_LOCK | F_NONE}},
    [GROUP_8] = {[4] = {INSN_BT, F_MODRM},
		 {INSN_BTS, F_LOCK},
		 {INSN_BTR, F_LOCK},
		 {INSN_BTC, F_LOCK}},
    [GROUP_11] = {{INSN_MOV, F_MODRM}},
};

static const struct form one_byte[256] = {
    ARITHMETIC(0x00, INSN_ADD, F_LOCK),
    ARITHMETIC(0x08, INSN_OR, F_LOCK),
    ARITHMETIC(0x10, INSN_ADC, F_LOCK),
    ARITHMETIC(0x18, INSN_SBB, F_LOCK),
    ARITHMETIC(0x20, INSN_AND, F_LOCK),
    ARITHMETIC(0x28, INSN_SUB, F_LOCK),
    ARITHMETIC(0x30, INSN_XOR, F_LOCK),
    ARITHMETIC(0x38, INSN_CMP, 0),
    [0x63] = {INSN_MOVSX, F_MODRM | F_LOAD | F_MEMORY32 | F_LONG},
    [0x80] = {GROUP_1, F_GROUP | F_MODRM | F_BYTE | F_IMM8},
    [0x81] = {GROUP_1, F_GROUP | F_MODRM | F_IMM},
    [0x83] = {GROUP_1, F_GROUP | F_MODRM | F_IMM8},
    [0x84] = {INSN_TEST, F_MODRM | F_BYTE},
    [0x85] = {INSN_TEST, F_MODRM},
    [0x86] = {INSN_XCHG, F_MODRM | F_BYTE | F_LOCK},
    [0x87] = {INSN_XCHG, F_MODRM | F_LOCK},
    [0x88] = {INSN_MOV, F_MODRM | F_BYTE},
    [0x89] = {INSN_MOV, F_MODRM},
    [0x8a] = {INSN_MOV, F_MODRM | F_BYTE | F_LOAD},
    [0x8b] = {INSN_MOV, F_MODRM | F_LOAD},
    [0xa0] = {INSN_MOV, F_MOFFS | F_BYTE | F_LOAD},
    [0xa1] = {INSN_MOV, F_MOFFS | F_LOAD},
    [0xa2] = {INSN_MOV, F_MOFFS | F_BYTE},
    [0xa3] = {INSN_MOV, F_MOFFS},
    [0xa4] = {INSN_MOVS, F_STRING | F_BYTE | F_NONE},
    [0xa5] = {INSN_MOVS, F_STRING | F_NONE},
    [0xaa] = {INSN_STOS, F_STRING | F_BYTE},
    [0xab] = {INSN_STOS, F_STRING},
    [0xc6] = {GROUP_11, F_GROUP | F_MODRM | F_BYTE | F_IMM8},
    [0xc7] = {GROUP_11, F_GROUP | F_MODRM | F_IMM},
    [0xf6] = {GROUP_3, F_GROUP | F_MODRM | F_BYTE},
    [0xf7] = {GROUP_3, F_GROUP | F_MODRM},
    [0xfe] = {GROUP_4, F_GROUP | F_MODRM | F_BYTE},
    [0xff] = {GROUP_4, F_GROUP | F_MODRM},
};

#define CONDITIONS(first, name, flags) [(first)...(first) + 15] = {name, flags}

/* Behind 0F. */
static const struct form two_byte[256] = {
    CONDITIONS(0x40, INSN_CMOVCC, F_MODRM | F_LOAD),
    CONDITIONS(0x90, INSN_SETCC, F_MODRM | F_BYTE | F_NONE),
    [0xa3] = {INSN_BT, F_MODRM},
    [0xab] = {INSN_BTS, F_MODRM | F_LOCK},
    [0xb0] = {INSN_CMPXCHG, F_MODRM | F_BYTE | F_LOCK},
    [0xb1] = {INSN_CMPXCHG, F_MODRM | F_LOCK},
    [0xb3] = {INSN_BTR, F_MODRM | F_LOCK},
    [0xb6] = {INSN_MOVZX, F_MODRM | F_LOAD | F_MEMORY8},
    [0xb7] = {INSN_MOVZX, F_MODRM | F_LOAD | F_MEMORY16},
    [0xba] = {GROUP_8, F_GROUP | F_MODRM | F_IMM8},
    [0xbb] = {INSN_BTC, F_MODRM | F_LOCK},
    [0xbe] = {INSN_MOVSX, F_MODRM | F_LOAD | F_MEMORY8},
    [0xbf] = {INSN_MOVSX, F_MODRM | F_LOAD | F_MEMORY16},
    [0xc0] = {INSN_XADD, F_MODRM | F_BYTE | F_LOCK},
    [0xc1] = {INSN_XADD, F_MODRM | F_LOCK},
};

#define PREFIX_OPERAND_SIZE 0x66
#define PREFIX_ADDRESS_SIZE 0x67
#define PREFIX_LOCK	    0xf0
#define PREFIX_REPNE	    0xf2
#define PREFIX_REP	    0xf3
#define OPCODE_TWO_BYTE	    0x0f

#define REX	 0x40
#define REX_MASK 0xf0
#define REX_W	 8
#define REX_R	 4
#define REX_X	 2
#define REX_B	 1

#define MODRM_REGISTER	  3 /* mod: no memory */
#define MODRM_SIB	  4 /* rm */
#define MODRM_DISPLACE	  5 /* rm with mod 0; the same for the base of a SIB byte */
#define MODRM_DISPLACE_16 6 /* rm with mod 0 */
#define SIB_NO_INDEX	  4

/* Register numbers in encodings. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

/* The bytes, and how many have been taken. */
struct cursor {
	const uint8_t *bytes;
	size_t count;
	unsigned at;
	bool ended; /* something was wanted behind the last byte */
	enum insn_mode mode;
	uint8_t rex, segment;
	bool operand_size, address_size;
};

static uint8_t take(struct cursor *c)
{
	if (c->at >= c->count || c->at >= INSN_LENGTH_MAX) {
		c->ended = true;
		return 0;
	}
	return c->bytes[c->at++];
}

/* A little-endian number of size bytes, sign-extended. */
static uint64_t take_number(struct cursor *c, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)take(c) << (8 * i);
	return insn_sign_extend(value, size);
}

/* Segment overrides of ES, CS, SS, DS mean nothing in 64-bit mode. */
static void override_segment(struct cursor *c, unsigned segment)
{
	if (c->mode != INSN_MODE_64 || segment >= INSN_FS)
		c->segment = (uint8_t)segment;
}

/* Takes prefixes up to the opcode, which it returns. A REX prefix counts right before the opcode
 * only. */
static uint8_t take_prefixes(struct cursor *c, struct insn *out)
{
	for (;;) {
		uint8_t byte = take(c);

		switch (byte) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			override_segment(c, byte >> 3 & 3);
			break;
		case 0x64:
		case 0x65:
			override_segment(c, byte & 7);
			break;
		case PREFIX_OPERAND_SIZE:
			c->operand_size = true;
			break;
		case PREFIX_ADDRESS_SIZE:
			c->address_size = true;
			break;
		case PREFIX_LOCK:
			out->lock = true;
			break;
		case PREFIX_REPNE:
		case PREFIX_REP:
			out->repeat = true;
			break;
		default:
			if (c->mode != INSN_MODE_64 || (byte & REX_MASK) != REX)
				return byte;
			c->rex = byte;
			continue;
		}
		c->rex = 0;
		if (c->ended)
			return 0;
	}
}

static void set_sizes(const struct cursor *c, const struct form *f, struct insn *out)
{
	unsigned size = (c->mode == INSN_MODE_16) != c->operand_size ? 2 : 4;

	if (c->rex & REX_W)
		size = 8;
	if (f->flags & F_BYTE)
		size = 1;
	out->size = out->reg_size = (uint8_t)size;
	if (f->flags & F_MEMORY8)
		out->size = 1;
	if (f->flags & F_MEMORY16)
		out->size = 2;
	if (f->flags & F_MEMORY32)
		out->size = 4;
}

static void set_register(const struct cursor *c, unsigned number, struct insn *out)
{
	out->operand = INSN_OPERAND_REGISTER;
	out->reg_high = out->reg_size == 1 && !c->rex && number >= 4;
	out->reg = (uint8_t)(out->reg_high ? number - 4 : number);
}

static void memory_16(struct cursor *c, unsigned mod, unsigned rm, struct insn *out)
{
	static const uint8_t bases[] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
	static const uint8_t indexes[] = {RSI, RDI, RSI, RDI};

	out->base = bases[rm];
	if (rm < array_size(indexes))
		out->index = indexes[rm];
	if (mod == 0 && rm == MODRM_DISPLACE_16)
		out->base = INSN_NO_REGISTER;
	if (out->base == RBP)
		out->segment = INSN_SS;
	if (mod || out->base == INSN_NO_REGISTER)
		out->displacement = take_number(c, mod == 1 ? 1 : 2);
}

static void memory_32(struct cursor *c, unsigned mod, unsigned rm, struct insn *out)
{
	unsigned base = rm;

	if (rm == MODRM_SIB) {
		uint8_t sib = take(c);
		unsigned index = (sib >> 3 & 7) | (c->rex & REX_X ? 8 : 0);

		base = sib & 7;
		if (index != SIB_NO_INDEX) {
			out->index = (uint8_t)index;
			out->scale_shift = sib >> 6;
		}
	}
	bool no_base = mod == 0 && base == MODRM_DISPLACE;
	if (!no_base)
		out->base = (uint8_t)(base | (c->rex & REX_B ? 8 : 0));
	else if (rm != MODRM_SIB && c->mode == INSN_MODE_64)
		out->base = INSN_RIP;
	if (out->base == RSP || out->base == RBP)
		out->segment = INSN_SS;
	if (mod || no_base)
		out->displacement = take_number(c, mod == 1 ? 1 : 4);
}

/* The byte that names the operands, and the address behind it. False: both are registers. */
static bool take_operands(struct cursor *c, const struct form *f, unsigned modrm, struct insn *out)
{
	unsigned mod = modrm >> 6, reg = modrm >> 3 & 7, rm = modrm & 7;

	if (mod == MODRM_REGISTER)
		return false;
	if (!(f->flags & (F_GROUP | F_NONE)))
		set_register(c, reg | (c->rex & REX_R ? 8 : 0), out);
	if (out->address_size == 2)
		memory_16(c, mod, rm, out);
	else
		memory_32(c, mod, rm, out);
	return true;
}

static void take_immediate(struct cursor *c, unsigned flags, struct insn *out)
{
	if (!(flags & (F_IMM | F_IMM8)))
		return;
	out->operand = INSN_OPERAND_IMMEDIATE;
	out->immediate = take_number(c, flags & F_IMM8 ? 1 : out->size == 8 ? 4 : out->size);
}

/* What follows the opcode. */
static enum insn_result take_rest(struct cursor *c, struct form f, struct insn *out)
{
	set_sizes(c, &f, out);
	if (f.flags & F_MODRM) {
		uint8_t modrm = take(c);
		bool unknown = false;

		if (f.flags & F_GROUP) {
			const struct form *member = &groups[f.op][modrm >> 3 & 7];

			f.op = member->op;
			f.flags |= member->flags;
			unknown = !member->flags;
		}
		if (c->ended)
			return INSN_TRUNCATED;
		if (unknown)
			return INSN_UNKNOWN;
		if (!take_operands(c, &f, modrm, out))
			return out->lock ? INSN_UNDEFINED : INSN_UNKNOWN;
	} else if (!(f.flags & F_NONE)) {
		set_register(c, RAX, out);
	}
	if (f.flags & F_MOFFS)
		out->displacement = take_number(c, out->address_size);
	if (f.op == INSN_STOS) {
		out->base = RDI;
		out->segment = INSN_ES;
	} else if (f.op == INSN_MOVS) {
		out->base = RSI;
	}
	take_immediate(c, f.flags, out);
	if (c->segment != INSN_NO_REGISTER && f.op != INSN_STOS)
		out->segment = c->segment;
	out->op = f.op;
	out->to_register = f.flags & F_LOAD;
	out->repeat &= (f.flags & F_STRING) != 0;
	out->length = (uint8_t)c->at;
	if (c->ended)
		return INSN_TRUNCATED;
	return out->lock && !(f.flags & F_LOCK) ? INSN_UNDEFINED : INSN_OK;
}

/*
 * Decodes the instruction at bytes, of which count are there; it looks at no more than
 * INSN_LENGTH_MAX. *out is valid with INSN_OK only. INSN_TRUNCATED: call again with more bytes.
 */
enum insn_result insn_decode(const uint8_t *bytes, size_t count, enum insn_mode mode,
			     struct insn *out)
{
	struct cursor c = {
	    .bytes = bytes, .count = count, .mode = mode, .segment = INSN_NO_REGISTER};

	*out =
	    (struct insn){.segment = INSN_DS, .base = INSN_NO_REGISTER, .index = INSN_NO_REGISTER};
	uint8_t opcode = take_prefixes(&c, out);
	const struct form *f = &one_byte[opcode];

	out->address_size = mode == INSN_MODE_64 ? 8 : mode == INSN_MODE_32 ? 4 : 2;
	if (c.address_size)
		out->address_size = mode == INSN_MODE_32 ? 2 : 4;
	if (opcode == OPCODE_TWO_BYTE) {
		opcode = take(&c);
		f = &two_byte[opcode];
		out->condition = opcode & 0xf;
	}
	enum insn_result result = INSN_TRUNCATED;
	/* With a 16-bit register, processors differ in how much MOVSXD reads. */
	bool refused =
	    !f->flags ||
	    (f->flags & F_LONG && (mode != INSN_MODE_64 || (c.operand_size && !(c.rex & REX_W))));
	if (!c.ended)
		result = refused ? INSN_UNKNOWN : take_rest(&c, *f, out);
	if (result == INSN_TRUNCATED && count >= INSN_LENGTH_MAX)
		return INSN_TOO_LONG;
	return result;
}

/*
 * The linear address of the operand in memory; of MOVS, that of its source. Where linear addresses
 * have 32 bits, it wraps there. With a register, BT and its kin take the bit from a string that
 * begins at the address (SDM Vol. 2, "BT--Bit Test").
 */
uint64_t insn_linear(const struct insn *in, enum insn_mode mode, const struct insn_address *at)
{
	uint64_t offset = in->displacement;

	if (in->base == INSN_RIP)
		offset += at->next_ip;
	else if (in->base != INSN_NO_REGISTER)
		offset += at->base;
	if (in->index != INSN_NO_REGISTER)
		offset += at->index << in->scale_shift;
	if (in->op >= INSN_BT && in->op <= INSN_BTC && in->operand == INSN_OPERAND_REGISTER) {
		int64_t bit = (int64_t)insn_sign_extend(at->reg, in->size);

		offset += (uint64_t)(bit >> 3) & ~(uint64_t)(in->size - 1u);
	}
	offset = insn_truncate(offset, in->address_size);
	if (mode != INSN_MODE_64)
		return (uint32_t)(offset + at->segment_base);
	return in->segment >= INSN_FS ? offset + at->segment_base : offset;
}
