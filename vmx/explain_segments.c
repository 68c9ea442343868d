/*
 * The explainer's rules on the guest's segment registers: SDM Vol. 3, "Checks on Guest Segment
 * Registers". A broken one is exit reason 33.
 *
 * State: none. No lock.
 */
#include "explain_internal.h"

struct segment {
	uint64_t selector, base, limit, ar;
	uint32_t selector_field, base_field, limit_field, ar_field;
};

#define SEGMENT_PART(reg, part) \
	.part = s->guest_##reg##_##part, .part##_field = EXPLAIN_ENC_guest_##reg##_##part
#define SEGMENT(reg)                                                                            \
	{                                                                                       \
		SEGMENT_PART(reg, selector), SEGMENT_PART(reg, base), SEGMENT_PART(reg, limit), \
		    SEGMENT_PART(reg, ar)                                                       \
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

/* Part: ar, base, limit or selector. */
#define BREAKS_PART(g, part, condition, rule)                                             \
	do {                                                                              \
		if (condition)                                                            \
			explain_broken(e, VMX_RULE_##rule, (g)->part##_field, (g)->part); \
	} while (0)
#define BREAKS_AR(g, condition, rule) BREAKS_PART(g, ar, condition, rule)

static void explain_v86(struct explain *e, const struct segment *g)
{
	BREAKS_PART(g, base, g->base != g->selector << 4, V86_BASE);
	BREAKS_PART(g, limit, g->limit != 0xffff, V86_LIMIT);
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
	BREAKS_PART(cs, base, cs->base >> 32, BASE_HIGH);
	explain_common(e, cs);
}

/* The rules on DPL hold for an unusable SS too: its DPL is the privilege level. */
static void explain_ss(struct explain *e, const struct segment_mode *m, const struct segment *cs,
		       const struct segment *ss)
{
	const unsigned writable_data = SEG_AR_RW | SEG_AR_ACCESSED;

	BREAKS_PART(ss, selector, !m->unrestricted && rpl_of(ss) != rpl_of(cs), SS_RPL);
	BREAKS_AR(ss, !m->unrestricted && dpl_of(ss) != rpl_of(ss), SS_DPL_RPL);
	BREAKS_AR(ss, (type_of(cs) == writable_data || m->real_mode) && dpl_of(ss) != 0, SS_DPL_0);
	if (!usable(ss))
		return;
	BREAKS_AR(ss, (type_of(ss) & ~SEG_AR_DC) != writable_data, SS_TYPE);
	BREAKS_AR(ss, !(ss->ar & SEG_AR_S), SEGMENT_S);
	BREAKS_PART(ss, base, ss->base >> 32, BASE_HIGH);
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
	BREAKS_PART(tr, selector, tr->selector & SELECTOR_TI, SYSTEM_SELECTOR_TI);
	BREAKS_PART(tr, base, !explain_canonical(e, tr->base), BASE_CANONICAL);
	BREAKS_AR(tr, !usable(tr), TR_USABLE);
	BREAKS_AR(tr,
		  type_of(tr) != SEG_TYPE_TSS_BUSY &&
		      (m->long_mode || type_of(tr) != SEG_TYPE_TSS16_BUSY),
		  TR_TYPE);
	BREAKS_AR(tr, tr->ar & SEG_AR_S, SYSTEM_S);
	explain_common(e, tr);

	if (!usable(ldtr))
		return;
	BREAKS_PART(ldtr, selector, ldtr->selector & SELECTOR_TI, SYSTEM_SELECTOR_TI);
	BREAKS_PART(ldtr, base, !explain_canonical(e, ldtr->base), BASE_CANONICAL);
	BREAKS_AR(ldtr, type_of(ldtr) != SEG_TYPE_LDT, LDTR_TYPE);
	BREAKS_AR(ldtr, ldtr->ar & SEG_AR_S, SYSTEM_S);
	explain_common(e, ldtr);
}

void explain_guest_segments(struct explain *e)
{
	const struct vmcs_snapshot *s = e->s;
	const struct segment es = SEGMENT(es), cs = SEGMENT(cs), ss = SEGMENT(ss), ds = SEGMENT(ds),
			     fs = SEGMENT(fs), gs = SEGMENT(gs), ldtr = SEGMENT(ldtr),
			     tr = SEGMENT(tr);
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
		BREAKS_PART(&ds, base, usable(&ds) && ds.base >> 32, BASE_HIGH);
		BREAKS_PART(&es, base, usable(&es) && es.base >> 32, BASE_HIGH);
	}
	BREAKS_PART(&fs, base, !explain_canonical(e, fs.base), BASE_CANONICAL);
	BREAKS_PART(&gs, base, !explain_canonical(e, gs.base), BASE_CANONICAL);
	explain_system(e, &mode, &ldtr, &tr);
}
