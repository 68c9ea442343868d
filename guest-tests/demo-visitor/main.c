/*
 * demo-visitor: maps a page of demo-owner, the domain before it (or `peer=`): first by the grant
 * that the owner gives, then as a foreign page, by its own right (priv=).
 */
#include "../demo-owner/shared.h"
#include "guest.h"

static struct demo_page *const granted = (struct demo_page *)HOLE;
static struct demo_page *const foreign = (struct demo_page *)(HOLE + PAGE_SIZE);

static void answer(struct demo_page *page, const char *text, uint32_t step)
{
	memcpy(page->from_visitor, text, strlen(text) + 1);
	barrier();
	page->step = step;
}

static void by_grant(uint32_t peer)
{
	grant_handle_t handle;

	tap_ok(WAIT_UNTIL(grant_map(peer, DEMO_REF, (unsigned long)granted, GNTMAP_host_map,
				    &handle) == GNTST_okay),
	       "a page of domain %u is mapped by its grant", peer);
	tap_ok(WAIT_UNTIL(granted->step == OWNER_GREETS), "it says: \"%s\"", granted->from_owner);
	answer(granted, "thank you for the page", VISITOR_ANSWERS);
	tap_is(grant_unmap((unsigned long)granted, handle), GNTST_okay, "it is unmapped");
}

static void by_right(uint32_t peer)
{
	tap_ok(foreign_map(peer, DEMO_PAGE / PAGE_SIZE, (unsigned long)foreign) == 0,
	       "the same page is mapped as a foreign one");
	tap_ok(WAIT_UNTIL(foreign->step == OWNER_GREETS_AGAIN), "it says: \"%s\"",
	       foreign->from_owner);
	answer(foreign, "I can see you anyway", VISITOR_ANSWERS_AGAIN);
	tap_is(page_remove((unsigned long)foreign), 0, "it is taken away");
}

int main(void)
{
	uint32_t peer = (uint32_t)option_number("peer", self_domain() - 1);

	tap_plan(6);
	printf("# I am domain %u\n", self_domain());
	by_grant(peer);
	by_right(peer);
	tap_done();
}
