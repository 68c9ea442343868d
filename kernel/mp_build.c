/*
 * The tables of the MultiProcessor Specification that a guest gets: its processors, and nothing
 * else: no bus, no I/O APIC. For kernels that look for no ACPI tables. Pure.
 *
 * Source: MultiProcessor Specification 1.4, "MP Configuration Table".
 */
#include "domain.h"
#include "kernel/acpi_build.h"

#define SPEC_1_4	4u
#define LOCAL_APIC_BASE 0xfee00000u
#define APIC_VERSION	0x14u
#define CPU_ENABLED	1u
#define CPU_BOOTSTRAP	2u
#define FEATURES	0x201u /* of CPUID: FPU, APIC */

struct mp_tables {
	struct floating {
		char signature[4];
		uint32_t config;
		uint8_t paragraphs, revision, checksum, features[5];
	} floating;
	struct config {
		char signature[4];
		uint16_t length;
		uint8_t revision, checksum;
		char oem_id[8], product_id[12];
		uint32_t oem_table;
		uint16_t oem_size, entries;
		uint32_t local_apic;
		uint16_t extended_length;
		uint8_t extended_checksum, reserved;
	} config;
	struct cpu {
		uint8_t type, apic_id, apic_version, flags;
		uint32_t signature, features, reserved[2];
	} cpus[DOMAIN_VCPUS_MAX];
};
static_assert_size(struct floating, 16);
static_assert_size(struct config, 44);
static_assert_size(struct cpu, 20);
_Static_assert(sizeof(struct mp_tables) <= MP_TABLES_MAX, "room for the tables");

size_t mp_tables_build(uint8_t out[MP_TABLES_MAX], uint64_t address, uint32_t vcpu_count)
{
	struct mp_tables *t = (struct mp_tables *)(void *)out;
	size_t length = sizeof(t->config) + vcpu_count * sizeof(t->cpus[0]);

	__builtin_memset(out, 0, MP_TABLES_MAX);
	t->floating = (struct floating){
	    .signature = {'_', 'M', 'P', '_'},
	    .config = (uint32_t)(address + offsetof(struct mp_tables, config)),
	    .paragraphs = sizeof(t->floating) / 16,
	    .revision = SPEC_1_4,
	};
	t->floating.checksum = table_checksum(&t->floating, sizeof(t->floating));
	t->config = (struct config){
	    .signature = {'P', 'C', 'M', 'P'},
	    .length = (uint16_t)length,
	    .revision = SPEC_1_4,
	    .oem_id = {'K', 'E', 'Y', 'H', 'O', 'L', 'E', ' '},
	    .product_id = {'G', 'U', 'E', 'S', 'T', ' ', ' ', ' ', ' ', ' ', ' ', ' '},
	    .entries = (uint16_t)vcpu_count,
	    .local_apic = LOCAL_APIC_BASE,
	};
	for (uint32_t i = 0; i < vcpu_count; i++)
		t->cpus[i] = (struct cpu){
		    .apic_id = (uint8_t)i,
		    .apic_version = APIC_VERSION,
		    .flags = i ? CPU_ENABLED : CPU_ENABLED | CPU_BOOTSTRAP,
		    .features = FEATURES,
		};
	t->config.checksum = table_checksum(&t->config, length);
	return offsetof(struct mp_tables, config) + length;
}
