/* Tables by which a guest finds its processors: ACPI's, kernel/acpi_build.c, and those of the
 * MultiProcessor Specification, kernel/mp_build.c. */
#ifndef KEYHOLE_KERNEL_ACPI_BUILD_H
#define KEYHOLE_KERNEL_ACPI_BUILD_H

#include "../types.h"

#define ACPI_TABLES_MAX 1024u /* bytes */

#define MP_TABLES_MAX 1024u

/* What makes the sum of all bytes of a table zero. */
static inline uint8_t table_checksum(const void *table, size_t length)
{
	const uint8_t *bytes = table;
	uint8_t sum = 0;

	for (size_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return (uint8_t)-sum;
}

/*
 * Fills out with the tables of a guest of so many vCPUs, for being placed at that guest-physical
 * address, below 4 GiB, where the RSDP comes first. Returns their size.
 */
size_t acpi_tables_build(uint8_t out[ACPI_TABLES_MAX], uint64_t address, uint32_t vcpu_count);

/* The same with the MP floating pointer structure and its configuration table. */
size_t mp_tables_build(uint8_t out[MP_TABLES_MAX], uint64_t address, uint32_t vcpu_count);

#endif
