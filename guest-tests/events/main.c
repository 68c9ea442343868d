/*
 * events: event channels, virtual timers and records of one domain, by itself: pending and masked
 * ports, the upcall by a callback vector and by the local APIC, HLT and polls that an event ends,
 * and every call in a way that must fail.
 */
#include "apic.h"
#include "public/event_channel.h"
#include "public/hvm/hvm_op.h"
#include "public/keyhole.h"
#include "public/shared_info.h"
#include "public/vcpu.h"

#ifdef __x86_64__
typedef struct shared_info shared_info_t;
typedef struct vcpu_info vcpu_info_t;
typedef struct sched_poll sched_poll_t;
typedef struct vcpu_set_singleshot_timer singleshot_t;
#define PORTS 4096u
#else
typedef struct compat_shared_info shared_info_t;
typedef struct compat_vcpu_info vcpu_info_t;
typedef struct compat_sched_poll sched_poll_t;
typedef struct compat_vcpu_set_singleshot_timer singleshot_t;
#define PORTS 1024u
#endif

#define SHARED	 ((volatile shared_info_t *)HOLE)
#define WORD	 (8 * sizeof(SHARED->evtchn_pending[0])) /* ports of a bit in the selector */
#define CALLBACK 0x61
#define UPCALL	 0x62
#define MS	 1000000ull /* ns */

static volatile unsigned callbacks, upcalls;
static volatile vcpu_info_t *record = &SHARED->vcpu_info[0];

static long evtchn_op(unsigned command, void *argument)
{
	return hypercall(__HYPERVISOR_event_channel_op, command, (unsigned long)argument, 0);
}
static long vcpu_op(unsigned command, unsigned vcpu, void *argument)
{
	return hypercall(__HYPERVISOR_vcpu_op, command, vcpu, (unsigned long)argument);
}
static long hvm_op(unsigned command, void *argument)
{
	return hypercall(__HYPERVISOR_hvm_op, command, (unsigned long)argument, 0);
}

/* What a guest does in an upcall: takes note, and clears the way for the next. */
static void take_upcall(void)
{
	__atomic_exchange_n(&record->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
	__atomic_exchange_n(&record->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
}
INTERRUPT on_callback(struct interrupt_frame *frame)
{
	(void)frame;
	take_upcall();
	callbacks++; /* no EOI: it did not come through the local APIC */
}
INTERRUPT on_upcall(struct interrupt_frame *frame)
{
	(void)frame;
	take_upcall();
	upcalls++;
	apic_eoi();
}

static volatile uint8_t *bits_of(volatile void *array, uint32_t port)
{
	return (volatile uint8_t *)array + port / 8;
}
static bool pending(uint32_t port)
{
	return *bits_of(SHARED->evtchn_pending, port) >> port % 8 & 1;
}
/* Clears a port's bit; whether it was set. */
static bool take(uint32_t port)
{
	uint8_t bit = (uint8_t)(1u << port % 8);

	return __atomic_fetch_and(bits_of(SHARED->evtchn_pending, port), (uint8_t)~bit,
				  __ATOMIC_SEQ_CST) &
	       bit;
}
static void mask(uint32_t port)
{
	__atomic_fetch_or(bits_of(SHARED->evtchn_mask, port), (uint8_t)(1u << port % 8),
			  __ATOMIC_SEQ_CST);
}

static long send(uint32_t port)
{
	struct evtchn_send op = {port};

	return evtchn_op(EVTCHNOP_send, &op);
}
static long unmask(uint32_t port)
{
	struct evtchn_unmask op = {port};

	return evtchn_op(EVTCHNOP_unmask, &op);
}
static long close(uint32_t port)
{
	struct evtchn_close op = {port};

	return evtchn_op(EVTCHNOP_close, &op);
}
static uint32_t status(uint32_t port, struct evtchn_status *op)
{
	*op = (struct evtchn_status){.dom = DOMID_SELF, .port = port};
	return evtchn_op(EVTCHNOP_status, op) ? ~0u : op->status;
}
static uint64_t now(void)
{
	volatile struct vcpu_time_info *t = &record->time;
	uint64_t ticks = rdtsc() - t->tsc_timestamp;

	ticks = t->tsc_shift >= 0 ? ticks << t->tsc_shift : ticks >> -t->tsc_shift;
	uint64_t high = (ticks >> 32) * t->tsc_to_system_mul;
	uint64_t low = (ticks & 0xffffffff) * t->tsc_to_system_mul >> 32;
	return t->system_time + high + low;
}

static void page(void)
{
	add_to_physmap_t op = {
	    .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = HOLE / PAGE_SIZE};
	/* Another place first: over RAM, which is given back. */
	void *ram = page_alloc();

	op.gpfn = (unsigned long)ram / PAGE_SIZE;
	tap_is(memory_op(XENMEM_add_to_physmap, &op), 0, "the shared-info page, over RAM");
	tap_ok(((volatile shared_info_t *)ram)->vcpu_info[0].time.tsc_to_system_mul != 0,
	       "the clock's record is there");
	op.gpfn = HOLE / PAGE_SIZE;
	tap_is(memory_op(XENMEM_add_to_physmap, &op), 0, "it moves");
	tap_is(memory_op(XENMEM_add_to_physmap, &op), 0, "to where it is: nothing");
	op.idx = 1;
	tap_is(memory_op(XENMEM_add_to_physmap, &op), -XEN_EINVAL, "there is one such page");
	op.idx = 0;
	op.gpfn = ~0ul;
	tap_is(memory_op(XENMEM_add_to_physmap, &op), -XEN_EINVAL, "nowhere: refused");
	uint64_t a = now(), b;
	while ((b = now()) == a)
		;
	tap_ok(b > a, "the clock runs (%lu ns)", (unsigned long)b);
	tap_ok(SHARED->wc_sec > 1500000000, "the time of day is known (%u)", SHARED->wc_sec);
}

static uint32_t loop(uint32_t *other)
{
	struct evtchn_alloc_unbound a = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
	struct evtchn_bind_interdomain b = {.remote_dom = DOMID_SELF};
	struct evtchn_status s;

	tap_is(evtchn_op(EVTCHNOP_alloc_unbound, &a), 0, "a port for oneself");
	tap_is(status(a.port, &s), EVTCHNSTAT_unbound, "it is unbound");
	tap_is(s.u.unbound.dom, self_domain(), "for this domain");
	tap_is(send(a.port), 0, "an event to nobody");
	b.remote_port = a.port;
	tap_is(evtchn_op(EVTCHNOP_bind_interdomain, &b), 0, "another one, bound to it");
	tap_ok(take(b.local_port), "which is pending at once");
	tap_is(status(a.port, &s), EVTCHNSTAT_interdomain, "both are bound");
	tap_is(s.u.interdomain.port, b.local_port, "to each other");
	b.remote_port = a.port;
	tap_is(evtchn_op(EVTCHNOP_bind_interdomain, &b), -XEN_EINVAL, "twice: refused");
	*other = s.u.interdomain.port;
	return a.port;
}

static void bits(uint32_t a, uint32_t b)
{
	take_upcall();
	tap_is(send(a), 0, "an event");
	tap_ok(pending(b) && !pending(a), "the other end is pending");
	tap_is(record->evtchn_upcall_pending, 1, "the record says so");
	tap_is(record->evtchn_pending_sel, 1ull << b / WORD, "and where to look");
	tap_is(send(a), 0, "once more");
	take_upcall();
	tap_is(send(a), 0, "and with the bit still set");
	tap_is(record->evtchn_upcall_pending, 0, "pending already: no upcall");
	take(b);
	mask(b);
	tap_is(send(a), 0, "to a masked port");
	tap_ok(pending(b), "it is pending");
	tap_is(record->evtchn_upcall_pending, 0, "and nobody is told");
	tap_is(unmask(b), 0, "unmasked");
	tap_is(record->evtchn_upcall_pending, 1, "now it is told");
	take(b);
	take_upcall();
}

static void callback(uint32_t a, uint32_t b)
{
	struct xen_hvm_param p = {.domid = DOMID_SELF,
				  .index = HVM_PARAM_CALLBACK_IRQ,
				  .value = (uint64_t)HVM_CALLBACK_TYPE_VECTOR << 56 | CALLBACK};

	interrupt_set(CALLBACK, on_callback);
	tap_is(hvm_op(HVMOP_set_param, &p), 0, "a callback by vector");
	p.value = 0;
	tap_is(hvm_op(HVMOP_get_param, &p), 0, "it can be asked for");
	tap_is(p.value, (uint64_t)HVM_CALLBACK_TYPE_VECTOR << 56 | CALLBACK, "as it was set");
	send(a);
	tap_is(callbacks, 0, "not while interrupts are off");
	INTERRUPTS_FOR();
	tap_is(callbacks, 1, "then it comes");
	tap_ok(take(b), "for the port that was sent to");
	INTERRUPTS_FOR();
	tap_is(callbacks, 1, "and once");
	p.value = 3ull << 56;
	tap_is(hvm_op(HVMOP_set_param, &p), -XEN_EINVAL, "no such kind of callback");
	p.value = (uint64_t)HVM_CALLBACK_TYPE_VECTOR << 56 | 8;
	tap_is(hvm_op(HVMOP_set_param, &p), -XEN_EINVAL, "an exception's vector: refused");
	p.index = HVM_PARAM_STORE_PFN;
	tap_ok(hvm_op(HVMOP_get_param, &p) == 0 && p.value, "the xenstore has a page");
	tap_is(hvm_op(HVMOP_set_param, &p), -XEN_EPERM, "a parameter that is not the guest's");
	p.index = 1000;
	tap_is(hvm_op(HVMOP_get_param, &p), -XEN_EINVAL, "no such parameter");
}

static void by_apic(uint32_t a, uint32_t b)
{
	struct xen_hvm_evtchn_upcall_vector v = {.vcpu = 0, .vector = UPCALL};
	struct xen_hvm_param line = {
	    .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ, .value = 1};

	interrupt_set(UPCALL, on_upcall);
	tap_is(hvm_op(HVMOP_set_evtchn_upcall_vector, &v), 0, "upcalls through the local APIC");
	tap_is(hvm_op(HVMOP_set_param, &line), 0, "and an interrupt line, as Linux asks for both");
	line.value = 0;
	tap_ok(hvm_op(HVMOP_get_param, &line) == 0 && line.value == 1, "it is told as it was set");
	send(a);
	tap_ok(apic_bit(X2_IRR, UPCALL), "requested there");
	INTERRUPTS_FOR();
	tap_is(upcalls, 1, "and delivered");
	tap_is(callbacks, 1, "not by the callback too");
	take(b);
	wrmsr(X2_SIVR, 0xff);
	send(a);
	tap_ok(!apic_bit(X2_IRR, UPCALL), "a local APIC that is disabled takes no upcall");
	wrmsr(X2_SIVR, 0x1ff);
	tap_ok(apic_bit(X2_IRR, UPCALL), "but when it is enabled");
	INTERRUPTS_FOR();
	tap_is(upcalls, 2, "so that none is lost");
	take(b);
	v.vcpu = 77;
	tap_is(hvm_op(HVMOP_set_evtchn_upcall_vector, &v), -XEN_ENOENT, "no such vCPU");
	v = (struct xen_hvm_evtchn_upcall_vector){.vector = 3};
	tap_is(hvm_op(HVMOP_set_evtchn_upcall_vector, &v), -XEN_EINVAL, "no such vector");
}

static void timers(void)
{
	struct evtchn_bind_virq virq = {.virq = VIRQ_TIMER};
	singleshot_t once = {.flags = VCPU_SSHOTTMR_future};
	struct vcpu_set_periodic_timer period = {.period_ns = 2 * MS};
	unsigned before = upcalls;

	tap_is(evtchn_op(EVTCHNOP_bind_virq, &virq), 0, "the virtual timer's port");
	tap_is(evtchn_op(EVTCHNOP_bind_virq, &virq), -XEN_EEXIST, "has one already");
	once.timeout_abs_ns = now() + 3 * MS;
	tap_is(vcpu_op(VCPUOP_set_singleshot_timer, 0, &once), 0, "in 3 ms");
	sleep_once();
	tap_is(upcalls, before + 1, "it ends HLT");
	tap_ok(now() >= once.timeout_abs_ns, "not early");
	tap_ok(now() < once.timeout_abs_ns + 60 * MS, "nor late (%lu ns)",
	       (unsigned long)(now() - once.timeout_abs_ns));
	tap_ok(take(virq.port), "by its port");
	once.timeout_abs_ns = 1;
	tap_is(vcpu_op(VCPUOP_set_singleshot_timer, 0, &once), -XEN_ETIME, "a time long past");
	tap_is(vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL), 0, "stopped");
	tap_is(vcpu_op(VCPUOP_set_periodic_timer, 0, &period), 0, "every 2 ms");
	for (unsigned i = 0; i < 5; i++) {
		sleep_once();
		take(virq.port);
	}
	tap_is(upcalls, before + 6, "five times");
	tap_is(vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL), 0, "stopped");
	period.period_ns = 10;
	tap_is(vcpu_op(VCPUOP_set_periodic_timer, 0, &period), -XEN_EINVAL, "too often");
	period.period_ns = ~0ull;
	tap_is(vcpu_op(VCPUOP_set_periodic_timer, 0, &period), -XEN_EINVAL, "too seldom");
	tap_is(vcpu_op(VCPUOP_set_periodic_timer, 5, &period), -XEN_ENOENT, "of no vCPU");
	tap_is(vcpu_op(VCPUOP_is_up, 0, NULL), 1, "this vCPU is up");
	tap_is(vcpu_op(1000, 0, NULL), -XEN_ENOSYS, "no such command");
	take(virq.port);
	tap_is(close(virq.port), 0, "the port is given back");
}

static void polls(uint32_t a, uint32_t b)
{
	evtchn_port_t ports[2] = {b, a};
	sched_poll_t op = {.ports = handle(ports), .nr_ports = 2};
	uint64_t start = now();

	mask(b);
	send(a);
	tap_is(sched_op(SCHEDOP_poll, &op), 0, "a poll for what is pending, though masked");
	take(b);
	op.timeout = now() + 3 * MS;
	tap_is(sched_op(SCHEDOP_poll, &op), 0, "for what is not: until the time is up");
	tap_ok(now() >= start + 3 * MS, "which it waits for");
	op.nr_ports = 129;
	tap_is(sched_op(SCHEDOP_poll, &op), -XEN_EINVAL, "too many ports");
	ports[0] = PORTS;
	op.nr_ports = 1;
	tap_is(sched_op(SCHEDOP_poll, &op), -XEN_EINVAL, "no such port");
	op.ports = ~0ul;
	tap_is(sched_op(SCHEDOP_poll, &op), -XEN_EFAULT, "nowhere");
	unmask(b);
}

static void moved_record(uint32_t a, uint32_t b)
{
	struct vcpu_register_vcpu_info op;
	uint8_t *ram = page_alloc();
	unsigned before = upcalls;

	op = (struct vcpu_register_vcpu_info){(unsigned long)ram / PAGE_SIZE, PAGE_SIZE - 63, 0};
	tap_is(vcpu_op(VCPUOP_register_vcpu_info, 0, &op), -XEN_EINVAL, "across a page: refused");
	op = (struct vcpu_register_vcpu_info){HOLE / PAGE_SIZE, 64, 0};
	tap_is(vcpu_op(VCPUOP_register_vcpu_info, 0, &op), -XEN_EINVAL, "not RAM: refused");
	op = (struct vcpu_register_vcpu_info){(unsigned long)ram / PAGE_SIZE, 128, 0};
	tap_is(vcpu_op(VCPUOP_register_vcpu_info, 0, &op), 0, "the record moves to RAM");
	tap_is(vcpu_op(VCPUOP_register_vcpu_info, 0, &op), -XEN_EINVAL, "once");
	record = (volatile vcpu_info_t *)(ram + 128);
	tap_is(record->evtchn_upcall_pending, 1, "where all is marked");
	tap_ok(record->time.tsc_to_system_mul != 0, "with the clock");
	INTERRUPTS_FOR();
	tap_is(upcalls, before + 1, "and told");
	send(a);
	tap_is(record->evtchn_pending_sel, 1, "events are noted there");
	INTERRUPTS_FOR();
	take(b);
}

/* From the same port and argument again and again, while what it is bound to comes and goes. */
static void again(void)
{
	static struct evtchn_send op;
	unsigned wrong = 0;

	for (unsigned round = 0; round < 8; round++) {
		unsigned call =
		    __HYPERVISOR_event_channel_op | (round & 1 ? KEYHOLE_CALL_PHYSICAL : 0);
		struct evtchn_alloc_unbound a = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
		struct evtchn_bind_interdomain b = {.remote_dom = DOMID_SELF};

		wrong += evtchn_op(EVTCHNOP_alloc_unbound, &a) != 0;
		op.port = b.remote_port = a.port;
		wrong += evtchn_op(EVTCHNOP_bind_interdomain, &b) != 0 || !take(b.local_port);
		mask(b.local_port);
#define AGAIN() hypercall(call, EVTCHNOP_send, (unsigned long)&op, 0)
		for (unsigned n = 0; n < 4; n++)
			wrong += AGAIN() != 0 || !take(b.local_port);
		wrong += unmask(b.local_port) != 0 || close(b.local_port) != 0;
		for (unsigned n = 0; n < 2; n++)
			wrong += AGAIN() != 0 || take(b.local_port);
		wrong += close(a.port) != 0 || AGAIN() != -XEN_EINVAL;
	}
	tap_is(wrong, 0, "events go where their port leads then");
}

static void mistakes(uint32_t a, uint32_t b)
{
	struct evtchn_bind_interdomain other = {.remote_dom = 60, .remote_port = 1};
	struct evtchn_alloc_unbound alloc = {.dom = 60, .remote_dom = DOMID_SELF};
	struct evtchn_bind_vcpu bind = {a, 9};
	struct evtchn_bind_virq virq = {.virq = 99};
	struct evtchn_bind_ipi ipi = {.vcpu = 9};
	struct evtchn_reset reset = {.dom = 60};
	struct evtchn_status s;
	unsigned taken = 0;

	tap_is(send(0), -XEN_EINVAL, "port 0");
	tap_is(send(PORTS - 1), -XEN_EINVAL, "a free port");
	tap_is(send(~0u), -XEN_EINVAL, "beyond all ports");
	tap_is(close(PORTS), -XEN_EINVAL, "to close what is not there");
	tap_is(status(0, &s), ~0u, "the status of port 0");
	tap_is(evtchn_op(EVTCHNOP_bind_interdomain, &other), -XEN_ESRCH, "no such domain");
	tap_is(evtchn_op(EVTCHNOP_alloc_unbound, &alloc), -XEN_EPERM, "another domain's port");
	tap_is(evtchn_op(EVTCHNOP_bind_vcpu, &bind), -XEN_ENOENT, "no such vCPU");
	tap_is(evtchn_op(EVTCHNOP_bind_virq, &virq), -XEN_EINVAL, "no such virtual interrupt");
	tap_is(evtchn_op(EVTCHNOP_bind_ipi, &ipi), -XEN_ENOENT, "an IPI to no vCPU");
	tap_is(evtchn_op(EVTCHNOP_reset, &reset), -XEN_EPERM, "another domain's reset");
	tap_is(evtchn_op(EVTCHNOP_send, (void *)~0ul), -XEN_EFAULT, "an argument that is nowhere");
	tap_is(evtchn_op(EVTCHNOP_init_control, &s), -XEN_ENOSYS, "the FIFO ABI");
	s = (struct evtchn_status){.dom = 60, .port = a};
	tap_is(evtchn_op(EVTCHNOP_status, &s), -XEN_EPERM, "another domain's port's status");
	tap_is(status(PORTS, &s), ~0u, "the status of none");
	tap_is(status(~0u, &s), ~0u, "nor of all ones");
	tap_is(unmask(0), -XEN_EINVAL, "to unmask port 0");
	tap_is(unmask(PORTS), -XEN_EINVAL, "one beyond all");
	tap_is(unmask(PORTS - 1), -XEN_EINVAL, "a free one");
	bind = (struct evtchn_bind_vcpu){PORTS - 1, 0};
	tap_is(evtchn_op(EVTCHNOP_bind_vcpu, &bind), -XEN_EINVAL, "a free port for a vCPU");
	bind.port = ~0u;
	tap_is(evtchn_op(EVTCHNOP_bind_vcpu, &bind), -XEN_EINVAL, "none for it");
	bind.port = a;
	tap_is(evtchn_op(EVTCHNOP_bind_vcpu, &bind), 0, "one in use");
	tap_is(evtchn_op(EVTCHNOP_bind_ipi, (void *)0xd0000000ul), -XEN_EFAULT, "a result nowhere");
	tap_is(evtchn_op(EVTCHNOP_bind_pirq, &s), -XEN_ENOSYS, "a physical interrupt");
	tap_is(evtchn_op(1000, &s), -XEN_ENOSYS, "no such operation");
	ipi.vcpu = 0;
	tap_is(evtchn_op(EVTCHNOP_bind_ipi, &ipi), 0, "a port for IPIs");
	bind.port = ipi.port;
	tap_is(evtchn_op(EVTCHNOP_bind_vcpu, &bind), -XEN_EINVAL, "belongs to its vCPU");
	tap_is(status(ipi.port, &s), EVTCHNSTAT_ipi, "and is what it is");
	while (!evtchn_op(EVTCHNOP_bind_ipi, &ipi))
		taken++;
	tap_ok(taken > PORTS - 50, "%u more ports, then no more", taken);
	tap_is(evtchn_op(EVTCHNOP_bind_ipi, &ipi), -XEN_ENOSPC, "which is an error");
	tap_is(send(PORTS - 1), 0, "the last one works");
	tap_ok(take(PORTS - 1), "and is pending");
	tap_is(close(a), 0, "one end is closed");
	tap_is(status(b, &s), EVTCHNSTAT_unbound, "the other is unbound");
	reset.dom = DOMID_SELF;
	tap_is(evtchn_op(EVTCHNOP_reset, &reset), 0, "all are closed");
	tap_is(status(b, &s), EVTCHNSTAT_closed, "this one too");
}

int main(void)
{
	uint32_t a, b;

	apic_enable();
	page();
	a = loop(&b);
	bits(a, b);
	callback(a, b);
	by_apic(a, b);
	timers();
	polls(a, b);
	moved_record(a, b);
	again();
	mistakes(a, b);
	tap_done();
}
