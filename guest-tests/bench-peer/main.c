/*
 * bench-peer: grants pages to the benchmark guest, the domain after it, and lets it run.
 */
#include "../bench/shared.h"
#include "guest.h"

int main(void)
{
	uint32_t peer = self_domain() + 1;
	volatile struct grant_entry_v1 *table = grant_table_at(HOLE);
	struct bench_control *control = page_alloc();

	tap_plan(1);
	for (unsigned i = 0; i < GRANTS; i++)
		grant_access(table, REF_FIRST + i, peer, page_alloc(), 0);
	grant_access(table, REF_CONTROL, peer, control, 0);
	/* As long as it takes: the harness has the time limit. */
	while (!control->done)
		yield();
	tap_ok(true, "the measurements are over");
	tap_done();
}
