/*
 * String instructions, operands across the end of RAM, faults on the way, and what ends a guest.
 */
#include "mmio.h"

#define FLAG_TF	  0x100
#define FLAG_DF	  0x400
#define FLAGS_IN  0x2
#define PF_WRITE  2
#define PF_FETCH  16
#define RAM_PAGES 4
#ifdef __x86_64__
#define SP "rsp"
#else
#define SP "esp"
#endif

static bool is_filled(const uint8_t *at, uint8_t byte, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (at[i] != byte)
			return false;
	return true;
}

static const uint8_t rep_stosb[] = {0xf3, 0xaa, 0xc3}, rep_stosl[] = {0xf3, 0xab, 0xc3},
		     rep_movsb[] = {0xf3, 0xa4, 0xc3}, rep_movsl[] = {0xf3, 0xa5, 0xc3},
		     stosw[] = {0x66, 0xab, 0xc3}, movsl[] = {0xa5, 0xc3};

static struct registers string(const uint8_t *what, unsigned long di, unsigned long si,
			       unsigned long count, unsigned long flags)
{
	struct registers r = {0x5a5a5a5a, count, 0, 0, FLAGS_IN | flags, di, si};

	run_code(what, &r);
	return r;
}

/* RAM is RAM_PAGES pages. */
void strings(unsigned long nothing, uint8_t *ram)
{
	unsigned long at = (unsigned long)ram;
	struct registers r = string(rep_stosl, nothing, 0, 2048, 0);

	tap_ok(r.c == 0 && r.di == nothing + 8192, "REP STOS over two pages of nothing");
	r = string(stosw, nothing + 2, 0, 7, FLAG_DF);
	tap_ok(r.c == 7 && r.di == nothing, "STOS downwards");
	r = string(rep_stosb, nothing, 0, 0, 0);
	tap_ok(r.c == 0 && r.di == nothing, "none of it");

	memset(ram, 0, RAM_PAGES * PAGE_SIZE);
	r = string(rep_movsl, at + 4, nothing, 1024, 0);
	tap_ok(r.c == 0 && r.di == at + 4 + 4096 && r.si == nothing + 4096 &&
		   is_filled(ram + 4, 0xff, 4096) && is_filled(ram, 0, 4) &&
		   is_filled(ram + 4100, 0, 4096),
	       "REP MOVS from nothing to RAM: ones, no more than asked for");
	r = string(rep_movsb, nothing, at, 100, 0);
	tap_ok(r.c == 0 && r.di == nothing + 100 && r.si == at + 100, "from RAM to nothing");
	r = string(rep_movsl, nothing + 0x2000, nothing, 64, 0);
	tap_ok(r.c == 0 && r.di == nothing + 0x2100 && r.si == nothing + 0x100,
	       "from nothing to nothing");
	memset(ram, 0, 16384);
	r = string(rep_movsl, at + 4096 - 2 + 8, nothing + 8, 3, FLAG_DF);
	tap_ok(r.di == at + 4096 - 2 - 4 && is_filled(ram + 4096 - 2, 0xff, 12) &&
		   is_filled(ram + 4096 + 10, 0, 4),
	       "downwards, across two pages of RAM");
	memset(ram, 0, 8);
	r = string(movsl, at, nothing, 5, 0);
	tap_ok(r.c == 5 && is_filled(ram, 0xff, 4) && is_filled(ram + 4, 0, 4), "MOVS without REP");
}

/* The last bytes of RAM and what comes behind. */
void borders(unsigned long nothing)
{
	uint64_t length, end64 = 0;

	/* The last of it below the hole: the ACPI tables lie in between. */
	for (uint64_t at = ram_next(0, &length); length && at < HOLE; at = ram_next(end64, &length))
		end64 = at + length;
	unsigned long end = (unsigned long)end64;
	volatile uint32_t *across = (volatile uint32_t *)(end - 2);
	volatile uint16_t *last = (volatile uint16_t *)(end - 2);

	*last = 0x1234;
	tap_is(*across, 0xffff1234, "an operand of which half is RAM");
	*across = 0xabcd5678;
	tap_is(*last, 0x5678, "only that half is written");
	*across += 1;
	tap_is(*last, 0x5679, "and changed");
	struct registers r = string(rep_stosb, end - 16, 0, 32, 0);
	tap_ok(r.c == 0 && r.di == end + 16 && is_filled((uint8_t *)end - 16, 0x5a, 16),
	       "REP STOS out of RAM");
	tap_is(*(volatile uint32_t *)(nothing + PAGE_SIZE - 2), ~0u, "half here and half there");
#ifdef __x86_64__
	static const uint64_t far[] = {0x100000000, 0x2000000000, 1ull << 38};

	for (unsigned i = 0; i < array_size(far); i++) {
		paging_map(PAGING_FREE, far[i], PTE_W);
		tap_is(*(volatile int64_t *)PAGING_FREE, -1, "nothing at 0x%llx",
		       (unsigned long long)far[i]);
		paging_unmap(PAGING_FREE);
	}
#endif
}

/* Two pages that are mapped here only, and one between them and the next. */
#ifdef __x86_64__
#define CODE (PAGING_FREE + 0x100000)
#define HERE (PAGING_FREE + 0x200000)

static void paging_faults(unsigned long nothing)
{
	/* Writable here, so that RAM's own page tables do not matter. */
	paging_map(HERE, nothing, PTE_W);
	struct registers r = {0x5a, ~0ul, 0, 0, FLAGS_IN, HERE, 0};
	struct trap t = TRAP(run_code(rep_stosb, &r));
	tap_ok(t.vector == VECTOR_PF && t.address == HERE + PAGE_SIZE && t.error == PF_WRITE,
	       "REP STOS without end: a page fault behind the page");

	t = TRAP(string(movsl, HERE + PAGE_SIZE, nothing, 0, 0));
	tap_ok(t.vector == VECTOR_PF && t.address == HERE + PAGE_SIZE && t.error == PF_WRITE &&
		   t.ip == (unsigned long)movsl,
	       "MOVS from nothing to no page");
	t = TRAP(string(movsl, HERE + PAGE_SIZE - 2, nothing, 0, 0));
	tap_ok(t.vector == VECTOR_PF && t.address == HERE + PAGE_SIZE,
	       "or to half a page: the address is that of the other half");
	t = TRAP(string(movsl, nothing, HERE + PAGE_SIZE, 0, 0));
	tap_ok(t.vector == VECTOR_PF && t.error == 0, "MOVS from no page");
	t = TRAP(string(movsl, 1ull << 63, nothing, 0, 0));
	tap_is(t.vector, VECTOR_GP, "MOVS to what is no address");
	paging_map(HERE + PAGE_SIZE, nothing, 0);
	write_cr0(read_cr0() | CR0_WP);
	t = TRAP(string(movsl, HERE + PAGE_SIZE, nothing, 0, 0));
	tap_ok(t.vector == VECTOR_PF && t.error == (PF_WRITE | 1), "MOVS to a read-only page");
	t = TRAP(__asm__ volatile("lock incl (%0)" : : "r"(HERE + PAGE_SIZE) : "memory", "cc"));
	tap_ok(t.vector == VECTOR_PF && t.error == (PF_WRITE | 1), "adding to one");

	/* An instruction across two pages: the processor may know the second from before. */
	uint8_t *page = page_alloc();
	static const uint8_t add[] = {0x81, 0x07, 1, 0, 0, 0, 0xc3}; /* addl $1, (%rdi) */
	unsigned char *split = (unsigned char *)CODE + PAGE_SIZE - 3;

	paging_map(CODE, (uint64_t)page, PTE_W);
	paging_map(CODE + PAGE_SIZE, (uint64_t)page_alloc(), PTE_W);
	memcpy(split, add, sizeof(add));
	r = (struct registers){.flags = FLAGS_IN, .di = HERE};
	run_code(split, &r);
	tap_is(r.flags & 0x41, 0x41, "code across two pages is put together");
	*paging_entry(CODE + PAGE_SIZE, 1) = 0; /* and no INVLPG */
	r = (struct registers){.flags = FLAGS_IN, .di = HERE};
	t = TRAP(run_code(split, &r));
	tap_ok(t.vector == VECTOR_PF && t.address == CODE + PAGE_SIZE &&
		   t.ip == (unsigned long)split && !(t.error & PF_WRITE),
	       "its second page has gone: a page fault there");
	invlpg((void *)(CODE + PAGE_SIZE));
}
#else
static void paging_faults(unsigned long nothing)
{
	(void)nothing;
}
#endif

void faults(unsigned long nothing)
{
	static const uint8_t lock_mov[] = {0xf0, 0x89, 0x07, 0xc3}, load[] = {0x8b, 0x07, 0xc3};
	struct registers r = {.flags = FLAGS_IN, .di = nothing};
	struct trap t = TRAP(run_code(lock_mov, &r));

	tap_is(t.vector, VECTOR_UD, "LOCK MOV");
	/* The flag takes effect behind the instruction after POPF. */
	t = TRAP(__asm__ volatile("pushf\n\torl %2, (%%" SP ")\n\tpopf\n\tmovl (%0), %%eax\n\tnop"
				  :
				  : "D"(nothing), "a"(0), "i"(FLAG_TF)
				  : "memory", "cc"));
	tap_ok(t.vector == VECTOR_DB && (uint32_t)t.ax == ~0u && (read_dr6() & (1ul << 14)),
	       "a single step ends behind the load");
	tap_is(*(const uint8_t *)t.ip, 0x90, "and before what follows");
	write_dr6(0xffff0ff0);
	t = TRAP(__asm__ volatile("pushf\n\torl %2, (%%" SP ")\n\tpopf\n\trep stosb\n\tnop"
				  :
				  : "D"(nothing), "c"(9), "i"(FLAG_TF), "a"(0)
				  : "memory", "cc"));
	tap_ok(t.vector == VECTOR_DB && *(const uint8_t *)t.ip == 0xf3,
	       "one of REP STOS ends behind one element");
	write_dr6(0xffff0ff0);
	t = TRAP(__asm__ volatile("movups (%0), %%xmm0" : : "r"(nothing)));
	tap_ok(t.vector == VECTOR_UD && *(const uint8_t *)t.ip == 0x0f,
	       "what is not emulated is undefined there");
	t = TRAP(__asm__ volatile("push (%0)" : : "r"(nothing)));
	tap_is(t.vector, VECTOR_UD, "PUSH of what is not there");
	paging_faults(nothing);
	r = (struct registers){.flags = FLAGS_IN, .di = nothing};
	run_code(load, &r);
	tap_is((uint32_t)r.a, ~0u, "all is as before");
}

_Noreturn void end_of_guest(const char *how, unsigned long nothing)
{
	printf("# end: %s\n", how);
	if (how[0] == 't') {
		write_cr3(nothing);
	} else {
		struct {
			uint16_t limit;
			unsigned long base;
		} __attribute__((packed)) idtr = {0xfff, nothing};

		__asm__ volatile("lidt %0\n\tud2" : : "m"(idtr));
	}
	printf("# it goes on\n");
	shutdown(SHUTDOWN_poweroff);
}
