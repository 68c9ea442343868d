/*
 * The leak lab: a gadget that reads whatever address of the hypervisor a guest names, and what it
 * takes to use it well. In lab builds only.
 *
 * The gadget stands for a load that the processor only speculates: it needs a virtual address, may
 * read anything that is mapped, and a fault is swallowed. What it cannot find, no such load can.
 * State: the planted control, which every sweep must find; the order for another CPU, handed over
 * by its busy flag. No lock: one guest uses it at a time.
 */
#ifdef CONFIG_LEAK_LAB
#include "selftest/leak_lab.h"
#include "cpu.h"
#include "domain.h"
#include "kernel/smp.h"
#include "mm/audit.h"
#include "mm/frame.h"
#include "mm/hostpt.h"
#include "mm/private.h"
#include "mm/pte.h"
#include "mm/window.h"
#include "percpu.h"
#include "public/errno.h"
#include "public/keyhole.h"
#include "vcpu.h"

/* Bytes that pass over this CPU's stack at a time. */
#define CHUNK 512u

static uint8_t control_place[64];
#define CONTROL_OFFSET 13

/* --- the gadget ------------------------------------------------------------------------------- */

/* Reads length bytes, a multiple of 8, into buffer; returns how many before the first fault. */
static uint32_t gadget(uint64_t va, uint64_t *buffer, uint32_t length)
{
	uint32_t done = 0;

	for (; done < length; done += 8)
		if (!read_safe((const uint64_t *)(va + done), &buffer[done / 8]))
			break;
	return done;
}

static long lab_read(gva_t arg, struct guest_access *ga)
{
	struct keyhole_lab_read r;
	uint64_t chunk[CHUNK / 8];

	if (guest_copy_in(ga, &r, arg, sizeof(r)))
		return -XEN_EFAULT;
	if (r.length % 8 || r.length > PAGE_SIZE)
		return -XEN_EINVAL;
	for (r.done = 0; r.done < r.length;) {
		uint32_t want = r.length - r.done < CHUNK ? r.length - r.done : CHUNK;
		uint32_t got = gadget(r.va + r.done, chunk, want);

		if (guest_copy_out(ga, make_gva(r.buffer + r.done), chunk, got))
			return -XEN_EFAULT;
		r.done += got;
		if (got < want)
			break;
	}
	return guest_copy_out(ga, arg, &r, sizeof(r)) ? -XEN_EFAULT : 0;
}

/* --- what to aim it at ------------------------------------------------------------------------ */

struct listing {
	struct keyhole_lab_list list;
	uint64_t next; /* the first page that had no room */
};

/* One page of a mapping; false when the list is full. */
static bool list_page(struct listing *l, uint64_t va)
{
	struct keyhole_lab_list *list = &l->list;
	uint64_t last = list->count - 1;

	if (list->count && list->range[last].va + list->range[last].pages * PAGE_SIZE == va) {
		list->range[last].pages++;
		return true;
	}
	if (list->count == KEYHOLE_LAB_RANGES) {
		l->next = va;
		return false;
	}
	list->range[list->count].va = va;
	list->range[list->count++].pages = 1;
	return true;
}

static bool list_leaf(const struct hostpt_leaf *leaf, void *ctx)
{
	struct listing *l = ctx;

	for (uint64_t i = 0; i < leaf->page_count; i++) {
		uint64_t va = leaf->va + i * PAGE_SIZE;

		/* Reading a device's registers may change them, and finds no memory of a guest. */
		if (va < l->list.from || frame_type(mfn_add(leaf->frame, i)) == FRAME_ABSENT)
			continue;
		if (!list_page(l, va))
			return false;
	}
	return true;
}

static long lab_list(gva_t arg, struct guest_access *ga)
{
	struct listing l = {.next = 0};

	if (guest_copy_in(ga, &l.list, arg, sizeof(l.list)))
		return -XEN_EFAULT;
	l.list.count = 0;
	hostpt_for_each(list_leaf, &l);
	l.list.from = l.next;
	return guest_copy_out(ga, arg, &l.list, sizeof(l.list)) ? -XEN_EFAULT : 0;
}

static long lab_count(gva_t arg, struct guest_access *ga)
{
	struct keyhole_lab_count count = {.cpu = cpu_index()};
	struct audit_result audit;

	audit_run(&audit, true);
	count.pages_mapped = audit.pages_mapped;
	for (uint32_t cpu = 0; cpu < LAYOUT_CPUS_MAX; cpu++)
		count.cpus += atomic_load(&cpu_shared[cpu].online);
	return guest_copy_out(ga, arg, &count, sizeof(count)) ? -XEN_EFAULT : 0;
}

/* The control stands at an odd address, across two words. */
static long lab_control(gva_t arg, struct guest_access *ga)
{
	struct keyhole_lab_control c;
	volatile uint8_t *place = &control_place[CONTROL_OFFSET];

	if (guest_copy_in(ga, &c, arg, sizeof(c)))
		return -XEN_EFAULT;
	for (unsigned i = 0; i < 8; i++) {
		uint64_t byte =
		    (KEYHOLE_LAB_CONTROL_MASKED ^ KEYHOLE_LAB_CONTROL_MASK) >> (8 * i) & 0xff;
		place[i] = c.plant ? (uint8_t)byte : 0;
	}
	c.va = (uint64_t)place;
	return guest_copy_out(ga, arg, &c, sizeof(c)) ? -XEN_EFAULT : 0;
}

/* --- the window, right after it was closed ---------------------------------------------------- */

static uint32_t readable_slots(void)
{
	uint64_t value, base = private_base_of(cpu_index());
	uint32_t count = read_safe((const uint64_t *)(base + PRIVATE_WINDOW_2M), &value);

	for (unsigned slot = 0; slot < PTE_PER_TABLE; slot++)
		count +=
		    read_safe((const uint64_t *)(base + PRIVATE_WINDOW + slot * PAGE_SIZE), &value);
	return count;
}

static uint32_t gadget_page(uint64_t va)
{
	uint64_t chunk[CHUNK / 8];
	uint32_t done = 0, got = CHUNK;

	for (; done < PAGE_SIZE && got == CHUNK; done += got)
		got = gadget(va + done, chunk, CHUNK);
	__builtin_memset(chunk, 0, sizeof(chunk));
	__asm__ volatile("" : : "r"(chunk) : "memory");
	return done;
}

static long lab_peek(gva_t arg, struct guest_access *ga)
{
	struct keyhole_lab_peek p;
	struct p2m_entry entry;

	if (guest_copy_in(ga, &p, arg, sizeof(p)))
		return -XEN_EFAULT;
	struct domain *d = p.domain <= DOMAINS_MAX ? domain_find((domid_t)p.domain) : NULL;
	if (!d || !p2m_lookup(&d->p2m, make_gfn(p.gfn), &entry))
		return -XEN_ENOENT;
	uint64_t va = (uint64_t)window_open_readonly(WINDOW_TEST, entry.frame);
	p.open_bytes = gadget_page(va);
	window_close(WINDOW_TEST);
	p.closed_bytes = gadget_page(va);
	p.slots_readable = readable_slots();
	return guest_copy_out(ga, arg, &p, sizeof(p)) ? -XEN_EFAULT : 0;
}

/* --- from another CPU ------------------------------------------------------------------------- */

static struct {
	struct keyhole_lab_sweep s;
	_Atomic bool busy;
} order;

/* Every byte offset of one mapping, by the gadget, eight bytes at a time. */
static void sweep_range(struct keyhole_lab_sweep *s, uint64_t start, uint64_t length)
{
	uint64_t word, value = 0;

	for (uint64_t at = 0; at < length; at += 8) {
		if (gadget(start + at, &word, 8) != 8)
			return;
		s->bytes_swept += 8;
		for (unsigned i = 0; i < 8; i++) {
			value = value >> 8 | word << 56;
			word >>= 8;
			if (at == 0 && i < 7)
				continue;
			uint64_t masked = value ^ s->mask, va = start + at + i - 7;
			if (masked == s->canary_lo_masked || masked == s->canary_hi_masked) {
				if (!s->found_count++)
					s->first_va = va;
			}
			s->control_found +=
			    va == (uint64_t)&control_place[CONTROL_OFFSET] &&
			    (value ^ KEYHOLE_LAB_CONTROL_MASK) == KEYHOLE_LAB_CONTROL_MASKED;
		}
	}
}

static bool sweep_leaf(const struct hostpt_leaf *leaf, void *ctx)
{
	for (uint64_t i = 0; i < leaf->page_count; i++)
		if (frame_type(mfn_add(leaf->frame, i)) != FRAME_ABSENT) {
			uint64_t first = i;

			while (i + 1 < leaf->page_count &&
			       frame_type(mfn_add(leaf->frame, i + 1)) != FRAME_ABSENT)
				i++;
			sweep_range(ctx, leaf->va + first * PAGE_SIZE, (i + 1 - first) * PAGE_SIZE);
		}
	return true;
}

/* On the CPU that sweeps. It may have run the victim until now, whose registers it has by right as
 * long as that is loaded there. */
static void sweep_here(void *arg)
{
	struct keyhole_lab_sweep *s = arg;
	struct audit_result audit;

	vcpu_load(NULL);
	hostpt_for_each(sweep_leaf, s);
	audit_run(&audit, true);
	s->pages_mapped = audit.pages_mapped;
	atomic_store(&order.busy, false);
}

static long lab_sweep(gva_t arg, struct guest_access *ga)
{
	struct keyhole_lab_sweep s;

	if (guest_copy_in(ga, &s, arg, sizeof(s)))
		return -XEN_EFAULT;
	if (s.cpu >= smp_cpu_count() || s.cpu == cpu_index())
		return -XEN_ENOENT;
	if (atomic_exchange(&order.busy, true))
		return -XEN_EBUSY;
	s.bytes_swept = s.pages_mapped = s.found_count = s.first_va = s.control_found = 0;
	order.s = s;
	smp_wait(); /* the last one's way home, after it had said that it was done */
	smp_call(s.cpu, sweep_here, &order.s);
	return 0;
}

static long lab_swept(gva_t arg, struct guest_access *ga)
{
	if (atomic_load(&order.busy))
		return -XEN_EAGAIN;
	return guest_copy_out(ga, arg, &order.s, sizeof(order.s)) ? -XEN_EFAULT : 0;
}

/* --- whose it is ------------------------------------------------------------------------------ */

static long lab_what(gva_t arg, struct guest_access *ga)
{
	struct keyhole_lab_what w;
	enum host_prot prot;
	mfn_t frame;

	if (guest_copy_in(ga, &w, arg, sizeof(w)))
		return -XEN_EFAULT;
	w.frame = UINT64_MAX;
	w.owner = 0;
	w.kind = KEYHOLE_LAB_KIND_OTHER;
	if (hostpt_lookup(w.va, &frame, &prot)) {
		enum frame_type type = frame_type(frame);

		w.frame = mfn_raw(frame);
		w.owner = frame_owner(frame);
		w.kind = type == FRAME_GUEST_RAM ? KEYHOLE_LAB_KIND_GUEST_RAM
			 : type == FRAME_VCPU	 ? KEYHOLE_LAB_KIND_REGISTERS
						 : KEYHOLE_LAB_KIND_OTHER;
	}
	return guest_copy_out(ga, arg, &w, sizeof(w)) ? -XEN_EFAULT : 0;
}

int64_t leak_lab_hypercall(struct hypercall *c)
{
	struct guest_access *ga = &c->access;
	gva_t arg = make_gva(c->arg[1]);

	switch ((uint32_t)c->arg[0]) {
	case KEYHOLE_LAB_READ:
		return lab_read(arg, ga);
	case KEYHOLE_LAB_LIST:
		return lab_list(arg, ga);
	case KEYHOLE_LAB_COUNT:
		return lab_count(arg, ga);
	case KEYHOLE_LAB_CONTROL:
		return lab_control(arg, ga);
	case KEYHOLE_LAB_PEEK:
		return lab_peek(arg, ga);
	case KEYHOLE_LAB_WHAT:
		return lab_what(arg, ga);
	case KEYHOLE_LAB_SWEEP:
		return lab_sweep(arg, ga);
	case KEYHOLE_LAB_SWEPT:
		return lab_swept(arg, ga);
	}
	return -XEN_ENOSYS;
}
#endif
