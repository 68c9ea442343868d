/*
 * For each rule of the VM-entry explainer, VMCSes that break it: data for the unit test on the host
 * and for the hypervisor's own test, which lets the processor judge them too. Test builds only.
 *
 * A case starts from a baseline (a valid guest state laid over the control and host fields of a
 * valid VMCS) and changes a few fields.
 */
#ifndef KEYHOLE_SELFTEST_EXPLAIN_CASES_H
#define KEYHOLE_SELFTEST_EXPLAIN_CASES_H

#include "vmx/explain.h"

enum explain_base { EXPLAIN_LONG, EXPLAIN_PROTECTED, EXPLAIN_REAL, EXPLAIN_V86, EXPLAIN_BASES };

enum explain_op { EXPLAIN_END, EXPLAIN_SET, EXPLAIN_OR, EXPLAIN_CLEAR };

struct explain_change {
	enum explain_op op;
	uint32_t encoding;
	uint64_t operand;
};

#define EXPLAIN_CHANGES_MAX 8
/* Not a field: the virtual TPR that a snapshot may know. */
#define EXPLAIN_VIRTUAL_TPR UINT32_MAX

struct explain_case {
	enum vmx_rule rule;
	enum explain_base base;
	/* What Bochs 2.7 logs for it; NULL: it does not check the rule. */
	const char *bochs;
	/* On the host only: the processor's answer would not be safe, or needs other state. */
	bool host_only;
	struct explain_change changes[EXPLAIN_CHANGES_MAX];
};

extern const struct explain_case explain_cases[];
extern const unsigned explain_case_count;

/* Lays a baseline over the guest fields and what depends on them; controls and host stay. */
void explain_apply_base(struct vmcs_snapshot *s, const struct vmx_caps *caps,
			enum explain_base base);
void explain_apply_changes(struct vmcs_snapshot *s, const struct explain_case *c);
const char *explain_base_name(enum explain_base base);

/*
 * Lets the processor judge every case (selftest/explain_selftest.c). Boot CPU, in VMX operation,
 * before any guest; interrupts off. Prints TAP and, per case, what bochs.log should say; returns
 * how many failed.
 */
uint32_t vmx_explain_selftest(void);

/* The fields one by one, by index from 0; VMCS_SNAPSHOT_END behind the last. */
#define VMCS_SNAPSHOT_END UINT32_MAX
uint32_t vmcs_snapshot_encoding(unsigned index);
/* The member for a field, or NULL if no rule looks at that field. */
uint64_t *vmcs_snapshot_field(struct vmcs_snapshot *s, uint32_t encoding);
const char *vmx_rule_name(enum vmx_rule rule);

#endif
