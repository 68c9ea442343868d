/*
 * fuzz: how a valid call of each kind is made, and what is known when it has succeeded.
 */
#include "fuzz.h"
#include "public/hvm/hvm_op.h"

static void call(struct call *c, unsigned number, unsigned long command, void *argument,
		 unsigned long count)
{
	c->number = number;
	c->arg[0] = command;
	c->arg[1] = (unsigned long)argument;
	c->arg[2] = count;
	c->argument = argument;
}

static unsigned any_page(struct worker *w)
{
	return (unsigned)below(w, POOL_PAGES);
}

/* One of a kind, if it is soon found. */
static unsigned find_place(struct worker *w, enum place kind)
{
	unsigned place = (unsigned)below(w, PLACES);

	for (unsigned i = 0; i < PLACES && w->places[place].kind != kind; i++)
		place = (place + 1) % PLACES;
	return place;
}

static uint32_t any_port(struct worker *w)
{
	return w->ports[below(w, PORTS)];
}

static uint32_t any_domain(struct worker *w)
{
	return below(w, 3) ? DOMID_SELF : child;
}

/* --- memory ----------------------------------------------------------------------------------- */

void make_version(struct worker *w, struct call *c)
{
	static const unsigned commands[] = {XENVER_version, XENVER_extraversion,
					    XENVER_capabilities, XENVER_changeset,
					    XENVER_get_features};

	call(c, __HYPERVISOR_xen_version, commands[below(w, array_size(commands))], room(w, 1024),
	     0);
}

static void reserved(struct worker *w, const struct call *c)
{
	w->given_back[c->what] = c->operation == OP_decrease;
}

static void make_reservation_change(struct worker *w, struct call *c, unsigned command)
{
	memory_reservation_t *r = room(w, sizeof(*r));
	native_ulong_t *gfns = room(w, 8 * sizeof(*gfns));
	bool given_back = command == XENMEM_populate_physmap;

	c->what = any_page(w);
	for (unsigned i = 0; i < POOL_PAGES && w->given_back[c->what] != given_back; i++)
		c->what = (c->what + 1) % POOL_PAGES;
	r->nr_extents = below(w, 4) ? 1 : 1 + below(w, 8);
	for (unsigned i = 0; i < r->nr_extents; i++)
		gfns[i] = pool_gfn(w, (c->what + i) % POOL_PAGES);
	r->extent_start = handle(gfns);
	r->domid = DOMID_SELF;
	call(c, __HYPERVISOR_memory_op, command, r, 0);
	c->least = 1;
	c->done = reserved;
}

void make_decrease(struct worker *w, struct call *c)
{
	make_reservation_change(w, c, XENMEM_decrease_reservation);
}

void make_populate(struct worker *w, struct call *c)
{
	make_reservation_change(w, c, XENMEM_populate_physmap);
}

static void filled(struct worker *w, const struct call *c)
{
	w->places[c->what].kind = PLACE_OTHER;
}

static void emptied(struct worker *w, const struct call *c)
{
	w->places[c->what].kind = PLACE_EMPTY;
}

static uint64_t place_gfn(const struct worker *w, unsigned place)
{
	return place_address(w, place) / PAGE_SIZE;
}

void make_map_table(struct worker *w, struct call *c)
{
	add_to_physmap_t *a = room(w, sizeof(*a));

	c->what = find_place(w, PLACE_EMPTY);
	a->domid = DOMID_SELF;
	a->space = XENMAPSPACE_grant_table;
	a->idx = 1 + below(w, 3);
	a->gpfn = place_gfn(w, c->what);
	call(c, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, a, 0);
	c->done = filled;
}

static void some_filled(struct worker *w, const struct call *c)
{
	for (unsigned i = 0; i < c->count; i++)
		if (!c->errors[i])
			w->places[(c->what + i) % PLACES].kind = PLACE_OTHER;
}

static void make_batch(struct worker *w, struct call *c, enum place kind)
{
	add_to_physmap_batch_t *b = room(w, sizeof(*b));
	unsigned size = 1 + (unsigned)below(w, 12);
	native_ulong_t *there = room(w, size * sizeof(*there)),
		       *here = room(w, size * sizeof(*here));

	c->what = find_place(w, kind);
	for (unsigned i = 0; i < size; i++) {
		there[i] = 0x180 + below(w, 24);
		here[i] = place_gfn(w, (c->what + i) % PLACES);
	}
	b->domid = DOMID_SELF;
	b->space = XENMAPSPACE_gmfn_foreign;
	b->size = (uint16_t)size;
	b->foreign_domid = (domid_t)child;
	b->idxs = handle(there);
	b->gpfns = handle(here);
	c->errors = room(w, size * sizeof(int32_t));
	c->count = size;
	b->errs = handle(c->errors);
	c->argument = b;
}

void make_foreign_map(struct worker *w, struct call *c)
{
	make_batch(w, c, PLACE_EMPTY);
	call(c, __HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, c->argument, 0);
	c->done = some_filled;
}

void make_foreign_exchange(struct worker *w, struct call *c)
{
	make_batch(w, c, PLACE_OTHER);
	call(c, __HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN(KEYHOLE_FOREIGN_EXCHANGE, 0),
	     c->argument, 0);
}

static void range_filled(struct worker *w, const struct call *c)
{
	for (unsigned i = 0; i < c->arg[3]; i++)
		w->places[(c->what + i) % PLACES].kind = PLACE_OTHER;
}

void make_foreign_range(struct worker *w, struct call *c)
{
	c->what = find_place(w, PLACE_EMPTY);
	c->number = __HYPERVISOR_keyhole_foreign;
	if (below(w, 3)) {
		c->arg[0] = KEYHOLE_FOREIGN(KEYHOLE_FOREIGN_MAP, child);
		c->arg[1] = 0x180 + below(w, 24);
		c->arg[2] = place_gfn(w, c->what);
		c->arg[3] = 1 + below(w, 6);
		c->done = range_filled;
	} else {
		c->arg[0] = KEYHOLE_FOREIGN(KEYHOLE_FOREIGN_REMOVE, 0);
		c->arg[1] = place_gfn(w, c->what);
		c->arg[2] = 1 + below(w, 6);
	}
	c->least = 1;
}

void make_remove(struct worker *w, struct call *c)
{
	remove_from_physmap_t *r = room(w, sizeof(*r));

	c->what = find_place(w, PLACE_OTHER);
	r->domid = DOMID_SELF;
	r->gpfn = place_gfn(w, c->what);
	call(c, __HYPERVISOR_memory_op, XENMEM_remove_from_physmap, r, 0);
	c->done = emptied;
}

void make_memory_map(struct worker *w, struct call *c)
{
	memory_map_t *m = room(w, sizeof(*m));

	m->nr_entries = 4;
	m->buffer = handle(room(w, 4 * sizeof(struct e820_entry)));
	call(c, __HYPERVISOR_memory_op, XENMEM_memory_map, m, 0);
}

void make_reservation(struct worker *w, struct call *c)
{
	domid_t *self = room(w, sizeof(*self));

	*self = DOMID_SELF;
	call(c, __HYPERVISOR_memory_op, XENMEM_current_reservation + (unsigned)below(w, 2), self,
	     0);
	c->least = 1;
}

void make_acquire(struct worker *w, struct call *c)
{
	mem_acquire_resource_t *a = room(w, sizeof(*a));
	native_ulong_t *gfn = room(w, sizeof(*gfn));

	c->what = find_place(w, PLACE_EMPTY);
	*gfn = place_gfn(w, c->what);
	a->domid = (domid_t)child;
	a->type = XENMEM_resource_grant_table;
	a->id = XENMEM_resource_grant_table_id_shared;
	a->nr_frames = 1;
	a->frame_list = handle(gfn);
	call(c, __HYPERVISOR_memory_op, XENMEM_acquire_resource, a, 0);
	c->done = filled;
}

/* --- grants ----------------------------------------------------------------------------------- */

static grant_ref_t own_ref(struct worker *w)
{
	return 64 + w->id * TABLE_REFS + (grant_ref_t)below(w, TABLE_REFS);
}

static void mapped(struct worker *w, const struct call *c)
{
	const struct gnttab_map_grant_ref *m = c->argument;

	for (unsigned i = 0; i < c->count; i++) {
		uint64_t place = (m[i].host_addr - place_address(w, 0)) / PAGE_SIZE;

		if (m[i].status || place >= PLACES)
			continue;
		w->places[place].kind = PLACE_GRANT;
		w->places[place].handle = m[i].handle;
	}
}

void make_grant_map(struct worker *w, struct call *c)
{
	unsigned count = 1 + (below(w, 4) ? 0 : (unsigned)below(w, 4));
	struct gnttab_map_grant_ref *m = room(w, count * sizeof(*m));

	c->what = find_place(w, PLACE_EMPTY);
	for (unsigned i = 0; i < count; i++) {
		bool own = below(w, 2);

		m[i].host_addr = place_address(w, (c->what + i) % PLACES);
		m[i].flags = GNTMAP_host_map | (below(w, 3) ? 0 : GNTMAP_readonly);
		m[i].dom = (domid_t)(own ? self_domain() : child);
		m[i].ref = own ? own_ref(w) : CHILD_REF + (grant_ref_t)below(w, CHILD_REFS);
		m[i].status = 99;
	}
	call(c, __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, m, count);
	c->status = &m->status;
	c->count = count;
	c->done = mapped;
}

/* The two structures have the same members but for the second, which is 0. */
_Static_assert(sizeof(struct gnttab_unmap_grant_ref) == sizeof(struct gnttab_unmap_and_replace) &&
		   offsetof(struct gnttab_unmap_grant_ref, handle) ==
		       offsetof(struct gnttab_unmap_and_replace, handle) &&
		   offsetof(struct gnttab_unmap_grant_ref, status) ==
		       offsetof(struct gnttab_unmap_and_replace, status),
	       "one fills both");
static void make_unmap(struct worker *w, struct call *c, unsigned command)
{
	struct gnttab_unmap_grant_ref *u = room(w, sizeof(*u));

	c->what = find_place(w, PLACE_GRANT);
	u->host_addr = place_address(w, c->what);
	u->handle = w->places[c->what].handle;
	u->status = 99;
	call(c, __HYPERVISOR_grant_table_op, command, u, 1);
	c->status = &u->status;
	c->done = emptied;
}

void make_grant_unmap(struct worker *w, struct call *c)
{
	make_unmap(w, c, GNTTABOP_unmap_grant_ref);
}

void make_unmap_and_replace(struct worker *w, struct call *c)
{
	make_unmap(w, c, GNTTABOP_unmap_and_replace);
}

void make_grant_copy(struct worker *w, struct call *c)
{
	struct gnttab_copy *copy = room(w, sizeof(*copy));

	copy->len = (uint16_t)below(w, PAGE_SIZE + 1);
	copy->source.offset = (uint16_t)below(w, PAGE_SIZE - copy->len + 1);
	copy->dest.offset = (uint16_t)below(w, PAGE_SIZE - copy->len + 1);
	copy->source.domid = copy->dest.domid = DOMID_SELF;
	copy->source.ref_or_gmfn = pool_gfn(w, any_page(w));
	copy->dest.ref_or_gmfn = pool_gfn(w, any_page(w));
	if (below(w, 2)) {
		copy->flags |= GNTCOPY_source_gref;
		copy->source.domid = (domid_t)child;
		copy->source.ref_or_gmfn = CHILD_REF + below(w, CHILD_REFS);
	}
	if (!below(w, 3)) {
		copy->flags |= GNTCOPY_dest_gref;
		copy->dest.domid = (domid_t)self_domain();
		copy->dest.ref_or_gmfn = own_ref(w);
	}
	copy->status = 99;
	call(c, __HYPERVISOR_grant_table_op, GNTTABOP_copy, copy, 1);
	c->status = &copy->status;
}

void make_query_size(struct worker *w, struct call *c)
{
	struct gnttab_query_size *q = room(w, sizeof(*q));

	q->dom = DOMID_SELF;
	q->status = 99;
	call(c, __HYPERVISOR_grant_table_op, GNTTABOP_query_size, q, 1);
	c->status = &q->status;
}

void make_swap(struct worker *w, struct call *c)
{
	struct gnttab_swap_grant_ref *s = room(w, sizeof(*s));

	s->ref_a = own_ref(w);
	s->ref_b = own_ref(w);
	s->status = 99;
	call(c, __HYPERVISOR_grant_table_op, GNTTABOP_swap_grant_ref, s, 1);
	c->status = &s->status;
}

void make_cache_flush(struct worker *w, struct call *c)
{
	struct gnttab_cache_flush *f = room(w, sizeof(*f));

	f->dev_bus_addr = pool_gfn(w, any_page(w)) * PAGE_SIZE;
	f->length = (uint16_t)below(w, PAGE_SIZE);
	f->op = GNTTAB_CACHE_CLEAN;
	call(c, __HYPERVISOR_grant_table_op, GNTTABOP_cache_flush, f, 1);
}

void make_setup_table(struct worker *w, struct call *c)
{
	setup_table_t *s = room(w, sizeof(*s));

	s->dom = DOMID_SELF;
	s->nr_frames = 1 + (uint32_t)below(w, 4);
	s->frame_list = handle(room(w, 4 * sizeof(native_ulong_t)));
	s->status = 99;
	call(c, __HYPERVISOR_grant_table_op, GNTTABOP_setup_table, s, 1);
	c->status = &s->status;
}

static void own(struct call *c, unsigned command, void *argument)
{
	call(c, __HYPERVISOR_keyhole_grant, command, argument, 1);
}

void make_revoke(struct worker *w, struct call *c)
{
	struct keyhole_grant_revoke *r = room(w, sizeof(*r));

	r->ref = own_ref(w);
	r->status = 99;
	own(c, KEYHOLE_GRANT_REVOKE, r);
	c->status = &r->status;
}

void make_find(struct worker *w, struct call *c)
{
	struct keyhole_grant_find *f = room(w, sizeof(*f));

	f->gfn = pool_gfn(w, any_page(w));
	f->status = 99;
	own(c, KEYHOLE_GRANT_FIND, f);
	c->status = &f->status;
}

/* --- demand windows --------------------------------------------------------------------------- */

static uint64_t window_address(const struct worker *w, unsigned window)
{
	return HOLE + ((w->id + 5ull) << 24) + window * WINDOW_PAGES * PAGE_SIZE;
}

static void opened(struct worker *w, const struct call *c)
{
	w->windows[c->what].open = true;
	w->windows[c->what].number = c->result;
}

void make_window_open(struct worker *w, struct call *c)
{
	c->what = (unsigned)below(w, WINDOWS);
	c->number = __HYPERVISOR_keyhole_foreign;
	c->arg[0] = KEYHOLE_FOREIGN(KEYHOLE_WINDOW_OPEN, child);
	c->arg[1] = 0x400;
	c->arg[2] = window_address(w, c->what) / PAGE_SIZE;
	c->arg[3] = WINDOW_PAGES - below(w, 16);
	c->arg[4] = BUDGET + below(w, BUDGET);
	c->done = opened;
}

static void window_call(struct worker *w, struct call *c, unsigned command)
{
	c->what = (unsigned)below(w, WINDOWS);
	call(c, __HYPERVISOR_keyhole_foreign, KEYHOLE_FOREIGN(command, 0),
	     (void *)w->windows[c->what].number, 0);
	if (!w->windows[c->what].open)
		c->arg[1] = ~0ul;
}

static void shut(struct worker *w, const struct call *c)
{
	w->windows[c->what].open = false;
}

void make_window_close(struct worker *w, struct call *c)
{
	window_call(w, c, KEYHOLE_WINDOW_CLOSE);
	c->done = shut;
}

void make_window_stats(struct worker *w, struct call *c)
{
	struct keyhole_window_stats *s = room(w, sizeof(*s));

	window_call(w, c, KEYHOLE_WINDOW_STATS);
	c->arg[2] = (unsigned long)s;
	for (unsigned i = 0; i < 32; i++)
		(void)*(volatile uint64_t *)(window_address(w, c->what) +
					     below(w, WINDOW_PAGES) * PAGE_SIZE);
}

/* --- events ----------------------------------------------------------------------------------- */

static void event(struct call *c, unsigned command, void *argument)
{
	call(c, __HYPERVISOR_event_channel_op, command, argument, 0);
}

/* All three structures that tell a port are as long as this, and its place is their last word. */
static void bound(struct worker *w, const struct call *c)
{
	uint32_t port = ((const uint32_t *)c->argument)[c->what];
	uint32_t *slot = &w->ports[below(w, PORTS)];

	if (*slot) /* so that there are always some to be had */
		hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_close, (unsigned long)slot, 0);
	*slot = port;
}

void make_alloc_unbound(struct worker *w, struct call *c)
{
	struct evtchn_alloc_unbound *a = room(w, sizeof(*a));

	a->dom = DOMID_SELF;
	a->remote_dom = (domid_t)any_domain(w);
	event(c, EVTCHNOP_alloc_unbound, a);
	c->what = offsetof(struct evtchn_alloc_unbound, port) / sizeof(uint32_t);
	c->done = bound;
}

void make_bind_interdomain(struct worker *w, struct call *c)
{
	struct evtchn_bind_interdomain *b = room(w, sizeof(*b));
	bool own = below(w, 2);

	b->remote_dom = (domid_t)(own ? DOMID_SELF : child);
	b->remote_port = own ? any_port(w) : 1 + (uint32_t)below(w, CHILD_PORTS + 2);
	event(c, EVTCHNOP_bind_interdomain, b);
	c->what = offsetof(struct evtchn_bind_interdomain, local_port) / sizeof(uint32_t);
	c->done = bound;
}

void make_bind_ipi(struct worker *w, struct call *c)
{
	struct evtchn_bind_ipi *b = room(w, sizeof(*b));

	b->vcpu = w->id;
	event(c, EVTCHNOP_bind_ipi, b);
	c->what = offsetof(struct evtchn_bind_ipi, port) / sizeof(uint32_t);
	c->done = bound;
}

static void closed(struct worker *w, const struct call *c)
{
	w->ports[c->what] = 0;
}

void make_close(struct worker *w, struct call *c)
{
	struct evtchn_close *close = room(w, sizeof(*close));

	c->what = (unsigned)below(w, PORTS);
	close->port = w->ports[c->what];
	event(c, EVTCHNOP_close, close);
	c->done = closed;
}

static void with_port(struct worker *w, struct call *c, unsigned command)
{
	uint32_t *port = room(w, 8);

	*port = any_port(w);
	event(c, command, port);
}

void make_send(struct worker *w, struct call *c)
{
	with_port(w, c, EVTCHNOP_send);
}

void make_unmask(struct worker *w, struct call *c)
{
	with_port(w, c, EVTCHNOP_unmask);
}

void make_bind_vcpu(struct worker *w, struct call *c)
{
	with_port(w, c, EVTCHNOP_bind_vcpu);
	((struct evtchn_bind_vcpu *)c->argument)->vcpu = (uint32_t)below(w, 2);
}

void make_status(struct worker *w, struct call *c)
{
	struct evtchn_status *s = room(w, sizeof(*s));

	s->dom = DOMID_SELF;
	s->port = any_port(w);
	event(c, EVTCHNOP_status, s);
}

/* --- the rest --------------------------------------------------------------------------------- */

void make_poll(struct worker *w, struct call *c)
{
	struct sched_poll *p = room(w, sizeof(*p));
	uint32_t *ports = room(w, 4 * sizeof(*ports));

	p->nr_ports = (uint32_t)below(w, 4);
	for (unsigned i = 0; i < p->nr_ports; i++)
		ports[i] = any_port(w);
	p->ports = handle(ports);
	p->timeout = 1; /* long ago */
	call(c, __HYPERVISOR_sched_op, SCHEDOP_poll, p, 0);
	c->careful = true;
}

static void vcpu(struct call *c, unsigned command, unsigned id, void *argument)
{
	call(c, __HYPERVISOR_vcpu_op, command, (void *)(uintptr_t)id, (unsigned long)argument);
}

void make_runstate(struct worker *w, struct call *c)
{
	if (below(w, 2))
		vcpu(c, VCPUOP_is_up, (unsigned)below(w, 2), NULL);
	else
		vcpu(c, VCPUOP_get_runstate_info, (unsigned)below(w, 2),
		     room(w, sizeof(struct vcpu_runstate_info)));
}

void make_timer(struct worker *w, struct call *c)
{
	struct vcpu_set_singleshot_timer *t = room(w, sizeof(*t));

	t->timeout_abs_ns = chance(w) >> 20;
	if (below(w, 2))
		vcpu(c, VCPUOP_set_singleshot_timer, w->id, t);
	else
		vcpu(c, VCPUOP_stop_singleshot_timer, w->id, NULL);
}

void make_parameter(struct worker *w, struct call *c)
{
	static const uint32_t known[] = {HVM_PARAM_STORE_PFN, HVM_PARAM_STORE_EVTCHN,
					 HVM_PARAM_CONSOLE_PFN, HVM_PARAM_CONSOLE_EVTCHN};
	struct xen_hvm_param *p = room(w, sizeof(*p));

	p->domid = DOMID_SELF;
	p->index = known[below(w, array_size(known))];
	call(c, __HYPERVISOR_hvm_op, HVMOP_get_param, p, 0);
}

void make_yield(struct worker *w, struct call *c)
{
	(void)w;
	call(c, __HYPERVISOR_sched_op, 0, NULL, 0);
}

/* --- between the calls ------------------------------------------------------------------------ */

/* The grant table is where it was, its entries grant again, and there is some RAM and some room. */
void restore(struct worker *w)
{
	volatile struct grant_entry_v1 *table = table_home();
	unsigned page = any_page(w);
	native_ulong_t gfn = pool_gfn(w, page);
	memory_reservation_t r = {
	    .extent_start = handle(&gfn), .nr_extents = 1, .domid = DOMID_SELF};

	for (unsigned i = 0; i < 4; i++) {
		grant_ref_t ref = own_ref(w);

		if (!(table[ref].flags & (GTF_reading | GTF_writing)))
			grant_access(table, ref, below(w, 4) ? self_domain() : child,
				     (void *)(uintptr_t)(pool_gfn(w, any_page(w)) * PAGE_SIZE), 0);
	}
	memory_op(XENMEM_populate_physmap, &r);
	w->given_back[page] = false;
	clear_place(w, (unsigned)below(w, PLACES));
}

void clear_place(struct worker *w, unsigned place)
{
	remove_from_physmap_t r = {.domid = DOMID_SELF, .gpfn = place_gfn(w, place)};

	if (w->places[place].kind == PLACE_GRANT)
		grant_unmap(place_address(w, place), w->places[place].handle);
	memory_op(XENMEM_remove_from_physmap, &r);
	w->places[place].kind = PLACE_EMPTY;
}

void prepare(struct worker *w, unsigned id, uint64_t seed)
{
	w->id = id;
	w->random = seed | 1;
	w->arena = (void *)(RAM_END - (id + 1) * ARENA_SIZE);
	for (unsigned i = 0; i < 16; i++)
		restore(w);
}

/* --- the child -------------------------------------------------------------------------------- */

static unsigned lives;

static long control(unsigned command)
{
	return hypercall(__HYPERVISOR_keyhole_control, command, child, 0);
}

void tend_child(struct worker *w)
{
	switch (control(KEYHOLE_CONTROL_STATE)) {
	case KEYHOLE_DOMAIN_ABSENT:
		lives += control(KEYHOLE_CONTROL_CREATE) == 0;
		break;
	case KEYHOLE_DOMAIN_RUNNING:
		if (!below(w, 8))
			control(KEYHOLE_CONTROL_PAUSE);
		else if (!below(w, 4))
			control(KEYHOLE_CONTROL_DESTROY);
		else if (!below(w, 8))
			lives += control(KEYHOLE_CONTROL_RESTART) == 0;
		break;
	case KEYHOLE_DOMAIN_PAUSED:
		control(below(w, 4) ? KEYHOLE_CONTROL_RESUME : KEYHOLE_CONTROL_DESTROY);
		break;
	default: /* it comes or goes */
		break;
	}
}

unsigned child_lives(void)
{
	return lives;
}

static bool is_gone(void)
{
	long state = control(KEYHOLE_CONTROL_STATE);

	if (state == KEYHOLE_DOMAIN_RUNNING || state == KEYHOLE_DOMAIN_PAUSED)
		control(KEYHOLE_CONTROL_DESTROY);
	return state == KEYHOLE_DOMAIN_ABSENT;
}

bool end_child(void)
{
	return WAIT_UNTIL(is_gone());
}
