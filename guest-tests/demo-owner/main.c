/*
 * demo-owner: shares a page of its memory with demo-visitor, the domain after it (or `peer=`):
 * first by a grant, which it gives and ends; then by nothing of its own doing, when the visitor,
 * which has the right to, maps it as a foreign page.
 */
#include "guest.h"
#include "shared.h"

static struct demo_page *page = (struct demo_page *)DEMO_PAGE;

static void say(const char *text, uint32_t step)
{
	memcpy(page->from_owner, text, strlen(text) + 1);
	barrier();
	page->step = step;
}

static void hear(uint32_t step, const char *way)
{
	tap_ok(WAIT_UNTIL(page->step == step), "an answer %s: \"%s\"", way, page->from_visitor);
}

int main(void)
{
	uint32_t peer = (uint32_t)option_number("peer", self_domain() + 1);
	volatile struct grant_entry_v1 *table = grant_table_at(HOLE);

	tap_plan(3);
	printf("# I am domain %u; page 0x%lx of my memory is granted to domain %u\n", self_domain(),
	       DEMO_PAGE, peer);
	say("hello through a grant", OWNER_GREETS);
	grant_access(table, DEMO_REF, peer, page, 0);
	hear(VISITOR_ANSWERS, "through the grant");
	tap_ok(WAIT_UNTIL((table[DEMO_REF].flags & (GTF_reading | GTF_writing)) == 0),
	       "the visitor has unmapped it");
	table[DEMO_REF].flags = 0;
	printf("# the grant is ended; the page is mine alone, but for those with the right to see "
	       "it\n");
	say("hello again, without a grant", OWNER_GREETS_AGAIN);
	hear(VISITOR_ANSWERS_AGAIN, "through the foreign mapping");
	tap_done();
}
