/*
 * xenstore: that there is none but for the domain's own number is the answer to every request:
 * whole, in pieces, over the end of the ring, many at once, and none to indices and lengths that
 * lie.
 */
#include "guest.h"
#include "public/event_channel.h"
#include "public/hvm/hvm_op.h"
#include "public/xs_wire.h"

#define ANSWER	     "ENOENT"
#define ANSWER_BYTES (sizeof(struct xsd_sockmsg) + sizeof(ANSWER))

static volatile struct xenstore_domain_interface *page;
static uint32_t port;

static void tell(void)
{
	struct evtchn_send op = {port};

	if (hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (unsigned long)&op, 0))
		tap_bail_out("no event to the xenstore");
}

static void ask(const void *what, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++)
		page->req[(page->req_prod + i) % XENSTORE_RING_SIZE] = ((const char *)what)[i];
	page->req_prod += length;
}

static void ask_header(uint32_t id, uint32_t length)
{
	struct xsd_sockmsg m = {.type = XS_READ, .req_id = id, .tx_id = ~id, .len = length};

	ask(&m, sizeof(m));
}

/* Takes an answer off the ring; whether it is one to that request, and as it should be. */
static bool answered(uint32_t id)
{
	char got[ANSWER_BYTES];
	struct xsd_sockmsg m;

	if (page->rsp_prod - page->rsp_cons < sizeof(got))
		return false;
	for (uint32_t i = 0; i < sizeof(got); i++)
		got[i] = page->rsp[(page->rsp_cons + i) % XENSTORE_RING_SIZE];
	page->rsp_cons += sizeof(got);
	memcpy(&m, got, sizeof(m));
	return m.type == XS_ERROR && m.req_id == id && m.tx_id == ~id && m.len == sizeof(ANSWER) &&
	       !memcmp(got + sizeof(m), ANSWER, sizeof(ANSWER));
}

/* One byte off the ring. */
static char get(void)
{
	return page->rsp[page->rsp_cons++ % XENSTORE_RING_SIZE];
}

static void own_number(void)
{
	struct xsd_sockmsg m = {.type = XS_READ, .req_id = 3, .tx_id = 4, .len = sizeof("domid")};
	struct xsd_sockmsg got = {0};
	uint32_t id = cpuid(XEN_CPUID_LEAF(4), 0).ecx, said = 0;

	ask(&m, sizeof(m));
	ask("domid", sizeof("domid"));
	tell();
	for (uint32_t i = 0; i < sizeof(got); i++)
		((char *)&got)[i] = get();
	tap_ok(got.type == XS_READ && got.req_id == 3 && got.tx_id == 4 &&
		   got.len == (id < 10 ? 1 : 2),
	       "an answer");
	for (uint32_t i = 0; i < got.len; i++)
		said = said * 10 + (uint32_t)(get() - '0');
	tap_is(said, id, "the number of this domain");
	tap_is(page->rsp_prod, page->rsp_cons, "and nothing behind it");
	m.type = XS_READ + 1;
	m.tx_id = ~m.req_id;
	ask(&m, sizeof(m));
	ask("domid", sizeof("domid"));
	tell();
	tap_ok(answered(3), "by reading only");
}

static bool silent(void)
{
	tell();
	return page->rsp_prod == page->rsp_cons;
}

static void requests(void)
{
	unsigned right = 0;

	tap_ok(silent(), "nothing asked, nothing answered");
	ask_header(7, 5);
	tap_ok(silent(), "half a request");
	ask("domid", 5);
	tell();
	tap_ok(answered(7) && silent(),
	       "the whole one: there is no such thing, without its zero byte");
	tap_is(page->req_cons, page->req_prod, "it is taken off the ring");
	ask_header(8, 0);
	tell();
	tap_ok(answered(8), "one without a body");
	ask_header(9, 3000);
	for (unsigned n = 0; n < 30; n++) {
		right += silent();
		ask("01234567890123456789012345678901234567890123456789"
		    "01234567890123456789012345678901234567890123456789",
		    100);
	}
	tell();
	tap_ok(answered(9) && right == 30, "one that is longer than the ring, in pieces");
	right = 0;
	for (uint32_t n = 0; n < 300; n++) { /* some 12 times around both rings */
		ask_header(n, n % 50);
		ask("01234567890123456789012345678901234567890123456789", n % 50);
		tell();
		right += answered(n);
	}
	tap_is(right, 300, "many, over the ends of both rings");
}

static void full(void)
{
	unsigned first = 0, rest = 0;

	for (uint32_t n = 0; n < XENSTORE_RING_SIZE / sizeof(struct xsd_sockmsg); n++)
		ask_header(n, 0);
	tell();
	tap_is(page->rsp_prod - page->rsp_cons, XENSTORE_RING_SIZE / ANSWER_BYTES * ANSWER_BYTES,
	       "as many answers as fit");
	while (answered(first))
		first++;
	tell();
	while (answered(first + rest))
		rest++;
	tap_is(first + rest, XENSTORE_RING_SIZE / sizeof(struct xsd_sockmsg),
	       "and then the others");
}

static void lies(void)
{
	uint32_t at = page->req_cons;

	page->req_prod = at + XENSTORE_RING_SIZE + 1;
	tap_ok(silent(), "more than the ring holds");
	page->req_prod = at - 1;
	tap_ok(silent(), "less than nothing");
	page->req_prod = at;
	ask_header(2, 0);
	page->rsp_cons = page->rsp_prod + 1;
	tell();
	tap_is(page->rsp_prod + 1, page->rsp_cons, "answers that were taken before they came");
	page->rsp_cons = page->rsp_prod;
	tell();
	tap_ok(answered(2), "all is well again");
	ask_header(3, ~0u);
	tap_ok(silent(), "a body of 4 GiB: only its own asker waits for it");
	ask_header(4, 0);
	tap_ok(silent() && page->req_cons == page->req_prod, "all that comes belongs to it");
}

int main(void)
{
	page = (void *)(uintptr_t)(hvm_parameter(HVM_PARAM_STORE_PFN) * PAGE_SIZE);
	port = (uint32_t)hvm_parameter(HVM_PARAM_STORE_EVTCHN);
	requests();
	own_number();
	full();
	lies();
	tap_done();
}
