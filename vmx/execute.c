/*
 * What an instruction that vmx/decode.c knows does with values: the result and the flags. Pure.
 * Flags that the SDM leaves undefined stay as they were, but for AF after logic operations, which
 * is cleared. Source: SDM Vol. 2, "Instruction Set Reference"; Vol. 1, "EFLAGS Condition Codes".
 */
#include "cpu_bits.h"
#include "vmx/decode.h"

#define RFLAGS_ARITHMETIC (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

static bool top_bit(uint64_t value, unsigned size)
{
	return value >> (8 * size - 1) & 1;
}

/* The flags that tell of a result: zero, sign, parity of the lowest byte. */
static uint64_t flags_of(uint64_t result, unsigned size)
{
	result = insn_truncate(result, size);
	return (result ? 0 : RFLAGS_ZF) | (top_bit(result, size) ? RFLAGS_SF : 0) |
	       (__builtin_parity((uint8_t)result) ? 0 : RFLAGS_PF);
}

static void set_flags(uint64_t *rflags, uint64_t changed, uint64_t to)
{
	*rflags = (*rflags & ~changed) | (to & changed);
}

/* a + b or a - b, with the carry or borrow in; which flags change. */
static uint64_t add(uint64_t a, uint64_t b, bool carry, unsigned size, uint64_t changed,
		    uint64_t *rflags)
{
	uint64_t r = a + b + carry;

	set_flags(rflags, changed,
		  flags_of(r, size) | (top_bit((a & b) | ((a | b) & ~r), size) ? RFLAGS_CF : 0) |
		      (top_bit((a ^ r) & (b ^ r), size) ? RFLAGS_OF : 0) |
		      ((a ^ b ^ r) & RFLAGS_AF));
	return r;
}

static uint64_t subtract(uint64_t a, uint64_t b, bool borrow, unsigned size, uint64_t changed,
			 uint64_t *rflags)
{
	uint64_t r = a - b - borrow;

	set_flags(rflags, changed,
		  flags_of(r, size) | (top_bit((~a & b) | ((~a | b) & r), size) ? RFLAGS_CF : 0) |
		      (top_bit((a ^ b) & (a ^ r), size) ? RFLAGS_OF : 0) |
		      ((a ^ b ^ r) & RFLAGS_AF));
	return r;
}

static uint64_t logic(uint64_t r, unsigned size, uint64_t *rflags)
{
	set_flags(rflags, RFLAGS_ARITHMETIC, flags_of(r, size));
	return r;
}

/* Those with the numbers 0 to 7. */
static uint64_t arithmetic(unsigned op, uint64_t a, uint64_t b, unsigned size, uint64_t *rflags)
{
	bool carry = *rflags & RFLAGS_CF;

	switch (op) {
	case INSN_OR:
		return logic(a | b, size, rflags);
	case INSN_AND:
		return logic(a & b, size, rflags);
	case INSN_XOR:
		return logic(a ^ b, size, rflags);
	case INSN_ADD:
	case INSN_ADC:
		return add(a, b, op == INSN_ADC && carry, size, RFLAGS_ARITHMETIC, rflags);
	default: /* INSN_SUB, INSN_SBB, INSN_CMP */
		return subtract(a, b, op == INSN_SBB && carry, size, RFLAGS_ARITHMETIC, rflags);
	}
}

/* BT, BTS, BTR, BTC. */
static uint64_t bit_test(unsigned op, uint64_t a, uint64_t number, unsigned size, uint64_t *rflags)
{
	uint64_t bit = 1ull << (number & (8 * size - 1));

	set_flags(rflags, RFLAGS_CF, a & bit ? RFLAGS_CF : 0);
	return op == INSN_BTS ? a | bit : op == INSN_BTR ? a & ~bit : op == INSN_BTC ? a ^ bit : a;
}

/* An even condition holds if one of its flags is set, or for the last two, if the signed comparison
 * said less; the odd one after it is its negation. */
static bool condition_holds(unsigned condition, uint64_t rflags)
{
	static const uint16_t flags[8] = {RFLAGS_OF, RFLAGS_CF, RFLAGS_ZF, RFLAGS_CF | RFLAGS_ZF,
					  RFLAGS_SF, RFLAGS_PF, 0,	   RFLAGS_ZF};
	unsigned pair = condition >> 1 & 7;
	bool less = !(rflags & RFLAGS_SF) != !(rflags & RFLAGS_OF);

	return (rflags & flags[pair] || (pair >= 6 && less)) != (condition & 1);
}

bool insn_reads_memory(const struct insn *in)
{
	return in->op != INSN_STOS && in->op != INSN_SETCC &&
	       !(in->op == INSN_MOV && !in->to_register);
}

bool insn_writes_memory(const struct insn *in)
{
	return !in->to_register && in->op != INSN_CMP && in->op != INSN_TEST && in->op != INSN_BT;
}

/* The same with both values cut to size; b is the operand that is not the destination. */
static unsigned execute(const struct insn *in, uint64_t a, uint64_t b, struct insn_values *v,
			uint64_t *result)
{
	unsigned size = in->size, to = in->to_register ? INSN_WRITES_REGISTER : INSN_WRITES_MEMORY;

	switch (in->op) {
	case INSN_TEST:
		logic(a & b, size, &v->rflags);
		return 0;
	case INSN_MOV:
	case INSN_MOVZX:
	case INSN_MOVS:
	case INSN_STOS:
		*result = b;
		return to;
	case INSN_MOVSX:
		*result = insn_sign_extend(b, size);
		return to;
	case INSN_XCHG:
		*result = b;
		v->reg = a;
		return INSN_WRITES_MEMORY | INSN_WRITES_REGISTER;
	case INSN_XADD:
		*result = add(a, b, false, size, RFLAGS_ARITHMETIC, &v->rflags);
		v->reg = a;
		return INSN_WRITES_MEMORY | INSN_WRITES_REGISTER;
	case INSN_INC:
		*result = add(a, 1, false, size, RFLAGS_ARITHMETIC & ~RFLAGS_CF, &v->rflags);
		return to;
	case INSN_DEC:
		*result = subtract(a, 1, false, size, RFLAGS_ARITHMETIC & ~RFLAGS_CF, &v->rflags);
		return to;
	case INSN_NOT:
		*result = ~a;
		return to;
	case INSN_NEG:
		*result = subtract(0, a, false, size, RFLAGS_ARITHMETIC, &v->rflags);
		return to;
	case INSN_CMPXCHG:
		subtract(insn_truncate(v->rax, size), a, false, size, RFLAGS_ARITHMETIC,
			 &v->rflags);
		*result = v->rflags & RFLAGS_ZF ? b : a;
		if (v->rflags & RFLAGS_ZF)
			return to;
		v->rax = a;
		return to | INSN_WRITES_RAX;
	case INSN_SETCC:
		*result = condition_holds(in->condition, v->rflags);
		return to;
	case INSN_CMOVCC:
		*result = condition_holds(in->condition, v->rflags) ? b : a;
		return to;
	}
	if (in->op >= INSN_BT) {
		*result = bit_test(in->op, a, b, size, &v->rflags);
		return in->op == INSN_BT ? 0 : to;
	}
	*result = arithmetic(in->op, a, b, size, &v->rflags);
	return in->op == INSN_CMP ? 0 : to;
}

/*
 * Executes on v: what INSN_WRITES_ says has changed in it, and flags. A 32-bit result is
 * zero-extended by who writes the register. MOVS moves v->memory to v->memory: the caller writes it
 * elsewhere.
 */
unsigned insn_execute(const struct insn *in, struct insn_values *v)
{
	uint64_t memory = insn_truncate(v->memory, in->size), result = 0;
	uint64_t other = in->operand == INSN_OPERAND_IMMEDIATE ? in->immediate : v->reg;
	unsigned writes;

	other = insn_truncate(other, in->to_register ? in->reg_size : in->size);
	if (in->op == INSN_MOVS)
		writes = execute(in, memory, memory, v, &result);
	else if (in->to_register)
		writes = execute(in, other, memory, v, &result);
	else
		writes = execute(in, memory, other, v, &result);
	if (writes & INSN_WRITES_MEMORY)
		v->memory = insn_truncate(result, in->size);
	else if (writes & INSN_WRITES_REGISTER)
		v->reg = insn_truncate(result, in->reg_size);
	return writes;
}
