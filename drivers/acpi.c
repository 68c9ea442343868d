/*
 * ACPI: the few tables that matter here, read through the map window, a piece at a time. Nothing is
 * assumed to be mapped, and nothing that the firmware wrote is believed unchecked: lengths are
 * bounded, checksums must be right.
 *
 * State: acpi_info, written once on the boot CPU, constant afterwards. No lock.
 *
 * There is no AML interpreter: the object _S5_ is a package of constants in practice, and is found
 * by its name in the DSDT or an SSDT.
 *
 * Source: ACPI specification, "Root System Description Pointer", "Fixed ACPI Description Table",
 * "Multiple APIC Description Table", "ACPI Machine Language Specification"; "Sleeping/Wake
 * Control".
 */
#include "drivers/acpi.h"
#include "boot_info.h"
#include "mm/window.h"
#include "print.h"

#define RSDP_LENGTH_V1 20u
#define RSDP_LENGTH_V2 36u
#define RSDP_REVISION  15u
#define RSDP_RSDT      16u
#define RSDP_XSDT      24u
#define HEADER_LENGTH  36u
#define TABLE_MAX      (16u << 20) /* bytes; larger is nonsense */
#define TABLES_MAX     1024u

/* Offsets within the FADT. */
#define FADT_DSDT	  40u
#define FADT_SMI_COMMAND  48u
#define FADT_ACPI_ENABLE  52u
#define FADT_PM1A_CONTROL 64u
#define FADT_PM1B_CONTROL 68u
#define FADT_X_DSDT	  140u

/* Within the MADT. */
#define MADT_ENTRIES	       44u
#define MADT_LOCAL_APIC	       0u
#define MADT_IOAPIC	       1u
#define MADT_ISA_OVERRIDE      2u
#define MADT_LOCAL_X2APIC      9u
#define MADT_ENABLED	       0x1u
#define MADT_LOCAL_APIC_SIZE   8u
#define MADT_LOCAL_X2APIC_SIZE 16u
#define MADT_IOAPIC_SIZE       12u
#define MADT_ISA_OVERRIDE_SIZE 10u
/* Of an override's flags; others stand for what is usual on the bus, which are these two's
 * opposites.
 */
#define MPS_POLARITY	  0x3u
#define MPS_POLARITY_LOW  0x3u
#define MPS_TRIGGER	  0xcu
#define MPS_TRIGGER_LEVEL 0xcu

/* AML. */
#define AML_ZERO    0x00u
#define AML_ONE	    0x01u
#define AML_NAME    0x08u
#define AML_BYTE    0x0au
#define AML_WORD    0x0bu
#define AML_DWORD   0x0cu
#define AML_PACKAGE 0x12u
#define AML_ROOT    0x5cu
#define AML_ONES    0xffu
/* From NameOp to the end of the second element, at the longest: name with root prefix, package of
 * two double words with a 4-byte length. */
#define S5_MAX 24u

#define CHUNK 512u

struct acpi_info acpi_info;

struct table {
	paddr_t start;
	uint32_t length;
	char signature[5];
};

static uint32_t read32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t read64(const uint8_t *p)
{
	return read32(p) | (uint64_t)read32(p + 4) << 32;
}

static bool starts_with(const uint8_t *p, const char *text)
{
	for (; *text; p++, text++)
		if (*p != (uint8_t)*text)
			return false;
	return true;
}

static uint8_t sum(const uint8_t *p, size_t length)
{
	uint8_t s = 0;

	for (; length; length--)
		s = (uint8_t)(s + *p++);
	return s;
}

/* Looks at the table at a physical address: its length must make sense and its checksum be right.
 */
static bool open_table(uint64_t where, struct table *t)
{
	uint8_t buf[CHUNK];
	uint8_t checksum = 0;

	if (!where || where >> 52)
		return false;
	t->start = make_paddr(where);
	window_read_phys(buf, t->start, HEADER_LENGTH);
	for (unsigned i = 0; i < 4; i++)
		t->signature[i] = buf[i] > ' ' && buf[i] < 0x7f ? (char)buf[i] : '?';
	t->signature[4] = 0;
	t->length = read32(buf + 4);
	if (t->length < HEADER_LENGTH || t->length > TABLE_MAX) {
		print(LOG_WARN, "acpi: table %s at %lx has an impossible length of %u bytes",
		      t->signature, where, t->length);
		return false;
	}
	for (uint32_t at = 0; at < t->length; at += CHUNK) {
		uint32_t part = t->length - at < CHUNK ? t->length - at : CHUNK;

		window_read_phys(buf, paddr_add(t->start, at), part);
		checksum = (uint8_t)(checksum + sum(buf, part));
	}
	if (checksum) {
		print(LOG_WARN, "acpi: table %s at %lx has a wrong checksum", t->signature, where);
		return false;
	}
	return true;
}

static bool is_table(const struct table *t, const char *signature)
{
	return starts_with((const uint8_t *)t->signature, signature);
}

/* Up to size bytes from an offset of a table on; zeros behind its end. */
static void read_table(const struct table *t, uint32_t offset, void *to, uint32_t size)
{
	uint32_t part = 0;

	if (offset < t->length)
		part = t->length - offset < size ? t->length - offset : size;
	__builtin_memset((char *)to + part, 0, size - part);
	if (part)
		window_read_phys(to, paddr_add(t->start, offset), part);
}

/* A constant of a package; moves *at behind it. */
static bool read_constant(const uint8_t *p, unsigned *at, uint8_t *value)
{
	uint8_t op = p[(*at)++];

	switch (op) {
	case AML_ZERO:
	case AML_ONE:
	case AML_ONES:
		*value = op;
		return true;
	case AML_BYTE:
	case AML_WORD:
	case AML_DWORD:
		*value = p[*at];
		*at += 1u << (op - AML_BYTE);
		return true;
	}
	return false;
}

/* Whether Name (_S5_, Package {a, b, ...}) begins at p, of which S5_MAX bytes can be read. */
static bool parse_s5(const uint8_t *p, uint8_t *a, uint8_t *b)
{
	unsigned at = 0;

	if (p[at++] != AML_NAME)
		return false;
	if (p[at] == AML_ROOT)
		at++;
	if (!starts_with(p + at, "_S5_"))
		return false;
	at += 4;
	if (p[at++] != AML_PACKAGE)
		return false;
	/* The two upper bits of the length say how many bytes of it follow. */
	at += 1 + (p[at] >> 6);
	uint8_t elements = p[at++];
	if (elements < 1 || !read_constant(p, &at, a))
		return false;
	*b = *a;
	return elements < 2 || read_constant(p, &at, b);
}

static void find_s5(const struct table *t)
{
	uint8_t buf[CHUNK];

	/* Pieces overlap, so that an object across the end of one is whole in the next. */
	for (uint32_t at = HEADER_LENGTH; at < t->length; at += CHUNK - S5_MAX) {
		read_table(t, at, buf, CHUNK);
		for (uint32_t i = 0; i < CHUNK - S5_MAX; i++) {
			if (parse_s5(buf + i, &acpi_info.s5_type_a, &acpi_info.s5_type_b)) {
				acpi_info.has_s5 = true;
				return;
			}
		}
	}
}

static void read_fadt(const struct table *t)
{
	uint8_t fadt[FADT_X_DSDT + 8];
	struct table dsdt;

	read_table(t, 0, fadt, sizeof(fadt));
	acpi_info.smi_command = (uint16_t)read32(fadt + FADT_SMI_COMMAND);
	acpi_info.acpi_enable = fadt[FADT_ACPI_ENABLE];
	acpi_info.pm1a_control = (uint16_t)read32(fadt + FADT_PM1A_CONTROL);
	acpi_info.pm1b_control = (uint16_t)read32(fadt + FADT_PM1B_CONTROL);
	uint64_t where = read64(fadt + FADT_X_DSDT);
	if (!where)
		where = read32(fadt + FADT_DSDT);
	if (open_table(where, &dsdt) && is_table(&dsdt, "DSDT"))
		find_s5(&dsdt);
}

static void add_cpu(uint32_t apic_id)
{
	for (uint32_t i = 0; i < acpi_info.cpu_count; i++)
		if (acpi_info.apic_ids[i] == apic_id)
			return;
	if (acpi_info.cpu_count == LAYOUT_CPUS_MAX) {
		print(LOG_WARN, "acpi: more than %u processors: APIC id %u is not used",
		      LAYOUT_CPUS_MAX, apic_id);
		return;
	}
	acpi_info.apic_ids[acpi_info.cpu_count++] = apic_id;
}

static void add_ioapic(const uint8_t *entry)
{
	if (acpi_info.ioapic_count < ACPI_IOAPICS_MAX)
		acpi_info.ioapics[acpi_info.ioapic_count++] =
		    (struct acpi_ioapic){read32(entry + 4), read32(entry + 8)};
}

static void override_isa(const uint8_t *entry)
{
	uint8_t bus = entry[2], irq = entry[3], flags = entry[8];

	if (bus || irq >= ACPI_ISA_IRQS)
		return;
	acpi_info.isa_irqs[irq] =
	    (struct acpi_isa_irq){.gsi = read32(entry + 4),
				  .active_low = (flags & MPS_POLARITY) == MPS_POLARITY_LOW,
				  .level = (flags & MPS_TRIGGER) == MPS_TRIGGER_LEVEL};
}

static void read_madt(const struct table *t)
{
	uint8_t entry[MADT_LOCAL_X2APIC_SIZE];

	for (uint32_t at = MADT_ENTRIES; at + 2 <= t->length;) {
		read_table(t, at, entry, sizeof(entry));
		uint32_t size = entry[1];
		if (size < 2 || size > t->length - at) {
			print(LOG_WARN, "acpi: MADT entry of an impossible size of %u bytes", size);
			return;
		}
		if (entry[0] == MADT_LOCAL_APIC && size >= MADT_LOCAL_APIC_SIZE &&
		    (read32(entry + 4) & MADT_ENABLED))
			add_cpu(entry[3]);
		if (entry[0] == MADT_LOCAL_X2APIC && size >= MADT_LOCAL_X2APIC_SIZE &&
		    (read32(entry + 8) & MADT_ENABLED))
			add_cpu(read32(entry + 4));
		if (entry[0] == MADT_IOAPIC && size >= MADT_IOAPIC_SIZE)
			add_ioapic(entry);
		if (entry[0] == MADT_ISA_OVERRIDE && size >= MADT_ISA_OVERRIDE_SIZE)
			override_isa(entry);
		at += size;
	}
}

/* Calls for every table that the root table lists; entry_size is 8 in the XSDT, 4 in the RSDT. */
static void read_root(const struct table *root, uint32_t entry_size)
{
	uint32_t count = (root->length - HEADER_LENGTH) / entry_size;
	/* _S5_ is in the DSDT nearly always: the others come second. */
	uint64_t secondary[16];
	uint32_t secondary_count = 0;

	if (count > TABLES_MAX)
		count = TABLES_MAX;
	for (uint32_t i = 0; i < count; i++) {
		uint8_t address[8] = {0}, signature[4];
		struct table t;

		read_table(root, HEADER_LENGTH + i * entry_size, address, entry_size);
		uint64_t where = read64(address);
		if (!where || where >> 52)
			continue;
		window_read_phys(signature, make_paddr(where), sizeof(signature));
		if (starts_with(signature, "FACP") && open_table(where, &t))
			read_fadt(&t);
		else if (starts_with(signature, "APIC") && open_table(where, &t))
			read_madt(&t);
		else if (starts_with(signature, "SSDT") && secondary_count < array_size(secondary))
			secondary[secondary_count++] = where;
	}
	for (uint32_t i = 0; i < secondary_count && !acpi_info.has_s5; i++) {
		struct table t;

		if (open_table(secondary[i], &t))
			find_s5(&t);
	}
}

void acpi_init(void)
{
	const uint8_t *rsdp = boot_info.rsdp;
	struct table root;

	acpi_info = (struct acpi_info){0};
	for (uint32_t irq = 0; irq < ACPI_ISA_IRQS; irq++)
		acpi_info.isa_irqs[irq].gsi = irq;
	if (boot_info.rsdp_length < RSDP_LENGTH_V1 || !starts_with(rsdp, "RSD PTR ") ||
	    sum(rsdp, RSDP_LENGTH_V1)) {
		print(LOG_WARN, "acpi: no root pointer from the loader");
		return;
	}
	if (rsdp[RSDP_REVISION] >= 2 && boot_info.rsdp_length >= RSDP_LENGTH_V2 &&
	    !sum(rsdp, RSDP_LENGTH_V2) && open_table(read64(rsdp + RSDP_XSDT), &root) &&
	    is_table(&root, "XSDT"))
		read_root(&root, 8);
	else if (open_table(read32(rsdp + RSDP_RSDT), &root) && is_table(&root, "RSDT"))
		read_root(&root, 4);
	else
		print(LOG_WARN, "acpi: no root table");
	print(LOG_INFO, "acpi: %u processors%s", acpi_info.cpu_count,
	      acpi_info.has_s5 && acpi_info.pm1a_control ? ", power off by S5" : "");
}
