/*
 * The test hypercall: what a guest of a test build may ask (include/public/keyhole.h). Not in
 * normal builds.
 *
 * State: the planted control. The canary that a sweep looks for is never in memory in the clear:
 * the caller passes its halves XORed with a mask, and they are compared in registers.
 */
#ifdef CONFIG_TEST
#include "selftest/test_call.h"
#include "domain.h"
#include "guest_copy.h"
#include "kernel/guest_devices.h"
#include "mm/audit.h"
#include "mm/fail.h"
#include "mm/frame.h"
#include "mm/hostpt.h"
#include "mm/window_cache.h"
#include "percpu.h"
#include "print.h"
#include "public/errno.h"
#include "public/keyhole.h"
#include "vcpu.h"

/* Found by every sweep that works; the pattern stands nowhere else. */
#define CONTROL_PATTERN 0x9c3b5ea1d4f70682ull
#define CONTROL_MASK	0x5555555555555555ull

static volatile uint64_t control;

struct sweep {
	struct keyhole_test_sweep arg;
	uint64_t control_masked;
};

/* Every byte offset of the pages of one mapping; windows of 8 bytes reach into the next page of the
 * mapping. */
static void sweep_range(struct sweep *s, uint64_t start, uint64_t length)
{
	const uint8_t *p = (const uint8_t *)start;
	uint64_t value = 0;

	for (uint64_t i = 0; i < length; i++) {
		value = value >> 8 | (uint64_t) * (const volatile uint8_t *)&p[i] << 56;
		if (i < 7)
			continue;
		uint64_t masked = value ^ s->arg.mask;
		if (unlikely(masked == s->arg.canary_lo_masked ||
			     masked == s->arg.canary_hi_masked)) {
			if (!s->arg.found_count++)
				s->arg.first_va = start + i - 7;
		}
		if (unlikely((value ^ CONTROL_MASK) == s->control_masked))
			s->arg.control_found++;
	}
	s->arg.bytes_swept += length;
}

static bool sweep_leaf(const struct hostpt_leaf *leaf, void *ctx)
{
	/* Reading a device's registers may change them, and holds no memory of a guest. */
	if (frame_type(leaf->frame) != FRAME_ABSENT)
		sweep_range(ctx, leaf->va, leaf->page_count * PAGE_SIZE);
	return true;
}

static long test_sweep(gva_t arg, struct guest_access *ga)
{
	struct sweep s = {.control_masked = CONTROL_PATTERN ^ CONTROL_MASK};
	struct audit_result audit;

	if (guest_copy_in(ga, &s.arg, arg, sizeof(s.arg)))
		return -XEN_EFAULT;
	s.arg.bytes_swept = s.arg.found_count = s.arg.first_va = s.arg.control_found = 0;
	control = CONTROL_PATTERN;
	hostpt_for_each(sweep_leaf, &s);
	control = 0;
	audit_run(&audit, true);
	s.arg.pages_mapped = audit.pages_mapped;
	return guest_copy_out(ga, arg, &s.arg, sizeof(s.arg)) ? -XEN_EFAULT : 0;
}

static long test_audit(void)
{
	struct audit_result result;

	audit_run(&result, false);
	return result.errors ? -XEN_EFAULT : 0;
}

/* Nobody maps the last page of the vmap area. */
#define PLANT_ADDRESS (LAYOUT_VMAP + LAYOUT_VMAP_SIZE - PAGE_SIZE)

static long test_plant(void)
{
	struct audit_result before, with;
	struct p2m_entry entry;

	if (!p2m_lookup(&this_cpu()->current->domain->p2m, make_gfn(0), &entry))
		return -XEN_EINVAL;
	audit_run(&before, true);
	int rc = hostpt_map(PLANT_ADDRESS, entry.frame, HOST_RW);
	if (rc)
		return rc;
	audit_run(&with, true);
	hostpt_unmap(PLANT_ADDRESS);
	hostpt_flush(PLANT_ADDRESS, 1);
	/* Twice: by the frame table, and by the p2m. */
	return with.errors == before.errors + 2 && with.guest_pages == 1 ? 0 : -XEN_EFAULT;
}

static long test_walk(gva_t arg, struct guest_access *ga)
{
	struct keyhole_test_walk walk;
	struct guest_walk_result result;

	if (guest_copy_in(ga, &walk, arg, sizeof(walk)))
		return -XEN_EFAULT;
	if (walk.access & ~(KEYHOLE_WALK_WRITE | KEYHOLE_WALK_USER | KEYHOLE_WALK_FETCH))
		return -XEN_EINVAL;
	walk.status = guest_copy_walk(ga, make_gva(walk.gva), walk.access, &result);
	walk.gpa = walk.status ? 0 : gpa_raw(result.gpa);
	walk.error_code = result.error_code;
	return guest_copy_out(ga, arg, &walk, sizeof(walk)) ? -XEN_EFAULT : 0;
}

/*
 * What cached window slots may show is checked by itself; then they are closed, so that the tests
 * below find and count what is mapped besides.
 */
static long close_cache(void)
{
	uint32_t errors = window_cache_errors();

	window_cache_drop();
	return errors ? -XEN_EFAULT : 0;
}

/* Which allocation is to fail (mm/fail.h); 0: none any more, and whether one did. */
static long test_fail(uint64_t nth)
{
	if (!nth)
		return fail_disarm();
	if (nth & KEYHOLE_FAIL_MAKING)
		fail_arm_making(nth & ~KEYHOLE_FAIL_MAKING);
	else
		fail_arm(nth);
	return 0;
}

/* Takes no references: who maps takes out again what it has mapped. */
static long test_p2m(gva_t arg, struct guest_access *ga)
{
	struct p2m *p2m = &this_cpu()->current->domain->p2m;
	struct keyhole_test_p2m p;
	struct p2m_entry entry;
	int rc = 0;

	if (guest_copy_in(ga, &p, arg, sizeof(p)))
		return -XEN_EFAULT;
	if (p.op == KEYHOLE_P2M_MAP)
		rc = p2m_map(p2m, make_gfn(p.gfn), make_mfn(p.frame), p.frame_count, P2M_FOREIGN,
			     P2M_R);
	else if (p.op == KEYHOLE_P2M_UNMAP)
		rc = p2m_unmap(p2m, make_gfn(p.gfn), p.frame_count, NULL, NULL);
	p.order = p2m_lookup(p2m, make_gfn(p.gfn), &entry) ? entry.order : -1;
	return rc ? rc : guest_copy_out(ga, arg, &p, sizeof(p)) ? -XEN_EFAULT : 0;
}

static long test_input(gva_t arg, struct guest_access *ga)
{
	struct keyhole_test_input input;

	if (guest_copy_in(ga, &input, arg, sizeof(input)))
		return -XEN_EFAULT;
	if (input.length > KEYHOLE_TEST_INPUT_MAX)
		return -XEN_EINVAL;
	guest_console_input(this_cpu()->current->domain, input.text, input.length);
	return 0;
}

int64_t test_hypercall(struct hypercall *c)
{
	struct guest_access *ga = &c->access;
	gva_t arg = make_gva(c->arg[1]);

	if (close_cache())
		return -XEN_EFAULT;
	switch ((uint32_t)c->arg[0]) {
	case KEYHOLE_TEST_AUDIT:
		return test_audit();
	case KEYHOLE_TEST_PLANT:
		return test_plant();
	case KEYHOLE_TEST_SWEEP:
		return test_sweep(arg, ga);
	case KEYHOLE_TEST_WALK:
		return test_walk(arg, ga);
	case KEYHOLE_TEST_FAIL:
		return test_fail(gva_raw(arg));
	case KEYHOLE_TEST_P2M:
		return test_p2m(arg, ga);
	case KEYHOLE_TEST_INPUT:
		return test_input(arg, ga);
	case KEYHOLE_TEST_PANIC:
		panic("asked for by a guest");
	}
	return -XEN_ENOSYS;
}
#endif
