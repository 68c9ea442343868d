/*
 * The end of a run: the machine goes off, and an emulator learns the status.
 *
 * No state. Called once, by the last CPU that runs, also in the middle of a panic: waits are
 * bounded, no lock but the console's.
 *
 * Source: QEMU's device isa-debug-exit; Bochs's user manual, "unmapped" device (port 0x8900); ACPI
 * specification, "Sleeping/Wake Control", "Legacy/ACPI Select Mechanism".
 */
#include "drivers/power.h"
#include "cpu.h"
#include "drivers/acpi.h"
#include "drivers/uart.h"
#include "print.h"

#define DEBUG_EXIT_PORT	  0xf4u
#define DEBUG_EXIT_MARK	  0x10u /* QEMU ends with 2v + 1: 33 says "status 0", not "crashed" */
#define BOCHS_EXIT_PORT	  0x8900u
#define PM1_SCI_ENABLED	  0x0001u
#define PM1_SLEEP_TYPE(n) ((uint16_t)(((n)&7u) << 10))
#define PM1_SLEEP_MASK	  0x3c00u
#define PM1_SLEEP_ENABLE  0x2000u
#define WAIT_POLLS	  1000000u

static void acpi_power_off(void)
{
	const struct acpi_info *a = &acpi_info;

	if (!a->has_s5 || !a->pm1a_control)
		return;
	if (!(in16(a->pm1a_control) & PM1_SCI_ENABLED) && a->smi_command && a->acpi_enable) {
		out8(a->smi_command, a->acpi_enable);
		for (unsigned i = 0; i < WAIT_POLLS; i++)
			if (in16(a->pm1a_control) & PM1_SCI_ENABLED)
				break;
	}
	uint16_t keep = (uint16_t)(in16(a->pm1a_control) & ~PM1_SLEEP_MASK);
	out16(a->pm1a_control, (uint16_t)(keep | PM1_SLEEP_TYPE(a->s5_type_a) | PM1_SLEEP_ENABLE));
	if (a->pm1b_control) {
		keep = (uint16_t)(in16(a->pm1b_control) & ~PM1_SLEEP_MASK);
		out16(a->pm1b_control,
		      (uint16_t)(keep | PM1_SLEEP_TYPE(a->s5_type_b) | PM1_SLEEP_ENABLE));
	}
}

static void drain(void)
{
	for (unsigned u = 0; u < UART_COUNT; u++)
		uart_drain((enum uart)u);
}

void power_off(unsigned status)
{
	static const char shutdown[] = "Shutdown";

	drain();
	out8(DEBUG_EXIT_PORT, (uint8_t)(status | DEBUG_EXIT_MARK));
	for (const char *p = shutdown; *p; p++)
		out8(BOCHS_EXIT_PORT, (uint8_t)*p);
	acpi_power_off();
	/* S5 takes its time. */
	for (unsigned i = 0; i < WAIT_POLLS; i++)
		__builtin_ia32_pause();
	print(LOG_INFO, "power: this machine cannot be switched off from here; halted");
	drain();
	cpu_halt();
}
