/*
 * The end after an error of the hypervisor's own.
 *
 * State: which CPU panics. No lock: the first CPU wins, stops the others by NMI and has the console
 * for itself. Whatever is read here may be what is broken: stacks and the guest's name are read
 * through the exception table, each frame pointer is checked against this CPU's stacks first, and a
 * panic within the panic prints its message and ends.
 *
 * The registers of a fault in the VM-exit stub are a guest's: they go to the console and nowhere
 * else.
 */
#include "kernel/panic.h"
#include "cpu.h"
#include "domain.h"
#include "drivers/apic.h"
#include "drivers/power.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/symbols.h"
#include "kernel/traps.h"
#include "layout.h"
#include "mm/private.h"
#include "percpu.h"
#include "print.h"
#include "vcpu.h"

#define BACKTRACE_MAX 32u
#define MESSAGE_MAX   240u
#define STATUS_PANIC  1u

static _Atomic uint32_t panicking; /* CPU index + 1 */
static uint32_t depth;		   /* of panics on that CPU */

bool panic_elsewhere(void)
{
	uint32_t who = atomic_load(&panicking);

	return who && who != cpu_index() + 1;
}

/* Makes this CPU the one that panics. Returns only if it is, with the others told to stop. */
static void take_over(void)
{
	uint32_t me = cpu_index() + 1, nobody = 0;

	__asm__ volatile("cli");
	if (!atomic_compare_exchange_strong(&panicking, &nobody, me) && nobody != me)
		cpu_halt();
	depth++;
	if (depth > 2)
		cpu_halt();
	console_break_lock();
	if (depth > 1)
		return;
	traps_stay_on_stack();
	for (uint32_t i = 0; i < LAYOUT_CPUS_MAX; i++)
		if (i + 1 != me && atomic_load(&cpu_shared[i].online))
			apic_send_nmi(cpu_shared[i].apic_id);
}

extern const char boot_stack[], boot_stack_top[];

static bool within(uint64_t address, uint64_t start, uint64_t size)
{
	return address >= start && address - start < size && size - (address - start) >= 16;
}

/* Whether two words at address lie in one of this CPU's stacks. */
static bool in_stack(uint64_t address)
{
	uint64_t base = private_base_of(cpu_index());

	if (address % 8)
		return false;
	if (within(address, base + PRIVATE_STACK, PRIVATE_STACK_PAGES * PAGE_SIZE) ||
	    within(address, (uint64_t)boot_stack, (uint64_t)(boot_stack_top - boot_stack)))
		return true;
	for (unsigned i = 0; i < PRIVATE_IST_COUNT; i++)
		if (within(address, base + PRIVATE_IST + i * PRIVATE_IST_STRIDE,
			   PRIVATE_IST_PAGES * PAGE_SIZE))
			return true;
	return false;
}

static void print_address(uint64_t address, bool is_return)
{
	uint64_t offset;
	/* A call that does not return may be its function's last instruction. */
	const char *name = symbols_name(address - is_return, &offset);

	if (name)
		print(LOG_ERROR, "  %016lx %s+0x%lx", address, name, offset + is_return);
	else
		print(LOG_ERROR, "  %016lx ?", address);
}

/* From the code at rip, whose frame pointer is rbp. Where it has made no frame of its own yet, on a
 * function's first instruction or after a call to nowhere, rsp is where its return address lies;
 * else 0. */
static void print_backtrace(uint64_t rip, uint64_t rbp, uint64_t rsp)
{
	uint64_t offset, return_address;

	print(LOG_ERROR, "backtrace:");
	print_address(rip, false);
	if ((!symbols_name(rip, &offset) || offset == 0) && in_stack(rsp) &&
	    read_safe((const uint64_t *)rsp, &return_address))
		print_address(return_address, true);
	for (unsigned i = 0; i < BACKTRACE_MAX && rbp; i++) {
		uint64_t caller, next;

		if (!in_stack(rbp)) {
			print(LOG_ERROR, "  (frame pointer %016lx is in no stack)", rbp);
			return;
		}
		if (!read_safe((const uint64_t *)rbp, &next) ||
		    !read_safe((const uint64_t *)(rbp + 8), &caller))
			return;
		if (!caller)
			return;
		print_address(caller, true);
		/* A stack grows down: a frame that is not above the last one, in the same stack, is
		 * none. */
		if (next <= rbp && rbp - next < PRIVATE_STACK_PAGES * PAGE_SIZE)
			return;
		rbp = next;
	}
}

static void print_control_registers(void)
{
	print(LOG_ERROR, "  cr0 %08lx cr2 %016lx cr3 %016lx cr4 %08lx efer %04lx", read_cr0(),
	      read_cr2(), read_cr3(), read_cr4(), rdmsr(MSR_IA32_EFER));
}

static void print_frame(const struct trap_frame *f)
{
	print(LOG_ERROR, "  rip %04lx:%016lx rsp %04lx:%016lx rflags %08lx vector %lu", f->cs,
	      f->rip, f->ss, f->rsp, f->rflags, f->vector);
	print(LOG_ERROR, "  rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx,
	      f->rdx);
	print(LOG_ERROR, "  rsi %016lx rdi %016lx rbp %016lx error %lx", f->rsi, f->rdi, f->rbp,
	      f->error_code);
	print(LOG_ERROR, "  r8  %016lx r9  %016lx r10 %016lx r11 %016lx", f->r8, f->r9, f->r10,
	      f->r11);
	print(LOG_ERROR, "  r12 %016lx r13 %016lx r14 %016lx r15 %016lx", f->r12, f->r13, f->r14,
	      f->r15);
	print_control_registers();
}

static bool read_words(uint64_t address, uint64_t *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!read_safe((const uint64_t *)address + i, &words[i]))
			return false;
	return true;
}

/* Which guest this CPU was about. */
static void print_guest(void)
{
	uint64_t vcpu = (uint64_t)this_cpu()->current, domain, id, name[DOMAIN_NAME_MAX / 8];

	if (!vcpu)
		print(LOG_ERROR, "current guest: none");
	else if (read_words(vcpu + offsetof(struct vcpu_shared, domain), &domain, 1) &&
		 read_words(domain, &id, 1) &&
		 read_words(domain + offsetof(struct domain, name), name, array_size(name)))
		print(LOG_ERROR, "current guest: d%u \"%.*s\"", (unsigned)(domid_t)id,
		      DOMAIN_NAME_MAX, (const char *)name);
	else
		print(LOG_ERROR, "current guest: unreadable");
}
_Static_assert(offsetof(struct domain, id) == 0, "read as the low bits of the first word");

noreturn_fn static void end(void)
{
	console_drain();
	power_off(STATUS_PANIC);
}

static void print_message(const char *fmt, va_list args)
{
	char message[MESSAGE_MAX];

	format_string_v(message, sizeof(message), fmt, args);
	print(LOG_ERROR, "PANIC%s: %s", depth > 1 ? " within a panic" : "", message);
	print(LOG_ERROR, "cpu%u, registers:", cpu_index());
}

/* Nothing but what the caller has in its frame is known of its registers. */
void panic(const char *fmt, ...)
{
	uint64_t rip = (uint64_t)__builtin_return_address(0);
	uint64_t frame = (uint64_t)__builtin_frame_address(0), rbp = 0, rflags;
	va_list args;

	__asm__ volatile("pushfq; popq %0" : "=r"(rflags));
	take_over();
	va_start(args, fmt);
	print_message(fmt, args);
	va_end(args);
	if (depth > 1)
		end();
	if (!read_safe((const uint64_t *)frame, &rbp))
		rbp = 0;
	print(LOG_ERROR, "  rip %016lx rsp %016lx rbp %016lx rflags %08lx", rip, frame + 16, rbp,
	      rflags);
	print_control_registers();
	print_backtrace(rip, rbp, 0);
	print_guest();
	end();
}

void panic_at(const struct trap_frame *frame, const char *fmt, ...)
{
	va_list args;

	take_over();
	va_start(args, fmt);
	print_message(fmt, args);
	va_end(args);
	if (depth > 1) {
		print_address(frame->rip, false);
		end();
	}
	print_frame(frame);
	print_backtrace(frame->rip, frame->rbp, frame->rsp);
	print_guest();
	end();
}
