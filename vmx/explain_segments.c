/*
 * The explainer's rules on the guest's segment registers: SDM Vol. 3, "Checks on Guest Segment
 * Registers". A broken one is exit reason 33.
 *
 * State: none. No lock. Ready for many CPUs.
 */
#include "explain_internal.h"

struct segment {
	uint64_t selector, base, limit, ar;
	uint32_t selector_field, base_field, limit_field, ar_field;
};

#define SEGMENT(reg, REG)                                                                 \
	{                                                                                 \
		s->guest_##reg##_selector, s->guest_##reg##_base, s->guest_##reg##_limit, \
		    s->guest_##reg##_ar, VMCS_ENC_GUEST_##REG##_SELECTOR,                 \
		    VMCS_ENC_GUEST_##REG##_BASE, VMCS_ENC_GUEST_##REG##_LIMIT,            \
		    VMCS_ENC_GUEST_##REG##_AR                                             \
	}

/* What the rules on a segment depend on beside the segment. */
struct segment_mode {
	bool unrestricted, long_mode, real_mode;
};

static bool usable(const struct segment *g)
{
	return !(g->ar & SEG_AR_UNUSABLE);
}

static unsigned type_of(const struct segment *g)
{
	return (unsigned)(g->ar & SEG_AR_TYPE_MASK);
}

static unsigned dpl_of(const struct segment *g)
{
	return (unsigned)((g->ar & SEG_AR_DPL_MASK) >> SEG_AR_DPL_SHIFT);
}

static unsigned rpl_of(const struct segment *g)
{
	return (unsigned)(g->selector & SELECTOR_RPL_MASK);
}

#define BREAKS_AR(g, condition, rule)                                               \
	do {                                                                        \
		if (condition)                                                      \
			explain_broken(e, VMX_RULE_##rule, (g)->ar_field, (g)->ar); \
	} while (0)
#define BREAKS_BASE(g, condition, rule)                                                 \
	do {                                                                            \
		if (condition)                                                          \
			explain_broken(e, VMX_RULE_##rule, (g)->base_field, (g)->base); \
	} while (0)
#define BREAKS_SELECTOR(g, condition, rule)                                                     \
	do {                                                                                    \
		if (condition)                                                                  \
			explain_broken(e, VMX_RULE_##rule, (g)->selector_field, (g)->selector); \
	} while (0)

static void explain_v86(struct explain *e, const struct segment *g)
{
	BREAKS_BASE(g, g->base != g->selector << 4, V86_BASE);
	if (g->limit != 0xffff)
		explain_broken(e, VMX_RULE_V86_LIMIT, g->limit_field, g->limit);
	BREAKS_AR(g, g->ar != 0xf3, V86_AR);
}

/* Rules alike for code, data, TSS and LDT, once the segment counts. */
static void explain_common(struct explain *e, const struct segment *g)
{
	BREAKS_AR(g, !(g->ar & SEG_AR_P), SEGMENT_P);
	BREAKS_AR(g, g->ar & SEG_AR_RESERVED, SEGMENT_RESERVED);
	BREAKS_AR(g, (g->ar & SEG_AR_G) && (g->limit & 0xfff) != 0xfff, GRANULARITY_0);
	BREAKS_AR(g, !(g->ar & SEG_AR_G) && g->limit >> 20, GRANULARITY_1);
}

static void explain_cs(struct explain *e, const struct segment_mode *m, const struct segment *cs,
		       const struct segment *ss)
{
	const unsigned type = type_of(cs);
	const bool code = (type & SEG_AR_CODE) && (type & SEG_AR_ACCESSED);
	const bool data = m->unrestricted && type == (SEG_AR_RW | SEG_AR_ACCESSED);

	BREAKS_AR(cs, !code && !data, CS_TYPE);
	BREAKS_AR(cs, !(cs->ar & SEG_AR_S), SEGMENT_S);
	if (data)
		BREAKS_AR(cs, dpl_of(cs) != 0, CS_DPL);
	else if (code && (type & SEG_AR_DC))
		BREAKS_AR(cs, dpl_of(cs) > dpl_of(ss), CS_DPL);
	else if (code)
		BREAKS_AR(cs, dpl_of(cs) != dpl_of(ss), CS_DPL);
	BREAKS_AR(cs, m->long_mode && (cs->ar & SEG_AR_L) && (cs->ar & SEG_AR_DB), CS_L_AND_D);
	BREAKS_BASE(cs, cs->base >> 32, BASE_HIGH);
	explain_common(e, cs);
}

/* The rules on DPL hold for an unusable SS too: its DPL is the privilege level. */
static void explain_ss(struct explain *e, const struct segment_mode *m, const struct segment *cs,
		       const struct segment *ss)
{
	const unsigned writable_data = SEG_AR_RW | SEG_AR_ACCESSED;

	BREAKS_SELECTOR(ss, !m->unrestricted && rpl_of(ss) != rpl_of(cs), SS_RPL);
	BREAKS_AR(ss, !m->unrestricted && dpl_of(ss) != rpl_of(ss), SS_DPL_RPL);
	BREAKS_AR(ss, (type_of(cs) == writable_data || m->real_mode) && dpl_of(ss) != 0, SS_DPL_0);
	if (!usable(ss))
		return;
	BREAKS_AR(ss, (type_of(ss) & ~SEG_AR_DC) != writable_data, SS_TYPE);
	BREAKS_AR(ss, !(ss->ar & SEG_AR_S), SEGMENT_S);
	BREAKS_BASE(ss, ss->base >> 32, BASE_HIGH);
	explain_common(e, ss);
}

static void explain_data(struct explain *e, const struct segment_mode *m, const struct segment *g)
{
	const unsigned type = type_of(g);
	const unsigned conforming = SEG_AR_CODE | SEG_AR_DC;

	if (!usable(g))
		return;
	BREAKS_AR(g, !(type & SEG_AR_ACCESSED), DATA_ACCESSED);
	BREAKS_AR(g, (type & SEG_AR_CODE) && !(type & SEG_AR_RW), DATA_READABLE);
	BREAKS_AR(g, !(g->ar & SEG_AR_S), SEGMENT_S);
	BREAKS_AR(g, !m->unrestricted && (type & conforming) != conforming && dpl_of(g) < rpl_of(g),
		  DATA_DPL);
	explain_common(e, g);
}

static void explain_system(struct explain *e, const struct segment_mode *m,
			   const struct segment *ldtr, const struct segment *tr)
{
	BREAKS_SELECTOR(tr, tr->selector & SELECTOR_TI, SYSTEM_SELECTOR_TI);
	BREAKS_BASE(tr, !explain_canonical(e, tr->base), BASE_CANONICAL);
	BREAKS_AR(tr, !usable(tr), TR_USABLE);
	BREAKS_AR(tr,
		  type_of(tr) != SEG_TYPE_TSS_BUSY &&
		      (m->long_mode || type_of(tr) != SEG_TYPE_TSS16_BUSY),
		  TR_TYPE);
	BREAKS_AR(tr, tr->ar & SEG_AR_S, SYSTEM_S);
	explain_common(e, tr);

	if (!usable(ldtr))
		return;
	BREAKS_SELECTOR(ldtr, ldtr->selector & SELECTOR_TI, SYSTEM_SELECTOR_TI);
	BREAKS_BASE(ldtr, !explain_canonical(e, ldtr->base), BASE_CANONICAL);
	BREAKS_AR(ldtr, type_of(ldtr) != SEG_TYPE_LDT, LDTR_TYPE);
	BREAKS_AR(ldtr, ldtr->ar & SEG_AR_S, SYSTEM_S);
	explain_common(e, ldtr);
}

void explain_guest_segments(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;
	const struct segment es = SEGMENT(es, ES), cs = SEGMENT(cs, CS), ss = SEGMENT(ss, SS),
			     ds = SEGMENT(ds, DS), fs = SEGMENT(fs, FS), gs = SEGMENT(gs, GS),
			     ldtr = SEGMENT(ldtr, LDTR), tr = SEGMENT(tr, TR);
	const struct segment *const v86[] = {&es, &cs, &ss, &ds, &fs, &gs};
	const struct segment_mode mode = {
	    .unrestricted = (explain_proc2(s) & PROC2_UNRESTRICTED_GUEST) != 0,
	    .long_mode = (s->entry & ENTRY_IA32E_MODE_GUEST) != 0,
	    .real_mode = !(s->guest_cr0 & CR0_PE),
	};

	if (s->guest_rflags & RFLAGS_VM) {
		for (unsigned i = 0; i < array_size(v86); i++)
			explain_v86(e, v86[i]);
	} else {
		explain_cs(e, &mode, &cs, &ss);
		explain_ss(e, &mode, &cs, &ss);
		explain_data(e, &mode, &ds);
		explain_data(e, &mode, &es);
		explain_data(e, &mode, &fs);
		explain_data(e, &mode, &gs);
		BREAKS_BASE(&ds, usable(&ds) && ds.base >> 32, BASE_HIGH);
		BREAKS_BASE(&es, usable(&es) && es.base >> 32, BASE_HIGH);
	}
	BREAKS_BASE(&fs, !explain_canonical(e, fs.base), BASE_CANONICAL);
	BREAKS_BASE(&gs, !explain_canonical(e, gs.base), BASE_CANONICAL);
	explain_system(e, &mode, &ldtr, &tr);
}
