/*
 * harm: the guest that is to lose nothing. It misses the processor where its clock jumps.
 */
#include "harm.h"
#include "public/event_channel.h"

#define GAP_TICKS     2500u /* more than steps of the loop differ by */
#define CHECKED_WORDS (512 * PAGE_SIZE / 8)
#define PATTERN(i)    (0x1d3c5a7892b4f6e0ull * ((i) + 1))
#define OWN_REF	      31u
#define OWN_AT	      (HOLE + 0x200000)
#define SERVICE_TICKS 400000u
#define SLICES	      8u
#define SLICE_US      2000u
#define WITHIN	      20u     /* the part of its share that may depend on the others */
#define STEP_TICKS    300000u /* the longest that is done for a guest in one go */

struct sum {
	uint64_t all, lost, longest;
};

static uint64_t *const checked = (uint64_t *)0x800000ul;
static volatile struct grant_entry_v1 *table;
static uint64_t at, wrong;
static uint32_t port, peer_port;
static unsigned services, service_errors;

static const struct {
	const char *what;
	uint64_t ticks;
} phases[] = {
    [PHASE_BUSY] = {"computing", 6000000},
    [PHASE_COPY] = {"revoking what is copied", 6000000},
    [PHASE_MAP] = {"revoking what is mapped", 6000000},
    [PHASE_LIMIT] = {"all handles in use, then revoked", 60000000},
    [PHASE_TABLES] = {"no tables left", 6000000},
    [PHASE_DESTROY] = {"destroying whose pages are mapped", 20000000},
};

/* A few words at a time. */
static void check_memory(void)
{
	for (unsigned n = 0; n < 16; n++, at = (at + 1) % CHECKED_WORDS)
		wrong += checked[at] != PATTERN(at);
}

static long event_op(unsigned command, void *argument)
{
	return hypercall(__HYPERVISOR_event_channel_op, command, (unsigned long)argument, 0);
}

/* A channel from this guest to itself. */
static void bind_ports(void)
{
	struct evtchn_alloc_unbound unbound = {DOMID_SELF, DOMID_SELF, 0};
	struct evtchn_bind_interdomain bind = {.remote_dom = DOMID_SELF};

	tap_is(event_op(EVTCHNOP_alloc_unbound, &unbound), 0, "a port");
	bind.remote_port = port = unbound.port;
	tap_is(event_op(EVTCHNOP_bind_interdomain, &bind), 0, "another, bound to it");
	peer_port = bind.local_port;
}

/* Its own grants and events do what they always do. */
static void service(void)
{
	static volatile uint64_t own[512] __attribute__((aligned(PAGE_SIZE)));
	struct evtchn_send send = {peer_port};
	grant_handle_t handle;

	own[0] = ++services;
	grant_access(table, OWN_REF, self_domain(), (const void *)own, 0);
	service_errors += event_op(EVTCHNOP_send, &send) != 0;
	if (grant_map(self_domain(), OWN_REF, OWN_AT, GNTMAP_host_map, &handle) != GNTST_okay) {
		service_errors++;
		return;
	}
	service_errors += *(volatile uint64_t *)OWN_AT != services;
	service_errors += grant_unmap(OWN_AT, handle) != GNTST_okay;
}

/* A step of so many ticks, which takes `usual` when nobody comes between. Whether somebody did. */
static bool count(struct sum *s, uint64_t step, uint64_t usual)
{
	bool waited = step > usual + GAP_TICKS;

	if (waited && step > s->longest)
		s->longest = step;
	s->all += step;
	s->lost += waited ? step - usual : 0;
	return waited;
}

/* Watches its time for so long, from the end of a wait to the end of another, or until the phase is
 * over. */
static struct sum watch(enum phase phase, uint64_t ticks)
{
	static uint64_t least = 1000000; /* that service() takes */
	struct sum s = {0, 0, 0};
	uint64_t last = rdtsc(), next = 0;
	bool begun = false, waited;

	do {
		bool serves = s.all - s.lost >= next;

		if (serves) {
			next = s.all - s.lost + SERVICE_TICKS;
			service();
		} else {
			check_memory();
		}
		uint64_t now = rdtsc(), step = now - last;
		last = now;
		if (serves && step < least)
			least = step;
		waited = count(&s, step, serves ? least : 0);
		if (waited && !begun) {
			s.all = s.lost = next = 0;
			begun = true;
		}
	} while (direction->phase == phase && (!waited || s.all < ticks) && s.all < 2 * ticks);
	return s;
}

static void judge(enum phase phase, const struct sum *s, uint64_t slice)
{
	static uint64_t usual; /* in 1/1000, while the others do no harm */
	uint64_t usual_busy = option_number("busy", 3);
	uint64_t busy = phase == PHASE_DESTROY ? option_number("last", usual_busy) : usual_busy;
	uint64_t all = s->all + 1, had = (s->all - s->lost) * 1000 / all;
	/* Another may have saved up a slice, which counts where there are few. */
	uint64_t saved = slice * 1000 / all;
	unsigned waited = (unsigned)(s->longest * 100 / slice);

	if (phase == PHASE_BUSY)
		usual = had;
	uint64_t wanted = usual * usual_busy / busy;
	tap_ok((had + saved) * busy >= 900 && (had + 2 * saved) * WITHIN >= wanted * (WITHIN - 1),
	       "%s: %u of 1000 of the processor, usual %u", phases[phase].what, (unsigned)had,
	       (unsigned)wanted);
	/* Two slices in a row has who slept; one step more is that of making or destroying. */
	uint64_t steps = phase == PHASE_DESTROY ? 2 : 1;
	tap_ok(s->longest <= 2 * (busy - 1) * slice + steps * STEP_TICKS,
	       "and waited for %u.%02u slices at most", waited / 100, waited % 100);
}

static void direct(enum phase phase)
{
	direction->phase = phase;
	for (uint32_t d = GRANTER; d <= MAPPER; d++)
		if (!WAIT_UNTIL(direction->at[d] == phase))
			tap_bail_out("d%u does not come to phase %u", d, phase);
}

void be_watch(bool directs)
{
	uint64_t slice = (uint64_t)cpuid(XEN_CPUID_LEAF(3), 0).ecx * SLICE_US / 1000;
	unsigned seen = 0;

	for (uint64_t i = 0; i < CHECKED_WORDS; i++)
		checked[i] = PATTERN(i);
	table = grant_table_at(HOLE);
	bind_ports();
	for (uint32_t d = GRANTER; directs && d < array_size(direction->at); d++)
		grant_access(table, DIRECTION_REF(d), d, (const void *)direction, 0);
	for (enum phase phase = PHASE_BUSY; phase < PHASE_END; phase++) {
		if (directs)
			direct(phase);
		else if (!WAIT_UNTIL(follow() >= phase))
			tap_bail_out("no phase %u", phase);
		struct sum s =
		    watch(phase, phases[phase].ticks > SLICES * slice ? phases[phase].ticks
								      : SLICES * slice);
		judge(phase, &s, slice);
	}
	if (directs)
		direct(PHASE_END);
	for (uint64_t i = 0; i < CHECKED_WORDS; i++)
		seen += checked[i] != PATTERN(i);
	tap_is(wrong + seen, 0, "its memory is as it was");
	tap_is(service_errors, 0, "so are its grants and events: %u times", services);
}
