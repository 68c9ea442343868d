/* ACPI tables in fake physical memory: good ones, and each way of being wrong. */
/* sources: drivers/acpi.c */
#include "boot_info.h"
#include "drivers/acpi.h"
#include "mm/window.h"
#include "print.h"
#include "tap.h"
#include <stdarg.h>

#define MEMORY_SIZE 0x10000u
/* Where the fake tables lie. */
#define RSDT 0x1000u
#define XSDT 0x2000u
#define FADT 0x3000u
#define MADT 0x4000u
#define DSDT 0x5000u
#define SSDT 0x8000u

struct boot_info boot_info;
static unsigned char memory[MEMORY_SIZE];
static int warning_count;
static bool outside;

void print(enum log_level level, const char *fmt, ...)
{
	(void)fmt;
	warning_count += level == LOG_WARN;
}

/* Reading where nothing is gives ones, as a bus does; that it happened is remembered. */
void window_read_phys(void *to, paddr_t from, size_t length)
{
	unsigned char *p = to;

	for (size_t i = 0; i < length; i++) {
		uint64_t at = paddr_raw(from) + i;

		outside |= at >= MEMORY_SIZE;
		p[i] = at < MEMORY_SIZE ? memory[at] : 0xff;
	}
}

static void put32(uint32_t at, uint32_t value)
{
	memcpy(memory + at, &value, 4);
}

static void fix_checksum(unsigned char *p, size_t length, size_t checksum_at)
{
	unsigned char sum = 0;

	p[checksum_at] = 0;
	for (size_t i = 0; i < length; i++)
		sum = (unsigned char)(sum + p[i]);
	p[checksum_at] = (unsigned char)-sum;
}

static void finish_table(uint32_t at, const char *signature, uint32_t length)
{
	memcpy(memory + at, signature, 4);
	put32(at + 4, length);
	fix_checksum(memory + at, length, 9);
}

static void finish_rsdp(void)
{
	fix_checksum(boot_info.rsdp, 20, 8);
	fix_checksum(boot_info.rsdp, 36, 32);
}

/* Name (_S5_, Package (0x04) {5, 7, 0, 0}) */
static const unsigned char s5[] = {0x08, '_',  'S', '5',  '_', 0x12, 0x08,
				   0x04, 0x0a, 5,   0x0a, 7,   0x00, 0x00};

static void put_madt(void)
{
	static const unsigned char entries[] = {
	    0, 8,  0, 0,  1,  0, 0,    0,		   /* id 0 */
	    0, 8,  1, 2,  1,  0, 0,    0,		   /* id 2 */
	    0, 8,  2, 4,  0,  0, 0,    0,		   /* id 4, disabled */
	    1, 12, 0, 0,  0,  0, 0xc0, 0xfe, 24,  0, 0, 0, /* an I/O APIC */
	    1, 11, 0, 0,  0,  0, 0xc0, 0xfe, 24,  0, 0,	   /* one that is too short */
	    2, 10, 0, 4,  20, 0, 0,    0,    0xf, 0,	   /* IRQ 4: line 20, low, level */
	    2, 10, 0, 3,  3,  0, 0,    0,    5,	  0,	   /* IRQ 3: as ever, high, edge */
	    2, 10, 1, 5,  21, 0, 0,    0,    0,	  0,	   /* another bus */
	    2, 10, 0, 16, 22, 0, 0,    0,    0,	  0,	   /* no IRQ of it */
	    9, 16, 0, 0,  0,  1, 0,    0,    1,	  0, 0, 0, 0, 0, 0, 0, /* x2APIC id 256 */
	    9, 16, 0, 0,  2,  0, 0,    0,    1,	  0, 0, 0, 0, 0, 0, 0, /* id 2 again */
	};

	memset(memory + MADT, 0, 0x1000);
	memcpy(memory + MADT + 44, entries, sizeof(entries));
	finish_table(MADT, "APIC", 44 + sizeof(entries));
}

/* A DSDT of length bytes with s5 at an offset (0: without). */
static void put_dsdt(uint32_t where, const char *signature, uint32_t length, uint32_t offset,
		     const unsigned char *object, size_t object_size)
{
	memset(memory + where, 0xa3, length);
	if (offset)
		memcpy(memory + where + offset, object, object_size);
	finish_table(where, signature, length);
}

static void put_root(void)
{
	static const uint32_t tables[] = {FADT, SSDT, MADT};

	memset(memory + RSDT, 0, 0x2000);
	for (uint32_t i = 0; i < 3; i++) {
		put32(RSDT + 36 + 4 * i, tables[i]);
		put32(XSDT + 36 + 8 * i, tables[i]);
	}
	finish_table(RSDT, "RSDT", 36 + 12);
	finish_table(XSDT, "XSDT", 36 + 24);
	boot_info = (struct boot_info){.rsdp_length = 36};
	memcpy(boot_info.rsdp, "RSD PTR ", 8);
	boot_info.rsdp[15] = 2;
	uint32_t rsdt = RSDT, length = 36, xsdt = XSDT;
	memcpy(boot_info.rsdp + 16, &rsdt, 4);
	memcpy(boot_info.rsdp + 20, &length, 4);
	memcpy(boot_info.rsdp + 24, &xsdt, 4);
	finish_rsdp();
}

static void put_fadt(void)
{
	memset(memory + FADT, 0, 0x1000);
	put32(FADT + 40, DSDT);
	put32(FADT + 48, 0xb2);
	memory[FADT + 52] = 0xe1;
	put32(FADT + 64, 0x604);
	put32(FADT + 140, DSDT);
	finish_table(FADT, "FACP", 276);
}

static void put_all(void)
{
	memset(memory, 0, sizeof(memory));
	put_root();
	put_fadt();
	put_madt();
	put_dsdt(DSDT, "DSDT", 0x1234, 0x200, s5, sizeof(s5));
	put_dsdt(SSDT, "SSDT", 0x400, 0, NULL, 0);
}

static void init(void)
{
	warning_count = 0;
	outside = false;
	acpi_init();
	if (outside)
		fail("read outside of what the tables say");
}

static void test_good(void)
{
	put_all();
	init();
	ok(acpi_info.has_s5 && acpi_info.s5_type_a == 5 && acpi_info.s5_type_b == 7,
	   "the DSDT's _S5_ is found");
	ok(acpi_info.pm1a_control == 0x604 && acpi_info.pm1b_control == 0 &&
	       acpi_info.smi_command == 0xb2 && acpi_info.acpi_enable == 0xe1,
	   "the FADT's ports");
	ok(acpi_info.cpu_count == 3 && acpi_info.apic_ids[0] == 0 && acpi_info.apic_ids[1] == 2 &&
	       acpi_info.apic_ids[2] == 256,
	   "the MADT's enabled processors, each once");
	ok(acpi_info.ioapic_count == 1 && acpi_info.ioapics[0].address == 0xfec00000 &&
	       acpi_info.ioapics[0].gsi_base == 24,
	   "its I/O APIC");
	const struct acpi_isa_irq *irqs = acpi_info.isa_irqs;
	ok(irqs[4].gsi == 20 && irqs[4].active_low && irqs[4].level && irqs[3].gsi == 3 &&
	       !irqs[3].active_low && !irqs[3].level && irqs[5].gsi == 5 && irqs[15].gsi == 15,
	   "its overrides of the ISA bus, and of no other");
	is(warning_count, 0, "no warning");

	boot_info.rsdp[15] = 0;
	boot_info.rsdp_length = 20;
	finish_rsdp();
	memset(memory + XSDT, 0xee, 36);
	init();
	ok(acpi_info.has_s5 && acpi_info.cpu_count == 3, "an old root pointer leads to the RSDT");
}

/* Wherever the object lies, it is found: the table is read in pieces. */
static void test_every_offset(void)
{
	unsigned missed = 0;

	put_all();
	for (uint32_t offset = 36; offset <= 0x1234 - sizeof(s5); offset++) {
		put_dsdt(DSDT, "DSDT", 0x1234, offset, s5, sizeof(s5));
		init();
		missed += !acpi_info.has_s5 || acpi_info.s5_type_a != 5 || acpi_info.s5_type_b != 7;
	}
	is(missed, 0, "_S5_ is found at every offset");
}

static bool s5_is(const unsigned char *object, size_t size, int a, int b)
{
	put_dsdt(DSDT, "DSDT", 0x1000, 0x300, object, size);
	init();
	return a < 0 ? !acpi_info.has_s5
		     : acpi_info.has_s5 && acpi_info.s5_type_a == a && acpi_info.s5_type_b == b;
}

#define S5_IS(a, b, ...)                                              \
	ok(s5_is((const unsigned char[]){__VA_ARGS__},                \
		 sizeof((const unsigned char[]){__VA_ARGS__}), a, b), \
	   "_S5_ as " #__VA_ARGS__)

static void test_encodings(void)
{
	put_all();
	S5_IS(0, 1, 0x08, '\\', '_', 'S', '5', '_', 0x12, 0x04, 0x02, 0x00, 0x01);
	S5_IS(3, 3, 0x08, '_', 'S', '5', '_', 0x12, 0x03, 0x01, 0x0a, 3);
	S5_IS(6, 2, 0x08, '_', 'S', '5', '_', 0x12, 0x48, 0x00, 0x04, 0x0b, 6, 0, 0x0c, 2, 0, 0, 0);
	S5_IS(-1, 0, 0x14, '_', 'S', '5', '_', 0x12, 0x04, 0x02, 0x00, 0x01); /* a method */
	S5_IS(-1, 0, 0x08, '_', 'S', '4', '_', 0x12, 0x04, 0x02, 0x00, 0x01);
	S5_IS(-1, 0, 0x08, '_', 'S', '5', '_', 0x12, 0x02, 0x00); /* empty */
	S5_IS(-1, 0, 0x08, '_', 'S', '5', '_', 0x12, 0x04, 0x02, 'N', 'A', 'M', 'E');
	put_dsdt(DSDT, "DSDT", 0x1000, 0, NULL, 0);
	put_dsdt(SSDT, "SSDT", 0x400, 0x100, s5, sizeof(s5));
	init();
	ok(acpi_info.has_s5 && acpi_info.s5_type_a == 5, "_S5_ in an SSDT");
}

static void test_wrong(void)
{
	put_all();
	boot_info.rsdp_length = 0;
	init();
	ok(!acpi_info.cpu_count && warning_count == 1, "no root pointer: said, nothing used");
	put_all();
	boot_info.rsdp[17] ^= 1;
	init();
	ok(!acpi_info.cpu_count && warning_count == 1, "a root pointer with a wrong checksum");
	put_all();
	memory[XSDT + 40] ^= 1;
	init();
	ok(acpi_info.cpu_count == 3 && warning_count == 1, "a broken XSDT: the RSDT instead");
	put_all();
	memory[MADT + 50] ^= 1;
	init();
	ok(!acpi_info.cpu_count && acpi_info.has_s5 && warning_count == 1, "a broken MADT alone");
	put_all();
	memory[DSDT + 50] ^= 1;
	init();
	ok(!acpi_info.has_s5 && acpi_info.cpu_count == 3 && warning_count == 1,
	   "a broken DSDT alone");
	put_all();
	put32(FADT + 4, 20);
	init();
	ok(!acpi_info.has_s5 && acpi_info.cpu_count == 3 && warning_count == 1,
	   "a table shorter than its header");
	put_all();
	put32(MADT + 4, 0xfffffff0);
	init();
	ok(!acpi_info.cpu_count && warning_count == 1, "a table of 4 GiB is not read");
	put_all();
	memory[MADT + 45] = 0;
	finish_table(MADT, "APIC", 60);
	init();
	ok(!acpi_info.cpu_count && warning_count == 1, "an entry of size 0 ends the list");
	put_all();
	memory[MADT + 53] = 200;
	finish_table(MADT, "APIC", 60);
	init();
	ok(acpi_info.cpu_count == 1 && warning_count == 1, "an entry beyond its table's end");
	put_all();
	memset(memory + XSDT + 36, 0xff, 8);
	finish_table(XSDT, "XSDT", 36 + 24);
	init();
	ok(acpi_info.cpu_count == 3 && !acpi_info.has_s5, "an impossible address is passed over");
	put_all();
	put32(FADT + 140, MADT);
	finish_table(FADT, "FACP", 276);
	init();
	ok(!acpi_info.has_s5, "a DSDT that is none");
}

int main(void)
{
	tap_no_plan();
	test_good();
	test_every_offset();
	test_encodings();
	test_wrong();
	return tap_end();
}
