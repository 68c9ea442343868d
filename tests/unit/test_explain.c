/*
 * The VM-entry failure explainer and the capability table (vmx/explain*.c, vmx/caps.c), on made-up
 * processors and VMCSes: valid ones break no rule, and each rule is broken by a case that names it.
 */
/* sources: vmx/explain.c vmx/explain_controls.c vmx/explain_host.c vmx/explain_guest.c */
/* sources: vmx/explain_segments.c selftest/explain_cases.c vmx/caps.c vmx/exit_names.c */
#include "tap.h"

#include "public/errno.h"
#include "selftest/explain_cases.h"
#include "vmx/caps.h"
#include "vmx/exit_reasons.h"
#include <stdarg.h>

/* --- what the code under test prints ---------------------------------------------------------*/
static char printed[65536];

static void keep(const char *fmt, va_list args)
{
	size_t length = strlen(printed);

	vsnprintf(printed + length, sizeof(printed) - length, fmt, args);
	strncat(printed, "\n", sizeof(printed) - strlen(printed) - 1);
}

void print(enum log_level level, const char *fmt, ...)
{
	va_list args;

	(void)level;
	va_start(args, fmt);
	keep(fmt, args);
	va_end(args);
}

/* The values of a guest's fields are printed by this one only. */
static unsigned guest_state_lines;

void print_guest_state(enum log_level level, const char *fmt, ...)
{
	va_list args;

	(void)level;
	guest_state_lines++;
	va_start(args, fmt);
	keep(fmt, args);
	va_end(args);
}

static bool was_printed(const char *text)
{
	return strstr(printed, text) != NULL;
}

/* --- processors ------------------------------------------------------------------------------*/
struct processor {
	const char *name;
	bool intel, vmx, hypervisor;
	uint32_t leaf7_ebx;
	uint8_t physical_bits;
	uint64_t msr[0x20]; /* IA32_VMX_BASIC on */
	uint64_t feature_control;
};

/* Debian's Bochs 2.7, corei7_skylake_x. */
static const struct processor skylake = {
    .name = "skylake",
    .intel = true,
    .vmx = true,
    .leaf7_ebx = CPUID_7_EBX_RTM,
    .physical_bits = 40,
    .feature_control = 5,
    .msr = {0x00d810000000002b, 0x0000007f00000016, 0xf7f9fffe0401e172, 0x007fffff00036dff,
	    0x0000ffff000011ff, 0x00000000600401e0, 0x80000021, 0xffffffff, 0x2000, 0x3727ff, 0x34,
	    0x02177fff00000000, 0x00000f0106334141, 0x0000007f00000016, 0xf7f9fffe04006172,
	    0x007fffff00036dfb, 0x0000ffff000011fb, 1},
};

/* The least that Keyhole runs on: nothing optional, no activity state but active. */
static const struct processor least = {
    .name = "least",
    .intel = true,
    .vmx = true,
    .physical_bits = 36,
    .feature_control = 0,
    .msr = {0x00d810000000002b | 1ull << 48, 0x0000003f00000016, 0xb5defffe0401e172,
	    0x003fffff00036dff, 0x0000f3ff000011ff, 0x00040000, 0x80000021, 0xffffffff, 0x2000,
	    0x427ff, 0x34, 0x0000008200000000, 0x0000000006104040, 0x0000003f00000016,
	    0xb5defffe04006172, 0x003fffff00036dfb, 0x0000f3ff000011fb},
};

static const struct processor *current;
static unsigned msrs_read;

static uint64_t read_msr(uint32_t msr)
{
	msrs_read++;
	if (msr == MSR_IA32_FEATURE_CONTROL)
		return current->feature_control;
	if (msr < MSR_IA32_VMX_BASIC || msr >= MSR_IA32_VMX_BASIC + array_size(current->msr))
		bail_out("an MSR was read that the processor may not have");
	return current->msr[msr - MSR_IA32_VMX_BASIC];
}

static void read_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	memset(r, 0, 4 * sizeof(r[0]));
	if (subleaf != 0)
		return;
	switch (leaf) {
	case 0:
		r[0] = 7;
		memcpy(&r[1], current->intel ? "GenuntelineI" : "AuthcAMDenti", 12);
		break;
	case 1:
		r[2] = (current->vmx ? CPUID_1_ECX_VMX : 0) |
		       (current->hypervisor ? CPUID_1_ECX_HYPERVISOR : 0);
		break;
	case 7:
		r[1] = current->leaf7_ebx;
		break;
	case 0x80000000:
		r[0] = 0x80000008;
		break;
	case 0x80000001:
		r[3] = CPUID_80000001_EDX_SYSCALL | CPUID_80000001_EDX_LONG_MODE |
		       CPUID_80000001_EDX_NX;
		break;
	case 0x80000008:
		r[0] = current->physical_bits | 48u << 8;
		break;
	}
}

static const struct vmx_cpu_reader reader = {read_msr, read_cpuid};

static void fill(struct vmx_caps *caps, const struct processor *p)
{
	current = p;
	vmx_caps_fill(caps, &reader);
}

/* --- capabilities ----------------------------------------------------------------------------*/
static void test_caps_fill(void)
{
	struct vmx_caps caps, other;
	struct processor p = skylake;

	fill(&caps, &skylake);
	ok(caps.vmx && caps.intel && !caps.hypervisor, "CPUID: an Intel processor with VMX");
	is(caps.control[VMX_PROC], 0xf7f9fffe04006172, "the true controls are read");
	is(caps.physical_bits, 40, "physical-address width");
	is(caps.efer_valid, EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE, "bits of EFER");
	fill(&other, &skylake);
	ok(vmx_caps_equal(&caps, &other), "two equal processors are equal");
	fill(&other, &least);
	ok(!vmx_caps_equal(&caps, &other), "two different processors are not");

	p.msr[0] &= ~VMX_BASIC_TRUE_CONTROLS;
	fill(&caps, &p);
	is(caps.control[VMX_PROC], 0xf7f9fffe0401e172,
	   "without true controls the old ones are read");
	p.msr[0xe] &= ~((uint64_t)PROC_SECONDARY_CONTROLS << 32);
	p.msr[0] |= VMX_BASIC_TRUE_CONTROLS;
	fill(&caps, &p);
	ok(caps.control[VMX_PROC2] == 0 && caps.ept_vpid == 0,
	   "without secondary controls their MSRs are not read");
	p.vmx = false;
	msrs_read = 0;
	fill(&caps, &p);
	is(msrs_read, 0, "without VMX no MSR is read");
}

static void test_caps_platform(void)
{
	struct processor p = skylake;
	struct vmx_caps caps;
	uint64_t feature_control;

	fill(&caps, &p);
	ok(vmx_caps_check_platform(&caps, &feature_control) == 0 && feature_control == 5,
	   "locked with VMX on: nothing to write");
	p.feature_control = 0;
	fill(&caps, &p);
	ok(vmx_caps_check_platform(&caps, &feature_control) == 0 && feature_control == 5,
	   "unlocked: to be written with VMX and the lock");
	p.feature_control = FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX_IN_SMX;
	fill(&caps, &p);
	printed[0] = 0;
	ok(vmx_caps_check_platform(&caps, &feature_control) == -XEN_EOPNOTSUPP &&
	       was_printed("locked without VMX outside SMX") && was_printed("firmware setup"),
	   "locked without VMX: named with its remedy");
	p.hypervisor = true;
	fill(&caps, &p);
	printed[0] = 0;
	ok(vmx_caps_check_platform(&caps, &feature_control) == -XEN_EOPNOTSUPP &&
	       was_printed("outer hypervisor"),
	   "the same in a virtual machine: its remedy is another");
	p.vmx = false;
	fill(&caps, &p);
	printed[0] = 0;
	ok(vmx_caps_check_platform(&caps, &feature_control) == -XEN_EOPNOTSUPP &&
	       was_printed("nested=1"),
	   "no VMX in a virtual machine: says how to give it");
	p.hypervisor = false;
	fill(&caps, &p);
	printed[0] = 0;
	ok(vmx_caps_check_platform(&caps, &feature_control) == -XEN_EOPNOTSUPP &&
	       was_printed("Virtualization Technology"),
	   "no VMX on an Intel machine: points to the firmware");
	p.intel = false;
	fill(&caps, &p);
	printed[0] = 0;
	ok(vmx_caps_check_platform(&caps, &feature_control) == -XEN_EOPNOTSUPP &&
	       was_printed("AMD"),
	   "no Intel processor: says so");
}

/* Takes a capability away from a processor that has all, or forces a bit to 1. */
static void spoil(struct vmx_caps *caps, const struct vmx_capability *c)
{
	if (c->need == VMX_CLEAR)
		caps->control[c->family] |= c->bit;
	else if (c->family == VMX_EPT_VPID)
		caps->ept_vpid &= ~c->bit;
	else if (c->family == VMX_MISC)
		caps->misc &= ~c->bit;
	else
		caps->control[c->family] &= ~(c->bit << 32);
}

static void test_caps_choose(void)
{
	struct vmx_caps caps;
	struct vmx_controls controls, untouched;

	fill(&caps, &skylake);
	printed[0] = 0;
	ok(vmx_caps_choose(&caps, &controls) == 0 && printed[0] == 0, "skylake: all is there");
	for (unsigned f = 0; f < VMX_CONTROL_FAMILIES; f++)
		ok((controls.value[f] & vmx_caps_must_be_1(&caps, f)) ==
			   vmx_caps_must_be_1(&caps, f) &&
		       (controls.value[f] & ~vmx_caps_may_be_1(&caps, f)) == 0,
		   "skylake: control %u is one that the processor allows", f);
	ok((controls.value[VMX_PIN] & PIN_PREEMPTION_TIMER) &&
	       (controls.value[VMX_PROC2] & PROC2_VPID),
	   "skylake: optional features are chosen");
	ok(!(controls.value[VMX_PROC] &
	     (PROC_CR3_LOAD_EXITING | PROC_INTERRUPT_WINDOW_EXITING | PROC_TPR_SHADOW)),
	   "skylake: what is used on demand is not set");
	vmx_caps_print(&caps, &controls);
	ok(was_printed("required present chosen      EPT\n"), "the table has a line for EPT");
	ok(was_printed("optional absent  not set now monitor trap flag\n"),
	   "the table has a line for what is absent");
	for (unsigned i = 0; i < vmx_capability_count; i++)
		if (!was_printed(vmx_capabilities[i].name))
			fail("the table names %s", vmx_capabilities[i].name);

	fill(&caps, &least);
	printed[0] = 0;
	ok(vmx_caps_choose(&caps, &controls) == 0 && printed[0] == 0,
	   "the least processor is enough");
	ok(!(controls.value[VMX_PIN] & PIN_PREEMPTION_TIMER) &&
	       !(controls.value[VMX_PROC2] & PROC2_VPID),
	   "least: no optional feature is chosen");
	ok(controls.value[VMX_PROC] & PROC_UNCONDITIONAL_IO_EXITING,
	   "least: without I/O bitmaps every port access exits");

	for (unsigned i = 0; i < vmx_capability_count; i++) {
		const struct vmx_capability *c = &vmx_capabilities[i];
		bool required = c->need <= VMX_CLEAR;

		fill(&caps, &skylake);
		spoil(&caps, c);
		memset(&controls, 0xa5, sizeof(controls));
		untouched = controls;
		printed[0] = 0;
		int rc = vmx_caps_choose(&caps, &controls);
		if (required)
			ok(rc == -XEN_EOPNOTSUPP && was_printed(c->name) &&
			       memcmp(&controls, &untouched, sizeof(controls)) == 0,
			   "without \"%s\": refused by name", c->name);
		else
			ok(rc == 0 && printed[0] == 0 &&
			       (c->family >= VMX_CONTROL_FAMILIES ||
				!(controls.value[c->family] & c->bit)),
			   "without \"%s\": goes on", c->name);
	}
	fill(&caps, &skylake);
	caps.ept_vpid &= ~VPID_CAP_INVVPID;
	ok(vmx_caps_choose(&caps, &controls) == 0 && !(controls.value[VMX_PROC2] & PROC2_VPID),
	   "VPIDs that cannot be flushed are not used");
}

/* --- the explainer ---------------------------------------------------------------------------*/
struct found {
	bool rule[VMX_RULE_COUNT];
	int count;
	bool consistent; /* text, kind and value are right in each report */
	const struct vmcs_snapshot *s;
};

static void collect(void *ctx, const struct vmx_rule_violation *v)
{
	struct found *f = ctx;
	struct vmcs_snapshot copy = *f->s;
	const uint64_t *member = vmcs_snapshot_field(&copy, v->encoding);

	f->rule[v->rule] = true;
	f->count++;
	if (!member || *member != v->value || strcmp(v->field, vmcs_field_name(v->encoding)) != 0 ||
	    strcmp(v->field, "unknown") == 0 || strcmp(v->name, vmx_rule_name(v->rule)) != 0 ||
	    !v->section[0] || !v->text[0] ||
	    (v->kind != VMX_FAILURE_CONTROLS && v->kind != VMX_FAILURE_HOST_STATE &&
	     v->kind != VMX_FAILURE_GUEST_STATE))
		f->consistent = false;
}

static struct found explain(const struct vmx_caps *caps, const struct vmcs_snapshot *s)
{
	struct found f = {.consistent = true, .s = s};
	int count = vmx_explain(caps, s, collect, &f);

	if (count != f.count)
		f.consistent = false;
	return f;
}

static void diag_all(void *ctx, const struct vmx_rule_violation *v)
{
	(void)ctx;
	diag("%s: %s = 0x%" PRIx64 ": %s", v->name, v->field, v->value, v->text);
}

/* Control and host fields as the hypervisor sets them. */
static void valid_vmcs(struct vmcs_snapshot *s, const struct vmx_caps *caps)
{
	struct vmx_controls controls;

	memset(s, 0, sizeof(*s));
	s->virtual_tpr = -1;
	if (vmx_caps_choose(caps, &controls) != 0)
		bail_out("the made-up processor is not enough");
	s->pin = controls.value[VMX_PIN];
	s->proc = controls.value[VMX_PROC];
	s->proc2 = controls.value[VMX_PROC2];
	s->exit = controls.value[VMX_EXIT];
	s->entry = controls.value[VMX_ENTRY];
	s->io_bitmap_a = 0x10000;
	s->io_bitmap_b = 0x11000;
	s->msr_bitmap = 0x12000;
	s->ept_pointer = 0x13000 | MEMORY_TYPE_WB | EPTP_WALK_4;
	s->vpid = 1;
	s->host_cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s->host_cr3 = 0x14000;
	s->host_cr4 = CR4_PAE | CR4_PGE | CR4_VMXE;
	s->host_pat = PAT_RESET;
	s->host_efer = EFER_LME | EFER_LMA | EFER_NXE;
	s->host_cs_selector = 0x08;
	s->host_ss_selector = 0x10;
	s->host_tr_selector = 0x18;
	s->host_gs_base = 0xffff800000001000;
	s->host_tr_base = 0xffff800000002000;
	s->host_gdtr_base = 0xffff800000003000;
	s->host_idtr_base = 0xffff800000004000;
	s->host_rip = 0xffffffff80100000;
}

static bool is_valid(const struct vmx_caps *caps, const struct vmcs_snapshot *s)
{
	struct found f = explain(caps, s);

	if (f.count)
		vmx_explain(caps, s, diag_all, NULL);
	return f.count == 0;
}

static void test_baselines(const struct processor *p)
{
	struct vmx_caps caps;
	struct vmcs_snapshot s;

	fill(&caps, p);
	for (enum explain_base base = 0; base < EXPLAIN_BASES; base++) {
		valid_vmcs(&s, &caps);
		explain_apply_base(&s, &caps, base);
		ok(is_valid(&caps, &s), "%s: a valid %s guest breaks no rule", p->name,
		   explain_base_name(base));
	}
}

/* States that look odd and are allowed. */
static void test_allowed(void)
{
	struct vmx_caps caps;
	struct vmcs_snapshot valid, s;

	fill(&caps, &skylake);
	valid_vmcs(&valid, &caps);
	explain_apply_base(&valid, &caps, EXPLAIN_LONG);

	s = valid;
	s.guest_cs_ar |= SEG_AR_DC;
	s.guest_cs_ar &= ~(uint64_t)SEG_AR_DPL_MASK;
	s.guest_ss_ar |= SEG_AR_DPL_MASK;
	ok(is_valid(&caps, &s), "a conforming CS below SS.DPL");
	s = valid;
	s.guest_ds_ar = s.guest_es_ar = s.guest_fs_ar = s.guest_gs_ar = SEG_AR_UNUSABLE;
	s.guest_ss_ar = SEG_AR_UNUSABLE;
	s.guest_ds_base = ~0ull;
	ok(is_valid(&caps, &s), "unusable segments with anything in them");
	s = valid;
	s.guest_cr0 |= CR0_CD | CR0_NW;
	ok(is_valid(&caps, &s), "CD and NW are not looked at");
	s = valid;
	s.guest_rip = 0x800000000000;
	ok(is_valid(&caps, &s), "a RIP just behind the canonical range: it faults in the guest");
	s = valid;
	s.guest_interruptibility = INTERRUPTIBILITY_MOV_SS;
	s.guest_rflags |= RFLAGS_TF;
	s.guest_pending_debug = PENDING_DEBUG_BS;
	ok(is_valid(&caps, &s), "a pending single step under blocking by MOV SS");
	s.guest_debugctl = DEBUGCTL_BTF;
	s.guest_pending_debug = 0;
	ok(is_valid(&caps, &s), "and none with branch stepping");
	s = valid;
	s.guest_pending_debug = PENDING_DEBUG_RTM | PENDING_DEBUG_BREAKPOINT;
	ok(is_valid(&caps, &s), "a pending debug exception in a transaction, with RTM");
	s = valid;
	s.guest_activity = ACTIVITY_HLT;
	s.guest_rflags |= RFLAGS_IF;
	s.entry_interruption_info = INTERRUPTION_VALID | INTERRUPTION_EXTERNAL | 0x20;
	ok(is_valid(&caps, &s), "an interrupt that wakes a halted guest");
	s = valid;
	s.entry_interruption_info = INTERRUPTION_VALID | INTERRUPTION_HARDWARE_EXCEPTION |
				    VECTOR_PF | INTERRUPTION_ERROR_CODE;
	ok(is_valid(&caps, &s), "an injected page fault");
	for (uint32_t vector = 0; vector < VECTOR_COUNT_ARCHITECTURE; vector++) {
		bool has_code = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;

		s.entry_interruption_info = INTERRUPTION_VALID | INTERRUPTION_HARDWARE_EXCEPTION |
					    vector | (has_code ? INTERRUPTION_ERROR_CODE : 0);
		if (explain(&caps, &s).count != 0)
			fail("exception %u %s error code", vector, has_code ? "with" : "without");
	}
	s = valid;
	s.proc &= ~(uint64_t)PROC_SECONDARY_CONTROLS;
	s.proc2 = 0xffffffff;
	s.vpid = 0;
	s.ept_pointer = ~0ull;
	ok(is_valid(&caps, &s), "secondary controls that are not activated are not looked at");
	s = valid;
	s.exit &= ~(uint64_t)EXIT_LOAD_PAT;
	s.host_pat = ~0ull;
	s.entry &= ~(uint64_t)(ENTRY_LOAD_PAT | ENTRY_LOAD_DEBUG_CONTROLS);
	s.guest_pat = ~0ull;
	s.guest_dr7 = ~0ull;
	s.guest_debugctl = ~0ull & ~DEBUGCTL_BTF;
	ok(is_valid(&caps, &s), "fields that the entry does not load are not looked at");
	s = valid;
	s.proc |= PROC_TPR_SHADOW;
	s.tpr_threshold = 15;
	ok(is_valid(&caps, &s), "a TPR threshold with an unknown virtual TPR");
	s.virtual_tpr = 0xf0;
	ok(is_valid(&caps, &s), "a TPR threshold equal to the virtual TPR's class");
	caps.basic |= VMX_BASIC_ANY_ERROR_CODE;
	s = valid;
	s.entry_interruption_info =
	    INTERRUPTION_VALID | INTERRUPTION_HARDWARE_EXCEPTION | VECTOR_CP;
	ok(is_valid(&caps, &s), "#CP without error code where the processor allows it");
}

static bool case_named(const struct processor *p, const struct explain_case *c, struct found *f)
{
	struct vmx_caps caps;
	struct vmcs_snapshot s;

	fill(&caps, p);
	valid_vmcs(&s, &caps);
	explain_apply_base(&s, &caps, c->base);
	explain_apply_changes(&s, c);
	*f = explain(&caps, &s);
	f->s = NULL;
	return f->rule[c->rule];
}

static void test_cases(void)
{
	bool tested[VMX_RULE_COUNT] = {false};

	for (unsigned i = 0; i < explain_case_count; i++) {
		const struct explain_case *c = &explain_cases[i];
		struct found f, g;
		bool named = case_named(&skylake, c, &f);
		bool named_least = case_named(&least, c, &g);

		tested[c->rule] = true;
		ok((named || named_least) && f.consistent && g.consistent, "case %u: %s is named",
		   i, vmx_rule_name(c->rule));
	}
	for (enum vmx_rule rule = 0; rule < VMX_RULE_COUNT; rule++)
		ok(tested[rule], "rule %s has a case that breaks it", vmx_rule_name(rule));
}

/* A case must break its own rule and little else, or it would prove nothing. */
static void test_cases_are_sharp(void)
{
	unsigned alone = 0, named = 0;

	for (unsigned i = 0; i < explain_case_count; i++) {
		struct found f;

		if (!case_named(&skylake, &explain_cases[i], &f))
			continue;
		named++;
		if (f.count == 1)
			alone++;
		else
			diag("case %u %s: %d rules", i, vmx_rule_name(explain_cases[i].rule),
			     f.count);
	}
	ok(alone * 10 >= named * 9, "%u of %u cases break one rule alone", alone, named);
}

/* Whatever optional feature is missing, the controls chosen break no rule. */
static void test_choices_are_valid(void)
{
	for (unsigned i = 0; i < vmx_capability_count; i++) {
		const struct vmx_capability *c = &vmx_capabilities[i];
		struct vmx_caps caps;
		struct vmcs_snapshot s;

		if (c->need <= VMX_CLEAR)
			continue;
		fill(&caps, &skylake);
		spoil(&caps, c);
		valid_vmcs(&s, &caps);
		explain_apply_base(&s, &caps, EXPLAIN_LONG);
		ok(is_valid(&caps, &s), "without \"%s\" the controls chosen break no rule",
		   c->name);
	}
}

/* --- snapshot and names ----------------------------------------------------------------------*/
static int fake_read(void *ctx, uint32_t encoding, uint64_t *value)
{
	unsigned *reads = ctx;

	(*reads)++;
	*value = encoding * 3;
	return encoding == VMCS_ENC_VPID;
}

static void test_snapshot(void)
{
	struct vmcs_snapshot s;
	unsigned reads = 0;

	vmcs_snapshot_fill(&s, fake_read, &reads);
	is(reads, (sizeof(s) - sizeof(uint64_t)) / sizeof(uint64_t), "every member is read once");
	is(s.guest_cr4, VMCS_ENC_GUEST_CR4 * 3, "each member holds its field");
	is(s.vpid, 0, "a field that the processor lacks is 0");
	is(s.virtual_tpr, -1, "the virtual TPR is unknown");
	ok(vmcs_snapshot_field(&s, VMCS_ENC_GUEST_RIP) == &s.guest_rip, "a member by its field");
	ok(vmcs_snapshot_field(&s, 0x7ffe) == NULL, "no member for another field");
}

static void test_print(void)
{
	struct vmx_caps caps;
	struct vmcs_snapshot s;

	fill(&caps, &skylake);
	valid_vmcs(&s, &caps);
	explain_apply_base(&s, &caps, EXPLAIN_LONG);
	s.guest_rflags = 0;
	printed[0] = 0;
	is(vmx_explain_print(&caps, &s), 1, "one rule is broken");
	is(guest_state_lines, 1, "its value is shown as a guest's: on no screen");
	is_str(printed,
	       "VM entry: guest RFLAGS = 0x0: reserved bit 1 of RFLAGS must be 1 [SDM Vol. 3, "
	       "\"Checks on Guest RIP, RFLAGS, and SSP\"; exit reason 33; RFLAGS_MUST_BE_1]\n",
	       "field, value, rule and section are printed");
	s.guest_rflags = 2;
	printed[0] = 0;
	ok(vmx_explain_print(&caps, &s) == 0 && was_printed("no rule known here"),
	   "a VMCS that breaks no rule: said too");
}

static void test_names(void)
{
	is_str(vmx_exit_reason_name(48), "EPT violation", "exit reason 48");
	is_str(vmx_exit_reason_name(EXIT_REASON_ENTRY_FAILURE | 33),
	       "VM-entry failure: invalid guest state", "exit reason 33 with its flag");
	is_str(vmx_exit_reason_name(35), "unknown", "a number without a reason");
	is_str(vmx_exit_reason_name(0xffff), "unknown", "a number beyond all reasons");
	is_str(vmx_instruction_error_name(7), "VM entry with invalid control fields", "error 7");
	is_str(vmx_instruction_error_name(14), "unknown", "a number without an error");
	is_str(vmx_instruction_error_name(1000), "unknown", "a number beyond all errors");
	is_str(vmcs_field_name(0x6800), "guest CR0", "field 0x6800");
	is_str(vmcs_field_name(0x6801), "unknown", "no such field");
}

int main(void)
{
	tap_no_plan();
	test_caps_fill();
	test_caps_platform();
	test_caps_choose();
	test_baselines(&skylake);
	test_baselines(&least);
	test_allowed();
	test_choices_are_valid();
	test_cases();
	test_cases_are_sharp();
	test_snapshot();
	test_print();
	test_names();
	return tap_end();
}
