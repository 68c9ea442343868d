/* Rows of samples. No state. */
#include "measure.h"

void row_add(struct row *row, uint64_t cost)
{
	row->samples++;
	row->sum += cost;
	if (cost > row->max)
		row->max = cost;
}

void row_print(const char *name, const struct row *row, const struct row *empty, unsigned pages)
{
	uint64_t overhead = empty->sum / empty->samples;
	uint64_t total = row->sum - overhead * row->samples;
	uint64_t thousandths = total * 1000 / (row->samples * pages);

	printf("bench: %s samples=%lu mean=%lu.%03lu max=%lu\n", name, row->samples * pages,
	       thousandths / 1000, thousandths % 1000, (row->max - overhead + pages - 1) / pages);
}
