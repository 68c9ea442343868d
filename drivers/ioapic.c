/*
 * The I/O APICs: interrupt lines of the hypervisor's own devices to one CPU. Every other line stays
 * as the firmware left it.
 *
 * State: none but the registers, which are mapped for the moment of a change. No lock: the boot
 * CPU, at boot.
 *
 * Source: Intel 82093AA data sheet, "I/O APIC Registers"; ACPI specification, "I/O APIC Structure",
 * "Interrupt Source Override Structure".
 */
#include "drivers/ioapic.h"
#include "drivers/acpi.h"
#include "mm/vmap.h"

#define IOAPIC_SELECT	   0x00u
#define IOAPIC_WINDOW	   0x10u
#define IOAPIC_SIZE	   0x20u
#define IOAPIC_VERSION	   0x01u
#define IOAPIC_REDIRECTION 0x10u /* two registers for each line */
#define VERSION_LAST_SHIFT 16
#define REDIRECTION_LOW	   0x2000u /* active low */
#define REDIRECTION_LEVEL  0x8000u /* else edge; fixed delivery to a physical destination: zeros */
#define REDIRECTION_MASKED 0x10000u
#define DESTINATION_SHIFT  24
#define DESTINATION_MAX	   0xfeu /* 0xff is all of them */

static uint32_t read_register(volatile char *base, uint32_t which)
{
	*(volatile uint32_t *)(base + IOAPIC_SELECT) = which;
	return *(volatile uint32_t *)(base + IOAPIC_WINDOW);
}

static void write_register(volatile char *base, uint32_t which, uint32_t value)
{
	*(volatile uint32_t *)(base + IOAPIC_SELECT) = which;
	*(volatile uint32_t *)(base + IOAPIC_WINDOW) = value;
}

/* The line number gsi counts in is this I/O APIC's: writes its entry. */
static bool route(const struct acpi_ioapic *io, uint32_t gsi, uint32_t low, uint32_t apic_id)
{
	void *registers;

	if (gsi < io->gsi_base || vmap_map_device(make_paddr(io->address), IOAPIC_SIZE, &registers))
		return false;
	uint32_t line = gsi - io->gsi_base;
	bool has_it =
	    line <= (read_register(registers, IOAPIC_VERSION) >> VERSION_LAST_SHIFT & 0xff);
	if (has_it) {
		uint32_t entry = IOAPIC_REDIRECTION + 2 * line;

		write_register(registers, entry, REDIRECTION_MASKED);
		write_register(registers, entry + 1, apic_id << DESTINATION_SHIFT);
		write_register(registers, entry, low);
	}
	vmap_free((void *)((uint64_t)registers & PAGE_MASK));
	return has_it;
}

/*
 * Interrupt irq (0 to 15) of the ISA bus comes to the CPU with that APIC id, as that vector. False:
 * no I/O APIC has the line, or it cannot reach that CPU. Boot CPU, after acpi_init().
 */
bool ioapic_route_isa(unsigned irq, unsigned vector, uint32_t apic_id)
{
	const struct acpi_isa_irq *isa = &acpi_info.isa_irqs[irq];
	uint32_t low =
	    vector | (isa->active_low ? REDIRECTION_LOW : 0) | (isa->level ? REDIRECTION_LEVEL : 0);

	if (apic_id > DESTINATION_MAX)
		return false;
	for (uint32_t i = 0; i < acpi_info.ioapic_count; i++)
		if (route(&acpi_info.ioapics[i], isa->gsi, low, apic_id))
			return true;
	return false;
}
