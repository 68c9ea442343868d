/*
 * What is mapped on this CPU, to be read: by people as a table of classes (`audit:` lines), by
 * tools/map as a list of ranges (`map:` lines, formats below).
 *
 * State: none but on the stack. Locks: those of the look-ups, one at a time. Runs on any CPU, for
 * that CPU. Both walk the page tables afresh, as mm/audit.c does, and hold every page that they
 * find.
 */
#include "domain.h"
#include "mm/audit.h"
#include "mm/audit_class.h"
#include "mm/frame.h"
#include "mm/pool.h"
#include "percpu.h"
#include "print.h"

#define ROWS_MAX 64u /* kinds beyond these are counted in one row */

struct table {
	struct audit_area area;
	uint32_t count;
	uint64_t others;
	struct {
		struct audit_kind kind;
		uint64_t pages;
	} rows[ROWS_MAX];
};

static void count_page(struct table *t, const struct audit_kind *kind)
{
	/* Neighbours are mostly of one kind: the latest row first. */
	for (uint32_t i = t->count; i-- > 0;) {
		if (audit_kind_equal(&t->rows[i].kind, kind)) {
			t->rows[i].pages++;
			return;
		}
	}
	if (t->count == ROWS_MAX) {
		t->others++;
		return;
	}
	t->rows[t->count].kind = *kind;
	t->rows[t->count++].pages = 1;
}

static bool count_leaf(const struct hostpt_leaf *leaf, void *ctx)
{
	struct table *t = ctx;

	for (size_t page = 0; page < leaf->page_count; page++) {
		struct audit_kind kind = audit_classify(leaf, page, &t->area);

		count_page(t, &kind);
	}
	return true;
}

static void print_row(uint64_t pages, const char *rights, const char *class, const char *owner)
{
	print(LOG_INFO, "audit: %8lu  %-6s  %-16s  %s", pages, rights, class, owner);
}

static bool print_ept(struct domain *d, void *ctx)
{
	uint64_t tables = atomic_load(&d->p2m.tables.used), *rest = ctx;
	char owner[AUDIT_OWNER_SIZE];

	format_string(owner, sizeof(owner), "d%u", d->id);
	print_row(tables, "", "- EPT", owner);
	*rest -= tables < *rest ? tables : *rest;
	return true;
}

/* What the table pages in use are for, as far as somebody is charged for them. */
static void print_tables(uint64_t used)
{
	uint64_t own = atomic_load(&host_table_account.used);
	uint64_t rest = used - (own < used ? own : used);

	print_row(own, "", "- own", "host");
	domain_for_each(print_ept, &rest);
	if (rest)
		print_row(rest, "", "- wait for epoch", "host");
}

void audit_print_table(void)
{
	struct table t = {.count = 0};
	uint64_t ram = 0, devices = 0;

	hostpt_for_each(count_leaf, &t);
	print(LOG_INFO, "audit:    pages  rights  class             whose");
	for (uint32_t i = 0; i < t.count; i++) {
		const struct audit_kind *kind = &t.rows[i].kind;
		char owner[AUDIT_OWNER_SIZE];

		audit_owner(kind, owner);
		print_row(t.rows[i].pages, audit_rights(kind->prot), audit_class_name(kind->class),
			  owner);
		*(kind->class == AUDIT_DEVICE ? &devices : &ram) += t.rows[i].pages;
		if (kind->class == AUDIT_TABLES_USED)
			print_tables(t.rows[i].pages);
	}
	if (t.others)
		print_row(t.others, "", "others", "");
	print(LOG_INFO, "audit: %8lu  of RAM on cpu%u, and %lu of devices", ram + t.others,
	      cpu_index(), devices);
}

/* --- the list of ranges ----------------------------------------------------------------------- */

struct range_list {
	struct audit_area area;
	struct audit_kind kind;
	uint64_t start, pages, ranges;
};

static void print_range(struct range_list *l)
{
	char owner[AUDIT_OWNER_SIZE];

	if (!l->pages)
		return;
	audit_owner(&l->kind, owner);
	print(LOG_RESULT, "map: 0x%lx %lu %s %s %s", l->start, l->pages,
	      audit_class_name(l->kind.class), owner, audit_rights(l->kind.prot));
	l->ranges++;
	l->pages = 0;
}

static bool list_leaf(const struct hostpt_leaf *leaf, void *ctx)
{
	struct range_list *l = ctx;

	for (size_t page = 0; page < leaf->page_count; page++) {
		struct audit_kind kind = audit_classify(leaf, page, &l->area);
		uint64_t va = leaf->va + page * PAGE_SIZE;

		if (l->pages &&
		    (va != l->start + l->pages * PAGE_SIZE || !audit_kind_equal(&kind, &l->kind)))
			print_range(l);
		if (!l->pages) {
			l->start = va;
			l->kind = kind;
		}
		l->pages++;
	}
	return true;
}

/*
 * Prints what is mapped on this CPU for programs, whatever loglvl= is:
 *
 *   map: ram PAGES free PAGES guests PAGES    of the machine; guests: what no mapping may reach
 *   map: VA PAGES CLASS OWNER RIGHTS          neighbours of one kind together, in address order
 *   map: end RANGES
 */
void audit_print_map(void)
{
	struct range_list l = {.pages = 0};
	struct frame_stats s;

	frame_get_stats(&s);
	print(LOG_RESULT, "map: ram %lu free %lu guests %lu", s.ram, s.free,
	      s.by_type[FRAME_GUEST_RAM] + s.by_type[FRAME_GUEST_SHARED] + s.by_type[FRAME_VCPU]);
	hostpt_for_each(list_leaf, &l);
	print_range(&l);
	print(LOG_RESULT, "map: end %lu", l.ranges);
}
