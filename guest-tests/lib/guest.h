/*
 * The library for small guest kernels: what every main.c includes. A guest is one `int main(void)`;
 * it starts with its memory mapped one to one (the first 4 GiB; a 32-bit guest: no paging),
 * interrupts off, exceptions caught, and ends with tap_done().
 *
 * One vCPU uses it, with interrupts off: nothing here needs a lock. More of both: apic.h.
 */
#ifndef GUEST_H
#define GUEST_H

#include "cpu.h"
#include "hypercall.h"
#include "public/hvm/start_info.h"
#include <stdarg.h>

#define PAGE_SIZE     4096ul
#define array_size(a) (sizeof(a) / sizeof((a)[0]))

int main(void);

/* --- start.c: what the guest was told ------------------------------------------------------------
 */

extern uint32_t start_info_address;
/* The image in memory: the library's and the guest's own text, data, tables and stack. */
extern char image_start[], image_end[];

/* This domain's number. */
uint32_t self_domain(void);
const struct hvm_start_info *start_info(void);
const char *command_line(void);
/* The text behind `name=` on the command line, up to a blank; "" for a bare `name`; NULL if it is
 * not there. */
const char *option(const char *name);
/* The same as a number (decimal or 0x...; K, M, G are powers of 1024). */
uint64_t option_number(const char *name, uint64_t otherwise);
/* First byte of guest-physical memory that is RAM, at or above `from`, and the length of the rest
 * of that entry of the start info's memory map; 0 if there is none. */
uint64_t ram_next(uint64_t from, uint64_t *length);
/* A parameter of this domain (HVM_PARAM_...); a test that it can be asked for. */
uint64_t hvm_parameter(uint32_t index);

/* --- print.c -------------------------------------------------------------------------------------
 */

/* %s %c %% and %d %u %x %p, with l, ll, z, a width and a leading 0. Lines go out whole. */
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

void print_list(const char *format, va_list arguments);
/* Writes what there is of an unfinished line. */
void print_flush(void);

/* --- tap.c ---------------------------------------------------------------------------------------
 */

/* How many tests there will be. Without it the number is printed at the end. */
void tap_plan(unsigned count);
/* One test; the text is a printf format. Returns the condition. */
#define tap_ok(condition, ...) tap_report((condition), #condition, __FILE__, __LINE__, __VA_ARGS__)
/* A test that two numbers are equal; prints both if not. */
#define tap_is(got, wanted, ...) \
	tap_compare((long long)(got), (long long)(wanted), __FILE__, __LINE__, __VA_ARGS__)
bool tap_report(bool good, const char *condition, const char *file, int line, const char *format,
		...) __attribute__((format(printf, 5, 6)));
bool tap_compare(long long got, long long wanted, const char *file, int line, const char *format,
		 ...) __attribute__((format(printf, 5, 6)));
/* A test that cannot be made here; says why. */
void tap_skip(const char *what, const char *why);
/* Nothing further can be tested: ends the guest as failed. */
_Noreturn void tap_bail_out(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends the guest: with SHUTDOWN_poweroff if all went well, else with SHUTDOWN_crash. */
_Noreturn void tap_done(void);

/* Ends the guest with a SHUTDOWN_ reason; without Xen by QEMU's debug-exit port. */
_Noreturn void shutdown(unsigned reason);
/* Lets other guests run. */
void yield(void);

/* Yields until a condition holds, but not for ever; false if it never did. Others may need many
 * rounds on this processor, or much time on another one. */
#define WAIT_UNTIL(condition)                                                           \
	__extension__({                                                                 \
		unsigned rounds_left_ = 20000;                                          \
		uint64_t until_ = rdtsc() + wait_ticks();                               \
		bool holds_;                                                            \
		while (!(holds_ = (condition)) && (rounds_left_ || rdtsc() < until_)) { \
			rounds_left_ -= rounds_left_ != 0;                              \
			yield();                                                        \
		}                                                                       \
		holds_;                                                                 \
	})
/* Ticks of the time-stamp counter after which nothing is to be waited for any more. */
uint64_t wait_ticks(void);

/* --- grant.c: sharing pages ----------------------------------------------------------------------
 */

/* Where grants, tables and foreign pages may appear: guest-physical addresses that hold no RAM. */
#define HOLE 0xe0000000ul

/* Has frame 0 of the grant table appear at a guest-physical page; returns the table, or ends the
 * guest. */
volatile struct grant_entry_v1 *grant_table_at(unsigned long address);
/* Lets a domain map one of our pages. */
void grant_access(volatile struct grant_entry_v1 *table, grant_ref_t ref, uint32_t domain,
		  const void *page, unsigned flags);
/* Maps a grant; returns its status. */
int grant_map(uint32_t domain, grant_ref_t ref, unsigned long address, unsigned flags,
	      grant_handle_t *handle_out);
int grant_unmap(unsigned long address, grant_handle_t mapping);
/* Has another domain's frame appear; returns its error, or that of the call. */
long foreign_map(uint32_t domain, uint64_t gfn, unsigned long address);
/* Takes away what is at a guest-physical page. */
long page_remove(uint64_t address);

/* --- trap.c: exceptions -------------------------------------------------------------------------
 */

struct trap {
	int vector;	       /* -1: none was raised */
	unsigned long error;   /* error code, or 0 */
	unsigned long address; /* CR2, for a page fault */
	unsigned long ip;
	unsigned long ax; /* RAX or EAX as it was then */
	unsigned long flags;
};

struct trap_context {
	unsigned long words[9];
};
extern struct trap_context trap_context;
int trap_save(struct trap_context *where) __attribute__((returns_twice));
_Noreturn void trap_resume(const struct trap_context *where);
void trap_arm(void);
struct trap trap_finish(void);
void trap_init(void);
/* An entry of the IDT: an interrupt gate to a handler of one's own. */
void trap_set_gate(unsigned vector, unsigned long handler);
/* Lets this processor use the IDT. */
void trap_load(void);

/*
 * Runs a statement; the value is the exception that ended it, if any. What the statement had
 * assigned to local variables by then is unknown, unless they are volatile.
 */
#define TRAP(statement)                              \
	__extension__({                              \
		if (trap_save(&trap_context) == 0) { \
			trap_arm();                  \
			statement;                   \
		}                                    \
		trap_finish();                       \
	})

/* Goes on at ip with stack sp at CPL 3, flat segments. Use it within TRAP(): only an exception
 * comes back. */
_Noreturn void user_enter(unsigned long ip, unsigned long sp);

/* --- memory.c -----------------------------------------------------------------------------------
 */

/* A cleared page of the image's own; ends the guest if there is none left. */
void *page_alloc(void);
void *memset(void *to, int byte, size_t length);
void *memcpy(void *to, const void *from, size_t length);
int memcmp(const void *a, const void *b, size_t length);
size_t strlen(const char *text);

#ifdef __x86_64__
#define PTE_P	    0x001ull
#define PTE_W	    0x002ull
#define PTE_U	    0x004ull
#define PTE_A	    0x020ull
#define PTE_D	    0x040ull
#define PTE_PS	    0x080ull
#define PTE_G	    0x100ull
#define PTE_NX	    (1ull << 63)
#define PTE_PKEY(n) ((uint64_t)(n) << 59)
#define PTE_ADDRESS 0x000ffffffffff000ull

extern uint64_t page_table_root[512];
/*
 * The entry that maps `address` in the table of a level: 1 = 4K pages, 2 = 2M, 3 = 1G, 4 = the
 * root. Missing tables on the way are made, with all rights. Not for addresses below 4 GiB, which
 * are mapped by large pages from the start.
 */
uint64_t *paging_entry(uint64_t address, unsigned level);
/* Maps one 4K page; flags are PTE_ bits besides PTE_P. */
void paging_map(uint64_t address, uint64_t physical, uint64_t flags);
void paging_unmap(uint64_t address);
/* A part of the address space that nobody else uses. */
#define PAGING_FREE 0x8000000000ull
#endif

#endif
