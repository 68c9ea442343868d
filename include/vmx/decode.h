/*
 * The instructions with which guests touch the registers of devices: decoding and executing them.
 * Pure functions of their arguments, in vmx/decode.c and vmx/execute.c; no state, no lock.
 */
#ifndef KEYHOLE_VMX_DECODE_H
#define KEYHOLE_VMX_DECODE_H

#include "types.h"

#define INSN_LENGTH_MAX 15u

enum insn_mode { INSN_MODE_16, INSN_MODE_32, INSN_MODE_64 };

/* The first eight have the numbers that they have in encodings; so have BT to BTC, from INSN_BT. */
enum insn_op {
	INSN_ADD,
	INSN_OR,
	INSN_ADC,
	INSN_SBB,
	INSN_AND,
	INSN_SUB,
	INSN_XOR,
	INSN_CMP,
	INSN_BT,
	INSN_BTS,
	INSN_BTR,
	INSN_BTC,
	INSN_NONE,
	INSN_TEST,
	INSN_MOV,
	INSN_MOVZX,
	INSN_MOVSX,
	INSN_XCHG,
	INSN_INC,
	INSN_DEC,
	INSN_NOT,
	INSN_NEG,
	INSN_XADD,
	INSN_CMPXCHG,
	INSN_SETCC,
	INSN_CMOVCC,
	INSN_STOS, /* memory at ES:rDI */
	INSN_MOVS  /* from memory at segment:rSI to memory at ES:rDI */
};

/* Segment registers by their number in encodings. */
enum insn_segment { INSN_ES, INSN_CS, INSN_SS, INSN_DS, INSN_FS, INSN_GS };

/* Where an address has no register. */
#define INSN_NO_REGISTER 0xffu
/* As base: the address of the next instruction. */
#define INSN_RIP 0xfeu

enum insn_operand { INSN_OPERAND_NONE, INSN_OPERAND_REGISTER, INSN_OPERAND_IMMEDIATE };

/* An instruction with an operand in memory. */
struct insn {
	uint8_t op;	   /* enum insn_op */
	uint8_t length;	   /* bytes, all prefixes included */
	uint8_t size;	   /* of the operand in memory, bytes: 1, 2, 4, 8 */
	uint8_t reg_size;  /* of the register operand: another one for MOVZX and MOVSX */
	uint8_t operand;   /* the other operand, enum insn_operand */
	uint8_t reg;	   /* number of the general register */
	bool reg_high;	   /* bits 15:8 of reg: AH to BH */
	bool to_register;  /* the register is the destination, memory is only read */
	bool lock, repeat; /* prefixes */
	uint8_t condition; /* of SETCC and CMOVCC, as in encodings */
	uint8_t segment;   /* enum insn_segment */
	uint8_t base, index, scale_shift; /* general registers, or INSN_NO_REGISTER, INSN_RIP */
	uint8_t address_size;		  /* bytes: 2, 4, 8 */
	uint64_t displacement;		  /* sign-extended */
	uint64_t immediate;		  /* sign-extended */
};

enum insn_result {
	INSN_OK,
	INSN_TRUNCATED, /* goes on behind the bytes given */
	INSN_TOO_LONG,	/* more than 15 bytes: #GP(0) */
	INSN_UNDEFINED, /* LOCK where it is not allowed: #UD */
	INSN_UNKNOWN	/* not one of these instructions, or not with memory */
};

enum insn_result insn_decode(const uint8_t *bytes, size_t count, enum insn_mode mode,
			     struct insn *out) must_use;

/* The values in registers that an address is made of; those of INSN_NO_REGISTER are not read. */
struct insn_address {
	uint64_t base, index;
	uint64_t next_ip; /* of the instruction behind */
	uint64_t reg;	  /* of the register operand: bit strings reach beyond their address */
	uint64_t segment_base;
};
uint64_t insn_linear(const struct insn *in, enum insn_mode mode, const struct insn_address *at);

/* What an operation works on; values are used as far as their sizes go. */
struct insn_values {
	uint64_t memory, reg, rax, rflags;
};
/* What it changes. */
#define INSN_WRITES_MEMORY   1u
#define INSN_WRITES_REGISTER 2u
#define INSN_WRITES_RAX	     4u

/* Whether the old value in memory counts, and whether there is a new one. */
bool insn_reads_memory(const struct insn *in);
bool insn_writes_memory(const struct insn *in);
unsigned insn_execute(const struct insn *in, struct insn_values *v);

/* The value with its upper bits, above size bytes, cleared; and copies of its sign. */
static inline uint64_t insn_truncate(uint64_t value, unsigned size)
{
	return size == 8 ? value : value & ((1ull << (8 * size)) - 1);
}
static inline uint64_t insn_sign_extend(uint64_t value, unsigned size)
{
	unsigned unused = 64 - 8 * size;

	return (uint64_t)((int64_t)(value << unused) >> unused);
}

#endif
