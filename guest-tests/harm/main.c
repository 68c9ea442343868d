/*
 * harm: a granter and a mapper that misbehave take nothing from a third guest. `role=`:
 *
 *	director  directs the others through phases, and watches
 *	watch	  watches only
 *	granter	  grants pages, and revokes them all the time
 *	mapper	  copies, maps to its limits, makes and destroys the child whose pages it uses
 *	(child)	  grants pages to the mapper, and is busy
 *
 * Who watches measures what it has of its processor, first while the others do nothing but compute;
 * then it must be as much, but for a part of what may depend on them. `busy=` vCPUs have the
 * processor, itself among them; in the last phase, when the child is there as well, `last=`. It
 * also measures how long it waits at most, and sees to its memory, its grants and its events.
 */
#include "harm.h"

#define DIRECTION_AT (HOLE + 0x100000)

volatile struct direction *direction;

volatile void *map_page(uint32_t domain, grant_ref_t ref, unsigned long address)
{
	grant_handle_t handle;

	if (!WAIT_UNTIL(grant_map(domain, ref, address, GNTMAP_host_map, &handle) == GNTST_okay))
		tap_bail_out("no page of d%u", domain);
	return (volatile void *)address;
}

enum phase follow(void)
{
	if (!direction)
		direction = map_page(DIRECTOR, DIRECTION_REF(self_domain()), DIRECTION_AT);
	enum phase phase = (enum phase)direction->phase;
	direction->at[self_domain()] = phase;
	return phase;
}

void be_busy(void)
{
	/* No PAUSE: the processor would take it for waiting. */
	while (direction->phase == PHASE_BUSY)
		barrier();
}

void lend(volatile struct grant_entry_v1 *table, uint32_t domain)
{
	for (unsigned i = 0; i < REFS; i++)
		grant_access(table, REF_FIRST + i, domain, (const void *)lent(i), 0);
}

static _Noreturn void be_child(void)
{
	volatile struct grant_entry_v1 *table = grant_table_at(HOLE);

	for (unsigned i = 0; i < REFS; i++)
		*lent(i) = LENT_WORD(i);
	lend(table, MAPPER);
	for (;;)
		barrier();
}

static bool has_role(const char *name)
{
	const char *role = option("role");

	return role && memcmp(role, name, strlen(name)) == 0;
}

int main(void)
{
	static volatile struct direction own __attribute__((aligned(PAGE_SIZE)));

	if (has_role("child"))
		be_child();
	if (has_role("director"))
		direction = &own;
	if (has_role("granter"))
		be_granter();
	else if (has_role("mapper"))
		be_mapper();
	else
		be_watch(direction == &own);
	tap_done();
}
