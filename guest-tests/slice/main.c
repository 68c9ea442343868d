/*
 * slice: what a guest has the hypervisor do for it counts against its time. `role=hog` makes costly
 * calls, and next to nothing else, for `slices=` (15) slices; `role=flood` prints lines all that
 * time, by the call and by ports; `role=watch` measures how long the others keep the processor
 * meanwhile.
 */
#include "guest.h"

#define SLICE_US   2000u
#define GAP_TICKS  20000u /* longer than any step of the loop takes */
#define GAPS	   6u
#define SLICES_MAX 10u /* other guests may take turns too, and end a call late */
#define BATCH	   64u

/* A batch of mappings that fail one by one. */
static void hog(uint64_t ticks)
{
	static native_ulong_t numbers[BATCH];
	static int32_t errors[BATCH];
	add_to_physmap_batch_t batch = {.domid = DOMID_SELF,
					.space = XENMAPSPACE_grant_table,
					.size = BATCH,
					.idxs = handle(numbers),
					.gpfns = handle(numbers),
					.errs = handle(errors)};
	uint64_t start = rdtsc();

	for (unsigned i = 0; i < BATCH; i++)
		numbers[i] = (native_ulong_t)~0ull;
	while (rdtsc() - start < ticks)
		memory_op(XENMEM_add_to_physmap_batch, &batch);
	tap_is(errors[BATCH - 1], -XEN_EINVAL, "none of the mappings was made");
}

/* More than the hypervisor keeps; who runs this test sees that they are whole. */
static void flood(uint64_t ticks)
{
	static char line[900];
	uint64_t start = rdtsc();
	unsigned lines = 0;

	memset(line, 'f', sizeof(line));
	line[0] = '#';
	line[sizeof(line) - 1] = '\n';
	while (rdtsc() - start < ticks || lines < 8) {
		if (lines++ % 2)
			console_io(CONSOLEIO_write, sizeof(line), line);
		else
			for (unsigned i = 0; i < sizeof(line); i++)
				outb(lines & 2 ? 0x3f8 : 0xe9, (uint8_t)line[i]);
	}
	tap_ok(true, "%u lines were printed", lines);
}

static void watch(uint64_t ticks, uint64_t slice)
{
	uint64_t start = rdtsc(), last = start, longest = 0;
	unsigned gaps = 0;

	while (gaps < GAPS && last - start < ticks) {
		uint64_t now = rdtsc();

		gaps += now - last > GAP_TICKS;
		if (now - last > longest)
			longest = now - last;
		last = now;
	}
	tap_ok(gaps > 0, "others had the processor %u times", gaps);
	tap_ok(longest < SLICES_MAX * slice, "at most %llu ticks; a slice is %llu",
	       (unsigned long long)longest, (unsigned long long)slice);
}

int main(void)
{
	uint64_t slice = (uint64_t)cpuid(XEN_CPUID_LEAF(3), 0).ecx * SLICE_US / 1000;
	uint64_t ticks = option_number("slices", 15) * slice;
	const char *role = option("role");

	if (role && memcmp(role, "hog", 3) == 0)
		hog(ticks);
	else if (role && memcmp(role, "flood", 5) == 0)
		flood(ticks);
	else
		watch(ticks, slice);
	tap_done();
}
