/* Between the files of the VM-entry failure explainer; see include/vmx/explain.h. */
#ifndef KEYHOLE_VMX_EXPLAIN_INTERNAL_H
#define KEYHOLE_VMX_EXPLAIN_INTERNAL_H

#include "vmx/explain.h"

/* One run of vmx_explain(). */
struct explain {
	const struct vmx_caps *caps;
	const struct vmcs_snapshot *s;
	vmx_explain_fn *report;
	void *ctx;
	int count;
};

/* Reports that a rule is broken by a field with a value. */
void explain_broken(struct explain *e, enum vmx_rule rule, uint32_t encoding, uint64_t value);

/* The encoding of the field that a member of the snapshot is of. */
#define EXPLAIN_ENCODING(member, field) EXPLAIN_ENC_##member = VMCS_ENC_##field,
enum { VMCS_SNAPSHOT_FIELDS(EXPLAIN_ENCODING) };
#undef EXPLAIN_ENCODING

/* Reports the rule, by this member, if the condition holds. */
#define BREAKS(condition, rule, member)                                                      \
	do {                                                                                 \
		if (condition)                                                               \
			explain_broken(e, VMX_RULE_##rule, EXPLAIN_ENC_##member, s->member); \
	} while (0)

static inline bool explain_canonical(const struct explain *e, uint64_t address)
{
	unsigned unused = 64u - e->caps->linear_bits;

	return (uint64_t)((int64_t)(address << unused) >> unused) == address;
}

static inline bool explain_physical(const struct explain *e, uint64_t address)
{
	return (address >> e->caps->physical_bits) == 0;
}

/* VMX structures: processors that say so want them below 4 GiB. */
static inline bool explain_physical_page(const struct explain *e, uint64_t address)
{
	if ((e->caps->basic & VMX_BASIC_32BIT_ADDRESSES) && address >> 32)
		return false;
	return (address & (PAGE_SIZE - 1)) == 0 && explain_physical(e, address);
}

/* IA32_PAT: eight memory types, one per byte. */
static inline bool explain_pat_valid(uint64_t pat)
{
	for (unsigned i = 0; i < 8; i++, pat >>= 8) {
		unsigned type = pat & 0xff;

		if (type > MEMORY_TYPE_UC_MINUS || type == 2 || type == 3)
			return false;
	}
	return true;
}

/* The secondary controls that count: none while they are not activated. */
static inline uint32_t explain_proc2(const struct vmcs_snapshot *s)
{
	return s->proc & PROC_SECONDARY_CONTROLS ? (uint32_t)s->proc2 : 0;
}

static inline bool explain_injects(const struct vmcs_snapshot *s, uint32_t type)
{
	return (s->entry_interruption_info & INTERRUPTION_VALID) &&
	       (s->entry_interruption_info & INTERRUPTION_TYPE_MASK) == type;
}

void explain_execution_controls(struct explain *e);
void explain_exit_controls(struct explain *e);
void explain_entry_controls(struct explain *e);
void explain_host_state(struct explain *e);
void explain_guest_registers(struct explain *e);
void explain_guest_segments(struct explain *e);
void explain_guest_state(struct explain *e);

#endif
