/* What the firmware's ACPI tables tell. drivers/acpi.c. */
#ifndef KEYHOLE_DRIVERS_ACPI_H
#define KEYHOLE_DRIVERS_ACPI_H

#include "layout.h"
#include "types.h"

#define ACPI_IOAPICS_MAX 8u
#define ACPI_ISA_IRQS	 16u

struct acpi_ioapic {
	uint32_t address;  /* physical */
	uint32_t gsi_base; /* the global number of its first line */
};

/* Where an interrupt of the ISA bus arrives. */
struct acpi_isa_irq {
	uint32_t gsi;
	bool active_low, level;
};

/* Constant after acpi_init(); zeros where there is nothing. */
struct acpi_info {
	/* Of the FADT, and of the object _S5_: how to switch the machine off. */
	bool has_s5;
	uint8_t s5_type_a, s5_type_b;	     /* SLP_TYP for each control register */
	uint16_t pm1a_control, pm1b_control; /* ports; pm1b 0: none */
	uint16_t smi_command;		     /* port; 0: ACPI mode is always on */
	uint8_t acpi_enable;
	/* Of the MADT. */
	uint32_t cpu_count; /* usable processors, at most LAYOUT_CPUS_MAX */
	uint32_t apic_ids[LAYOUT_CPUS_MAX];
	uint32_t ioapic_count; /* of which no more are used */
	struct acpi_ioapic ioapics[ACPI_IOAPICS_MAX];
	struct acpi_isa_irq isa_irqs[ACPI_ISA_IRQS];
};
extern struct acpi_info acpi_info;

/* Reads the tables; the window must work. Whatever is malformed is named in a warning and not used.
 */
void acpi_init(void);

#endif
