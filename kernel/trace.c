/*
 * The trace: starting and stopping, reading, and events as text.
 *
 * State: a ring for each CPU (cpu_shared.trace), which that CPU alone writes, interrupts off; the
 * exits of vCPUs that are gone, by domain, written by the CPU that takes the domain apart. On the
 * heap, allocated when tracing is started first. No lock.
 *
 * Reading. The writer fills the slot of event n and then sets the head to n + 1; the slot held
 * event n - TRACE_EVENTS. All its stores are releases and the reader's loads acquires, so that a
 * reader that has seen part of event n in a slot sees a head of n at least afterwards, and knows
 * that what it read there is not event n - TRACE_EVENTS.
 */
#include "kernel/trace.h"
#include "kernel/smp.h"
#include "mm/heap.h"
#include "print.h"
#include "vcpu.h"
#include "vmx/exit_reasons.h"

_Atomic bool trace_enabled;

static struct trace_counts *kept; /* [domain id] */

/* --- writing ---------------------------------------------------------------------------------- */

void trace_record(uint32_t what, bool measured, uint32_t value)
{
	struct trace_ring *r = this_cpu_shared()->trace;

	if (r)
		trace_put(r, what, measured, value);
}

void trace_record_vcpu(uint32_t what, const struct vcpu_shared *v, uint32_t value)
{
	trace_record(what | (v ? v->trace_id : 0), false, value);
}

void trace_record_current(uint32_t what, uint32_t value)
{
	trace_record_vcpu(what, this_cpu()->current, value);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* How many were ever written. */
static uint64_t events(const struct trace_ring *r)
{
	return atomic_load_explicit(&r->head, memory_order_acquire) / sizeof(struct trace_slot);
}

uint64_t trace_last(uint32_t cpu, uint64_t n)
{
	struct trace_ring *r = cpu_shared[cpu].trace;
	uint64_t head = r ? events(r) : 0;

	if (n > TRACE_EVENTS - 1)
		n = TRACE_EVENTS - 1;
	return head < n ? 0 : head - n;
}

static struct trace_event load_event(const struct trace_slot *s)
{
	uint32_t low = atomic_load_explicit(&s->time_low, memory_order_acquire);
	uint32_t high = atomic_load_explicit(&s->time_high, memory_order_acquire);
	uint32_t value = atomic_load_explicit(&s->value, memory_order_acquire);
	uint32_t what = atomic_load_explicit(&s->what, memory_order_acquire);

	return (struct trace_event){.tsc = (uint64_t)high << 32 | low,
				    .value = value,
				    .kind = (uint8_t)what,
				    .code = (uint8_t)(what >> TRACE_CODE_SHIFT),
				    .vcpu = (uint8_t)(what >> TRACE_VCPU_SHIFT),
				    .domain = (uint8_t)(what >> TRACE_DOMAIN_SHIFT)};
}

unsigned trace_read(uint32_t cpu, uint64_t *position, struct trace_event *out, unsigned max,
		    uint64_t *lost)
{
	const struct trace_ring *r = cpu_shared[cpu].trace;
	unsigned count = 0;

	*lost = 0;
	if (!r)
		return 0;
	while (count < max) {
		uint64_t head = events(r);

		if (*position >= head)
			break;
		out[count] = load_event(&r->slots[*position % TRACE_EVENTS]);
		head = events(r);
		if (head - *position < TRACE_EVENTS) {
			count++;
			++*position;
			continue;
		}
		/* Overwritten, or about to be. What was read before is behind it: that begins
		 * anew, too, so that no gap is in what is returned. */
		uint64_t next = head - TRACE_EVENTS + 1;

		*lost += next - *position + count;
		*position = next;
		count = 0;
	}
	return count;
}

static void add(struct trace_sum *sum, const struct trace_counts *c, unsigned code)
{
	sum->count += atomic_load_explicit(&c->count[code], memory_order_relaxed);
	sum->ticks += atomic_load_explicit(&c->ticks[code], memory_order_relaxed);
}

struct trace_sum trace_exits(domid_t domain, unsigned code)
{
	const struct domain *d = domain_find(domain);
	struct trace_sum sum = {0, 0};

	if (kept)
		add(&sum, &kept[domain], code);
	for (uint32_t i = 0; d && i < d->vcpu_count; i++)
		add(&sum, &d->vcpus[i]->exits, code);
	return sum;
}

void trace_keep(const struct vcpu_shared *v)
{
	for (unsigned code = 0; kept && code < TRACE_CODES; code++) {
		struct trace_counts *to = &kept[v->domain->id];

		trace_add(&to->count[code], v->exits.count[code]);
		trace_add(&to->ticks[code], v->exits.ticks[code]);
	}
}

/* --- starting and stopping -------------------------------------------------------------------- */

static void release(void)
{
	for (uint32_t cpu = 0; cpu < smp_cpu_count(); cpu++) {
		heap_free(cpu_shared[cpu].trace);
		cpu_shared[cpu].trace = NULL;
	}
	heap_free(kept);
	kept = NULL;
}

static int allocate(void)
{
	void *object;
	int rc = heap_alloc((DOMAINS_MAX + 1) * sizeof(*kept), DOMID_HYPERVISOR, &object);

	if (rc)
		return rc;
	kept = object;
	for (uint32_t cpu = 0; cpu < smp_cpu_count(); cpu++) {
		rc = heap_alloc(sizeof(struct trace_ring), DOMID_HYPERVISOR, &object);
		if (rc) {
			release();
			return rc;
		}
		cpu_shared[cpu].trace = object;
	}
	return 0;
}

/* Guests leave guest mode, and find out when they enter again what their exits shall do. */
static void set_enabled(bool on)
{
	atomic_store(&trace_enabled, on);
	for (uint32_t cpu = 0; cpu < smp_cpu_count(); cpu++)
		cpu_kick(cpu, ENTRY_WORK_RESCHEDULE);
}

int trace_start(void)
{
	int rc = kept ? 0 : allocate();

	if (!rc)
		set_enabled(true);
	return rc;
}

void trace_stop(void)
{
	set_enabled(false);
}

static void nothing(void *arg)
{
	(void)arg;
}

void trace_free(void)
{
	atomic_store(&trace_enabled, false);
	if (!kept)
		return;
	for (uint32_t cpu = 1; cpu < smp_cpu_count(); cpu++)
		smp_call(cpu, nothing, NULL);
	smp_wait();
	release();
}

/* --- text ------------------------------------------------------------------------------------- */

size_t trace_format_code(unsigned code, char *buf, size_t size)
{
	if (code >= TRACE_CODE_HYPERCALL)
		return format_string(buf, size, "hypercall %u", code - TRACE_CODE_HYPERCALL);
	return format_string(buf, size, "%s", vmx_exit_reason_name(code));
}

size_t trace_format(const struct trace_event *e, char *buf, size_t size)
{
	static const char *const flushes[] = {"EPT", "VPID", "host"};
	static const char *const types[8] = {[0] = "interrupt", [2] = "NMI", [3] = "exception"};
	/* Of those that need no more than their value. */
	static const char *const texts[TRACE_KINDS] = {
	    [TRACE_LOAD] = "load",	     [TRACE_SLEEP] = "slept %u ticks",
	    [TRACE_KICK] = "kick cpu%u",     [TRACE_WAKE] = "wake on cpu%u",
	    [TRACE_MAP] = "map %u",	     [TRACE_UNMAP] = "unmap %u",
	    [TRACE_WORK] = "work, %u ticks",
	};
	char code[48];
	size_t n = e->domain ? format_string(buf, size, "d%uv%u ", e->domain, e->vcpu)
			     : format_string(buf, size, "- ");

	buf += n;
	size -= n;
	switch (e->kind) {
	case TRACE_EXIT:
		(void)trace_format_code(e->code, code, sizeof(code));
		return n + format_string(buf, size, "exit %s, %u ticks", code, e->value);
	case TRACE_INJECT:
		return n + format_string(buf, size, "inject %s", types[e->code & 7] ?: "other");
	case TRACE_FLUSH:
		return n + format_string(buf, size, "flush %s", flushes[e->code % 3]);
	case TRACE_BATCH:
		return n + format_string(buf, size, "batch%s", e->value ? ", unmaps" : "");
	}
	return e->kind < TRACE_KINDS ? n + format_string(buf, size, texts[e->kind], e->value) : n;
}
