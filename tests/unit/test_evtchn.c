/* sources: kernel/evtchn.c kernel/evtchn_bind.c kernel/shared_info.c tests/unit/fake_cpu.c tests/unit/fake_heap.c */
/* flags: -pthread -DKEYHOLE_FAKE_REFERENCES */
/*
 * Event channels of three domains: a few cases by hand, what is kept of earlier sends among them;
 * then random operations, hostile ones among them, held against a model that knows nothing but the
 * rules; then several threads at once, of which one takes a domain apart while another sends to it.
 * Heap, window and p2m are made up.
 */
#include "cpu.h"
#include "fake_heap.h"
#include "guest_call.h"
#include "kernel/domain.h"
#include "kernel/evtchn_send.h"
#include "kernel/guest_time.h"
#include "kernel/reservation.h"
#include "kernel/shared_info.h"
#include "kernel/xen_state.h"
#include "mm/frame.h"
#include "mm/window.h"
#include "public/errno.h"
#include "public/hvm/hvm_op.h"
#include "public/shared_info.h"
#include "tap.h"
#include <pthread.h>

#define DOMAINS 3u
#define VCPUS	2u
#define PORTS	EVTCHN_2L_NR_CHANNELS

static uint8_t pages[DOMAINS + 1][PAGE_SIZE] aligned_to(4096);
struct domain *_Atomic domain_table[DOMAINS_MAX + 1];
#define live domain_table
static bool no_memory;
static struct domain *narrows; /* while memory is taken: another of its vCPUs does that */
struct domain *domain_owning(domid_t id)
{
	return live[id];
}

/* As the vCPUs of a domain do it, one for each thread; what they keep of other tests is outdated.
 */
static _Thread_local struct evtchn_sent sent[DOMAINS + 1][EVTCHN_SENT];
static int send(struct domain *d, uint32_t port)
{
	return evtchn_send(d, sent[d->id], port);
}

/* --- the made-up machine ---------------------------------------------------------------------- */

bool fake_heap_fails(void)
{
	if (narrows && shared_info_map(narrows, make_gfn(5), false))
		bail_out("no shared page");
	return no_memory;
}
/* A frame's number is the page's; each thread has its own slots. */
static _Thread_local bool slot_open[WINDOW_SLOT_COUNT];
void *window_open(enum window_slot slot, mfn_t frame)
{
	if (slot_open[slot] || frame.raw > DOMAINS)
		bail_out("a slot opened twice, or on no frame of a page");
	slot_open[slot] = true;
	return pages[frame.raw];
}
const void *window_open_readonly(enum window_slot slot, mfn_t frame)
{
	return window_open(slot, frame);
}
void window_close(enum window_slot slot)
{
	slot_open[slot] = false;
}
static _Atomic unsigned kicks, checks;
static struct vcpu_shared *_Atomic kicked;
void vcpu_kick(struct vcpu_shared *v)
{
	kicked = v;
	kicks++;
}
void domain_check_blocked(struct domain *d)
{
	(void)d;
	checks++;
}
void xenstore_event(struct domain *d)
{
	(void)d;
}

static bool drained = true;
bool console_ring_event(struct domain *d)
{
	(void)d;
	return drained;
}
struct vcpu_time_info guest_time_record(const struct domain *d)
{
	(void)d;
	return (struct vcpu_time_info){.version = 2};
}
void guest_time_write_wall_clock(struct domain *d, uint32_t offset)
{
	(void)d;
	(void)offset;
}
int reservation_vacate(struct domain *d, gfn_t gfn)
{
	(void)d;
	(void)gfn;
	return 0;
}
#define GFN_RECORD 7u /* RAM, in the page that is no domain's */
struct p2m_entry p2m_find(const struct p2m *p2m, gfn_t gfn)
{
	(void)p2m;
	return (struct p2m_entry){.frame = make_mfn(0),
				  .type = P2M_RAM,
				  .access = gfn_raw(gfn) == GFN_RECORD ? P2M_RWX : 0};
}
int p2m_map(struct p2m *p2m, gfn_t gfn, mfn_t frame, uint64_t count, enum p2m_type type,
	    unsigned access)
{
	(void)p2m, (void)gfn, (void)frame, (void)count, (void)type, (void)access;
	return 0;
}
int p2m_unmap(struct p2m *p2m, gfn_t gfn, uint64_t count, p2m_removed_fn removed, void *ctx)
{
	(void)p2m, (void)gfn, (void)count, (void)removed, (void)ctx;
	return 0;
}
int frame_get_present(mfn_t frame, domid_t owner, enum frame_type type)
{
	(void)frame, (void)owner, (void)type;
	return 0;
}
void frame_put(mfn_t frame)
{
	(void)frame;
}

/* --- domains ---------------------------------------------------------------------------------- */

static struct domain *make(domid_t id, bool wide)
{
	struct domain *d = calloc(1, sizeof(*d));

	d->id = id;
	d->p2m.max_gfn = 1 << 20;
	d->vcpu_count = VCPUS;
	d->xen = calloc(1, sizeof(*d->xen));
	d->xen->first_free = 1;
	d->xen->generation = 1;
	memset(sent[id], 0, sizeof(sent[id])); /* its vCPUs are new too */
	d->xen->shared_info = make_mfn(id);
	d->xen->shared_info_gfn = GFN_INVALID;
	memset(pages[id], 0, PAGE_SIZE);
	for (uint32_t i = 0; i < VCPUS; i++) {
		struct vcpu_shared *v = calloc(1, sizeof(*v));

		d->vcpus[i] = v;
		v->domain = d;
		v->id = i;
		v->xen = calloc(1, sizeof(*v->xen));
		v->xen->vcpu = v;
		vcpu_info_init(v);
	}
	if (shared_info_map(d, make_gfn(5), wide))
		bail_out("no shared page");
	live[id] = d;
	return d;
}

/* As domain_destroy() does it: epoch() lets all others come to the end of what they do. */
static void destroyed(struct domain *d, void (*epoch)(void))
{
	d->end = END_POWEROFF;
	epoch();
	while (!evtchn_release_step(d))
		;
	for (uint32_t i = 0; i < VCPUS; i++) {
		free(d->vcpus[i]->xen);
		free(d->vcpus[i]);
	}
	live[d->id] = NULL;
	epoch();
	evtchn_table_free(d);
	free(d->xen);
	free(d);
}

static void nobody(void) {}
static void gone(struct domain *d)
{
	destroyed(d, nobody);
}

static void make_all(bool wide)
{
	for (domid_t id = 1; id <= DOMAINS; id++)
		make(id, wide);
}
static void all_gone(void)
{
	for (domid_t id = 1; id <= DOMAINS; id++)
		gone(live[id]);
	is(fake_heap_objects, 0, "all tables are free again");
}

/* The port's bit in an array of the shared page, as a guest with that layout sees it. */
static bool guest_bit(const struct domain *d, bool mask, uint32_t port)
{
	const uint8_t *page = pages[d->id];
	size_t at = shared_info_ports(d) != PORTS
			? (mask ? offsetof(struct compat_shared_info, evtchn_mask)
				: offsetof(struct compat_shared_info, evtchn_pending))
			: (mask ? offsetof(struct shared_info, evtchn_mask)
				: offsetof(struct shared_info, evtchn_pending));

	return page[at + port / 8] >> port % 8 & 1;
}
static void guest_flip(const struct domain *d, bool mask, uint32_t port)
{
	uint8_t *page = pages[d->id];
	size_t at = shared_info_ports(d) != PORTS
			? (mask ? offsetof(struct compat_shared_info, evtchn_mask)
				: offsetof(struct compat_shared_info, evtchn_pending))
			: (mask ? offsetof(struct shared_info, evtchn_mask)
				: offsetof(struct shared_info, evtchn_pending));

	page[at + port / 8] ^= (uint8_t)(1u << port % 8);
}

/* --- by hand ---------------------------------------------------------------------------------- */

static void limits(bool wide)
{
	uint32_t port, last = 0, n = 0, limit = wide ? 4096 : 1024;

	make_all(wide);
	struct domain *d = live[1];
	while (!evtchn_bind_ipi(d, n % VCPUS, &port)) {
		n++;
		last = port;
	}
	is(n, limit - 1, "so many ports, but for number 0");
	is(last, limit - 1, "the last of them");
	is(evtchn_bind_ipi(d, 0, &port), -XEN_ENOSPC, "no more");
	is(evtchn_alloc_unbound(d, 2, &port), -XEN_ENOSPC, "of any kind");
	is(evtchn_bind_virq(d, VIRQ_TIMER, 0, &port), -XEN_ENOSPC, "nor for an interrupt");
	is(send(d, last), 0, "the last one works");
	ok(guest_bit(d, false, last), "and is pending");
	is(evtchn_close(d, 700), 0, "one is closed");
	is(evtchn_bind_virq(d, VIRQ_TIMER, 1, &port), 0, "its number is given out");
	is(port, 700, "again");
	is(send(d, limit), -XEN_EINVAL, "beyond the last");
	is(send(d, ~0u), -XEN_EINVAL, "all ones");
	is(send(d, 0), -XEN_EINVAL, "none");
	is(evtchn_unmask(d, limit), -XEN_EINVAL, "nor to unmask");
	is(evtchn_close(d, limit), -XEN_EINVAL, "or close");
	struct domain *e = live[2];
	no_memory = true;
	is(evtchn_alloc_unbound(e, 1, &port), -XEN_ENOMEM, "no memory for a table");
	no_memory = false;
	is(evtchn_alloc_unbound(e, 1, &port), 0, "later there is");
	is(port, 1, "from the first on");
	all_gone();
}

/* A layout with fewer ports than are in use. */
static void narrowed(void)
{
	uint32_t port;

	make_all(true);
	struct domain *d = live[1];
	for (unsigned i = 0; i < 2000; i++)
		(void)!evtchn_bind_ipi(d, 0, &port);
	is(shared_info_map(d, make_gfn(5), false), 0, "the 32-bit layout, with 2000 ports in use");
	static uint8_t before[PAGE_SIZE];
	memcpy(before, pages[d->id], PAGE_SIZE);
	is(send(d, 2000), 0, "events of those beyond it");
	ok(!memcmp(before, pages[d->id], PAGE_SIZE), "are lost");
	is(send(d, 1023), 0, "others can be sent to");
	is(shared_info_map(d, make_gfn(5), true), 0, "and back");
	is(send(d, 2000), 0, "they are as they were");
	ok(guest_bit(d, false, 2000), "and have bits");
	all_gone();
}

/* The same while another vCPU takes, or has, ports that there are no bits for then. */
static void narrowed_meanwhile(void)
{
	uint32_t port = 0, far;
	struct evtchn_port p;

	make_all(true);
	struct domain *d = live[1], *e = live[2];
	for (unsigned i = 1; i < 1024; i++)
		(void)!evtchn_bind_ipi(d, 0, &port);
	is(port, 1023, "the last port of the 32-bit layout");
	narrows = d;
	is(evtchn_alloc_unbound(d, e->id, &port), 0, "one more, while that layout is chosen");
	narrows = NULL;
	is(port, 1024, "has its number");
	is(evtchn_bind_interdomain(e, d, port, &far), 0, "it can be bound to");
	ok(evtchn_from_others(e), "so that events may come");
	is(send(e, far), 0, "events for it are lost");
	is(evtchn_bind_vcpu(d, port, 1), 0, "it can be given to another vCPU");
	is(evtchn_close(d, port), 0, "and closed");
	evtchn_port_get(e, far, &p);
	is(p.state, EVTCHN_UNBOUND, "which its other end hears of");
	is(shared_info_map(d, make_gfn(5), true), 0, "with bits for all");
	is(evtchn_bind_interdomain(d, e, far, &port), 0, "the same");
	is(shared_info_map(d, make_gfn(5), false), 0, "without");
	d->end = END_POWEROFF;
	while (!evtchn_release_step(d))
		;
	ok(!evtchn_from_others(e), "when all of them go: who was bound waits for nobody");
	all_gone();
}

static void ends(void)
{
	uint32_t a, b;

	make_all(true);
	is(evtchn_alloc_unbound(live[1], 2, &a), 0, "a port for another domain");
	ok(evtchn_from_others(live[1]), "which may send");
	is(evtchn_bind_interdomain(live[3], live[1], a, &b), -XEN_EINVAL, "not for a third");
	is(evtchn_bind_interdomain(live[2], live[1], a, &b), 0, "bound");
	ok(guest_bit(live[2], false, b), "and pending at once");
	live[2]->end = END_POWEROFF;
	checks = 0;
	while (!evtchn_release_step(live[2]))
		;
	ok(!evtchn_from_others(live[1]) && checks, "its end is noticed, for who waits for it");
	is(send(live[1], a), 0, "sending goes on, to nobody");
	struct evtchn_port p;
	evtchn_port_get(live[1], a, &p);
	is(p.state, EVTCHN_UNBOUND, "it is unbound");
	evtchn_table_free(live[2]);
	memset(live[2]->xen->ports, 0, sizeof(live[2]->xen->ports));
	live[2]->end = END_NONE;
	drained = false;
	is(evtchn_bind_own(live[1], EVTCHN_OWN_CONSOLE), 0, "the console's port");
	b = live[1]->xen->own_ports[EVTCHN_OWN_CONSOLE];
	is(send(live[1], b), HYPERCALL_CONTINUE, "which may take its time");
	drained = true;
	is(send(live[1], b), 0, "and is done");
	all_gone();
}

/* --- what is kept ----------------------------------------------------------------------------- */

/* Sends from port of d. Where it arrives, as domain << 16 | port, and nowhere else; 0: nowhere.
 * Bits are cleared again. */
static uint32_t arrives(struct domain *d, uint32_t port)
{
	uint32_t where = 0;

	is(send(d, port), 0, "sent");
	for (domid_t id = 1; id <= DOMAINS; id++)
		for (uint32_t p = 1; live[id] && p < shared_info_ports(live[id]); p++)
			if (guest_bit(live[id], false, p)) {
				where = where ? ~0u : (uint32_t)id << 16 | p;
				guest_flip(live[id], false, p);
			}
	return where;
}
#define AT(domain, port) ((uint32_t)(domain) << 16 | (port))

/* A port of 1 and one of another, bound; they have sent once, so that it is kept. */
static void bound(domid_t other, uint32_t *a, uint32_t *b)
{
	is(evtchn_alloc_unbound(live[1], other, a), 0, "a port for domain %u", other);
	is(evtchn_bind_interdomain(live[other], live[1], *a, b), 0, "bound");
	guest_flip(live[other], false, *b);
	is(arrives(live[1], *a), AT(other, *b), "the first arrives");
	ok(sent[1][*a % EVTCHN_SENT].port == *a && sent[1][*a % EVTCHN_SENT].remote == live[other],
	   "and is kept");
}

static struct vcpu_info *record_of(domid_t id, unsigned vcpu)
{
	return &((struct shared_info *)pages[id])->vcpu_info[vcpu];
}

/* Nobody is told, or that one. */
static void tells(uint32_t a, const struct vcpu_shared *v, const char *what)
{
	kicked = NULL;
	is(send(live[1], a), 0, "sent");
	ok(kicked == v, "%s", what);
	memset(pages[0], 0, PAGE_SIZE);
	for (unsigned i = 0; i < VCPUS; i++)
		*record_of(2, i) = (struct vcpu_info){0};
}

static void kept_and_told(void)
{
	uint32_t a, b;

	make_all(true);
	bound(2, &a, &b);
	memset(record_of(2, 0), 0, sizeof(struct vcpu_info));
	tells(a, live[2]->vcpus[0], "vCPU 0 is told");
	tells(a, NULL, "nobody of what is pending already");
	guest_flip(live[2], false, b);
	is(evtchn_bind_vcpu(live[2], b, 1), 0, "the other side has vCPU 1 told");
	tells(a, live[2]->vcpus[1], "which is");
	guest_flip(live[2], false, b);
	guest_flip(live[2], true, b);
	tells(a, NULL, "nobody while it is masked");
	guest_flip(live[2], false, b);
	evtchn_poll_begin(live[2]->vcpus[0]->xen, b);
	tells(a, live[2]->vcpus[0], "but who polls for it");
	guest_flip(live[2], false, b);
	guest_flip(live[2], true, b);
	is(vcpu_info_register(live[2]->vcpus[1], make_gfn(GFN_RECORD), 64), 0, "a record moves");
	memset(pages[0], 0, PAGE_SIZE);
	is(send(live[1], a), 0, "sent");
	const struct vcpu_info *moved = (const void *)(pages[0] + 64);
	ok(moved->evtchn_upcall_pending && moved->evtchn_pending_sel == 1ull << b / 64 &&
	       !record_of(2, 1)->evtchn_upcall_pending,
	   "and is found where it is");
	guest_flip(live[2], false, b);
	memset(pages[0], 0, PAGE_SIZE);
	live[2]->end = END_POWEROFF;
	tells(a, NULL, "nobody of a domain that has ended");
	all_gone();
}

static void kept_and_closed(void)
{
	uint32_t a, b, c, ipi;

	make_all(true);
	bound(2, &a, &b);
	is(arrives(live[1], a), AT(2, b), "what is kept leads there again");
	is(evtchn_alloc_unbound(live[1], 3, &c), 0, "another port of the sender's");
	is(arrives(live[1], a), AT(2, b), "is nothing to it");
	is(evtchn_close(live[1], c), 0, "nor its end");
	is(arrives(live[1], a), AT(2, b), "is");
	is(evtchn_close(live[1], a), 0, "closed by the sender");
	is(send(live[1], a), -XEN_EINVAL, "there is no such port");
	bound(3, &c, &b);
	is(c, a, "its number is given out for another domain");
	is(arrives(live[1], c), AT(3, b), "which gets the events");
	is(evtchn_close(live[3], b), 0, "closed by the other side");
	is(arrives(live[1], c), 0, "nobody gets them");
	is(evtchn_bind_ipi(live[3], 0, &ipi), 0, "its port there is used otherwise");
	is(ipi, b, "indeed");
	is(arrives(live[1], c), 0, "which gets none");
	is(evtchn_bind_interdomain(live[3], live[1], c, &b), 0, "bound again, by another one");
	guest_flip(live[3], false, b);
	ok(b != ipi && arrives(live[1], c) == AT(3, b), "which does");
	is(evtchn_close(live[3], ipi), 0, "what leads nowhere is closed");
	is(arrives(live[1], c), AT(3, b), "which is nothing to it");
	while (!evtchn_release_step(live[3]))
		;
	is(arrives(live[1], c), 0, "a reset of the other side");
	while (!evtchn_release_step(live[1]))
		;
	is(send(live[1], c), -XEN_EINVAL, "and of the sender");
	is(evtchn_alloc_unbound(live[1], 1, &a), 0, "a port for itself");
	is(evtchn_bind_interdomain(live[1], live[1], a, &b), 0, "bound");
	guest_flip(live[1], false, b);
	ok(arrives(live[1], a) == AT(1, b) && arrives(live[1], a) == AT(1, b), "and kept");
	is(evtchn_close(live[1], b), 0, "closed");
	is(arrives(live[1], a), 0, "leads nowhere");
	all_gone();
}

/* The other side goes, and one of its number comes, with the same ports. */
static void kept_and_gone(void)
{
	uint32_t a, b, again;

	make_all(true);
	bound(2, &a, &b);
	live[2]->end = END_POWEROFF;
	is(send(live[1], a), 0, "sent to a domain that has ended");
	gone(live[2]);
	is(arrives(live[1], a), 0, "to one that has gone");
	make(2, true);
	is(arrives(live[1], a), 0, "to one that came");
	is(evtchn_bind_interdomain(live[2], live[1], a, &again), 0, "which binds");
	is(again, b, "the port that the other had");
	guest_flip(live[2], false, b);
	is(arrives(live[1], a), AT(2, b), "and gets the events");
	/* One whose domain is ending, and cannot be found any more, is closed on both sides. */
	struct domain *ending = live[2];
	is(evtchn_alloc_unbound(ending, 1, &again), 0, "a port there for the first");
	is(evtchn_bind_interdomain(live[1], ending, again, &b), 0, "bound");
	guest_flip(live[1], false, b);
	is(arrives(ending, again), AT(1, b), "it sends");
	ending->end = END_POWEROFF;
	is(evtchn_close(live[1], b), 0, "when it ends the first closes the port");
	is(arrives(ending, again), 0, "and gets no event by it any more");
	all_gone();
}

static void kept_and_laid_out(void)
{
	uint32_t a, b, filler;

	make_all(true);
	for (unsigned i = 0; i < 2000; i++)
		(void)!evtchn_bind_ipi(live[2], 0, &filler);
	bound(2, &a, &b);
	ok(b == 2001 && shared_info_map(live[2], make_gfn(5), false) == 0,
	   "the other side takes the layout with fewer ports");
	memset(pages[2], 0, PAGE_SIZE);
	is(arrives(live[1], a), 0, "it has none of that number");
	ok(pages[2][offsetof(struct shared_info, evtchn_pending) + b / 8] == 0, "nor a bit");
	is(shared_info_map(live[2], make_gfn(5), true), 0, "and the other again");
	memset(pages[2], 0, PAGE_SIZE);
	is(arrives(live[1], a), AT(2, b), "as before");
	is(evtchn_close(live[2], 100), 0, "a port of both layouts");
	is(evtchn_alloc_unbound(live[1], 2, &a), 0, "is bound");
	is(evtchn_bind_interdomain(live[2], live[1], a, &b), 0, "to the sender");
	guest_flip(live[2], false, b);
	ok(b == 100 && arrives(live[1], a) == AT(2, b), "and sent to");
	is(shared_info_map(live[2], make_gfn(5), false), 0, "fewer ports once more");
	memset(pages[2], 0, PAGE_SIZE);
	guest_flip(live[2], true, b);
	tells(a, NULL, "masks are where that layout has them");
	guest_flip(live[2], false, b);
	guest_flip(live[2], true, b);
	tells(a, live[2]->vcpus[0], "when it is unmasked it is told");
	all_gone();

	make_all(true);
	for (unsigned i = 0; i < 2000; i++)
		(void)!evtchn_bind_ipi(live[1], 0, &filler);
	bound(2, &a, &b);
	is(shared_info_map(live[1], make_gfn(5), false), 0, "the sender takes that layout");
	is(arrives(live[1], a), AT(2, b), "which is nothing to those it has");
	is(send(live[1], 0), -XEN_EINVAL, "port 0 never is");
	all_gone();
}

/* --- at random -------------------------------------------------------------------------------- */

static uint64_t random_state;
static uint32_t below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 20) % n;
}

/* What the rules say of each port. */
struct model {
	enum evtchn_state state;
	uint32_t vcpu, virq;
	domid_t domain;
	uint32_t remote;
	bool pending, masked;
};
static struct model model[DOMAINS + 1][PORTS];

static uint32_t model_free(domid_t d, uint32_t limit)
{
	for (uint32_t p = 1; p < limit; p++)
		if (model[d][p].state == EVTCHN_FREE)
			return p;
	return 0;
}

static bool model_virq(domid_t d, uint32_t virq, uint32_t vcpu)
{
	for (uint32_t p = 1; p < PORTS; p++)
		if (model[d][p].state == EVTCHN_VIRQ && model[d][p].virq == virq &&
		    (virq != VIRQ_TIMER || model[d][p].vcpu == vcpu))
			return true;
	return false;
}

static void model_raise(domid_t d, uint32_t port)
{
	model[d][port].pending = true;
}

static void model_close(domid_t d, uint32_t port)
{
	struct model *m = &model[d][port];

	if (m->state == EVTCHN_INTERDOMAIN) {
		struct model *other = &model[m->domain][m->remote];

		*other = (struct model){.state = EVTCHN_UNBOUND,
					.domain = d,
					.vcpu = other->vcpu,
					.pending = other->pending,
					.masked = other->masked};
	}
	*m = (struct model){.masked = m->masked};
}

static unsigned wrong, commits[10];
#define AGREE(got, wanted)                                                                     \
	do {                                                                                   \
		long got_ = (got), wanted_ = (wanted);                                         \
		if (got_ != wanted_ && wrong++ < 5)                                            \
			diag("step %u, line %d: %ld, not %ld", step, __LINE__, got_, wanted_); \
	} while (0)

static void compare(unsigned step, uint32_t limit)
{
	for (domid_t d = 1; d <= DOMAINS; d++)
		for (uint32_t p = 1; p < limit; p++) {
			const struct model *m = &model[d][p];
			struct evtchn_port got;

			evtchn_port_get(live[d], p, &got);
			AGREE(got.state, m->state);
			AGREE(guest_bit(live[d], false, p), m->pending);
			AGREE(guest_bit(live[d], true, p), m->masked);
			if (m->state == EVTCHN_INTERDOMAIN || m->state == EVTCHN_UNBOUND)
				AGREE(got.domain, m->domain);
			if (m->state == EVTCHN_INTERDOMAIN)
				AGREE(got.remote_port, m->remote);
			if (m->state != EVTCHN_FREE)
				AGREE(got.vcpu, m->vcpu);
		}
}

static void one_step(unsigned step, uint32_t limit)
{
	domid_t d = (domid_t)(1 + below(DOMAINS)), other = (domid_t)(1 + below(DOMAINS));
	uint32_t port = below(40), vcpu = below(VCPUS + 1), got = 0, wanted;
	uint32_t virq = (uint32_t[]){VIRQ_TIMER, VIRQ_CONSOLE, 99}[below(3)];
	struct model *m = &model[d][port];
	unsigned op = below(14);
	int rc = -1;

	if (op >= 10)
		op = 4; /* as many go as come */
	if (below(50) == 0)
		port = limit + below(5), m = &model[d][0];
	if (port == 0)
		m = &model[d][0]; /* never anything but free */
	switch (op) {
	case 0:
		wanted = model_free(d, limit);
		rc = evtchn_alloc_unbound(live[d], other, &got);
		AGREE(got, wanted);
		model[d][got] = (struct model){
		    .state = EVTCHN_UNBOUND, .domain = other, .masked = model[d][got].masked};
		break;
	case 1: {
		struct model *there = &model[other][port < limit ? port : 0];
		bool good = there->state == EVTCHN_UNBOUND && there->domain == d;

		wanted = model_free(d, limit);
		rc = evtchn_bind_interdomain(live[d], live[other], port, &got);
		AGREE(rc, good ? 0 : -XEN_EINVAL);
		if (!good)
			break;
		AGREE(got, wanted);
		there->state = EVTCHN_INTERDOMAIN;
		there->domain = d;
		there->remote = got;
		model[d][got] = (struct model){.state = EVTCHN_INTERDOMAIN,
					       .domain = other,
					       .remote = port,
					       .masked = model[d][got].masked};
		model_raise(d, got);
		break;
	}
	case 2: {
		bool known = virq < NR_VIRQS && !(virq == VIRQ_CONSOLE && vcpu);
		int error = !known			? -XEN_EINVAL
			    : vcpu >= VCPUS		? -XEN_ENOENT
			    : model_virq(d, virq, vcpu) ? -XEN_EEXIST
							: 0;

		wanted = model_free(d, limit);
		rc = evtchn_bind_virq(live[d], virq, vcpu, &got);
		AGREE(rc, error);
		if (error)
			break;
		AGREE(got, wanted);
		model[d][got] = (struct model){.state = EVTCHN_VIRQ,
					       .virq = virq,
					       .vcpu = vcpu,
					       .masked = model[d][got].masked};
		break;
	}
	case 3:
		wanted = model_free(d, limit);
		rc = evtchn_bind_ipi(live[d], vcpu, &got);
		AGREE(rc, vcpu < VCPUS ? 0 : -XEN_ENOENT);
		if (rc)
			break;
		AGREE(got, wanted);
		model[d][got] = (struct model){
		    .state = EVTCHN_IPI, .vcpu = vcpu, .masked = model[d][got].masked};
		break;
	case 4:
		rc = evtchn_close(live[d], port);
		AGREE(rc, m->state == EVTCHN_FREE ? -XEN_EINVAL : 0);
		if (!rc)
			model_close(d, port);
		break;
	case 5:
		rc = send(live[d], port);
		AGREE(rc, m->state == EVTCHN_FREE || m->state == EVTCHN_VIRQ ? -XEN_EINVAL : 0);
		if (m->state == EVTCHN_INTERDOMAIN)
			model_raise(m->domain, m->remote);
		if (m->state == EVTCHN_IPI)
			model_raise(d, port);
		break;
	case 6:
		rc = evtchn_unmask(live[d], port);
		AGREE(rc, m->state == EVTCHN_FREE ? -XEN_EINVAL : 0);
		if (!rc)
			m->masked = false;
		break;
	case 7: {
		bool movable = m->state == EVTCHN_UNBOUND || m->state == EVTCHN_INTERDOMAIN ||
			       (m->state == EVTCHN_VIRQ && m->virq != VIRQ_TIMER);

		rc = evtchn_bind_vcpu(live[d], port, vcpu);
		AGREE(rc, vcpu >= VCPUS ? -XEN_ENOENT : movable ? 0 : -XEN_EINVAL);
		if (!rc)
			m->vcpu = vcpu;
		break;
	}
	case 8:
		rc = 0;
		evtchn_raise_virq(live[d]->vcpus[vcpu % VCPUS], VIRQ_TIMER);
		for (uint32_t p = 1; p < limit; p++)
			if (model[d][p].state == EVTCHN_VIRQ && model[d][p].virq == VIRQ_TIMER &&
			    model[d][p].vcpu == vcpu % VCPUS)
				model_raise(d, p);
		break;
	default: /* what the guest does by itself */
		rc = 0;
		if (port == 0 || port >= limit)
			break;
		bool mask = below(2);
		if (mask)
			m->masked = !m->masked;
		else if (m->pending)
			m->pending = false;
		else
			break;
		guest_flip(live[d], mask, port);
	}
	commits[op] += rc == 0;
}

static void at_random(bool wide)
{
	uint32_t limit = wide ? 4096 : 1024;
	const char *seed = getenv("SEED");

	make_all(wide);
	memset(model, 0, sizeof(model));
	memset(commits, 0, sizeof(commits));
	random_state = seed ? strtoull(seed, NULL, 0) : 0x9e3779b97f4a7c15ull;
	wrong = 0;
	for (unsigned step = 0; step < 60000 && !wrong; step++) {
		one_step(step, limit);
		if (step % 600 == 0)
			compare(step, limit);
		/* A reset now and then, as a model of its own. */
		if (step % 7001 == 7000) {
			while (!evtchn_release_step(live[1]))
				;
			for (uint32_t p = 1; p < limit; p++)
				if (model[1][p].state != EVTCHN_FREE)
					model_close(1, p);
		}
	}
	compare(60000, limit);
	is(wrong, 0, "60000 operations agree with the rules (seed 0x%lx)",
	   (unsigned long)(seed ? strtoull(seed, NULL, 0) : 0x9e3779b97f4a7c15ull));
	for (unsigned i = 0; i < array_size(commits); i++)
		if (commits[i] < 100)
			fail("operation %u succeeded %u times only", i, commits[i]);
	all_gone();
}

/* --- at once ---------------------------------------------------------------------------------- */

static void *thread(void *arg)
{
	domid_t me = (domid_t)(uintptr_t)arg, other = (domid_t)(me % DOMAINS + 1);
	uint64_t state = me * 0x9e3779b97f4a7c15ull;

	test_cpu.index = me;
	test_cpu.shared = &cpu_shared[me];
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t port = (uint32_t)(state >> 33) % 12, got;

		state = state * 6364136223846793005ull + 1442695040888963407ull;
		switch (state >> 60 & 7) {
		case 0:
			(void)!evtchn_alloc_unbound(live[me], other, &got);
			break;
		case 1:
		case 2:
			(void)!evtchn_bind_interdomain(live[me], live[other], port, &got);
			break;
		case 3:
			(void)!evtchn_close(live[me], port);
			break;
		case 4:
			(void)!evtchn_close(live[me], port + 12);
			break;
		case 5:
			(void)!evtchn_unmask(live[me], port);
			break;
		default:
			(void)!send(live[me], port);
		}
	}
	return NULL;
}

/* Each end of a bound pair names the other. */
static void at_once(void)
{
	pthread_t threads[DOMAINS];
	unsigned bad = 0, bound = 0;

	make_all(true);
	for (uintptr_t i = 0; i < DOMAINS; i++)
		pthread_create(&threads[i], NULL, thread, (void *)(i + 1));
	for (unsigned i = 0; i < DOMAINS; i++)
		pthread_join(threads[i], NULL);
	for (domid_t d = 1; d <= DOMAINS; d++)
		for (uint32_t p = 1; p < PORTS; p++) {
			struct evtchn_port here, there;

			evtchn_port_get(live[d], p, &here);
			if (here.state != EVTCHN_INTERDOMAIN)
				continue;
			bound++;
			evtchn_port_get(live[here.domain], here.remote_port, &there);
			bad += there.state != EVTCHN_INTERDOMAIN || there.domain != d ||
			       there.remote_port != p;
		}
	is(bad, 0, "%u ends name one another", bound);
	all_gone();
}

/* Domain 1 sends from its port 1, all the time, and counts. */
static _Atomic unsigned sends;
static _Atomic bool enough;
static void *sender(void *arg)
{
	test_cpu.index = 1;
	test_cpu.shared = &cpu_shared[1];
	memset(sent[1], 0, sizeof(sent[1]));
	while (!enough) {
		(void)!send(arg, 1);
		sends++;
	}
	return NULL;
}

/* It has come to the end of what it did, and has sent at least once since. */
static void sender_goes_on(void)
{
	for (unsigned until = sends + 2; (int)(sends - until) < 0;)
		sched_yield();
}

/* Meanwhile the other side closes, is taken apart, and comes again: nothing is used that was given
 * up, and after a close the port gets no event. */
static void at_once_closed(void)
{
	pthread_t thread_id;
	unsigned missed = 0, late = 0;
	uint32_t port, b;

	make_all(true);
	is(evtchn_alloc_unbound(live[1], 2, &port), 0, "a port");
	is(port, 1, "the first");
	enough = false;
	pthread_create(&thread_id, NULL, sender, live[1]);
	for (unsigned i = 0; i < 2000; i++) {
		if (evtchn_bind_interdomain(live[2], live[1], port, &b))
			bail_out("not bound");
		sender_goes_on();
		missed += !guest_bit(live[2], false, b);
		if (i % 4 == 3) {
			destroyed(live[2], sender_goes_on);
			make(2, true);
			continue;
		}
		(void)!evtchn_close(live[2], b);
		sender_goes_on();
		if (guest_bit(live[2], false, b))
			guest_flip(live[2], false, b);
		sender_goes_on();
		late += guest_bit(live[2], false, b);
	}
	enough = true;
	pthread_join(thread_id, NULL);
	is(missed, 0, "while it is bound events arrive");
	is(late, 0, "after a close none do");
	all_gone();
}

int main(void)
{
	tap_no_plan();
	test_cpu.shared = &cpu_shared[0];
	limits(true);
	limits(false);
	narrowed();
	narrowed_meanwhile();
	ends();
	kept_and_told();
	kept_and_closed();
	kept_and_gone();
	kept_and_laid_out();
	at_random(true);
	at_random(false);
	at_once();
	at_once_closed();
	return tap_end();
}
