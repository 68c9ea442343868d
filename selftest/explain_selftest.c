/*
 * The explainer against the processor: each case of selftest/explain_cases.c is written into a real
 *VMCS and entered. The processor must refuse it in the way (7, 8 or 33) that the explainer
 *foretells. `selftest=explain` on the command line of a test build.
 *
 * A case that a processor does not check is entered after all. Nothing runs even then: the
 * VMX-preemption timer is 0, and the EPT is empty.
 *
 * For each case that was refused one line says what Bochs should have logged, in order, so that
 * bochs.log can be compared with it:
 *	explain: case 17 HOST_CR0 refused 8 "host state invalid CR0"
 *
 * State: the running test number, and a domain without memory, made and destroyed here. No lock.
 * Boot CPU only, before any guest.
 */
#ifdef CONFIG_TEST
#include "cpu.h"
#include "domain.h"
#include "mm/epoch.h"
#include "mm/heap.h"
#include "print.h"
#include "selftest/explain_cases.h"
#include "vcpu.h"
#include "vmx/exit_reasons.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/*
 * unsigned explain_enter(bool launched): enters the current VMCS and comes back at the exit with 0,
 * or with the status of a failed VMLAUNCH or VMRESUME. HOST_RIP is explain_exit. The guest starts
 * with our registers in its own; there is nothing in the guest that could look at them.
 */
unsigned explain_enter(bool launched);
void explain_exit(void);
__asm__(".pushsection .text\n"
	".type explain_enter, @function\n"
	"explain_enter:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	mov $0x6c14, %eax\n" /* host RSP */
	"	vmwrite %rsp, %rax\n"
	"	jbe 2f\n"
	"	test %dil, %dil\n"
	"	jnz 1f\n"
	"	vmlaunch\n"
	"	jmp 2f\n"
	"1:	vmresume\n"
	"2:	mov $2, %eax\n" /* CF: VMfailInvalid */
	"	jc 3f\n"
	"	mov $1, %eax\n" /* ZF: VMfailValid */
	"	jmp 3f\n"
	"explain_exit:\n"
	"	xor %eax, %eax\n"
	"3:	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".size explain_enter, . - explain_enter\n"
	".popsection\n");
_Static_assert(VMCS_ENC_HOST_RSP == 0x6c14 && VMX_FAIL_VALID == 1 && VMX_FAIL_INVALID == 2,
	       "explain_enter");

static uint32_t number, failures;

static void ok(bool passed, unsigned index, const struct explain_case *c, const char *remark)
{
	number++;
	failures += !passed;
	print(LOG_RESULT, "%s %u - case %u: %s of a %s guest%s", passed ? "ok" : "not ok", number,
	      index, vmx_rule_name(c->rule), explain_base_name(c->base), remark);
}

static int read_field(void *ctx, uint32_t encoding, uint64_t *value)
{
	(void)ctx;
	return vmcs_try_read(encoding, value) != VMX_OK;
}

/* Makes the VMCS what the snapshot says. False: a field does not exist here, or keeps another
 * value. */
static bool write_snapshot(struct vmcs_snapshot *wanted)
{
	bool kept = true;
	uint32_t encoding;

	for (unsigned i = 0; (encoding = vmcs_snapshot_encoding(i)) != VMCS_SNAPSHOT_END; i++) {
		uint64_t want = *vmcs_snapshot_field(wanted, encoding), now;

		if (vmcs_try_read(encoding, &now) == VMX_OK && now == want)
			continue;
		if (vmcs_try_write(encoding, want) != VMX_OK ||
		    vmcs_try_read(encoding, &now) != VMX_OK || now != want)
			kept = kept && want == 0; /* a field that is absent counts as 0 */
	}
	return kept;
}

/* What the explainer says of a VMCS: whether it names a rule, and the failure to expect. The
 * processor looks at the guest's state last. */
struct forecast {
	enum vmx_rule rule;
	bool named;
	bool unsupported; /* beside the rule: needs something that this processor lacks */
	enum vmx_failure_kind kind;
};

static void forecast_rule(void *ctx, const struct vmx_rule_violation *v)
{
	struct forecast *f = ctx;

	if (v->rule == f->rule) {
		f->named = true;
	} else {
		switch (v->rule) {
		case VMX_RULE_PIN_MAY_BE_1:
		case VMX_RULE_PROC_MAY_BE_1:
		case VMX_RULE_PROC2_MAY_BE_1:
		case VMX_RULE_EXIT_MAY_BE_1:
		case VMX_RULE_ENTRY_MAY_BE_1:
		case VMX_RULE_CR4_FIXED:
			f->unsupported = true;
			break;
		default:
			break;
		}
	}
	if (f->kind == VMX_FAILURE_NONE || v->kind < f->kind)
		f->kind = v->kind;
}

/* Enters once. VMX_FAILURE_NONE: the processor accepted the VMCS, and *exit_reason says how it came
 * back. */
static enum vmx_failure_kind try_entry(uint32_t *exit_reason)
{
	struct cpu_private *cpu = this_cpu();

	*exit_reason = 0;
	if (explain_enter(cpu->vmcs_launched) != VMX_OK)
		return (enum vmx_failure_kind)vmcs_read32(VMCS_INSTRUCTION_ERROR);
	*exit_reason = vmcs_read32(VMCS_EXIT_REASON);
	if (*exit_reason & EXIT_REASON_ENTRY_FAILURE)
		return (enum vmx_failure_kind)(*exit_reason & EXIT_REASON_BASIC_MASK);
	cpu->vmcs_launched = true;
	return VMX_FAILURE_NONE;
}

static void test_base(const struct vmcs_snapshot *valid, enum explain_base base)
{
	struct vmcs_snapshot s = *valid;
	uint32_t reason;

	explain_apply_base(&s, &vmx_machine.caps, base);
	bool written = write_snapshot(&s);
	enum vmx_failure_kind kind = try_entry(&reason);
	bool passed = written && kind == VMX_FAILURE_NONE;

	number++;
	failures += !passed;
	print(LOG_RESULT, "%s %u - a valid %s guest is entered (exit: %s)",
	      passed ? "ok" : "not ok", number, explain_base_name(base),
	      vmx_exit_reason_name(reason));
	if (!passed) {
		print(LOG_RESULT, "# failure %d", (int)kind);
		vmx_explain_print(&vmx_machine.caps, &s);
	}
}

/* Rules that not every processor enforces as the SDM has them. */
static bool may_be_lax(enum vmx_rule rule)
{
	switch (rule) {
	case VMX_RULE_NMI_STI:
		return true;
	case VMX_RULE_INJECT_ERROR_CODE:
		return (vmx_machine.caps.basic & VMX_BASIC_ANY_ERROR_CODE) != 0;
	case VMX_RULE_ACTIVITY_HLT_DPL:
	case VMX_RULE_ACTIVITY_BLOCKING:
		/* KVM halts nested guests itself and enters them as active. */
		return vmx_machine.caps.hypervisor;
	default:
		return false;
	}
}

static void test_case(const struct vmcs_snapshot *valid, unsigned index)
{
	const struct explain_case *c = &explain_cases[index];
	const bool has_timer = valid->pin & PIN_PREEMPTION_TIMER;
	struct vmcs_snapshot s = *valid;
	struct forecast f = {.rule = c->rule};
	uint32_t reason;

	explain_apply_base(&s, &vmx_machine.caps, c->base);
	explain_apply_changes(&s, c);
	/* A page of zeros for the virtual TPR to be read from: the empty top level of the EPT. */
	if (s.virtual_tpr >= 0)
		s.virtual_apic_address = s.ept_pointer & EPTP_ADDRESS_MASK;
	vmx_explain(&vmx_machine.caps, &s, forecast_rule, &f);
	if (c->host_only || (!c->bochs && !has_timer)) {
		ok(true, index, c, " # SKIP tested on the host only");
		return;
	}
	if (!f.named) {
		ok(true, index, c, " # SKIP allowed on this processor");
		return;
	}
	if (f.unsupported) {
		ok(true, index, c, " # SKIP this processor lacks the feature");
		return;
	}
	if (!write_snapshot(&s)) {
		ok(true, index, c, " # SKIP this processor does not hold such a value");
		return;
	}
	enum vmx_failure_kind kind = try_entry(&reason);
	if (kind == VMX_FAILURE_NONE) {
		bool expected = !c->bochs || may_be_lax(c->rule);

		print(LOG_RESULT, "explain: case %u %s accepted, exit: %s", index,
		      vmx_rule_name(c->rule), vmx_exit_reason_name(reason));
		ok(expected, index, c,
		   expected ? " # SKIP this processor does not check it" : ": was accepted");
		return;
	}
	print(LOG_RESULT, "explain: case %u %s refused %d \"%s\"", index, vmx_rule_name(c->rule),
	      (int)kind, c->bochs ? c->bochs : "");
	ok(kind == f.kind, index, c, kind == f.kind ? " is refused" : ": refused in another way");
}

static void test_all(void)
{
	struct vmcs_snapshot valid;

	vmcs_writen(VMCS_HOST_RIP, (uint64_t)explain_exit);
	if (vmx_machine.controls.value[VMX_PIN] & PIN_PREEMPTION_TIMER)
		vmcs_write32(VMCS_PREEMPTION_TIMER, 0);
	vmcs_snapshot_fill(&valid, read_field, NULL);
	if (valid.pin & PIN_PREEMPTION_TIMER)
		for (enum explain_base base = 0; base < EXPLAIN_BASES; base++)
			test_base(&valid, base);
	for (unsigned i = 0; i < explain_case_count; i++)
		test_case(&valid, i);
}

/* A domain without memory and its vCPU, for as long as the test lasts. */
uint32_t vmx_explain_selftest(void)
{
	struct vcpu_shared *v;
	struct domain *d;
	void *object;

	number = failures = 0;
	int rc = heap_alloc(sizeof(struct domain), DOMID_HYPERVISOR, &object);
	if (rc)
		goto failed;
	d = object;
	d->id = DOMAINS_MAX;
	rc = p2m_init(&d->p2m, 1, 1);
	if (rc)
		goto free_domain;
	rc = vcpu_create(d, 0, &v);
	if (rc)
		goto free_p2m;
	vcpu_set_entry(v, make_gpa(0), 0, make_gpa(0), make_gpa(0));
	vcpu_load(v);
	test_all();
	vcpu_load(NULL);
	vcpu_destroy(v);
free_p2m:
	p2m_destroy(&d->p2m);
	epoch_quiescent(); /* what it deferred is done: struct p2m may go */
free_domain:
	heap_free(object);
failed:
	if (rc) {
		number++;
		failures++;
		print(LOG_RESULT, "not ok %u - a vCPU to test with (error %d)", number, rc);
	}
	print(LOG_RESULT, "1..%u", number);
	return failures;
}
#endif
