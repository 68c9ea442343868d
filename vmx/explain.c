/*
 * The VM-entry failure explainer: its entry points, the snapshot, and the text of the rules.
 * include/vmx/explain.h says what it is for; the rules themselves are in explain_controls.c,
 * explain_host.c, explain_guest.c and explain_segments.c.
 *
 * State: constant tables only. No lock.
 */
#include "explain_internal.h"
#include "print.h"
#include "vmx/exit_reasons.h"

struct rule_text {
	const char *name;
	enum vmx_failure_kind kind;
	const char *section;
	const char *text;
};
#define RULE_TEXT(name, kind, section, text) {#name, kind, section, text},
static const struct rule_text rule_texts[VMX_RULE_COUNT] = {VMX_RULES(RULE_TEXT)};
#undef RULE_TEXT

struct snapshot_member {
	uint32_t encoding;
	uint32_t offset;
};
#define SNAPSHOT_MEMBER(member, field) {VMCS_ENC_##field, offsetof(struct vmcs_snapshot, member)},
static const struct snapshot_member snapshot_members[] = {VMCS_SNAPSHOT_FIELDS(SNAPSHOT_MEMBER)};
#undef SNAPSHOT_MEMBER

/* Copies every field that a rule looks at, by read(ctx, encoding, &value). virtual_tpr is unknown
 * afterwards: the caller sets it if it can look into the virtual-APIC page. */
void vmcs_snapshot_fill(struct vmcs_snapshot *s, vmcs_read_fn *read, void *ctx)
{
	for (size_t i = 0; i < array_size(snapshot_members); i++) {
		uint64_t value = 0;

		if (read(ctx, snapshot_members[i].encoding, &value) != 0)
			value = 0;
		*(uint64_t *)((char *)s + snapshot_members[i].offset) = value;
	}
	s->virtual_tpr = -1;
}

void explain_broken(struct explain *e, enum vmx_rule rule, uint32_t encoding, uint64_t value)
{
	const struct rule_text *r = &rule_texts[rule];
	const struct vmx_rule_violation violation = {
	    .rule = rule,
	    .kind = r->kind,
	    .name = r->name,
	    .section = r->section,
	    .text = r->text,
	    .field = vmcs_field_name(encoding),
	    .encoding = encoding,
	    .value = value,
	};

	e->count++;
	e->report(e->ctx, &violation);
}

/*
 * Runs all checks on the snapshot for a processor with these capabilities. report is called with
 * ctx once per broken rule and field, in the order controls, host state, guest state (a processor
 * looks at the guest's state only when the others are right). Returns the number of reports; 0 says
 * that the VMCS breaks no rule known here.
 */
int vmx_explain(const struct vmx_caps *caps, const struct vmcs_snapshot *s, vmx_explain_fn *report,
		void *ctx)
{
	struct explain e = {.caps = caps, .s = s, .report = report, .ctx = ctx};

	explain_execution_controls(&e);
	explain_exit_controls(&e);
	explain_entry_controls(&e);
	explain_host_state(&e);
	explain_guest_registers(&e);
	explain_guest_segments(&e);
	explain_guest_state(&e);
	return e.count;
}

static void print_violation(void *ctx, const struct vmx_rule_violation *v)
{
	(void)ctx;
	print_guest_state(LOG_ERROR, "VM entry: %s = 0x%lx: %s [SDM Vol. 3, \"%s\"; %s %d; %s]",
			  v->field, (unsigned long)v->value, v->text, v->section,
			  v->kind == VMX_FAILURE_GUEST_STATE ? "exit reason"
							     : "VM-instruction error",
			  (int)v->kind, v->name);
}

int vmx_explain_print(const struct vmx_caps *caps, const struct vmcs_snapshot *s)
{
	int count = vmx_explain(caps, s, print_violation, NULL);

	if (count == 0)
		print(LOG_ERROR, "VM entry: no rule known here is broken: compare the fields with "
				 "the SDM's chapter \"VM Entries\"");
	return count;
}
