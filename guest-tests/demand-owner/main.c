/*
 * demand-owner: its RAM is looked into by the domain behind it, through windows. It gives parts of
 * it back and takes them again when it is asked.
 */
#include "guest.h"
#include "shared.h"

static struct span_page *page(unsigned i)
{
	return (struct span_page *)(SPAN_AT + i * PAGE_SIZE);
}

static long change(unsigned command, unsigned first, unsigned count, unsigned order)
{
	static native_ulong_t gfns[GIVEN_COUNT];
	memory_reservation_t r = {.extent_start = handle(gfns),
				  .nr_extents = count,
				  .extent_order = order,
				  .domid = DOMID_SELF};

	for (unsigned i = 0; i < count; i++)
		gfns[i] = (native_ulong_t)(SPAN_AT / PAGE_SIZE + first + i);
	return memory_op(command, &r);
}

static void fill(unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++)
		page(i)->owner = MAGIC_AGAIN(i);
}

int main(void)
{
	struct control *control = (struct control *)CONTROL_AT;
	unsigned wrong = 0, last = 0;

	for (unsigned i = 0; i < SPAN; i++)
		page(i)->owner = MAGIC(i);
	control->ready = 1;
	for (;;) {
		if (!WAIT_UNTIL(control->request != last))
			tap_bail_out("nothing was asked for after %u", last);
		last = control->request;
		if (last == GIVE_BACK) {
			tap_is(change(XENMEM_decrease_reservation, GIVEN, GIVEN_COUNT, 0),
			       GIVEN_COUNT, "pages go, although another has them mapped");
			tap_is(change(XENMEM_decrease_reservation, GIVEN_BLOCK, 1, 9), 1,
			       "so does a block");
		} else if (last == TAKE) {
			tap_is(change(XENMEM_populate_physmap, GIVEN, GIVEN_COUNT, 0), GIVEN_COUNT,
			       "as many come back: nobody holds on to the old ones");
			tap_is(change(XENMEM_populate_physmap, GIVEN_BLOCK, 1, 9), 1,
			       "and the block");
			fill(GIVEN, GIVEN_COUNT);
			fill(GIVEN_BLOCK, BLOCK_PAGES);
		} else if (last == CHURN) {
			unsigned rounds = 0;

			for (; control->request == CHURN; rounds++) {
				wrong += change(XENMEM_decrease_reservation, GIVEN, GIVEN_COUNT,
						0) != GIVEN_COUNT;
				yield();
				wrong += !WAIT_UNTIL(change(XENMEM_populate_physmap, GIVEN,
							    GIVEN_COUNT, 0) == GIVEN_COUNT);
				fill(GIVEN, GIVEN_COUNT);
				yield();
			}
			tap_is(wrong, 0, "memory goes and comes while it is looked at");
			printf("# %u rounds\n", rounds);
		} else {
			break;
		}
		control->done = last;
	}
	for (unsigned i = 0; control->written && i < SPAN; i++)
		wrong += page(i)->mapper != MAGIC_MAPPER(i);
	tap_is(wrong, 0, "what was written through windows is there");
	tap_done();
}
