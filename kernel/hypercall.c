/*
 * Hypercalls: from the guest's registers to a handler and back.
 *
 * State: none; a call lives on this CPU's private stack. No lock: each CPU handles the calls
 * of the vCPU that runs on it.
 *
 * Registers, as on Xen: number in EAX; arguments in RDI RSI RDX R10 R8 R9 for a 64-bit caller, in
 * EBX ECX EDX ESI EDI EBP for any other; the result in RAX, or EAX. Only CPL 0 may call. Arguments
 * stay as they were, but for a call that continues. With bit 30 in the number pointers are
 * guest-physical: the copies alone know of it (guest_copy.h).
 *
 * Sources: Xen, public/arch-x86/xen-x86_64.h and xen-x86_32.h.
 */
#include "kernel/hypercall.h"
#include "mm/window.h"
#include "percpu.h"
#include "public/errno.h"
#include "public/keyhole.h"
#include "public/xen.h"
#include "selftest/leak_lab.h"
#include "selftest/test_call.h"
#include "vcpu.h"

/* --- arguments -------------------------------------------------------------------------------- */

/* Where the arguments of a caller outside 64-bit mode are in struct vcpu_regs. */
static const uint16_t narrow_offsets[HYPERCALL_ARGS] = {
    offsetof(struct vcpu_regs, rbx), offsetof(struct vcpu_regs, rcx),
    offsetof(struct vcpu_regs, rdx), offsetof(struct vcpu_regs, rsi),
    offsetof(struct vcpu_regs, rdi), offsetof(struct vcpu_regs, rbp)};

static uint64_t *narrow_register(struct vcpu_regs *regs, unsigned i)
{
	return (uint64_t *)(void *)((char *)regs + narrow_offsets[i]);
}

/* The arguments of a 64-bit caller lie side by side, as an array. */
#define WIDE_ARG(name, n) \
	(offsetof(struct vcpu_regs, name) == offsetof(struct vcpu_regs, rdi) + 8 * (n))
_Static_assert(WIDE_ARG(rsi, 1) && WIDE_ARG(rdx, 2) && WIDE_ARG(r10, 3) && WIDE_ARG(r8, 4) &&
		   WIDE_ARG(r9, 5) && HYPERCALL_ARGS == 6,
	       "order of struct vcpu_regs");

/* A handler has moved its arguments on and returns this. */
int64_t hypercall_continue(struct hypercall *c)
{
	c->args_changed = true;
	return HYPERCALL_CONTINUE;
}

/* Copies an argument structure in, once; the handler sees the 64-bit layout. -XEN_EFAULT. */
int hypercall_copy_in(struct hypercall *c, const struct compat_layout *layout, void *to, gva_t from)
{
	uint8_t narrow[COMPAT_SIZE_MAX];

	if (c->wide)
		return guest_copy_in(&c->access, to, from, layout->wide_size);
	int rc = guest_copy_in(&c->access, narrow, from, layout->narrow_size);
	if (!rc)
		compat_widen(layout, to, narrow);
	return rc;
}

/* The way back. -XEN_EFAULT; -XEN_EOVERFLOW if a value does not fit this caller's layout. */
int hypercall_copy_out(struct hypercall *c, const struct compat_layout *layout, gva_t to,
		       const void *from)
{
	uint8_t narrow[COMPAT_SIZE_MAX];

	if (c->wide)
		return guest_copy_out(&c->access, to, from, layout->wide_size);
	if (!compat_narrow(layout, narrow, from))
		return -XEN_EOVERFLOW;
	return guest_copy_out(&c->access, to, narrow, layout->narrow_size);
}

int hypercall_element(const struct hypercall *c, gva_t array, uint64_t index, unsigned element_size,
		      gva_t *out)
{
	uint64_t offset, address;

	if (__builtin_mul_overflow(index, element_size, &offset) ||
	    __builtin_add_overflow(gva_raw(array), offset, &address) ||
	    (!c->wide && address > UINT32_MAX))
		return -XEN_EFAULT;
	*out = make_gva(address);
	return 0;
}

static unsigned word_size(const struct hypercall *c)
{
	return c->wide ? 8 : 4;
}

int hypercall_word_in(struct hypercall *c, gva_t array, uint64_t index, uint64_t *out)
{
	gva_t at;
	int rc = hypercall_element(c, array, index, word_size(c), &at);

	*out = 0;
	return rc ? rc : guest_copy_in(&c->access, out, at, word_size(c));
}

int hypercall_words_in(struct hypercall *c, gva_t array, uint64_t first, unsigned count,
		       uint64_t out[])
{
	const uint32_t *narrow = (const uint32_t *)out;
	gva_t at, last;

	if (hypercall_element(c, array, first, word_size(c), &at) ||
	    hypercall_element(c, array, first + count - 1, word_size(c), &last) ||
	    guest_copy_in(&c->access, out, at, count * word_size(c)))
		return -XEN_EFAULT;
	for (unsigned i = count; !c->wide && i-- > 0;)
		out[i] = narrow[i]; /* from the end on: none is overwritten before it was read */
	return 0;
}

/* Writes array[index]; all ones stays all ones in either width. -XEN_EFAULT. */
int hypercall_word_out(struct hypercall *c, gva_t array, uint64_t index, uint64_t value)
{
	gva_t at;
	int rc = hypercall_element(c, array, index, word_size(c), &at);

	return rc ? rc : guest_copy_out(&c->access, at, &value, word_size(c));
}

/* --- dispatch --------------------------------------------------------------------------------- */

static int64_t hypercall_unknown(struct hypercall *c)
{
	(void)c;
	return -XEN_ENOSYS;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init" /* first all, then those that there are */
const hypercall_handler hypercall_handlers[HYPERCALL_NUMBERS] = {
    [0 ... HYPERCALL_NUMBERS - 1] = hypercall_unknown,
    [__HYPERVISOR_memory_op] = hypercall_memory_op,
    [__HYPERVISOR_multicall] = hypercall_multicall,
    [__HYPERVISOR_xen_version] = hypercall_xen_version,
    [__HYPERVISOR_console_io] = hypercall_console_io,
    [__HYPERVISOR_grant_table_op] = hypercall_grant_table_op,
    [__HYPERVISOR_vm_assist] = hypercall_vm_assist,
    [__HYPERVISOR_vcpu_op] = hypercall_vcpu_op,
    [__HYPERVISOR_sched_op] = hypercall_sched_op,
    [__HYPERVISOR_event_channel_op] = hypercall_event_channel_op,
    [__HYPERVISOR_hvm_op] = hypercall_hvm_op,
    [__HYPERVISOR_keyhole_control] = hypercall_control,
    [__HYPERVISOR_keyhole_foreign] = hypercall_foreign,
    [__HYPERVISOR_keyhole_grant] = hypercall_grant,
#ifdef CONFIG_TEST
    [__HYPERVISOR_keyhole_test] = test_hypercall,
#endif
#ifdef CONFIG_LEAK_LAB
    [__HYPERVISOR_keyhole_lab] = leak_lab_hypercall,
#endif
};
#pragma GCC diagnostic pop

/* A number beyond the table: one with a flag, perhaps. */
int64_t hypercall_flagged(struct hypercall *c, uint32_t number)
{
	number ^= KEYHOLE_CALL_PHYSICAL;
	if (number >= HYPERCALL_NUMBERS)
		return -XEN_ENOSYS;
	c->access.state = GUEST_ACCESS_PHYSICAL;
	return hypercall_handlers[number](c);
}

int64_t hypercall_in_list(struct hypercall *c, uint32_t number)
{
	if ((number & ~KEYHOLE_CALL_PHYSICAL) == __HYPERVISOR_multicall)
		return -XEN_EINVAL;
	return hypercall_dispatch(c, number);
}

/* A caller with 32-bit registers: the arguments pass through a copy. */
static int64_t run_narrow(struct hypercall *c, struct vcpu_regs *regs)
{
	uint64_t args[HYPERCALL_ARGS];

	for (unsigned i = 0; i < HYPERCALL_ARGS; i++)
		args[i] = (uint32_t)*narrow_register(regs, i);
	c->arg = args;
	int64_t result = hypercall_dispatch(c, regs->eax);
	for (unsigned i = 0; c->args_changed && i < HYPERCALL_ARGS; i++)
		*narrow_register(regs, i) = args[i];
	return result;
}

bool hypercall(struct vcpu_regs *regs, unsigned cpl, bool wide)
{
	struct domain *d = this_cpu_field(current)->domain;
	struct hypercall c = {.domain = d,
			      .arg = &regs->rdi,
			      .sent = container_of(regs, struct vcpu_secret, regs)->sent,
			      .wide = wide,
			      .access = {.p2m = &d->p2m}};
	int64_t result = -XEN_EPERM;

	if (likely(cpl == 0))
		result = wide ? hypercall_dispatch(&c, regs->eax) : run_narrow(&c, regs);
	if (result == HYPERCALL_CONTINUE)
		return false;
	regs->rax = wide ? (uint64_t)result : (uint32_t)result;
	return true;
}

/* --- the hypercall page ----------------------------------------------------------------------- */

/* mov $number, %eax; vmcall; ret */
#define ENTRY_NUMBER_OFFSET 1
static const uint8_t entry_code[] = {0xb8, 0, 0, 0, 0, 0x0f, 0x01, 0xc1, 0xc3};
/* For iret, which such a guest does by the instruction: ud2. */
static const uint8_t no_entry_code[] = {0x0f, 0x0b};
#define INT3 0xcc

int hypercall_page_write(gpa_t where)
{
	struct domain *d = this_cpu()->current->domain;
	struct p2m_entry e;

	if (gpa_offset(where) || !p2m_lookup(&d->p2m, gpa_to_gfn(where), &e) || e.type != P2M_RAM)
		return -XEN_EINVAL;
	uint8_t *page = window_open(WINDOW_TARGET, e.frame);
	__builtin_memset(page, INT3, PAGE_SIZE);
	for (uint32_t n = 0; n < XEN_HYPERCALL_ENTRIES; n++) {
		uint8_t *entry = page + n * XEN_HYPERCALL_ENTRY_SIZE;
		if (n == __HYPERVISOR_iret) {
			__builtin_memcpy(entry, no_entry_code, sizeof(no_entry_code));
			continue;
		}
		__builtin_memcpy(entry, entry_code, sizeof(entry_code));
		__builtin_memcpy(entry + ENTRY_NUMBER_OFFSET, &n, sizeof(n));
	}
	window_close(WINDOW_TARGET);
	return 0;
}
