/*
 * input: what was typed for this guest, as the test hypercall says, by each of the ways to read it:
 * console_io, the serial port and the console ring, whose indices lie; and too much of it.
 */
#include "guest.h"
#include "public/console_ring.h"
#include "public/event_channel.h"
#include "public/hvm/hvm_op.h"
#include "public/keyhole.h"
#include "public/shared_info.h"

#ifdef __x86_64__
#define SHARED ((volatile struct shared_info *)HOLE)
#else
#define SHARED ((volatile struct compat_shared_info *)HOLE)
#endif
#define PORT_BITS (8 * sizeof(SHARED->evtchn_pending[0]))
#define SERIAL	  0x3f8
#define BUFFER	  1024u /* of the hypervisor's; as much fits in the ring */

enum { DATA, IER, IIR, LCR, MCR, LSR };

static volatile struct xencons_interface *ring;
static uint32_t console_port, virq_port;
static char text[256];

static void type(const char *what)
{
	struct keyhole_test_input input = {.length = (uint32_t)strlen(what)};

	memcpy(input.text, what, input.length);
	if (hypercall(__HYPERVISOR_keyhole_test, KEYHOLE_TEST_INPUT, (unsigned long)&input, 0))
		tap_bail_out("nothing can be typed: this is no test build");
}

static long read_text(unsigned long count)
{
	memset(text, 0, sizeof(text));
	return console_io(CONSOLEIO_read, count, text);
}

static bool is_text(const char *wanted)
{
	return !memcmp(text, wanted, strlen(wanted) + 1);
}

static long evtchn_op(unsigned command, void *argument)
{
	return hypercall(__HYPERVISOR_event_channel_op, command, (unsigned long)argument, 0);
}

static void send(void)
{
	struct evtchn_send op = {console_port};

	tap_is(evtchn_op(EVTCHNOP_send, &op), 0, "an event to the console");
}

/* Clears a port's pending bit; whether it was set. */
static bool take(uint32_t port)
{
	volatile void *word = &SHARED->evtchn_pending[port / PORT_BITS];
	uint32_t bit = 1u << port % 32;
	volatile uint32_t *half = (volatile uint32_t *)word + port % PORT_BITS / 32;

	return __atomic_fetch_and(half, ~bit, __ATOMIC_SEQ_CST) & bit;
}

static void prepare(void)
{
	add_to_physmap_t op = {
	    .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = HOLE / PAGE_SIZE};
	struct evtchn_bind_virq bind = {.virq = VIRQ_CONSOLE};

	tap_is(memory_op(XENMEM_add_to_physmap, &op), 0, "the shared-info page");
	tap_is(evtchn_op(EVTCHNOP_bind_virq, &bind), 0, "the console's interrupt");
	virq_port = bind.port;
	ring = (void *)(uintptr_t)(hvm_parameter(HVM_PARAM_CONSOLE_PFN) * PAGE_SIZE);
	console_port = (uint32_t)hvm_parameter(HVM_PARAM_CONSOLE_EVTCHN);
}

static void by_call(void)
{
	void *nowhere = (void *)(HOLE + 64 * PAGE_SIZE);

	tap_is(read_text(sizeof(text)), 0, "nothing was typed");
	tap_is(console_io(CONSOLEIO_read, 10, nowhere), 0, "wherever it would go to");
	tap_ok(!take(virq_port), "and there was no event");
	type("hello\r");
	tap_ok(take(virq_port), "an event tells of something");
	tap_is(read_text(0), 0, "none of it is asked for");
	tap_is(console_io(CONSOLEIO_read, 10, nowhere), -XEN_EFAULT, "no memory to read it to");
	tap_is(console_io(CONSOLEIO_read, 10, (void *)~0ul), -XEN_EFAULT, "nor at the end of all");
	tap_is(read_text(3), 3, "a part of it");
	tap_ok(is_text("hel"), "from the beginning");
	tap_is(read_text(sizeof(text)), 3, "the rest");
	tap_ok(is_text("lo\r"), "which nothing has become of");
	tap_is(read_text(sizeof(text)), 0, "and no more");
	tap_ok(!take(virq_port), "nor another event");
	type("");
	tap_is(read_text(1), 0, "nothing typed is nothing to read");
	for (unsigned i = 0; i < 4; i++)
		type("0123456789012345678901234567890123456789");
	tap_is(read_text(0xffffffff), 128, "a call brings 128 characters at most");
	tap_is(read_text(0xffffffff), 32, "the next one the others");
	tap_ok(is_text("89012345678901234567890123456789"), "in order");
	tap_is(console_io(2, 1, text), -XEN_ENOSYS, "no third command");
}

static void by_port(void)
{
	tap_is(inb(SERIAL + LSR), 0x60, "the serial port has nothing either");
	type("ab");
	outb(SERIAL + IER, 1);
	tap_is(inb(SERIAL + LSR), 0x61, "it has");
	tap_is(inb(SERIAL + IIR) & 0xf, 4, "an interrupt to be polled for");
	tap_is(inb(SERIAL + DATA), 'a', "the first character");
	tap_is(read_text(5), 1, "what one way has read the other does not");
	tap_ok(is_text("b"), "and has the next");
	tap_is(inb(SERIAL + LSR), 0x60, "which the first then misses");
	outb(SERIAL + IER, 0);
	take(virq_port);
}

/* What is in the ring from there on. */
static bool in_ring(uint32_t from, const char *wanted)
{
	for (; *wanted; wanted++, from++)
		if (ring->in[from % XENCONS_IN_SIZE] != *wanted)
			return false;
	return true;
}

static void by_ring(void)
{
	take(console_port);
	type("to nobody");
	tap_is(ring->in_prod, 0, "a ring that was never used gets nothing");
	tap_ok(!take(console_port), "no event");
	send();
	tap_is(ring->in_prod, 9, "it is used: it gets what there is");
	tap_ok(in_ring(0, "to nobody"), "as it was typed");
	tap_ok(take(console_port), "with an event");
	take(virq_port);
	type("more");
	tap_is(ring->in_prod, 13, "then all that comes");
	tap_ok(in_ring(9, "more"), "behind it");
	tap_ok(take(console_port), "with an event each");
	tap_ok(!take(virq_port), "and no other");
	tap_is(read_text(9), 0, "the call brings nothing any more");
	ring->in_cons = 13;
	send();
	tap_ok(!take(console_port), "nothing new is no event");
}

static void lies(void)
{
	/* As if more were in it than it holds. */
	ring->in_cons = 0;
	ring->in_prod = 0xfffffff0;
	type("kept");
	tap_is(ring->in_prod, 0xfffffff0, "indices that make no sense: nothing is put there");
	tap_ok(!take(console_port), "no event");
	ring->in_cons = 0xfffffff0 - XENCONS_IN_SIZE;
	send();
	tap_is(ring->in_prod, 0xfffffff0, "nor in a full one");
	ring->in_cons += 2;
	send();
	tap_is(ring->in_prod, 0xfffffff2, "as much as there is room for");
	tap_ok(in_ring(0xfffffff0, "ke"), "the first of it");
	ring->in_cons = 0xfffffff0;
	type(" and this, over the end");
	tap_is(ring->in_prod, 11, "the rest, over the wrap of the indices");
	tap_ok(in_ring(0xfffffff0, "kept and this, over the end"), "in order");
	ring->in_cons = ring->in_prod;
}

static void too_much(void)
{
	struct evtchn_close op = {console_port};
	uint32_t before = ring->in_prod;
	unsigned bytes = 0;

	for (unsigned i = 0; i < 50; i++)
		type("fifty characters, which is what one can be sure of");
	tap_is(ring->in_prod - before, XENCONS_IN_SIZE, "the ring is full");
	while (inb(SERIAL + LSR) & 1) {
		inb(SERIAL + DATA);
		bytes++;
	}
	tap_is(bytes, BUFFER, "and so was the buffer before it");
	type("x");
	tap_is(inb(SERIAL + LSR), 0x61, "an overrun was told once");
	for (unsigned i = 0; i < 50; i++)
		type("fifty characters, which is what one can be sure of");
	tap_is(inb(SERIAL + LSR), 0x63, "another one is told");
	take(console_port);
	tap_is(evtchn_op(EVTCHNOP_close, &op), 0, "the console's port is closed");
	ring->in_cons = ring->in_prod;
	type("x");
	tap_ok(!take(console_port), "without it there is no event");
}

int main(void)
{
	prepare();
	by_call();
	by_port();
	by_ring();
	lies();
	too_much();
	tap_done();
}
