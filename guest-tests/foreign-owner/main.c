/*
 * foreign-owner: does nothing to be mapped; its pages are, by the domain after it. It has no right
 * of its own to map anything, which it tries. It ends when `mappers=` (1) of them have said that
 * they are done.
 */
#include "guest.h"
#include "shared.h"

int main(void)
{
	struct shared_page *first = (struct shared_page *)SHARED_START;
	uint64_t mappers = option_number("mappers", 1);
	unsigned wrong = 0;

	grant_access(grant_table_at(TABLE_AT), GRANT_OF_OWNER, self_domain() + 1, first, 0);
	tap_plan(5);
	tap_is(foreign_map(self_domain() + 1, SHARED_START / PAGE_SIZE, HOLE), -XEN_EPERM,
	       "without the right no foreign page is mapped");
	tap_is(foreign_map(0x7000, 1, HOLE), -XEN_EPERM, "nor does one learn which domains exist");
	for (unsigned i = 0; i < BLOCK_PAGES; i++)
		*(volatile uint64_t *)(BLOCK_START + i * PAGE_SIZE) = OWNER_MAGIC(1000 + i);
	for (unsigned i = SHARED_PAGES; i-- > 0;)
		((struct shared_page *)(SHARED_START + i * PAGE_SIZE))->owner = OWNER_MAGIC(i);
	tap_ok(WAIT_UNTIL(first->mappers_done >= mappers), "%u mappers are done",
	       (unsigned)mappers);
	for (unsigned i = 0; i < SHARED_PAGES; i++) {
		struct shared_page *page = (struct shared_page *)(SHARED_START + i * PAGE_SIZE);

		wrong += page->mapper != MAPPER_MAGIC(i);
	}
	tap_is(wrong, 0, "each page holds the answer");
	tap_is(first->owner, OWNER_MAGIC(0), "and what stood there before");
	tap_done();
}
