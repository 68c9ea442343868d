/*
 * multiboot32: what a kernel written for QEMU's -kernel finds: the registers and the information of
 * a multiboot image, and the devices that such kernels probe. It ends by the debug-exit port, or,
 * with "reset" on its command line, by the keyboard controller,
 * with "off" by the sleep control register. With "screen" it knows no console but a PC's screen,
 * which is shown when it has halted.
 */
#include "guest.h"
#include "public/multiboot.h"

#define MEM_KIB		(16u << 10) /* as test.toml says */
#define PIT_HZ		1193182u
#define CALIBRATE_TICKS (PIT_HZ / 100)

#define SERIAL	       0x3f8
#define SERIAL_IER     (SERIAL + 1)
#define SERIAL_LCR     (SERIAL + 3)
#define SERIAL_MCR     (SERIAL + 4)
#define SERIAL_LSR     (SERIAL + 5)
#define SERIAL_SCRATCH (SERIAL + 7)
#define LSR_RECEIVED   0x01
#define LSR_EMPTY      0x20
#define MCR_LOOPBACK   0x10

extern uint32_t entry_esp, entry_eax, entry_cr0, entry_cs, entry_ds;

extern struct {
	uint16_t limit;
	uint32_t base;
} __attribute__((packed)) entry_gdt;

static const struct multiboot_info *info;

static const void *at(uint32_t address)
{
	return (const void *)(uintptr_t)address;
}

static bool same_text(uint32_t address, const char *text)
{
	return memcmp(at(address), text, strlen(text) + 1) == 0;
}

static void entry(void)
{
	tap_is(entry_eax, MULTIBOOT_BOOTLOADER_MAGIC, "EAX says that a multiboot loader was here");
	tap_is(entry_cr0 & (CR0_PE | CR0_PG), CR0_PE, "protected mode without paging");
	tap_ok(entry_cs != entry_ds && entry_cs != 0, "segments");
	tap_ok(entry_esp >= 0x500 + 256 && entry_esp < 640u << 10, "a stack at 0x%x", entry_esp);
	tap_is(entry_gdt.limit, 3 * 8 - 1, "a table of the segments");
	tap_is(info->flags & 0x24d, 0x24d,
	       "the information says that it has memory, modules, a map");
	tap_is(info->mem_lower, 640, "low memory");
	tap_is(info->mem_upper, MEM_KIB - 1024, "memory from 1 MiB on");
	tap_ok(same_text(info->cmdline, "multiboot32 one two=2"), "command line: \"%s\"",
	       (const char *)at(info->cmdline));
	tap_ok(strlen(at(info->boot_loader_name)) > 0, "loaded by %s",
	       (const char *)at(info->boot_loader_name));
}

static void modules(void)
{
	const struct multiboot_module *m = at(info->mods_addr);

	tap_is(info->mods_count, 1, "one module");
	tap_ok(m->mod_start % PAGE_SIZE == 0 && m->mod_start >= (uintptr_t)image_end &&
		   m->mod_end > m->mod_start && m->mod_end <= MEM_KIB << 10,
	       "page aligned, behind the image");
	tap_ok(memcmp(at(m->mod_start), "\177ELF", 4) == 0, "its contents");
	tap_ok(same_text(m->cmdline, "file for it"), "its command line");
}

static void memory(void)
{
	const struct multiboot_mmap *map = at(info->mmap_addr);
	uint64_t available = 0, end = 0;
	bool good = true;

	for (uint32_t i = 0; i < info->mmap_length / sizeof(*map); i++) {
		good = good && map[i].size == sizeof(*map) - 4 && map[i].addr == end;
		end = map[i].addr + map[i].len;
		if (map[i].type == MULTIBOOT_MEMORY_AVAILABLE)
			available += map[i].len;
	}
	tap_ok(good && end == MEM_KIB << 10, "the map has all RAM");
	tap_is(available, (MEM_KIB - 384) << 10, "all but a PC's BIOS area is available");
	volatile uint32_t *zero = NULL, *last = (uint32_t *)at((MEM_KIB << 10) - 4);
	__asm__("" : "+r"(zero)); /* it is an address like any other */
	*zero = 0x12345678;
	*last = 0x9abcdef0;
	tap_ok(*zero == 0x12345678 && *last == 0x9abcdef0, "the first and the last word");
	tap_ok(*(volatile uint32_t *)at(0x100000) != 0x12345678, "A20 is on");
}

/* Where the text is, at multiples of 16 from start on; 0: nowhere before 1 MiB. */
static const uint8_t *find(uint32_t start, const char *text)
{
	for (uint32_t a = start; a < 0x100000; a += 16)
		if (memcmp(at(a), text, strlen(text)) == 0)
			return at(a);
	return NULL;
}

static uint32_t word(const uint8_t *p)
{
	return *(const uint32_t *)p;
}

/* Kernels without start information find their processors where a BIOS would tell of them. */
static void bios(void)
{
	const uint8_t *rsdp = find(0xe0000, "RSD PTR "), *mp = find(0xf0000, "_MP_");
	volatile uint16_t *low = (uint16_t *)at(0x413);
	__asm__("" : "+r"(low));
	tap_is(*low, 640, "the BIOS data area knows the low memory");
	tap_ok(rsdp && mp, "ACPI's and the MultiProcessor Specification's pointers are there");
	if (!rsdp || !mp)
		return; /* the plan is not fulfilled */
	const uint8_t *rsdt = at(word(rsdp + 16)), *madt = at(word(rsdt + 40));
	tap_ok(memcmp(rsdt, "RSDT", 4) == 0 && memcmp(madt, "APIC", 4) == 0 &&
		   word(madt + 4) == 44 + 2 * 8,
	       "an RSDT with a MADT: two processors");
	const uint8_t *config = at(word(mp + 4));
	tap_ok(memcmp(config, "PCMP", 4) == 0 && config[34] == 2 && config[44 + 20 + 1] == 1,
	       "an MP configuration table: two processors");
}

static void serial_text(const char *text)
{
	for (; *text; text++) {
		while (!(inb(SERIAL_LSR) & LSR_EMPTY))
			;
		outb(SERIAL, (uint8_t)*text);
	}
}

static void serial(void)
{
	static const char text[] = "# and a whole string by OUTS\n";
	const char *p = text;
	size_t length = sizeof(text) - 1;

	outb(SERIAL_IER, 0);
	outb(SERIAL_SCRATCH, 0x5a);
	tap_is(inb(SERIAL_SCRATCH), 0x5a, "the serial port has a scratch register");
	outb(SERIAL_MCR, MCR_LOOPBACK);
	outb(SERIAL, 0xae);
	tap_ok(inb(SERIAL_LSR) & LSR_RECEIVED && inb(SERIAL) == 0xae, "and a loopback mode");
	outb(SERIAL_MCR, 0x0b);
	outb(SERIAL_LCR, 0x80);
	outb(SERIAL, 1);
	outb(SERIAL_IER, 0);
	outb(SERIAL_LCR, 3);
	serial_text("# this line came by the serial port\n");
	__asm__ volatile("rep outsb" : "+S"(p), "+c"(length) : "d"(SERIAL) : "memory");
	tap_is(p - text, sizeof(text) - 1, "it takes strings");
}

static uint64_t fw_cfg(uint16_t key, unsigned size)
{
	uint64_t value = 0;

	outw(0x510, key);
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)inb(0x511) << (8 * i);
	return value;
}

static uint64_t rdtsc_now(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static unsigned channel0(void)
{
	outb(0x43, 0); /* latch it */
	unsigned low = inb(0x40);
	return low | (unsigned)inb(0x40) << 8;
}

/* As kernels measure the time-stamp counter: channel 2 counts down from when its gate opens. */
static void timer(uint32_t tsc_khz)
{
	uint64_t began, ended;

	outb(0x61, inb(0x61) & ~3);
	outb(0x43, 0xb0);
	outb(0x42, CALIBRATE_TICKS & 0xff);
	outb(0x42, CALIBRATE_TICKS >> 8);
	tap_is(inb(0x61) & 0x21, 0, "the timer's output is low while its gate is closed");
	began = rdtsc_now();
	outb(0x61, (inb(0x61) & ~2) | 1);
	while (!(inb(0x61) & 0x20))
		;
	ended = rdtsc_now();
	uint32_t ticks = (uint32_t)(ended - began), wanted = tsc_khz * 10;
	tap_ok(ticks > wanted - wanted / 50 && ticks < wanted + wanted / 5,
	       "10 ms of the timer are %u ticks, %u are wanted", ticks, wanted);
	unsigned first = channel0(), rounds = 100000;
	while (rounds && channel0() == first)
		rounds--;
	tap_ok(rounds, "channel 0 runs");
}

/* Who prints on a screen reads where the cursor is, and stops when that is beyond the screen (xv6).
 */
static void cursor(void)
{
	outb(0x3d4, 14);
	unsigned at_start = inb(0x3d5) << 8;
	outb(0x3d4, 15);
	at_start |= inb(0x3d5);
	outw(0x3d4, 0x4d0f);
	tap_ok(at_start == 0 && inb(0x3d4) == 15 && inb(0x3d5) == 0x4d,
	       "the cursor begins at 0, and stays where it was put");
}

static void others(void)
{
	tap_is(fw_cfg(0, 4), 0x554d4551, "the firmware configuration is there");
	tap_is(fw_cfg(5, 2), 2, "two processors");
	tap_is(fw_cfg(3, 8), MEM_KIB << 10, "its RAM");
	outb(0x21, 0xfb);
	tap_is(inb(0x21), 0xff, "no interrupt controller keeps a mask");
	outl(0xcf8, 0x80000600);
	tap_is(inl(0xcf8), 0xffffffff, "no PCI bus");
	tap_is(inb(0x64) & 3, 0, "a keyboard controller that takes commands");
}

static void put_row(volatile uint16_t *cell, const char *text)
{
	while (*text)
		*cell++ = (uint16_t)(0x0700 | (uint8_t)*text++);
}

/* In white on black, as BIOSes leave it: blanks, but some rows. */
static void screen(void)
{
	volatile uint16_t *cells = (volatile uint16_t *)(uintptr_t)0xb8000;

	for (unsigned i = 0; i < 25 * 80; i++)
		cells[i] = 0x0720;
	put_row(cells, "1..3");
	put_row(cells + 80, "ok 1 - the first rows of the screen");
	put_row(cells + 12 * 80, "ok 2 - one with blank ones before it");
	put_row(cells + 24 * 80, "ok 3 - the last row, of which the last cell holds a character:");
	put_row(cells + 25 * 80 - 1, "!");
}

int main(void)
{
	struct cpuid leaf = cpuid(XEN_CPUID_LEAF(3), 0);

	info = at(start_info_address);
	xen_present = false; /* as on QEMU: text by port 0xe9, the end by port 0xf4 */
	if (strlen(at(info->cmdline)) > 5 && same_text(info->cmdline, "again reset")) {
		outb(0x64, 0xfe);
		tap_bail_out("it did not reset");
	}
	if (strlen(at(info->cmdline)) > 5 && same_text(info->cmdline, "power off")) {
		outw(0x604, 0x3c00); /* another sleep type: nothing */
		outw(0x604, 0x2000);
		tap_bail_out("it did not power off");
	}
	if (same_text(info->cmdline, "blind screen")) {
		screen();
		__asm__ volatile("cli; hlt");
	}
	tap_plan(35);
	entry();
	modules();
	memory();
	bios();
	serial();
	timer(leaf.ecx);
	cursor();
	others();
	tap_done();
}
