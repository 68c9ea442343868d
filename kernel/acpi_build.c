/*
 * The ACPI tables that a guest gets: enough to find its processors, and to learn that there is
 * little else: hardware-reduced, with registers to power off and to reset (kernel/guest_io.c), and
 * a DSDT that says how to power off and that there is a serial port without an interrupt: Linux
 * polls it then, and takes IRQ 4 for granted without. Pure.
 *
 * Source: ACPI specification 6.2, "Root System Description Pointer", "Fixed ACPI Description
 * Table", "Multiple APIC Description Table", "Hardware-Reduced ACPI", "I/O Port Descriptor", "ACPI
 * Machine Language (AML) Specification".
 */
#include "kernel/acpi_build.h"
#include "domain.h"
#include "kernel/guest_ports.h"

#define HEADER_LENGTH 36u
#define OEM_ID	      "KEYHOL"
#define OEM_TABLE_ID  "KEYHOLE "
#define CREATOR_ID    "KEYH"

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} packed_struct;
static_assert_size(struct header, HEADER_LENGTH);

struct rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t checksum_all, reserved[3];
} packed_struct;
static_assert_size(struct rsdp, 36);

struct xsdt {
	struct header header;
	uint64_t tables[2];
} packed_struct;

struct rsdt {
	struct header header;
	uint32_t tables[2];
} packed_struct;

/* Generic address structure, of a register of one byte. */
struct address {
	uint8_t space, width_bits, offset_bits, access_size;
	uint64_t address;
} packed_struct;
#define SPACE_IO    1u
#define ACCESS_BYTE 1u
#define PORT(n)                                                                                \
	(struct address)                                                                       \
	{                                                                                      \
		.space = SPACE_IO, .width_bits = 8, .access_size = ACCESS_BYTE, .address = (n) \
	}

struct fadt {
	struct header header;
	uint8_t before_boot_flags[109 - HEADER_LENGTH];
	uint16_t boot_flags;
	uint8_t reserved;
	uint32_t flags;
	struct address reset_register;
	uint8_t reset_value;
	uint16_t arm_flags;
	uint8_t minor_revision;
	uint64_t x_facs, x_dsdt;
	uint8_t registers[244 - 148];
	struct address sleep_control, sleep_status;
	uint64_t hypervisor;
} packed_struct;
static_assert_size(struct fadt, 276);
_Static_assert(offsetof(struct fadt, flags) == 112 && offsetof(struct fadt, x_dsdt) == 140 &&
		   offsetof(struct fadt, sleep_control) == 244,
	       "FADT");
#define FADT_REVISION	     6u
#define FADT_MINOR	     2u
#define FADT_NO_VGA	     (1u << 2)
#define FADT_NO_RTC	     (1u << 5)
#define FADT_NO_POWER_BUTTON (1u << 4) /* none with fixed registers */
#define FADT_NO_SLEEP_BUTTON (1u << 5)
#define FADT_RESET_REGISTER  (1u << 10)
#define FADT_HW_REDUCED	     (1u << 20)

/* SLP_TYP 0 powers off, as with QEMU's chipset. Lengths of packages count their own byte. The last
 * byte, the string's own zero, belongs to the end tag of the resources. */
static const uint8_t dsdt_code[] =
    "\x08_S5_\x12\x06\x04\0\0\0\0" /* Name (_S5_, Package () {0, 0, 0, 0}) */
    "\x10\x30\\_SB_"		   /* Scope (\_SB_) { */
    "\x5b\x82\x28"
    "COM1"				    /* Device (COM1) { */
    "\x08_HID\x0c\x41\xd0\x05\x01"	    /* Name (_HID, EisaId ("PNP0501")) */
    "\x08_UID\0"			    /* Name (_UID, 0) */
    "\x08_CRS\x11\x0d\x0a\x0a"		    /* Name (_CRS, ResourceTemplate () { */
    "\x47\x01\xf8\x03\xf8\x03\x01\x08\x79"; /* IO (Decode16, 0x3f8, 0x3f8, 1, 8) }) } } */
_Static_assert(!SLEEP_TYPE_OFF && PORT_SERIAL == 0x3f8, "what it says");

struct madt {
	struct header header;
	uint32_t local_apic, flags;
	struct madt_cpu {
		uint8_t type, length, processor, apic_id;
		uint32_t flags;
	} packed_struct cpus[DOMAIN_VCPUS_MAX];
} packed_struct;
#define MADT_REVISION	4u
#define MADT_ENABLED	1u
#define LOCAL_APIC_BASE 0xfee00000u

/* Each begins where a cache line does. */
struct tables {
	struct rsdp rsdp;
	struct xsdt xsdt aligned_to(64);
	struct rsdt rsdt aligned_to(64); /* the same, for who was written before ACPI 2.0 */
	struct fadt fadt aligned_to(64);
	struct {
		struct header header;
		uint8_t code[sizeof(dsdt_code)];
	} packed_struct dsdt aligned_to(64);
	struct madt madt aligned_to(64);
};
_Static_assert(sizeof(struct tables) <= ACPI_TABLES_MAX, "room for the tables");

static void finish(struct header *h, const char *signature, size_t length, uint8_t revision)
{
	__builtin_memcpy(h->signature, signature, sizeof(h->signature));
	h->length = (uint32_t)length;
	h->revision = revision;
	__builtin_memcpy(h->oem_id, OEM_ID, sizeof(h->oem_id));
	__builtin_memcpy(h->oem_table_id, OEM_TABLE_ID, sizeof(h->oem_table_id));
	h->oem_revision = 1;
	__builtin_memcpy(h->creator_id, CREATOR_ID, sizeof(h->creator_id));
	h->creator_revision = 1;
	h->checksum = table_checksum(h, length);
}

static void build_rsdp(struct rsdp *r, uint64_t rsdt, uint64_t xsdt)
{
	*r = (struct rsdp){.signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '},
			   .revision = 2,
			   .rsdt = (uint32_t)rsdt,
			   .length = sizeof(*r),
			   .xsdt = xsdt};
	__builtin_memcpy(r->oem_id, OEM_ID, sizeof(r->oem_id));
	r->checksum = table_checksum(r, offsetof(struct rsdp, length));
	r->checksum_all = table_checksum(r, sizeof(*r));
}

size_t acpi_tables_build(uint8_t out[ACPI_TABLES_MAX], uint64_t address, uint32_t vcpu_count)
{
	struct tables *t = (struct tables *)(void *)out;
	size_t madt_length = offsetof(struct madt, cpus) + vcpu_count * sizeof(struct madt_cpu);

	__builtin_memset(out, 0, ACPI_TABLES_MAX);
	build_rsdp(&t->rsdp, address + offsetof(struct tables, rsdt),
		   address + offsetof(struct tables, xsdt));
	t->xsdt.tables[0] = address + offsetof(struct tables, fadt);
	t->xsdt.tables[1] = address + offsetof(struct tables, madt);
	finish(&t->xsdt.header, "XSDT", sizeof(t->xsdt), 1);
	for (unsigned i = 0; i < sizeof(t->rsdt.tables) / sizeof(t->rsdt.tables[0]); i++)
		t->rsdt.tables[i] = (uint32_t)t->xsdt.tables[i];
	finish(&t->rsdt.header, "RSDT", sizeof(t->rsdt), 1);
	t->fadt.boot_flags = FADT_NO_VGA | FADT_NO_RTC;
	t->fadt.flags =
	    FADT_HW_REDUCED | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON | FADT_RESET_REGISTER;
	t->fadt.reset_register = PORT(PORT_RESET_CONTROL);
	t->fadt.reset_value = RESET_CONTROL_CPU;
	t->fadt.sleep_control = PORT(PORT_SLEEP_CONTROL);
	t->fadt.sleep_status = PORT(PORT_SLEEP_STATUS);
	t->fadt.minor_revision = FADT_MINOR;
	t->fadt.x_dsdt = address + offsetof(struct tables, dsdt);
	finish(&t->fadt.header, "FACP", sizeof(t->fadt), FADT_REVISION);
	__builtin_memcpy(t->dsdt.code, dsdt_code, sizeof(dsdt_code));
	finish(&t->dsdt.header, "DSDT", sizeof(t->dsdt), 2);
	t->madt.local_apic = LOCAL_APIC_BASE;
	for (uint32_t i = 0; i < vcpu_count; i++)
		t->madt.cpus[i] = (struct madt_cpu){.length = sizeof(struct madt_cpu),
						    .processor = (uint8_t)i,
						    .apic_id = (uint8_t)i,
						    .flags = MADT_ENABLED};
	finish(&t->madt.header, "APIC", madt_length, MADT_REVISION);
	return offsetof(struct tables, madt) + madt_length;
}
