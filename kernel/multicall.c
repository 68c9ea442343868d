/*
 * The hypercall multicall: a list of calls in one.
 *
 * State: none. An entry lies on the private stack while its call runs. It is copied in once, and
 * written back as a whole with the result, to a place that was found, writable, before the call
 * was made. What has to happen before the guest goes on (an interrupt, the end of the slice, a wait
 * that an entry asked for) happens between two entries: the call continues at the next one.
 *
 * Source: Xen, public/xen.h.
 */
#include "cpu.h"
#include "kernel/hypercall.h"
#include "percpu.h"
#include "public/errno.h"
#include "public/xen.h"

#define WORDS	    (sizeof(struct multicall_entry) / sizeof(xen_ulong_t))
#define WAITS_FOR   (ENTRY_WORK_RESCHEDULE | ENTRY_WORK_VCPU | ENTRY_WORK_TIMER)
#define NUMBER_MASK UINT32_MAX

/* An entry in the caller's width, and as words of 64 bits. */
union narrow_entry {
	struct compat_multicall_entry entry;
	uint32_t words[WORDS];
};
union wide_entry {
	struct multicall_entry entry;
	uint64_t words[WORDS];
};

static void entry_read(const struct hypercall *c, const struct guest_place *place,
		       union wide_entry *out)
{
	union narrow_entry narrow;

	if (c->wide) {
		guest_place_read(place, &out->entry, sizeof(out->entry));
		return;
	}
	guest_place_read(place, &narrow.entry, sizeof(narrow.entry));
	for (unsigned i = 0; i < WORDS; i++)
		out->words[i] = narrow.words[i];
}

static void entry_write(const struct hypercall *c, const struct guest_place *place,
			const union wide_entry *from)
{
	union narrow_entry narrow;

	if (c->wide) {
		guest_place_write(place, &from->entry, sizeof(from->entry));
		return;
	}
	for (unsigned i = 0; i < WORDS; i++)
		narrow.words[i] = (uint32_t)from->words[i];
	guest_place_write(place, &narrow.entry, sizeof(narrow.entry));
}

static bool preempted(void)
{
	return atomic_load(&this_cpu()->shared->entry_work) & WAITS_FOR ||
	       (int32_t)(rdtsc_low() - this_cpu()->event_time) >= 0;
}

static int64_t run_entry(struct hypercall *sub, uint64_t number)
{
	/* An entry with guest-physical pointers says nothing about the next. */
	if (sub->access.state == GUEST_ACCESS_PHYSICAL)
		sub->access.state = GUEST_ACCESS_LATER;
	sub->args_changed = false;
	return number & ~(uint64_t)NUMBER_MASK ? -XEN_ENOSYS
					       : hypercall_in_list(sub, (uint32_t)number);
}

/*
 * multicall(list, count): 0, with a result in each entry; -XEN_EFAULT: an entry cannot be read and
 * written, those before it are done. An entry that is a multicall itself has the result
 * -XEN_EINVAL.
 */
int64_t hypercall_multicall(struct hypercall *c)
{
	unsigned size =
	    c->wide ? sizeof(struct multicall_entry) : sizeof(struct compat_multicall_entry);
	uint32_t count = (uint32_t)c->arg[1], done;
	gva_t list = make_gva(c->arg[0]), at = list;
	union wide_entry e;
	struct hypercall sub = {.domain = c->domain,
				.wide = c->wide,
				.arg = e.entry.args,
				.sent = c->sent,
				.access = {.p2m = c->access.p2m, .state = GUEST_ACCESS_LATER}};

	for (done = 0; done < count; done++) {
		struct guest_place place;

		int rc = hypercall_element(c, list, done, size, &at);
		if (!rc && done && (done == HYPERCALL_BATCH || preempted()))
			break;
		if (!rc)
			rc = guest_place_find(&c->access, at, size, &place);
		if (rc)
			return rc;
		entry_read(c, &place, &e);
		int64_t result = run_entry(&sub, e.entry.op);
		if (result != HYPERCALL_CONTINUE)
			e.entry.result = (uint64_t)result;
		entry_write(c, &place, &e);
		if (result == HYPERCALL_CONTINUE)
			break; /* its arguments have moved on */
	}
	if (done == count)
		return 0;
	c->arg[0] = gva_raw(at);
	c->arg[1] = count - done;
	return hypercall_continue(c);
}
