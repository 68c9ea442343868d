/*
 * The ACPI tables of guests: read back by the hypervisor's own rules, and, where Debian's
 * acpica-tools are, disassembled by iasl (tests/test_acpi_tables.py runs this program with a
 * folder).
 */
/* sources: kernel/acpi_build.c kernel/mp_build.c */
#include "domain.h"
#include "kernel/acpi_build.h"
#include "tap.h"
#include <stdlib.h>

static uint8_t buffer[ACPI_TABLES_MAX] __attribute__((aligned(64)));

static bool sums_to_zero(const uint8_t *table, size_t length)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + table[i]);
	return !sum;
}

static uint64_t word(const uint8_t *p, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, p, size);
	return v;
}

/* The table at a guest-physical address; its length is written to a file for iasl. */
static const uint8_t *table(uint64_t base, uint64_t address, const char *name, const char *folder)
{
	const uint8_t *t = buffer + (address - base);
	uint32_t length = (uint32_t)word(t + 4, 4);

	ok(!memcmp(t, name, 4) && sums_to_zero(t, length), "%s: signature and checksum", name);
	if (folder) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%s.aml", folder, name);
		FILE *f = fopen(path, "wb");
		if (!f || fwrite(t, 1, length, f) != length || fclose(f))
			bail_out("cannot write a table");
	}
	return t;
}

static void tables(uint32_t vcpus, const char *folder)
{
	uint64_t base = 0x12345000;
	size_t size = acpi_tables_build(buffer, base, vcpus);

	ok(size <= sizeof(buffer), "%u vCPUs: %zu bytes", vcpus, size);
	ok(!memcmp(buffer, "RSD PTR ", 8) && sums_to_zero(buffer, 20) && sums_to_zero(buffer, 36),
	   "RSDP, both checksums");
	const uint8_t *xsdt = table(base, word(buffer + 24, 8), "XSDT", folder);
	is(word(xsdt + 4, 4), 36 + 2 * 8, "two tables");
	const uint8_t *rsdt = table(base, word(buffer + 16, 4), "RSDT", folder);
	ok(word(rsdt + 4, 4) == 36 + 2 * 4 && word(rsdt + 36, 4) == word(xsdt + 36, 8) &&
	       word(rsdt + 40, 4) == word(xsdt + 44, 8),
	   "the same two for who knows the old revision only");
	const uint8_t *fadt = table(base, word(xsdt + 36, 8), "FACP", folder);
	ok(word(fadt + 112, 4) >> 20 & 1, "hardware-reduced");
	ok(word(fadt + 112, 4) >> 10 & 1 && fadt[116] == 1 && word(fadt + 120, 8) == 0xcf9,
	   "can be reset");
	ok(fadt[244] == 1 && fadt[256] == 1 && word(fadt + 248, 8) && word(fadt + 260, 8),
	   "can be put to sleep");
	table(base, word(fadt + 140, 8), "DSDT", folder);
	const uint8_t *madt = table(base, word(xsdt + 44, 8), "APIC", folder);
	is(word(madt + 4, 4), 44 + 8 * vcpus, "a processor for each vCPU");
	bool good = true;
	for (uint32_t i = 0; i < vcpus; i++)
		good &=
		    madt[44 + 8 * i] == 0 && madt[44 + 8 * i + 3] == i && madt[44 + 8 * i + 4] == 1;
	ok(good, "enabled, by its number");
}

static void mp_tables(uint32_t vcpus)
{
	uint32_t base = 0xf0400;
	size_t size = mp_tables_build(buffer, base, vcpus);
	const uint8_t *config = buffer + (word(buffer + 4, 4) - base);

	ok(!memcmp(buffer, "_MP_\x10\x04\x0f\0\1\4", 10) && sums_to_zero(buffer, 16),
	   "%u vCPUs: MP floating pointer: one paragraph, revision 1.4", vcpus);
	is(buffer[11], 0, "there is a configuration table");
	ok(!memcmp(config, "PCMP", 4) && config[6] == 4 &&
	       sums_to_zero(config, word(config + 4, 2)),
	   "its signature, revision and checksum");
	ok(config + word(config + 4, 2) == buffer + size &&
	       word(config + 4, 2) == 44 + 20 * vcpus && word(config + 34, 2) == vcpus,
	   "its length and entries");
	is(word(config + 36, 4), 0xfee00000, "the local APIC's address");
	bool good = true;
	for (uint32_t i = 0; i < vcpus; i++)
		good &= config[44 + 20 * i] == 0 && config[44 + 20 * i + 1] == i &&
			config[44 + 20 * i + 3] == (i ? 1 : 3);
	ok(good, "processors by their numbers, enabled, one of them the bootstrap processor");
}

int main(int argc, char **argv)
{
	plan(54);
	tables(1, NULL);
	tables(DOMAIN_VCPUS_MAX, NULL);
	tables(4, argc > 1 ? argv[1] : NULL);
	mp_tables(1);
	mp_tables(DOMAIN_VCPUS_MAX);
	return tap_end();
}
