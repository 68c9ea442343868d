/* sources: kernel/hypercall.c kernel/multicall.c kernel/sched_op.c kernel/hypercall_misc.c kernel/guest_input.c kernel/lifecycle_op.c kernel/grant.c kernel/grant_op.c */
/* sources: kernel/grant_copy.c kernel/grant_entry.c kernel/grant_table.c kernel/foreign_map.c kernel/memory_op.c */
/* sources: kernel/grant_revoke.c kernel/grant_find.c kernel/reservation.c kernel/foreign_op.c kernel/foreign_revoke.c kernel/demand.c kernel/demand_window.c kernel/compat.c tests/unit/fake_cpu.c tests/unit/fake_heap.c tests/unit/quiet.c */
/* flags: -pthread -DKEYHOLE_FAKE_REFERENCES */
/*
 * Hypercalls end to end, from registers to registers, as two hostile guests would use them: all of
 * kernel/ that they reach is the real code; memory management, p2m and guest memory are made up
 * here, and can be made to fail at any step.
 */
#include "cpu.h"
#include "fake_heap.h"
#include "kernel/demand.h"
#include "kernel/domain.h"
#include "kernel/foreign_map.h"
#include "kernel/grant.h"
#include "kernel/guest_devices.h"
#include "kernel/hypercall.h"
#include "kernel/lifecycle.h"
#include "kernel/reservation.h"
#include "kernel/sched_op.h"
#include "kernel/shared_info.h"
#include "kernel/timer.h"
#include "kernel/xen_state.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/window.h"
#include "public/console.h"
#include "public/errno.h"
#include "public/grant_table.h"
#include "public/keyhole.h"
#include "public/memory.h"
#include "public/sched.h"
#include "public/version.h"
#include "public/xen.h"
#include "tap.h"
#include "vcpu.h"
#include <pthread.h>
#include <stdarg.h>
#include <time.h>

/* --- the made-up machine ---------------------------------------------------------------------- */

#define FRAMES	      512u
#define GFNS	      8192u
#define LINEAR_BASE   0x10000ull
#define LINEAR_SIZE   0x10000ull
#define READONLY_BASE (LINEAR_BASE + 0xf000) /* the last page can only be read */

static uint8_t ram[FRAMES][PAGE_SIZE] aligned_to(4096);
static struct {
	_Atomic uint32_t refs;
	domid_t owner;
	enum frame_type type;
	_Atomic uint32_t note[2];
} frames[FRAMES];
static uint32_t next_frame = 1;

struct guest {
	struct domain d;
	struct vcpu_shared v;
	struct domain_xen xen;
	struct vcpu_xen vcpu_xen;
	struct p2m_entry p2m[GFNS];
	uint8_t linear[LINEAR_SIZE];
};
static struct guest *guests[4];

/* The step of allocation or mapping that fails; counts down; negative: none. */
static _Thread_local int fail_at = -1;
static pthread_mutex_t big_lock = PTHREAD_MUTEX_INITIALIZER;

static bool fails(void)
{
	return fail_at >= 0 && fail_at-- == 0;
}

bool fake_heap_fails(void)
{
	return fails();
}

int frame_alloc(unsigned order, domid_t owner, enum frame_type type, mfn_t *out)
{
	uint32_t count = 1u << order;
	if (fails() || next_frame + count > FRAMES)
		return -XEN_ENOMEM;
	*out = make_mfn(next_frame);
	for (; count; count--, next_frame++) {
		frames[next_frame].refs = 1;
		frames[next_frame].owner = owner;
		frames[next_frame].type = type;
		memset(ram[next_frame], 0, PAGE_SIZE);
	}
	return 0;
}

uint32_t frame_alloc_pages(uint32_t count, domid_t owner, enum frame_type type, mfn_t *out)
{
	uint32_t n = 0;

	while (n < count && !frame_alloc(0, owner, type, &out[n]))
		n++;
	return n;
}

void frame_free(mfn_t first, unsigned order)
{
	for (uint32_t i = 0; i < 1u << order; i++) {
		if (frames[first.raw + i].refs != 1)
			bail_out("frame freed while referenced");
		frames[first.raw + i].refs = 0;
	}
}

uint64_t frame_owned(domid_t owner)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < FRAMES; i++)
		n +=
		    frames[i].refs && frames[i].owner == owner && frames[i].type == FRAME_GUEST_RAM;
	return n;
}

static _Atomic unsigned references_taken;
int frame_get_present(mfn_t frame, domid_t owner, enum frame_type type)
{
	references_taken++;
	if (frame.raw >= FRAMES || !frames[frame.raw].refs || frames[frame.raw].owner != owner ||
	    frames[frame.raw].type != type)
		return -XEN_EINVAL;
	frames[frame.raw].refs++;
	return 0;
}

uint32_t frame_refs(mfn_t frame)
{
	return frames[frame.raw].refs;
}
domid_t frame_owner(mfn_t frame)
{
	return frames[frame.raw].owner;
}
void frame_set_note(mfn_t frame, uint32_t a, uint32_t b)
{
	frames[frame.raw].note[0] = a;
	frames[frame.raw].note[1] = b;
}
void frame_note(mfn_t frame, uint32_t *a, uint32_t *b)
{
	*a = frames[frame.raw].note[0];
	*b = frames[frame.raw].note[1];
}

void frame_put(mfn_t frame)
{
	if (!frames[frame.raw].refs)
		bail_out("frame put once too often");
	frames[frame.raw].refs--;
}

void frame_put_run(mfn_t first, uint64_t count)
{
	while (count--)
		frame_put(mfn_add(first, count));
}

void frame_put_pages(const mfn_t *some, uint32_t count)
{
	while (count--)
		frame_put(some[count]);
}

static _Thread_local bool window_is_open[WINDOW_SLOT_COUNT];
void *window_open(enum window_slot slot, mfn_t frame)
{
	if (window_is_open[slot])
		bail_out("window slot opened twice");
	window_is_open[slot] = true;
	return ram[frame.raw];
}
void window_close(enum window_slot slot)
{
	window_is_open[slot] = false;
}

const void *window_open_readonly(enum window_slot slot, mfn_t frame)
{
	return window_open(slot, frame);
}
static struct guest *guest_of(struct p2m *p2m)
{
	return container_of(container_of(p2m, struct domain, p2m), struct guest, d);
}

int p2m_map(struct p2m *p2m, gfn_t gfn, mfn_t frame, uint64_t count, enum p2m_type type,
	    unsigned access)
{
	struct guest *g = guest_of(p2m);
	int rc = 0;

	if (gfn.raw >= p2m->max_gfn || count > p2m->max_gfn - gfn.raw)
		return -XEN_EINVAL;
	if (fails())
		return -XEN_ENOMEM;
	pthread_mutex_lock(&big_lock);
	for (uint64_t i = 0; i < count; i++)
		if (g->p2m[gfn.raw + i].type != P2M_NONE)
			rc = -XEN_EEXIST;
	for (uint64_t i = 0; !rc && i < count; i++)
		g->p2m[gfn.raw + i] =
		    (struct p2m_entry){make_mfn(frame.raw + i), type, (uint8_t)access, 0};
	pthread_mutex_unlock(&big_lock);
	return rc;
}

static unsigned unmaps;
int p2m_unmap(struct p2m *p2m, gfn_t gfn, uint64_t count, p2m_removed_fn removed, void *ctx)
{
	struct guest *g = guest_of(p2m);

	if (gfn.raw >= p2m->max_gfn || count > p2m->max_gfn - gfn.raw)
		return -XEN_EINVAL;
	if (fails())
		return -XEN_ENOMEM;
	pthread_mutex_lock(&big_lock);
	unmaps++;
	for (uint64_t i = gfn.raw; i < gfn.raw + count; i++) {
		if (removed && g->p2m[i].type != P2M_NONE)
			removed(make_gfn(i), &g->p2m[i], 1, ctx);
		memset(&g->p2m[i], 0, sizeof(g->p2m[0]));
	}
	p2m->generation++;
	pthread_mutex_unlock(&big_lock);
	return 0;
}

static void ignore(gfn_t gfn, const struct p2m_entry *entry, uint64_t count, void *ctx)
{
	(void)gfn;
	(void)entry;
	(void)count;
	(void)ctx;
}
static void (*at_batch)(struct p2m *p2m); /* another CPU is first */
void p2m_batch_begin(struct p2m_batch *b, struct p2m *p2m)
{
	if (at_batch)
		at_batch(p2m);
	*b = (struct p2m_batch){.p2m = p2m}; /* no table is at hand, ever */
}
int p2m_batch_map(struct p2m_batch *b, gfn_t gfn, mfn_t frame, enum p2m_type type, unsigned access)
{
	return p2m_map(b->p2m, gfn, frame, 1, type, access);
}
int p2m_batch_unmap(struct p2m_batch *b, gfn_t gfn)
{
	int rc = p2m_unmap(b->p2m, gfn, 1, ignore, NULL);

	if (!rc)
		unmaps--; /* they are flushed together */
	b->removed |= !rc;
	return rc;
}
bool p2m_batch_mapped(struct p2m_batch *b, gfn_t gfn)
{
	struct p2m_entry e;

	return p2m_lookup(b->p2m, gfn, &e);
}
int p2m_batch_take_any(struct p2m_batch *b, gfn_t gfn, enum p2m_type type, mfn_t *frame)
{
	struct p2m_entry e;

	if (!p2m_lookup(b->p2m, gfn, &e))
		return -XEN_ENOENT;
	*frame = e.frame;
	return e.type == type ? p2m_batch_unmap(b, gfn) : -XEN_EINVAL;
}
int p2m_batch_exchange(struct p2m_batch *b, gfn_t gfn, enum p2m_type type, mfn_t frame, mfn_t *old)
{
	struct guest *g = guest_of(b->p2m);
	struct p2m_entry e;

	if (!p2m_lookup(b->p2m, gfn, &e))
		return -XEN_ENOENT;
	if (e.type != type || fails())
		return e.type == type ? -XEN_ENOMEM : -XEN_EINVAL;
	*old = e.frame;
	g->p2m[gfn.raw].frame = frame;
	b->removed = true;
	return 0;
}
void p2m_for_each_from(struct p2m *p2m, gfn_t from,
		       bool (*fn)(gfn_t gfn, const struct p2m_entry *entry, void *ctx), void *ctx)
{
	const struct guest *g = guest_of(p2m);

	for (uint64_t gfn = from.raw; gfn < p2m->max_gfn; gfn++)
		if (g->p2m[gfn].type != P2M_NONE && !fn(make_gfn(gfn), &g->p2m[gfn], ctx))
			return;
}
mfn_t frame_alloc_ram(domid_t owner, uint64_t most)
{
	mfn_t frame;

	return frame_owned(owner) >= most || frame_alloc(0, owner, FRAME_GUEST_RAM, &frame)
		   ? MFN_INVALID
		   : frame;
}

void p2m_visit_begin(struct p2m_visit *v, struct p2m *p2m)
{
	if (at_batch)
		at_batch(p2m);
	*v = (struct p2m_visit){0};
}
bool p2m_visit_reach(struct p2m_visit *v, uint64_t gfn)
{
	(void)v;
	(void)gfn;
	return false; /* windows have a test of their own */
}
int p2m_visit_take_last(struct p2m_visit *v, gfn_t gfn, enum p2m_type type, mfn_t *frame)
{
	(void)v;
	(void)gfn;
	(void)type;
	(void)frame;
	return -XEN_ENOENT;
}
void p2m_visit_yield(struct p2m_visit *v)
{
	(void)v;
}
void p2m_visit_end(struct p2m_visit *v)
{
	(void)v;
}
bool p2m_tracks_access(void)
{
	return true;
}
int p2m_fill_page(struct p2m *p2m, gfn_t gfn, mfn_t frame, enum p2m_type type, unsigned access)
{
	return p2m_map(p2m, gfn, frame, 1, type, access);
}
void epoch_defer(struct epoch_deferred *d, void (*run)(struct epoch_deferred *d))
{
	epoch_defer_work(d, run, 1);
}
struct domain *domain_next(domid_t after)
{
	for (unsigned id = after + 1u; id < array_size(guests); id++)
		if (guests[id])
			return &guests[id]->d;
	return NULL;
}
void p2m_batch_end(struct p2m_batch *b)
{
	unmaps += b->removed;
	b->p2m = NULL;
}

struct p2m_entry p2m_find(const struct p2m *p2m, gfn_t gfn)
{
	struct guest *g = guest_of((struct p2m *)p2m);

	if (gfn.raw >= p2m->max_gfn || g->p2m[gfn.raw].type == P2M_NONE)
		return (struct p2m_entry){.access = 0};
	return g->p2m[gfn.raw];
}

static _Thread_local struct epoch_deferred *deferred;
void epoch_defer_work(struct epoch_deferred *d, void (*run)(struct epoch_deferred *d),
		      uint32_t work)
{
	if (!work)
		bail_out("deferred for nothing");
	d->run = run;
	d->next = deferred;
	deferred = d;
}
static _Thread_local uint32_t epochs, epoch_polls;
static void epoch_pass(void)
{
	epochs++;
	while (deferred) {
		struct epoch_deferred *d = deferred;
		deferred = d->next;
		d->run(d);
	}
}

uint32_t epoch_ticket(void)
{
	return epochs + 1;
}
/* It passes by itself, some time. */
bool epoch_over(uint32_t ticket)
{
	if (++epoch_polls % 3 == 0)
		epoch_pass();
	return epochs >= ticket || ticket > epochs + 1;
}

struct domain *_Atomic domain_table[DOMAINS_MAX + 1];
struct domain *domain_owning(domid_t id)
{
	return id < array_size(guests) && guests[id] ? &guests[id]->d : NULL;
}
void domain_end(struct domain *d, enum domain_end why, uint64_t detail)
{
	d->end = why;
	d->end_detail = detail;
}
unsigned domain_ram_ranges(uint64_t ram_bytes, struct domain_range out[DOMAIN_RANGES_MAX])
{
	out[0] = (struct domain_range){0, ram_bytes};
	out[1] = (struct domain_range){GUEST_HOLE_END, PAGE_SIZE};
	return 2;
}
unsigned domain_memory_map(const struct domain *d, struct domain_map_entry out[DOMAIN_MAP_MAX])
{
	out[0] = (struct domain_map_entry){0, d->ram_bytes, E820_RAM};
	out[1] = (struct domain_map_entry){GUEST_HOLE_END, PAGE_SIZE, E820_ACPI};
	return 2;
}

static _Thread_local unsigned cpl;
static _Thread_local bool wide = true;
static unsigned yields, blocks;
static char printed[8192];
static size_t printed_length;

/* Event channels and what goes with them have tests of their own. */
static int64_t elsewhere(struct hypercall *c)
{
	(void)c;
	return -XEN_ENOSYS;
}
int64_t hypercall_event_channel_op(struct hypercall *c) __attribute__((alias("elsewhere")));
int64_t hypercall_vcpu_op(struct hypercall *c) __attribute__((alias("elsewhere")));
int64_t hypercall_hvm_op(struct hypercall *c) __attribute__((alias("elsewhere")));
int64_t hypercall_vm_assist(struct hypercall *c) __attribute__((alias("elsewhere")));
int64_t sched_op_poll(struct hypercall *c) __attribute__((alias("elsewhere")));
int shared_info_map(struct domain *d, gfn_t gfn, bool wide_layout)
{
	(void)d;
	(void)gfn;
	(void)wide_layout;
	return -XEN_ENOSYS;
}
void shared_info_unmapped(struct domain *d, gfn_t gfn)
{
	(void)d;
	(void)gfn;
}
bool vcpu_event_waits(void)
{
	return false;
}

void vcpu_guest_access(struct guest_access *out)
{
	out->p2m = &this_cpu()->current->domain->p2m;
}
void vcpu_yield(void)
{
	yields++;
}
void vcpu_block(bool interrupts_on)
{
	blocks += interrupts_on;
}
/* Timers stand still; a test has them fire. */
void timer_init(struct timer *t, struct vcpu_shared *v, uint64_t (*fn)(struct timer *t))
{
	if (v)
		bail_out("a timer of a vCPU");
	t->fn = fn;
}
void timer_arm(struct timer *t, uint64_t tsc_deadline)
{
	t->deadline = tsc_deadline;
	t->armed = true;
}
void timer_cancel(struct timer *t)
{
	t->armed = false;
}
uint64_t guest_time_now(const struct domain *d)
{
	(void)d;
	return 1000;
}
uint64_t guest_time_to_tsc(const struct domain *d, uint64_t ns)
{
	(void)d;
	return ns;
}
static struct vcpu_shared *kicked;
void vcpu_kick(struct vcpu_shared *v)
{
	kicked = v;
}
static unsigned lifecycle_asked;
int lifecycle_request(domid_t id, unsigned command)
{
	lifecycle_asked = id * 16u + command;
	return 0;
}
static bool being_made;
unsigned lifecycle_state(domid_t id)
{
	return being_made ? KEYHOLE_DOMAIN_CREATING : id + 100u;
}

static struct guest_devices devices;
static unsigned devices_open;
struct guest_devices *guest_devices_open(struct domain *d)
{
	(void)d;
	ok(!devices_open++, "no devices are open yet");
	return &devices;
}
void guest_devices_close(struct domain *d)
{
	(void)d;
	devices_open--;
}

static size_t console_room = SIZE_MAX; /* then it is full once */
size_t guest_console_write(struct domain *d, const char *text, size_t length)
{
	(void)d;
	if (length > console_room)
		length = console_room;
	console_room -= length;
	if (!console_room)
		console_room = SIZE_MAX;
	memcpy(printed + printed_length, text, length);
	printed_length += length;
	return length;
}
/* A page in which both address spaces end, for those who try to go on at 0, and the one there. */
static bool ends_mapped;
static uint8_t end_page[PAGE_SIZE], zero_page[PAGE_SIZE];

static void *linear(struct guest *g, uint64_t address, size_t length)
{
	uint64_t end = 0 - (address | (wide ? 0 : 0xffffffff00000000ull));

	if (ends_mapped && end && end <= PAGE_SIZE && length <= end)
		return end_page + PAGE_SIZE - end;
	if (ends_mapped && address < PAGE_SIZE && length <= PAGE_SIZE - address)
		return zero_page + address;
	if (address < LINEAR_BASE || length > LINEAR_SIZE ||
	    address - LINEAR_BASE > LINEAR_SIZE - length)
		return NULL;
	return &g->linear[address - LINEAR_BASE];
}
int guest_copy_in(struct guest_access *ga, void *to, gva_t from, size_t length)
{
	void *p = linear(guest_of(ga->p2m), from.raw, length);
	if (!p)
		return -XEN_EFAULT;
	memcpy(to, p, length);
	return 0;
}
int guest_copy_out(struct guest_access *ga, gva_t to, const void *from, size_t length)
{
	void *p = linear(guest_of(ga->p2m), to.raw, length);
	if (!p || (length && to.raw + length > READONLY_BASE && !ends_mapped))
		return -XEN_EFAULT;
	memcpy(p, from, length);
	return 0;
}
int guest_place_find(struct guest_access *ga, gva_t at, size_t length, struct guest_place *out)
{
	void *place = linear(guest_of(ga->p2m), at.raw, length);

	out->first = make_paddr((uintptr_t)place);
	if (!place || (length && at.raw + length > READONLY_BASE && !ends_mapped))
		return -XEN_EFAULT;
	return 0;
}
void guest_place_read(const struct guest_place *found, void *to, size_t length)
{
	memcpy(to, (void *)paddr_raw(found->first), length);
}
void guest_place_write(const struct guest_place *found, const void *from, size_t length)
{
	memcpy((void *)paddr_raw(found->first), from, length);
}

/* --- guests ----------------------------------------------------------------------------------- */

#define RAM_FRAMES 16u /* gfns 0 to 15 */

static struct guest *new_guest(domid_t id)
{
	struct guest *g = aligned_alloc(64, (sizeof(*g) + 63) & ~63ul);
	memset(g, 0, sizeof(*g));
	g->d.id = id;
	g->d.priv = DOMAIN_PRIV_NONE;
	g->d.p2m.max_gfn = GFNS;
	g->d.ram_bytes = RAM_FRAMES * PAGE_SIZE;
	g->v.domain = &g->d;
	g->v.xen = &g->vcpu_xen;
	g->d.vcpus[0] = &g->v;
	g->d.xen = &g->xen;
	sched_op_init(&g->d);
	for (uint64_t i = 0; i < RAM_FRAMES; i++) {
		mfn_t frame;
		if (frame_alloc(0, id, FRAME_GUEST_RAM, &frame) ||
		    p2m_map(&g->d.p2m, make_gfn(i), frame, 1, P2M_RAM, P2M_RWX))
			bail_out("no memory for a guest");
	}
	if (grant_table_create(&g->d))
		bail_out("no grant table");
	guests[id] = g;
	domain_table[id] = &g->d;
	return g;
}

static struct guest *owner, *mapper; /* domains 1 and 2 */

static void be(struct guest *g)
{
	test_cpu.current = &g->v;
}

static void fresh(void)
{
	for (unsigned i = 0; i < array_size(guests); i++) {
		if (!guests[i])
			continue;
		epoch_pass();
		while (!grant_maps_release_step(&guests[i]->d))
			;
		for (unsigned gfn = 0; gfn < GFNS; gfn++)
			if (guests[i]->p2m[gfn].type == P2M_FOREIGN)
				foreign_put_run(&guests[i]->d, guests[i]->p2m[gfn].frame, 1);
	}
	for (unsigned i = 0; i < array_size(guests); i++) {
		if (guests[i])
			grant_table_free(&guests[i]->d);
		free(guests[i]);
		guests[i] = NULL;
		domain_table[i] = NULL;
	}
	memset(frames, 0, sizeof(frames));
	next_frame = 1;
	fail_at = -1;
	cpl = 0;
	wide = true;
	owner = new_guest(1);
	mapper = new_guest(2);
	be(mapper);
}

/* One VMCALL; *done tells whether it was finished. */
static int64_t call_once(struct vcpu_regs *r, bool *done)
{
	static struct vcpu_secret vcpu; /* registers are a part of one */

	vcpu.regs = *r;
	*done = hypercall(&vcpu.regs, cpl, wide);
	*r = vcpu.regs;
	return wide ? (int64_t)r->rax : (int32_t)(uint32_t)r->rax;
}

static void load(struct vcpu_regs *r, uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
	memset(r, 0xee, sizeof(*r));
	/* The upper halves mean nothing to a 32-bit caller. */
	uint64_t junk = wide ? 0 : 0xdeadbeef00000000ull;
	r->rax = number | junk;
	*(wide ? &r->rdi : &r->rbx) = a | junk;
	*(wide ? &r->rsi : &r->rcx) = b | junk;
	r->rdx = c | junk;
}

/* A call to its end, through its continuations. */
static unsigned continuations;
static int64_t call5(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	struct vcpu_regs r;
	int64_t result;
	bool done;

	load(&r, number, a, b, c);
	*(wide ? &r.r10 : &r.rsi) = d;
	*(wide ? &r.r8 : &r.rdi) = e;
	continuations = 0;
	for (;;) {
		result = call_once(&r, &done);
		if (done)
			return result;
		if (continuations++ > 1000)
			bail_out("a call that never ends");
		if ((uint32_t)r.rax != number)
			bail_out("a continuation changed the number");
	}
}

static int64_t call(uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
	return call5(number, a, b, c, 0xdddd, 0xeeee);
}

#define AT(offset)	     (LINEAR_BASE + (offset))
#define MEM(g, offset, type) ((type *)(void *)&(g)->linear[offset])

static struct grant_entry_v1 *entry(uint32_t ref)
{
	/* The first frame that a guest got after its RAM is that of its grant table. */
	return (struct grant_entry_v1 *)(void *)ram[1 + RAM_FRAMES] + ref;
}

static void permit(uint32_t ref, domid_t grantee, uint32_t gfn, uint16_t more)
{
	entry(ref)->frame = gfn;
	entry(ref)->domid = grantee;
	entry(ref)->flags = (uint16_t)(GTF_permit_access | more);
}

static struct gnttab_map_grant_ref *map_op(unsigned i, uint32_t ref, uint64_t gfn, uint32_t flags)
{
	struct gnttab_map_grant_ref *op = MEM(mapper, 0, struct gnttab_map_grant_ref) + i;
	*op = (struct gnttab_map_grant_ref){
	    .host_addr = gfn << PAGE_SHIFT, .flags = flags, .ref = ref, .dom = 1, .status = 99};
	op->handle = 12345;
	op->dev_bus_addr = 77;
	return op;
}

static int map(uint32_t ref, uint64_t gfn, uint32_t flags, uint32_t *handle)
{
	struct gnttab_map_grant_ref *op = map_op(0, ref, gfn, flags);
	int64_t rc = call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, AT(0), 1);
	if (rc)
		return (int)rc - 1000;
	if (op->dev_bus_addr)
		fail("a machine address is told");
	if (handle)
		*handle = op->handle;
	return op->status;
}

static int unmap(uint32_t handle, uint64_t gfn)
{
	struct gnttab_unmap_grant_ref *op = MEM(mapper, 0, struct gnttab_unmap_grant_ref);
	*op = (struct gnttab_unmap_grant_ref){
	    .host_addr = gfn << PAGE_SHIFT, .handle = handle, .status = 99};
	int64_t rc = call(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, AT(0), 1);
	return rc ? (int)rc - 1000 : op->status;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void dispatching(void)
{
	struct vcpu_regs r, before;
	bool done;

	fresh();
	is(call(__HYPERVISOR_xen_version, XENVER_version, 0, 0), 4 << 16 | 17, "xen_version");
	cpl = 3;
	is(call(__HYPERVISOR_xen_version, XENVER_version, 0, 0), -XEN_EPERM, "not from CPL 3");
	cpl = 1;
	is(call(9999, 0, 0, 0), -XEN_EPERM, "nor from CPL 1, whatever the number");
	cpl = 0;
	for (unsigned n = 0; n < 64; n++) {
		if (n == __HYPERVISOR_memory_op || n == __HYPERVISOR_xen_version ||
		    n == __HYPERVISOR_console_io || n == __HYPERVISOR_multicall ||
		    n == __HYPERVISOR_keyhole_control || n == __HYPERVISOR_grant_table_op ||
		    n == __HYPERVISOR_sched_op)
			continue;
		if (call(n, 0, 0, 0) != -XEN_ENOSYS)
			fail("call %u is unknown", n);
	}
	is(call(0xffffffff, 0, 0, 0), -XEN_ENOSYS, "an unknown number");
	is(call(1u << 30 | __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0), 4096,
	   "guest-physical pointers");
	is(call(1u << 31 | __HYPERVISOR_xen_version, 0, 0, 0), -XEN_ENOSYS, "another flag");
	is(call(1u << 30 | 1, 0, 0, 0), -XEN_ENOSYS, "an unknown number with the flag");
	load(&r, __HYPERVISOR_xen_version, 999, 2, 3);
	before = r;
	call_once(&r, &done);
	is(r.rax, (uint64_t)-XEN_ENOSYS, "64-bit: an error is sign-extended");
	before.rax = r.rax;
	ok(done && !memcmp(&r, &before, sizeof(r)), "no other register has changed");
	wide = false;
	load(&r, __HYPERVISOR_xen_version, 999, 2, 3);
	call_once(&r, &done);
	is(r.rax, (uint32_t)-XEN_ENOSYS, "32-bit: the result is in EAX alone");
	is(call(__HYPERVISOR_xen_version, XENVER_pagesize, 0, 0), 4096, "32-bit registers");
}

/* Entry i of a list at AT(0), in the width of the caller. */
static void list_entry(unsigned i, uint64_t op, uint64_t a, uint64_t b, uint64_t c)
{
	if (wide)
		MEM(mapper, 0, struct multicall_entry)
	[i] = (struct multicall_entry){op, 0x7777, {a, b, c, 4, 5, 6}};
	else MEM(mapper, 0, struct compat_multicall_entry)[i] = (struct compat_multicall_entry){
	    (uint32_t)op, 0x7777, {(uint32_t)a, (uint32_t)b, (uint32_t)c, 4, 5, 6}};
}
static int64_t list_result(unsigned i)
{
	return wide ? (int64_t)MEM(mapper, 0, struct multicall_entry)[i].result
		    : (int32_t)MEM(mapper, 0, struct compat_multicall_entry)[i].result;
}
static uint64_t list_arg(unsigned i, unsigned arg)
{
	return wide ? MEM(mapper, 0, struct multicall_entry)[i].args[arg]
		    : MEM(mapper, 0, struct compat_multicall_entry)[i].args[arg];
}

static void multicalls(void)
{
	for (int w = 1; w >= 0; w--) {
		fresh();
		wide = w;
		unsigned size = w ? 64 : 32;
		test_cpu.shared = &cpu_shared[0];
		test_cpu.event_time = rdtsc_low() + INT32_MAX;

		list_entry(0, __HYPERVISOR_xen_version, XENVER_version, 0, 0);
		list_entry(1, 9999, 0, 0, 0);
		list_entry(2, __HYPERVISOR_multicall, AT(0), 1, 0);
		list_entry(3, 1u << 30 | __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
		list_entry(4, 1u << 30 | __HYPERVISOR_multicall, AT(0), 1, 0);
		list_entry(5, 1ull << (w ? 32 : 31) | __HYPERVISOR_xen_version, 0, 0, 0);
		list_entry(6, __HYPERVISOR_xen_version, XENVER_version, 0, 0);
		is(call(__HYPERVISOR_multicall, AT(0), 6, 0), 0, "a list");
		is(list_result(0), 4 << 16 | 17, "the first one's result");
		is(list_result(1), -XEN_ENOSYS, "an unknown one's");
		is(list_result(2), -XEN_EINVAL, "no list in a list");
		is(list_result(3), 4096, "with guest-physical pointers");
		is(list_result(4), -XEN_EINVAL, "nor a list with them");
		is(list_result(5), -XEN_ENOSYS, "a number that is too large");
		is(list_result(6), 0x7777, "and no further");
		is(list_arg(3, 5), 6, "arguments are as they were");
		is(call(__HYPERVISOR_multicall, AT(0), 0, 0), 0, "an empty list");
		is(call(__HYPERVISOR_multicall, 0, 0, 0), 0, "from nowhere");
		is(call(__HYPERVISOR_multicall, 0, 1, 0), -XEN_EFAULT, "one from nowhere");
		is(call(__HYPERVISOR_multicall, AT(0), 0xffffffff, 0), -XEN_EFAULT,
		   "a list beyond memory");
		ok(continuations > 0, "which took continuations");
		is(call(__HYPERVISOR_multicall, READONLY_BASE, 1, 0), -XEN_EFAULT,
		   "one without room for the result");

		for (unsigned i = 0; i < 200; i++)
			list_entry(i, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
		is(call(__HYPERVISOR_multicall, AT(0), 200, 0), 0, "200 entries");
		is(continuations, 3, "64 at a time");
		ok(list_result(0) == 4096 && list_result(199) == 4096, "all done");

		/* A call that continues: its entry moves on, and so does the list. */
		memset(MEM(mapper, 0x2000, char), 'x', 3000);
		printed_length = 0;
		list_entry(0, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
		list_entry(1, __HYPERVISOR_console_io, CONSOLEIO_write, 3000, AT(0x2000));
		list_entry(2, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
		is(call(__HYPERVISOR_multicall, AT(0), 3, 0), 0, "a long call in a list");
		is(continuations, 2, "continues");
		is(printed_length, 3000, "and does all once");
		is(list_result(1), 0, "with a result");
		is(list_result(2), 4096, "and the next one after it");

		/* What is due comes between two entries. */
		struct vcpu_regs r;
		bool done;
		for (unsigned i = 0; i < 3; i++)
			list_entry(i, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
		atomic_store(&cpu_shared[0].entry_work, ENTRY_WORK_RESCHEDULE);
		load(&r, __HYPERVISOR_multicall, AT(0), 3, 0);
		call_once(&r, &done);
		ok(!done && list_result(0) == 4096 && list_result(1) == 0x7777,
		   "work is waiting: one entry at a time");
		is((uint32_t)(wide ? r.rdi : r.rbx), AT(size), "the list begins at the next");
		is((uint32_t)(wide ? r.rsi : r.rcx), 2, "and is shorter");
		atomic_store(&cpu_shared[0].entry_work, ENTRY_WORK_EPT_FLUSH);
		call_once(&r, &done);
		ok(done && list_result(2) == 4096, "what can wait waits");
		atomic_store(&cpu_shared[0].entry_work, 0);
		test_cpu.event_time = rdtsc_low() - 1;
		load(&r, __HYPERVISOR_multicall, AT(0), 2, 0);
		call_once(&r, &done);
		ok(!done, "time is up");
		call_once(&r, &done);
		ok(done, "the last one is done in any case");
	}
}

static void versions(void)
{
	for (int w = 1; w >= 0; w--) {
		fresh();
		wide = w;
		struct xen_feature_info *info = MEM(mapper, 0, struct xen_feature_info);
		info->submap_idx = 0;
		is(call(__HYPERVISOR_xen_version, XENVER_get_features, AT(0), 0), 0, "features");
		ok(info->submap & 1u << XENFEAT_auto_translated_physmap, "auto-translated");
		ok(info->submap & 1u << XENFEAT_hvm_callback_vector, "callback vector");
		info->submap_idx = 1;
		is(call(__HYPERVISOR_xen_version, XENVER_get_features, AT(0), 0), -XEN_EINVAL,
		   "another submap");
		memset(mapper->linear, 0x55, 2048);
		is(call(__HYPERVISOR_xen_version, XENVER_capabilities, AT(0), 0), 0,
		   "capabilities");
		ok(!memcmp(mapper->linear, "hvm-3.0-", 8) && mapper->linear[1023] == 0 &&
		       mapper->linear[1024] == 0x55,
		   "1024 bytes of them");
		is(call(__HYPERVISOR_xen_version, XENVER_platform_parameters, AT(0), 0), 0,
		   "platform parameters");
		ok(!memcmp(mapper->linear, "\0\0\0\0\0\0\0", w ? 8 : 4) &&
		       mapper->linear[w ? 8 : 4] == "hvm-3.0-x86_32"[w ? 8 : 4],
		   "a word is written, and nothing behind it");
		is(call(__HYPERVISOR_xen_version, XENVER_extraversion, 0x100, 0), -XEN_EFAULT,
		   "nowhere to write to");
		is(call(__HYPERVISOR_xen_version, XENVER_compile_info, READONLY_BASE - 8, 0),
		   -XEN_EFAULT, "half into a read-only page");
		is(call(__HYPERVISOR_xen_version, XENVER_pagesize, 1, 0), -XEN_EINVAL,
		   "pagesize takes no argument");
		is(call(__HYPERVISOR_xen_version, XENVER_build_id, 0, 0), -XEN_ENODATA,
		   "no build id");
		is(call(__HYPERVISOR_xen_version, 11, AT(0), 0), -XEN_ENOSYS, "unknown");
	}
}

static void control(void)
{
	fresh();
	mapper->d.priv = DOMAIN_PRIV_NONE;
	is(call(__HYPERVISOR_keyhole_control, KEYHOLE_CONTROL_STATE, 9, 0), -XEN_EPERM,
	   "control is for the privileged");
	mapper->d.priv = DOMAIN_PRIV_ALL;
	is(call(__HYPERVISOR_keyhole_control, KEYHOLE_CONTROL_STATE, 9, 0), 109, "a state");
	is(call(__HYPERVISOR_keyhole_control, KEYHOLE_CONTROL_PAUSE, 9, 0), 0, "a request");
	is(lifecycle_asked, 9 * 16 + KEYHOLE_CONTROL_PAUSE, "is handed on");
	is(call(__HYPERVISOR_keyhole_control, KEYHOLE_CONTROL_DESTROY, mapper->d.id, 0),
	   -XEN_EINVAL, "not for oneself");
	is(call(__HYPERVISOR_keyhole_control, KEYHOLE_CONTROL_CREATE, 65, 0), -XEN_ESRCH,
	   "too far");
	is(call(__HYPERVISOR_keyhole_control, 99, 9, 0), -XEN_ENOSYS, "unknown");
	is(lifecycle_asked, 9 * 16 + KEYHOLE_CONTROL_PAUSE, "none of these");
	mapper->d.priv = DOMAIN_PRIV_NONE;
}

static void console(void)
{
	fresh();
	printed_length = 0;
	memset(mapper->linear, 'x', 5000);
	is(call(__HYPERVISOR_console_io, CONSOLEIO_write, 5000, AT(0)), 0, "console_io");
	is(printed_length, 5000, "all is printed");
	ok(continuations >= 4, "in several goes (%u)", continuations);
	printed_length = 0;
	yields = 0;
	console_room = 200;
	is(call(__HYPERVISOR_console_io, CONSOLEIO_write, 300, AT(0)), 0,
	   "for which the buffer has no room at first");
	ok(printed_length == 300 && yields == 1, "it gives way, and goes on");
	printed_length = 0;
	is(call(__HYPERVISOR_console_io, CONSOLEIO_write, 0, 0), 0, "nothing from nowhere");
	is(call(__HYPERVISOR_console_io, CONSOLEIO_write, 200, AT(LINEAR_SIZE - 150)), -XEN_EFAULT,
	   "beyond what can be read");
	is(printed_length, 128, "what could be read is printed");
	devices.input = (struct guest_input){0};
	is(call(__HYPERVISOR_console_io, CONSOLEIO_read, 10, AT(LINEAR_SIZE)), 0, "nothing typed");
	guest_input_put(&devices.input, "typed", 5);
	is(call(__HYPERVISOR_console_io, CONSOLEIO_read, 0, AT(0)), 0, "none of it asked for");
	is(call(__HYPERVISOR_console_io, CONSOLEIO_read, 10, AT(LINEAR_SIZE - 0x1002)), -XEN_EFAULT,
	   "to where it cannot be written");
	is(call(__HYPERVISOR_console_io, CONSOLEIO_read, 2, AT(LINEAR_SIZE - 0x1002)), 2,
	   "as much as can");
	is(call(__HYPERVISOR_console_io, CONSOLEIO_read, ~0u, AT(0)), 3, "the rest");
	ok(!memcmp(mapper->linear, "pedxx", 5) && !devices_open, "and no more is written");
	is(call(__HYPERVISOR_console_io, CONSOLEIO_write, 0xffffffff, ~0ull - 4), -XEN_EFAULT,
	   "wrapping");
}

/* What continues at the end of the address space does not go on at its beginning. */
static void wrapping(void)
{
	for (int w = 1; w >= 0; w--) {
		fresh();
		wide = w;
		ends_mapped = true;
		uint64_t end = w ? 0 : 1ull << 32;
		printed_length = 0;
		memset(end_page, 'e', sizeof(end_page));
		memset(zero_page, '0', sizeof(zero_page));
		is(call(__HYPERVISOR_console_io, CONSOLEIO_write, 1100, end - 1024), -XEN_EFAULT,
		   "a text that wraps");
		ok(printed_length == 1024 && !memchr(printed, '0', printed_length),
		   "is printed up to there");
		is(call(__HYPERVISOR_console_io, CONSOLEIO_write, 1024, end - 1024), 0,
		   "one that ends there is fine");
		struct gnttab_map_grant_ref *last =
		    (struct gnttab_map_grant_ref *)(void *)&end_page[PAGE_SIZE] - 64;
		memset(last, 0, 64 * sizeof(*last));
		memset(zero_page, 0, sizeof(zero_page));
		is(call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref,
			end - 64 * sizeof(*last), 65),
		   -XEN_EFAULT, "a batch that wraps");
		ok(last[63].status == GNTST_bad_gntref && zero_page[18] == 0,
		   "is done up to there");
		is(call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref,
			end - 64 * sizeof(*last), 64),
		   0, "one that ends there is fine");
		ends_mapped = false;
	}
}

static void scheduling(void)
{
	fresh();
	yields = blocks = 0;
	is(call(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0), 0, "yield");
	is(yields, 1, "yields");
	is(call(__HYPERVISOR_sched_op, SCHEDOP_block, 0, 0), 0, "block");
	is(blocks, 1, "blocks");
	is(call(__HYPERVISOR_sched_op, SCHEDOP_poll, AT(0), 0), -XEN_ENOSYS, "no poll");
	is(call(__HYPERVISOR_sched_op, 77, 0, 0), -XEN_ENOSYS, "unknown");
	is(call(__HYPERVISOR_sched_op, SCHEDOP_shutdown, 0, 0), -XEN_EFAULT, "no reason to read");
	is(mapper->d.end, END_NONE, "and no shutdown");
	static const enum domain_end ends[] = {END_POWEROFF, END_REBOOT, END_SUSPEND, END_CRASH,
					       END_WATCHDOG, END_REBOOT, END_CRASH};
	for (uint32_t i = 0; i < array_size(ends); i++) {
		fresh();
		MEM(mapper, 0, struct sched_shutdown)->reason = i == 6 ? 0x12345678 : i;
		call(__HYPERVISOR_sched_op, SCHEDOP_shutdown, AT(0), 0);
		is(mapper->d.end, ends[i], "shutdown with reason %u", i);
	}
	is(mapper->d.end_detail, SHUTDOWN_crash, "a reason that is none is not kept");
	fresh();
	MEM(mapper, 0, struct sched_shutdown)->reason = SHUTDOWN_reboot;
	is(call(__HYPERVISOR_sched_op, SCHEDOP_shutdown_code, AT(0), 0), 0, "a reason named ahead");
	is(mapper->d.end, END_NONE, "ends nothing");
	MEM(mapper, 0, struct sched_shutdown)->reason = SHUTDOWN_poweroff;
	call(__HYPERVISOR_sched_op, SCHEDOP_shutdown, AT(0), 0);
	is(mapper->d.end, END_REBOOT, "but holds when it ends");
	is(call(__HYPERVISOR_sched_op, SCHEDOP_shutdown_code, 0, 0), -XEN_EFAULT, "none to read");
	is(call(__HYPERVISOR_sched_op, SCHEDOP_pin_override, AT(0), 0), -XEN_EPERM,
	   "no pinning by guests");
}

static int64_t remote(uint32_t domain, uint32_t reason)
{
	*MEM(mapper, 0, struct sched_remote_shutdown) =
	    (struct sched_remote_shutdown){(domid_t)domain, reason};
	return call(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, AT(0), 0);
}

static int64_t watchdog(uint32_t id, uint32_t timeout)
{
	*MEM(mapper, 0, struct sched_watchdog) = (struct sched_watchdog){id, timeout};
	return call(__HYPERVISOR_sched_op, SCHEDOP_watchdog, AT(0), 0);
}

static void other_ends(void)
{
	for (int w = 1; w >= 0; w--) {
		fresh();
		wide = w;
		is(remote(1, SHUTDOWN_crash), -XEN_EPERM, "another's end, without the right");
		is(remote(3, SHUTDOWN_crash), -XEN_EPERM, "nor is told who is there");
		is(remote(2, SHUTDOWN_crash), -XEN_EPERM, "nor for oneself");
		is(remote(0xffff, 0), -XEN_EPERM, "nobody's");
		mapper->d.priv = 1;
		being_made = true;
		is(remote(1, SHUTDOWN_reboot), -XEN_ESRCH, "with it, while that is being made");
		is(owner->d.end, END_NONE, "it goes on being made");
		being_made = false;
		is(remote(1, SHUTDOWN_reboot), 0, "when it has been");
		is(owner->d.end, END_REBOOT, "it has ended");
		is(remote(1, SHUTDOWN_crash), -XEN_ESRCH, "twice: it has gone");
		is(remote(3, SHUTDOWN_crash), -XEN_EPERM, "the right is for one");
		is(call(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, 0, 0), -XEN_EFAULT,
		   "none named");

		is(watchdog(0, 0), -XEN_EINVAL, "a watchdog without a time");
		is(watchdog(1, 5), -XEN_EINVAL, "one that is not there");
		is(watchdog(0, 5), 1, "a new one");
		is(mapper->xen.watchdogs[0].timer.deadline, 1000 + 5000000000ull, "due in 5 s");
		is(watchdog(0, 0xffffffff), 2, "a second one");
		is(watchdog(0, 5), -XEN_ENOSPC, "no third");
		is(watchdog(3, 5), -XEN_EINVAL, "nor by its number");
		is(watchdog(0xffffffff, 5), -XEN_EINVAL, "of all ones");
		is(watchdog(1, 7), 0, "armed again");
		is(mapper->xen.watchdogs[0].timer.deadline, 1000 + 7000000000ull, "for later");
		is(watchdog(1, 0), 0, "given back");
		ok(!mapper->xen.watchdogs[0].timer.armed, "it is off");
		is(watchdog(1, 5), -XEN_EINVAL, "and not there");
		is(watchdog(0, 5), 1, "but free");
		is(call(__HYPERVISOR_sched_op, SCHEDOP_watchdog, 0, 0), -XEN_EFAULT, "nowhere");
		kicked = NULL;
		is(mapper->xen.watchdogs[0].timer.fn(&mapper->xen.watchdogs[0].timer), 0,
		   "expires");
		ok(kicked == &mapper->v && mapper->v.requests & VCPU_REQUEST_WATCHDOG,
		   "and a vCPU ends the domain");
		sched_op_release(&mapper->d);
		ok(!mapper->xen.watchdogs[1].timer.armed, "none outlives it");
	}
}

static void granting(void)
{
	uint32_t h1, h2, h3;

	fresh();
	permit(8, 2, 5, 0);
	uint64_t frame = owner->p2m[5].frame.raw;
	is(map(8, 100, GNTMAP_host_map, &h1), GNTST_okay, "map");
	is(mapper->p2m[100].type, P2M_GRANT_RW, "in the p2m");
	is(mapper->p2m[100].frame.raw, frame, "the owner's frame");
	is(mapper->p2m[100].access, P2M_RW, "read and write, not execute");
	is(frames[frame].refs, 2, "with a reference");
	is(entry(8)->flags, GTF_permit_access | GTF_reading | GTF_writing, "marked for the owner");
	entry(8)->frame = 6;
	is(map(8, 101, GNTMAP_host_map | GNTMAP_readonly, &h2), GNTST_okay, "a second time");
	is(mapper->p2m[101].frame.raw, frame, "it is still the frame it was at first");
	is(mapper->p2m[101].access, P2M_R, "read-only");
	ok(h1 != h2, "another handle");
	is(unmap(h1, 100), GNTST_okay, "unmap the first");
	is(mapper->p2m[100].type, P2M_NONE, "gone from the p2m");
	is(frames[frame].refs, 3, "held until no TLB can have it");
	ok(entry(8)->flags & GTF_writing, "and marked so long");
	epoch_pass();
	is(frames[frame].refs, 2, "then no longer");
	is(entry(8)->flags, GTF_permit_access | GTF_reading, "no longer written");
	is(unmap(h1, 100), GNTST_bad_handle, "a handle works once");
	is(unmap(h2, 101), GNTST_okay, "unmap the second");
	epoch_pass();
	is(entry(8)->flags, GTF_permit_access, "no longer read");
	is(frames[frame].refs, 1, "all references are gone");
	entry(8)->frame = 7;
	is(map(8, 100, GNTMAP_host_map | GNTMAP_readonly, &h1), GNTST_okay, "map what it is now");
	is(mapper->p2m[100].frame.raw, owner->p2m[7].frame.raw, "the new frame");
	is(map(8, 101, GNTMAP_host_map, &h2), GNTST_okay, "and then to write");
	is(entry(8)->flags, GTF_permit_access | GTF_reading | GTF_writing, "marked so");
	is(map(8, 102, GNTMAP_host_map, &h3), GNTST_okay, "twice");
	unmap(h2, 101);
	epoch_pass();
	ok(entry(8)->flags & GTF_writing, "still written by one");
	is(unmap(h3, 101), GNTST_bad_virt_addr, "another address");
	is(mapper->p2m[102].type, P2M_GRANT_RW, "changes nothing");
	is(unmap(h3, 102), GNTST_okay, "and does not use the handle up");
	entry(8)->flags |= GTF_readonly;
	epoch_pass();
	is(map(8, 103, GNTMAP_host_map, NULL), GNTST_general_error, "now read-only for new ones");
	is(entry(8)->flags, GTF_permit_access | GTF_reading | GTF_readonly, "marks stay as due");
}

/* State that a refused call must leave alone. */
struct snapshot {
	struct p2m_entry p2m[GFNS];
	uint32_t refs[FRAMES];
	uint8_t table[PAGE_SIZE];
};
static void take(struct snapshot *s)
{
	memcpy(s->p2m, mapper->p2m, sizeof(s->p2m));
	for (unsigned i = 0; i < FRAMES; i++)
		s->refs[i] = frames[i].refs;
	memcpy(s->table, ram[1 + RAM_FRAMES], PAGE_SIZE);
}
static struct snapshot before, after;
#define UNCHANGED(what)              \
	(epoch_pass(), take(&after), \
	 ok(!memcmp(&before, &after, sizeof(before)), "%s: nothing has changed", what))

static void refuse_map(const char *what, int status, uint32_t ref, uint64_t gfn, uint32_t flags)
{
	take(&before);
	is(map(ref, gfn, flags, NULL), status, "map refused: %s", what);
	if (MEM(mapper, 0, struct gnttab_map_grant_ref)->handle != UINT32_MAX)
		fail("a handle for a refused mapping");
	UNCHANGED(what);
}

static void hostile_grants(void)
{
	const uint32_t host = GNTMAP_host_map;
	uint32_t h;

	fresh();
	permit(8, 2, 5, 0);
	permit(9, 3, 5, 0);
	permit(10, 2, 5, GTF_readonly);
	permit(11, 2, RAM_FRAMES, 0); /* no RAM there */
	permit(12, 2, 0xffffffff, 0);
	permit(13, 2, 5, GTF_sub_page);
	permit(14, 2, 2000, 0);
	permit(15, DOMID_SELF, 5, 0);
	entry(16)->flags = GTF_accept_transfer;
	entry(16)->domid = 2;
	entry(17)->flags = GTF_transitive;
	entry(17)->domid = 2;
	/* gfn 2000 of the owner is another domain's frame. */
	owner->p2m[2000] = (struct p2m_entry){mapper->p2m[3].frame, P2M_FOREIGN, P2M_RW, 0};
	refuse_map("a reference just beyond the table", GNTST_bad_gntref, 512, 100, host);
	refuse_map("a reference beyond the table", GNTST_bad_gntref, UINT32_MAX, 100, host);
	refuse_map("an entry that is not set", GNTST_general_error, 20, 100, host);
	refuse_map("granted to another", GNTST_general_error, 9, 100, host);
	refuse_map("granted to DOMID_SELF", GNTST_general_error, 15, 100, host);
	refuse_map("read-only", GNTST_general_error, 10, 100, host);
	refuse_map("no RAM behind it", GNTST_bad_page, 11, 100, host);
	refuse_map("a frame number beyond all", GNTST_bad_page, 12, 100, host);
	refuse_map("a part of a page", GNTST_general_error, 13, 100, host);
	refuse_map("a page that the granter itself has mapped", GNTST_bad_page, 14, 100, host);
	owner->p2m[2001] = (struct p2m_entry){owner->p2m[3].frame, P2M_GRANT_RW, P2M_RW, 0};
	permit(18, 2, 2001, 0);
	refuse_map("a page that the granter has by a grant, even its own", GNTST_bad_page, 18, 100,
		   host);
	refuse_map("for a transfer", GNTST_general_error, 16, 100, host);
	refuse_map("transitive", GNTST_general_error, 17, 100, host);
	refuse_map("over RAM", GNTST_general_error, 8, 3, host);
	refuse_map("beyond all addresses", GNTST_address_too_big, 8, GFNS, host);
	refuse_map("at the highest address", GNTST_address_too_big, 8, ~0ull >> PAGE_SHIFT, host);
	refuse_map("for a device", GNTST_bad_dev_addr, 8, 100, host | GNTMAP_device_map);
	refuse_map("not for the host", GNTST_bad_gntref, 8, 100, GNTMAP_readonly);
	refuse_map("no flags", GNTST_bad_gntref, 8, 100, 0);
	refuse_map("contains_pte", GNTST_general_error, 8, 100, host | GNTMAP_contains_pte);
	refuse_map("unknown flags", GNTST_general_error, 8, 100, host | 0x40);

	static const domid_t no_domains[] = {0, 3, 7, 0x7ff0, 0x7ff1, 0x7ff2, 0xffff};
	for (unsigned i = 0; i < array_size(no_domains); i++) {
		map_op(0, 8, 100, host)->dom = no_domains[i];
		call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, AT(0), 1);
		is(MEM(mapper, 0, struct gnttab_map_grant_ref)->status, GNTST_bad_domain,
		   "domain %u", no_domains[i]);
	}
	take(&before);
	map_op(0, 8, 100, host)->host_addr += 8;
	call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, AT(0), 1);
	is(MEM(mapper, 0, struct gnttab_map_grant_ref)->status, GNTST_bad_virt_addr, "not aligned");

	/* Arguments that cannot be read, or not be written back. */
	is(call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, 0, 1), -XEN_EFAULT, "at 0");
	is(call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, ~0ull - 7, 1), -XEN_EFAULT,
	   "wrapping");
	is(call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, 0, 0), 0, "none at all");
	map_op(0, 8, 100, host);
	memcpy(&mapper->linear[READONLY_BASE - LINEAR_BASE], mapper->linear, 32);
	is(call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, READONLY_BASE, 1), -XEN_EFAULT,
	   "a result that cannot be written");
	UNCHANGED("arguments out of reach");
	map_op(0, 8, 100, host);
	map_op(1, 8, 101, host);
	memcpy(&mapper->linear[READONLY_BASE - LINEAR_BASE - 32], mapper->linear, 64);
	is(call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, READONLY_BASE - 32, 2),
	   -XEN_EFAULT, "the second of two");
	is(mapper->p2m[100].type, P2M_GRANT_RW, "the first is done");
	is(mapper->p2m[101].type, P2M_NONE, "the second is not");
	h = MEM(mapper, READONLY_BASE - LINEAR_BASE - 32, struct gnttab_map_grant_ref)->handle;

	/* Unmapping. */
	take(&before);
	is(unmap(UINT32_MAX, 100), GNTST_bad_handle, "the handle that is none");
	is(unmap(h + 1, 100), GNTST_bad_handle, "a handle that is free");
	is(unmap(1u << 20, 100), GNTST_bad_handle, "a handle beyond all");
	is(unmap(h, 99), GNTST_bad_virt_addr, "another address");
	MEM(mapper, 0, struct gnttab_unmap_grant_ref)->dev_bus_addr = 4096;
	MEM(mapper, 0, struct gnttab_unmap_grant_ref)->host_addr = 100 << 12;
	call(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, AT(0), 1);
	is(MEM(mapper, 0, struct gnttab_unmap_grant_ref)->status, GNTST_bad_dev_addr, "a device");
	be(owner);
	memcpy(owner->linear, mapper->linear, 64);
	MEM(owner, 0, struct gnttab_unmap_grant_ref)->dev_bus_addr = 0;
	call(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, AT(0), 1);
	is(MEM(owner, 0, struct gnttab_unmap_grant_ref)->status, GNTST_bad_handle,
	   "another domain's handle");
	be(mapper);
	*MEM(mapper, READONLY_BASE - LINEAR_BASE, struct gnttab_unmap_grant_ref) =
	    (struct gnttab_unmap_grant_ref){.host_addr = 100 << 12, .handle = h};
	is(call(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, READONLY_BASE, 1),
	   -XEN_EFAULT, "a result that cannot be written");
	UNCHANGED("refused unmappings");
	is(unmap(h, 100), GNTST_okay, "and it can still be unmapped");
	epoch_pass();

	is(call(__HYPERVISOR_grant_table_op, GNTTABOP_transfer, AT(0), 1), -XEN_ENOSYS, "transfer");
	is(call(__HYPERVISOR_grant_table_op, 999, AT(0), 1), -XEN_ENOSYS, "unknown command");

	/* The counts of one reference do not overflow. */
	int status = 0;
	unsigned n = 0;
	while (n < 400 && (status = map(8, 200 + n, host | GNTMAP_readonly, NULL)) == GNTST_okay)
		n++;
	is(status, GNTST_no_space, "too many readers of one reference (%u)", n);
	is(n, 255, "the counter's range");
	is(frames[owner->p2m[5].frame.raw].refs, 256, "references as many");
	n = 0;
	while (n < 400 && (status = map(8, 600 + n, host, NULL)) == GNTST_okay)
		n++;
	is(n, 127, "and of writers");
}

static void failing_steps(void)
{
	int status = 1;

	for (int step = 0; step < 10 && status; step++) {
		fresh();
		permit(8, 2, 5, 0);
		take(&before);
		fail_at = step;
		status = map(8, 100, GNTMAP_host_map, NULL);
		fail_at = -1;
		if (!status)
			break;
		is(status, GNTST_no_space, "map: step %d fails", step);
		UNCHANGED("a failed map");
		is(map(8, 100, GNTMAP_host_map, NULL), GNTST_okay, "and then succeeds");
	}
	uint32_t h;
	fresh();
	permit(8, 2, 5, 0);
	map(8, 100, GNTMAP_host_map, &h);
	take(&before);
	fail_at = 0;
	is(unmap(h, 100), GNTST_no_space, "unmap: the p2m fails");
	fail_at = -1;
	UNCHANGED("a failed unmap");
	is(unmap(h, 100), GNTST_okay, "and then succeeds");
	epoch_pass();
	for (int step = 0;; step++) {
		fresh();
		int had = fake_heap_objects;
		uint32_t frames_before = grant_table_frames(&mapper->d);
		fail_at = step;
		int rc = grant_table_grow(&mapper->d, 4);
		fail_at = -1;
		if (!rc) {
			is(step, 6, "three more frames take six allocations");
			break;
		}
		if (rc != -XEN_ENOMEM || fake_heap_objects != had ||
		    grant_table_frames(&mapper->d) != frames_before)
			fail("grow: step %d fails and leaves something", step);
		if (grant_table_grow(&mapper->d, 4))
			fail("grow: not possible any more after a failure");
	}
	/* Handles run out. */
	fresh();
	unsigned n = 0;
	for (uint32_t ref = 8; ref < 500; ref++)
		permit(ref, 2, ref % RAM_FRAMES, 0);
	while (n < 3000 && map(8 + n / 100, 100 + n, GNTMAP_host_map, NULL) == GNTST_okay)
		n++;
	is(n, 3000, "3000 handles");
}

static void batches(void)
{
	for (int w = 1; w >= 0; w--) {
		fresh();
		wide = w;
		permit(8, 2, 5, 0);
		for (unsigned i = 0; i < 150; i++)
			map_op(i, i == 70 ? 9 : 8, 100 + i, GNTMAP_host_map | GNTMAP_readonly);
		is(call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, AT(0), 150), 0,
		   "a batch of 150");
		is(continuations, 2, "in three goes");
		unsigned good = 0;
		for (unsigned i = 0; i < 150; i++)
			good += MEM(mapper, 0, struct gnttab_map_grant_ref)[i].status ==
				(i == 70 ? GNTST_general_error : GNTST_okay);
		is(good, 150, "each with its status");
		struct gnttab_unmap_grant_ref un[150];
		for (unsigned i = 0; i < 150; i++)
			un[i] = (struct gnttab_unmap_grant_ref){
			    .host_addr = (100ull + i) << 12,
			    .handle = MEM(mapper, 0, struct gnttab_map_grant_ref)[i].handle};
		memcpy(mapper->linear, un, sizeof(un));
		is(call(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, AT(0), 150), 0,
		   "and unmapped");
		epoch_pass();
		is(entry(8)->flags, GTF_permit_access, "all");
	}
}

/* While one domain has it mapped, the granter makes the entry over to another. */
static void two_mappers(void)
{
	fresh();
	struct guest *third = new_guest(3);
	permit(8, 2, 5, 0);
	map(8, 100, GNTMAP_host_map, NULL);
	entry(8)->domid = 3;
	for (unsigned readonly = 0; readonly < 2; readonly++) {
		*MEM(third, 0, struct gnttab_map_grant_ref) = (struct gnttab_map_grant_ref){
		    .host_addr = 100 << 12,
		    .flags = GNTMAP_host_map | (readonly ? GNTMAP_readonly : 0),
		    .ref = 8,
		    .dom = 1};
		be(third);
		call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, AT(0), 1);
		be(mapper);
		is(MEM(third, 0, struct gnttab_map_grant_ref)->status, GNTST_general_error,
		   "in use by another domain");
		is(third->p2m[100].type, P2M_NONE, "and not mapped");
	}
	struct hypercall c = {.wide = false};
	gva_t at;
	is(hypercall_element(&c, make_gva(0xfffffff8), 1, 8, &at), -XEN_EFAULT,
	   "32-bit: an element beyond the address space");
	is(hypercall_element(&c, make_gva(0xfffffff0), 1, 8, &at), 0, "the last one");
	c.wide = true;
	is(hypercall_element(&c, make_gva(0xfffffff8), 1, 8, &at), 0, "64-bit: not the end");
	is(hypercall_element(&c, make_gva(0), 1ull << 62, 8, &at), -XEN_EFAULT, "a product wraps");
}

static void dying(void)
{
	fresh();
	permit(8, 2, 5, 0);
	uint64_t frame = owner->p2m[5].frame.raw;
	uint32_t h;
	map(8, 100, GNTMAP_host_map, &h);
	owner->d.end = END_CRASH;
	is(map(8, 101, GNTMAP_host_map, NULL), GNTST_bad_domain, "a dying granter");
	is(frames[frame].refs, 2, "its frame lives on in the mapper");
	is(unmap(h, 100), GNTST_okay, "which can unmap it");
	epoch_pass();
	is(frames[frame].refs, 1, "and so let it go");

	fresh();
	permit(8, 2, 5, 0);
	frame = owner->p2m[5].frame.raw;
	map(8, 100, GNTMAP_host_map, NULL);
	map(8, 101, GNTMAP_host_map | GNTMAP_readonly, NULL);
	mapper->d.end = END_CRASH;
	unsigned steps = 0;
	while (!grant_maps_release_step(&mapper->d))
		if (++steps > 10)
			break;
	is(frames[frame].refs, 1, "a dying mapper lets all go");
	is(entry(8)->flags, GTF_permit_access, "and the marks with it");
	fresh();
	permit(8, 1, 5, 0);
	be(owner);
	*MEM(owner, 0, struct gnttab_map_grant_ref) = (struct gnttab_map_grant_ref){
	    .host_addr = 100 << 12, .flags = GNTMAP_host_map, .ref = 8, .dom = 1};
	call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, AT(0), 1);
	is(MEM(owner, 0, struct gnttab_map_grant_ref)->status, GNTST_okay, "a grant to oneself");
	be(mapper);
}

#define ERRS MEM(mapper, 0x5000, int32_t)
static int64_t foreign(domid_t target, unsigned n, uint64_t start)
{
	if (wide)
		*MEM(mapper, 0, struct xen_add_to_physmap_batch) =
		    (struct xen_add_to_physmap_batch){DOMID_SELF,  XENMAPSPACE_gmfn_foreign,
						      (uint16_t)n, target,
						      AT(0x1000),  AT(0x3000),
						      AT(0x5000)};
	else
		*MEM(mapper, 0, struct compat_add_to_physmap_batch) =
		    (struct compat_add_to_physmap_batch){DOMID_SELF,  XENMAPSPACE_gmfn_foreign,
							 (uint16_t)n, target,
							 AT(0x1000),  AT(0x3000),
							 AT(0x5000)};
	memset(&mapper->linear[0x5000], 0x77, 4 * n + 4);
	return call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch | start << 6, AT(0), 0);
}

static void foreign_index(unsigned i, uint64_t idx, uint64_t gfn)
{
	if (wide) {
		MEM(mapper, 0x1000, uint64_t)[i] = idx;
		MEM(mapper, 0x3000, uint64_t)[i] = gfn;
	} else {
		MEM(mapper, 0x1000, uint32_t)[i] = (uint32_t)idx;
		MEM(mapper, 0x3000, uint32_t)[i] = (uint32_t)gfn;
	}
}

/* Whether nobody has a page of a guest any more, counted and referenced. */
static bool unmapped(const struct guest *g)
{
	bool none = true;

	for (unsigned id = 0; id <= DOMAINS_MAX; id++)
		none &= !g->d.granted_to[id] && !g->d.foreign_in[id];
	for (unsigned i = 1; i < RAM_FRAMES; i++) /* [0]: the arguments */
		none &= frames[g->p2m[i].frame.raw].refs == 1;
	return none;
}

/* What domain_destroy() does of it. */
static unsigned revoke_all(struct guest *g)
{
	unsigned steps = 0;

	while (!grant_revoke_step(&g->d)) {
		if (++steps > 200)
			bail_out("others keep its pages");
		if (steps % 3 == 0)
			epoch_pass();
	}
	return steps;
}

static int unmap_elsewhere(uint32_t handle, uint64_t gfn)
{
	int status = unmap(handle, gfn);
	epoch_pass();
	return status;
}

/* Pages of a domain that is destroyed. */
static void revoked_by_destruction(void)
{
	uint32_t h[4], again;
	int32_t errors = 0;

	fresh();
	mapper->d.priv = 1;
	for (uint32_t ref = 8; ref < 12; ref++)
		permit(ref, 2, ref, 0);
	map(8, 100, GNTMAP_host_map, &h[0]);
	map(9, 101, GNTMAP_host_map | GNTMAP_readonly, &h[1]);
	map(10, 102, GNTMAP_host_map | GNTMAP_keyhole_fault, &h[2]);
	map(11, 103, GNTMAP_host_map, &h[3]);
	for (unsigned i = 0; i < 8; i++)
		foreign_index(i, i + 1, 200 + i);
	is(foreign(1, 8, 0), 0, "foreign pages");
	for (unsigned i = 0; i < 8; i++)
		errors |= ERRS[i];
	is(errors, 0, "are mapped");
	is(owner->d.granted_to[2], 4, "grants are counted");
	is(owner->d.foreign_in[2], 8, "so are they");
	is(unmap(h[3], 103), GNTST_okay, "one is unmapped, and waits for its epoch");
	owner->d.end = END_DESTROYED;
	ok(!grant_revoke_step(&owner->d), "the owner ends");
	ok(revoke_all(owner) > 1 && unmapped(owner), "nobody has its pages any more");
	is(mapper->p2m[100].frame.raw, mapper->d.poison.raw, "there is the mapper's own frame");
	is(mapper->p2m[100].access, P2M_RW, "writable as before");
	ok(mapper->p2m[101].frame.raw == mapper->d.poison.raw && mapper->p2m[101].access == P2M_R,
	   "or not");
	is(mapper->p2m[102].type, P2M_NONE, "or a hole");
	ok(memory_revoked(&mapper->d, make_gpa(102 << 12)), "that faults");
	ok(!memory_revoked(&mapper->d, make_gpa(103 << 12)) &&
	       !memory_revoked(&mapper->d, make_gpa(100 << 12)),
	   "others do not");
	for (unsigned i = 0; i < 8; i++)
		ok(mapper->p2m[200 + i].frame.raw == mapper->d.poison.raw &&
		       mapper->p2m[200 + i].type == P2M_FOREIGN,
		   "foreign page %u", i);
	ok(frames[mapper->d.poison.raw].refs == 9 && mapper->d.foreign_in[2] == 8,
	   "of its own, and counted as such");
	is(call(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, AT(0), 0), -XEN_EPERM,
	   "not so");

	/* Another domain with its number. */
	guests[1]->d.end = END_NONE;
	permit(8, 2, 3, 0);
	is(map(8, 100, GNTMAP_host_map, NULL), GNTST_general_error, "the place is taken");
	is(map(8, 110, GNTMAP_host_map, &again), GNTST_okay, "its grants can be mapped");
	is(unmap_elsewhere(h[0], 100), GNTST_okay, "the old handle is still good");
	is(unmap_elsewhere(h[0], 100), GNTST_bad_handle, "once");
	is(entry(8)->flags, GTF_permit_access | GTF_reading | GTF_writing, "the new one is apart");
	is(mapper->p2m[100].type, P2M_NONE, "a hole again");
	is(unmap_elsewhere(h[1], 100), GNTST_bad_virt_addr, "each where it is");
	is(unmap_elsewhere(h[1], 101), GNTST_okay, "the read-only one");
	permit(9, 2, 4, 0);
	is(map(9, 102, GNTMAP_host_map, &h[0]), GNTST_okay, "a hole can be used anew");
	is(unmap_elsewhere(h[2], 102), GNTST_okay, "its old handle");
	is(mapper->p2m[102].frame.raw, owner->p2m[4].frame.raw, "does not touch it");
	is(unmap_elsewhere(h[0], 102), GNTST_okay, "the new one does");
	ok(!memory_revoked(&mapper->d, make_gpa(102 << 12)), "nothing faults");
	is(unmap_elsewhere(again, 110), GNTST_okay, "all is unmapped");
	is(entry(8)->flags, GTF_permit_access, "and the marks gone");
	ok(unmapped(owner), "and the references");
}

/* The owner ends while the mapper unmaps, or ends too. */
static void revoked_in_between(void)
{
	uint32_t h;

	fresh();
	permit(8, 2, 5, 0);
	map(8, 100, GNTMAP_host_map, &h);
	owner->d.end = END_DESTROYED;
	ok(!grant_revoke_step(&owner->d), "revoked, and its epoch has not passed");
	is(unmap(h, 100), GNTST_okay, "it can be unmapped");
	is(unmap(h, 100), GNTST_bad_handle, "once");
	is(mapper->p2m[100].type, P2M_NONE, "a hole");
	ok(!grant_revoke_step(&owner->d), "the owner still waits");
	epoch_pass();
	ok(grant_revoke_step(&owner->d) && unmapped(owner), "for that");
	owner->d.end = END_NONE;
	permit(8, 2, 5, 0);
	uint32_t h2;
	map(8, 100, GNTMAP_host_map, &h2);
	is(h2, h, "the handle is free again");

	/* Both end, and have mapped pages of each other. */
	fresh();
	permit(8, 2, 5, 0);
	map(8, 100, GNTMAP_host_map, &h);
	mapper->d.priv = 1;
	foreign_index(0, 6, 101);
	is(foreign(1, 1, 0) | ERRS[0], 0, "a foreign page");
	mapper->d.end = owner->d.end = END_DESTROYED;
	mapper->d.maps_closed = true;
	ok(!grant_revoke_step(&owner->d) && !grant_revoke_step(&owner->d),
	   "a mapper that gives up its own is left alone");
	is(mapper->p2m[100].frame.raw, owner->p2m[5].frame.raw, "with what it has");
	while (!grant_maps_release_step(&mapper->d))
		;
	ok(!grant_revoke_step(&owner->d), "it has let go of the grant");
	foreign_put_run(&mapper->d, mapper->p2m[101].frame, 1);
	ok(grant_revoke_step(&owner->d) && unmapped(owner), "and of the foreign page");

	/* A page in each of many tables: a step does not look at all of them. */
	fresh();
	mapper->d.priv = 1;
	for (unsigned i = 0; i < 16; i++)
		foreign_index(i, i, 511 + 512 * i);
	is(foreign(1, 16, 0), 0, "pages far from each other");
	uint64_t at = 0;
	owner->d.end = END_DESTROYED;
	ok(foreign_revoke_step(1, &mapper->d, &at), "a step is not all");
	is(mapper->p2m[511].frame.raw, mapper->d.poison.raw, "one of them is revoked");
	ok(mapper->p2m[8191].frame.raw != mapper->d.poison.raw, "not the last");
	for (unsigned steps = 0; foreign_revoke_step(1, &mapper->d, &at);)
		if (++steps == 3)
			bail_out("too many steps");
	is(mapper->p2m[8191].frame.raw, mapper->d.poison.raw, "now it is");
	ok(unmapped(owner), "none is left");

	/* No table is left to split a leaf. */
	fresh();
	mapper->d.priv = 1;
	for (unsigned i = 0; i < 4; i++)
		foreign_index(i, i + 1, 200 + i);
	is(foreign(1, 4, 0), 0, "foreign pages");
	owner->d.end = END_DESTROYED;
	fail_at = 2;
	ok(!grant_revoke_step(&owner->d), "no memory for the third");
	is(mapper->p2m[201].frame.raw, mapper->d.poison.raw, "two are revoked");
	is(mapper->p2m[202].type, P2M_NONE, "it is a hole");
	revoke_all(owner);
	is(mapper->p2m[203].frame.raw, mapper->d.poison.raw, "the fourth is revoked");
	ok(unmapped(owner), "none is left");
}

static struct keyhole_grant_revoke *revoke_op(unsigned i, uint32_t ref)
{
	struct keyhole_grant_revoke *op = MEM(owner, 0x1000, struct keyhole_grant_revoke) + i;

	*op = (struct keyhole_grant_revoke){ref, 99, 99};
	return op;
}

/* The owner's call. */
static int64_t revoke(unsigned count)
{
	be(owner);
	int64_t rc = call(__HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_REVOKE, AT(0x1000), count);
	be(mapper);
	return rc;
}

static int revoke_one(uint32_t ref, unsigned mappings)
{
	struct keyhole_grant_revoke *op = revoke_op(0, ref);
	int64_t rc = revoke(1);

	if (rc || op->mappings != mappings)
		return 1000 + (int)op->mappings;
	return op->status;
}

static void revoked_by_owner(void)
{
	uint32_t h[4], n = 0;

	for (int w = 1; w >= 0; w--) {
		fresh();
		wide = w;
		for (uint32_t ref = 8; ref < 12; ref++)
			permit(ref, 2, ref, 0);
		is(revoke_one(8, 0), GNTST_okay, "a grant that nobody has mapped");
		is(map(8, 100, GNTMAP_host_map, NULL), GNTST_general_error, "it has ended");
		is(revoke_one(20, 0), GNTST_okay, "a reference that grants nothing");
		is(revoke_one(512, 0), GNTST_bad_gntref, "beyond the table");
		is(revoke_one(~0u, 0), GNTST_bad_gntref, "far beyond");
		permit(8, 2, 8, 0);
		map(8, 100, GNTMAP_host_map, &h[0]);
		unsigned before_unmaps = unmaps;
		is(revoke_one(8, 1), GNTST_okay, "one that is mapped");
		ok(continuations >= 2, "takes an epoch");
		is(unmaps, before_unmaps + 1, "and one flush");
		is(mapper->p2m[100].frame.raw, mapper->d.poison.raw,
		   "the mapper sees its own frame");
		is(entry(8)->flags, 0, "nothing marks it any more");
		ok(unmapped(owner) && !grants_revoking(&owner->d), "the page is the owner's");
		is(call(__HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_REVOKED, 0, 0), 1,
		   "the mapper can ask how many");
		is(revoke_one(8, 0), GNTST_okay, "twice");
		permit(8, 2, 7, 0);
		is(map(8, 101, GNTMAP_host_map, &h[1]), GNTST_okay, "granted anew, elsewhere");
		is(mapper->p2m[101].frame.raw, owner->p2m[7].frame.raw, "another page");
		is(unmap_elsewhere(h[0], 100), GNTST_okay, "the old handle");
		is(call(__HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_REVOKED, 0, 0), 0,
		   "none is left");
		is(mapper->p2m[101].type, P2M_GRANT_RW, "not the new one");

		/* Several mappings of one reference, and of one page: the note is of one. */
		map(9, 102, GNTMAP_host_map, &h[0]);
		map(9, 103, GNTMAP_host_map | GNTMAP_readonly, &h[2]);
		permit(10, 2, 9, 0);
		map(10, 104, GNTMAP_host_map, &h[3]);
		is(revoke_one(9, 2), GNTST_okay, "mapped twice");
		ok(mapper->p2m[102].frame.raw == mapper->d.poison.raw &&
		       mapper->p2m[103].frame.raw == mapper->d.poison.raw &&
		       mapper->p2m[103].access == P2M_R,
		   "both are revoked");
		is(mapper->p2m[104].frame.raw, owner->p2m[9].frame.raw, "not another reference");
		is(unmap(h[3], 104), GNTST_okay, "which is being unmapped");
		is(revoke_one(10, 1), GNTST_okay, "when it is revoked");
		ok(!entry(10)->flags && unmap(h[3], 104) == GNTST_bad_handle,
		   "which comes too late");
		is(unmap_elsewhere(h[0], 102), GNTST_okay, "they are unmapped");
		is(unmap_elsewhere(h[2], 103), GNTST_okay, "both");
		is(unmap_elsewhere(h[1], 101), GNTST_okay, "and the first");
		ok(unmapped(owner), "all is the owner's");

		/* A batch, over a page's end, with mappers that end. */
		for (uint32_t ref = 8; ref < 208; ref++) {
			permit(ref, 2, ref % RAM_FRAMES, 0);
			map(ref, 300 + ref, GNTMAP_host_map, NULL);
			revoke_op(ref - 8, ref);
		}
		before_unmaps = unmaps;
		is(revoke(200), 0, "two hundred");
		for (unsigned i = 0; i < 200; i++)
			n += MEM(owner, 0x1000, struct keyhole_grant_revoke)[i].status != 0 ||
			     mapper->p2m[308 + i].frame.raw != mapper->d.poison.raw;
		is(n, 0, "are revoked");
		/* A page of them each; and one for those whose page has another note. */
		ok(unmaps - before_unmaps <= 5, "with %u flushes", unmaps - before_unmaps);
		ok(unmapped(owner), "all of them");
		mapper->d.maps_closed = true;
		owner->d.end = END_NONE;
		be(owner);
		is(call(__HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_REVOKE, 0x100, 1), -XEN_EFAULT,
		   "from nowhere");
		is(call(__HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_REVOKE, READONLY_BASE, 1),
		   -XEN_EFAULT, "to nowhere");
		is(call(__HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_REVOKE, 0, 0), 0, "nothing");
		is(call(__HYPERVISOR_keyhole_grant, 0, 0, 0), -XEN_ENOSYS, "no command");
		be(mapper);
	}
	/* Many that no note tells of: a step takes back no more than 64. */
	fresh();
	permit(8, 2, 5, 0);
	n = 0;
	for (unsigned i = 0; i < 200; i++)
		n += map(8, 300 + i, GNTMAP_host_map | GNTMAP_readonly, NULL) != GNTST_okay;
	unsigned before_unmaps = unmaps;
	is(revoke_one(8, 200), GNTST_okay, "mapped two hundred times");
	for (unsigned i = 0; i < 200; i++)
		n += mapper->p2m[300 + i].frame.raw != mapper->d.poison.raw;
	ok(!n && unmapped(owner), "all are revoked");
	is(unmaps - before_unmaps, 5, "the one that is noted, and then in four steps");
	ok(continuations >= 5, "between which others run (%u)", continuations);
	/* Two, of which one is noted: the guest goes on on another of its vCPUs. */
	fresh();
	permit(8, 2, 5, 0);
	map(8, 100, GNTMAP_host_map, NULL);
	map(8, 101, GNTMAP_host_map, NULL);
	struct vcpu_xen other_xen = {0};
	struct vcpu_shared other = {.domain = &owner->d, .xen = &other_xen};
	struct vcpu_regs r;
	bool done;
	revoke_op(0, 8);
	load(&r, __HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_REVOKE, AT(0x1000), 1);
	be(owner);
	call_once(&r, &done);
	ok(!done, "it is not over");
	for (test_cpu.current = &other; !done;)
		call_once(&r, &done);
	be(mapper);
	ok(mapper->p2m[100].frame.raw == mapper->d.poison.raw && unmapped(owner),
	   "the one that is searched for is revoked, too");
	/* The second page of the array cannot be read. */
	permit(8, 2, 5, 0);
	map(8, 102, GNTMAP_host_map, NULL);
	map(8, 103, GNTMAP_host_map, NULL);
	*MEM(owner, READONLY_BASE - LINEAR_BASE - 8, struct keyhole_grant_revoke) =
	    (struct keyhole_grant_revoke){.ref = 8};
	be(owner);
	is(call(__HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_REVOKE, READONLY_BASE - 8, 2),
	   -XEN_EFAULT, "an element that cannot be written");
	be(mapper);
	ok(mapper->p2m[102].frame.raw == mapper->d.poison.raw && unmapped(owner),
	   "that before it is done, to its end");
	/* A note is of another mapper's handle, whose number is that of one revoked before. */
	fresh();
	struct guest *third = new_guest(3);
	permit(8, 2, 5, 0);
	permit(9, 3, 5, 0);
	map(8, 100, GNTMAP_host_map, &h[0]);
	is(revoke_one(8, 1), GNTST_okay, "revoked, and its handle kept");
	permit(8, 2, 5, 0);
	map(8, 101, GNTMAP_host_map, NULL);
	*MEM(third, 0, struct gnttab_map_grant_ref) = *map_op(0, 9, 100, GNTMAP_host_map);
	be(third);
	call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, AT(0), 1);
	is(MEM(third, 0, struct gnttab_map_grant_ref)->handle, h[0], "another's, numbered alike");
	is(revoke_one(8, 1), GNTST_okay, "revoked again");
	is(mapper->p2m[101].frame.raw, mapper->d.poison.raw, "what the note does not tell of");
	is(entry(8)->flags, 0, "nothing marks it any more");
	fresh();
	permit(8, 2, 5, 0);
	map(8, 100, GNTMAP_host_map, NULL);
	mapper->d.maps_closed = true;
	mapper->d.end = END_DESTROYED;
	is(revoke_one(8, 1), GNTST_okay, "from one that is being destroyed");
	is(mapper->p2m[100].frame.raw, owner->p2m[5].frame.raw, "which gives it up itself");
}

static struct keyhole_grant_find look(uint64_t gfn, uint32_t ref)
{
	struct keyhole_grant_find *op = MEM(owner, 0x1000, struct keyhole_grant_find);

	*op = (struct keyhole_grant_find){.gfn = gfn, .ref = ref, .status = 99};
	be(owner);
	if (call(__HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_FIND, AT(0x1000), 1))
		op->status = 98;
	be(mapper);
	return *op;
}

static void found(void)
{
	for (int w = 1; w >= 0; w--) {
		struct keyhole_grant_find f;
		uint32_t h;

		fresh();
		wide = w;
		permit(8, 2, 5, 0);
		is(look(5, 0).status, GNTST_bad_gntref, "a page that nobody has");
		is(look(RAM_FRAMES, 0).status, GNTST_bad_page, "no page");
		is(look(~0ull, 0).status, GNTST_bad_page, "far from any");
		map(8, 100, GNTMAP_host_map, &h);
		f = look(5, 0);
		ok(f.status == GNTST_okay && f.ref == 8 && f.domid == 2 && f.mappings == 1 &&
		       f.others == 0,
		   "the one reference");
		is(continuations, 0, "at once");
		is(look(5, 8).ref, 8, "from there");
		is(look(5, 9).status, GNTST_bad_gntref, "behind it");
		is(look(6, 0).status, GNTST_bad_gntref, "not another page");
		map(8, 101, GNTMAP_host_map | GNTMAP_readonly, NULL);
		is(grant_table_grow(&owner->d, 32), 0, "the largest table");
		permit(3, 2, 5, GTF_readonly);
		map(3, 102, GNTMAP_host_map | GNTMAP_readonly, NULL);
		f = look(5, 0);
		ok(f.status == GNTST_okay && f.ref == 3 && f.mappings == 1 && f.others == 2,
		   "two: the first of them");
		f = look(5, 4);
		ok(f.status == GNTST_okay && f.ref == 8 && f.mappings == 2 && f.others == 1,
		   "and the second");
		is(look(5, 9).status, GNTST_bad_gntref, "no third");
		ok(continuations >= 5, "after a long search (%u)", continuations);
		is(unmap_elsewhere(h, 100), GNTST_okay, "unmapped");
		ok(look(5, 0).ref == 3 && look(5, 4).ref == 8, "once: the other is still there");
		be(owner);
		is(call(__HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_FIND, 0x100, 1), -XEN_EFAULT,
		   "from nowhere");
		is(call(__HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_FIND, READONLY_BASE, 1),
		   -XEN_EFAULT, "to nowhere");
		is(call(__HYPERVISOR_keyhole_grant, KEYHOLE_GRANT_FIND, 0, 0), 0, "nothing");
		be(mapper);
	}
}

#define REF  GNTCOPY_source_gref
#define TO   GNTCOPY_dest_gref
#define SELF DOMID_SELF

static int64_t copy_result;

/* One copy by the mapper, in the layout of its mode; its status. */
static int copy(unsigned flags, struct gnttab_copy_ptr from, struct gnttab_copy_ptr to,
		unsigned len)
{
	struct gnttab_copy op = {from, to, (uint16_t)len, (uint16_t)flags, 99, 0};

	if (wide) {
		*MEM(mapper, 0, struct gnttab_copy) = op;
	} else {
		*MEM(mapper, 0, struct compat_gnttab_copy) = (struct compat_gnttab_copy){
		    {(uint32_t)from.ref_or_gmfn, from.domid, from.offset},
		    {(uint32_t)to.ref_or_gmfn, to.domid, to.offset},
		    op.len,
		    op.flags,
		    99,
		    0};
	}
	copy_result = call(__HYPERVISOR_grant_table_op, GNTTABOP_copy, AT(0), 1);
	return wide ? MEM(mapper, 0, struct gnttab_copy)->status
		    : MEM(mapper, 0, struct compat_gnttab_copy)->status;
}
#define AT_REF(ref, domid, offset) ((struct gnttab_copy_ptr){ref, domid, offset})
#define OWN(gfn, offset)	   ((struct gnttab_copy_ptr){gfn, SELF, offset})

static uint8_t *page_of(struct guest *g, unsigned gfn)
{
	return ram[g->p2m[gfn].frame.raw];
}

static void refuse_copy(const char *what, int status, unsigned flags, struct gnttab_copy_ptr from,
			struct gnttab_copy_ptr to, unsigned len)
{
	static uint8_t was[FRAMES][PAGE_SIZE];

	take(&before);
	memcpy(was, ram, sizeof(ram));
	is(copy(flags, from, to, len), status, "copy refused: %s", what);
	ok(!memcmp(was, ram, sizeof(ram)), "%s: no memory has changed", what);
	UNCHANGED(what);
}

static void copying(void)
{
	for (int w = 1; w >= 0; w--) {
		uint32_t h;

		fresh();
		wide = w;
		permit(8, 2, 5, 0);
		permit(9, 2, 6, GTF_readonly);
		permit(10, 3, 7, 0);
		permit(11, 2, 200, 0);
		memset(page_of(owner, 5), 0x55, PAGE_SIZE);
		memset(page_of(owner, 6), 0x66, PAGE_SIZE);
		is(copy(REF, AT_REF(8, 1, 3), OWN(4, 4001), 95), GNTST_okay, "from a reference");
		ok(copy_result == 0 && page_of(mapper, 4)[4000] == 0 &&
		       page_of(mapper, 4)[4001] == 0x55 && page_of(mapper, 4)[4095] == 0x55,
		   "these bytes and no others");
		page_of(mapper, 4)[7] = 0x77;
		is(copy(TO, OWN(4, 7), AT_REF(8, 1, 9), 1), GNTST_okay, "to a reference");
		ok(page_of(owner, 5)[9] == 0x77 && page_of(owner, 5)[10] == 0x55, "one byte");
		is(copy(REF | TO, AT_REF(9, 1, 0), AT_REF(8, 1, 0), PAGE_SIZE), GNTST_okay,
		   "from one to the other");
		is(page_of(owner, 5)[4095], 0x66, "a whole page");
		is(copy(0, OWN(4, 7), OWN(3, 0), 1), GNTST_okay, "within");
		is(page_of(mapper, 3)[0], 0x77, "one byte");
		is(copy(REF, AT_REF(8, 1, PAGE_SIZE), OWN(4, 0), 0), GNTST_okay,
		   "nothing at the end");
		is(copy(REF | TO, AT_REF(8, 1, 0), AT_REF(8, 1, 1), 100), GNTST_okay,
		   "onto itself");
		ok(entry(8)->flags == GTF_permit_access &&
		       entry(9)->flags == (GTF_permit_access | GTF_readonly),
		   "no mark is left");
		is(frames[owner->p2m[5].frame.raw].refs, 1, "nor a reference");

		refuse_copy("beyond the source", GNTST_bad_copy_arg, REF, AT_REF(8, 1, 1),
			    OWN(4, 0), PAGE_SIZE);
		refuse_copy("beyond the target", GNTST_bad_copy_arg, REF, AT_REF(8, 1, 0),
			    OWN(4, 4095), 2);
		refuse_copy("far beyond", GNTST_bad_copy_arg, REF, AT_REF(8, 1, 0xffff), OWN(4, 0),
			    0xffff);
		refuse_copy("unknown flags", GNTST_bad_copy_arg, REF | 4, AT_REF(8, 1, 0),
			    OWN(4, 0), 1);
		refuse_copy("to what may be read", GNTST_general_error, TO, OWN(4, 0),
			    AT_REF(9, 1, 0), 8);
		refuse_copy("another's grant", GNTST_general_error, REF, AT_REF(10, 1, 0),
			    OWN(4, 0), 8);
		refuse_copy("beyond the table", GNTST_bad_gntref, REF, AT_REF(512, 1, 0), OWN(4, 0),
			    8);
		refuse_copy("no RAM of the granter", GNTST_bad_page, REF, AT_REF(11, 1, 0),
			    OWN(4, 0), 8);
		refuse_copy("no such domain", GNTST_bad_domain, REF, AT_REF(8, 3, 0), OWN(4, 0), 8);
		refuse_copy("a frame of another", GNTST_permission_denied, 0, AT_REF(5, 1, 0),
			    OWN(4, 0), 8);
		refuse_copy("to a frame of another", GNTST_permission_denied, REF, AT_REF(8, 1, 0),
			    AT_REF(5, 1, 0), 8);
		refuse_copy("from nothing", GNTST_bad_page, 0, OWN(100, 0), OWN(4, 0), 8);
		refuse_copy("to nothing, from a reference", GNTST_bad_page, REF, AT_REF(8, 1, 0),
			    OWN(0xffffffff, 0), 8);
		is(copy(REF | TO, AT_REF(8, SELF, 0), AT_REF(8, 1, 0), 8), GNTST_general_error,
		   "its own table grants nothing");

		is(map(8, 100, GNTMAP_host_map | GNTMAP_readonly, &h), GNTST_okay, "while mapped");
		is(copy(TO, OWN(4, 0), AT_REF(8, 1, 0), 8), GNTST_okay, "it can be copied to");
		is(entry(8)->flags, GTF_permit_access | GTF_reading, "and stays marked");
		is(copy(0, OWN(100, 0), OWN(4, 0), 8), GNTST_okay,
		   "copied from through the mapping");
		refuse_copy("to a page mapped for reading", GNTST_bad_page, 0, OWN(4, 0),
			    OWN(100, 0), 8);
		is(unmap(h, 100), GNTST_okay, "unmapped");
		epoch_pass();
		owner->d.end = END_CRASH;
		refuse_copy("a dying granter", GNTST_bad_domain, REF, AT_REF(8, 1, 0), OWN(4, 0),
			    8);
	}
}

static struct grant_entry_v1 *own_entry(uint32_t ref)
{
	return (struct grant_entry_v1 *)(void *)ram[3 + 2 * RAM_FRAMES] + ref;
}

static void other_grant_calls(void)
{
	for (int w = 1; w >= 0; w--) {
		uint32_t h;

		fresh();
		wide = w;
		/* unmap_and_replace */
		permit(8, 2, 5, 0);
		is(map(8, 100, GNTMAP_host_map | 0x10000, &h), GNTST_okay, "bits for the guest");
		struct gnttab_unmap_and_replace *un =
		    MEM(mapper, 0, struct gnttab_unmap_and_replace);
#define REPLACE(new_, handle_)                                                   \
	(*un = (struct gnttab_unmap_and_replace){.host_addr = 100 << PAGE_SHIFT, \
						 .new_addr = (new_),             \
						 .handle = (handle_)},           \
	 call(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_and_replace, AT(0), 1), un->status)
		is(REPLACE(4096, h), GNTST_general_error, "no replacement");
		is(REPLACE(0, h + 1), GNTST_bad_handle, "no handle");
		is(mapper->p2m[100].type, P2M_GRANT_RW, "still there");
		is(REPLACE(0, h), GNTST_okay, "taken away");
		is(mapper->p2m[100].type, P2M_NONE, "gone");

		/* swap_grant_ref, of the caller's own */
		struct gnttab_swap_grant_ref *swap = MEM(mapper, 0, struct gnttab_swap_grant_ref);
#define SWAP(a, b)                                                \
	(*swap = (struct gnttab_swap_grant_ref){(a), (b), 99, 0}, \
	 call(__HYPERVISOR_grant_table_op, GNTTABOP_swap_grant_ref, AT(0), 1), swap->status)
		if (grant_table_grow(&mapper->d, 2))
			bail_out("no second frame");
		*own_entry(9) = (struct grant_entry_v1){GTF_permit_access, 1, 3};
		is(SWAP(9, 12), GNTST_okay, "swapped");
		ok(own_entry(9)->flags == 0 && own_entry(12)->flags == GTF_permit_access &&
		       own_entry(12)->domid == 1 && own_entry(12)->frame == 3,
		   "the entry is elsewhere");
		is(SWAP(12, 600), GNTST_okay, "over frames of the table");
		is(own_entry(12)->flags, 0, "gone from here");
		is(SWAP(600, 9), GNTST_okay, "and back");
		is(SWAP(9, 9), GNTST_okay, "with itself");
		is(SWAP(9, 1024), GNTST_bad_gntref, "beyond the table");
		is(SWAP(~0u, 9), GNTST_bad_gntref, "far beyond");
		struct gnttab_map_grant_ref in_use = {
		    .host_addr = 100 << PAGE_SHIFT, .flags = GNTMAP_host_map, .ref = 9, .dom = 2};
		grants_map(&owner->d, &in_use, 1);
		is(in_use.status, GNTST_okay, "another maps it");
		is(SWAP(9, 12), GNTST_eagain, "in use");
		is(SWAP(12, 9), GNTST_eagain, "either way");
		is(own_entry(9)->flags, GTF_permit_access | GTF_reading | GTF_writing, "it stays");

		/* versions */
		struct gnttab_get_version *get = MEM(mapper, 0, struct gnttab_get_version);
		*get = (struct gnttab_get_version){.dom = DOMID_SELF};
		is(call(__HYPERVISOR_grant_table_op, GNTTABOP_get_version, AT(0), 1), 0, "get");
		is(get->version, 1, "version 1");
		get->dom = 1;
		is(call(__HYPERVISOR_grant_table_op, GNTTABOP_get_version, AT(0), 1), -XEN_EPERM,
		   "another's");
		for (uint32_t v = 0; v < 4; v++) {
			*MEM(mapper, 0, uint32_t) = v;
			is(call(__HYPERVISOR_grant_table_op, GNTTABOP_set_version, AT(0), 1),
			   v == 1   ? 0
			   : v == 2 ? -XEN_ENOSYS
				    : -XEN_EINVAL,
			   "set version %u", v);
		}
		is(call(__HYPERVISOR_grant_table_op, GNTTABOP_set_version, 0, 1), -XEN_EFAULT,
		   "at 0");

		/* cache_flush */
		struct gnttab_cache_flush *flush = MEM(mapper, 0, struct gnttab_cache_flush);
#define FLUSH(gfn, offset_, length_, op_)                                                       \
	(*flush =                                                                               \
	     (struct gnttab_cache_flush){(uint64_t)(gfn) << PAGE_SHIFT, offset_, length_, op_}, \
	 call(__HYPERVISOR_grant_table_op, GNTTABOP_cache_flush, AT(0), 1))
		is(FLUSH(4, 1, 4095, GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_INVAL), 0, "its own");
		is(FLUSH(4, 4095, 1, GNTTAB_CACHE_CLEAN), 0, "a byte");
		is(FLUSH(4, 0, 0, GNTTAB_CACHE_CLEAN), 0, "none");
		is(FLUSH(4, 4096, 0, GNTTAB_CACHE_CLEAN), -XEN_EINVAL, "behind the page");
		is(FLUSH(4, 4095, 2, GNTTAB_CACHE_CLEAN), -XEN_EINVAL, "over its end");
		is(FLUSH(4, 0, 1, 4), -XEN_EINVAL, "unknown");
		is(FLUSH(4, 0, 1, GNTTAB_CACHE_INVAL), -XEN_EOPNOTSUPP, "without writing back");
		is(FLUSH(8, 0, 1, GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_SOURCE_GREF), -XEN_EOPNOTSUPP,
		   "by reference");
		is(FLUSH(200, 0, 1, GNTTAB_CACHE_CLEAN), -XEN_EPERM, "nothing");
		is(FLUSH(1ull << 51, 0, 1, GNTTAB_CACHE_CLEAN), -XEN_EPERM, "no address");
		is(map(8, 101, GNTMAP_host_map | GNTMAP_readonly, &h), GNTST_okay, "map to read");
		is(FLUSH(101, 0, 1, GNTTAB_CACHE_CLEAN), -XEN_EPERM, "what may only be read");
		is(call(__HYPERVISOR_grant_table_op, GNTTABOP_cache_flush, 0, 1), -XEN_EFAULT,
		   "at 0");
	}
}

static void tables(void)
{
	for (int w = 1; w >= 0; w--) {
		fresh();
		wide = w;
		struct gnttab_query_size *q = MEM(mapper, 0, struct gnttab_query_size);
		*q = (struct gnttab_query_size){.dom = DOMID_SELF};
		is(call(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, AT(0), 1), 0, "query");
		ok(q->status == 0 && q->nr_frames == 1 && q->max_nr_frames == GRANT_FRAMES_MAX,
		   "one frame at first");
		q->dom = 1;
		call(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, AT(0), 1);
		is(q->status, GNTST_permission_denied, "of another domain");
		is(call(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, AT(0), 2), -XEN_EINVAL,
		   "two at once");

		/* Frames of the table at gfns 300 and 301. */
		struct xen_add_to_physmap *a = MEM(mapper, 0x100, struct xen_add_to_physmap);
		struct compat_add_to_physmap *ca = MEM(mapper, 0x100, struct compat_add_to_physmap);
#define ADD(space_, idx_, gfn_)                                                                   \
	(w ? (void)(*a = (struct xen_add_to_physmap){DOMID_SELF, 0, space_, idx_, gfn_})          \
	   : (void)(*ca = (struct compat_add_to_physmap){DOMID_SELF, 0, space_, (uint32_t)(idx_), \
							 (uint32_t)(gfn_)}),                      \
	 call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, AT(0x100), 0))
		is(ADD(XENMAPSPACE_grant_table, 0, 300), 0, "frame 0 at a gfn");
		is(mapper->p2m[300].type, P2M_SHARED, "as a shared page");
		is(mapper->p2m[300].access, P2M_RW, "not executable");
		is(ADD(XENMAPSPACE_grant_table, 1, 301), 0, "frame 1: the table grows");
		is(grant_table_frames(&mapper->d), 2, "to two");
		is(ADD(XENMAPSPACE_grant_table, 1, 301), 0, "the same again");
		is(ADD(XENMAPSPACE_grant_table, 1, 302), 0, "elsewhere");
		is(mapper->p2m[301].type, P2M_NONE, "it has moved");
		is(ADD(XENMAPSPACE_grant_table, 0, 302), -XEN_EBUSY, "over another");
		is(mapper->p2m[300].type, P2M_SHARED, "nothing has moved");
		uint64_t ram = mapper->p2m[RAM_FRAMES - 1].frame.raw;
		is(ADD(XENMAPSPACE_grant_table, 2, RAM_FRAMES - 1), 0, "over RAM");
		is(mapper->p2m[RAM_FRAMES - 1].type, P2M_SHARED, "it is seen there");
		is(frames[ram].refs, 0, "the RAM is given back");
		is(ADD(XENMAPSPACE_grant_table, 2, GFNS), -XEN_EINVAL, "beyond all addresses");
		is(ADD(XENMAPSPACE_grant_table, GRANT_FRAMES_MAX, 310), -XEN_EINVAL,
		   "beyond the largest table");
		is(ADD(XENMAPSPACE_grant_table, XENMAPIDX_grant_table_status, 310), -XEN_EINVAL,
		   "status frames");
		is(ADD(XENMAPSPACE_shared_info, 0, 310), -XEN_ENOSYS, "shared info");
		is(ADD(XENMAPSPACE_gmfn_foreign, 0, 310), -XEN_ENOSYS, "foreign, not in a batch");
		is(ADD(77, 0, 310), -XEN_EINVAL, "an unknown space");
		a->domid = 1;
		is(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, AT(0x100), 0), -XEN_EPERM,
		   "for another domain");

		struct gnttab_setup_table *s = MEM(mapper, 0, struct gnttab_setup_table);
		struct compat_gnttab_setup_table *cs =
		    MEM(mapper, 0, struct compat_gnttab_setup_table);
#define SETUP(dom_, n_, list_)                                                                  \
	(w ? (void)(*s = (struct gnttab_setup_table){dom_, n_, 99, list_})                      \
	   : (void)(*cs = (struct compat_gnttab_setup_table){dom_, n_, 99, (uint32_t)(list_)}), \
	 call(__HYPERVISOR_grant_table_op, GNTTABOP_setup_table, AT(0), 1))
#define STATUS (w ? s->status : cs->status)
		is(SETUP(DOMID_SELF, 3, AT(0x200)), 0, "setup_table");
		is(STATUS, GNTST_okay, "ok");
		if (w) {
			uint64_t *list = MEM(mapper, 0x200, uint64_t);
			ok(list[0] == 300 && list[1] == 302 && list[2] == RAM_FRAMES - 1,
			   "gfns, never machine frames");
		} else {
			uint32_t *list = MEM(mapper, 0x200, uint32_t);
			ok(list[0] == 300 && list[1] == 302 && list[2] == RAM_FRAMES - 1,
			   "gfns, never machine frames");
		}
		is(grant_table_frames(&mapper->d), 3, "three frames now");
		is(SETUP(DOMID_SELF, GRANT_FRAMES_MAX + 1, AT(0x200)), 0, "too many");
		is(STATUS, GNTST_general_error, "refused");
		is(SETUP(1, 1, AT(0x200)), 0, "another domain's");
		is(STATUS, GNTST_permission_denied, "refused");
		is(SETUP(2, 1, 8), 0, "a list that cannot be written");
		is(STATUS, GNTST_bad_virt_addr, "refused");
		is(SETUP(2, 2, w ? ~0ull - 7 : 0xfffffffcu), 0, "a list that wraps");
		is(STATUS, GNTST_bad_virt_addr, "refused");

		/* Taking things out again. */
		struct xen_remove_from_physmap *r =
		    MEM(mapper, 0x100, struct xen_remove_from_physmap);
		struct compat_remove_from_physmap *cr =
		    MEM(mapper, 0x100, struct compat_remove_from_physmap);
#define REMOVE(dom_, gfn_)                                                              \
	(w ? (void)(*r = (struct xen_remove_from_physmap){dom_, gfn_})                  \
	   : (void)(*cr = (struct compat_remove_from_physmap){dom_, (uint32_t)(gfn_)}), \
	 call(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, AT(0x100), 0))
		is(REMOVE(DOMID_SELF, 300), 0, "remove a frame of the table");
		ok(gfn_equal(grant_table_frame_gfn(&mapper->d, 0), GFN_INVALID), "known as gone");
		is(REMOVE(DOMID_SELF, 300), -XEN_ENOENT, "twice");
		is(ADD(XENMAPSPACE_grant_table, 0, 300), 0, "and back");
		uint64_t frame = mapper->p2m[4].frame.raw;
		is(REMOVE(DOMID_SELF, 4), 0, "remove RAM");
		is(frames[frame].refs, 0, "which is given back");
		is(REMOVE(DOMID_SELF, GFNS), -XEN_EINVAL, "beyond all");
		is(REMOVE(1, 5), -XEN_EPERM, "another domain's");
		permit(8, 2, 5, 0);
		map(8, 100, GNTMAP_host_map, NULL);
		is(REMOVE(DOMID_SELF, 100), -XEN_EBUSY, "a grant is not removed so");
	}
}

static void memory_maps(void)
{
	for (int w = 1; w >= 0; w--) {
		fresh();
		wide = w;
		struct xen_memory_map *m = MEM(mapper, 0, struct xen_memory_map);
		struct compat_memory_map *cm = MEM(mapper, 0, struct compat_memory_map);
		struct e820_entry *e = MEM(mapper, 0x200, struct e820_entry);
#define MAP(n_, buffer_)                                                        \
	(w ? (void)(*m = (struct xen_memory_map){n_, buffer_})                  \
	   : (void)(*cm = (struct compat_memory_map){n_, (uint32_t)(buffer_)}), \
	 call(__HYPERVISOR_memory_op, XENMEM_memory_map, AT(0), 0))
		memset(e, 0x55, 100);
		is(MAP(10, AT(0x200)), 0, "memory_map");
		is(m->nr_entries, 2, "two ranges");
		ok(e[0].addr == 0 && e[0].size == mapper->d.ram_bytes && e[0].type == E820_RAM,
		   "its RAM");
		is(e[1].type, E820_ACPI, "the tables");
		is(*(uint8_t *)&e[2], 0x55, "no more than that is written");
		is(MAP(1, AT(0x200)), 0, "room for one");
		is(m->nr_entries, 1, "gives one");
		is(MAP(0, 0), 0, "room for none");
		is(MAP(2, 8), -XEN_EFAULT, "nowhere");
		is(MAP(2, READONLY_BASE - 20), -XEN_EFAULT, "room for one in fact");
		is(call(__HYPERVISOR_memory_op, XENMEM_memory_map | 1 << 6, AT(0), 0), -XEN_ENOSYS,
		   "a continuation of what has none");
		is(call(__HYPERVISOR_memory_op, 5, AT(0), 0), -XEN_ENOSYS, "unknown");
	}
}

static void foreigners(void)
{
	for (int w = 1; w >= 0; w--) {
		fresh();
		wide = w;
		uint64_t frame = owner->p2m[5].frame.raw;
		foreign_index(0, 5, 100);
		take(&before);
		is(foreign(1, 1, 0), -XEN_EPERM, "no right");
		is(foreign(3, 1, 0), -XEN_EPERM, "nor to know who exists");
		is(foreign(DOMAIN_PRIV_NONE, 1, 0), -XEN_EPERM, "nobody's id is no right");
		is(foreign(DOMAIN_PRIV_ALL, 1, 0), -XEN_EPERM, "nor is everybody's");
		mapper->d.priv = 3;
		is(foreign(1, 1, 0), -XEN_EPERM, "a right to another");
		UNCHANGED("without the right");
		mapper->d.priv = 1;
		is(foreign(1, 1, 0), 0, "with it");
		is(ERRS[0], 0, "mapped");
		is(mapper->p2m[100].type, P2M_FOREIGN, "as foreign");
		is(mapper->p2m[100].frame.raw, frame, "the target's frame");
		is(mapper->p2m[100].access, P2M_RW, "not executable");
		is(frames[frame].refs, 2, "with a reference");
		mapper->d.priv = DOMAIN_PRIV_ALL;
		owner->p2m[2000] = (struct p2m_entry){make_mfn(1), P2M_GRANT_RW, P2M_RW, 0};
		foreign_index(0, 6, 101);
		foreign_index(1, RAM_FRAMES, 102);
		foreign_index(2, 7, 100);
		foreign_index(3, ~0ull, 103);
		foreign_index(4, 2000, 104);
		foreign_index(5, 7, GFNS);
		foreign_index(6, 7, ~0ull);
		foreign_index(7, 8, 3);
		is(foreign(1, 8, 0), 0, "eight, of which one is possible");
		ok(ERRS[0] == 0 && ERRS[1] == -XEN_EINVAL && ERRS[2] == -XEN_EEXIST &&
		       ERRS[3] == -XEN_EINVAL && ERRS[4] == -XEN_EINVAL && ERRS[5] == -XEN_EINVAL &&
		       ERRS[6] == -XEN_EINVAL && ERRS[7] == -XEN_EEXIST,
		   "each with its error");
		is(frames[owner->p2m[7].frame.raw].refs, 1, "no reference is left behind");
		is(foreign(3, 1, 0), -XEN_ESRCH, "no such domain");
		is(foreign(2, 1, 0), -XEN_EINVAL, "its own");
		is(foreign(DOMID_SELF, 1, 0), -XEN_EINVAL, "its own by another name");
		is(foreign(1, 0, 0), 0, "none");
		is(foreign(1, 3, 4), -XEN_EILSEQ, "a continuation beyond the end");
		owner->d.end = END_CRASH;
		is(foreign(1, 1, 0), -XEN_ESRCH, "a dying target");

		fresh();
		wide = w;
		mapper->d.priv = 1;
		for (unsigned i = 0; i < 200; i++)
			foreign_index(i, i % RAM_FRAMES, 100 + i);
		is(foreign(1, 200, 0), 0, "a batch of 200");
		is(continuations, 1, "in two goes");
		unsigned good = 0;
		for (unsigned i = 0; i < 200; i++)
			good += ERRS[i] == 0 && mapper->p2m[100 + i].type == P2M_FOREIGN;
		is(good, 200, "all mapped");
		is(ERRS[200], 0x77777777, "no more than that is written");

		fresh();
		wide = w;
		mapper->d.priv = 1;
		foreign_index(0, 5, 100);
		take(&before);
		fail_at = 0;
		is(foreign(1, 1, 0), 0, "out of p2m tables");
		fail_at = -1;
		is(ERRS[0], -XEN_ENOMEM, "is the error of the one");
		UNCHANGED("out of tables");
		foreign(1, 1, 0);
		is(mapper->p2m[100].type, P2M_FOREIGN, "later it works");
		foreign_index(0, 6, 101);
		take(&before);
		if (w) {
			struct xen_add_to_physmap_batch *b =
			    MEM(mapper, 0, struct xen_add_to_physmap_batch);
			b->errs = READONLY_BASE;
			is(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, AT(0), 0),
			   -XEN_EFAULT, "errors that cannot be written");
			b->errs = AT(0x5000);
			b->idxs = ~0ull - 7;
			is(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, AT(0), 0),
			   -XEN_EFAULT, "indices that wrap");
			b->space = XENMAPSPACE_gmfn;
			is(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, AT(0), 0),
			   -XEN_ENOSYS, "another kind");
			b->space = 99;
			is(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, AT(0), 0),
			   -XEN_EINVAL, "an unknown kind");
			b->domid = 1;
			is(call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, AT(0), 0),
			   -XEN_EPERM, "into another domain");
		}
		UNCHANGED("arguments out of reach");
	}
}

#define MAP_RANGE(there, here, count)                                                             \
	call5(__HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN(KEYHOLE_FOREIGN_MAP, 1), there, here, \
	      count, 0)
#define REMOVE_RANGE(here, count) \
	call5(__HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN_REMOVE, here, count, 0, 0)

static void foreign_ranges(void)
{
	for (int w = 1; w >= 0; w--) {
		fresh();
		wide = w;
		take(&before);
		is(MAP_RANGE(0, 100, 5), -XEN_EPERM, "a range without the right");
		mapper->d.priv = 1;
		is(MAP_RANGE(RAM_FRAMES, 100, 5), -XEN_EINVAL, "no RAM there");
		is(MAP_RANGE(~0ull, 100, 5), -XEN_EINVAL, "nothing there");
		is(MAP_RANGE(0, GFNS, 5), -XEN_EINVAL, "no place here");
		is(MAP_RANGE(0, 3, 5), -XEN_EEXIST, "its own RAM here");
		is(MAP_RANGE(0, 100, 0), 0, "an empty one");
		fail_at = 0;
		is(MAP_RANGE(0, 100, 1), -XEN_ENOMEM, "out of tables");
		fail_at = -1;
		is(call5(__HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN_MAP, 0, 100, 1, 0),
		   -XEN_EPERM, "of domain 0");
		is(call5(__HYPERVISOR_keyhole_foreign, 0, 0, 100, 1, 0), -XEN_ENOSYS, "no command");
		UNCHANGED("ranges that cannot be");
		is(MAP_RANGE(0, 100, 200), RAM_FRAMES, "as far as its RAM goes");
		is(continuations, RAM_FRAMES / 64, "64 single ones at a time");
		struct vcpu_regs r, was;
		bool done;
		load(&r, __HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN(KEYHOLE_FOREIGN_REMOVE, 1),
		     200, 10);
		*(w ? &r.r10 : &r.rsi) = 0;
		was = r;
		is(call_once(&r, &done), 10, "one that needs no continuation");
		was.rax = r.rax;
		ok(done && !memcmp(&r, &was, sizeof(r)), "leaves all other registers alone");
		is(mapper->p2m[100 + RAM_FRAMES - 1].type, P2M_FOREIGN, "the last one");
		is(mapper->p2m[100 + RAM_FRAMES].type, P2M_NONE, "and no more");
		is(REMOVE_RANGE(100, RAM_FRAMES), RAM_FRAMES, "removed");
		UNCHANGED("after that");
		is(REMOVE_RANGE(200, 1000), 1000, "holes");
		is(REMOVE_RANGE(GFNS - 10, ~0ull), 10, "up to the end");
		is(REMOVE_RANGE(GFNS, 1), -XEN_EINVAL, "behind it");
		is(REMOVE_RANGE(3, 1), -XEN_EINVAL, "RAM");
		mapper->p2m[300] = (struct p2m_entry){make_mfn(1), P2M_GRANT_RW, P2M_RW, 0};
		is(REMOVE_RANGE(290, 20), 10, "up to a grant");
		is(MAP_RANGE(0, 290, 20), 10, "the same");
		unmaps = 0;
		fail_at = 0;
		is(REMOVE_RANGE(290, 10), -XEN_ENOMEM, "a leaf that cannot be split");
		fail_at = -1;
		is(REMOVE_RANGE(290, 10), 10, "and later");
		is(unmaps, 1, "with one flush");
		for (unsigned i = 0; i < RAM_FRAMES; i++)
			owner->p2m[i].order = 4; /* all of them in one leaf */
		references_taken = 0;
		is(MAP_RANGE(0, 300 - RAM_FRAMES + 1, RAM_FRAMES), RAM_FRAMES - 1,
		   "up to a grant, from a large leaf");
		ok(references_taken <= 2 * RAM_FRAMES, "which is not tried once for each (%u)",
		   references_taken);
		is(call5(__HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN_REMOVE, 400, 1,
			 w ? 1ull << 63 : 1ull << 31, 0),
		   -XEN_EINVAL, "the middle of a call that never began");
	}
}

static int64_t exchange(domid_t target, unsigned n)
{
	foreign(target, 0, 0);
	if (wide)
		MEM(mapper, 0, struct xen_add_to_physmap_batch)->size = (uint16_t)n;
	else
		MEM(mapper, 0, struct compat_add_to_physmap_batch)->size = (uint16_t)n;
	memset(&mapper->linear[0x5000], 0x77, 4 * n + 4);
	return call5(__HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN_EXCHANGE, AT(0), 0, 0, 0);
}

static void foreign_exchange(void)
{
	for (int w = 1; w >= 0; w--) {
		fresh();
		wide = w;
		mapper->d.priv = 1;
		is(MAP_RANGE(0, 100, 3), 3, "three pages");
		take(&before);
		foreign_index(0, 5, 100);
		is(exchange(3, 1), -XEN_EPERM, "for somebody else's");
		foreign_index(0, RAM_FRAMES, 100);
		foreign_index(1, 5, 3);
		foreign_index(2, 5, 99);
		foreign_index(3, 5, ~0ull);
		is(exchange(1, 4), 0, "four that are not possible");
		ok(ERRS[0] == -XEN_EINVAL && ERRS[1] == -XEN_EINVAL && ERRS[2] == -XEN_ENOENT &&
		       ERRS[3] == -XEN_ENOENT && ERRS[4] == 0x77777777,
		   "each with its error");
		UNCHANGED("exchanges that cannot be");
		foreign_index(0, 5, 100);
		foreign_index(1, 100, 100);
		foreign_index(2, 5, 102);
		unmaps = 0;
		is(exchange(1, 3), 0, "three, one of them wrong");
		ok(ERRS[0] == 0 && ERRS[1] == -XEN_EINVAL && ERRS[2] == 0, "the others are done");
		is(unmaps, 1, "with one flush");
		uint64_t new = owner->p2m[5].frame.raw;
		ok(mapper->p2m[100].frame.raw == new && mapper->p2m[102].frame.raw == new &&
		       mapper->p2m[101].frame.raw == owner->p2m[1].frame.raw,
		   "new frames are there");
		is(frames[new].refs, 3, "held twice");
		is(frames[owner->p2m[0].frame.raw].refs, 1, "and the old ones no more");
		for (unsigned i = 0; i < 200; i++)
			foreign_index(i, i % 3, 100 + i % 3);
		is(exchange(1, 200), 0, "a long batch");
		is(continuations, 1, "in two goes");
		is(REMOVE_RANGE(100, 3), 3, "removed");
		is(frames[new].refs, 1, "no reference is left");
	}
}

static int64_t acquire(domid_t id, unsigned type, unsigned which, uint64_t first, unsigned count,
		       uint64_t list)
{
	struct xen_mem_acquire_resource *op = MEM(mapper, 0, struct xen_mem_acquire_resource);

	/* Both layouts begin alike. */
	*op = (struct xen_mem_acquire_resource){id, (uint16_t)type, which, count, 0, first, list};
	return call(__HYPERVISOR_memory_op, XENMEM_acquire_resource, AT(0), 0);
}

static void resources(void)
{
	for (int w = 1; w >= 0; w--) {
		fresh();
		wide = w;
		is(acquire(1, 1, 0, 0, 0, 0), -XEN_EPERM, "a table without the right");
		mapper->d.priv = DOMAIN_PRIV_ALL;
		is(acquire(3, 1, 0, 0, 0, 0), -XEN_ESRCH, "no such domain");
		is(acquire(2, 1, 0, 0, 0, 0), -XEN_EINVAL, "its own");
		is(acquire(1, 1, 0, 0, 0, 0), 0, "its size");
		is(MEM(mapper, 0, struct xen_mem_acquire_resource)->nr_frames, 32, "32 frames");
		is(acquire(1, 1, 0, 0, 1, 0), -XEN_EINVAL, "a size with a count");
		is(acquire(1, 0, 0, 0, 0, 0), -XEN_EINVAL, "another resource");
		is(acquire(1, 1, 1, 0, 0, 0), -XEN_EINVAL, "status frames");
		is(acquire(1, 1, 0, 32, 1, AT(0x200)), -XEN_EINVAL, "behind the last frame");
		is(acquire(1, 1, 0, ~0ull, 2, AT(0x200)), -XEN_EINVAL, "beyond all of them");
		is(acquire(1, 1, 0, 0, 0, AT(0x200)), 0, "none");
		is(acquire(1, 1, 0, 0, 1, 8), -XEN_EFAULT, "a list out of reach");
		foreign_index(0, 0, 100);
		foreign_index(1, 0, 101);
		is(acquire(1, 1, 0, 0, 2, AT(0x3000)), 0, "two frames");
		is(grant_table_frames(&owner->d), 2, "so many it has now");
		uint64_t frame = mapper->p2m[100].frame.raw;
		ok(mapper->p2m[100].type == P2M_FOREIGN && mapper->p2m[101].type == P2M_FOREIGN &&
		       frames[frame].owner == 1 && frames[frame].type == FRAME_GUEST_SHARED,
		   "appear");
		is(frames[frame].refs, 2, "with a reference");
		foreign_index(0, 0, 102);
		is(acquire(1, 1, 0, 0, 2, AT(0x3000)), -XEN_EEXIST, "one of them in the way");
		is(REMOVE_RANGE(100, 3), 3, "and go");
		is(frames[frame].refs, 1, "with it");
		fail_at = 0;
		is(acquire(1, 1, 0, 5, 1, AT(0x3000)), -XEN_ENOMEM, "no memory");
		fail_at = -1;
		is(grant_table_frames(&owner->d), 2, "for it to grow");
	}
}

/* Puts the argument at 0; its gfns are at 0x1000. */
static int64_t reserve(unsigned cmd, uint64_t n, uint32_t order, uint64_t first)
{
	if (wide)
		*MEM(mapper, 0, struct xen_memory_reservation) =
		    (struct xen_memory_reservation){AT(0x1000), n, order, 0, DOMID_SELF};
	else
		*MEM(mapper, 0, struct compat_memory_reservation) =
		    (struct compat_memory_reservation){AT(0x1000), (uint32_t)n, order, 0,
						       DOMID_SELF};
	return call(__HYPERVISOR_memory_op, cmd | first << 6, AT(0), 0);
}
static void extent(unsigned i, uint64_t gfn)
{
	if (wide)
		MEM(mapper, 0x1000, uint64_t)[i] = gfn;
	else
		MEM(mapper, 0x1000, uint32_t)[i] = (uint32_t)gfn;
}
static int64_t owned(unsigned cmd)
{
	*MEM(mapper, 0, domid_t) = DOMID_SELF;
	return call(__HYPERVISOR_memory_op, cmd, AT(0), 0);
}

#define DECREASE XENMEM_decrease_reservation
#define POPULATE XENMEM_populate_physmap

static void reservations(void)
{
	for (int w = 1; w >= 0; w--) {
		fresh();
		wide = w;
		is(owned(XENMEM_current_reservation), RAM_FRAMES, "current_reservation");
		is(owned(XENMEM_maximum_reservation), RAM_FRAMES, "maximum_reservation");
		extent(0, 1000);
		is(reserve(POPULATE, 1, 0, 0), 0, "no more than it was configured with");
		for (unsigned i = 0; i < 4; i++)
			extent(i, 8 + i);
		unmaps = 0;
		is(reserve(DECREASE, 4, 0, 0), 4, "four given back");
		is(unmaps, 1, "with one flush");
		is(owned(XENMEM_current_reservation), RAM_FRAMES - 4, "and not owned any more");
		is(mapper->p2m[9].type, P2M_NONE, "nor there");
		is(reserve(DECREASE, 4, 0, 0), 0, "a second time there is nothing");
		is(reserve(POPULATE, 4, 0, 0), 4, "four taken");
		is(mapper->p2m[9].type, P2M_RAM, "and there");
		is(reserve(POPULATE, 4, 0, 0), 0, "where something is, nothing is taken");
		is(frame_owned(2), RAM_FRAMES, "nor lost");

		extent(0, 5);
		extent(1, 5);
		extent(2, 6);
		is(reserve(DECREASE, 3, 0, 0), 1, "twice the same ends the call");
		ok(mapper->p2m[5].type == P2M_NONE && mapper->p2m[6].type == P2M_RAM,
		   "after the first");
		extent(0, 4);
		extent(1, 5);
		is(reserve(DECREASE, 2, 0, 0), 1, "a run with a hole in it is done up to there");
		extent(0, 2);
		is(reserve(DECREASE, 1, 2, 0), 0, "an extent with a hole in it is not done");
		is(mapper->p2m[2].type, P2M_RAM, "in no part");
		extent(0, 1002);
		is(reserve(POPULATE, 1, 1, 0), 1, "an extent of two");
		ok(mapper->p2m[1002].type == P2M_RAM && mapper->p2m[1003].type == P2M_RAM,
		   "both are there");
		extent(0, 1010);
		is(reserve(POPULATE, 1, 1, 0), 0, "above the limit: none");
		is(reserve(POPULATE, 1, 10, 0), 0, "too large an order: none");
		is(reserve(DECREASE, 1, 0xffffffff, 0), 0, "much too large an order: none");
		extent(0, ~0ull);
		extent(1, GFNS);
		extent(2, GFNS - 1);
		is(reserve(DECREASE, 1, 9, 0), 0, "no frame number");
		is(reserve(POPULATE, 1, 0, 0), 0, "nor to be populated");
		extent(0, GFNS);
		is(reserve(POPULATE, 1, 0, 0), 0, "beyond the last");
		extent(0, 0);
		is(reserve(DECREASE, w ? ~0ull : ~0u, 0, 0), 0, "too many extents: none");
		is(reserve(DECREASE, 3, 0, 3), 3, "a continuation at the end");
		is(reserve(DECREASE, 3, 0, 77), 77, "and beyond");
		is(mapper->p2m[0].type, P2M_RAM, "do nothing");
		is(reserve(DECREASE, 0, 0, 0), 0, "none of none");
		is(call(__HYPERVISOR_memory_op, DECREASE, 8, 0), -XEN_EFAULT, "no argument");
		is(call(__HYPERVISOR_memory_op, XENMEM_current_reservation, 8, 0), -XEN_EFAULT,
		   "no domain id");
		*MEM(mapper, 0, domid_t) = 1;
		is(call(__HYPERVISOR_memory_op, XENMEM_current_reservation, AT(0), 0), -XEN_EPERM,
		   "another domain's size");
		is(call(__HYPERVISOR_memory_op, XENMEM_maximum_reservation, AT(0), 0), -XEN_EPERM,
		   "nor its limit");
		reserve(DECREASE, 0, 0, 0);
		if (w)
			MEM(mapper, 0, struct xen_memory_reservation)->domid = 1;
		else
			MEM(mapper, 0, struct compat_memory_reservation)->domid = 1;
		is(call(__HYPERVISOR_memory_op, DECREASE, AT(0), 0), -XEN_EPERM,
		   "another domain's memory");

		/* Others' frames and those that others hold. */
		fresh();
		wide = w;
		mapper->p2m[50] = (struct p2m_entry){owner->p2m[1].frame, P2M_FOREIGN, P2M_RW, 0};
		extent(0, 50);
		is(reserve(DECREASE, 1, 0, 0), 0, "a foreign page is not its RAM");
		memset(&mapper->p2m[50], 0, sizeof(mapper->p2m[50]));
		mfn_t held = mapper->p2m[3].frame;
		if (frame_get_present(held, 2, FRAME_GUEST_RAM))
			bail_out("no reference");
		extent(0, 3);
		is(reserve(DECREASE, 1, 0, 0), 1, "a frame that others have mapped can be given");
		is(frames[held.raw].refs, 1, "they keep it");
		is(reserve(POPULATE, 1, 0, 0), 0, "and it counts until they let go");
		frame_put(held);
		is(reserve(POPULATE, 1, 0, 0), 1, "and not longer");

		/* Any step fails. */
		extent(0, 3);
		for (int i = 0; i < 2; i++) {
			fail_at = 0;
			is(reserve(DECREASE, 1, 0, 0), 0, "no table to split a leaf");
			fail_at = -1;
		}
		is(reserve(DECREASE, 1, 0, 0), 1, "later it works");
		for (int i = 0; i < 2; i++) {
			fail_at = i;
			is(reserve(POPULATE, 1, 0, 0), 0, "step %d of populating fails", i);
			fail_at = -1;
			is(frame_owned(2), RAM_FRAMES - 1, "nothing is left of it");
			is(mapper->p2m[3].type, P2M_NONE, "anywhere");
		}

		/* Continuations, and a list that ends in nothing. */
		fresh();
		wide = w;
		mapper->d.ram_bytes = 300 * PAGE_SIZE;
		for (unsigned i = 0; i < 200; i++)
			extent(i, 1000 + 3 * i);
		is(reserve(POPULATE, 200, 0, 0), 200, "a batch of 200");
		is(continuations, 3, "in four goes");
		is(reserve(DECREASE, 200, 0, 0), 200, "given back");
		is(frame_owned(2), RAM_FRAMES, "all of them");
		unsigned width = w ? 8 : 4;
		reserve(DECREASE, 70, 0, 0);
		uint64_t array = LINEAR_BASE + LINEAR_SIZE - 2 * width;
		if (w)
			MEM(mapper, 0, struct xen_memory_reservation)->extent_start = array;
		else
			MEM(mapper, 0, struct compat_memory_reservation)->extent_start =
			    (uint32_t)array;
		memset(&mapper->linear[array - LINEAR_BASE], 0, 2 * width);
		mapper->linear[array - LINEAR_BASE] = 7;
		mapper->linear[array - LINEAR_BASE + width] = 9;
		is(call(__HYPERVISOR_memory_op, DECREASE, AT(0), 0), 2,
		   "what can be read of the list is done");
	}
}

/* RAM that gets its frames late: gfns 16 to 31 have none. */
static unsigned looks_at_window;
/* A window is opened when a batch of the owner begins; and looked at by who gives pages back. */
static void opens_window(struct p2m *p2m)
{
	if (p2m == &mapper->d.p2m)
		looks_at_window++;
	else if (demand_open(&mapper->d, &owner->d, 0, 200, 8, 64) < 0)
		fail("the window cannot be opened");
}

static void given_back_meanwhile(void)
{
	fresh();
	looks_at_window = 0;
	mapper->d.p2m.tables.quota = 10;
	for (unsigned i = 0; i < 3; i++)
		MEM(owner, 0x100, uint64_t)[i] = i;
	*MEM(owner, 0, struct xen_memory_reservation) = (struct xen_memory_reservation){
	    .extent_start = AT(0x100), .nr_extents = 3, .domid = SELF};
	be(owner);
	at_batch = opens_window;
	is(call(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, AT(0), 0), 3,
	   "three pages are given back while a window onto them opens");
	at_batch = NULL;
	be(mapper);
	is(looks_at_window, 3, "each is looked for in it");
	while (!demand_detach_step(&owner->d))
		;
	demand_free_all(&mapper->d);
}

static void late_frames(void)
{
	fresh();
	struct domain *d = &mapper->d;
	is(memory_fault(d, make_gpa(20 << 12)), false, "an eager domain gets nothing by touching");
	d->lazy = true;
	is(memory_fault(d, make_gpa(20 << 12)), false, "nor beyond its RAM");
	d->ram_bytes = 32 * PAGE_SIZE;
	is(memory_fault(d, make_gpa(20 << 12)), true, "a lazy one gets a frame");
	is(mapper->p2m[20].type, P2M_RAM, "where it touched");
	is(frame_owned(2), RAM_FRAMES + 1, "one");
	is(memory_fill(&d->p2m, make_gfn(20)), true, "which stays");
	is(frame_owned(2), RAM_FRAMES + 1, "the same");
	extent(0, 20);
	extent(1, 21);
	extent(2, 32);
	is(reserve(DECREASE, 3, 0, 0), 2, "what was never touched can be given back, RAM only");
	is(frame_owned(2), RAM_FRAMES, "which changes nothing");
	is(memory_fault(d, make_gpa(~0ull)), false, "the last address there is");
	fail_at = 0;
	is(memory_fault(d, make_gpa(21 << 12)), true, "no memory");
	fail_at = -1;
	is(d->end, END_OUT_OF_MEMORY, "ends the domain");
	is(mapper->p2m[21].type, P2M_NONE, "and leaves nothing");
}

static void hypercall_page(void)
{
	fresh();
	is(hypercall_page_write(make_gpa(0x2008)), -XEN_EINVAL, "hypercall page: not aligned");
	is(hypercall_page_write(make_gpa(100 << 12)), -XEN_EINVAL, "no RAM");
	is(hypercall_page_write(make_gpa(~0xfffull)), -XEN_EINVAL, "beyond all");
	mapper->p2m[50] = (struct p2m_entry){owner->p2m[1].frame, P2M_FOREIGN, P2M_RW, 0};
	is(hypercall_page_write(make_gpa(50 << 12)), -XEN_EINVAL, "another domain's page");
	is(hypercall_page_write(make_gpa(2 << 12)), 0, "its RAM");
	const uint8_t *page = ram[mapper->p2m[2].frame.raw];
	ok(!memcmp(page + 32 * __HYPERVISOR_sched_op, "\xb8\x1d\0\0\0\x0f\x01\xc1\xc3", 9),
	   "mov, vmcall, ret");
	ok(!memcmp(page + 32 * __HYPERVISOR_iret, "\x0f\x0b", 2), "no iret");
}

/* Several vCPUs map and unmap the same few references at once. */
#define THREADS	     3u /* ticket locks are slow when there are more threads than processors */
#define MILLISECONDS 300u
static pthread_barrier_t start;

static uint64_t milliseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void *hammer(void *arg)
{
	unsigned n = (unsigned)(uintptr_t)arg, seed = n * 7919;

	test_cpu.index = n;
	be(mapper);
	pthread_barrier_wait(&start);
	uint64_t end = milliseconds() + MILLISECONDS;
	for (unsigned i = 0; milliseconds() < end; i++) {
		seed = seed * 1103515245 + 12345;
		bool readonly = seed >> 20 & 1, fail = seed >> 24 & 1;
		struct gnttab_map_grant_ref op = {.host_addr = (100 + n) * PAGE_SIZE,
						  .flags = GNTMAP_host_map |
							   (readonly ? GNTMAP_readonly : 0),
						  .ref = 8 + (seed >> 16) % 3,
						  .dom = 1};
		if (fail)
			fail_at = 0;
		grants_map(&mapper->d, &op, 1);
		fail_at = -1;
		if (op.status != (fail ? GNTST_no_space : GNTST_okay))
			return (void *)1;
		if (fail)
			continue;
		uint16_t mark = readonly ? GTF_reading : GTF_reading | GTF_writing;
		if ((*(volatile uint16_t *)&entry(op.ref)->flags & mark) != mark)
			return (void *)3; /* in use and not marked */
		struct gnttab_unmap_grant_ref un = {.host_addr = op.host_addr, .handle = op.handle};
		grants_unmap(&mapper->d, &un, 1);
		if (un.status != GNTST_okay)
			return (void *)4;
		if (i % 5 == 0)
			epoch_pass();
	}
	epoch_pass();
	return NULL;
}

static void concurrency(void)
{
	pthread_t threads[THREADS];
	uintptr_t wrong = 0;

	fresh();
	pthread_barrier_init(&start, NULL, THREADS);
	for (uint32_t ref = 8; ref < 11; ref++)
		permit(ref, 2, 5, 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, hammer, (void *)(i + 1));
	for (unsigned i = 0; i < THREADS; i++) {
		void *result;
		pthread_join(threads[i], &result);
		wrong |= (uintptr_t)result;
	}
	is(wrong, 0, "CPUs map and unmap the same references");
	ok(entry(8)->flags == GTF_permit_access && entry(9)->flags == GTF_permit_access &&
	       entry(10)->flags == GTF_permit_access,
	   "no mark is left");
	is(frames[owner->p2m[5].frame.raw].refs, 1, "no reference is left");
}

int main(void)
{
	tap_no_plan();
	dispatching();
	versions();
	multicalls();
	control();
	console();
	wrapping();
	scheduling();
	other_ends();
	granting();
	hostile_grants();
	copying();
	other_grant_calls();
	failing_steps();
	batches();
	two_mappers();
	dying();
	revoked_by_destruction();
	revoked_in_between();
	revoked_by_owner();
	found();
	tables();
	memory_maps();
	foreigners();
	foreign_ranges();
	foreign_exchange();
	resources();
	reservations();
	given_back_meanwhile();
	late_frames();
	hypercall_page();
	concurrency();
	return tap_end();
}
