/* ACPI tables for guests: kernel/acpi_build.c. */
#ifndef KEYHOLE_KERNEL_ACPI_BUILD_H
#define KEYHOLE_KERNEL_ACPI_BUILD_H

#include "../types.h"

#define ACPI_TABLES_MAX 1024u /* bytes */

/*
 * Fills out with the tables of a guest of so many vCPUs, for being placed at that guest-physical
 * address, where the RSDP comes first. Returns their size.
 */
size_t acpi_tables_build(uint8_t out[ACPI_TABLES_MAX], uint64_t address, uint32_t vcpu_count);

#endif
