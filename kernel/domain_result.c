/*
 * How domains ended: the texts, and what is kept for the summary.
 *
 * State: the results, by id. Each is written once in a domain's life, by the one CPU that takes it
 * apart or could not make it. No lock.
 */
#include "kernel/domain.h"
#include "print.h"

static struct domain_result results[DOMAINS_MAX + 1];

static const struct {
	const char *text;
	const char *detail; /* what the number kept with it is, if it says more than the text */
	bool ok;
} end_texts[] = {
    [END_NONE] = {"still running", NULL, false},
    [END_POWEROFF] = {"powered off", NULL, true},
    [END_REBOOT] = {"asked for a reboot", NULL, false},
    [END_SUSPEND] = {"asked to be suspended", NULL, false},
    [END_CRASH] = {"crashed by its own account", NULL, false},
    [END_HALTED] = {"halted with interrupts off", NULL, true},
    [END_BLOCKED] = {"waits, and nothing could ever wake it", NULL, false},
    [END_TRIPLE_FAULT] = {"triple fault", NULL, false},
    [END_EPT_VIOLATION] = {"touched memory that it does not have", NULL, false},
    [END_EPT_MISCONFIG] = {"EPT misconfiguration", NULL, false},
    [END_ENTRY_FAILURE] = {"VM entry refused its state", "error", false},
    [END_UNEXPECTED_EXIT] = {"unexpected VM exit", "reason", false},
    [END_DEBUG_EXIT] = {"wrote to the debug-exit port", "value", false},
    [END_OUT_OF_MEMORY] = {"out of memory", NULL, false},
    [END_DESTROYED] = {"destroyed", NULL, true},
    [END_WATCHDOG] = {"its watchdog has expired", NULL, false},
    [END_NOT_STARTED] = {"could not be started", NULL, false},
};

/* What the summary says of an end. */
const char *domain_end_text(enum domain_end why)
{
	if ((unsigned)why >= array_size(end_texts))
		return "unknown end";
	return end_texts[why].text;
}

/* A debug-exit value of 0 is success, as programs made for QEMU's port have it. */
static bool end_is_ok(enum domain_end why, uint64_t detail)
{
	if (why == END_DEBUG_EXIT)
		return detail == 0;
	return end_texts[why].ok;
}

static void add_result(domid_t id, const char *name, enum domain_end end, uint64_t detail)
{
	if (id == 0 || id > DOMAINS_MAX)
		return;
	struct domain_result *r = &results[id];
	r->id = id;
	format_string(r->name, sizeof(r->name), "%s", name);
	r->end = end;
	r->detail = detail;
	r->ok = end_is_ok(end, detail);
}

/* Keeps for the summary how a domain that has ended did so; before its destruction. */
void domain_report(const struct domain *d)
{
	add_result(d->id, d->name, (enum domain_end)atomic_load(&d->end), d->end_detail);
}

/* The same for one that domain_create() refused, or whose configuration was wrong. */
void domain_report_not_started(domid_t id, const char *name)
{
	add_result(id, name, END_NOT_STARTED, 0);
}

const struct domain_result *domain_result(domid_t id)
{
	return id <= DOMAINS_MAX && results[id].id ? &results[id] : NULL;
}

/* Prints how each guest ended; returns how many did not end well, and how many there were. */
uint32_t domains_report(uint32_t *count)
{
	uint32_t failed = 0;

	*count = 0;
	for (domid_t id = 1; id <= DOMAINS_MAX; id++) {
		const struct domain_result *r = domain_result(id);
		if (!r)
			continue;
		failed += !r->ok;
		++*count;
		const char *detail = end_texts[r->end].detail;
		if (detail)
			print(LOG_RESULT, "guest d%u \"%s\": %s (%s %lu)", r->id, r->name,
			      domain_end_text(r->end), detail, r->detail);
		else
			print(LOG_RESULT, "guest d%u \"%s\": %s", r->id, r->name,
			      domain_end_text(r->end));
	}
	return failed;
}
