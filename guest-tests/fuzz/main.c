/*
 * fuzz: every vCPU makes its share of `calls=` hypercalls, while vCPU 0 also makes and destroys
 * another domain, the child. Each call is made of a valid one (it may then carry a mistake, go
 * through a multicall or have guest-physical pointers) or at random. How often a valid one succeeds
 * is counted, and must be often enough: calls that are all refused test nothing. A third guest,
 * whose pages nobody has a right to, looks whether any of them changes.
 *
 * What would end or block the caller itself is left out; so are values that stand for memory of its
 * own that it needs. `seed=` repeats a run as far as the vCPUs' interleaving allows.
 */
#include "fuzz.h"

/* Not within the first 2 MiB, which a mistake may give back as one extent. */
__asm__(".globl guest_base\n.set guest_base, 0x400000");

static const struct {
	const char *name;
	void (*make)(struct worker *w, struct call *c);
	unsigned share;	  /* of all calls, in 1/1000 */
	unsigned succeed; /* of these, in 1/1000, at least */
} operations[OPERATIONS] = {
#define OPERATION(name, share, succeed) [OP_##name] = {#name, make_##name, share, succeed},
#include "operations.h"
#undef OPERATION
};

struct worker workers[WORKERS_MAX];
uint32_t child;
static unsigned vcpus;
static uint64_t calls_each;
static volatile unsigned ready;

/* --- chance ----------------------------------------------------------------------------------- */

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled".
 */
uint64_t chance(struct worker *w)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return w->random * 0x2545f4914f6cdd1dull;
}

/*
 * A number that calls may have trouble with. As a frame or an address it is none that the guest
 * needs (its image lies from 4 to 6 MiB, its RAM ends at 16 MiB), as a domain not the third guest,
 * which is number 1; nor are its lower 32 or 16 bits.
 */
uint64_t nasty(struct worker *w)
{
	uint64_t bit = 12 + below(w, 52);

	switch (below(w, 12)) {
	case 0:
		return 0;
	case 1:
		return ~0ull >> below(w, 33);
	case 2:
		return (bit >= 20 && bit < 24) || bit % 16 == 0 ? 1ull << 29 : 1ull << bit;
	case 3:
		return 0x80000000 + 3 * below(w, 3) - 3;
	case 4:
		return chance(w) << 36;
	case 5:
		return HOLE / PAGE_SIZE + 0x8000 + below(w, 4096);
	case 6:
		return place_address(w, below(w, PLACES));
	case 7:
		return below(w, 2) ? child : DOMID_SELF;
	case 8:
		return (uintptr_t)w->arena + below(w, ARENA_SIZE - 64);
	case 9:
		return pool_gfn(w, below(w, POOL_PAGES));
	case 10:
		return 2 + below(w, 40);
	default:
		return 0x7ff0 + below(w, 16);
	}
}

/* Room for an argument; it may lie across the end of a page. */
void *room(struct worker *w, size_t size)
{
	size_t at = (w->arena_used + 7) & ~7ul;

	if (at + size > ARENA_SIZE)
		at = 0;
	w->arena_used = at + size;
	memset(w->arena + at, 0, size);
	return w->arena + at;
}

/* --- one call --------------------------------------------------------------------------------- */

/* Whether a call that was not made with care would end, block or drown somebody who is to go on. */
static bool forbidden(const struct call *c)
{
	unsigned long command = c->arg[0];

	switch (c->number & ~KEYHOLE_CALL_PHYSICAL) {
	case __HYPERVISOR_sched_op_compat:
	case __HYPERVISOR_multicall:
	case __HYPERVISOR_keyhole_test:
	case __HYPERVISOR_keyhole_lab:
	case __HYPERVISOR_keyhole_control:
		return true;
	case __HYPERVISOR_sched_op:
		return command != 0 && command != SCHEDOP_pin_override;
	case __HYPERVISOR_vcpu_op:
		return command <= VCPUOP_down || command == VCPUOP_send_nmi;
	case __HYPERVISOR_keyhole_grant:
	case __HYPERVISOR_grant_table_op: /* would write through all memory from there on */
		return c->arg[2] > 64 && c->arg[1] < RAM_END - WORKERS_MAX * ARENA_SIZE;
	case __HYPERVISOR_keyhole_foreign: /* goes through a range of any length, bit by bit */
		return c->arg[2] > 4096 && (uint16_t)command == KEYHOLE_FOREIGN_REMOVE;
	case __HYPERVISOR_console_io:
		return (uint32_t)command == CONSOLEIO_write && c->arg[1];
	default:
		return false;
	}
}

static void make_random(struct worker *w, struct call *c)
{
	static const unsigned likely[] = {
	    __HYPERVISOR_memory_op, __HYPERVISOR_grant_table_op, __HYPERVISOR_event_channel_op,
	    __HYPERVISOR_vcpu_op,   __HYPERVISOR_hvm_op,	 __HYPERVISOR_keyhole_foreign};

	c->number = below(w, 4) ? likely[below(w, array_size(likely))] : (unsigned)below(w, 64);
	if (!below(w, 8))
		c->number = (unsigned)nasty(w);
	for (unsigned i = 0; i < 5; i++)
		c->arg[i] = (unsigned long)(below(w, 2) ? below(w, 32) : nasty(w));
	if (below(w, 2)) {
		uint64_t *words = room(w, 16 * sizeof(uint64_t));

		for (unsigned i = 0; i < 16; i++)
			words[i] = nasty(w);
		c->arg[1] = (unsigned long)words;
	}
}

/* Puts something else in one place of an argument, or in place of one. */
static void spoil(struct worker *w, struct call *c)
{
	unsigned size = 2u << below(w, 3);
	uint64_t value = nasty(w);

	if (below(w, 3) && w->arena_used >= size)
		memcpy(w->arena + (below(w, w->arena_used) & ~(uint64_t)(size - 1)), &value, size);
	else
		c->arg[below(w, 3)] = (unsigned long)value;
}

/* Counts it, if it was a valid one, and notes what it has changed. */
static void note(struct worker *w, struct call *c, long result)
{
	c->result = result;
	if (c->operation == OPERATIONS)
		return;
	if (result < c->least || (c->status && *c->status)) {
		w->refused[c->operation] = result < c->least ? result : *c->status;
		return;
	}
	w->succeeded[c->operation] += !c->spoiled;
	if (c->done)
		c->done(w, c);
}

static void issue(struct worker *w, struct call *c)
{
	unsigned flag = below(w, 4) ? 0 : KEYHOLE_CALL_PHYSICAL;
	long result =
	    hypercall5(c->number | flag, c->arg[0], c->arg[1], c->arg[2], c->arg[3], c->arg[4]);

	note(w, c, result);
}

/* Several calls in one. */
static void issue_list(struct worker *w, struct call *calls, unsigned count)
{
	struct multicall_entry *list = room(w, count * sizeof(*list));

	for (unsigned i = 0; i < count; i++) {
		list[i].op = calls[i].number;
		for (unsigned n = 0; n < 5; n++)
			list[i].args[n] = calls[i].arg[n];
	}
	if (hypercall(__HYPERVISOR_multicall, (unsigned long)list, count, 0))
		return;
	for (unsigned i = 0; i < count; i++)
		note(w, &calls[i], (long)list[i].result);
}

static unsigned choose(struct worker *w)
{
	uint64_t n = below(w, 1000);
	unsigned op = 0;

	while (op < OPERATIONS - 1 && n >= operations[op].share)
		n -= operations[op++].share;
	return op;
}

static void make(struct worker *w, struct call *c)
{
	*c = (struct call){.operation = choose(w)};
	w->made[c->operation]++;
	operations[c->operation].make(w, c);
}

#define LIST_MAX 6u

static void turn(struct worker *w)
{
	struct call c[LIST_MAX];

	w->arena_used = below(w, 4) ? 0 : PAGE_SIZE - 8 * (1 + below(w, 16));
	switch (below(w, 8)) {
	case 0:
	case 1: {
		c[0] = (struct call){.operation = OPERATIONS};
		make_random(w, &c[0]);
		if (!forbidden(&c[0]))
			issue(w, &c[0]);
		w->calls++;
		break;
	}
	case 2: {
		make(w, &c[0]);
		w->made[c[0].operation]--;
		c[0].spoiled = true;
		if (!c[0].careful) {
			spoil(w, &c[0]);
			if (!forbidden(&c[0]))
				issue(w, &c[0]);
		}
		w->calls++;
		break;
	}
	case 3: {
		unsigned count = 1 + (unsigned)below(w, LIST_MAX);

		for (unsigned i = 0; i < count; i++)
			make(w, &c[i]);
		issue_list(w, c, count);
		w->calls += count + 1;
		break;
	}
	default:
		make(w, &c[0]);
		issue(w, &c[0]);
		w->calls++;
	}
}

/* What calls with mistakes have mapped, and nobody has the handle of, stays there. */
static void leave_area(struct worker *w)
{
	for (unsigned place = 0; place < PLACES; place++)
		clear_place(w, place);
	w->area = (unsigned)(w->calls / AREA_CALLS % AREAS);
}

static void work(unsigned id)
{
	struct worker *w = &workers[id];

	ready |= 1u << id;
	while (w->calls < calls_each) {
		turn(w);
		if (!id && !(chance(w) % 256))
			tend_child(w);
		if (!(chance(w) % 64))
			restore(w);
		if (w->calls / AREA_CALLS % AREAS != w->area)
			leave_area(w);
	}
	leave_area(w);
	w->ended = true;
	while (id)
		__asm__ volatile("hlt");
}

/* --- the three guests ------------------------------------------------------------------------- */

static void be_child(void)
{
	volatile struct grant_entry_v1 *table = grant_table_at(HOLE);
	uint32_t parent = self_domain() - 1;

	for (unsigned ref = CHILD_REF; ref < CHILD_REF + CHILD_REFS; ref++)
		grant_access(table, ref, parent, page_alloc(), 0);
	for (unsigned i = 0; i < CHILD_PORTS; i++) {
		struct evtchn_alloc_unbound port = {DOMID_SELF, (domid_t)parent, 0};

		hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound,
			  (unsigned long)&port, 0);
	}
	for (;;)
		yield();
}

#define PATTERN(i) (0x1d3c5a7892b4f6e0ull * ((i) + 1))
#define WORDS	   (1024 * PAGE_SIZE / 8)

/* Nobody has a right to anything of this guest's but to one page, in which it is told the end. */
static void be_bystander(void)
{
	volatile uint64_t *memory = (void *)0x800000ul, *told = page_alloc();
	uint64_t wrong = 0, rounds = 0;

	for (uint64_t i = 0; i < WORDS; i++)
		memory[i] = PATTERN(i);
	grant_access(grant_table_at(HOLE), 8, self_domain() + 1, (const void *)told, 0);
	while (!*told) {
		for (uint64_t i = rounds % 512; i < WORDS; i += 512)
			wrong += memory[i] != PATTERN(i);
		rounds++;
		yield();
	}
	for (uint64_t i = 0; i < WORDS; i++)
		wrong += memory[i] != PATTERN(i);
	tap_is(wrong, 0, "no word of the third guest's changed");
	tap_ok(rounds > 10, "it ran meanwhile: %llu rounds", (unsigned long long)rounds);
	tap_done();
}

static void tell_bystander(void)
{
	grant_handle_t mapping = 0;
	volatile uint64_t *told = (void *)(HOLE + 0x800000);

	restore(&workers[0]);
	if (!tap_ok(WAIT_UNTIL(grant_map(self_domain() - 1, 8, (unsigned long)told, GNTMAP_host_map,
					 &mapping) == GNTST_okay),
		    "the third guest is reached"))
		return;
	*told = 1;
	grant_unmap((unsigned long)told, mapping);
}

static void judge(uint64_t seed, uint64_t ticks)
{
	uint64_t calls = 0;

	for (unsigned op = 0; op < OPERATIONS; op++) {
		uint64_t made = 0, succeeded = 0;

		for (unsigned id = 0; id < vcpus; id++) {
			made += workers[id].made[op];
			succeeded += workers[id].succeeded[op];
		}
		tap_ok(succeeded * 1000 >= made * operations[op].succeed && succeeded,
		       "%s: %llu of %llu succeed; refused by %d", operations[op].name,
		       (unsigned long long)succeeded, (unsigned long long)made,
		       (int)workers[0].refused[op]);
	}
	for (unsigned id = 0; id < vcpus; id++)
		calls += workers[id].calls;
	tap_ok(child_lives() >= calls_each / 25000 + 2, "%u lives of the child", child_lives());
	printf("# %llu calls, %llu ticks each, seed=%llu\n", (unsigned long long)calls,
	       (unsigned long long)(ticks / (calls_each ? calls_each : 1)),
	       (unsigned long long)seed);
}

int main(void)
{
	uint64_t seed = option_number("seed", rdtsc() | 1), start;

	if (option("child"))
		be_child();
	if (option("bystander"))
		be_bystander();
	apic_enable();
	vcpus = cpu_count() < WORKERS_MAX ? cpu_count() : WORKERS_MAX;
	calls_each = option_number("calls", 1000000) / vcpus;
	child = self_domain() + 1;
	printf("# seed=%llu, %u vCPUs\n", (unsigned long long)seed, vcpus);
	for (unsigned id = 0; id < vcpus; id++)
		prepare(&workers[id], id, seed * (id + 1));
	start = rdtsc();
	for (unsigned id = 1; id < vcpus; id++)
		if (!cpu_start(id, work))
			tap_bail_out("vCPU %u does not start", id);
	work(0);
	for (unsigned id = 1; id < vcpus; id++)
		tap_ok(WAIT_UNTIL(workers[id].ended), "vCPU %u has done its share", id);
	judge(seed, rdtsc() - start);
	tap_ok(end_child(), "the child is gone, and nothing is left of it");
	tell_bystander();
	tap_done();
}
